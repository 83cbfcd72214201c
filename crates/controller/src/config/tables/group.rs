//! Group keys: what the GROUP resource accepts (KIP-848, KIP-932, KIP-1071).
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::derived_rows;

derived_rows! { GROUP, Always;
    "consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0),
        [("group.consumer.assignment.interval.ms", Same)],
        "The shortest time between two assignments computed for this consumer group, in milliseconds; 0 \
         computes one for every change.";
    "consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1),
        [("group.consumer.heartbeat.interval.ms", Same)],
        "How often members of this group under the consumer protocol send a heartbeat, in milliseconds.";
    "consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1),
        [("group.consumer.session.timeout.ms", Same)],
        "How long a member of this group under the consumer protocol may stay silent before it is \
         removed, in milliseconds.";
    "share.assignment.interval.ms", Int, Some("1000"), AtLeast(0),
        [("group.share.assignment.interval.ms", Same)],
        "The shortest time between two assignments computed for this share group, in milliseconds; 0 \
         computes one for every change.";
    "share.auto.offset.reset", String, Some("latest"), ShareOffsetReset, [],
        "Where this share group starts on a partition that it has no position for: `latest`, `earliest`, \
         or `by_duration:` followed by an ISO 8601 duration back from now.";
    "share.delivery.count.limit", Int, Some("5"), AtLeast(2), [("group.share.delivery.count.limit", Same)],
        "How many times a record is handed out to this share group before it is given up.";
    "share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1),
        [("group.share.heartbeat.interval.ms", Same)],
        "How often members of this share group send a heartbeat, in milliseconds.";
    "share.isolation.level", String, Some("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"]),
        [],
        "Whether this share group sees only committed transactional records (read_committed) or all of \
         them (read_uncommitted).";
    "share.partition.max.record.locks", Int, Some("2000"), AtLeast(100),
        [("group.share.partition.max.record.locks", Same)],
        "How many records of one partition may be out for processing in this share group at a time.";
    "share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000),
        [("group.share.record.lock.duration.ms", Same)],
        "How long a member of this share group may keep a record before it is offered to another one, in \
         milliseconds.";
    "share.renew.acknowledge.enable", Boolean, Some("true"), Any, [],
        "Whether members of this share group may renew the lock of a record instead of settling it.";
    "share.session.timeout.ms", Int, Some("45000"), AtLeast(1), [("group.share.session.timeout.ms", Same)],
        "How long a member of this share group may stay silent before it is removed, in milliseconds.";
    "streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0),
        [("group.streams.assignment.interval.ms", Same)],
        "The shortest time between two assignments computed for this streams group, in milliseconds; 0 \
         computes one for every change.";
    "streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1),
        [("group.streams.heartbeat.interval.ms", Same)],
        "How often members of this streams group send a heartbeat, in milliseconds.";
    "streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0),
        [("group.streams.initial.rebalance.delay.ms", Same)],
        "How long the first assignment of a new streams group waits for more members, in milliseconds.";
    "streams.num.standby.replicas", Int, Some("0"), AtLeast(0),
        [("group.streams.num.standby.replicas", Same)],
        "How many standby copies of each task's state this streams group keeps.";
    "streams.session.timeout.ms", Int, Some("45000"), AtLeast(1),
        [("group.streams.session.timeout.ms", Same)],
        "How long a member of this streams group may stay silent before it is removed, in milliseconds.";
}
