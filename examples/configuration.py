"""Configuration management: a watch and a Kafka consumer see the same change, and its offset is the znode's mzxid.

Services that speak ZooKeeper watch /app/config. Everything that speaks Kafka reads the same changes from `__znodes`.
"""

import queue

from kafka import KafkaConsumer, TopicPartition
from kazoo.client import KazooClient

from addresses import KAFKA, ZOOKEEPER

zk = KazooClient(hosts=ZOOKEEPER)
zk.start()
zk.ensure_path("/app/config")

feed = KafkaConsumer(bootstrap_servers=KAFKA, consumer_timeout_ms=10_000)
feed.assign([TopicPartition("__znodes", 0)])
feed.seek(TopicPartition("__znodes", 0), zk.exists("/app/config").mzxid)

seen = queue.Queue()
zk.DataWatch("/app/config", lambda data, stat: seen.put((data, stat.mzxid)))
seen.get(timeout=10)  # The watch begins with the value of now.

for value in (b"log_level=info", b"log_level=debug"):
    zk.set("/app/config", value)
    data, mzxid = seen.get(timeout=10)
    print(f"the watch saw {data.decode()} with mzxid {mzxid}")
    record = next(record for record in feed if record.key == b"/app/config" and record.value == value)
    print(f"the feed saw  {record.value.decode()} at offset {record.offset}")
    assert record.offset == mzxid

feed.close()
zk.stop()
