"""Sockets without a client library: for handshakes, single requests and everything that no client would send."""

import socket
import struct
import time


def connect(address, timeout=20.0):
    """A TCP connection to `host:port`."""
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def frame(body):
    """`body` behind its length, as both protocols send it."""
    return struct.pack(">i", len(body)) + body


def receive(connection, count):
    """Exactly `count` bytes, or None if the other side closes before."""
    data = b""
    while len(data) < count:
        try:
            part = connection.recv(count - len(data))
        except ConnectionResetError:
            return None
        if not part:
            return None
        data += part
    return data


def receive_frame(connection):
    """The body of the next frame, or None if the other side closes."""
    length = receive(connection, 4)
    return None if length is None else receive(connection, struct.unpack(">i", length)[0])


def is_closed(connection, timeout=20.0):
    """True if the other side closes within `timeout` seconds; what it sends before that is thrown away."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def four_letters(address, word, timeout=20.0):
    """What a server answers to a four-letter word."""
    with connect(address, timeout) as connection:
        connection.sendall(word.encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.decode(errors="replace")


class Session:
    """A ZooKeeper session on one raw connection. `timeout` is 0 if the server refused it."""

    def __init__(self, address, session=0, password=b"\0" * 16, timeout_ms=10_000, last_zxid=0, read_only=None,
                 socket_timeout=20.0):
        self.socket = connect(address, socket_timeout)
        body = struct.pack(">iqiqi", 0, last_zxid, timeout_ms, session, len(password)) + password
        if read_only is not None:
            body += bytes([read_only])
        self.socket.sendall(frame(body))
        answer = receive_frame(self.socket)
        self.dropped = answer is None
        if self.dropped:
            self.socket.close()
            return
        self.answer_length = len(answer)
        _, self.timeout, self.id, length = struct.unpack(">iiqi", answer[:20])
        self.password = answer[20:20 + length]

    def send(self, xid, opcode, body=b""):
        """One request."""
        self.socket.sendall(frame(struct.pack(">ii", xid, opcode) + body))

    def reply(self):
        """The next reply as (xid, zxid, error, body), or None if the server closes."""
        answer = receive_frame(self.socket)
        if answer is None:
            return None
        return (*struct.unpack(">iqi", answer[:16]), answer[16:])

    def call(self, xid, opcode, body=b""):
        """One request and its reply."""
        self.send(xid, opcode, body)
        return self.reply()

    def close(self):
        """Closes the socket and leaves the session to its timeout."""
        self.socket.close()


def text(value):
    """A string as jute writes it."""
    data = value.encode()
    return struct.pack(">i", len(data)) + data


OPEN_ACL = struct.pack(">ii", 1, 31) + text("world") + text("anyone")


def create_body(path, data=b"", flags=0):
    """The body of a create request with the open ACL."""
    return text(path) + struct.pack(">i", len(data)) + data + OPEN_ACL + struct.pack(">i", flags)


def get_body(path, watch=False):
    """The body of exists, getData and getChildren."""
    return text(path) + bytes([watch])
