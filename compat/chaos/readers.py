"""ZooKeeper clients that read: session order, reads after sync, and watches."""

import threading
import time

from chaos.actor import Actor
from chaos.coordination import REPLY_SECONDS, ROOT, UNKNOWN, connect
from chaos.history import Read

PAUSE_SECONDS = 0.02


class Reader(Actor):
    """Reads a register: never an older state than this session saw, and after a sync nothing older than what was acknowledged."""

    kind = "zookeeper reader"

    def __init__(self, hosts, notes, number):
        super().__init__(f"reader-{number}")
        self.notes = notes
        self.register = f"{ROOT}/register-{number}"
        self.client = connect(hosts)
        self.client.ensure_path(self.register)
        self.session, self.seen, self.rounds = None, 0, 0

    def step(self):
        self.rounds += 1
        synced = self.rounds % 3 == 0
        least = self.notes.acknowledged.get(self.register, 0) if synced else 0
        try:
            session = self.client.client_id
            if synced:
                self.client.sync_async(self.register).get(timeout=REPLY_SECONDS)
            value, stat = self.client.get_async(self.register).get(timeout=REPLY_SECONDS)
        except UNKNOWN:
            return
        if self.client.client_id != session:
            # Whose answer this was, and whether it followed the sync, nobody can tell.
            return
        self.pulses[None].beat()
        if session != self.session:
            self.session, self.seen = session, 0
        if stat.mzxid < self.seen:
            self.problem(f"saw mzxid {stat.mzxid} of {self.register} after {self.seen} in one session")
        self.seen = max(self.seen, stat.mzxid)
        if stat.mzxid < least:
            self.problem(f"saw mzxid {stat.mzxid} of {self.register} after a sync that began when {least} was acknowledged")
        self.notes.saw(Read(self.name, self.register, value, stat.mzxid))
        time.sleep(PAUSE_SECONDS)

    def end(self):
        super().end()
        self.client.stop()
        self.client.close()


class Watcher(Actor):
    """Waits for a register's next change by a one-shot watch, again and again: a watch fires once it changed, and only then."""

    kind = "zookeeper watcher"

    def __init__(self, hosts, notes, number):
        super().__init__(f"watcher-{number}")
        self.notes = notes
        self.register = f"{ROOT}/register-{number}"
        self.client = connect(hosts)
        self.client.ensure_path(self.register)
        # The state at which the latest watch was set: once the register stands still, the last state's.
        self.armed = 0

    def step(self):
        fired, events = threading.Event(), []

        def notice(event):
            # Of this step alone: a watch that an earlier step left may fire while this one sets its own.
            events.append(event)
            fired.set()

        try:
            _, before = self.client.get_async(self.register, watch=notice).get(timeout=REPLY_SECONDS)
            session = self.client.client_id
            self.armed = max(self.armed, before.mzxid)
            while not fired.wait(0.2):
                if not self.gate.is_set():
                    return
            if events[0].type != "CHANGED":
                # Of the session: the connection was lost, and the watch with it.
                return
            _, after = self.client.get_async(self.register).get(timeout=REPLY_SECONDS)
        except UNKNOWN:
            return
        if session == self.client.client_id and after.mzxid <= before.mzxid:
            self.problem(f"the watch on {self.register} at {before.mzxid} fired, but a read then showed {after.mzxid}")
        self.pulses[None].beat()

    def end(self):
        super().end()
        self.client.stop()
        self.client.close()
