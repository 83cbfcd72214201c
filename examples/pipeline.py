"""A message pipeline whose consumer group takes its settings from a znode, and follows them while it runs."""

import json
import uuid

from kafka import KafkaConsumer, KafkaProducer
from kazoo.client import KazooClient

from addresses import KAFKA, ZOOKEEPER

ORDERS = f"orders-{uuid.uuid4().hex[:8]}"
SETTINGS = f"/pipelines/{ORDERS}"

zk = KazooClient(hosts=ZOOKEEPER)
zk.start()
zk.create(SETTINGS, json.dumps({"group": f"billing-{ORDERS}", "minimum": 10}).encode(), makepath=True)

settings = {}


@zk.DataWatch(SETTINGS)
def follow(data, stat):
    settings.update(json.loads(data))


producer = KafkaProducer(bootstrap_servers=KAFKA, acks="all")
consumer = KafkaConsumer(
    ORDERS,
    bootstrap_servers=KAFKA,
    group_id=settings["group"],
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    consumer_timeout_ms=20_000,
)


def bill(amounts):
    """Sends orders, and returns those that the pipeline would bill by the settings of now."""
    for amount in amounts:
        producer.send(ORDERS, json.dumps({"amount": amount}).encode())
    producer.flush()
    orders = [json.loads(next(consumer).value) for _ in amounts]
    consumer.commit()
    return sorted(order["amount"] for order in orders if order["amount"] >= settings["minimum"])


print(f"minimum {settings['minimum']}: billed {bill([5, 15, 25])}")

zk.set(SETTINGS, json.dumps({**settings, "minimum": 20}).encode())
while settings["minimum"] != 20:
    zk.sync(SETTINGS)
print(f"minimum {settings['minimum']}: billed {bill([5, 15, 25])}")

consumer.close()
producer.close()
zk.delete(SETTINGS)
zk.stop()
