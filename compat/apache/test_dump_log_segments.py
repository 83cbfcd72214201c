"""Apache's DumpLogSegments reads our files without a complaint: batches, indexes, leader epochs, offsets of groups."""

import os
import re
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from harness import java, topics
from harness.waiting import wait_until

MAIN = "org.apache.kafka.tools.DumpLogSegments"

# What the tool prints when a file is not as it should be.
COMPLAINTS = re.compile(
    r"mismatch|non-consecutive|non-secutive|isvalid: false|not found|corrupt|error|exception|below|unexpected",
    re.IGNORECASE,
)

# It says of every segment but a partition's first that its first offset does not follow -1; that is no complaint.
FIRST_OFFSET = re.compile(r"^Non-consecutive offsets in \S+\n  -1 is followed by \d+$", re.MULTILINE)


def dump(files, *options):
    """Dumps the files in one JVM; fails on any complaint."""
    listed = ",".join(str(file) for file in files)
    done = java.run("kafka-4.3.1", MAIN, "--files", listed, *options)
    said = done.stdout + "\n".join(line for line in done.stderr.splitlines() if not line.startswith("SLF4J"))
    said = FIRST_OFFSET.sub("", said)
    complaints = [line for line in said.splitlines() if COMPLAINTS.search(line.replace(listed, ""))]
    assert not complaints, complaints[:10]
    return said


@pytest.fixture
def data(server):
    """The server's data folder."""
    folder = os.environ.get("ZOOLOG_DATA") if server.external else server.data
    if not folder:
        pytest.skip("the files of the external server are not known (ZOOLOG_DATA)")
    return Path(folder)


def files(data, partition, *kinds):
    """The files of one partition with these endings."""
    return sorted(file for kind in kinds for file in (data / partition).glob(f"*{kind}"))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_of_a_topic(kafka_address, data, name, codec):
    topics.create(kafka_address, name, segment_ms=100_000, index_interval_bytes=100)
    records = [(f"key-{number}".encode(), f"value-{number}".encode() * 10) for number in range(3000)]
    topics.produce(kafka_address, name, records, compression_type=codec, batch_num_messages=100)
    folder = data / f"{name}-0"
    assert (folder / "partition.metadata").exists()
    logs = files(data, f"{name}-0", ".log")
    said = dump(logs, "--deep-iteration", "--print-data-log")
    keys = re.findall(r"offset: (\d+) .*key: key-(\d+)", said)
    assert [(int(offset), int(key)) for offset, key in keys] == [(number, number) for number in range(3000)]
    assert len(re.findall(r"isvalid: true", said)) >= 10


def test_indexes_of_a_stopped_node(new_node):
    node = new_node().start()
    topics.create(node.kafka, "indexed", index_interval_bytes=100)
    records = [(b"key", b"x" * 100) for _ in range(3000)]
    topics.produce(node.kafka, "indexed", records, batch_num_messages=100)
    assert node.stop() == 0
    indexes = [file for file in files(node.data, "indexed-0", ".index", ".timeindex") if file.stat().st_size > 0]
    assert len(indexes) == 2
    dump(indexes, "--verify-index-only")
    assert dump(indexes, "--index-sanity-check").count("passed sanity check") == 2
    entries = [int(offset) for offset in re.findall(r"^offset: (\d+) position: \d+", dump(indexes[:1]), re.MULTILINE)]
    assert len(entries) > 5 and entries == sorted(set(entries))


def test_segments_that_were_rolled(server, kafka_address, data, name):
    topics.create(kafka_address, name, segment_ms=300, index_interval_bytes=100)
    def rolled():
        topics.produce(kafka_address, name, [(b"k", b"x" * 200)] * 50)
        return len(files(data, f"{name}-0", ".log")) >= 3

    wait_until(rolled, every=0.2, what="three segments")
    logs = files(data, f"{name}-0", ".log")
    assert all(len(file.stem) == 20 and file.stem.isdigit() for file in logs)
    dump(logs, "--deep-iteration")
    indexes = files(data, f"{name}-0", ".index", ".timeindex")
    # Kafka's own active segment fails here, with the zeros of its preallocated index.
    closed = [file for file in indexes if file.stem != logs[-1].stem]
    dump(closed if server.external else indexes, "--verify-index-only")
    assert dump(closed, "--index-sanity-check").count("passed sanity check") == len(closed)


def test_the_znode_log_of_a_stopped_node(new_node, zk_client):
    node = new_node().start()
    zk = zk_client(hosts=node.zk)
    for number in range(100):
        zk.create(f"/n{number}", b"x" * 100)
    transaction = zk.transaction()
    for number in range(100):
        transaction.delete(f"/n{number}")
    transaction.commit()
    zk.stop()
    # A running node's last segment ends with the zeros that are written ahead.
    assert node.stop() == 0
    logs = files(node.data, "__znodes-0", ".log")
    said = dump(logs, "--deep-iteration", "--print-data-log")
    assert "key: /n99" in said
    batches = [int(count) for count in re.findall(r"^baseOffset: \d+ lastOffset: \d+ count: (\d+)", said, re.MULTILINE)]
    assert 100 in batches
    indexes = files(node.data, "__znodes-0", ".index", ".timeindex")
    dump(indexes, "--verify-index-only")


def test_the_offsets_of_groups(kafka_address, data, name):
    topics.create(kafka_address, name)
    consumer = Consumer({"bootstrap.servers": kafka_address, "group.id": name, "enable.auto.commit": False})
    try:
        consumer.commit(offsets=[TopicPartition(name, 0, 41, "note")], asynchronous=False)
    finally:
        consumer.close()
    logs = [file for folder in sorted(data.glob("__consumer_offsets-*")) for file in sorted(folder.glob("*.log"))]
    logs = [file for file in logs if file.stat().st_size > 0]
    said = dump(logs, "--offsets-decoder")
    keys = re.findall(rf'"group":"{name}","topic":"{name}","partition":0', said)
    assert keys, said[-2000:]
    (record,) = [line for line in said.splitlines() if f'"group":"{name}"' in line and '"type":"1"' in line]
    assert '"offset":41' in record and '"metadata":"note' in record


def test_the_state_of_idempotent_producers(kafka_address, data, name):
    topics.create(kafka_address, name, segment_ms=300)
    def snapshots():
        topics.produce(kafka_address, name, [(None, b"x")] * 10, enable_idempotence=True)
        return [file for file in files(data, f"{name}-0", ".snapshot") if file.stem.isdigit()]

    found = wait_until(snapshots, every=0.2, what="a snapshot of the producers")
    said = dump(found)
    assert "producerId:" in said and "lastSequence:" in said
