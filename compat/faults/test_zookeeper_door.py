"""Bad input on port 2181: the connection that sends it gets the protocol's error or is closed; the others are served."""

import random
import socket
import struct
import threading

import pytest

from harness.raw import OPEN_ACL, Session, connect, create_body, frame, get_body, is_closed, receive_frame, text
from harness.waiting import wait_until

HUGE = 2**31 - 1

OPCODES = [*range(1, 26), *range(100, 108), -10, -11, -1, 500, 999, HUGE, -HUGE]


@pytest.mark.parametrize("length", [-1, -(2**31), HUGE, 64 * 2**20, 0, 1, 43])
def test_a_bad_first_length_closes_the_connection(zk_address, zookeeper_serves, memory, length):
    bad = connect(zk_address)
    bad.sendall(struct.pack(">i", length) + b"\0" * max(0, min(length, 100)))
    assert is_closed(bad)
    zookeeper_serves()
    memory.grew_less_than(16)


@pytest.mark.parametrize("length", [-1, -(2**31), HUGE, 64 * 2**20])
def test_a_bad_length_after_the_handshake_closes_the_connection(zk_address, zookeeper_serves, memory, length):
    session = Session(zk_address)
    session.socket.sendall(struct.pack(">i", length) + b"\0" * 100)
    assert is_closed(session.socket)
    zookeeper_serves()
    memory.grew_less_than(16)


def test_truncated_frames_never_answer_and_hurt_nobody(zk_address, zookeeper_serves):
    body = frame(struct.pack(">ii", 1, 4) + get_body("/good"))
    for cut in range(len(body)):
        session = Session(zk_address)
        session.socket.sendall(body[:cut])
        session.socket.shutdown(socket.SHUT_WR)
        assert is_closed(session.socket)
    zookeeper_serves()


@pytest.mark.parametrize("opcode", [0, 13, 200, -7, 999])
def test_an_unknown_operation_is_answered_and_closed(zk_address, zookeeper_serves, opcode):
    session = Session(zk_address)
    answer = session.call(7, opcode, get_body("/"))
    # Apache answers -6 with zxid -1 and closes; a notification (0) it may just drop.
    assert answer is None or (answer[0], answer[1], answer[2]) == (7, -1, -6)
    assert is_closed(session.socket)
    zookeeper_serves()


def vector_lies():
    """Request bodies whose counts or lengths promise far more than follows."""
    for count in (HUGE, 2**30, 10**6, -2, -(2**31)):
        packed = struct.pack(">i", count)
        yield 1, text("/lie") + packed + b"x"
        yield 1, text("/lie") + struct.pack(">i", 0) + packed + OPEN_ACL[4:] + struct.pack(">i", 0)
        yield 4, packed + b"/lie"
        yield 7, text("/good") + packed + OPEN_ACL[4:] + struct.pack(">i", 0)
        yield 101, struct.pack(">q", 0) + packed + text("/lie")
        yield 105, struct.pack(">q", 0) + packed * 5
        yield 14, struct.pack(">i?i", 1, False, -1) + text("/lie") + packed
        yield 100, struct.pack(">i", 0) + packed + b"digest"


def test_lengths_that_lie_are_not_believed(zk_address, zookeeper_serves, memory):
    for opcode, body in vector_lies():
        session = Session(zk_address)
        session.socket.settimeout(20)
        session.send(1, opcode, body)
        session.socket.shutdown(socket.SHUT_WR)
        assert is_closed(session.socket), (opcode, body[:20])
        session.close()
    zookeeper_serves()
    memory.grew_less_than(32)


def test_noise_in_every_operation(zk_address, zookeeper_serves, memory):
    chance = random.Random(2181)
    for opcode in OPCODES:
        for _ in range(12):
            session = Session(zk_address)
            noise = chance.randbytes(chance.choice([0, 1, 4, 9, 40, 300]))
            try:
                session.send(chance.choice([1, -1, -2, -4, -8, HUGE]), opcode, noise)
                session.send(2, 3, get_body("/good"))
                session.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            assert is_closed(session.socket), (opcode, noise)
            session.close()
    zookeeper_serves()
    memory.grew_less_than(32)


