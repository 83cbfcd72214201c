"""All clients of a run, and what the oracles know of them so far."""

import time

from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from chaos import oracles
from chaos.consumers import Committer, Follower
from chaos.coordination import ROOT, Notes, connect
from chaos.ephemerals import FOLDER, Leaver, Owner
from chaos.locks import LOCK, RESOURCE, Holder
from chaos.producers import PARTITIONS, RecordWriter
from chaos.readers import Reader, Watcher
from chaos.writers import Writer
from harness import topics
from harness.feed import Feed, tree_of
from harness.waiting import wait_until

ORDERED, PLAIN = "chaos-idempotent", "chaos-plain"
IDLE_SECONDS = 60.0
FLUSH_SECONDS = 60.0
CATCH_UP_SECONDS = 30.0
# How long after its timeout a session may live on while leaders change: each new leader gives it its full timeout.
LATE_MS = 40_000


class Load:
    """Starts the clients on a cluster that serves; `check` is called while it is whole."""

    def __init__(self, cluster):
        self.cluster = cluster
        replicas = min(3, len(cluster.ids))
        for topic in (ORDERED, PLAIN):
            topics.create(cluster.kafka, topic, PARTITIONS, copies=replicas, min_insync_replicas=max(1, replicas - 1))
        self.notes = Notes()
        keeper = connect(cluster.zk)
        keeper.ensure_path(ROOT)
        keeper.create(f"{ROOT}/marker", b"")
        keeper.stop()
        keeper.close()
        self.ordered = RecordWriter(cluster.kafka, ORDERED, "idempotent producer", enable_idempotence=True)
        self.plain = RecordWriter(cluster.kafka, PLAIN, "producer, acks=all", message_timeout_ms=20_000)
        self.writers = [Writer(cluster.zk, self.notes, number) for number in range(2)]
        self.watchers = [Watcher(cluster.zk, self.notes, number) for number in range(2)]
        self.follower = Follower(cluster.kafka, [ORDERED, PLAIN])
        self.committer = Committer(cluster.kafka, ORDERED)
        # In the order in which they are stopped: those that change something first.
        self.changing = [
            *self.writers, *(Holder(cluster.zk, number) for number in range(3)),
            *(Owner(cluster.zk, number) for number in range(1)), Leaver(cluster.zk.split(","), self.notes, 0),
            self.ordered, self.plain,
        ]
        self.watching = [*(Reader(cluster.zk, self.notes, number) for number in range(2)), *self.watchers, self.committer]
        self.actors = [*self.changing, *self.watching, self.follower]
        self.log = oracles.ZnodeLog()
        self.writes, self.reads = [], []
        self.told = set()
        for actor in self.actors:
            actor.start()

    def open(self):
        """Lets every client work."""
        for actor in self.actors:
            actor.open()

    def begin_measuring(self):
        """Outages count from now until `quiet`."""
        for actor in self.actors:
            actor.measure()

    def quiet(self):
        """Stops what changes something, then the rest; returns what would not stop."""
        problems = []
        for actor in self.actors:
            actor.measured()
        for actor in self.changing:
            actor.pause()
        problems += [f"{actor.name} is still busy" for actor in self.changing if not actor.wait_idle(IDLE_SECONDS)]
        for producer in (self.ordered, self.plain):
            left = producer.flush(FLUSH_SECONDS)
            if left:
                problems.append(f"{producer.name}: {left} records were not answered in {FLUSH_SECONDS} s")
        problems += self.late_watches()
        for actor in self.watching:
            actor.pause()
        problems += [f"{actor.name} is still busy" for actor in self.watching if not actor.wait_idle(IDLE_SECONDS)]
        problems += self.late_records()
        self.follower.pause()
        if not self.follower.wait_idle(IDLE_SECONDS):
            problems.append("the consumer is still busy")
        return problems

    def late_watches(self):
        """Registers stand still: every watcher must have been told of the last change."""
        problems = []
        for watcher in self.watchers:
            final = self.notes.acknowledged.get(watcher.register, 0)
            try:
                wait_until(lambda: watcher.armed >= final, CATCH_UP_SECONDS)
            except AssertionError:
                problems.append(f"{watcher.name} waits at {watcher.armed}, but {watcher.register} was set at {final}: a lost watch")
        return problems

    def late_records(self):
        """Topics stand still: the consumer must reach every acknowledged record."""
        ends = {at: -1 for at in self.follower.partitions}
        for producer in (self.ordered, self.plain):
            for record in producer.sent:
                if record.offset is not None:
                    ends[record.topic, record.partition] = max(record.offset, ends[record.topic, record.partition])
        try:
            wait_until(lambda: all(self.follower.next[at] > end for at, end in ends.items()), CATCH_UP_SECONDS)
        except AssertionError:
            behind = {at: (self.follower.next[at], end) for at, end in ends.items() if self.follower.next[at] <= end}
            return [f"the consumer does not get on, (next, acknowledged) = {behind}"]
        return []

    def mark(self):
        """Writes the marker; the zxid of that."""
        client = connect(self.cluster.zk)
        try:
            return client.retry(client.set, f"{ROOT}/marker", b"").mzxid
        finally:
            client.stop()
            client.close()

    def follow_log(self):
        """Brings our picture of the znode log up to now."""
        marker = self.mark()
        feed = Feed(self.cluster.kafka, self.log.last_offset + 1)
        try:
            def there():
                feed.poll()
                return feed.changes and feed.changes[-1].zxid >= marker

            wait_until(there, CATCH_UP_SECONDS, f"the feed up to {marker}", every=0)
            # What follows the marker may be the first half of a transaction.
            self.log.follow([change for change in feed.changes if change.zxid <= marker])
        finally:
            feed.close()

    def check(self):
        """Judges everything that is known so far; returns the problems that are new."""
        self.follow_log()
        writes, reads = self.notes.take()
        self.writes += writes
        self.reads += reads
        problems = list(self.log.problems)
        # Neighbours across a pause count too.
        problems += oracles.judge_order(self.writes[-len(writes) - 500:])
        problems += oracles.judge_reads(self.log, reads)
        problems += self.log.interleaved(RESOURCE)
        problems += oracles.judge_sessions(self.log, list(self.notes.abandoned), time.time() * 1000, LATE_MS)
        problems += self.judge_trees()
        try:
            self.committer.check()
        except Exception as error:
            problems.append(f"the group's committed offset cannot be read: {error}")
        for actor in self.actors:
            problems += actor.problems
        problems += self.verdict().problems
        fresh = [problem for problem in problems if problem not in self.told]
        self.told.update(fresh)
        return fresh

    def verdict(self):
        """Acknowledged, lost and duplicated of the whole run."""
        verdict = oracles.judge_writes(self.log, self.writes)
        for producer, ordered in ((self.ordered, True), (self.plain, False)):
            held = {partition: self.follower.records[producer.topic, partition] for partition in range(PARTITIONS)}
            verdict.add(oracles.judge_records(producer.sent, held, ordered))
        return verdict

    def judge_trees(self):
        """Each node's tree is the log's; what sessions that run out still change is left out."""
        problems = []
        for _ in range(3):
            problems = []
            for number in self.cluster.ids:
                problems += [f"node {number}: {problem}" for problem in self.judge_tree(number)]
            if not problems:
                break
            # A request that was held somewhere may have come through in between.
            self.follow_log()
        return problems

    def judge_tree(self, number):
        """One node's tree."""
        try:
            client = connect(self.cluster.address(number, "zk"))
        except KazooTimeoutError:
            return ["lets no client in"]
        try:
            client.sync(ROOT)
            tree = {path: data for path, (data, _) in tree_of(client, ROOT).items() if path != ROOT}
        except KazooException as error:
            return [f"cannot be read: {type(error).__name__} {error}"]
        finally:
            client.stop()
            client.close()
        passing = (LOCK + "/", FOLDER + "/")
        tree = {path: data for path, data in tree.items() if not path.startswith(passing)}
        return [
            problem for problem in oracles.judge_tree(self.log, tree, ROOT) if not problem.startswith(passing)
        ]

    def outages(self):
        """The longest outage since `begin_measuring`, by kind of client."""
        worst = {}
        for actor in self.actors:
            worst[actor.kind] = max(worst.get(actor.kind, 0.0), actor.longest_outage())
        return worst

    def end(self):
        """Ends every client."""
        for actor in self.actors:
            actor.end()
