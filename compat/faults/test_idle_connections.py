"""Ten thousand connections that do nothing, half of them on each door, while good clients are served."""

import resource

import pytest

from harness.raw import Session, connect
from harness.waiting import wait_until

WANTED = 10_000


@pytest.mark.timeout(300)
def test_ten_thousand_idle_connections(server, zk_address, kafka_address, zookeeper_serves, kafka_serves, memory):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(WANTED, limit - 500)
    if count < WANTED:
        print(f"the limit on open files is {limit}: trying {count} connections instead of {WANTED}")
    # A few have sessions; the rest never say a word.
    sessions = [Session(zk_address, timeout_ms=40_000) for _ in range(100)]
    idle = []
    try:
        for number in range((count - 100) // 2):
            idle += [connect(zk_address), connect(kafka_address)]
            if number % 500 == 0:
                zookeeper_serves()
                kafka_serves()
                # Their pings, as a client would send them.
                assert all(session.call(-2, 11)[0] == -2 for session in sessions)
        for _ in range(5):
            zookeeper_serves()
            kafka_serves()
        memory.grew_less_than(256)
        assert all(session.call(1, 3, b"\0\0\0\x01/\0")[2] == 0 for session in sessions)
    finally:
        for one in idle:
            one.close()
        for session in sessions:
            session.close()
    zookeeper_serves()
    kafka_serves()
    if not server.external:
        wait_until(lambda: server.open_files() < 500, what="the node to close its side")
