"""Judges: from what clients noted and what the logs hold to what is wrong. They know nothing of servers or faults.

`lost` counts what was acknowledged and is not there, `duplicated` what is there more often than it was asked for; every
other broken promise is a line of `problems`.
"""

from collections import Counter, defaultdict
from itertools import groupby

from chaos.history import OK, REFUSED

SESSION_KEY = "session:"


class Verdict:
    """What one judge found."""

    def __init__(self):
        self.acknowledged = 0
        self.lost = 0
        self.duplicated = 0
        self.problems = []

    def lose(self, text):
        """Something acknowledged is missing."""
        self.lost += 1
        self.problems.append(f"lost: {text}")

    def duplicate(self, text):
        """Something happened twice."""
        self.duplicated += 1
        self.problems.append(f"duplicated: {text}")

    def add(self, other):
        """Takes another verdict's findings over."""
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.problems += other.problems


class ZnodeLog:
    """The feed as it arrived, and the tree and the sessions that follow from it."""

    def __init__(self):
        self.live = {}
        self.sessions = set()
        self.owned = defaultdict(set)
        self.closed = {}
        self.creates = defaultdict(list)
        self.sets = defaultdict(list)
        self.deletes = defaultdict(list)
        self.states = {}
        self.last_offset = -1
        self.problems = []

    def follow(self, changes):
        """Takes the next changes of the feed, whole transactions."""
        for zxid, batch in groupby(changes, key=lambda change: change.zxid):
            self.transaction(zxid, list(batch))

    def transaction(self, zxid, batch):
        """One transaction: its closes are judged against the state before it."""
        if batch[0].offset <= self.last_offset:
            self.problems.append(f"the feed came back to offset {batch[0].offset} after {self.last_offset}")
        self.last_offset = batch[-1].offset
        deleted = {change.key for change in batch if change.is_deletion}
        for change in batch:
            if change.key.startswith(SESSION_KEY):
                self.session(change, deleted)
            elif change.is_znode:
                self.znode(change, zxid)

    def session(self, change, deleted):
        """An opened or closed session; a close takes every ephemeral of the session with it in the same transaction."""
        number = int(change.key[len(SESSION_KEY):], 16)
        if not change.is_deletion:
            self.sessions.add(number)
            return
        self.sessions.discard(number)
        self.closed[number] = change.timestamp
        for path in self.owned.pop(number, set()) - deleted:
            self.problems.append(f"session {number:#x} was closed at {change.zxid} and left its ephemeral {path}")

    def znode(self, change, zxid):
        """One changed znode."""
        path, op = change.key, change.headers.get("op")
        before = self.live.get(path)
        if change.is_deletion:
            self.deletes[path].append(zxid)
            if before is None:
                self.problems.append(f"{path} was deleted at {zxid}, but did not exist")
            else:
                self.owned[before[1]].discard(path)
            self.live.pop(path, None)
            return
        owner = _owner(change.headers.get("owner"))
        if op == "create":
            self.creates[path].append((zxid, change.data))
            if before is not None:
                self.problems.append(f"{path} was created at {zxid}, but existed")
            if owner is not None and owner not in self.sessions:
                self.problems.append(f"{path} was created at {zxid} for session {owner:#x}, which is not open")
        elif op == "set":
            self.sets[path, change.data].append(zxid)
            owner = before[1] if before else None
        elif before is not None:
            owner = before[1]
        if op in ("create", "set", "node"):
            self.states[path, zxid] = change.data
        if owner is not None:
            self.owned[owner].add(path)
        self.live[path] = (change.data, owner)

    def interleaved(self, path):
        """Values of a znode that come back after another value took their place, in log order."""
        history = sorted((zxid, value) for (at, value), zxids in self.sets.items() if at == path for zxid in zxids)
        seen, last, back = set(), None, []
        for zxid, value in history:
            if value != last and value in seen:
                back.append(f"{value!r} wrote {path} at {zxid}, after {last!r} had taken over")
            seen.add(value)
            last = value
        return back


def _owner(text):
    """The session of an `owner` header, if it names one."""
    return int(text, 16) if text and text.startswith("0x") else None


def judge_writes(log, writes):
    """Every write against the log: acknowledged ones are in it once, where the client was told; refused ones are not."""
    verdict = Verdict()
    for write in writes:
        if write.op == "create":
            found = list(log.creates.get(write.path, ()))
            at = [zxid for zxid, value in found if value == write.value]
        elif write.op == "set":
            found = at = log.sets.get((write.path, write.value), [])
        else:
            found = at = log.deletes.get(write.path, [])
        name = f"{write.op} of {write.path} = {write.value!r} by {write.client}, {write.outcome}, zxid {write.zxid}"
        if len(found) > 1:
            verdict.duplicate(f"{name}: in the log at {found}")
        if write.outcome == OK:
            verdict.acknowledged += 1
            if not at:
                verdict.lose(name)
            elif write.zxid and write.zxid not in at:
                verdict.problems.append(f"{name}: the log has it at {at}")
        elif write.outcome == REFUSED and found and write.op != "delete":
            verdict.problems.append(f"{name}: yet the log has it at {found}")
    return verdict


