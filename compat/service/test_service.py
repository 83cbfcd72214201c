"""The process as a service: its command line, its starts and stops, and what it says when it cannot start."""

import socket
import subprocess

import pytest
from kazoo.client import KazooClient

from harness import topics
from harness.node import from_environment
from harness.paths import server_binary
from harness.waiting import wait_until


@pytest.fixture(autouse=True)
def ours():
    """These tests are about the binary, not about a server that runs somewhere."""
    if from_environment():
        pytest.skip("needs the binary")


@pytest.fixture
def run(tmp_path):
    """Runs the binary to its end in an empty folder."""

    def with_arguments(*arguments, timeout=30):
        return subprocess.run(
            [str(server_binary()), *map(str, arguments)], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout,
        )

    return with_arguments


def overrides(**settings):
    """Ports that are free, plus `settings`."""
    chosen = {"clientPort": "0", "clientPortAddress": "127.0.0.1", "listeners": "PLAINTEXT://127.0.0.1:0", **settings}
    return [part for key, value in chosen.items() for part in ("--override", f"{key.replace('__', '.')}={value}")]


def refused(done, *parts):
    """The process ended with an error of one line that holds `parts`."""
    assert done.returncode == 1, done
    assert "panicked" not in done.stderr and "RUST_BACKTRACE" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if "WARN" not in line and "INFO" not in line and line.strip()]
    assert len(errors) == 1, done.stderr
    for part in parts:
        assert str(part) in errors[0], (part, errors[0])


def test_version_and_help(run):
    assert run("--version").stdout.startswith("zoolog ")
    for arguments in (["--help"], ["serve", "--help"]):
        done = run(*arguments)
        assert done.returncode == 0 and "Usage:" in done.stdout


@pytest.mark.parametrize("arguments", [["--nonsense"], ["dance"], ["serve", "--override", "no-equals-sign"]])
def test_a_wrong_command_line_is_refused(run, arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr


def test_a_port_in_use(run, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        data = {"log__dirs": tmp_path / "data"}
        refused(run("serve", *overrides(clientPort=port, **data)), port)
        refused(run("serve", *overrides(listeners=f"PLAINTEXT://127.0.0.1:{port}", **data)), port)


def test_a_data_folder_in_use(run, new_node):
    node = new_node().start()
    refused(run("serve", *overrides(log__dirs=node.data)), node.data)
    assert node.alive()


def test_a_data_folder_that_is_none(run, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    refused(run("serve", *overrides(log__dirs=tmp_path / "file" / "data")), tmp_path / "file")


@pytest.mark.parametrize(("key", "value"), [
    ("clientPort", "abc"), ("clientPort", "70000"), ("tickTime", "-5"), ("num.partitions", "many"), ("listeners", "nonsense"),
    ("log.retention.ms", "soon"), ("log.cleanup.policy", "burn"),
])
def test_a_bad_value_names_its_key(run, tmp_path, key, value):
    refused(run("serve", *overrides(log__dirs=tmp_path / "data"), "--override", f"{key}={value}"), key, value)


def test_a_bad_value_in_a_file_names_the_file(run, tmp_path):
    config = tmp_path / "zoo.cfg"
    config.write_text("tickTime=2000\nclientPort=abc\n")
    refused(run("serve", config), "clientPort", "abc", "zoo.cfg")


def test_a_missing_file(run):
    refused(run("serve", "no-such.cfg"), "no-such.cfg")


def test_files_and_overrides_in_their_order(new_node, tmp_path):
    (tmp_path / "zoo.cfg").write_text("tickTime=1000\nmaxClientCnxns=7\n")
    (tmp_path / "server.properties").write_text("num.partitions=5\nnode.id=3\n")
    node = new_node({"num.partitions": "6"}, files=[tmp_path / "zoo.cfg", tmp_path / "server.properties"]).start()
    zk = KazooClient(hosts=node.zk)
    zk.start(timeout=20)
    try:
        said = zk.command(b"conf")
        assert "tickTime=1000" in said and "maxClientCnxns=7" in said
        assert zk.get_children("/brokers/ids") == ["3"]
        topics.produce(node.kafka, "auto", [(None, b"x")])
        assert len(zk.get_children("/brokers/topics/auto/partitions")) == 6
    finally:
        zk.stop()
        zk.close()


def test_a_clean_stop_ends_with_0_and_loses_nothing(new_node):
    node = new_node().start()
    zk = KazooClient(hosts=node.zk)
    zk.start(timeout=20)
    zk.create("/kept", b"data")
    topics.create(node.kafka, "kept")
    topics.produce(node.kafka, "kept", [(None, str(number).encode()) for number in range(1000)])
    zk.stop()
    zk.close()
    assert node.stop() == 0
    node.start()
    zk = KazooClient(hosts=node.zk)
    zk.start(timeout=20)
    assert zk.get("/kept")[0] == b"data"
    zk.stop()
    zk.close()
    wait_until(lambda: len(topics.read_all(node.kafka, "kept")) == 1000)


def test_a_clean_stop_with_clients_connected(new_node):
    node = new_node().start()
    zk = KazooClient(hosts=node.zk)
    zk.start(timeout=20)
    zk.get_children("/", watch=lambda _: None)
    assert node.stop() == 0
    zk.stop()
    zk.close()


def test_it_says_where_it_is_and_what_to_try(new_node):
    node = new_node().start()
    assert any(line.startswith("data in ") and str(node.data) in line for line in node.lines)
    assert len([line for line in node.lines if line.startswith("try: ")]) == 3
    assert node.lines[-1] == "ready"


def test_the_default_folder_is_below_the_current_one(new_node):
    node = new_node({"log.dirs": None}).start()
    assert (node.folder / "zoolog-data" / "__znodes-0").is_dir()
