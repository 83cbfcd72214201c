"""librdkafka's admin client: topics, partitions, configs, groups, offsets, records."""

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from harness import topics
from harness.waiting import wait_until

WAIT = 30


@pytest.fixture
def admin(kafka_address):
    return AdminClient({"bootstrap.servers": kafka_address})


def refused(future, code):
    """Asserts that a request failed with `code`."""
    with pytest.raises(KafkaException) as caught:
        future.result(WAIT)
    assert caught.value.args[0].code() == code, caught.value
    return caught.value.args[0]


def topic_config(admin, name):
    resource = ConfigResource(ResourceType.TOPIC, name)
    return admin.describe_configs([resource])[resource].result(WAIT)


def test_topics_are_created_listed_described_and_deleted(admin, name):
    admin.create_topics([NewTopic(name, 3, topics.replicas(), config={"retention.ms": "1234567"})])[name].result(WAIT)
    listed = admin.list_topics(timeout=WAIT).topics[name]
    assert sorted(listed.partitions) == [0, 1, 2]
    assert all(partition.error is None for partition in listed.partitions.values())
    described = admin.describe_topics(TopicCollection([name]))[name].result(WAIT)
    assert described.name == name and len(described.partitions) == 3 and not described.is_internal
    assert {partition.leader.id for partition in described.partitions} == {partition.leader for partition in listed.partitions.values()}
    assert all(len(partition.replicas) == topics.replicas() for partition in described.partitions)
    assert all([node.id for node in partition.isr] == listed.partitions[partition.id].isrs for partition in described.partitions)
    refused(admin.create_topics([NewTopic(name, 1, 1)])[name], KafkaError.TOPIC_ALREADY_EXISTS)
    admin.delete_topics([name])[name].result(WAIT)
    wait_until(lambda: name not in admin.list_topics(timeout=WAIT).topics, what="the topic to go")
    refused(admin.delete_topics([name])[name], KafkaError.UNKNOWN_TOPIC_OR_PART)


def test_a_deleted_topic_may_come_back_empty(admin, kafka_address, name):
    topics.create(kafka_address, name)
    topics.produce(kafka_address, name, [(None, b"old")])
    admin.delete_topics([name])[name].result(WAIT)
    wait_until(lambda: name not in admin.list_topics(timeout=WAIT).topics)
    topics.create(kafka_address, name)
    assert topics.read_all(kafka_address, name) == []
    assert topics.produce(kafka_address, name, [(None, b"new")]) == [0]


@pytest.mark.parametrize(("topic", "code"), [
    (lambda name: NewTopic("a/b", 1, 1), KafkaError.TOPIC_EXCEPTION),
    (lambda name: NewTopic("x" * 250, 1, 1), KafkaError.TOPIC_EXCEPTION),
    (lambda name: NewTopic(name, 0, 1), KafkaError.INVALID_PARTITIONS),
    (lambda name: NewTopic(name, 1, 99), KafkaError.INVALID_REPLICATION_FACTOR),
    (lambda name: NewTopic(name, 1, 1, config={"no.such.key": "1"}), KafkaError.INVALID_CONFIG),
    (lambda name: NewTopic(name, 1, 1, config={"retention.ms": "soon"}), KafkaError.INVALID_CONFIG),
    (lambda name: NewTopic(name, 1, 1, config={"cleanup.policy": "burn"}), KafkaError.INVALID_CONFIG),
])
def test_bad_topics_are_refused(admin, name, topic, code):
    wanted = topic(name)
    refused(admin.create_topics([wanted])[wanted.topic], code)
    assert wanted.topic not in admin.list_topics(timeout=WAIT).topics


def test_validation_creates_nothing(admin, name):
    admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)[name].result(WAIT)
    assert name not in admin.list_topics(timeout=WAIT).topics


def test_partitions_are_added_and_never_taken(admin, kafka_address, name):
    topics.create(kafka_address, name, partitions=2)
    admin.create_partitions([NewPartitions(name, 5)])[name].result(WAIT)
    wait_until(lambda: len(admin.list_topics(timeout=WAIT).topics[name].partitions) == 5)
    # Each node tells of its own picture of the cluster.
    for address in kafka_address.split(","):
        one = AdminClient({"bootstrap.servers": address})
        wait_until(lambda: len(one.list_topics(timeout=WAIT).topics[name].partitions) == 5)
    assert topics.produce(kafka_address, name, [(None, b"x")], partition=4) == [0]
    refused(admin.create_partitions([NewPartitions(name, 3)])[name], KafkaError.INVALID_PARTITIONS)


