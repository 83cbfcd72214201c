"""Fixtures of the fault tests: one node for all of them, and good clients that must be served meanwhile."""

import resource

import pytest
from confluent_kafka import Consumer, Producer
from kazoo.client import KazooClient

from harness.node import Node, from_environment
from harness.topics import create


@pytest.fixture(scope="session")
def server():
    """A node without a limit on connections from one address."""
    outside = from_environment()
    if outside:
        yield outside
        return
    # Connections come faster here than a backlog of 50 (the default) can hold.
    with Node({"maxClientCnxns": "0", "socket.listen.backlog.size": "1024"}) as node:
        yield node


@pytest.fixture(scope="session", autouse=True)
def many_files():
    """Lets this process hold as many connections as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def zookeeper_serves(server):
    """Call it to see that a well-behaved ZooKeeper client is served."""
    if server.zk is None:
        pytest.skip("no zk address")
    client = KazooClient(hosts=server.zk, timeout=10)
    client.start(timeout=20)
    client.ensure_path("/good")
    session = client.client_id[0]

    def check():
        client.set("/good", b"still here")
        assert client.get("/good")[0] == b"still here"
        assert client.client_id[0] == session, "the good client lost its session"

    yield check
    client.stop()
    client.close()


@pytest.fixture
def kafka_serves(server, name):
    """Call it to see that a well-behaved producer and consumer are served."""
    if server.kafka is None:
        pytest.skip("no kafka address")
    create(server.kafka, name)
    producer = Producer({"bootstrap.servers": server.kafka, "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": name})

    def check():
        failures = []
        producer.produce(name, b"still here", partition=0, on_delivery=lambda error, _: error and failures.append(error))
        assert producer.flush(20) == 0 and not failures
        assert name in consumer.list_topics(timeout=20).topics

    yield check
    consumer.close()


class Memory:
    """Watches the resident memory of the node under test; an external one cannot be watched."""

    def __init__(self, server):
        self.server = server
        self.before = self.now()

    def now(self):
        return 0 if self.server.external else self.server.resident_bytes()

    def grew_less_than(self, mebibytes):
        """Asserts that the process did not grow by more."""
        grown = (self.now() - self.before) / 2**20
        assert grown < mebibytes, f"the process grew by {grown:.0f} MiB"


@pytest.fixture
def memory(server):
    return Memory(server)
