"""kazoo's own suite, which lies in its wheel, against our server in the place of Apache's."""

import os
from pathlib import Path

import pytest

from harness import upstream
from harness.node import from_environment
from harness.paths import server_binary
from harness.ports import block
from harness.topics import nodes

HERE = Path(__file__).resolve().parent


@pytest.mark.timeout(1500)
def test_the_suite_of_kazoo():
    if from_environment():
        pytest.skip("the suite starts its own server")
    upstream.run(HERE, ["--pyargs", "kazoo.tests"], {
        "PATH": f"{HERE}{os.pathsep}{os.environ['PATH']}",
        "ZOOLOG_BIN": str(server_binary()),
        "ZOOKEEPER_CLASSPATH": "not-used",
        "ZOOKEEPER_VERSION": "3.9.5",
        "ZOOKEEPER_CLUSTER_SIZE": str(nodes()),
        # Each server takes five neighbouring ports, ten further on than the one before it.
        "ZOOKEEPER_PORT_OFFSET": str(block(10 * nodes() - 5)),
        "CI": "true",
    }, ledger="allowed.txt" if nodes() == 1 else "allowed-cluster.txt")
