"""kazoo's recipes: what people build on ZooKeeper works on ours."""

import threading

import pytest
from kazoo.exceptions import LockTimeout
from kazoo.recipe.barrier import DoubleBarrier
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.lease import NonBlockingLease
from kazoo.recipe.partitioner import PartitionState
from kazoo.recipe.watchers import ChildrenWatch, DataWatch, PatientChildrenWatch

from harness.waiting import wait_until


def in_threads(*functions):
    """Runs every function in a thread of its own; all must end."""
    failures = []

    def guarded(function):
        try:
            function()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures, failures


def test_lock_is_held_by_one(zk_client, base):
    held = []
    overlaps = []

    def work(client, name):
        def run():
            for _ in range(10):
                with client.Lock(f"{base}/lock", name):
                    held.append(name)
                    overlaps.append(len(held))
                    held.pop()
        return run

    in_threads(*[work(zk_client(), f"worker-{number}") for number in range(4)])
    assert overlaps == [1] * 40


def test_lock_shows_its_contenders_and_times_out(zk_client, base):
    first, second = zk_client(), zk_client()
    held = first.Lock(f"{base}/lock", "first")
    wanted = second.Lock(f"{base}/lock", "second")
    assert held.acquire()
    assert wanted.acquire(blocking=False) is False
    with pytest.raises(LockTimeout):
        wanted.acquire(timeout=0.3)
    assert first.Lock(f"{base}/lock").contenders() == ["first"]
    held.release()
    assert wanted.acquire(timeout=20)
    wanted.release()


def test_a_dead_holder_frees_the_lock(zk_client, base):
    first, second = zk_client(), zk_client()
    assert first.Lock(f"{base}/lock").acquire()
    first.stop()
    assert second.Lock(f"{base}/lock").acquire(timeout=20)


def test_read_and_write_locks(zk_client, base):
    first, second = zk_client(), zk_client()
    one, two = first.ReadLock(f"{base}/rw"), second.ReadLock(f"{base}/rw")
    assert one.acquire(timeout=20) and two.acquire(timeout=20)
    writer = second.WriteLock(f"{base}/rw")
    with pytest.raises(LockTimeout):
        writer.acquire(timeout=0.3)
    one.release()
    two.release()
    assert writer.acquire(timeout=20)
    writer.release()


def test_semaphore_lets_in_as_many_as_it_says(zk_client, base):
    clients = [zk_client() for _ in range(3)]
    semaphores = [client.Semaphore(f"{base}/s", max_leases=2) for client in clients]
    assert semaphores[0].acquire(timeout=20) and semaphores[1].acquire(timeout=20)
    assert semaphores[2].acquire(blocking=False) is False
    semaphores[0].release()
    assert semaphores[2].acquire(timeout=20)


def test_election_gives_one_leader_after_the_other(zk_client, base):
    leading = []
    together = []

    def candidate(client, name):
        def lead():
            leading.append(name)
            together.append(len(leading))
            leading.pop()
        return lambda: client.Election(f"{base}/election", name).run(lead)

    in_threads(*[candidate(zk_client(), f"c{number}") for number in range(4)])
    assert together == [1] * 4


def test_barrier_opens(zk_client, base):
    first, second = zk_client(), zk_client()
    barrier = first.Barrier(f"{base}/barrier")
    barrier.create()
    waiter = second.Barrier(f"{base}/barrier")
    assert waiter.wait(0.2) is False
    passed = threading.Event()
    thread = threading.Thread(target=lambda: waiter.wait(30) and passed.set(), daemon=True)
    thread.start()
    assert barrier.remove() is True
    assert passed.wait(20)


def test_double_barrier_gathers_all(zk_client, base):
    inside = []
    lock = threading.Lock()

    def member(client, name):
        def run():
            barrier = DoubleBarrier(client, f"{base}/double", 3, name)
            barrier.enter()
            with lock:
                inside.append(name)
            barrier.leave()
        return run

    in_threads(*[member(zk_client(), f"m{number}") for number in range(3)])
    assert sorted(inside) == ["m0", "m1", "m2"]


def test_queue_keeps_order_and_priority(zk_client, base):
    queue = zk_client().Queue(f"{base}/queue")
    queue.put(b"second")
    queue.put(b"third")
    queue.put(b"first", priority=10)
    assert len(queue) == 3
    assert [queue.get() for _ in range(4)] == [b"first", b"second", b"third", None]


