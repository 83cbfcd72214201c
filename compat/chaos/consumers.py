"""Kafka consumers of the load: one that keeps everything it reads, and a group that commits."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from chaos.actor import Actor
from chaos.producers import PARTITIONS, QUICK
from harness.waiting import wait_until

CHECK_SECONDS = 20.0


def consumer(bootstrap, group, **settings):
    """A consumer that comes back quickly."""
    quick = {key: value for key, value in QUICK.items() if key != "linger.ms"}
    return Consumer({
        "bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100, "fetch.error.backoff.ms": 50, **quick, **settings,
    })


class Follower(Actor):
    """Reads every partition of the topics from the start; `records` holds each value at its offset."""

    kind = "consumer"

    def __init__(self, bootstrap, topics):
        super().__init__("follower")
        self.partitions = [(topic, partition) for topic in topics for partition in range(PARTITIONS)]
        self.records = {at: {} for at in self.partitions}
        self.next = {at: 0 for at in self.partitions}
        self.consumer = consumer(bootstrap, "chaos-follower")
        self.consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in self.partitions])

    def step(self):
        for message in self.consumer.consume(500, timeout=0.1):
            error = message.error()
            if error is not None:
                if not error.retriable() and error.name() not in ("_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT"):
                    self.problem(f"{message.topic()} [{message.partition()}]: {error}")
                continue
            self.take((message.topic(), message.partition()), message.offset(), message.value())

    def take(self, at, offset, value):
        """One record; offsets of a partition only go up."""
        if offset < self.next[at]:
            self.problem(f"{at} came back to offset {offset} after {self.next[at] - 1}")
        self.next[at] = max(self.next[at], offset + 1)
        known = self.records[at].setdefault(offset, value)
        if known != value:
            self.problem(f"{at} offset {offset} was {known!r} and is now {value!r}")
        self.pulses[None].beat()

    def end(self):
        super().end()
        self.consumer.close()


class Committer(Actor):
    """A member of a group that commits growing offsets; an acknowledged commit is never forgotten."""

    kind = "committing group"

    def __init__(self, bootstrap, topic):
        super().__init__("committer")
        self.topic = topic
        self.bootstrap = bootstrap
        self.consumer = consumer(bootstrap, "chaos-committer")
        self.offset = 0
        self.acknowledged = -1
        self.attempted = -1

    def step(self):
        self.attempted = self.offset
        try:
            self.consumer.commit(offsets=[TopicPartition(self.topic, 0, self.offset)], asynchronous=False)
        except KafkaException as error:
            if error.args[0].fatal():
                self.problem(f"the group's member gave up: {error}")
            time.sleep(0.05)
            return
        self.acknowledged = self.offset
        self.offset += 1
        self.pulses[None].beat()
        time.sleep(0.02)

    def check(self):
        """Asks for the committed offset while the thread is paused; the coordinator may just be moving back."""
        def committed():
            try:
                return self.consumer.committed([TopicPartition(self.topic, 0)], timeout=5)
            except KafkaException as error:
                if not error.args[0].retriable() and error.args[0].code() != KafkaError.NOT_COORDINATOR:
                    raise
                return None

        (answer,) = wait_until(committed, CHECK_SECONDS, "the committed offset")
        if not self.acknowledged <= answer.offset <= self.attempted:
            self.problem(f"committed offset {answer.offset}, but {self.acknowledged} was acknowledged and {self.attempted} tried")

    def end(self):
        super().end()
        self.consumer.close()
