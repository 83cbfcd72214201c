"""kill -9 in the middle of a mixed load, again and again: what was acknowledged on either port is there, in order."""

import os
import random
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError

from harness import java, topics
from harness.feed import Feed, assert_same_tree, tree_of
from harness.waiting import wait_until

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "50"))
PLAIN, IDEMPOTENT = "crash-plain", "crash-idempotent"


class ZnodeWriter(threading.Thread):
    """Writes znodes until it is told to end; notes what was acknowledged, and what may or may not have happened."""

    def __init__(self, address, round_number):
        super().__init__(daemon=True)
        self.client = KazooClient(hosts=address, timeout=30)
        self.client.start(timeout=20)
        self.round = round_number
        self.ended = threading.Event()
        self.created = {}
        self.deleted = set()
        self.counter = -1
        self.in_doubt = set()

    def run(self):
        number = 0
        while not self.ended.is_set():
            path = f"/crash/r{self.round}-{number}"
            try:
                self.in_doubt = {path, f"{path}-twin", "/crash/counter"}
                self.client.create(path, str(number).encode())
                self.created[path] = str(number).encode()
                self.counter = max(self.counter, self.client.set("/crash/counter", b"x").version)
                transaction = self.client.transaction()
                transaction.create(f"{path}-twin", b"t")
                transaction.set_data(path, b"committed")
                transaction.commit()
                self.created[f"{path}-twin"] = b"t"
                self.created[path] = b"committed"
                if number % 3 == 0:
                    self.in_doubt = {path}
                    self.client.delete(path)
                    del self.created[path]
                    self.deleted.add(path)
            except (KazooException, KazooTimeoutError):
                return
            number += 1

    def end(self):
        """Stops without saying goodbye to a server that is gone."""
        self.ended.set()
        self.join(30)
        self.client.stop()
        self.client.close()


class RecordWriter:
    """A producer that outlives crashes; `acknowledged` holds (partition, offset, value) in the order of the answers."""

    def __init__(self, address, topic, **settings):
        self.topic = topic
        self.acknowledged = []
        self.sent = 0
        self.producer = Producer({
            "bootstrap.servers": address, "message.timeout.ms": 120_000, "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 20,
            "linger.ms": 1, **{key.replace("_", "."): value for key, value in settings.items()},
        })

    def _note(self, error, message):
        if error is None:
            self.acknowledged.append((message.partition(), message.offset(), message.value()))

    def send(self, count):
        """Queues some records."""
        for _ in range(count):
            self.producer.produce(self.topic, value=str(self.sent), partition=self.sent % 2, on_delivery=self._note)
            self.sent += 1
        self.producer.poll(0)


def records(address, topic):
    """Every record of both partitions as {(partition, offset): value}."""
    return {
        (partition, message.offset()): message.value()
        for partition in range(2)
        for message in topics.read_all(address, topic, partition)
    }