def judge_order(writes):
    """Acknowledged writes are linearizable in the order of their zxids: none precedes one that had ended before it began."""
    problems = []
    latest = None
    for write in sorted((write for write in writes if write.zxid), key=lambda write: write.zxid):
        if latest is not None and write.end < latest.start:
            problems.append(
                f"{write.client}'s {write.op} at {write.zxid} comes after {latest.client}'s at {latest.zxid}, "
                f"but had ended {latest.start - write.end:.3f} s before that began"
            )
        if latest is None or write.start > latest.start:
            latest = write
    return problems


def judge_reads(log, reads):
    """What a client saw is a state of the log."""
    return [
        f"{read.client} saw {read.value!r} in {read.path} at {read.mzxid}, where the log has {log.states.get((read.path, read.mzxid))!r}"
        for read in reads if log.states.get((read.path, read.mzxid), b"") != read.value
    ]


def judge_sessions(log, abandoned, now_ms, late_ms):
    """Sessions whose clients vanished end at their timeout: not before it, and not much later."""
    problems = []
    for one in abandoned:
        ended = log.closed.get(one.session)
        name = f"session {one.session:#x} of {one.timeout_ms} ms"
        if ended is None:
            if now_ms > one.last_contact_ms + one.timeout_ms + late_ms:
                problems.append(f"{name} still lives {now_ms - one.last_contact_ms:.0f} ms after its client's last word")
        elif ended < one.last_contact_ms + one.timeout_ms - 1:
            problems.append(f"{name} was closed {ended - one.last_contact_ms:.0f} ms after its client's last word")
        if ended is not None and one.path in log.live:
            problems.append(f"{name} was closed, but its ephemeral {one.path} lives")
    return problems


def judge_tree(log, tree, below):
    """A node's tree, {path: data}, is the log's."""
    live = {path: data for path, (data, _) in log.live.items() if path.startswith(below + "/")}
    problems = [f"{path} is missing" for path in sorted(set(live) - set(tree))]
    problems += [f"{path} is too much" for path in sorted(set(tree) - set(live))]
    problems += [
        f"{path} is {tree[path]!r}, the log has {live[path]!r}" for path in sorted(set(tree) & set(live)) if tree[path] != live[path]
    ]
    return problems


def judge_records(sent, records, ordered):
    """The records of one topic, {partition: {offset: value}}, against what was sent to it.

    With `ordered`, as of an idempotent producer, every record is there once and in the order of sending. Any other producer
    sends again what a leader that steps down answers with a retriable error, and may find both in the log.
    """
    verdict = Verdict()
    for partition, held in sorted(records.items()):
        here = [record for record in sent if record.partition == partition]
        rank = {record.value: number for number, record in enumerate(here)}
        counts = Counter(held.values())
        for record in here:
            name = f"record {record.value!r} of {record.topic}-{partition}"
            if record.offset is not None:
                verdict.acknowledged += 1
                if held.get(record.offset) != record.value:
                    verdict.lose(f"{name}, acknowledged at {record.offset}: there is {held.get(record.offset)!r}")
            if ordered and counts[record.value] > 1:
                verdict.duplicate(f"{name}: {counts[record.value]} times")
        alien = set(counts) - set(rank)
        verdict.problems += [f"partition {partition} holds {value!r}, which nobody sent" for value in sorted(alien)]
        if ordered:
            order = [rank[value] for _, value in sorted(held.items()) if value in rank]
            verdict.problems += [
                f"partition {partition}: record number {later} stands before number {earlier}"
                for later, earlier in zip(order, order[1:]) if later > earlier
            ]
    return verdict


def judge_replicas(name, copies):
    """The bytes of one partition's log on each node, {node: bytes}: all the same, and not empty."""
    (first, expected), *others = sorted(copies.items())
    problems = [] if expected else [f"{name} is empty on node {first}"]
    for node, held in others:
        if held != expected:
            common = next((at for at, (a, b) in enumerate(zip(expected, held)) if a != b), min(len(expected), len(held)))
            problems.append(f"{name} differs between nodes {first} ({len(expected)} B) and {node} ({len(held)} B) from byte {common} on")
    return problems
