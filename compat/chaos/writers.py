"""A ZooKeeper client that writes: unique names, unique values, and a register that others watch."""

import time

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from chaos.actor import Actor
from chaos.coordination import REPLY_SECONDS, ROOT, UNKNOWN, connect
from chaos.history import DOUBT, OK, REFUSED, Write

# Each writer keeps so many znodes and deletes the older ones.
KEPT = 50
PAUSE_SECONDS = 0.005


class Writer(Actor):
    """Creates a znode, sets its register, and deletes what is old; no name is ever used twice."""

    kind = "zookeeper writer"

    def __init__(self, hosts, notes, number):
        super().__init__(f"writer-{number}")
        self.notes = notes
        self.folder = f"{ROOT}/{self.name}"
        self.register = f"{ROOT}/register-{number}"
        self.count = 0
        self.client = connect(hosts)
        self.client.ensure_path(self.folder)
        self.client.ensure_path(self.register)
        # What was created for sure and not yet deleted.
        self.certain = set()

    def attempt(self, op, path, value, send, zxid_of):
        """One operation, noted; returns it, and the name of a refusal."""
        write = Write(self.name, op, path, value, time.monotonic(), 0.0, DOUBT)
        refusal = None
        try:
            write.zxid = zxid_of(send().get(timeout=REPLY_SECONDS))
            write.outcome = OK
        except UNKNOWN:
            # Not counted as a success and not as a failure.
            pass
        except (NodeExistsError, NoNodeError, BadVersionError) as error:
            write.outcome, refusal = REFUSED, type(error).__name__
        write.end = time.monotonic()
        if write.outcome == OK:
            self.pulses[None].beat()
        self.notes.wrote(write)
        return write, refusal

    def step(self):
        number, self.count = self.count, self.count + 1
        self.create(f"{self.folder}/{number:08d}", number)
        self.set_register(number)
        if number >= KEPT:
            self.delete(f"{self.folder}/{number - KEPT:08d}")
        time.sleep(PAUSE_SECONDS)

    def create(self, path, number):
        """A new znode; its czxid is the zxid of the write."""
        value = f"{self.name}:{number}".encode()
        made, refusal = self.attempt(
            "create", path, value, lambda: self.client.create_async(path, value, include_data=True),
            lambda result: result[1].czxid)
        if made.outcome == OK:
            self.certain.add(path)
        elif made.outcome == REFUSED:
            self.problem(f"the first and only create of {path} was refused: {refusal}")

    def set_register(self, number):
        """The register's next value."""
        value = f"{self.name}:{number}".encode()
        done, refusal = self.attempt(
            "set", self.register, value, lambda: self.client.set_async(self.register, value), lambda stat: stat.mzxid)
        if done.outcome == OK:
            self.notes.acknowledge(self.register, done.zxid)
        elif done.outcome == REFUSED:
            self.problem(f"a set of {self.register}, which nobody deletes, was refused: {refusal}")

    def delete(self, path):
        """A znode that may exist: surely, if its create was acknowledged."""
        done, refusal = self.attempt("delete", path, None, lambda: self.client.delete_async(path), lambda _: 0)
        if done.outcome == REFUSED and path in self.certain:
            self.problem(f"the only delete of {path}, whose create was acknowledged, was refused: {refusal}")
        self.certain.discard(path)

    def end(self):
        super().end()
        self.client.stop()
        self.client.close()