def test_locking_queue_hands_an_entry_to_one(zk_client, base):
    first = zk_client().LockingQueue(f"{base}/lq")
    second = zk_client().LockingQueue(f"{base}/lq")
    first.put_all([b"a", b"b"])
    assert first.get(10) == b"a"
    assert second.get(10) == b"b"
    assert first.consume() is True
    assert second.consume() is True
    assert len(first) == 0


def test_party_knows_its_members(zk_client, base):
    parties = [zk_client().Party(f"{base}/party", f"p{number}") for number in range(3)]
    for party in parties:
        party.join()
    assert sorted(parties[0]) == ["p0", "p1", "p2"]
    parties[1].leave()
    wait_until(lambda: len(parties[0]) == 2)
    shallow = zk_client().ShallowParty(f"{base}/shallow", "s")
    shallow.join()
    assert list(shallow) == ["s"]


def test_counter_counts_under_contention(zk_client, base):
    def count(client):
        def run():
            counter = client.Counter(f"{base}/counter")
            for _ in range(20):
                counter += 1
        return run

    in_threads(*[count(zk_client()) for _ in range(3)])
    assert zk_client().Counter(f"{base}/counter").value == 60


def test_data_watch_sees_the_last_value(zk, zk_client, base):
    seen = []
    DataWatch(zk_client(), f"{base}/config", lambda data, stat: seen.append(data))
    zk.create(f"{base}/config", b"0")
    for number in range(1, 20):
        zk.set(f"{base}/config", str(number).encode())
    wait_until(lambda: seen and seen[-1] == b"19", what="the last value")
    zk.delete(f"{base}/config")
    wait_until(lambda: seen[-1] is None, what="the deletion")


def test_children_watch_follows_membership(zk, zk_client, base):
    seen = []
    ChildrenWatch(zk_client(), base, lambda children: seen.append(sorted(children)))
    zk.create(f"{base}/a")
    wait_until(lambda: seen[-1] == ["a"])
    zk.create(f"{base}/b")
    wait_until(lambda: seen[-1] == ["a", "b"])
    zk.delete(f"{base}/a")
    wait_until(lambda: seen[-1] == ["b"])


def test_patient_children_watch_settles(zk, zk_client, base):
    zk.create(f"{base}/a")
    result = PatientChildrenWatch(zk_client(), base, 0.3).start()
    children, _ = result.get(timeout=20)
    assert children == ["a"]


def test_tree_cache_mirrors_a_subtree(zk, zk_client, base):
    cache = TreeCache(zk_client(), base)
    events = []
    cache.listen(lambda event: events.append(event.event_type))
    cache.start()
    wait_until(lambda: TreeEvent.INITIALIZED in events)
    zk.create(f"{base}/a", b"1")
    zk.create(f"{base}/a/b", b"2")
    wait_until(lambda: cache.get_data(f"{base}/a/b"))
    assert cache.get_data(f"{base}/a/b").data == b"2"
    zk.set(f"{base}/a/b", b"3")
    wait_until(lambda: cache.get_data(f"{base}/a/b").data == b"3")
    zk.delete(f"{base}/a/b")
    wait_until(lambda: cache.get_data(f"{base}/a/b") is None)
    cache.close()


def test_lease_is_taken_once(zk_client, base):
    from datetime import timedelta

    first = NonBlockingLease(zk_client(), f"{base}/lease", timedelta(minutes=1), "first")
    second = NonBlockingLease(zk_client(), f"{base}/lease", timedelta(minutes=1), "second")
    assert bool(first) is True
    assert bool(second) is False


def test_partitioner_divides_the_set(zk_client, base):
    made = [
        zk_client().SetPartitioner(f"{base}/partition", set=range(6), identifier=f"p{number}", time_boundary=0.5)
        for number in range(2)
    ]

    def step():
        for partitioner in made:
            if partitioner.release:
                partitioner.release_set()
        shares = [set(p) if p.state == PartitionState.ACQUIRED else set() for p in made]
        return all(shares) and set.union(*shares) == set(range(6)) and not set.intersection(*shares)

    wait_until(step, timeout=60, what="a complete division")
    for partitioner in made:
        partitioner.finish()
