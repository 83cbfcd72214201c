"""Holders of one lock: kazoo's recipe, sequential ephemerals, and writes that are fenced by the holder's own znode."""

import random
import time

from kazoo.exceptions import KazooException, LockTimeout, NoNodeError, RolledBackError, RuntimeInconsistency
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import ZnodeStat
from kazoo.recipe.lock import Lock

from chaos.actor import Actor
from chaos.coordination import REPLY_SECONDS, ROOT, connect, discard

LOCK = f"{ROOT}/lock"
RESOURCE = f"{ROOT}/resource"


class Holder(Actor):
    """Takes the lock, writes the resource with the lock's znode as its token while that znode lives, and gives the lock back.

    In the log the writes of two tenures must never interleave.
    """

    kind = "lock holder"

    def __init__(self, hosts, number):
        super().__init__(f"holder-{number}")
        self.hosts = hosts
        self.client = None
        self.random = random.Random(number)
        self.tenures = 0
        first = connect(hosts)
        first.ensure_path(LOCK)
        first.ensure_path(RESOURCE)
        first.stop()
        first.close()

    def step(self):
        try:
            if self.client is None:
                self.client = connect(self.hosts, wait=5)
            lock = Lock(self.client, LOCK, self.name)
            try:
                lock.acquire(timeout=2)
            except LockTimeout:
                return
            self.tenures += 1
            self.work(f"{LOCK}/{lock.node}")
            lock.release()
            self.pulses[None].beat()
        except (KazooException, KazooTimeoutError):
            # What this session still holds goes with it.
            if self.client is not None:
                discard(self.client)
                self.client = None
            time.sleep(0.05)

    def work(self, token):
        """Some writes; ends when the token's znode is gone."""
        for _ in range(self.random.randrange(2, 12)):
            transaction = self.client.transaction()
            transaction.check(token, 0)
            transaction.set_data(RESOURCE, token.encode())
            checked, done = transaction.commit_async().get(timeout=REPLY_SECONDS)
            if not isinstance(done, ZnodeStat):
                if not isinstance(checked, NoNodeError) or not isinstance(done, (RolledBackError, RuntimeInconsistency)):
                    self.problem(f"a fenced write was answered by {checked!r} and {done!r}")
                return
            time.sleep(0.01)

    def end(self):
        super().end()
        if self.client is not None:
            self.client.stop()
            self.client.close()
