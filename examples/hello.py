"""The program that this project comes from: a topic with messages, and an ephemeral znode with the topic's config."""

from kafka import KafkaConsumer, KafkaProducer

from addresses import KAFKA, ZOOKEEPER
from zookeeper import ZooKeeper

producer = KafkaProducer(bootstrap_servers=KAFKA)
for number in range(3):
    producer.send("my_topic", f"message {number}".encode())
producer.flush()

consumer = KafkaConsumer("my_topic", bootstrap_servers=KAFKA, auto_offset_reset="earliest", consumer_timeout_ms=10_000)
for _ in range(3):
    message = next(consumer)
    print(f"offset {message.offset}: {message.value.decode()}")

zk = ZooKeeper(ZOOKEEPER, 3000, None)
zk.create("/my_topic", b"my_topic_config", ZooKeeper.EPHEMERAL)
data, stat = zk.get("/my_topic")
print(f"/my_topic: {data.decode()}, written at offset {stat.mzxid} of __znodes")

zk.close()
consumer.close()
producer.close()
