"""Issue part a: Kafka's topics are znodes in Kafka's layout, and writing those znodes by hand drives the broker."""

import base64
import json
import uuid

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, ResourceType

from harness import topics
from harness.waiting import wait_until

WAIT = 30


def read(zk, path):
    return json.loads(zk.get(path)[0])


def configs(admin, name):
    resource = ConfigResource(ResourceType.TOPIC, name)
    return admin.describe_configs([resource])[resource].result(WAIT)


def listed(admin, name):
    return admin.list_topics(timeout=WAIT).topics.get(name)


def fresh_id():
    """A topic id as Kafka writes it."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def notify(zk, entity):
    """Tells the brokers of a changed config, as Kafka's tools of 3.x do."""
    payload = json.dumps({"version": 2, "entity_path": entity}).encode()
    zk.create("/config/changes/config_change_", payload, sequence=True)


def test_a_topic_that_kafka_creates_is_a_znode(zk, admin, name):
    admin.create_topics([NewTopic(name, 3, 1, config={"retention.ms": "12345"})])[name].result(WAIT)
    topic = read(zk, f"/brokers/topics/{name}")
    assert topic["version"] == 3
    assert topic["partitions"] == {"0": [0], "1": [0], "2": [0]}
    assert topic["adding_replicas"] == {} and topic["removing_replicas"] == {}
    identity = base64.urlsafe_b64decode(topic["topic_id"] + "==")
    assert len(identity) == 16
    described = admin.describe_topics(TopicCollection([name]))[name].result(WAIT)
    wanted = (described.topic_id.get_most_significant_bits() % 2**64, described.topic_id.get_least_significant_bits() % 2**64)
    assert (int.from_bytes(identity[:8], "big"), int.from_bytes(identity[8:], "big")) == wanted
    assert sorted(zk.get_children(f"/brokers/topics/{name}/partitions")) == ["0", "1", "2"]
    for partition in range(3):
        state = wait_until(lambda: read(zk, f"/brokers/topics/{name}/partitions/{partition}/state"))
        assert state.pop("controller_epoch") == int(zk.get("/controller_epoch")[0])
        state.pop("leader_recovery_state", None)
        assert state == {"version": 1, "leader": 0, "leader_epoch": 0, "isr": [0]}
    assert read(zk, f"/config/topics/{name}") == {"version": 1, "config": {"retention.ms": "12345"}}


def test_what_kafka_changes_shows_in_the_znodes(zk, admin, name):
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(WAIT)
    admin.create_partitions([NewPartitions(name, 3)])[name].result(WAIT)
    assert set(read(zk, f"/brokers/topics/{name}")["partitions"]) == {"0", "1", "2"}
    before = set(zk.get_children("/config/changes"))
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[
        ConfigEntry("retention.ms", "777", incremental_operation=AlterConfigOpType.SET),
    ])
    admin.incremental_alter_configs([resource])[resource].result(WAIT)
    assert read(zk, f"/config/topics/{name}")["config"] == {"retention.ms": "777"}
    new = sorted(set(zk.get_children("/config/changes")) - before)
    assert [read(zk, f"/config/changes/{child}") for child in new] == [{"version": 2, "entity_path": f"topics/{name}"}]
    admin.delete_topics([name])[name].result(WAIT)
    wait_until(lambda: zk.exists(f"/brokers/topics/{name}") is None)
    wait_until(lambda: zk.exists(f"/config/topics/{name}") is None)
    wait_until(lambda: zk.exists(f"/admin/delete_topics/{name}") is None)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_topic_written_by_hand_is_created(zk, admin, kafka_address, name, version):
    payload = {"version": version, "partitions": {"0": [0], "1": [0]}}
    if version >= 2:
        payload |= {"adding_replicas": {}, "removing_replicas": {}}
    if version >= 3:
        payload |= {"topic_id": fresh_id()}
    zk.create(f"/brokers/topics/{name}", json.dumps(payload).encode())
    wait_until(lambda: (topic := listed(admin, name)) and len(topic.partitions) == 2 and topic.error is None)
    assert topics.produce(kafka_address, name, [(b"k", b"v")], partition=1) == [0]
    assert [message.value() for message in topics.read_all(kafka_address, name, 1)] == [b"v"]
    state = read(zk, f"/brokers/topics/{name}/partitions/1/state")
    assert (state["leader"], state["isr"]) == (0, [0])


