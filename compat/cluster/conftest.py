"""Fixtures of the suite: three nodes for all tests, which leave them whole."""

import json

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from harness import java
from harness.cluster import Cluster
from harness.node import from_environment
from harness.waiting import wait_until

TOOLS = "org.apache.kafka.tools"


@pytest.fixture(scope="session")
def cluster():
    """Three nodes, every one a voter."""
    if from_environment():
        pytest.skip("the suite starts its own nodes")
    # Followers that are gone leave the in-sync replicas within seconds.
    with Cluster(3, {"replica.lag.time.max.ms": "3000", "zookeeper.session.timeout.ms": "4000"}) as three:
        yield three


@pytest.fixture(scope="session")
def server(cluster):
    """What the harness's own fixtures connect to."""
    return cluster


@pytest.fixture
def zk_door(zk_address):
    """All nodes: these tests kill some, and a client that knows only one would wait for it for ever."""
    return zk_address


@pytest.fixture
def admin(cluster):
    """A client of the brokers' APIs."""
    return AdminClient({"bootstrap.servers": cluster.kafka})


@pytest.fixture
def tool(cluster):
    """Runs one of Apache's tools with the cluster's address; returns what it printed."""

    def run(name, *arguments, check=True):
        return java.run(
            "kafka-4.3.1", f"{TOOLS}.{name}", "--bootstrap-server", cluster.kafka, *arguments, check=check, merge=True).stdout

    return run


@pytest.fixture
def placed(admin, name):
    """Makes a topic whose replicas are where the test says: a list of brokers for each partition."""

    def make(*assignment, **configs):
        settings = {key.replace("_", "."): str(value) for key, value in configs.items()}
        admin.create_topics([NewTopic(name, num_partitions=len(assignment), replica_assignment=list(assignment), config=settings)])[name].result(30)
        wait_until(lambda: name in admin.list_topics(timeout=10).topics, what=f"topic {name}")
        return name

    return make


@pytest.fixture
def state(zk):
    """What a partition's state znode says."""

    def read(topic, partition=0):
        # The node that this client is connected to may be the one that the test kills, and the next one a little behind.
        zk.retry(zk.sync, "/")
        return json.loads(zk.retry(zk.get, f"/brokers/topics/{topic}/partitions/{partition}/state")[0])

    return read
