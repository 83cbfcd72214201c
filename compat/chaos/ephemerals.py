"""Owners of ephemerals: some say goodbye, some vanish and leave their sessions to the timeout."""

import random
import struct
import time

from chaos.actor import Actor
from chaos.coordination import ROOT, UNKNOWN, connect, discard
from chaos.history import Abandoned
from harness import raw

FOLDER = f"{ROOT}/ephemerals"
CREATE = 1
EPHEMERAL = 1
TIMEOUT_MS = 4000


class Owner(Actor):
    """Opens a session with an ephemeral, and closes it; each time it sees the ephemeral with the session and gone after it."""

    kind = "session opener"

    def __init__(self, hosts, number):
        super().__init__(f"owner-{number}")
        self.hosts = hosts
        self.random = random.Random(number)
        self.count = 0
        first = connect(hosts)
        first.ensure_path(FOLDER)
        first.stop()
        first.close()

    def step(self):
        self.count += 1
        path = f"{FOLDER}/{self.name}-{self.count}"
        one = None
        try:
            one = connect(self.hosts, wait=5)
            session = one.client_id[0]
            one.create_async(path, b"", ephemeral=True).get(timeout=10)
            time.sleep(self.random.uniform(0.05, 0.4))
            one.sync_async(path).get(timeout=10)
            stat = one.exists_async(path).get(timeout=10)
            if one.client_id[0] == session and (stat is None or stat.ephemeralOwner != session):
                self.problem(f"{path} is not there, or not of session {session:#x}, which lives: {stat}")
            self.pulses[None].beat()
        except UNKNOWN:
            time.sleep(0.05)
        finally:
            if one is not None:
                discard(one)


class Leaver(Actor):
    """Opens a session with an ephemeral on a plain socket and goes away without a word."""

    kind = "session opener"

    def __init__(self, addresses, notes, number):
        super().__init__(f"leaver-{number}")
        self.addresses = addresses
        self.notes = notes
        self.random = random.Random(number)
        self.count = 0

    def step(self):
        self.count += 1
        path = f"{FOLDER}/{self.name}-{self.count}"
        session = None
        try:
            session = raw.Session(self.random.choice(self.addresses), timeout_ms=TIMEOUT_MS, socket_timeout=3.0)
            if session.dropped or session.timeout == 0:
                return
            before = time.time() * 1000
            reply = session.call(1, CREATE, raw.create_body(path, flags=EPHEMERAL))
            if reply is None:
                return
            if reply[2] != 0:
                self.problem(f"create of {path} was answered by error {reply[2]}")
                return
            with self.notes.lock:
                self.notes.abandoned.append(Abandoned(session.id, path, session.timeout, before))
            self.pulses[None].beat()
        except (OSError, struct.error):
            # The node was gone, cut off or asleep.
            pass
        finally:
            if session is not None and not session.dropped:
                session.close()
            time.sleep(0.3)