@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost(new_node):
    seed = int(os.environ.get("CRASH_SEED", str(int(time.time()))))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    node = new_node({"zookeeper.snapCount": "2000"}).start()
    topics.create(node.kafka, PLAIN, partitions=2, segment_ms=1000)
    topics.create(node.kafka, IDEMPOTENT, partitions=2)
    keeper = KazooClient(hosts=node.zk, timeout=40)
    keeper.start(timeout=20)
    keeper.create("/crash")
    keeper.create("/crash/counter")
    keeper.create("/crash/ephemeral", ephemeral=True)
    session = keeper.client_id[0]
    plain = RecordWriter(node.kafka, PLAIN, acks="all", retries=0)
    idempotent = RecordWriter(node.kafka, IDEMPOTENT, enable_idempotence=True)
    created, deleted, counter, committed = {}, set(), -1, -1

    for round_number in range(ROUNDS):
        writer = ZnodeWriter(node.zk, round_number)
        writer.start()
        deadline = time.monotonic() + chance.uniform(0.05, 0.4)
        group = Consumer({"bootstrap.servers": node.kafka, "group.id": "crash-group", "enable.auto.commit": False})
        while time.monotonic() < deadline:
            plain.send(20)
            idempotent.send(20)
            time.sleep(0.005)
        group.commit(offsets=[TopicPartition(PLAIN, 0, round_number)], asynchronous=False)
        committed = round_number
        node.kill()
        plain.producer.poll(0)
        idempotent.producer.poll(0)
        writer.ended.set()
        node.start()
        writer.end()
        group.close()
        created |= writer.created
        deleted |= writer.deleted
        counter = max(counter, writer.counter)

        wait_until(lambda: keeper.connected, timeout=40, what="the keeper's session")
        try:
            assert keeper.exists("/crash/ephemeral").ephemeralOwner == session == keeper.client_id[0]
        except SessionExpiredError:
            raise AssertionError("the session did not survive a restart within its timeout") from None
        for path, data in writer.created.items():
            if path not in writer.in_doubt:
                assert keeper.get(path)[0] == data, path
        for path in writer.deleted:
            assert keeper.exists(path) is None, path
        assert keeper.exists("/crash/counter").version >= counter
        created = {path: data for path, data in created.items() if path not in writer.in_doubt or keeper.exists(path)}
        for path in writer.in_doubt & created.keys():
            created[path] = keeper.get(path)[0]
        held = records(node.kafka, PLAIN)
        for partition, offset, value in plain.acknowledged[-400:]:
            assert held[partition, offset] == value, (partition, offset)

    assert plain.producer.flush(120) == 0
    assert idempotent.producer.flush(120) == 0
    tree = {path: data for path, (data, _) in tree_of(keeper, "/crash").items()}
    assert {path: tree.get(path) for path in created} == created
    assert not deleted & tree.keys()
    held = records(node.kafka, PLAIN)
    assert all(held[partition, offset] == value for partition, offset, value in plain.acknowledged)
    assert len(idempotent.acknowledged) == idempotent.sent
    for partition in range(2):
        values = [int(message.value()) for message in topics.read_all(node.kafka, IDEMPOTENT, partition)]
        assert values == list(range(partition, idempotent.sent, 2)), "an idempotent producer's records: each once, in order"
    group = Consumer({"bootstrap.servers": node.kafka, "group.id": "crash-group"})
    assert group.committed([TopicPartition(PLAIN, 0)], timeout=30)[0].offset == committed
    group.close()
    feed = Feed(node.kafka)
    assert_same_tree(feed.catch_up(), keeper)
    feed.close()
    print(
        f"{ROUNDS} crashes; acknowledged: {len(created) + len(deleted)} znodes, counter at {counter}, "
        f"{len(plain.acknowledged)} plain and {len(idempotent.acknowledged)} idempotent records"
    )
    assert counter > ROUNDS and len(plain.acknowledged) > 100 * ROUNDS, "too little load to prove anything"
    keeper.stop()
    keeper.close()
    assert node.stop() == 0
    every_index_agrees_with_its_log(node.data)


def every_index_agrees_with_its_log(data):
    """Apache's DumpLogSegments finds no fault in any file that holds something."""
    main = "org.apache.kafka.tools.DumpLogSegments"
    files = [file for file in sorted(Path(data).glob("*/*")) if file.stat().st_size > 0]
    indexes = [str(file) for file in files if file.suffix in (".index", ".timeindex")]
    logs = [str(file) for file in files if file.suffix == ".log"]
    assert logs and indexes
    said = java.run("kafka-4.3.1", main, "--verify-index-only", "--files", ",".join(indexes), merge=True).stdout
    assert "Mismatch" not in said and "not found" not in said and "Exception" not in said, said[-3000:]
    said = java.run("kafka-4.3.1", main, "--index-sanity-check", "--files", ",".join(indexes), merge=True).stdout
    assert said.count("passed sanity check") == len(indexes), said[-3000:]
    said = java.run("kafka-4.3.1", main, "--files", ",".join(logs), merge=True).stdout
    assert "isvalid: false" not in said and "Exception" not in said and "trailing" not in said.lower(), said[-3000:]
