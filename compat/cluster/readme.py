"""Follows README's "Run a cluster" to the letter, in a network of its own so that the ports it names are free.

Run by test_readme.py as `unshare --map-root-user --net python readme.py`.
"""

import fcntl
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

COMPAT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(COMPAT))

from harness import java, raw  # noqa: E402
from harness.paths import ROOT, server_binary  # noqa: E402
from harness.waiting import wait_until  # noqa: E402

SECTION = "## Run a cluster"
START_SECONDS = 60

# The tools that the text calls by their scripts' names.
TOOLS = {
    "zkCli.sh": ("zookeeper-3.9.5", "org.apache.zookeeper.ZooKeeperMain"),
    "kafka-topics.sh": ("kafka-4.3.1", "org.apache.kafka.tools.TopicCommand"),
    "kafka-metadata-quorum.sh": ("kafka-4.3.1", "org.apache.kafka.tools.MetadataQuorumCommand"),
}


def raise_loopback():
    """A new network has its loopback device down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        get_flags, set_flags, is_up = 0x8913, 0x8914, 0x1
        name, flags = struct.unpack("16sh", fcntl.ioctl(one, get_flags, struct.pack("16sh", b"lo", 0)))
        fcntl.ioctl(one, set_flags, struct.pack("16sh", name, flags | is_up))


def section():
    """The text between the section's heading and the next one."""
    text = (ROOT / "README.md").read_text()
    return text.partition(SECTION + "\n")[2].partition("\n## ")[0]


def blocks(text):
    """The fenced blocks as (language, lines)."""
    return [(language, body.splitlines()) for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


class Shell:
    """A folder with the programs that the text names on its path."""

    def __init__(self, folder):
        self.folder = folder
        tools = folder / "bin"
        tools.mkdir()
        (tools / "zoolog").symlink_to(server_binary())
        for name, (jars, main) in TOOLS.items():
            script = tools / name
            script.write_text(f"#!/bin/sh\nexec {shlex.join(java.command(jars, main))} \"$@\"\n")
            script.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        self.running = []

    def run(self, line):
        """A command to its end; returns what it printed."""
        print(f"$ {line}", flush=True)
        done = subprocess.run(
            line, shell=True, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120)
        print(done.stdout[-2000:], flush=True)
        assert done.returncode == 0, f"`{line}` ended with {done.returncode}"
        return done.stdout

    def start(self, line):
        """A command that goes on."""
        print(f"$ {line} &", flush=True)
        self.running.append(subprocess.Popen(
            shlex.split(line), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL))

    def stop(self):
        """Ctrl-C for everything that runs; all must end cleanly."""
        running, self.running = self.running, []
        for process in running:
            process.send_signal(signal.SIGINT)
        codes = [process.wait(60) for process in running]
        assert codes == [0] * len(codes), f"ended with {codes}"

    def kill(self):
        """What a failed run leaves."""
        for process in self.running:
            process.kill()
            process.wait()


def mode(address):
    """What a node says it is, or None while it says nothing."""
    try:
        found = re.search(r"^Mode: (\w+)$", raw.four_letters(address, "srvr", 5), re.MULTILINE)
    except OSError:
        return None
    return found and found[1]


def wait_for(addresses, modes):
    """Waits until the nodes say these modes, in any order."""
    wait_until(
        lambda: sorted(str(mode(address)) for address in addresses) == sorted(modes), START_SECONDS,
        f"{addresses} to be {modes}", every=0.2)


THREE = ["leader", "follower", "follower"]


def a_command_that_starts_three(shell, parts, text):
    """`zoolog dev`, both kinds of clients, a fourth node, and the tool that lists it."""
    (_, dev), (_, clients), (_, fourth) = parts
    for line in dev:
        shell.start(line)
    wait_for([f"localhost:{port}" for port in (2181, 2182, 2183)], THREE)
    said = [shell.run(line) for line in clients]
    assert "[1, 2, 3]" in said[0] and "Created topic orders." in said[1]
    for line in fourth:
        shell.start(line)
    wait_for(["localhost:2184"], ["observer"])
    (describe,) = re.findall(r"`(kafka-metadata-quorum\.sh [^`]*)`", text)
    rows = [line.split() for line in shell.run(describe).splitlines()]
    assert ["4", "Observer"] in [[row[0], row[-1]] for row in rows if row]
    shell.stop()


def by_hand(shell, part):
    """Three commands with the same voters."""
    for line in part[1]:
        shell.start(line)
    wait_for([f"localhost:{port}" for port in (2181, 2182, 2183)], THREE)
    shell.run("zkCli.sh -server localhost:2181 create /by-hand")
    wait_until(lambda: "by-hand" in shell.run("zkCli.sh -server localhost:2183 ls /"), what="the znode on another node")
    shell.stop()


def by_zoo_cfg(shell, part):
    """The zoo.cfg of three machines; here they are three addresses of one."""
    language, lines = part
    assert language == "properties"
    addresses = {f"zoo{number}": f"127.0.0.{number}" for number in (1, 2, 3)}
    for number in (1, 2, 3):
        folder = shell.folder / f"machine{number}"
        data = folder / "data"
        data.mkdir(parents=True)
        (data / "myid").write_text(f"{number}\n")
        config = "\n".join(lines) + "\n"
        for name, address in addresses.items():
            config = config.replace(name, address)
        config = re.sub(r"^dataDir=.*$", f"dataDir={data}", config, flags=re.MULTILINE)
        (folder / "zoo.cfg").write_text(config)
        # Each machine has its ports to itself; on one, each address must be asked for.
        shell.start(
            f"zoolog serve {folder / 'zoo.cfg'} --override clientPortAddress=127.0.0.{number} "
            f"--override listeners=PLAINTEXT://127.0.0.{number}:9092")
    wait_for([f"{address}:2181" for address in addresses.values()], THREE)
    assert "[1, 2, 3]" in shell.run("zkCli.sh -server 127.0.0.2:2181 ls /brokers/ids")
    shell.stop()


def main():
    """Everything in the order of the text."""
    raise_loopback()
    text = section()
    parts = blocks(text)
    assert len(parts) == 5, f"the section has {len(parts)} fenced blocks; this program follows 5"
    with tempfile.TemporaryDirectory(prefix="zoolog-readme-") as folder:
        shell = Shell(Path(folder))
        try:
            a_command_that_starts_three(shell, parts[:3], text)
            by_hand(shell, parts[3])
            by_zoo_cfg(shell, parts[4])
        finally:
            shell.kill()


if __name__ == "__main__":
    main()
