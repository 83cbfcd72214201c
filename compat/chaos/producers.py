"""Kafka producers of the load: every record has a value of its own, and says where it belongs in the order of its partition."""

import time

from confluent_kafka import KafkaException, Producer

from chaos.actor import Actor, Pulse
from chaos.history import Sent

PARTITIONS = 3
PAUSE_SECONDS = 0.01
# Records that wait for their acknowledgement; a producer that is cut off stops here and goes on later.
OUTSTANDING = 2000

QUICK = {
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 100,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 100,
    "socket.timeout.ms": 5000,
    "topic.metadata.refresh.interval.ms": 1000,
    "linger.ms": 2,
    "log_level": 0,
}


class RecordWriter(Actor):
    """Sends to every partition in turn, and notes each record with the answer to it."""

    def __init__(self, bootstrap, topic, kind, **settings):
        super().__init__(topic)
        self.kind = kind
        self.topic = topic
        self.pulses = {partition: Pulse() for partition in range(PARTITIONS)}
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "acks": "all", "message.timeout.ms": 300_000, **QUICK,
            **{key.replace("_", "."): value for key, value in settings.items()},
        })
        self.sent = []
        self.count = 0
        self.outstanding = 0
        self.failed = 0

    def step(self):
        if self.outstanding < OUTSTANDING:
            for partition in range(PARTITIONS):
                self.send(partition, f"{self.count}".encode())
            self.count += 1
        self.producer.poll(PAUSE_SECONDS)
        time.sleep(PAUSE_SECONDS / 2)

    def send(self, partition, value):
        """Queues one record."""
        record = Sent(self.topic, partition, value, None)

        def answered(error, message):
            self.outstanding -= 1
            if error is None:
                record.offset = message.offset()
                self.pulses[partition].beat()
            else:
                self.failed += 1
                if error.fatal():
                    self.problem(f"the producer gave up: {error}")

        try:
            self.producer.produce(self.topic, value=value, partition=partition, on_delivery=answered)
        except KafkaException as error:
            self.problem(f"cannot produce: {error}")
            time.sleep(0.5)
            return
        self.outstanding += 1
        self.sent.append(record)

    def flush(self, timeout):
        """Waits for every answer; called while the thread is paused. Returns how many are missing."""
        return self.producer.flush(timeout)

    def end(self):
        super().end()
        self.producer.flush(5)
