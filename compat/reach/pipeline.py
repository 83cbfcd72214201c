"""A ZooKeeper client that keeps many creates in flight on one connection; it costs little, because it shares the machine."""

import struct
import time

from harness import raw

CREATE = 1
WINDOW = 1000
CHUNK = 250
DATA = b"x" * 100
TAIL = struct.pack(">i", len(DATA)) + DATA + raw.OPEN_ACL + struct.pack(">i", 0)


class Pipeline:
    """Creates `folder`/0, `folder`/1, ... of 100 B each."""

    def __init__(self, address, folder):
        self.session = raw.Session(address, timeout_ms=30_000)
        if self.session.dropped or self.session.timeout == 0:
            raise ConnectionError(f"{address} refused a session")
        self.folder = folder
        self.sent = 0
        self.answered = 0
        self.buffer = b""
        reply = self.session.call(0, CREATE, raw.create_body(folder))
        if reply is None or reply[2] not in (0, -110):
            raise ConnectionError(f"cannot create {folder}: {reply}")

    def send(self):
        """A chunk of requests."""
        frames = []
        for number in range(self.sent, self.sent + CHUNK):
            path = f"{self.folder}/{number}".encode()
            body = struct.pack(">iii", number & 0x7FFFFFFF, CREATE, len(path)) + path + TAIL
            frames.append(struct.pack(">i", len(body)) + body)
        self.session.socket.sendall(b"".join(frames))
        self.sent += CHUNK

    def receive(self):
        """Takes the replies that are there, at least one read; an error among them is raised."""
        part = self.session.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed the connection")
        data = self.buffer + part
        at, end = 0, len(data)
        while end - at >= 20:
            length, _, _, error = struct.unpack_from(">iiqi", data, at)
            if end - at < 4 + length:
                break
            if error:
                raise ConnectionError(f"a create was answered by error {error}")
            at += 4 + length
            self.answered += 1
        self.buffer = data[at:]

    def run(self, count=None, seconds=None):
        """Creates `count` znodes, or for so long; returns how many a second were answered."""
        begun, before = time.monotonic(), self.answered
        goal = None if count is None else self.answered + count
        while (goal is None or self.answered < goal) and (seconds is None or time.monotonic() < begun + seconds):
            while self.sent - self.answered <= WINDOW - CHUNK and (goal is None or self.sent < goal):
                self.send()
            self.receive()
        rate = (self.answered - before) / (time.monotonic() - begun)
        while self.answered < self.sent:
            self.receive()
        return rate

    def close(self):
        """Leaves the session to its timeout."""
        self.session.close()
