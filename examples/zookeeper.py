"""The part of the old C binding's Python interface that the examples use, over kazoo.

`ZooKeeper(hosts, timeout_ms, watcher)` connects; `watcher` is called with every event of the session, or is None.
"""

from kazoo.client import KazooClient


class ZooKeeper:
    """One session."""

    PERSISTENT = 0
    EPHEMERAL = 1
    SEQUENCE = 2

    def __init__(self, hosts, timeout_ms, watcher=None):
        self._watcher = watcher
        self._client = KazooClient(hosts=hosts, timeout=timeout_ms / 1000)
        if watcher:
            self._client.add_listener(watcher)
        self._client.start()

    def create(self, path, value=b"", flags=PERSISTENT):
        """Makes a znode; returns its path, which a sequence number may have made longer."""
        return self._client.create(path, value, ephemeral=bool(flags & self.EPHEMERAL), sequence=bool(flags & self.SEQUENCE))

    def get(self, path, watch=False):
        """The znode's data and stat."""
        return self._client.get(path, watch=self._watcher if watch else None)

    def set(self, path, value, version=-1):
        """Changes the znode's data; returns its stat."""
        return self._client.set(path, value, version)

    def exists(self, path, watch=False):
        """The znode's stat, or None."""
        return self._client.exists(path, watch=self._watcher if watch else None)

    def get_children(self, path, watch=False):
        """The names of the znode's children."""
        return self._client.get_children(path, watch=self._watcher if watch else None)

    def delete(self, path, version=-1):
        """Removes the znode."""
        self._client.delete(path, version)

    def close(self):
        """Ends the session; its ephemeral znodes go with it."""
        self._client.stop()
        self._client.close()
