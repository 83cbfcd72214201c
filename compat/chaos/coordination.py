"""What the clients of the ZooKeeper side share: how they connect, what leaves an operation in doubt, and where they note it."""

import threading

from kazoo.client import KazooClient
from kazoo.exceptions import (
    CancelledError, ConnectionClosedError, ConnectionLoss, OperationTimeoutError, SessionExpiredError, SessionMovedError,
)
from kazoo.handlers.threading import KazooTimeoutError

ROOT = "/chaos"
SESSION_SECONDS = 4.0
# Longer than any fault: an operation ends by its reply or by the loss of its connection.
REPLY_SECONDS = 30.0

# After these nobody knows whether the operation happened.
UNKNOWN = (
    ConnectionLoss, ConnectionClosedError, SessionExpiredError, SessionMovedError, OperationTimeoutError, KazooTimeoutError,
    CancelledError,
)


def connect(hosts, timeout=SESSION_SECONDS, wait=30):
    """A started kazoo client that is quick to try the next server."""
    retry = {"max_tries": -1, "delay": 0.02, "backoff": 1, "max_delay": 0.1}
    one = KazooClient(hosts=hosts, timeout=timeout, connection_retry=retry, randomize_hosts=True)
    try:
        one.start(timeout=wait)
    except KazooTimeoutError:
        one.close()
        raise
    return one


def discard(one):
    """Closes a client without waiting for a server that may be gone."""
    def close():
        one.stop()
        one.close()

    threading.Thread(target=close, daemon=True, name="discard").start()


class Notes:
    """What the clients noted since the oracles looked last."""

    def __init__(self):
        self.lock = threading.Lock()
        self.writes = []
        self.reads = []
        self.abandoned = []
        # By register: the largest zxid of an acknowledged write.
        self.acknowledged = {}

    def wrote(self, write):
        """An attempt to change something."""
        with self.lock:
            self.writes.append(write)

    def acknowledge(self, path, zxid):
        """A register's newest acknowledged write."""
        with self.lock:
            self.acknowledged[path] = max(zxid, self.acknowledged.get(path, 0))

    def saw(self, read):
        """A read."""
        with self.lock:
            self.reads.append(read)

    def take(self):
        """The writes and reads since the last call."""
        with self.lock:
            writes, self.writes = self.writes, []
            reads, self.reads = self.reads, []
        return writes, reads
