"""Several nodes that form one cluster, each with its own folder, on ports that are known before they start."""

import shutil
import signal
import tempfile
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from harness import ports, raw
from harness.node import Node
from harness.proxy import CLIENT, Proxy
from harness.waiting import wait_until

START_SECONDS = 60.0

# Every copy of everything counts in a cluster of tests.
REPLICATED = {
    "default.replication.factor": "3",
    "offsets.topic.replication.factor": "3",
    "min.insync.replicas": "2",
}


class Cluster:
    """`count` nodes with the ids 1 to `count`, all of them voters. `zk` and `kafka` are lists of `host:port` with commas.

    With `proxied`, nodes and clients reach each node through doors of a [`Proxy`], which can cut any direction.
    """

    external = False

    def __init__(self, count=3, settings=None, proxied=False, folder=None, binary=None, replicated=True):
        self.owns_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="zoolog-cluster-"))
        self.ids = list(range(1, count + 1))
        first = ports.block(4 * count)
        taken = iter(range(first, first + 4 * count))
        self.proxy = Proxy(self.processes) if proxied else None
        self.nodes = {}
        self.doors = {}
        for number in self.ids:
            node = Node(folder=self.folder / f"node{number}", binary=binary)
            node.zk, node.kafka = (f"127.0.0.1:{next(taken)}" for _ in range(2))
            self.nodes[number] = node
            doors = {"zk": node.zk, "kafka": node.kafka}
            if proxied:
                for kind in doors:
                    port = next(taken)
                    self.proxy.add(number, doors[kind], port)
                    doors[kind] = f"127.0.0.1:{port}"
            self.doors[number] = doors
        for number, node in self.nodes.items():
            if count > 1:
                # A node listens where its own entry says; the others reach it at its door.
                addresses = {other: self.doors[other]["kafka"] for other in self.ids} | {number: node.kafka}
                node.settings["controller.quorum.voters"] = ",".join(f"{one}@{addresses[one]}" for one in self.ids)
            node.settings["node.id"] = number
            node.settings["advertised.listeners"] = f"PLAINTEXT://{self.doors[number]['kafka']}"
            if replicated and count > 2:
                node.settings.update(REPLICATED)
            node.settings.update(settings or {})

    def processes(self):
        """{process id: node id} of the nodes that run."""
        running = {}
        for number, node in list(self.nodes.items()):
            process = node.process
            if process is not None and process.poll() is None:
                running[process.pid] = number
        return running

    def address(self, number, kind):
        """Where clients reach a node: `kind` is `zk` or `kafka`."""
        return self.doors[number][kind]

    @property
    def zk(self):
        """The connect string of ZooKeeper clients."""
        return ",".join(self.address(number, "zk") for number in self.ids)

    @property
    def kafka(self):
        """The bootstrap servers of Kafka clients."""
        return ",".join(self.address(number, "kafka") for number in self.ids)

    @property
    def data(self):
        """The data folder of one node, which has a copy of everything if everything has as many copies as there are nodes."""
        return self.nodes[self.ids[0]].data

    def start(self, timeout=START_SECONDS):
        """Starts every node and waits until all serve."""
        for number in self.ids:
            self.launch(number)
        for number in self.ids:
            self.nodes[number].wait_ready(timeout)
        self.wait_whole(timeout)
        return self

    def launch(self, number):
        """Starts one node without waiting for it."""
        if self.proxy:
            self.proxy.open(number)
        self.nodes[number].launch()

    def start_node(self, number, timeout=START_SECONDS):
        """Starts one node and waits until it serves."""
        self.launch(number)
        self.nodes[number].wait_ready(timeout)

    def kill(self, number):
        """SIGKILL."""
        self.nodes[number].kill()
        if self.proxy:
            self.proxy.shut(number)

    def terminate(self, number):
        """SIGTERM; returns the exit code."""
        code = self.nodes[number].stop()
        if self.proxy:
            self.proxy.shut(number)
        return code

    def mode(self, number):
        """What `srvr` of a node says it is, asked behind the proxy: leader, follower, observer, standalone, or None."""
        try:
            said = raw.four_letters(self.nodes[number].zk, "srvr", timeout=5.0)
        except OSError:
            return None
        modes = [line.split()[1] for line in said.splitlines() if line.startswith("Mode: ")]
        return modes[0] if modes else None

    def leader(self):
        """The node that leads the quorum as of now, or None."""
        alone = {"standalone"} if len(self.ids) == 1 else set()
        leaders = [
            number for number in self.ids
            if self.nodes[number].alive() and self.mode(number) in {"leader"} | alone
        ]
        return leaders[0] if len(leaders) == 1 else None

    def wait_leader(self, timeout=START_SECONDS):
        """Waits until exactly one node says that it leads; returns it."""
        return wait_until(self.leader, timeout, "one leader", every=0.1)

    def wait_whole(self, timeout=START_SECONDS):
        """Waits until one node leads and all others are voters that follow it."""
        if len(self.ids) == 1:
            return

        def whole():
            return sorted(str(self.mode(number)) for number in self.ids) == ["follower"] * (len(self.ids) - 1) + ["leader"]

        wait_until(whole, timeout, "a leader and its followers", every=0.1)

    def wait_in_sync(self, names=None, timeout=START_SECONDS):
        """Waits until every partition (of the topics `names`) has a leader and all of its replicas in sync."""
        admin = AdminClient({"bootstrap.servers": self.kafka, "socket.timeout.ms": 5000, "log_level": 0})
        left = ["not asked yet"]

        def in_sync():
            try:
                known = admin.list_topics(timeout=5)
            except KafkaException as error:
                left[:] = [error]
                return False
            chosen = [topic for name, topic in known.topics.items() if names is None or name in names]
            left[:] = [
                (topic.topic, number, partition.leader, partition.replicas, partition.isrs)
                for topic in chosen for number, partition in topic.partitions.items()
                if partition.leader < 0 or sorted(partition.isrs) != sorted(partition.replicas)
            ]
            if len(known.brokers) != len(self.ids):
                left.append(("brokers", sorted(known.brokers)))
            return not left and (names is None or len(chosen) == len(names))

        try:
            wait_until(in_sync, timeout, every=0.1)
        except AssertionError:
            raise AssertionError(f"not in sync after {timeout} s: {left[:5]} and {max(len(left) - 5, 0)} more") from None

    def cut(self, *directions):
        """Holds everything that goes one way, for each (source, target); `CLIENT` is any client."""
        self.proxy.set_rules(directions)

    def isolate(self, number, incoming=True, outgoing=True, clients=True):
        """Cuts a node off from the other nodes, and from its clients unless told otherwise."""
        others = [other for other in self.ids if other != number] + ([CLIENT] if clients else [])
        rules = [(other, number) for other in others if incoming]
        rules += [(number, other) for other in others if outgoing]
        self.cut(*rules)

    def heal(self):
        """Ends every cut and every pause."""
        if self.proxy:
            self.proxy.heal()
        for node in self.nodes.values():
            if node.alive():
                node.process.send_signal(signal.SIGCONT)

    def said(self):
        """What the nodes printed, for messages of failed tests."""
        return "\n\n".join(f"node {number}:\n{node.said()}" for number, node in self.nodes.items())

    def close(self):
        """Ends every node and removes the folder if this object made it."""
        for node in self.nodes.values():
            node.close()
        if self.proxy:
            self.proxy.close()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            said = self.said()
            self.close()
            print(said)
            raise

    def __exit__(self, *_):
        self.close()
