"""One zoolog process: started on free ports with its own data folder, stopped by its handle."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from harness.paths import server_binary

READY_SECONDS = 30.0
STOP_SECONDS = 30.0

ZK_LINE = "zookeeper listening on "
KAFKA_LINE = "kafka listening on "


class NodeError(Exception):
    """The process did not do what a node must; the message holds what it printed."""


class Node:
    """A server that a test owns.

    `zk` and `kafka` are `host:port` texts. The first start takes free ports; later starts take the same ports again, so
    that clients find the node where it was. `settings` are configuration keys given as overrides (None takes one of the
    harness's own away), `files` configuration files.
    """

    external = False

    def __init__(self, settings=None, folder=None, binary=None, files=()):
        self.settings = dict(settings or {})
        self.owns_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="zoolog-node-"))
        self.data = self.folder / "data"
        self.binary = binary
        self.files = [str(file) for file in files]
        self.process = None
        self.zk = None
        self.kafka = None
        self.lines = []
        self._ready = threading.Event()
        self._reader = None

    def arguments(self):
        """The configuration of the next start as overrides."""
        settings = {
            "clientPort": self.zk.rsplit(":", 1)[1] if self.zk else "0",
            "clientPortAddress": "127.0.0.1",
            "listeners": f"PLAINTEXT://{self.kafka or '127.0.0.1:0'}",
            "log.dirs": str(self.data),
            "4lw.commands.whitelist": "*",
            # Groups of tests need not wait for members that never come, and may time out quickly.
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
        }
        settings.update(self.settings)
        arguments = list(self.files)
        for key, value in settings.items():
            if value is not None:
                arguments += ["--override", f"{key}={value}"]
        return arguments

    def start(self, timeout=READY_SECONDS):
        """Starts the process and waits until it says `ready`."""
        return self.launch().wait_ready(timeout)

    def launch(self):
        """Starts the process; nodes of a cluster are all launched before one of them can become ready."""
        if self.process is not None:
            raise NodeError("the node runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ready.clear()
        self.lines = []
        with open(self.folder / "stderr.txt", "ab") as errors:
            self.process = subprocess.Popen(
                [str(self.binary or server_binary()), "serve", *self.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self.folder,
            )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        return self

    def wait_ready(self, timeout=READY_SECONDS):
        """Waits until the launched process says `ready`."""
        in_time = self._ready.wait(timeout)
        if "ready" not in self.lines or self.zk is None or self.kafka is None:
            if in_time:
                # The output ended, so the process is about to.
                self.process.wait(STOP_SECONDS)
            code = self.kill()
            what = f"ended at its start with {code}" if in_time else f"was not ready after {timeout} s"
            raise NodeError(f"the node {what}\n{self.said()}")
        return self

    def _read(self, process):
        """Follows the standard output; an end of it wakes the waiter too."""
        for line in process.stdout:
            line = line.strip()
            self.lines.append(line)
            if line.startswith(ZK_LINE):
                self.zk = line[len(ZK_LINE):].split()[0]
            elif line.startswith(KAFKA_LINE):
                self.kafka = line[len(KAFKA_LINE):].split()[0]
            elif line == "ready":
                self._ready.set()
        self._ready.set()

    def said(self):
        """What the process printed, for messages of failed tests."""
        errors = self.folder / "stderr.txt"
        tail = errors.read_text(errors="replace")[-4000:] if errors.exists() else ""
        return "\n".join(["stdout:", *self.lines[-20:], "stderr:", tail])

    def _end(self, signal_number, timeout):
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal_number)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise NodeError(f"the node did not end within {timeout} s of signal {signal_number}\n{self.said()}")
        self._reader.join(timeout)
        process.stdout.close()
        return code

    def stop(self, timeout=STOP_SECONDS):
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self):
        """SIGKILL: the process gets no chance to flush anything."""
        return self._end(signal.SIGKILL, STOP_SECONDS)

    def pause(self):
        """SIGSTOP: the process holds its ports and connections, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def wipe(self):
        """Empties the data folder of a node that does not run: it will come back as another incarnation."""
        if self.process is not None:
            raise NodeError("the node runs, so its data cannot be taken away")
        shutil.rmtree(self.data, ignore_errors=True)

    def restart(self):
        """A clean stop and a start on the same ports."""
        code = self.stop()
        if code != 0:
            raise NodeError(f"a clean stop ended with {code}\n{self.said()}")
        return self.start()

    def alive(self):
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    def cpu_seconds(self):
        """The processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        # utime and stime are the 14th and 15th field; the first two went with the name.
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        """The resident memory of the process."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self):
        """How many file descriptors the process holds."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self):
        """Ends the process if it runs and removes the folder if this object made it."""
        if self.process is not None:
            self.kill()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


class External:
    """A server that runs already, named by ZOOLOG_ZK and ZOOLOG_KAFKA; it cannot be stopped or looked into."""

    external = True

    def __init__(self, zk, kafka):
        self.zk = zk
        self.kafka = kafka

    def close(self):
        """Nothing: it is not ours."""


def from_environment():
    """The external server that the environment names, or None."""
    zk, kafka = os.environ.get("ZOOLOG_ZK"), os.environ.get("ZOOLOG_KAFKA")
    return External(zk, kafka) if zk or kafka else None