def test_partitions_added_by_hand_are_opened(zk, admin, kafka_address, name):
    topics.create(kafka_address, name)
    path = f"/brokers/topics/{name}"
    payload = read(zk, path)
    payload["partitions"] |= {"1": [0], "2": [0]}
    zk.set(path, json.dumps(payload).encode())
    wait_until(lambda: len(listed(admin, name).partitions) == 3)
    assert topics.produce(kafka_address, name, [(None, b"x")], partition=2) == [0]


def test_a_topic_deleted_by_hand_is_gone(zk, admin, kafka_address, name):
    topics.create(kafka_address, name, partitions=2, retention_ms=1234)
    topics.produce(kafka_address, name, [(None, b"x")])
    zk.create(f"/admin/delete_topics/{name}")
    wait_until(lambda: listed(admin, name) is None)
    for path in (f"/brokers/topics/{name}", f"/config/topics/{name}", f"/admin/delete_topics/{name}"):
        wait_until(lambda: zk.exists(path) is None, what=path)
    topics.create(kafka_address, name)
    assert topics.read_all(kafka_address, name) == []


def test_a_request_to_delete_what_is_not_there_is_cleared(zk, name):
    zk.create(f"/admin/delete_topics/{name}")
    wait_until(lambda: zk.exists(f"/admin/delete_topics/{name}") is None)


def test_a_config_written_by_hand_counts(zk, admin, kafka_address, name):
    topics.create(kafka_address, name)
    payload = json.dumps({"version": 1, "config": {"max.message.bytes": "500", "cleanup.policy": "compact"}}).encode()
    path = f"/config/topics/{name}"
    if zk.exists(path):
        zk.set(path, payload)
    else:
        zk.create(path, payload)
    notify(zk, f"topics/{name}")
    wait_until(lambda: configs(admin, name)["max.message.bytes"].value == "500")
    assert configs(admin, name)["cleanup.policy"].value == "compact"
    failures = []
    producer = Producer({"bootstrap.servers": kafka_address})
    producer.produce(name, key=b"k", value=b"x" * 1000, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(WAIT) == 0
    assert failures[0] is not None and failures[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    zk.set(path, json.dumps({"version": 1, "config": {}}).encode())
    notify(zk, f"topics/{name}")
    wait_until(lambda: configs(admin, name)["max.message.bytes"].is_default)


@pytest.mark.parametrize("payload", [b"", b"not json", b"{}", b'{"version":1,"partitions":{"x":"y"}}', b"[1,2,3]"])
def test_nonsense_written_by_hand_hurts_nobody(zk, admin, kafka_address, name, payload):
    zk.create(f"/brokers/topics/{name}", payload)
    zk.create(f"/config/topics/{name}", payload)
    notify(zk, f"topics/{name}")
    other = f"{name}-other"
    topics.create(kafka_address, other)
    assert topics.produce(kafka_address, other, [(None, b"still here")]) == [0]
    topic = listed(admin, name)
    assert topic is None or topic.error is not None or not topic.partitions
    zk.delete(f"/config/topics/{name}")
    zk.delete(f"/brokers/topics/{name}", recursive=True)


def test_a_topic_of_zookeeper_and_a_topic_of_kafka_are_the_same(zk, admin, name):
    zk.create(f"/brokers/topics/{name}", json.dumps({"version": 1, "partitions": {"0": [0]}}).encode())
    wait_until(lambda: listed(admin, name))
    with pytest.raises(KafkaException) as refused:
        admin.create_topics([NewTopic(name, 1, 1)])[name].result(WAIT)
    assert refused.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
