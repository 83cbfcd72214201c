"""Runs every program of examples/ against a fresh node, and holds what it prints."""

import os
import re
import subprocess
import sys

import pytest

from harness.paths import ROOT

FOLDER = ROOT / "examples"

# What each program must print, line by line.
EXPECTED = {
    "hello.py": [
        r"offset \d+: message 0",
        r"offset \d+: message 1",
        r"offset \d+: message 2",
        r"/my_topic: my_topic_config, written at offset \d+ of __znodes",
    ],
    "configuration.py": [
        r"the watch saw log_level=info with mzxid \d+",
        r"the feed saw  log_level=info at offset \d+",
        r"the watch saw log_level=debug with mzxid \d+",
        r"the feed saw  log_level=debug at offset \d+",
    ],
    "discovery.py": [
        r"members: \['8001', '8002', '8003'\], leader: 8001",
        r"members: \['8002', '8003'\], leader: 800[23]",
        r"8001 came at zxid \d+",
        r"8002 came at zxid \d+",
        r"8003 came at zxid \d+",
        r"8001 went at zxid \d+",
    ],
    "pipeline.py": [
        r"minimum 10: billed \[15, 25\]",
        r"minimum 20: billed \[25\]",
    ],
}


def run(program, server):
    """Runs one program; returns the lines that it printed."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / program)],
        env={**os.environ, "ZOOLOG_ZK": server.zk, "ZOOLOG_KAFKA": server.kafka, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("program", sorted(EXPECTED))
def test_a_program_prints_what_it_should(server, program):
    printed = run(program, server)
    assert len(printed) == len(EXPECTED[program]), printed
    for line, pattern in zip(printed, EXPECTED[program]):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_the_old_binding_offers_more_than_the_first_program_uses(zk_address):
    sys.path.insert(0, str(FOLDER))
    try:
        from zookeeper import ZooKeeper
    finally:
        sys.path.remove(str(FOLDER))
    zk = ZooKeeper(zk_address, 10_000)
    path = zk.create("/old-binding-", b"1", ZooKeeper.EPHEMERAL | ZooKeeper.SEQUENCE)
    assert re.fullmatch(r"/old-binding-\d{10}", path)
    assert zk.set(path, b"2").version == 1
    assert zk.get(path)[0] == b"2"
    assert zk.exists(path).dataLength == 1
    assert path.strip("/") in zk.get_children("/")
    zk.delete(path)
    assert zk.exists(path) is None
    zk.close()


def test_every_program_is_run():
    helpers = {"addresses.py", "zookeeper.py"}
    assert {file.name for file in FOLDER.glob("*.py")} - helpers == set(EXPECTED)