def test_configs_are_described_with_source_and_synonyms(admin, kafka_address, name):
    topics.create(kafka_address, name, retention_ms=1234)
    configs = topic_config(admin, name)
    assert configs["retention.ms"].value == "1234"
    assert configs["retention.ms"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert not configs["retention.ms"].is_default
    assert configs["cleanup.policy"].value == "delete"
    assert configs["cleanup.policy"].is_default
    assert "log.cleanup.policy" in {entry.name for entry in configs["cleanup.policy"].synonyms.values()}
    assert {"segment.bytes", "min.insync.replicas", "compression.type", "max.message.bytes"} <= set(configs)


def test_configs_of_the_broker(admin):
    node = next(iter(admin.list_topics(timeout=WAIT).brokers))
    resource = ConfigResource(ResourceType.BROKER, str(node))
    configs = admin.describe_configs([resource])[resource].result(WAIT)
    assert {"listeners", "log.dirs", "num.partitions", "log.retention.ms", "message.max.bytes"} <= set(configs)
    assert configs["num.partitions"].value.isdigit()


def test_configs_change_incrementally(admin, kafka_address, name):
    topics.create(kafka_address, name, retention_ms=1234)

    def alter(*entries, code=None):
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=list(entries))
        future = admin.incremental_alter_configs([resource])[resource]
        return future.result(WAIT) if code is None else refused(future, code)

    def entry(key, value, operation):
        return ConfigEntry(key, value, incremental_operation=operation)

    alter(entry("max.message.bytes", "5000", AlterConfigOpType.SET))
    alter(entry("cleanup.policy", "compact", AlterConfigOpType.APPEND))
    wait_until(lambda: topic_config(admin, name)["cleanup.policy"].value == "delete,compact")
    configs = topic_config(admin, name)
    assert (configs["max.message.bytes"].value, configs["retention.ms"].value) == ("5000", "1234")
    alter(entry("cleanup.policy", "delete", AlterConfigOpType.SUBTRACT), entry("retention.ms", None, AlterConfigOpType.DELETE))
    wait_until(lambda: topic_config(admin, name)["cleanup.policy"].value == "compact")
    assert topic_config(admin, name)["retention.ms"].is_default
    alter(entry("no.such.key", "1", AlterConfigOpType.SET), code=KafkaError.INVALID_CONFIG)
    alter(entry("max.message.bytes", "many", AlterConfigOpType.SET), code=KafkaError.INVALID_CONFIG)
    failures = []
    producer = Producer({"bootstrap.servers": kafka_address})
    producer.produce(name, key=b"k", value=b"x" * 6000, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(30) == 0
    assert failures[0] is not None and failures[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_full_alteration_replaces_every_config(admin, kafka_address, name):
    topics.create(kafka_address, name, retention_ms=1234)
    resource = ConfigResource(ResourceType.TOPIC, name, set_config={"max.message.bytes": "5000"})
    admin.alter_configs([resource])[resource].result(WAIT)
    wait_until(lambda: topic_config(admin, name)["max.message.bytes"].value == "5000")
    assert topic_config(admin, name)["retention.ms"].is_default


def test_groups_are_listed_described_and_deleted(admin, kafka_address, name):
    topics.create(kafka_address, name)
    settings = {"bootstrap.servers": kafka_address, "group.id": name, "client.id": "somebody"}
    consumer = Consumer(settings)
    consumer.subscribe([name])
    wait_until(lambda: consumer.poll(0.1) or consumer.assignment(), what="an assignment")
    listed = {group.group_id: group for group in admin.list_consumer_groups().result(WAIT).valid}
    assert listed[name].state.name == "STABLE"
    described = admin.describe_consumer_groups([name])[name].result(WAIT)
    assert described.state.name == "STABLE"
    assert described.partition_assignor == "range"
    (member,) = described.members
    assert member.client_id == "somebody"
    assert [partition.topic for partition in member.assignment.topic_partitions] == [name]
    refused(admin.delete_consumer_groups([name])[name], KafkaError.NON_EMPTY_GROUP)
    consumer.close()
    wait_until(lambda: admin.describe_consumer_groups([name])[name].result(WAIT).state.name in ("EMPTY", "DEAD"))
    admin.delete_consumer_groups([name])[name].result(WAIT)
    wait_until(lambda: name not in {group.group_id for group in admin.list_consumer_groups().result(WAIT).valid})
    refused(admin.delete_consumer_groups([name])[name], KafkaError.GROUP_ID_NOT_FOUND)


def test_offsets_of_a_group_are_altered_and_listed(admin, kafka_address, name):
    topics.create(kafka_address, name, partitions=2)
    wanted = [TopicPartition(name, 0, 5), TopicPartition(name, 1, 9)]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(name, wanted)])[name].result(WAIT)
    for asked in ([TopicPartition(name, 0), TopicPartition(name, 1)], None):
        request = ConsumerGroupTopicPartitions(name, asked) if asked else ConsumerGroupTopicPartitions(name)
        found = admin.list_consumer_group_offsets([request])[name].result(WAIT)
        assert sorted((p.partition, p.offset) for p in found.topic_partitions) == [(0, 5), (1, 9)]


def test_offsets_of_partitions_are_listed(admin, kafka_address, name):
    topics.create(kafka_address, name)
    topics.produce(kafka_address, name, [(None, b"x")] * 5)
    partition = TopicPartition(name, 0)

    def offset(spec):
        return admin.list_offsets({partition: spec})[partition].result(WAIT).offset

    assert offset(OffsetSpec.earliest()) == 0
    assert offset(OffsetSpec.latest()) == 5
    assert offset(OffsetSpec.max_timestamp()) in range(5)
    assert offset(OffsetSpec.for_timestamp(0)) == 0


def test_records_are_deleted_up_to_an_offset(admin, kafka_address, name):
    topics.create(kafka_address, name)
    topics.produce(kafka_address, name, [(None, str(number).encode()) for number in range(10)])
    partition = TopicPartition(name, 0, 4)
    assert admin.delete_records([partition])[partition].result(WAIT).low_watermark == 4
    consumer = Consumer({"bootstrap.servers": kafka_address, "group.id": name})
    try:
        assert consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=WAIT) == (4, 10)
    finally:
        consumer.close()
    assert [int(m.value()) for m in topics.read_all(kafka_address, name, start=4)] == [4, 5, 6, 7, 8, 9]
    beyond = TopicPartition(name, 0, 99)
    refused(admin.delete_records([beyond])[beyond], KafkaError.OFFSET_OUT_OF_RANGE)


def test_the_cluster_is_described(admin, kafka_address):
    cluster = admin.describe_cluster().result(WAIT)
    assert len(cluster.cluster_id) == 22
    assert sorted(f"{node.host}:{node.port}" for node in cluster.nodes) == sorted(kafka_address.split(","))
    assert cluster.controller.id in {node.id for node in cluster.nodes}
