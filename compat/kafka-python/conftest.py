"""The server of this suite: its address is configured, as one of the outside tests expects, not found."""

import pytest

from harness.cluster import Cluster
from harness.node import Node, from_environment
from harness.ports import block
from harness.topics import nodes


@pytest.fixture(scope="session")
def server():
    """A node whose listeners have a port of their own and are advertised by name."""
    outside = from_environment()
    if outside:
        yield outside
        return
    if nodes() > 1:
        # A cluster's listeners are configured by their nature.
        with Cluster(nodes()) as cluster:
            yield cluster
        return
    listener = f"PLAINTEXT://127.0.0.1:{block(1)}"
    with Node({"listeners": listener, "advertised.listeners": listener}) as node:
        yield node
