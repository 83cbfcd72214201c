"""Which process holds a socket, as Linux tells it."""

import os
import socket
import struct
from pathlib import Path

TABLE = Path("/proc/net/tcp")


def _text(address):
    """`host, port` in the form of the kernel's table: the address in the machine's byte order."""
    host, port = address[:2]
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"


def inode(local, remote):
    """The inode of the socket with these ends, or None."""
    wanted = [_text(local), _text(remote)]
    with TABLE.open(encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1:3] == wanted:
                return int(fields[9])
    return None


def owner(local, remote, processes):
    """The one of `processes` that holds the socket with these ends, or None."""
    number = inode(local, remote)
    if not number:
        return None
    wanted = f"socket:[{number}]"
    for process in processes:
        folder = f"/proc/{process}/fd"
        try:
            for name in os.listdir(folder):
                try:
                    if os.readlink(f"{folder}/{name}") == wanted:
                        return process
                except OSError:
                    continue
        except OSError:
            continue
    return None
