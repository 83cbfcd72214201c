"""The pytest fixtures of every suite."""

import random
import uuid

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from harness.cluster import Cluster
from harness.node import Node, from_environment
from harness.topics import nodes


def _needs(server, *doors):
    for door in doors:
        if getattr(server, door) is None:
            pytest.skip(f"the external server has no {door} address")
    return server


@pytest.fixture(scope="session")
def server():
    """A node for the whole session, a cluster of ZOOLOG_NODES, or the external one; tests on it use names of their own."""
    outside = from_environment()
    if outside:
        yield outside
        return
    with (Cluster(nodes()) if nodes() > 1 else Node()) as one:
        yield one


@pytest.fixture
def new_node():
    """Makes nodes that one test owns: call it with settings, then `start()` the result."""
    if from_environment() or nodes() > 1:
        pytest.skip("needs a single node that the test may stop")
    made = []

    def make(settings=None, **arguments):
        node = Node(settings, **arguments)
        made.append(node)
        return node

    yield make
    for node in made:
        node.close()


@pytest.fixture
def node(new_node):
    """A fresh running node that one test owns."""
    return new_node().start()


@pytest.fixture
def zk_address(server):
    """`host:port` of the ZooKeeper door; of each node's, with commas, if there are several."""
    return _needs(server, "zk").zk


@pytest.fixture
def zk_door(zk_address):
    """`host:port` of one node's ZooKeeper door, any of them."""
    return random.choice(zk_address.split(","))


@pytest.fixture
def kafka_address(server):
    """`host:port` of the Kafka door; of each node's, with commas, if there are several."""
    return _needs(server, "kafka").kafka


@pytest.fixture
def zk_client(zk_door):
    """Makes started kazoo clients on the session's server; all are closed at the end.

    Of a cluster, all clients of a test are on one node: another one may be a little behind, as in ZooKeeper.
    """
    clients = []

    def make(**options):
        client = KazooClient(hosts=options.pop("hosts", zk_door), timeout=options.pop("timeout", 10), **options)
        clients.append(client)
        client.start(timeout=20)
        return client

    yield make
    for client in clients:
        client.stop()
        client.close()


@pytest.fixture
def zk(zk_client):
    """A started kazoo client."""
    return zk_client()


@pytest.fixture
def base(zk):
    """A fresh znode below which one test works; removed at the end."""
    path = f"/test-{uuid.uuid4().hex[:12]}"
    zk.create(path)
    yield path
    if zk.connected:
        try:
            zk.delete(path, recursive=True)
        except NoAuthError:
            # A test of ACLs took the right away; the znodes have names that nothing else uses.
            pass


@pytest.fixture
def name():
    """A name that no other test uses, for topics and groups."""
    return f"t-{uuid.uuid4().hex[:12]}"
