"""Issue part c: a batch produced to `__znodes` is one atomic multi, judged as a ZooKeeper client's would be."""

import threading

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from kafka import KafkaProducer
from kafka.errors import InvalidRecordError, KafkaError as KafkaPythonError
from kazoo.protocol.states import EventType
from kazoo.security import make_digest_acl

from harness.waiting import wait_until

FEED = "__znodes"


@pytest.fixture(autouse=True)
def ours(server):
    """Only our server has the topic."""
    if server.external and server.kafka and server.zk:
        consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "probe"})
        known = FEED in consumer.list_topics(timeout=20).topics
        consumer.close()
        if not known:
            pytest.skip("the outside server has no __znodes")


@pytest.fixture
def write(kafka_address):
    """Produces (path, value) pairs as one batch; returns [(error code or 0, offset)] in order."""

    def run(*records, codec="none", **settings):
        producer = Producer({
            "bootstrap.servers": kafka_address,
            "linger.ms": 500,
            "compression.type": codec,
            "message.timeout.ms": 20_000,
            **{key.replace("_", "."): value for key, value in settings.items()},
        })
        results = {}

        def note(number):
            return lambda error, message: results.update({number: (error.code() if error else 0, message.offset())})

        # A producer that knows the topic, and is not flushed, waits for its linger time and sends one batch.
        assert FEED in producer.list_topics(FEED, timeout=20).topics
        for number, (path, value) in enumerate(records):
            producer.produce(FEED, key=path, value=value, partition=0, on_delivery=note(number))
        wait_until(lambda: producer.poll(0.05) is not None and len(results) == len(records), what="every answer", every=0)
        return [results[number] for number in range(len(records))]

    return run


def test_a_record_writes_a_znode_and_its_offset_is_the_mzxid(zk, base, write):
    ((error, offset),) = write((f"{base}/a", b"one"))
    data, stat = zk.get(f"{base}/a")
    assert (error, data, stat.mzxid, stat.czxid, stat.version) == (0, b"one", offset, offset, 0)
    ((error, offset),) = write((f"{base}/a", b"two"))
    data, stat = zk.get(f"{base}/a")
    assert (error, data, stat.mzxid, stat.version) == (0, b"two", offset, 1)
    ((error, _),) = write((f"{base}/a", None))
    assert error == 0 and zk.exists(f"{base}/a") is None


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_batch_is_one_transaction(zk, base, write, codec):
    zk.create(f"{base}/old")
    results = write(
        (f"{base}/a", b"1"), (f"{base}/a/b", b"2"), (f"{base}/a/b/c", b"3"), (f"{base}/old", None), (f"{base}/a", b"4"),
        codec=codec,
    )
    assert [error for error, _ in results] == [0] * 5
    base_offset = results[0][1]
    assert [offset for _, offset in results] == list(range(base_offset, base_offset + 5))
    stats = [zk.exists(path) for path in (f"{base}/a", f"{base}/a/b", f"{base}/a/b/c")]
    assert {stat.mzxid for stat in stats} == {base_offset}
    assert zk.get(f"{base}/a")[0] == b"4"
    assert zk.exists(f"{base}/old") is None


def test_watchers_fire(zk, base, write):
    events, fired = [], threading.Event()

    def watch(event):
        events.append((event.type, event.path))
        if len(events) == 2:
            fired.set()

    zk.exists(f"{base}/w", watch=watch)
    zk.get_children(base, watch=watch)
    write((f"{base}/w", b"x"))
    assert fired.wait(20)
    assert sorted(events) == sorted([(EventType.CREATED, f"{base}/w"), (EventType.CHILD, base)])


@pytest.mark.parametrize("bad", [
    "no-slash", "/a//b", "/trailing/", "/a/../b", "/", "/missing-parent/child", "/zookeeper", "",
])
def test_what_the_tree_refuses_is_refused_as_a_whole(zk, base, write, bad):
    # The system's own znodes may be written, and not deleted.
    value = None if bad in ("/", "/zookeeper") else b"x"
    results = write((f"{base}/before", b"1"), (bad, value), (f"{base}/after", b"2"))
    assert [error for error, _ in results] == [KafkaError.INVALID_RECORD] * 3
    assert zk.get_children(base) == []


def test_deleting_a_parent_before_its_children_is_refused(zk, base, write):
    zk.create(f"{base}/p")
    zk.create(f"{base}/p/c", b"kept")
    assert write((f"{base}/p", None))[0][0] == KafkaError.INVALID_RECORD
    assert zk.get(f"{base}/p/c")[0] == b"kept"
    assert [error for error, _ in write((f"{base}/p/c", None), (f"{base}/p", None))] == [0, 0]
    assert zk.exists(f"{base}/p") is None


def test_deleting_what_is_not_there_is_refused(base, write):
    assert write((f"{base}/nothing", None))[0][0] == KafkaError.INVALID_RECORD


def test_a_record_without_a_key_is_refused(kafka_address):
    failures = []
    producer = Producer({"bootstrap.servers": kafka_address})
    producer.produce(FEED, value=b"x", partition=0, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(30) == 0
    assert failures[0].code() == KafkaError.INVALID_RECORD


def test_every_refused_record_has_its_message(kafka_address, base):
    producer = KafkaProducer(bootstrap_servers=kafka_address, linger_ms=500, retries=0)
    try:
        good = producer.send(FEED, key=f"{base}/good".encode(), value=b"1", partition=0)
        bad = producer.send(FEED, key=b"/missing-parent/child", value=b"2", partition=0)
        producer.flush(30)
        with pytest.raises(KafkaPythonError) as refused:
            bad.get(30)
        assert isinstance(refused.value, InvalidRecordError)
        assert "/missing-parent" in str(refused.value)
        with pytest.raises(KafkaPythonError):
            good.get(30)
    finally:
        producer.close()


def test_acls_hold_for_producers_too(zk, zk_client, base, write):
    owner = zk_client(auth_data=[("digest", "alice:secret")])
    path = owner.create(f"{base}/mine", b"1", acl=[make_digest_acl("alice", "secret", all=True)])
    for record in ((path, b"2"), (f"{path}/child", b"x")):
        assert write(record)[0][0] == KafkaError.INVALID_RECORD
    assert owner.get(path)[0] == b"1"
    assert owner.get_children(path) == []


def test_sessions_cannot_be_forged(write, zk):
    for key in ("session:0x1", f"session:0x{zk.client_id[0]:x}"):
        for value in (b"timeout=1000", None):
            assert write((key, value))[0][0] == KafkaError.INVALID_RECORD
    assert zk.exists("/")


def test_an_idempotent_producer_writes_once(zk, base, write):
    results = write((f"{base}/a", b"1"), (f"{base}/b", b"2"), enable_idempotence=True)
    assert [error for error, _ in results] == [0, 0]
    assert zk.exists(f"{base}/a").version == zk.exists(f"{base}/b").version == 0


def test_values_are_bounded_as_for_zookeeper_clients(zk, base, write):
    error = write((f"{base}/big", b"x" * 2_000_000), message_max_bytes=3_000_000)[0][0]
    assert error in (KafkaError.INVALID_RECORD, KafkaError.MSG_SIZE_TOO_LARGE)
    assert zk.exists(f"{base}/big") is None
