"""Service discovery with leader election: members are ephemeral znodes, the leader is the first in line.

A monitor without any ZooKeeper client follows both through the topic `__znodes`: who comes, and who goes.
"""

import threading
import uuid

from kafka import KafkaConsumer, TopicPartition
from kazoo.client import KazooClient

from addresses import KAFKA, ZOOKEEPER

SERVICE = f"/services/shop-{uuid.uuid4().hex[:8]}"


class Instance:
    """One process of the service."""

    def __init__(self, name):
        self.name = name
        self.leads = threading.Event()
        self.zk = KazooClient(hosts=ZOOKEEPER)
        self.zk.start()
        self.zk.create(f"{SERVICE}/members/{name}", f"10.0.0.1:{name}".encode(), ephemeral=True, makepath=True)
        self._resigns = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        self.zk.Election(f"{SERVICE}/election", self.name).run(self._lead)

    def _lead(self):
        self.leads.set()
        self._resigns.wait()

    def stop(self):
        self._resigns.set()
        self.zk.stop()


first = Instance("8001")
assert first.leads.wait(10)
second, third = Instance("8002"), Instance("8003")
members = second.zk.get_children(f"{SERVICE}/members")
print(f"members: {sorted(members)}, leader: {first.name}")

first.stop()
successor = next(one for one in (second, third) if one.leads.wait(10))
print(f"members: {sorted(successor.zk.get_children(f'{SERVICE}/members'))}, leader: {successor.name}")

monitor = KafkaConsumer(bootstrap_servers=KAFKA, consumer_timeout_ms=10_000, auto_offset_reset="earliest")
monitor.assign([TopicPartition("__znodes", 0)])
monitor.seek_to_beginning()
for record in monitor:
    if record.key.startswith(f"{SERVICE}/members/".encode()):
        print(f"{record.key.decode().rsplit('/', 1)[1]} {'went' if record.value is None else 'came'} at zxid {record.offset}")
        if record.value is None:
            break

second.stop()
third.stop()
monitor.close()
