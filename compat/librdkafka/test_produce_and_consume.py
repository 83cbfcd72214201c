"""librdkafka's producer and consumer: codecs, keys, headers, timestamps, idempotence, positions."""

import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from harness import topics
from harness.waiting import wait_until


def producer(address, **settings):
    return Producer({"bootstrap.servers": address, **{key.replace("_", "."): value for key, value in settings.items()}})


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec(kafka_address, name, codec):
    topics.create(kafka_address, name)
    sent = [(f"k{number}".encode(), f"value {number} ".encode() * 20) for number in range(500)]
    offsets = topics.produce(kafka_address, name, sent, compression_type=codec, linger_ms=50)
    assert offsets == list(range(500))
    received = topics.read_all(kafka_address, name)
    assert [(message.key(), message.value()) for message in received] == sent
    assert [message.offset() for message in received] == offsets


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_topic_recompresses_to_its_own_codec(kafka_address, name, codec):
    topics.create(kafka_address, name, compression_type=codec)
    sent = [(None, b"x" * 1000) for _ in range(50)]
    topics.produce(kafka_address, name, sent, linger_ms=50)
    assert [message.value() for message in topics.read_all(kafka_address, name)] == [value for _, value in sent]


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_acknowledgements(kafka_address, name, acks):
    topics.create(kafka_address, name)
    # Without acknowledgements a leader that does not know of its partition yet could only drop records.
    topics.produce(kafka_address, name, [(None, b"first")])
    topics.produce(kafka_address, name, [(None, str(number).encode()) for number in range(100)], acks=acks)
    wait_until(lambda: len(topics.read_all(kafka_address, name)) == 101)


