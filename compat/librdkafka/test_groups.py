"""librdkafka's classic consumer groups: sharing, rebalancing, static members, committed offsets."""

import threading

import pytest
from confluent_kafka import Consumer, TopicPartition

from harness import topics
from harness.waiting import wait_until


class Member:
    """A consumer that polls in a thread of its own and notes what it gets."""

    def __init__(self, address, group, topic, **settings):
        self.consumer = Consumer({
            "bootstrap.servers": address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            **{key.replace("_", "."): value for key, value in settings.items()},
        })
        self.messages = []
        self.assigned = set()
        self.assignments = 0
        self._end = threading.Event()
        self.consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _on_assign(self, consumer, partitions):
        self.assignments += 1
        self.assigned |= {partition.partition for partition in partitions}

    def _on_revoke(self, consumer, partitions):
        self.assigned -= {partition.partition for partition in partitions}

    def _run(self):
        while not self._end.is_set():
            message = self.consumer.poll(0.1)
            if message is not None and not message.error():
                self.messages.append((message.partition(), message.offset(), message.value()))

    def stop(self, close=True):
        """Ends the thread; a member that is not closed leaves without a word."""
        self._end.set()
        self._thread.join(30)
        if close:
            self.consumer.close()
        self.assigned = set()


@pytest.fixture
def member(kafka_address, name):
    """Makes members of one group on one topic with four partitions."""
    topics.create(kafka_address, name, partitions=4)
    made = []

    def make(**settings):
        one = Member(kafka_address, name, name, **settings)
        made.append(one)
        return one

    yield make
    for one in made:
        if not one._end.is_set():
            one.stop()


def covers_all(*members):
    """True when the members share the four partitions without overlap."""
    shares = [set(one.assigned) for one in members]
    return all(shares) and set().union(*shares) == {0, 1, 2, 3} and sum(map(len, shares)) == 4


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_members_share_and_take_over(member, strategy):
    first = member(partition_assignment_strategy=strategy)
    wait_until(lambda: covers_all(first), what="one member with all partitions")
    second = member(partition_assignment_strategy=strategy)
    wait_until(lambda: covers_all(first, second), what="two members")
    third = member(partition_assignment_strategy=strategy)
    wait_until(lambda: covers_all(first, second, third), what="three members")
    second.stop()
    wait_until(lambda: covers_all(first, third), what="the two that stay")


def test_a_member_that_dies_is_replaced_after_its_timeout(member):
    first, second = member(), member()
    wait_until(lambda: covers_all(first, second))
    # Its heartbeats stop with a paused poll beyond max.poll.interval.ms only, so its share moves by leaving silently.
    second.stop(close=False)
    second.consumer.unsubscribe()
    wait_until(lambda: covers_all(first), timeout=60, what="the survivor to own everything")
    second.consumer.close()


def test_a_static_member_comes_back_to_its_share_without_a_rebalance(member):
    first = member(group_instance_id="one", session_timeout_ms=30_000)
    second = member(group_instance_id="two", session_timeout_ms=30_000)
    wait_until(lambda: covers_all(first, second))
    share, count = set(second.assigned), first.assignments
    second.stop()
    again = member(group_instance_id="two", session_timeout_ms=30_000)
    wait_until(lambda: again.assigned == share, what="the old share")
    assert first.assignments == count


def test_everything_is_consumed_once_across_a_rebalance(kafka_address, name, member):
    first = member(enable_auto_commit=True)
    wait_until(lambda: covers_all(first))
    for partition in range(4):
        records = [(None, f"{partition}-{number}".encode()) for number in range(100)]
        topics.produce(kafka_address, name, records, partition=partition)
    wait_until(lambda: len(first.messages) == 400)
    first.stop()
    second = member()
    wait_until(lambda: covers_all(second))
    for partition in range(4):
        topics.produce(kafka_address, name, [(None, b"later")], partition=partition)
    wait_until(lambda: len(second.messages) >= 4)
    assert [value for _, _, value in second.messages] == [b"later"] * 4


def test_committed_offsets_and_their_metadata(kafka_address, name):
    topics.create(kafka_address, name, partitions=2)
    topics.produce(kafka_address, name, [(None, b"x")] * 10)
    settings = {"bootstrap.servers": kafka_address, "group.id": name, "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        before = consumer.committed([TopicPartition(name, 0), TopicPartition(name, 1)], timeout=30)
        assert [partition.offset for partition in before] == [-1001, -1001]
        consumer.commit(offsets=[TopicPartition(name, 0, 7, "a note")], asynchronous=False)
        after = consumer.committed([TopicPartition(name, 0), TopicPartition(name, 1)], timeout=30)
        assert [(partition.offset, partition.metadata) for partition in after] == [(7, "a note"), (-1001, None)]
    finally:
        consumer.close()
    resumed = Consumer(settings)
    try:
        resumed.subscribe([name])
        assert resumed.poll(30).offset() == 7
    finally:
        resumed.close()


def test_a_second_member_with_the_same_instance_id_fences_the_first(kafka_address, member):
    first = member(group_instance_id="same")
    wait_until(lambda: covers_all(first))
    second = member(group_instance_id="same")
    wait_until(lambda: covers_all(second), what="the newcomer to take over")
