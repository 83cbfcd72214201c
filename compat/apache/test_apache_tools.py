"""The command-line tools of Apache Kafka 4.3.1 against our server."""

import json
import re

import pytest

from harness import java, topics
from harness.waiting import wait_until

TOOLS = "org.apache.kafka.tools"


@pytest.fixture
def tool(kafka_address):
    """Runs a tool with the server's address; returns its standard output."""

    def run(main, *arguments, stdin="", check=True):
        return java.run(
            "kafka-4.3.1", main, "--bootstrap-server", kafka_address, *arguments, stdin=stdin, check=check, merge=not check
        ).stdout

    return run


def test_topic_command(tool, name):
    command = f"{TOOLS}.TopicCommand"
    created = tool(command, "--create", "--topic", name, "--partitions", 3, "--config", "retention.ms=77777")
    assert f"Created topic {name}." in created
    assert name in tool(command, "--list").splitlines()
    described = tool(command, "--describe", "--topic", name)
    assert re.search(rf"Topic: {name}\s+TopicId: \S{{22}}\s+PartitionCount: 3\s+ReplicationFactor: 1", described)
    assert "retention.ms=77777" in described
    assert len(re.findall(r"Partition: \d+\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+", described)) == 3
    assert "none" not in described.split("Configs:")[1].split("Partition")[0].lower()
    tool(command, "--alter", "--topic", name, "--partitions", 5)
    wait_until(lambda: "PartitionCount: 5" in tool(command, "--describe", "--topic", name), every=0.5)
    assert "already exists" in tool(command, "--create", "--topic", name, check=False)
    tool(command, "--delete", "--topic", name)
    wait_until(lambda: name not in tool(command, "--list").splitlines(), every=0.5)
    assert "does not exist" in tool(command, "--describe", "--topic", name, check=False)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_console_producer_and_consumer(tool, name, codec):
    lines = [f"key{number}:value {number}" for number in range(200)]
    tool(
        f"{TOOLS}.ConsoleProducer", "--topic", name, "--compression-codec", codec,
        "--reader-property", "parse.key=true", "--reader-property", "key.separator=:",
        stdin="\n".join([*lines, ""]),
    )
    received = tool(
        f"{TOOLS}.consumer.ConsoleConsumer", "--topic", name, "--from-beginning", "--max-messages", 200,
        "--formatter-property", "print.key=true", "--formatter-property", "key.separator=:",
        "--formatter-property", "print.offset=true", "--timeout-ms", 30000,
    )
    assert sorted(line.split(":", 2)[2] for line in received.splitlines()) == sorted(lines)
    assert all(re.match(r"Offset:\d+:key", line) for line in received.splitlines())


def test_consumer_group_command(tool, kafka_address, name):
    command = f"{TOOLS}.consumer.group.ConsumerGroupCommand"
    topics.create(kafka_address, name, partitions=2)
    for partition in range(2):
        topics.produce(kafka_address, name, [(None, b"x")] * 10, partition=partition)
    tool(
        f"{TOOLS}.consumer.ConsoleConsumer", "--topic", name, "--group", name, "--from-beginning",
        "--max-messages", 20, "--timeout-ms", 30000,
    )
    assert name in tool(command, "--list").splitlines()
    described = tool(command, "--describe", "--group", name)
    rows = [line.split() for line in described.splitlines() if line.startswith(name)]
    # Columns: group, topic, partition, current offset, log end offset, lag.
    assert sorted(row[2:6] for row in rows) == [["0", "10", "10", "0"], ["1", "10", "10", "0"]]
    reset = tool(command, "--group", name, "--topic", f"{name}:0", "--reset-offsets", "--to-offset", 3, "--execute")
    assert re.search(rf"{name}\s+{name}\s+0\s+3", reset)
    described = tool(command, "--describe", "--group", name, "--offsets")
    assert re.search(rf"{name}\s+0\s+3\s+10\s+7", described)
    states = tool(command, "--describe", "--group", name, "--state")
    assert "Empty" in states
    deleted = tool(command, "--delete-offsets", "--group", name, "--topic", name)
    assert "Successful" in deleted
    assert "was successful" in tool(command, "--delete", "--group", name)
    assert name not in tool(command, "--list").splitlines()


