"""Writes a second on three nodes and on one, and a node that rejoins far behind the others."""

import statistics
import threading
import time

from harness.cluster import Cluster
from harness.waiting import wait_until
from reach.pipeline import Pipeline

SECONDS = 8.0
ROUNDS = 3
ZNODES = 1_000_000
# A node that comes back with an empty disk takes its place by itself.
SELF_JOINING = {"controller.quorum.auto.join.enable": "true"}
SERVING = ("follower", "observer")


def throughput(report):
    """The same client on one node and on three: at the leader, and one at each node."""
    with Cluster(1) as cluster:
        one = sustained([cluster.zk])
    with Cluster(3) as cluster:
        leader = sustained([cluster.address(cluster.wait_leader(), "zk")])
        each = sustained(cluster.zk.split(","))
    goal = report.goals["writes"]
    report.add("create of 100 B, 1000 in flight, one node", f"{one:.0f}/s", "")
    report.add("the same on three nodes, a client at the leader", f"{leader:.0f}/s, {100 * leader / one:.0f} % of one node", goal)
    report.add("the same on three nodes, a client at each", f"{each:.0f}/s, {100 * each / one:.0f} % of one node", goal)


def sustained(addresses):
    """Answered creates a second of one client for each address."""
    clients = [Pipeline(address, f"/sustained-{number}-{len(addresses)}") for number, address in enumerate(addresses)]
    rates = [0.0] * len(clients)

    def work(number):
        clients[number].run(seconds=1.0)
        rates[number] = clients[number].run(seconds=SECONDS)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    return sum(rates)


class Paced(threading.Thread):
    """Writes as fast as it can and counts by the tenth of a second."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.client = Pipeline(address, f"/paced-{time.monotonic_ns()}")
        self.ended = threading.Event()
        self.counts = []

    def run(self):
        while not self.ended.is_set():
            before, begun = self.client.answered, time.monotonic()
            self.client.run(seconds=0.1)
            self.counts.append((time.monotonic(), (self.client.answered - before) / (time.monotonic() - begun)))

    def rate(self, since, until):
        """Answered a second in a stretch of time."""
        rates = [rate for at, rate in self.counts if since < at <= until]
        return sum(rates) / max(len(rates), 1)

    def end(self):
        self.ended.set()
        self.join(30)
        self.client.close()


def rejoin(report, znodes=ZNODES):
    """A follower comes back while the others are far ahead: with its log, and with an emptied disk, so that it begins with a snapshot."""
    goal = report.goals["rejoin"]
    for name, emptied in (("with its log", False), ("with an emptied disk, from a snapshot", True)):
        rounds = [catch_up(znodes, emptied) for _ in range(ROUNDS)]
        took, before, during, after = (statistics.median(column) for column in zip(*rounds))
        of_two, of_three = (statistics.median(100 * one[2] / max(one[other], 1) for one in rounds) for other in (1, 3))
        longest = max(one[0] for one in rounds)
        report.add(
            f"a node rejoins {znodes} znodes behind, {name}: serves after", f"median {took:.1f} s, longest {longest:.1f} s of {ROUNDS}", goal)
        report.add(
            "writes a second at full speed with two nodes before, during, and with three nodes after that",
            f"median {before:.0f}/s, {during:.0f}/s, {after:.0f}/s (during: {of_two:.0f} % of what two do, {of_three:.0f} % of what three do)", goal)


def catch_up(znodes, emptied):
    """Seconds until a follower serves again, and the writes a second at full speed before, while and after it catches up."""
    with Cluster(3, settings=SELF_JOINING) as cluster:
        leader = cluster.wait_leader()
        away = next(number for number in cluster.ids if number != leader)
        cluster.terminate(away)
        if emptied:
            cluster.nodes[away].wipe()
        loader = Pipeline(cluster.address(leader, "zk"), "/many")
        loader.run(count=znodes)
        loader.close()
        writer = Paced(cluster.address(leader, "zk"))
        writer.start()
        time.sleep(6.0)
        begun = time.monotonic()
        before = writer.rate(begun - 5.0, begun)
        cluster.launch(away)
        wait_until(lambda: cluster.mode(away) in SERVING, 300, "the node to serve", every=0.05)
        caught_up = time.monotonic()
        during = writer.rate(begun, caught_up)
        # Long enough for the snapshot that it writes now to be a part of it and not all of it.
        time.sleep(10.0)
        after = writer.rate(caught_up, caught_up + 10.0)
        writer.end()
    return caught_up - begun, before, during, after
