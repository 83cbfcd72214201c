"""Ports for programs that must be told theirs: free a moment ago, and outside the range that the kernel hands out."""

import random
import socket


def block(count):
    """The first of `count` free neighbouring ports on the loopback address."""
    for _ in range(200):
        first = random.randrange(12_000, 32_000)
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise OSError(f"no {count} free neighbouring ports")
