"""Topics and records by confluent-kafka, for suites that need some on the way to something else."""

import os

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from harness.waiting import wait_until


def nodes():
    """How many nodes the suites face: ZOOLOG_NODES, one by default."""
    return int(os.environ.get("ZOOLOG_NODES", "1"))


def replicas():
    """How many copies a topic of the suites has: one on each node, three at most."""
    return min(3, nodes())


def create(address, name, partitions=1, copies=None, **configs):
    """Creates a topic; config keys have underscores for dots."""
    admin = AdminClient({"bootstrap.servers": address})
    settings = {key.replace("_", "."): str(value) for key, value in configs.items()}
    admin.create_topics([NewTopic(name, partitions, copies or replicas(), config=settings)])[name].result(30)
    wait_until(lambda: name in admin.list_topics(timeout=10).topics, what=f"topic {name}")


def produce(address, name, records, partition=0, **settings):
    """Sends (key, value) pairs and waits for every acknowledgement; returns the offsets in order."""
    producer = Producer({"bootstrap.servers": address, **{k.replace("_", "."): v for k, v in settings.items()}})
    offsets, errors = [], []

    def acknowledged(error, message):
        if error:
            errors.append(error)
        else:
            offsets.append(message.offset())

    for key, value in records:
        producer.produce(name, key=key, value=value, partition=partition, on_delivery=acknowledged)
        producer.poll(0)
    assert producer.flush(60) == 0
    assert not errors, errors
    return offsets


def read_all(address, name, partition=0, start=0, timeout=30.0):
    """Every message of a partition from `start` to its end as of now."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader", "enable.auto.commit": False})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=timeout)
        consumer.assign([TopicPartition(name, partition, start)])
        messages = []

        def complete():
            for message in consumer.consume(1000, timeout=0.2):
                assert message.error() is None, message.error()
                messages.append(message)
            position = consumer.position([TopicPartition(name, partition)])[0].offset
            return end <= start or position >= end

        wait_until(complete, timeout, f"{name}-{partition} up to {end}", every=0)
        return messages
    finally:
        consumer.close()
