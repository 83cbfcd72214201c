"""The topic `__znodes` as an ordinary Kafka consumer sees it, and the tree that follows from it."""

from confluent_kafka import Consumer, TopicPartition

from harness.waiting import wait_until

TOPIC = "__znodes"


class Change:
    """One record of the feed."""

    def __init__(self, message):
        headers = dict(message.headers() or [])
        self.key = message.key().decode()
        self.value = message.value()
        self.offset = message.offset()
        self.headers = {name: value.decode() for name, value in headers.items() if value is not None}
        # The records of one transaction are one batch; its base offset is the zxid.
        self.zxid = self.offset - int(self.headers.get("index", "0"))
        self.timestamp = message.timestamp()[1]

    @property
    def is_znode(self):
        """False for the records of sessions, whose keys are no paths."""
        return self.key.startswith("/")

    @property
    def is_deletion(self):
        """True for a tombstone."""
        return self.value is None

    @property
    def data(self):
        """The znode's data; None if it is null, which a record's value cannot say."""
        return None if self.headers.get("data") == "null" else self.value

    def __repr__(self):
        return f"{self.offset} (zxid {self.zxid}) {self.key} {self.value!r} {self.headers}"


class Feed:
    """Reads the feed from `start` and keeps what it read."""

    def __init__(self, address, start=0):
        self.consumer = Consumer({
            "bootstrap.servers": address,
            "group.id": "feed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
        })
        self.consumer.assign([TopicPartition(TOPIC, 0, start)])
        self.changes = []

    def end(self):
        """The offset behind the last committed record."""
        return self.consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=20)[1]

    def poll(self, timeout=0.1):
        """Takes what is there."""
        for message in self.consumer.consume(1000, timeout=timeout):
            assert message.error() is None, message.error()
            self.changes.append(Change(message))

    def catch_up(self, timeout=60):
        """Reads up to the end as of now; returns this feed."""
        end = self.end()

        def there():
            self.poll()
            position = self.consumer.position([TopicPartition(TOPIC, 0)])[0].offset
            return position >= end

        wait_until(there, timeout, f"the feed up to {end}", every=0)
        return self

    def wait_for(self, condition, timeout=30):
        """Reads until a change fulfils `condition`; returns it."""
        def found():
            self.poll()
            return next((change for change in self.changes if condition(change)), None)

        return wait_until(found, timeout, "a change in the feed", every=0)

    def of(self, path):
        """The changes of one key, in order."""
        return [change for change in self.changes if change.key == path]

    def live(self):
        """The last change of every znode that lives, by path."""
        tree = {}
        for change in self.changes:
            if not change.is_znode:
                continue
            if change.is_deletion:
                tree.pop(change.key, None)
            else:
                tree[change.key] = change
        return tree

    def close(self):
        """Ends the consumer."""
        self.consumer.close()


def tree_of(zk, path="/"):
    """Every znode that a ZooKeeper client sees, by path, as (data, stat)."""
    found = {}
    todo = [path]
    while todo:
        here = todo.pop()
        found[here] = zk.get(here)
        prefix = here.rstrip("/")
        todo += [f"{prefix}/{child}" for child in zk.get_children(here)]
    return found


def mzxid(change):
    """The mzxid of a live znode by its last change: the transaction's, unless the record says that data did not change."""
    stat = dict(part.split("=") for part in change.headers.get("stat", "").split(",") if part)
    return int(stat["mzxid"]) if "mzxid" in stat else change.zxid


def assert_same_tree(feed, zk):
    """The feed's live tree is the one that a ZooKeeper client sees: paths, data and mzxids."""
    while True:
        end = feed.end()
        seen = tree_of(zk)
        # Only a tree that stood still while it was read can be compared; the server writes znodes of its own too.
        if feed.end() == end:
            break
    live = feed.catch_up().live()
    # The root and the system's own znodes of an untouched tree have no transaction that made them.
    born = {path for path, (_, stat) in seen.items() if stat.czxid == 0}
    assert set(live) >= set(seen) - born, sorted(set(seen) - born - set(live))
    assert set(live) <= set(seen), sorted(set(live) - set(seen))
    for path, change in live.items():
        data, stat = seen[path]
        assert (change.data, mzxid(change)) == (data, stat.mzxid), (path, change, data, stat)
