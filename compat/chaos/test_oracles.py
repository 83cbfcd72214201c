"""The judges of the chaos runs, shown broken promises one by one: each is found, and an honest history passes."""

import pytest

from chaos import oracles
from chaos.history import DOUBT, OK, REFUSED, Abandoned, Read, Sent, Write

SESSION = 0x100000000000007


class Change:
    """A record of the feed as the oracles see it."""

    def __init__(self, offset, key, data, op=None, zxid=None, timestamp=1_000_000, **headers):
        self.offset, self.key, self.data, self.timestamp = offset, key, data, timestamp
        self.zxid = offset if zxid is None else zxid
        self.headers = {"op": op or ("delete" if data is None else "create"), **headers}
        self.is_deletion = data is None
        self.is_znode = key.startswith("/")


def opened(offset):
    return Change(offset, f"session:{SESSION:#x}", b"timeout=4000", op="open")


def ephemeral(offset, path="/c/e"):
    return Change(offset, path, b"", owner=f"{SESSION:#x}")


def closed(offset, *paths, timestamp=1_004_000):
    ends = [Change(offset + number, path, None, zxid=offset) for number, path in enumerate(paths)]
    return [*ends, Change(offset + len(paths), f"session:{SESSION:#x}", None, op="close", zxid=offset, timestamp=timestamp)]


def log_of(*changes):
    log = oracles.ZnodeLog()
    log.follow(changes)
    return log


HONEST = [opened(1), ephemeral(2), Change(3, "/c/a", b"1"), Change(4, "/c/a", b"2", op="set"), *closed(5, "/c/e"), Change(7, "/c/a", None)]


def write(op="create", value=b"1", outcome=OK, zxid=3, path="/c/a", start=0.0, end=1.0):
    return Write("w", op, path, value, start, end, outcome, zxid)


def test_an_honest_history_passes():
    log = log_of(*HONEST)
    assert log.problems == []
    writes = [write(), write("set", b"2", zxid=4, start=1.1, end=2), write("delete", None, zxid=0), write(path="/c/b", outcome=DOUBT, zxid=0)]
    verdict = oracles.judge_writes(log, writes)
    assert (verdict.acknowledged, verdict.lost, verdict.duplicated, verdict.problems) == (3, 0, 0, [])
    assert oracles.judge_order(writes) == []
    assert oracles.judge_reads(log, [Read("r", "/c/a", b"2", 4)]) == []
    assert oracles.judge_tree(log, {}, "/c") == []
    assert oracles.judge_sessions(log, [Abandoned(SESSION, "/c/e", 4000, 1_000_000)], 1_100_000, 10_000) == []


@pytest.mark.parametrize("changes, said", [
    ([opened(1), ephemeral(2), *closed(3)], "left its ephemeral /c/e"),
    ([opened(1), *closed(2), ephemeral(3)], "which is not open"),
    ([Change(1, "/c/a", b"1"), Change(2, "/c/a", b"1")], "was created at 2, but existed"),
    ([Change(1, "/c/a", None)], "but did not exist"),
    ([Change(2, "/c/a", b"1"), Change(1, "/c/b", b"1")], "came back to offset 1"),
])
def test_a_log_that_breaks_the_rules_of_the_tree(changes, said):
    (problem,) = log_of(*changes).problems
    assert said in problem


def test_a_lost_write():
    verdict = oracles.judge_writes(log_of(*HONEST), [write(path="/c/b"), write("set", b"3"), write("delete", None, path="/c/b")])
    assert verdict.lost == 3


def test_a_write_that_happened_twice():
    log = log_of(*HONEST, Change(8, "/c/a", b"1"), Change(9, "/c/a", b"2", op="set"), Change(10, "/c/a", None))
    verdict = oracles.judge_writes(log, [write(), write("set", b"2", zxid=4), write("delete", None, outcome=DOUBT)])
    assert (verdict.lost, verdict.duplicated) == (0, 3)


def test_a_write_at_another_zxid_than_the_client_was_told():
    assert "the log has it at [3]" in oracles.judge_writes(log_of(*HONEST), [write(zxid=2)]).problems[0]


