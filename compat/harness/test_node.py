"""The node's handle: ports from the output, the same ports again, clean stops, and failures that say why."""

import sys

import pytest

from harness.node import Node, NodeError

# Takes the ports that it is told, or free ones, prints them as the server does, and ends at SIGTERM.
SERVER = """
import signal, socket, sys, time
settings = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
def listen(port):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", int(port)))
    one.listen()
    return one
zk = listen(settings["clientPort"])
kafka = listen(settings["listeners"].rsplit(":", 1)[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(settings.get("exit", "0"))))
print("zookeeper listening on 127.0.0.1:%d" % zk.getsockname()[1], flush=True)
print("kafka listening on 127.0.0.1:%d" % kafka.getsockname()[1], flush=True)
if settings.get("fail"):
    sys.exit("cannot go on: " + settings["fail"])
print("ready", flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture
def make(tmp_path):
    """Makes nodes that run the stand-in."""
    script = tmp_path / "server"
    script.write_text(f"#!{sys.executable}\n{SERVER}")
    script.chmod(0o755)
    nodes = []

    def node(**settings):
        one = Node(settings, binary=script)
        nodes.append(one)
        return one

    yield node
    for one in nodes:
        one.close()


def test_a_node_takes_free_ports_and_keeps_them(make):
    node = make().start()
    zk, kafka = node.zk, node.kafka
    assert zk != kafka and node.alive()
    assert node.resident_bytes() > 0 and node.open_files() > 2
    node.restart()
    assert (node.zk, node.kafka) == (zk, kafka)
    assert node.kill() == -9 and not node.alive()
    node.start()
    assert (node.zk, node.kafka) == (zk, kafka)
    assert node.stop() == 0


def test_a_bad_end_is_told(make):
    node = make(exit="3").start()
    with pytest.raises(NodeError, match="ended with 3"):
        node.restart()


def test_a_failed_start_says_what_the_process_said(make):
    with pytest.raises(NodeError, match="cannot go on: no disk"):
        make(fail="no disk").start()


def test_the_folder_goes_with_the_node(make):
    node = make().start()
    assert node.folder.is_dir()
    node.close()
    assert not node.folder.exists()
