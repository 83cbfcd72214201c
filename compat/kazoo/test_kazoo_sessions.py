"""Sessions through kazoo: identity, re-attachment, expiry, and what becomes of ephemerals and watches."""

import threading

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss
from kazoo.protocol.connection import _CONNECTION_DROP
from kazoo.protocol.states import KazooState

from harness.raw import Session, create_body, is_closed
from harness.waiting import wait_until


def test_closing_removes_ephemerals(zk, zk_client, base):
    other = zk_client()
    for number in range(10):
        other.create(f"{base}/e{number}", ephemeral=True)
    assert len(zk.get_children(base)) == 10
    other.stop()
    wait_until(lambda: not zk.get_children(base), what="the ephemerals to go")


def test_a_dropped_connection_keeps_the_session(zk, zk_client, base):
    other = zk_client()
    path = other.create(f"{base}/e", ephemeral=True)
    session = other.client_id[0]
    lost, found = threading.Event(), threading.Event()

    def follow(state):
        if state == KazooState.SUSPENDED:
            lost.set()
        elif state == KazooState.CONNECTED and lost.is_set():
            found.set()

    other.add_listener(follow)
    other._call(_CONNECTION_DROP, other.handler.async_result())
    assert lost.wait(20) and found.wait(20)
    assert other.client_id[0] == session
    assert zk.exists(path).ephemeralOwner == session
    other.set(path, b"still mine")


def test_watching_recipes_catch_up_after_a_dropped_connection(zk, zk_client, base):
    watching = zk_client()
    values, children = [], []
    path = zk.create(f"{base}/a", b"1")
    watching.DataWatch(path, lambda data, stat: values.append(data))
    watching.ChildrenWatch(base, lambda names: children.append(sorted(names)))
    lost, found = threading.Event(), threading.Event()

    def follow(state):
        if state == KazooState.SUSPENDED:
            lost.set()
        elif state == KazooState.CONNECTED and lost.is_set():
            found.set()

    watching.add_listener(follow)
    watching._call(_CONNECTION_DROP, watching.handler.async_result())
    assert lost.wait(20)
    zk.set(path, b"2")
    zk.create(f"{base}/b")
    assert found.wait(20)
    wait_until(lambda: values[-1] == b"2", what="the changed data")
    wait_until(lambda: children[-1] == ["a", "b"], what="the new child")


@pytest.mark.parametrize("silent", ["open socket", "closed socket"])
def test_an_abandoned_session_expires(zk, zk_door, base, silent):
    session = Session(zk_door, timeout_ms=4000)
    assert session.timeout == 4000
    xid, _, error, _ = session.call(1, 1, create_body(f"{base}/e", flags=1))
    assert (xid, error) == (1, 0)
    assert zk.exists(f"{base}/e").ephemeralOwner == session.id
    if silent == "closed socket":
        session.close()
    wait_until(lambda: zk.exists(f"{base}/e") is None, timeout=30, what="the session to expire")
    assert silent == "closed socket" or is_closed(session.socket)
    session.close()


def test_re_attachment_needs_the_right_password(zk_door):
    first = Session(zk_door)
    assert len(first.password) == 16 and first.password != b"\0" * 16
    again = Session(zk_door, first.id, first.password)
    assert (again.id, again.timeout) == (first.id, first.timeout)
    wrong = Session(zk_door, first.id, b"x" * 16)
    assert (wrong.timeout, wrong.id, wrong.password) == (0, 0, b"\0" * 16)
    for session in (first, again, wrong):
        session.close()


def test_an_unknown_session_is_told_so(zk_door):
    refused = Session(zk_door, session=0x7777777777777777, password=b"p" * 16)
    assert (refused.timeout, refused.id, refused.password) == (0, 0, b"\0" * 16)
    assert is_closed(refused.socket)
    refused.close()


def test_moving_a_session_closes_its_old_connection(zk_door):
    first = Session(zk_door)
    second = Session(zk_door, first.id, first.password)
    assert second.id == first.id
    assert is_closed(first.socket)
    first.close()
    second.close()


def test_timeouts_are_clamped(zk_door):
    short, long = Session(zk_door, timeout_ms=1), Session(zk_door, timeout_ms=10_000_000)
    assert (short.timeout, long.timeout) == (2 * 2000, 20 * 2000)
    short.close()
    long.close()


def test_the_read_only_byte_is_echoed_only_if_sent(zk_door):
    without, with_it = Session(zk_door), Session(zk_door, read_only=0)
    assert (without.answer_length, with_it.answer_length) == (36, 37)
    without.close()
    with_it.close()


def test_a_client_that_saw_the_future_is_dropped(zk_door):
    assert Session(zk_door, last_zxid=2**62).dropped


def test_a_clean_restart_keeps_sessions_and_ephemerals(node):
    client = KazooClient(hosts=node.zk, timeout=20)
    client.start(timeout=20)
    client.create("/e", b"mine", ephemeral=True)
    session = client.client_id[0]
    node.restart()
    wait_until(lambda: client.connected, what="the client to come back")

    def mine():
        try:
            return client.exists("/e")
        except ConnectionLoss:
            return None

    assert wait_until(mine).ephemeralOwner == session
    assert client.client_id[0] == session
    client.stop()
    client.close()


def test_a_client_that_sends_nothing_but_pings_stays(zk_client):
    client = zk_client(timeout=4)
    session = client.client_id[0]
    other = zk_client()
    path = f"/quiet-{session:x}"
    client.create(path, ephemeral=True)
    gone = threading.Event()
    other.exists(path, watch=lambda _: gone.set())
    # Longer than the session's timeout: only pings keep it.
    assert not gone.wait(7)
    assert client.client_id[0] == session


@pytest.mark.parametrize("count", [50])
def test_many_sessions_at_once(zk, zk_client, base, count):
    clients = [zk_client() for _ in range(count)]
    for number, client in enumerate(clients):
        client.create(f"{base}/c{number}", ephemeral=True)
    owners = {zk.exists(f"{base}/c{number}").ephemeralOwner for number in range(count)}
    assert len(owners) == count
