//! Broker keys of share groups (KIP-932).
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { SHARE, Always;
    "group.share.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide,
        "Server default of share.assignment.interval.ms: the shortest time between two assignments of a \
         group, in milliseconds.";
    "group.share.assignors", List, Some("simple"), NON_EMPTY_LIST, ReadOnly,
        "The server-side assignors for share groups.";
    "group.share.delivery.count.limit", Int, Some("5"), Between(2, 10), ReadOnly,
        "Server default of share.delivery.count.limit: how many times a record is handed out before it is \
         given up.";
    "group.share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "Server default of share.heartbeat.interval.ms: how often members send heartbeats, in milliseconds.";
    "group.share.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly,
        "The largest assignment interval that a share group may set, in milliseconds.";
    "group.share.max.delivery.count.limit", Int, Some("10"), Between(5, 25), ReadOnly,
        "The largest delivery count limit that a share group may set.";
    "group.share.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly,
        "The largest heartbeat interval that a share group may set, in milliseconds.";
    "group.share.max.partition.max.record.locks", Int, Some("4000"), Between(2000, 10000), ReadOnly,
        "The largest number of locked records of a partition that a share group may set.";
    "group.share.max.record.lock.duration.ms", Int, Some("60000"), Between(30000, 3600000), ReadOnly,
        "The longest record lock that a share group may set, in milliseconds.";
    "group.share.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly,
        "The largest session timeout that a share group may set, in milliseconds.";
    "group.share.max.share.sessions", Int, Some("2000"), AtLeast(1), ReadOnly,
        "How many share fetch sessions the broker remembers.";
    "group.share.max.size", Int, Some("200"), Between(1, 1000), ReadOnly,
        "How many members a share group may have.";
    "group.share.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly,
        "The smallest assignment interval that a share group may set, in milliseconds.";
    "group.share.min.delivery.count.limit", Int, Some("2"), Between(2, 5), ReadOnly,
        "The smallest delivery count limit that a share group may set.";
    "group.share.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "The smallest heartbeat interval that a share group may set, in milliseconds.";
    "group.share.min.partition.max.record.locks", Int, Some("100"), Between(100, 2000), ReadOnly,
        "The smallest number of locked records of a partition that a share group may set.";
    "group.share.min.record.lock.duration.ms", Int, Some("15000"), Between(1000, 30000), ReadOnly,
        "The shortest record lock that a share group may set, in milliseconds.";
    "group.share.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly,
        "The smallest session timeout that a share group may set, in milliseconds.";
    "group.share.partition.max.record.locks", Int, Some("2000"), Between(100, 10000), ReadOnly,
        "Server default of share.partition.max.record.locks: how many records of a partition may be out \
         at a time.";
    "group.share.record.lock.duration.ms", Int, Some("30000"), Between(1000, 3600000), ReadOnly,
        "Server default of share.record.lock.duration.ms: how long a member may keep a record, in \
         milliseconds.";
    "group.share.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly,
        "Server default of share.session.timeout.ms: how long a member may stay silent, in milliseconds.";
    "share.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1), ReadOnly,
        "How long the share coordinator gathers changes before it writes them, in milliseconds; -1 adapts \
         by itself.";
    "share.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524288), ClusterWide,
        "The largest write buffer that the share coordinator keeps for its next use, in bytes.";
    "share.coordinator.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly,
        "How many bytes of the share state topic are read at once when a coordinator loads its state.";
    "share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500"), Between(0, 500), ReadOnly,
        "How many update records the share coordinator writes between two snapshots.";
    "share.coordinator.state.topic.compression.codec", Int, Some("0"), Any, ReadOnly,
        "The codec of the share state topic's batches, by its number in the batch format.";
    "share.coordinator.state.topic.min.isr", Short, Some("2"), AtLeast(1), ReadOnly,
        "The min.insync.replicas that the share state topic is created with.";
    "share.coordinator.state.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly,
        "How many partitions the share state topic is created with. Do not change it afterwards.";
    "share.coordinator.state.topic.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly,
        "How many replicas the share state topic is created with.";
    "share.coordinator.state.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly,
        "The segment size of the share state topic, in bytes.";
    "share.coordinator.threads", Int, Some("1"), AtLeast(1), ReadOnly,
        "How many threads run share coordinators.";
    "share.coordinator.write.timeout.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "How long a write of share state waits to be replicated before it fails, in milliseconds.";
}

server_rows! { SHARE_INTERNAL, WhenSet;
    "group.share.initialize.retry.interval.ms", Int, Some("30000"), AtLeast(1), ReadOnly,
        "How long a share group waits before it tries again to set up the state of a partition, in \
         milliseconds.";
    "group.share.persister.class.name", String, Some("org.apache.kafka.server.share.persister.DefaultStatePersister"),
        Any, ReadOnly,
        "The class that stores the state of share groups.";
    "share.coordinator.cold.partition.snapshot.interval.ms", Int, Some("300000"), AtLeast(1), ReadOnly,
        "How often idle share partitions get a snapshot of their state, in milliseconds.";
    "share.coordinator.state.topic.prune.interval.ms", Int, Some("300000"), AtLeast(1), ReadOnly,
        "How often share state that nobody needs any more is removed, in milliseconds.";
}
