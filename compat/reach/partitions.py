"""A thousand topics of ten partitions with three copies: creation, idle costs, and the loss of a node."""

import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from harness.cluster import Cluster
from harness.waiting import wait_until

TOPICS, PARTITIONS, BATCH = 1000, 10, 50
IDLE_SECONDS = 20.0


def run(report, topics=TOPICS):
    """Prints what it costs to have them, and how long their leaderships take to move."""
    with Cluster(3) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.kafka, "socket.timeout.ms": 120_000})
        begun = time.monotonic()
        for first in range(0, topics, BATCH):
            made = admin.create_topics(
                [NewTopic(f"reach-{number:04d}", PARTITIONS, 3) for number in range(first, min(first + BATCH, topics))],
                request_timeout=120, operation_timeout=60)
            for done in made.values():
                done.result(120)
        created = time.monotonic() - begun
        cluster.wait_in_sync(timeout=300)
        total = topics * PARTITIONS
        report.add(f"{topics} topics x {PARTITIONS} partitions x 3: created", f"{created:.1f} s", "")
        idle(cluster, report)
        leader = cluster.wait_leader()
        victim = next(number for number in cluster.ids if number != leader)
        moved(cluster, victim, f"{total} partitions, a node is killed -9", report)
        cluster.start_node(victim, timeout=120)
        cluster.wait_in_sync(timeout=300)
        moved(cluster, cluster.wait_leader(), f"{total} partitions, the quorum's leader is killed -9", report)


def idle(cluster, report):
    """Processor time and memory of nodes that nobody asks for anything."""
    time.sleep(5.0)
    before = {number: node.cpu_seconds() for number, node in cluster.nodes.items()}
    begun = time.monotonic()
    time.sleep(IDLE_SECONDS)
    took = time.monotonic() - begun
    shares = [100 * (node.cpu_seconds() - before[number]) / took for number, node in cluster.nodes.items()]
    report.add("idle processor time of each node", ", ".join(f"{share:.1f} %" for share in shares) + " of a core", report.goals["idle"])
    memory = [node.resident_bytes() / (1 << 20) for node in cluster.nodes.values()]
    report.add("idle memory (RSS) of each node", ", ".join(f"{size:.0f} MiB" for size in memory), "")


def moved(cluster, victim, name, report):
    """Kills a node and waits until nothing is led by it, as a client sees it."""
    others = ",".join(cluster.address(number, "kafka") for number in cluster.ids if number != victim)
    admin = AdminClient({"bootstrap.servers": others, "log_level": 0})
    led = sum(
        partition.leader == victim for topic in admin.list_topics(timeout=60).topics.values() for partition in topic.partitions.values())
    begun = time.monotonic()
    cluster.kill(victim)

    def gone():
        try:
            known = admin.list_topics(timeout=5).topics.values()
        except KafkaException:
            return False
        return all(partition.leader not in (victim, -1) for topic in known for partition in topic.partitions.values())

    wait_until(gone, 300, "the leaderships to move", every=0.01)
    report.add(f"{name}: its {led} leaderships have moved after", f"{time.monotonic() - begun:.2f} s", report.goals["move"])
