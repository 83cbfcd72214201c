"""Watches through kazoo: the one-shot kinds and their order. kazoo 2.11 has no persistent ones; compat/zkcli tries those."""

import queue

import pytest
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import EventType, KeeperState


class Events:
    """A watcher that notes its events."""

    def __init__(self):
        self.events = queue.Queue()

    def __call__(self, event):
        self.events.put(event)

    def next(self, timeout=20):
        """The next event as (type, path)."""
        event = self.events.get(timeout=timeout)
        assert event.state == KeeperState.CONNECTED
        return event.type, event.path

    def none_before(self, zk, path="/"):
        """True if nothing is queued once an answer has passed: events precede later answers of their connection."""
        zk.exists(path)
        zk.sync(path)
        return self.events.empty()


def test_data_watch_fires_once_on_a_change(zk, base):
    seen = Events()
    path = zk.create(f"{base}/a", b"1")
    zk.get(path, watch=seen)
    zk.set(path, b"2")
    assert seen.next() == (EventType.CHANGED, path)
    zk.set(path, b"3")
    assert seen.none_before(zk)


def test_data_watch_fires_on_deletion(zk, base):
    seen = Events()
    path = zk.create(f"{base}/a")
    zk.get(path, watch=seen)
    zk.delete(path)
    assert seen.next() == (EventType.DELETED, path)


def test_exists_watch_waits_for_a_creation(zk, base):
    seen = Events()
    path = f"{base}/later"
    assert zk.exists(path, watch=seen) is None
    zk.create(path)
    assert seen.next() == (EventType.CREATED, path)


def test_a_failed_read_leaves_no_watch(zk, base):
    seen = Events()
    path = f"{base}/later"
    with pytest.raises(NoNodeError):
        zk.get(path, watch=seen)
    with pytest.raises(NoNodeError):
        zk.get_children(path, watch=seen)
    zk.create(path)
    zk.set(path, b"x")
    assert seen.none_before(zk)


def test_child_watch_sees_creation_and_deletion_of_children_only(zk, base):
    seen = Events()
    zk.get_children(base, watch=seen)
    zk.set(base, b"data")
    zk.create(f"{base}/a")
    assert seen.next() == (EventType.CHILD, base)
    zk.get_children(base, watch=seen)
    zk.set(f"{base}/a", b"x")
    zk.create(f"{base}/a/b")
    assert seen.none_before(zk)
    zk.delete(f"{base}/a/b")
    zk.delete(f"{base}/a")
    assert seen.next() == (EventType.CHILD, base)


def test_watches_fire_for_changes_of_other_sessions(zk, zk_client, base):
    seen = Events()
    path = zk.create(f"{base}/a")
    zk.get(path, watch=seen)
    zk_client().set(path, b"other")
    assert seen.next() == (EventType.CHANGED, path)


def test_an_event_precedes_the_answer_that_shows_the_change(zk, zk_client, base):
    other = zk_client()
    path = zk.create(f"{base}/a", b"0")
    for number in range(50):
        seen = Events()
        zk.get(path, watch=seen)
        value = str(number + 1).encode()
        pending = other.set_async(path, value)
        while zk.get(path)[0] != value:
            pass
        pending.get(20)
        # kazoo hands events to a thread of their own, so the event may still be on its way there.
        assert seen.next() == (EventType.CHANGED, path)


def test_deletion_of_a_watched_node_tells_both_kinds_once_and_then_the_parent(zk, base):
    seen = Events()
    path = zk.create(f"{base}/a")
    zk.get(path, watch=seen)
    # kazoo calls a watcher once per kind for the one event that the server sends.
    zk.get_children(path, watch=lambda event: seen(event))
    zk.get_children(base, watch=seen)
    zk.delete(path)
    assert [seen.next() for _ in range(3)] == [
        (EventType.DELETED, path),
        (EventType.DELETED, path),
        (EventType.CHILD, base),
    ]
    assert seen.none_before(zk)


def test_a_transaction_fires_every_watch_it_touches(zk, base):
    seen = Events()
    zk.create(f"{base}/a")
    zk.get(f"{base}/a", watch=seen)
    zk.exists(f"{base}/b", watch=seen)
    zk.get_children(base, watch=seen)
    transaction = zk.transaction()
    transaction.create(f"{base}/b")
    transaction.set_data(f"{base}/a", b"x")
    transaction.commit()
    assert [seen.next() for _ in range(3)] == [
        (EventType.CREATED, f"{base}/b"),
        (EventType.CHILD, base),
        (EventType.CHANGED, f"{base}/a"),
    ]
