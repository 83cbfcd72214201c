"""Our own tests with kafka-python 3, a client that shares no code with librdkafka or Apache's."""

import threading

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import MessageSizeTooLargeError
from kafka.structs import OffsetAndMetadata

from harness import topics
from harness.waiting import wait_until


@pytest.fixture
def admin(kafka_address):
    with KafkaAdminClient(bootstrap_servers=kafka_address) as client:
        yield client


@pytest.fixture
def topic(admin, name):
    """A topic with three partitions."""
    admin.create_topics({name: {"num_partitions": 3, "replication_factor": topics.replicas()}}, wait_for_metadata=True)
    return name


@pytest.fixture
def producer(kafka_address):
    """Makes producers."""
    made = []

    def make(**settings):
        one = KafkaProducer(bootstrap_servers=kafka_address, **settings)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def consumer(kafka_address):
    """Makes consumers that read from the beginning."""
    made = []

    def make(*topics, **settings):
        options = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 20_000, **settings}
        one = KafkaConsumer(*topics, bootstrap_servers=kafka_address, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def take(source, count):
    """The next `count` messages."""
    return [next(source) for _ in range(count)]


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_codec(topic, producer, consumer, codec):
    sender = producer(compression_type=codec, linger_ms=50)
    sent = [f"value {number} ".encode() * 10 for number in range(300)]
    futures = [sender.send(topic, value, partition=1) for value in sent]
    assert [future.get(30).offset for future in futures] == list(range(300))
    reader = consumer()
    reader.assign([TopicPartition(topic, 1)])
    assert [message.value for message in take(reader, 300)] == sent


def test_metadata_of_an_acknowledged_record(topic, producer):
    record = producer().send(topic, b"v", key=b"k", headers=[("h", b"1")], timestamp_ms=1_700_000_000_000).get(30)
    assert (record.topic, record.offset, record.timestamp) == (topic, 0, 1_700_000_000_000)


def test_idempotent_producer(topic, producer, consumer):
    sender = producer(enable_idempotence=True, acks="all", linger_ms=1)
    for number in range(1000):
        sender.send(topic, str(number).encode(), partition=0)
    sender.flush(60)
    reader = consumer()
    reader.assign([TopicPartition(topic, 0)])
    assert [int(message.value) for message in take(reader, 1000)] == list(range(1000))


def test_a_group_shares_partitions(topic, name, consumer):
    members = [consumer(topic, group_id=name, heartbeat_interval_ms=200, session_timeout_ms=6000) for _ in range(2)]
    end = threading.Event()

    def work(member):
        while not end.is_set():
            member.poll(100)

    threads = [threading.Thread(target=work, args=(member,), daemon=True) for member in members]
    for thread in threads:
        thread.start()

    def divided():
        shares = [{partition.partition for partition in member.assignment()} for member in members]
        return all(shares) and shares[0] | shares[1] == {0, 1, 2} and not shares[0] & shares[1]

    wait_until(divided, timeout=60, what="a division")
    end.set()
    for thread in threads:
        thread.join(30)


def test_offsets_are_committed_with_their_metadata(topic, name, consumer):
    partition = TopicPartition(topic, 2)
    first = consumer(group_id=name, enable_auto_commit=False)
    first.assign([partition])
    first.commit({partition: OffsetAndMetadata(11, "note", -1)})
    assert first.committed(partition) == 11
    again = consumer(group_id=name, enable_auto_commit=False)
    assert again.committed(partition, metadata=True).metadata == "note"


def test_positions(topic, producer, consumer):
    partition = TopicPartition(topic, 0)
    sender = producer()
    for number in range(10):
        sender.send(topic, str(number).encode(), partition=0, timestamp_ms=1_700_000_000_000 + number * 1000)
    sender.flush(30)
    reader = consumer()
    reader.assign([partition])
    assert reader.beginning_offsets([partition]) == {partition: 0}
    assert reader.end_offsets([partition]) == {partition: 10}
    assert reader.offsets_for_times({partition: 1_700_000_004_500})[partition].offset == 5
    reader.seek(partition, 8)
    assert [int(message.value) for message in take(reader, 2)] == [8, 9]
    assert reader.position(partition) == 10


def test_the_admin_client_sees_the_topic(admin, topic):
    (described,) = admin.describe_topics([topic])
    assert len(described["partitions"]) == 3
    assert topic in admin.list_topics()
    admin.delete_topics([topic])
    wait_until(lambda: topic not in admin.list_topics())


def test_too_large_a_record_is_refused(admin, name, producer):
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": topics.replicas(), "configs": {"max.message.bytes": "1000"}}},
                        wait_for_metadata=True)
    with pytest.raises(MessageSizeTooLargeError):
        producer(retries=0).send(name, b"x" * 5000).get(30)
