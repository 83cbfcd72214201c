"""A TCP proxy in front of nodes that can cut who talks to whom, in each direction on its own.

Every door of every node has a port here. The proxy knows who is behind an accepted connection, because it finds the process
that holds the other end of it: a node of ours, or a client. A rule names a direction, such as "from node 1 to node 2";
while it stands, bytes of that direction stay where they are, on connections of either side. Nothing is dropped: as
with lost packets that TCP sends again, what was held goes on when the rule ends, however late it is then.
"""

import asyncio
import socket
import threading

from harness.sockets import owner

CLIENT = "client"
CHUNK = 64 * 1024


class Direction:
    """One way of one connection: copies bytes while no rule holds them."""

    def __init__(self, proxy, source, target, reader, writer):
        self.proxy, self.source, self.target = proxy, source, target
        self.reader, self.writer = reader, writer

    async def copy(self):
        """Until the source ends or either side breaks."""
        try:
            while data := await self.reader.read(CHUNK):
                await self.proxy.passage(self.source, self.target)
                self.writer.write(data)
                await self.writer.drain()
            # The end of a stream is a packet too.
            await self.proxy.passage(self.source, self.target)
        except OSError:
            pass
        finally:
            self.writer.close()


class Proxy:
    """All doors of a cluster. Parties are node ids and `CLIENT`; everything runs in one thread."""

    def __init__(self, processes):
        """`processes` returns {process id: node id} of the nodes as of now."""
        self.processes = processes
        self.rules = set()
        self.changed = None
        self.loop = asyncio.new_event_loop()
        # By node: [address of the node's own door, port of ours, the socket that listens while the node is there].
        self.doors = {}
        self.tasks = set()
        self.thread = threading.Thread(target=self._run, daemon=True, name="proxy")
        started = threading.Event()
        self.loop.call_soon(started.set)
        self.thread.start()
        started.wait()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.changed = asyncio.Event()
        self.loop.run_forever()
        self.loop.close()

    def _do(self, work, timeout=20.0):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def add(self, node, address, port):
        """Puts a door in front of `address` of `node`; it opens with the others of the node."""
        self.doors.setdefault(node, []).append([address, port, None])

    def _begin(self, work):
        """A task that nobody waits for, kept from being collected."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def open(self, node):
        """Listens for a node that is about to start."""
        async def listen():
            for door in self.doors[node]:
                address, port, listening = door
                if listening is None:
                    door[2] = listening = socket.create_server(("127.0.0.1", port), backlog=512)
                    listening.setblocking(False)
                    self.loop.add_reader(listening, self._accept, node, address, listening)

        self._do(listen())

    def shut(self, node):
        """Refuses connections, as the machine of a process that is gone does; those that are open end with the process."""
        async def stop():
            self._stop_listening(self.doors[node])

        self._do(stop())

    def _stop_listening(self, doors):
        for door in doors:
            listening, door[2] = door[2], None
            if listening is not None:
                self.loop.remove_reader(listening)
                listening.close()

    def _accept(self, node, address, listening):
        """Takes one of the connections that wait."""
        try:
            accepted, _ = listening.accept()
        except OSError:
            # It went away again.
            return
        accepted.setblocking(False)
        self._begin(self._accepted(node, address, accepted))

    async def _accepted(self, node, address, accepted):
        """Connects an accepted connection on, or refuses it as the node does."""
        try:
            process = owner(accepted.getpeername(), accepted.getsockname(), self.processes())
        except OSError:
            # It is gone already.
            accepted.close()
            return
        party = self.processes().get(process, CLIENT)
        # A connection that cannot be made is one that waits.
        await self.passage(party, node)
        await self.passage(node, party)
        host, port = address.rsplit(":", 1)
        try:
            reader, writer = await asyncio.open_connection(sock=accepted)
        except OSError:
            accepted.close()
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            # The caller must see a refusal as early as it can: a reset, not an orderly end.
            _reset(writer)
            return
        for one in (writer, onward_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for direction in (
            Direction(self, party, node, reader, onward_writer), Direction(self, node, party, onward_reader, writer),
        ):
            self._begin(direction.copy())

    async def passage(self, source, target):
        """Waits while a rule holds this direction."""
        while (source, target) in self.rules:
            changed = self.changed
            await changed.wait()

    def set_rules(self, rules):
        """Replaces all rules by `rules`, pairs (source, target)."""
        async def replace():
            self.rules = set(rules)
            self.changed.set()
            self.changed = asyncio.Event()

        self._do(replace())

    def heal(self):
        """Ends every rule; what was held goes on."""
        self.set_rules(())

    def close(self):
        """Closes every port and connection."""
        async def end():
            self._stop_listening(sum(self.doors.values(), []))
            tasks = [task for task in self.tasks if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)


def _reset(writer):
    """Closes with a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