def test_noise_instead_of_a_handshake(zk_address, zookeeper_serves):
    chance = random.Random(9092)
    for _ in range(200):
        bad = connect(zk_address)
        try:
            bad.sendall(frame(chance.randbytes(chance.choice([1, 20, 44, 45, 60, 1000]))))
            bad.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        assert is_closed(bad)
        bad.close()
    zookeeper_serves()


def test_a_truncated_create_does_not_stop_the_writers(zk_address, zookeeper_serves):
    # In Apache 3.9.5 one such record stops a whole ensemble from writing.
    session = Session(zk_address)
    session.send(1, 1, create_body("/truncated")[:9])
    answer = session.reply()
    assert answer is None or answer[2] == -5
    zookeeper_serves()


def test_a_bad_ttl_is_refused(server, zk_address, zookeeper_serves):
    if server.external:
        pytest.skip("flag 0 with ttl -1 kills Apache ZooKeeper 3.9.5, and again at each restart")
    session = Session(zk_address)
    answer = session.call(1, 21, create_body("/ttl-bad") + struct.pack(">q", -1))
    assert answer is None or answer[2] in (-8, -6, -5)
    zookeeper_serves()


def test_a_reader_that_never_reads_is_bounded(zk_address, zookeeper_serves, memory):
    writer = Session(zk_address)
    assert writer.call(1, 1, create_body("/slow", b"x" * 900_000))[2] in (0, -110)
    slow = Session(zk_address)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.socket.settimeout(1)
    request = frame(struct.pack(">ii", 1, 4) + get_body("/slow"))
    sent = 0
    try:
        for _ in range(20_000):
            slow.socket.sendall(request)
            sent += 1
    except OSError:
        # The server stopped reading from it, or closed it: either bounds what it owes.
        pass
    zookeeper_serves()
    # 20,000 answers would be 17 GiB.
    memory.grew_less_than(96)
    slow.close()
    writer.close()
    zookeeper_serves()


def test_a_watcher_that_never_reads_is_bounded(zk_address, zookeeper_serves, memory):
    slow = Session(zk_address, timeout_ms=40_000)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # A recursive watch on the root sees every change.
    assert slow.call(1, 106, text("/") + struct.pack(">i", 1))[2] == 0
    writer = Session(zk_address)
    path = "/" + "w" * 2000
    assert writer.call(1, 1, create_body(path))[2] in (0, -110)
    body = text(path) + struct.pack(">i", 0) + struct.pack(">i", -1)
    for start in range(0, 20_000, 500):
        writer.socket.sendall(b"".join(frame(struct.pack(">ii", start + i, 5) + body) for i in range(500)))
        for _ in range(500):
            assert writer.reply()[2] == 0
    zookeeper_serves()
    memory.grew_less_than(96)
    slow.close()
    writer.close()


def test_requests_without_end_before_the_answers_are_read(zk_address, zookeeper_serves):
    busy = Session(zk_address)
    count = 20_000
    body = get_body("/good")

    def send():
        for start in range(0, count, 100):
            busy.socket.sendall(b"".join(frame(struct.pack(">ii", start + i, 3) + body) for i in range(100)))

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    xids = [busy.reply()[0] for _ in range(count)]
    sender.join(30)
    assert xids == list(range(count))
    zookeeper_serves()
    busy.close()


def test_one_byte_at_a_time(zk_address, zookeeper_serves):
    slow = connect(zk_address)
    request = frame(struct.pack(">iqiqi", 0, 0, 10_000, 0, 16) + b"\0" * 16)
    for byte in request:
        slow.sendall(bytes([byte]))
    assert len(receive_frame(slow)) == 36
    for byte in frame(struct.pack(">ii", 1, 3) + get_body("/good")):
        slow.sendall(bytes([byte]))
    assert struct.unpack(">iqi", receive_frame(slow)[:16])[0] == 1
    slow.close()
    zookeeper_serves()


def test_a_client_that_never_sends_costs_nothing(zk_address, zookeeper_serves, memory):
    silent = [connect(zk_address) for _ in range(200)]
    zookeeper_serves()
    memory.grew_less_than(16)
    for one in silent:
        one.close()
    zookeeper_serves()


def test_connections_of_one_address_are_limited(new_node):
    node = new_node({"maxClientCnxns": "5"}).start()
    held = [Session(node.zk) for _ in range(5)]
    assert Session(node.zk).dropped
    held.pop().close()
    wait_until(lambda: not Session(node.zk).dropped, what="a free place")
    for session in held:
        session.close()
