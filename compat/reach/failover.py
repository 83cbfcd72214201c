"""How long clients wait when the node that leads everything goes: killed, or stopped cleanly."""

import json
import statistics
import threading
import time

from confluent_kafka import ElectionType, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaProducer
from kafka.errors import KafkaError
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError

from harness.cluster import Cluster
from harness.waiting import wait_until

TOPIC = "failover"
SETTLE_SECONDS = 1.0


class Successes:
    """When something succeeded."""

    def __init__(self):
        self.times = []
        self.ended = threading.Event()

    def gap(self, since):
        """The longest time between two successes from shortly before `since` on, in milliseconds."""
        times = [one for one in self.times if one > since - SETTLE_SECONDS / 2]
        return max(1000 * (later - earlier) for earlier, later in zip(times, times[1:]))


class ZnodeWriter(Successes):
    """kazoo with its default settings sets a znode again and again."""

    def __init__(self, hosts):
        super().__init__()
        self.client = KazooClient(hosts=hosts)
        self.client.start(timeout=30)
        self.client.ensure_path("/failover")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            try:
                self.client.set("/failover", b"")
                self.times.append(time.monotonic())
            except KazooException:
                pass
            time.sleep(0.001)

    def end(self):
        self.ended.set()
        self.thread.join(30)
        self.client.stop()
        self.client.close()


class PythonRecordWriter(Successes):
    """kafka-python with acks=all and otherwise its default settings sends a record, waits for its acknowledgement, and sends the next."""

    def __init__(self, bootstrap, partition):
        super().__init__()
        self.partition = partition
        self.producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            try:
                self.producer.send(TOPIC, b"x" * 100, partition=self.partition).get(30)
                self.times.append(time.monotonic())
            except KafkaError:
                pass

    def end(self):
        self.ended.set()
        self.thread.join(30)
        self.producer.close(10)


class RecordWriter(Successes):
    """librdkafka with its default settings (acks=all) sends a record, waits for its acknowledgement, and sends the next."""

    def __init__(self, bootstrap, partition):
        super().__init__()
        self.partition = partition
        self.producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        def answered(error, _):
            if error is None:
                self.times.append(time.monotonic())

        while not self.ended.is_set():
            self.producer.produce(TOPIC, b"x" * 100, partition=self.partition, on_delivery=answered)
            while len(self.producer) and not self.ended.is_set():
                self.producer.poll(0.05)

    def end(self):
        self.ended.set()
        self.thread.join(30)
        self.producer.flush(10)


def make_controller(cluster, zk, number):
    """Hands /controller on until `number` holds it."""
    def holds():
        try:
            if json.loads(zk.get("/controller")[0])["brokerid"] == number:
                return True
            zk.delete("/controller")
        except NoNodeError:
            pass
        return False

    wait_until(holds, 60, f"node {number} to be the controller", every=0.1)


def measure(name, end, rounds, report):
    """`rounds` times: the node that is leader, controller and partition leader ends by `end`; clients watch."""
    gaps = {
        "the ZooKeeper writer (kazoo)": [], "the acks=all producer (kafka-python)": [],
        # It asks for the new leader by timers of a second.
        "the acks=all producer (librdkafka)": [],
    }
    moves = []
    with Cluster(3) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.kafka, "log_level": 0})
        orders = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
        admin.create_topics([NewTopic(TOPIC, num_partitions=3, replica_assignment=orders, config={"min.insync.replicas": "2"})])[TOPIC].result(30)
        for _ in range(rounds):
            cluster.wait_in_sync([TOPIC])
            number = cluster.wait_leader()
            zk = KazooClient(hosts=cluster.zk)
            zk.start(timeout=30)
            make_controller(cluster, zk, number)
            state = f"/brokers/topics/{TOPIC}/partitions/{number - 1}/state"
            wait_until(lambda: json.loads(zk.get(state)[0])["leader"] == number, 60, "the preferred leader")
            zk.stop()
            zk.close()
            clients = dict(zip(gaps, (
                ZnodeWriter(cluster.zk), PythonRecordWriter(cluster.kafka, number - 1), RecordWriter(cluster.kafka, number - 1))))
            others = ",".join(cluster.address(other, "kafka") for other in cluster.ids if other != number)
            observer = AdminClient({"bootstrap.servers": others, "log_level": 0})
            observer.list_topics(timeout=10)
            time.sleep(SETTLE_SECONDS)
            struck = time.monotonic()
            ending = threading.Thread(target=end, args=(cluster, number))
            ending.start()
            wait_until(lambda: led_by(observer, number - 1) not in (number, -1), 30, "another leader", every=0.002)
            moves.append(1000 * (time.monotonic() - struck))
            ending.join()
            wait_until(
                lambda: all(client.times and client.times[-1] > struck + 0.5 for client in clients.values()), 30,
                "every client to go on")
            time.sleep(0.5)
            for kind, client in clients.items():
                gaps[kind].append(client.gap(struck))
                client.end()
            cluster.start_node(number)
            cluster.wait_whole()
            elect_preferred(admin)
    report.add(
        f"{name}: its partitions have other leaders after", f"median {statistics.median(moves):.0f} ms, longest {max(moves):.0f} ms", "")
    for kind, found in gaps.items():
        report.add(
            f"{name}: outage of {kind}",
            f"median {statistics.median(found):.0f} ms, longest {max(found):.0f} ms of {rounds}", report.goals[name])


def led_by(admin, partition):
    """Who leads a partition as the other nodes tell."""
    return admin.list_topics(timeout=5).topics[TOPIC].partitions[partition].leader


def elect_preferred(admin):
    """Gives every partition back to its first replica."""
    cluster = admin.list_topics(timeout=10).topics[TOPIC]
    partitions = [TopicPartition(TOPIC, partition) for partition in cluster.partitions]

    def elected():
        results = admin.elect_leaders(ElectionType.PREFERRED, partitions).result(30)
        return all(error is None or error.name() == "ELECTION_NOT_NEEDED" for error in results.values())

    wait_until(elected, 60, "the preferred leaders", every=0.2)


def run(report, rounds):
    """kill -9 and SIGTERM."""
    measure("kill -9 of the node that leads everything", lambda cluster, number: cluster.kill(number), rounds, report)
    measure("SIGTERM of the node that leads everything", lambda cluster, number: cluster.terminate(number), rounds, report)