def test_a_refused_write_that_happened():
    assert "yet the log has it" in oracles.judge_writes(log_of(*HONEST), [write(outcome=REFUSED, zxid=0)]).problems[0]


def test_an_order_that_real_time_contradicts():
    early, late = write(zxid=9, start=0, end=1), write(zxid=8, start=2, end=3)
    assert len(oracles.judge_order([early, late])) == 1
    late.start = 0.5
    assert oracles.judge_order([early, late]) == []


def test_a_read_of_what_was_never_committed():
    log = log_of(*HONEST)
    assert len(oracles.judge_reads(log, [Read("r", "/c/a", b"3", 4), Read("r", "/c/a", b"1", 77)])) == 2


def test_two_holders_at_once():
    tokens = [b"a", b"a", b"b", b"a"]
    log = log_of(*[Change(offset, "/c/r", token, op="set") for offset, token in enumerate(tokens)])
    assert len(log.interleaved("/c/r")) == 1
    assert log_of(*[Change(offset, "/c/r", token, op="set") for offset, token in enumerate(sorted(tokens))]).interleaved("/c/r") == []


@pytest.mark.parametrize("last_contact, now, said", [
    (1_000_500, 1_100_000, "was closed 3500 ms after"),
])
def test_a_session_that_ended_early(last_contact, now, said):
    (problem,) = oracles.judge_sessions(log_of(*HONEST), [Abandoned(SESSION, "/c/e", 4000, last_contact)], now, 10_000)
    assert said in problem


def test_a_session_that_never_ends():
    log = log_of(opened(1), ephemeral(2))
    assert oracles.judge_sessions(log, [Abandoned(SESSION, "/c/e", 4000, 1_000_000)], 1_013_000, 10_000) == []
    (problem,) = oracles.judge_sessions(log, [Abandoned(SESSION, "/c/e", 4000, 1_000_000)], 1_015_000, 10_000)
    assert "still lives" in problem


def test_a_tree_that_differs():
    log = log_of(Change(1, "/c/a", b"1"), Change(2, "/c/b", b"2"))
    assert len(oracles.judge_tree(log, {"/c/b": b"x", "/c/d": b""}, "/c")) == 3


def sent(*offsets):
    return [Sent("t", 0, str(number).encode(), offset) for number, offset in enumerate(offsets)]


def held(*values):
    return {0: {offset: str(value).encode() for offset, value in enumerate(values) if value is not None}}


def test_honest_records():
    verdict = oracles.judge_records(sent(0, 1, None, 2), held(0, 1, 3), ordered=True)
    assert (verdict.acknowledged, verdict.lost, verdict.duplicated, verdict.problems) == (3, 0, 0, [])


@pytest.mark.parametrize("offsets, values, lost, duplicated, problems", [
    ((0, 1, 2), (0, 1), 1, 0, 1),
    ((0, 1, 2), (0, 2, 1), 2, 0, 3),
    ((0, 1), (0, 1, 1), 0, 1, 1),
    ((0, None), (0, 1, 1), 0, 1, 1),
    ((0, 1), (0, 1, 9), 0, 0, 1),
])
def test_records_that_are_wrong(offsets, values, lost, duplicated, problems):
    verdict = oracles.judge_records(sent(*offsets), held(*values), ordered=True)
    assert (verdict.lost, verdict.duplicated, len(verdict.problems)) == (lost, duplicated, problems)


def test_a_plain_producer_may_have_sent_again():
    verdict = oracles.judge_records(sent(0, 2), held(0, 1, 1), ordered=False)
    assert (verdict.lost, verdict.duplicated, verdict.problems) == (0, 0, [])


def test_replicas_that_differ():
    assert oracles.judge_replicas("t-0", {1: b"abc", 2: b"abc", 3: b"abc"}) == []
    (problem,) = oracles.judge_replicas("t-0", {1: b"abc", 2: b"abx", 3: b"abc"})
    assert "from byte 2 on" in problem
    assert oracles.judge_replicas("t-0", {1: b"", 2: b""}) == ["t-0 is empty on node 1"]
