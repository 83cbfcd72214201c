"""Fixtures of the integration tests: an admin client, a feed, and brokers by their znodes."""

import pytest
from confluent_kafka.admin import AdminClient

from harness.feed import Feed


@pytest.fixture
def admin(kafka_address):
    return AdminClient({"bootstrap.servers": kafka_address})


@pytest.fixture
def feed(kafka_address):
    """A feed that starts at the end as of now; call it with 0 for the beginning."""
    made = []

    def make(start=None, address=kafka_address):
        one = Feed(address, 0 if start is None else start)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
