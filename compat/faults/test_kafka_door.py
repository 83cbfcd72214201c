"""Bad input on port 9092: the connection that sends it gets the protocol's error or is closed; the others are served."""

import random
import socket
import struct
import threading

import pytest

from harness.raw import connect, frame, is_closed, receive_frame
from harness.topics import create, produce

HUGE = 2**31 - 1


def header(api, version, correlation=1, client="raw", flexible=None):
    """A request header: version 1, or 2 for flexible requests."""
    data = struct.pack(">hhi", api, version, correlation) + struct.pack(">h", len(client)) + client.encode()
    return data + (b"\0" if flexible else b"")


def api_versions(connection):
    """The (min, max) of every API by key, as the server advertises them in version 0."""
    connection.sendall(frame(header(18, 0)))
    answer = receive_frame(connection)
    error, count = struct.unpack(">hi", answer[4:10])
    assert error == 0
    return {
        key: (low, high)
        for key, low, high in struct.iter_unpack(">hhh", answer[10:10 + 6 * count])
    }


@pytest.mark.parametrize("length", [-1, -(2**31), HUGE, 200 * 2**20])
def test_a_bad_length_closes_the_connection(kafka_address, kafka_serves, memory, length):
    bad = connect(kafka_address)
    bad.sendall(struct.pack(">i", length) + b"\0" * 100)
    assert is_closed(bad)
    kafka_serves()
    memory.grew_less_than(16)


def test_a_promised_frame_that_never_comes_reserves_nothing(server, kafka_address, kafka_serves, memory):
    if server.external:
        pytest.skip("Apache's broker reserves what a length promises, and dies of this test")
    waiting = []
    for _ in range(50):
        one = connect(kafka_address)
        one.sendall(struct.pack(">i", 90 * 2**20) + b"\0" * 100)
        waiting.append(one)
    kafka_serves()
    memory.grew_less_than(64)
    for one in waiting:
        one.close()
    kafka_serves()


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\x03", header(3, 12)[:7], header(3, 12)])
def test_short_requests_close_the_connection(kafka_address, kafka_serves, body):
    bad = connect(kafka_address)
    bad.sendall(frame(body))
    assert is_closed(bad)
    kafka_serves()


