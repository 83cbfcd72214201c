//! Broker keys of groups and committed offsets.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { COORDINATOR, Always;
    "group.consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide,
        "Server default of consumer.assignment.interval.ms: the shortest time between two assignments of \
         a group, in milliseconds.";
    "group.consumer.assignors", List, Some("uniform,range"), NON_EMPTY_LIST, ReadOnly,
        "The server-side assignors for the consumer protocol; the first is used when a group names none.";
    "group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "Server default of consumer.heartbeat.interval.ms: how often members send heartbeats, in milliseconds.";
    "group.consumer.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly,
        "The largest assignment interval that a consumer group may set, in milliseconds.";
    "group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly,
        "The largest heartbeat interval that a consumer group may set, in milliseconds.";
    "group.consumer.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly,
        "The largest session timeout that a consumer group may set, in milliseconds.";
    "group.consumer.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly,
        "How many members a group of the consumer protocol may have.";
    "group.consumer.migration.policy", String, Some("bidirectional"),
        OneOfIgnoringCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), ReadOnly,
        "In which directions a group may move between the classic and the consumer protocol while it runs.";
    "group.consumer.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly,
        "The smallest assignment interval that a consumer group may set, in milliseconds.";
    "group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "The smallest heartbeat interval that a consumer group may set, in milliseconds.";
    "group.consumer.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly,
        "The smallest session timeout that a consumer group may set, in milliseconds.";
    "group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly,
        "Server default of consumer.session.timeout.ms: how long a member may stay silent, in milliseconds.";
    "group.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1), ReadOnly,
        "How long the coordinator gathers changes before it writes them, in milliseconds; -1 adapts by itself.";
    "group.coordinator.background.threads", Int, Some("2"), AtLeast(1), ReadOnly,
        "How many threads do the coordinator's longer work, such as computing assignments.";
    "group.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524288), ClusterWide,
        "The largest write buffer that the coordinator keeps for its next use, in bytes.";
    "group.coordinator.rebalance.protocols", List, Some("classic,consumer,streams"),
        non_empty_list_of(&["consumer", "classic", "share", "streams"]), ReadOnly,
        "Which group protocols are offered. The classic protocol cannot be switched off.";
    "group.coordinator.threads", Int, Some("4"), AtLeast(1), ReadOnly,
        "How many threads run group coordinators.";
    "group.initial.rebalance.delay.ms", Int, Some("3000"), Any, ReadOnly,
        "How long the first rebalance of a new classic group waits for more members, in milliseconds.";
    "group.max.session.timeout.ms", Int, Some("1800000"), Any, ReadOnly,
        "The longest session timeout that a classic member may ask for, in milliseconds.";
    "group.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly,
        "How many members a classic group may have.";
    "group.min.session.timeout.ms", Int, Some("6000"), Any, ReadOnly,
        "The shortest session timeout that a classic member may ask for, in milliseconds.";
    "group.streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide,
        "Server default of streams.assignment.interval.ms: the shortest time between two assignments of a \
         group, in milliseconds.";
    "group.streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "Server default of streams.heartbeat.interval.ms: how often members send heartbeats, in milliseconds.";
    "group.streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0), ReadOnly,
        "Server default of streams.initial.rebalance.delay.ms: how long the first assignment waits for \
         more members, in milliseconds.";
    "group.streams.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly,
        "The largest assignment interval that a streams group may set, in milliseconds.";
    "group.streams.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly,
        "The largest heartbeat interval that a streams group may set, in milliseconds.";
    "group.streams.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly,
        "The largest session timeout that a streams group may set, in milliseconds.";
    "group.streams.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly,
        "How many members a streams group may have.";
    "group.streams.max.standby.replicas", Int, Some("2"), AtLeast(0), ReadOnly,
        "The largest number of standby copies that a streams group may set.";
    "group.streams.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly,
        "The smallest assignment interval that a streams group may set, in milliseconds.";
    "group.streams.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "The smallest heartbeat interval that a streams group may set, in milliseconds.";
    "group.streams.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly,
        "The smallest session timeout that a streams group may set, in milliseconds.";
    "group.streams.num.standby.replicas", Int, Some("0"), AtLeast(0), ReadOnly,
        "Server default of streams.num.standby.replicas: how many standby copies of each task's state are \
         kept.";
    "group.streams.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly,
        "Server default of streams.session.timeout.ms: how long a member may stay silent, in milliseconds.";
    "offset.metadata.max.bytes", Int, Some("4096"), Any, ReadOnly,
        "The longest text that a client may attach to a committed offset, in bytes.";
    "offsets.commit.timeout.ms", Int, Some("5000"), AtLeast(1), ReadOnly,
        "How long an offset commit waits for its record to be replicated before it fails, in milliseconds.";
    "offsets.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly,
        "How many bytes of the offsets topic are read at once when a coordinator loads its state.";
    "offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1), ReadOnly,
        "How often the coordinator looks for expired offsets, in milliseconds.";
    "offsets.retention.minutes", Int, Some("10080"), AtLeast(1), ReadOnly,
        "How long committed offsets outlive the last member of their group, in minutes.";
    "offsets.topic.compression.codec", Int, Some("0"), Any, ReadOnly,
        "The codec of the offsets topic's batches, by its number in the batch format.";
    "offsets.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly,
        "How many partitions the offsets topic is created with. Do not change it afterwards.";
    "offsets.topic.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly,
        "How many replicas the offsets topic is created with. A smaller cluster uses as many as it has \
         brokers.";
    "offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly,
        "The segment size of the offsets topic, in bytes. Small segments compact and load faster.";
}

server_rows! { COORDINATOR_INTERNAL, WhenSet;
    "group.consumer.regex.refresh.interval.ms", Int, Some("600000"), AtLeast(10000), ReadOnly,
        "How often topic patterns of subscriptions are matched again, in milliseconds.";
}
