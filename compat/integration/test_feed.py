"""Issue parts b and d: the topic `__znodes` is the tree, and follows every change of it."""

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewPartitions
from kazoo.security import make_digest_acl

from harness.feed import Feed, assert_same_tree, mzxid, tree_of
from harness.raw import Session, create_body
from harness.waiting import wait_until


@pytest.fixture(autouse=True)
def ours(server):
    """Only our server has the topic."""
    if server.external and server.kafka and server.zk:
        consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "probe"})
        known = "__znodes" in consumer.list_topics(timeout=20).topics
        consumer.close()
        if not known:
            pytest.skip("the outside server has no __znodes")


def fill(zk, base, count=100):
    """A mix of every kind of change."""
    for number in range(count):
        zk.create(f"{base}/n{number}", f"value {number}".encode())
    for number in range(0, count, 2):
        zk.set(f"{base}/n{number}", b"changed")
    for number in range(0, count, 5):
        zk.delete(f"{base}/n{number}")
    transaction = zk.transaction()
    transaction.create(f"{base}/t", b"1")
    transaction.create(f"{base}/t/u", b"2")
    transaction.set_data(f"{base}/t", b"3")
    transaction.delete(f"{base}/n1")
    assert len(transaction.commit()) == 4
    for _ in range(3):
        zk.create(f"{base}/seq-", b"s", sequence=True)
    zk.create(f"{base}/ephemeral", b"e", ephemeral=True)
    zk.create(f"{base}/empty", b"")
    zk.create(f"{base}/acl", b"a")
    zk.set_acls(f"{base}/acl", [make_digest_acl("user", "password", all=True), *zk.get_acls(f"{base}/acl")[0]])


def test_reading_from_the_beginning_gives_the_live_tree(zk, base, feed):
    fill(zk, base)
    assert_same_tree(feed().catch_up(), zk)


def test_the_feed_follows_every_change(zk, base, feed):
    follower = feed().catch_up()
    for number in range(20):
        path = f"{base}/f{number}"
        zk.create(path, b"x")
        created = zk.exists(path)
        change = follower.wait_for(lambda change: change.key == path)
        assert (change.zxid, change.data, change.timestamp) == (created.mzxid, b"x", created.mtime)
        changed = zk.set(path, b"y")
        change = follower.wait_for(lambda change: change.key == path and change.value == b"y")
        assert change.offset == change.zxid == changed.mzxid
        zk.delete(path)
        follower.wait_for(lambda change: change.key == path and change.is_deletion)
    assert_same_tree(follower.catch_up(), zk)


def test_offsets_are_unbroken_and_grow(zk, base, feed):
    fill(zk, base, 20)
    offsets = [change.offset for change in feed().catch_up().changes]
    assert offsets == sorted(set(offsets))


def test_the_records_of_a_transaction_are_one_batch(zk, base, feed):
    follower = feed().catch_up()
    transaction = zk.transaction()
    transaction.create(f"{base}/a", b"1")
    transaction.create(f"{base}/b", b"2")
    transaction.set_data(f"{base}/a", b"3")
    transaction.delete(f"{base}/b")
    transaction.commit()
    zxid = zk.exists(f"{base}/a").mzxid
    follower.wait_for(lambda change: change.key == f"{base}/b" and change.is_deletion)
    batch = [change for change in follower.changes if change.zxid == zxid and change.key.startswith(base)]
    assert [(change.key, change.value, change.headers["op"]) for change in batch] == [
        (f"{base}/a", b"1", "create"),
        (f"{base}/b", b"2", "create"),
        (f"{base}/a", b"3", "set"),
        (f"{base}/b", None, "delete"),
    ]
    assert [change.offset for change in batch] == list(range(zxid, zxid + 4))


def test_an_mzxid_is_a_position_for_a_consumer(zk, base, feed):
    for number in range(30):
        zk.create(f"{base}/p{number}")
    stat = zk.exists(f"{base}/p17")
    first = feed(stat.mzxid)
    change = first.wait_for(lambda change: True)
    assert (change.key, change.offset) == (f"{base}/p17", stat.mzxid)


def test_headers_are_readable(zk, base, feed):
    zk.create(f"{base}/e", ephemeral=True)
    zk.create(f"{base}/d", acl=[make_digest_acl("user", "password", read=True)])
    follower = feed().catch_up()
    (ephemeral,), (guarded,) = follower.of(f"{base}/e"), follower.of(f"{base}/d")
    assert ephemeral.headers["owner"] == f"0x{zk.client_id[0]:x}" == ephemeral.headers["session"]
    assert guarded.headers["acl"].startswith("digest:") and "password" not in guarded.headers["acl"]