def test_an_unknown_version_of_api_versions_is_answered_in_version_0(kafka_address):
    connection = connect(kafka_address)
    connection.sendall(frame(header(18, 99, correlation=77, flexible=True)))
    answer = receive_frame(connection)
    correlation, error, count = struct.unpack(">ihi", answer[:10])
    assert (correlation, error) == (77, 35)
    keys = {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", answer[10:10 + 6 * count])}
    assert keys[18][0] == 0
    # The connection lives on.
    assert 18 in api_versions(connection)
    connection.close()


@pytest.mark.parametrize(("api", "version"), [(3, 99), (0, 200), (1, -1), (999, 0), (-1, 0), (4, 0), (32767, 32767)])
def test_other_unknown_apis_and_versions_close_the_connection(kafka_address, kafka_serves, api, version):
    bad = connect(kafka_address)
    bad.sendall(frame(header(api, version) + b"\0" * 20))
    assert is_closed(bad)
    kafka_serves()


def lies():
    """Bodies that begin with a count or length that nothing fulfils, in both encodings."""
    for count in (HUGE, 2**30, 10**7, -2, -(2**31)):
        yield struct.pack(">i", count) * 4
        yield struct.pack(">h", -2) + struct.pack(">i", count) * 3
        yield struct.pack(">h", -1) + struct.pack(">hi", 1, 1000) + struct.pack(">i", count) + b"\0" * 8
    for varint in (b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80" * 11, b"\xfe\xff\xff\xff\x07"):
        yield b"\0" + varint + b"\0" * 8
        yield varint * 3
        yield b"\0\0\0\0" + varint + b"\x01" * 8


def test_lengths_that_lie_are_not_believed_in_any_version(kafka_address, kafka_serves, memory):
    probe = connect(kafka_address)
    known = api_versions(probe)
    probe.close()
    for api, (low, high) in known.items():
        for version in {low, (low + high) // 2, high}:
            for lie in lies():
                bad = connect(kafka_address)
                try:
                    bad.sendall(frame(header(api, version) + lie))
                    bad.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                assert is_closed(bad), (api, version, lie)
                bad.close()
        kafka_serves()
    memory.grew_less_than(64)


def test_noise_in_every_api(kafka_address, kafka_serves, memory):
    chance = random.Random(9092)
    probe = connect(kafka_address)
    known = api_versions(probe)
    probe.close()
    for api, (low, high) in known.items():
        for version in range(low, high + 1):
            bad = connect(kafka_address)
            try:
                noise = chance.randbytes(chance.choice([0, 3, 17, 100, 1000]))
                bad.sendall(frame(header(api, version, flexible=chance.random() < 0.5) + noise))
                bad.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            assert is_closed(bad), (api, version)
            bad.close()
    kafka_serves()
    memory.grew_less_than(64)


def test_truncated_requests_hurt_nobody(kafka_address, kafka_serves):
    whole = frame(header(3, 1) + struct.pack(">i", -1))
    for cut in range(len(whole)):
        bad = connect(kafka_address)
        bad.sendall(whole[:cut])
        bad.shutdown(socket.SHUT_WR)
        assert is_closed(bad)
        bad.close()
    kafka_serves()


def fetch_request(topic, correlation):
    """A Fetch of version 4 of up to 1 MiB from offset 0."""
    name = topic.encode()
    body = struct.pack(">iiiib", -1, 0, 1, 2**20, 0) + struct.pack(">i", 1) + struct.pack(">h", len(name)) + name
    body += struct.pack(">i", 1) + struct.pack(">iqi", 0, 0, 2**20)
    return frame(header(1, 4, correlation) + body)


def test_a_reader_that_never_reads_is_bounded(kafka_address, kafka_serves, memory, name):
    topic = f"{name}-slow"
    create(kafka_address, topic)
    produce(kafka_address, topic, [(None, b"x" * 100_000)] * 20)
    readers = []
    for _ in range(20):
        slow = connect(kafka_address, timeout=0.5)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            for correlation in range(2000):
                slow.sendall(fetch_request(topic, correlation))
        except OSError:
            # The server stopped reading from it: that bounds what it owes.
            pass
        readers.append(slow)
    kafka_serves()
    # 40,000 answers would be 39 GiB.
    memory.grew_less_than(192)
    for slow in readers:
        slow.close()
    kafka_serves()


def test_requests_without_end_are_answered_in_order(kafka_address, kafka_serves):
    busy = connect(kafka_address)
    count = 5000

    def send():
        for correlation in range(count):
            busy.sendall(frame(header(18, 0, correlation)))

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    seen = [struct.unpack(">i", receive_frame(busy)[:4])[0] for _ in range(count)]
    sender.join(30)
    assert seen == list(range(count))
    busy.close()
    kafka_serves()


def test_one_byte_at_a_time(kafka_address):
    slow = connect(kafka_address)
    for byte in frame(header(18, 0, correlation=5)):
        slow.sendall(bytes([byte]))
    assert struct.unpack(">i", receive_frame(slow)[:4])[0] == 5
    slow.close()


def batch(**wrong):
    """A record batch of version 2 with one empty record; `wrong` replaces header fields, CRC included."""
    field = {"offset": 0, "length": None, "epoch": 0, "magic": 2, "crc": 0, "attributes": 0, "last": 0, "count": 1, **wrong}
    tail = struct.pack(">hiqqqhii", field["attributes"], field["last"], 0, 0, -1, -1, -1, field["count"])
    tail += b"\x0c\x00\x00\x00\x01\x01\x00"
    length = field["length"] if field["length"] is not None else 9 + len(tail)
    return struct.pack(">qiibI", field["offset"], length, field["epoch"], field["magic"], field["crc"]) + tail


@pytest.mark.parametrize("wrong", [
    {}, {"length": HUGE}, {"length": -1}, {"length": 0}, {"magic": 0}, {"magic": 1}, {"magic": 9}, {"count": HUGE}, {"count": -1},
    {"last": HUGE}, {"last": -1}, {"attributes": 7}, {"attributes": 0x20}, {"offset": 5},
])
def test_bad_batches_are_refused(kafka_address, kafka_serves, name, wrong):
    # Even the first has a CRC that is wrong.
    connection = connect(kafka_address)
    data, topic = batch(**wrong), name.encode()
    body = struct.pack(">hhi", -1, 1, 5000) + struct.pack(">ih", 1, len(topic)) + topic + struct.pack(">ii", 1, 0)
    body += struct.pack(">i", len(data)) + data
    connection.sendall(frame(header(0, 3) + body))
    answer = receive_frame(connection)
    if answer is not None:
        # Behind correlation, topic count and name come the partition count, its index and the error.
        at = 4 + 4 + 2 + len(topic) + 4 + 4
        assert struct.unpack(">h", answer[at:at + 2])[0] != 0
    connection.close()
    kafka_serves()