def test_keys_values_and_headers_may_be_null_or_empty(kafka_address, name):
    topics.create(kafka_address, name)
    sender = producer(kafka_address)
    sender.produce(name, key=None, value=None)
    sender.produce(name, key=b"", value=b"")
    sender.produce(name, key=b"k", value=b"v", headers=[("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)])
    assert sender.flush(30) == 0
    first, second, third = topics.read_all(kafka_address, name)
    assert (first.key(), first.value(), first.headers()) == (None, None, None)
    assert (second.key(), second.value()) == (b"", b"")
    assert third.headers() == [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]


def test_timestamps_are_the_producers_or_the_logs(kafka_address, name):
    topics.create(kafka_address, name)
    topics.create(kafka_address, f"{name}-appended", message_timestamp_type="LogAppendTime")
    moment = int(time.time() * 1000) - 60_000
    sender = producer(kafka_address)
    for topic in (name, f"{name}-appended"):
        sender.produce(topic, b"x", timestamp=moment)
    assert sender.flush(30) == 0
    created = topics.read_all(kafka_address, name)[0].timestamp()
    appended = topics.read_all(kafka_address, f"{name}-appended")[0].timestamp()
    assert created == (1, moment)
    assert appended[0] == 2 and appended[1] > moment


def test_an_idempotent_producer_keeps_order_and_count(kafka_address, name):
    topics.create(kafka_address, name, partitions=3)
    sender = producer(kafka_address, enable_idempotence=True, linger_ms=1, batch_num_messages=50)
    for number in range(3000):
        sender.produce(name, value=str(number).encode(), partition=number % 3)
        sender.poll(0)
    assert sender.flush(60) == 0
    for partition in range(3):
        values = [int(message.value()) for message in topics.read_all(kafka_address, name, partition)]
        assert values == list(range(partition, 3000, 3))


def test_keys_go_to_one_partition(kafka_address, name):
    topics.create(kafka_address, name, partitions=5)
    sender = producer(kafka_address)
    for number in range(500):
        sender.produce(name, key=f"k{number % 17}", value=str(number))
        sender.poll(0)
    assert sender.flush(30) == 0
    homes = {}
    for partition in range(5):
        for message in topics.read_all(kafka_address, name, partition):
            homes.setdefault(message.key(), set()).add(partition)
    assert len(homes) == 17 and all(len(partitions) == 1 for partitions in homes.values())


def test_a_record_over_the_topics_limit_is_refused(kafka_address, name):
    topics.create(kafka_address, name, max_message_bytes=2000)
    failures = []
    sender = producer(kafka_address)
    for value in (b"x" * 10_000, b"small"):
        sender.produce(name, value, on_delivery=lambda error, _: failures.append(error))
        assert sender.flush(30) == 0
    assert failures[0].code() == KafkaError.MSG_SIZE_TOO_LARGE and failures[1] is None


def test_a_compacted_topic_needs_keys(kafka_address, name):
    topics.create(kafka_address, name, cleanup_policy="compact")
    failures = []
    sender = producer(kafka_address)
    sender.produce(name, b"no key", on_delivery=lambda error, _: failures.append(error))
    assert sender.flush(30) == 0
    assert failures[0].code() == KafkaError.INVALID_RECORD


def test_an_unknown_topic_is_created_when_it_is_first_used(kafka_address, name):
    offsets = topics.produce(kafka_address, name, [(None, b"first")])
    assert offsets == [0]


def test_large_records_pass(kafka_address, name):
    topics.create(kafka_address, name, max_message_bytes=3_000_000)
    value = bytes(range(256)) * 8000
    topics.produce(kafka_address, name, [(None, value)] * 5, message_max_bytes=3_000_000)
    assert [message.value() for message in topics.read_all(kafka_address, name)] == [value] * 5


def test_positions_by_offset_and_time(kafka_address, name):
    topics.create(kafka_address, name)
    sender = producer(kafka_address)
    for number in range(10):
        sender.produce(name, str(number), timestamp=1_700_000_000_000 + number * 1000)
    assert sender.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": kafka_address, "group.id": name, "enable.auto.commit": False})
    try:
        assert consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=20) == (0, 10)
        asked = TopicPartition(name, 0, 1_700_000_000_000 + 4500)
        assert consumer.offsets_for_times([asked], timeout=20)[0].offset == 5
        later = TopicPartition(name, 0, 1_800_000_000_000)
        assert consumer.offsets_for_times([later], timeout=20)[0].offset == -1
        consumer.assign([TopicPartition(name, 0, 7)])
        assert [int(message.value()) for message in consumer.consume(3, timeout=20)] == [7, 8, 9]
        consumer.seek(TopicPartition(name, 0, OFFSET_BEGINNING))
        assert int(consumer.poll(20).value()) == 0
    finally:
        consumer.close()


def test_an_offset_out_of_range_resets(kafka_address, name):
    topics.create(kafka_address, name)
    topics.produce(kafka_address, name, [(None, b"only")])
    settings = {"bootstrap.servers": kafka_address, "group.id": name, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(name, 0, 999)])
        assert consumer.poll(20).value() == b"only"
    finally:
        consumer.close()
    strict = Consumer({**settings, "auto.offset.reset": "error"})
    try:
        strict.assign([TopicPartition(name, 0, 999)])
        with pytest.raises(KafkaException):
            message = strict.poll(20)
            raise KafkaException(message.error())
    finally:
        strict.close()


def test_a_consumer_at_the_tail_gets_records_at_once(kafka_address, name):
    topics.create(kafka_address, name)
    consumer = Consumer({
        "bootstrap.servers": kafka_address, "group.id": name, "enable.partition.eof": True,
        "fetch.wait.max.ms": 10_000, "fetch.min.bytes": 1,
    })
    try:
        consumer.assign([TopicPartition(name, 0, 0)])
        assert consumer.poll(20).error().code() == KafkaError._PARTITION_EOF
        for number in range(5):
            topics.produce(kafka_address, name, [(None, str(number).encode())])
            # Less than the 10 s for which the fetch may wait.
            message = consumer.poll(8)
            while message is not None and message.error():
                message = consumer.poll(8)
            assert message is not None and int(message.value()) == number
    finally:
        consumer.close()