def test_no_reader_of_the_feed_learns_a_password(zk, feed):
    password = zk.client_id[1]
    for change in feed().catch_up().changes:
        text = repr((change.key, change.value, change.headers)).encode()
        assert password not in (change.value or b"") and password.hex().encode() not in text


def test_a_closed_session_is_one_batch_of_tombstones(zk, zk_client, base, feed):
    other = zk_client()
    session = other.client_id[0]
    paths = [other.create(f"{base}/e{number}", ephemeral=True) for number in range(5)]
    follower = feed().catch_up()
    assert all(follower.of(path)[-1].headers["owner"] == f"0x{session:x}" for path in paths)
    other.stop()
    for path in paths:
        follower.wait_for(lambda change: change.key == path and change.is_deletion)
    follower.wait_for(lambda change: change.key == f"session:0x{session:x}" and change.is_deletion)
    zxids = {follower.of(path)[-1].zxid for path in paths} | {follower.of(f"session:0x{session:x}")[-1].zxid}
    assert len(zxids) == 1
    deleted = {change.key for change in follower.changes if change.zxid in zxids}
    assert deleted == {*paths, f"session:0x{session:x}"}
    assert zk.exists(base).pzxid == zxids.pop()


def test_an_expired_session_is_tombstoned_too(zk, zk_address, base, feed):
    session = Session(zk_address, timeout_ms=4000)
    assert session.call(1, 1, create_body(f"{base}/e", flags=1))[2] == 0
    follower = feed().catch_up()
    session.close()
    change = follower.wait_for(lambda change: change.key == f"{base}/e" and change.is_deletion, timeout=60)
    closed = follower.wait_for(lambda change: change.key == f"session:0x{session.id & (2**64 - 1):x}" and change.is_deletion)
    assert change.zxid == closed.zxid


def test_the_feed_of_a_restarted_node_is_its_tree(new_node, zk_client):
    node = new_node({"snapCount": "500", "zookeeper.snapCount": "500"}).start()
    zk = zk_client(hosts=node.zk, timeout=30)
    zk.create("/app")
    for number in range(1500):
        zk.create_async(f"/app/n{number}", b"x" * 50)
    for number in range(0, 1500, 3):
        zk.delete_async(f"/app/n{number}")
    zk.create("/other")
    fill(zk, "/other")
    before = tree_of(zk, "/app")
    for stop in (node.stop, node.kill):
        stop()
        node.start()
        wait_until(lambda: zk.connected, what="the client to come back")
        wait_until(lambda: zk.exists("/controller"), what="a controller")
        assert {path: data for path, (data, _) in tree_of(zk, "/app").items()} == {
            path: data for path, (data, _) in before.items()
        }
        follower = Feed(node.kafka)
        assert_same_tree(follower.catch_up(), zk)
        follower.close()


def test_a_group_may_follow_the_feed(zk, kafka_address, base, name):
    settings = {"bootstrap.servers": kafka_address, "group.id": name, "auto.offset.reset": "latest"}
    consumer = Consumer(settings)
    try:
        consumer.subscribe(["__znodes"])
        wait_until(lambda: consumer.poll(0.1) or consumer.assignment(), what="an assignment")
        seen = set()

        def got():
            zk.create(f"{base}/g-", sequence=True)
            message = consumer.poll(0.2)
            if message is not None and not message.error():
                seen.add(message.key().decode())
            return any(key.startswith(f"{base}/g-") for key in seen)

        wait_until(got, what="a change")
        consumer.commit(asynchronous=False)
        committed = consumer.committed([TopicPartition("__znodes", 0)], timeout=20)[0]
        assert committed.error is None and committed.offset > 0
    finally:
        consumer.close()


def test_the_feed_cannot_be_deleted_or_repartitioned(admin):
    for future in (
        admin.delete_topics(["__znodes"])["__znodes"],
        admin.create_partitions([NewPartitions("__znodes", 3)])["__znodes"],
    ):
        with pytest.raises(KafkaException) as refused:
            future.result(30)
        assert refused.value.args[0].code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.INVALID_REQUEST, KafkaError.TOPIC_EXCEPTION,
            KafkaError.INVALID_PARTITIONS, KafkaError.POLICY_VIOLATION,
        )
    assert len(admin.list_topics(timeout=20).topics["__znodes"].partitions) == 1


def test_changes_that_keep_the_data_keep_the_mzxid(zk, base, feed):
    path = zk.create(f"{base}/a", b"data")
    stat = zk.exists(path)
    zk.set_acls(path, zk.get_acls(path)[0])
    follower = feed().catch_up()
    last = follower.of(path)[-1]
    assert last.headers["op"] == "setacl" and last.value == b"data"
    assert mzxid(last) == stat.mzxid < last.zxid
