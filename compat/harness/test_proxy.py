"""The proxy: it tells nodes from clients, holds one direction or both, and delivers late what it held."""

import socket
import subprocess
import sys
import threading

import pytest

from harness import ports
from harness.proxy import CLIENT, Proxy
from harness.waiting import wait_until

# Connects to the port that it is told, and copies between that connection and its own streams.
CALLER = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for line in sys.stdin:
    connection.sendall(line.encode())
    print(connection.recv(100).decode(), end="", flush=True)
"""


class Echo:
    """A server that sends back what it gets, and keeps it."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listening.getsockname()[1]
        self.got = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            while data := connection.recv(100):
                self.got.append(data)
                connection.sendall(data)


@pytest.fixture
def scene():
    """An echo server as node 1 behind a door, and a proxy that takes the processes in `nodes` for nodes."""
    echo, nodes, port = Echo(), {}, ports.block(1)
    proxy = Proxy(lambda: dict(nodes))
    proxy.add(1, echo.address, port)
    proxy.open(1)
    yield echo, nodes, proxy, port
    proxy.close()
    echo.listening.close()


def client(port):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(20)
    return connection


def silent(connection):
    """True if nothing has come. The echo is quick, so a wait that ends early could only hide a failure."""
    connection.settimeout(0.3)
    try:
        return not connection.recv(100)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(20)


def test_what_a_client_sends_and_gets(scene):
    echo, _, proxy, port = scene
    with client(port) as connection:
        connection.sendall(b"a")
        assert connection.recv(100) == b"a"
        proxy.set_rules({(CLIENT, 1)})
        connection.sendall(b"b")
        assert silent(connection) and echo.got == [b"a"]
        proxy.heal()
        assert connection.recv(100) == b"b"
        proxy.set_rules({(1, CLIENT)})
        connection.sendall(b"c")
        wait_until(lambda: echo.got == [b"a", b"b", b"c"], what="the way there to be open")
        assert silent(connection)
        proxy.heal()
        assert connection.recv(100) == b"c"


def test_a_connection_cannot_be_made_through_a_cut(scene):
    echo, _, proxy, port = scene
    proxy.set_rules({(CLIENT, 1)})
    with client(port) as connection:
        connection.sendall(b"late")
        assert silent(connection) and echo.got == []
        proxy.heal()
        assert connection.recv(100) == b"late"


def test_nodes_are_known_by_their_processes(scene):
    echo, nodes, proxy, port = scene
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    try:
        nodes[caller.pid] = 2
        caller.stdin.write("x\n")
        assert caller.stdout.readline() == "x\n"
        proxy.set_rules({(2, 1)})
        with client(port) as connection:
            connection.sendall(b"client")
            assert connection.recv(100) == b"client"
        caller.stdin.write("y\n")
        with client(port) as connection:
            assert silent(connection)
        assert b"y\n" not in echo.got
        proxy.heal()
        assert caller.stdout.readline() == "y\n"
    finally:
        caller.kill()
        caller.wait()


def test_a_node_that_is_gone_refuses(scene):
    _, _, proxy, port = scene
    proxy.shut(1)
    with pytest.raises(ConnectionRefusedError):
        client(port)
    proxy.open(1)
    with client(port) as connection:
        connection.sendall(b"again")
        assert connection.recv(100) == b"again"