def test_config_command(tool, kafka_address, name):
    command = "kafka.admin.ConfigCommand"
    topics.create(kafka_address, name)
    entity = ["--entity-type", "topics", "--entity-name", name]
    assert "Completed" in tool(command, "--alter", *entity, "--add-config", "retention.ms=1234,cleanup.policy=[compact,delete]")
    wait_until(lambda: "retention.ms=1234" in tool(command, "--describe", *entity), every=0.5)
    described = tool(command, "--describe", *entity)
    assert "DYNAMIC_TOPIC_CONFIG:retention.ms=1234" in described
    assert "cleanup.policy=compact,delete" in described
    tool(command, "--alter", *entity, "--delete-config", "retention.ms")
    wait_until(lambda: "retention.ms=1234" not in tool(command, "--describe", *entity), every=0.5)
    everything = tool(command, "--describe", *entity, "--all")
    assert "DEFAULT_CONFIG:log.retention" in everything or "DEFAULT_CONFIG:" in everything
    assert len(re.findall(r"^  \S+=", everything, re.MULTILINE)) >= 25
    refused = tool(command, "--alter", *entity, "--add-config", "retention.ms=soon", check=False)
    assert "Invalid" in refused
    brokers = tool(command, "--describe", "--entity-type", "brokers", "--entity-name", 0, "--all")
    assert "num.partitions=" in brokers


def test_get_offset_shell(tool, kafka_address, name):
    command = f"{TOOLS}.GetOffsetShell"
    topics.create(kafka_address, name, partitions=2)
    topics.produce(kafka_address, name, [(None, b"x")] * 7, partition=1)
    assert tool(command, "--topic", name).split() == [f"{name}:0:0", f"{name}:1:7"]
    assert tool(command, "--topic", name, "--time", -2).split() == [f"{name}:0:0", f"{name}:1:0"]
    # A partition without records has no offset of the largest timestamp, and the tool leaves it out or says -1.
    assert f"{name}:1:" in tool(command, "--topic", name, "--time", "max-timestamp")


def test_producer_performance(kafka_address, name):
    topics.create(kafka_address, name, partitions=3)
    said = java.run(
        "kafka-4.3.1", f"{TOOLS}.ProducerPerformance", "--topic", name, "--num-records", 50_000, "--record-size", 100,
        "--throughput", -1, "--producer-props", f"bootstrap.servers={kafka_address}", "acks=all", "compression.type=lz4",
    ).stdout
    assert "50000 records sent" in said
    assert sum(len(topics.read_all(kafka_address, name, partition)) for partition in range(3)) == 50_000


def test_delete_records_and_log_dirs(tool, kafka_address, name, tmp_path):
    topics.create(kafka_address, name)
    topics.produce(kafka_address, name, [(None, b"x")] * 10)
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"version": 1, "partitions": [{"topic": name, "partition": 0, "offset": 6}]}))
    assert "low_watermark: 6" in tool(f"{TOOLS}.DeleteRecordsCommand", "--offset-json-file", request)
    said = tool(f"{TOOLS}.LogDirsCommand", "--describe", "--topic-list", name)
    report = json.loads(said.splitlines()[-1])
    (folder,) = [folder for broker in report["brokers"] for folder in broker["logDirs"] if folder["partitions"]]
    assert folder["error"] is None
    assert [partition["partition"] for partition in folder["partitions"]] == [f"{name}-0"]
    assert folder["partitions"][0]["size"] > 0


def test_api_versions(tool):
    said = tool(f"{TOOLS}.BrokerApiVersionsCommand")
    for api in ("Produce(0): ", "Fetch(1): ", "Metadata(3): ", "CreateTopics(19): ", "JoinGroup(11): "):
        assert api in said, said
    # The tool marks what the broker lacks; these are the APIs of this part.
    for api in ("Produce", "Fetch", "ListOffsets", "Metadata", "OffsetCommit", "JoinGroup", "DescribeConfigs", "CreateTopics"):
        assert re.search(rf"{api}\(\d+\): .*\[usable: \d+\]", said), api
