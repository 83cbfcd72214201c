"""Apache's own servers on free ports, so that a suite can be checked against what it must agree with.

`python -m harness.peers zookeeper-3.9.5 kafka-4.3.1` starts them, prints their addresses as shell assignments for the
suites, and stops them at SIGINT, SIGTERM or the end of the standard input.
"""

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from harness import java
from harness.waiting import wait_until

START_SECONDS = 90.0


def free_ports(count):
    """Ports that were free a moment ago; Apache's servers don't print the port that they take themselves."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Peer:
    """One JVM with its folder."""

    def __init__(self, name):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.log = self.folder / "out.txt"
        self.process = None

    def spawn(self, line, port):
        """Starts the JVM and waits until it listens on `port`."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

        def listening():
            if self.process.poll() is not None:
                raise AssertionError(f"the peer ended:\n{self.log.read_text()[-4000:]}")
            return _accepts(port)

        wait_until(listening, START_SECONDS, f"{self.folder.name} to listen")

    def write(self, name, settings):
        """Writes a properties file into the peer's folder."""
        path = self.folder / name
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path

    def close(self):
        """Ends the JVM and removes its folder."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Zookeeper(Peer):
    """Apache ZooKeeper 3.9.5, standalone."""

    def __init__(self):
        super().__init__("zookeeper")
        (port,) = free_ports(1)
        config = self.write("zoo.cfg", {
            "tickTime": 2000,
            "dataDir": self.folder / "data",
            "clientPort": port,
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "*",
            "extendedTypesEnabled": "true",
            "enforceQuota": "true",
            "znode.container.checkIntervalMs": 1000,
            "DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
        })
        self.zk = f"127.0.0.1:{port}"
        options = ["-Dzookeeper.extendedTypesEnabled=true", "-Dznode.container.checkIntervalMs=1000"]
        main = "org.apache.zookeeper.server.ZooKeeperServerMain"
        self.spawn(java.command("zookeeper-3.9.5", main, config, options=options), port)


class Kafka(Peer):
    """Apache Kafka 4.3.1, one node that is broker and controller."""

    def __init__(self):
        super().__init__("kafka")
        port, controller = free_ports(2)
        config = self.write("server.properties", {
            "process.roles": "broker,controller",
            "node.id": 0,
            "controller.quorum.voters": f"0@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            **SINGLE_NODE,
        })
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        java.run("kafka-4.3.1", "kafka.tools.StorageTool", "format", "-t", cluster, "-c", config)
        self.kafka = f"127.0.0.1:{port}"
        self.spawn(java.command("kafka-4.3.1", "kafka.Kafka", config, options=["-Xmx768m"]), port)


class KafkaOnZookeeper(Peer):
    """Apache Kafka 3.9.1 in ZooKeeper mode, on a ZooKeeper 3.9.5 of its own: the layout that ours must have."""

    def __init__(self):
        super().__init__("kafka39")
        self.zookeeper = Zookeeper()
        self.zk = self.zookeeper.zk
        (port,) = free_ports(1)
        config = self.write("server.properties", {
            "broker.id": 0,
            "zookeeper.connect": self.zk,
            "listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "log.dirs": self.folder / "data",
            **SINGLE_NODE,
        })
        self.kafka = f"127.0.0.1:{port}"
        self.spawn(java.command("kafka-3.9.1", "kafka.Kafka", config, options=["-Xmx768m"]), port)

    def close(self):
        super().close()
        self.zookeeper.close()


SINGLE_NODE = {
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "num.partitions": 4,
}

KINDS = {"zookeeper-3.9.5": Zookeeper, "kafka-4.3.1": Kafka, "kafka-3.9.1": KafkaOnZookeeper}


def main(names):
    """Runs the named peers until the standard input ends."""
    peers = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        for name in names:
            peers.append(KINDS[name]())
        for peer in peers:
            for door in ("zk", "kafka"):
                if getattr(peer, door, None):
                    print(f"export ZOOLOG_{door.upper()}={getattr(peer, door)}", flush=True)
        print(f"# process {os.getpid()} ends with its standard input", flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        pass
    finally:
        for peer in peers:
            peer.close()


if __name__ == "__main__":
    main(sys.argv[1:] or ["zookeeper-3.9.5", "kafka-4.3.1"])
