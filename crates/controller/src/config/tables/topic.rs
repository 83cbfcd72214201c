//! Topic keys: what CreateTopics and the TOPIC resource accept.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::derived_rows;

derived_rows! { TOPIC, Always;
    "cleanup.policy", List, Some("delete"), list_of(&["compact", "delete"]), [("log.cleanup.policy", Same)],
        "What happens to old segments: `delete` drops them by age and size, `compact` keeps the newest \
         record of every key, both together do both. An empty list keeps everything.";
    "compression.gzip.level", Int, Some("-1"), BetweenOr(1, 9, -1), [("compression.gzip.level", Same)],
        "How hard gzip works when the broker itself compresses this topic, from 1 (fast) to 9 (small); -1 \
         leaves the choice to the library.";
    "compression.lz4.level", Int, Some("9"), Between(1, 17), [("compression.lz4.level", Same)],
        "How hard lz4 works when the broker itself compresses this topic, from 1 (fast) to 17 (small).";
    "compression.type", String, Some("producer"),
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), [("compression.type", Same)],
        "The codec of the batches on disk. `producer` stores batches as they arrive, `uncompressed` \
         stores them plain, and a codec name recompresses whatever arrives in another form.";
    "compression.zstd.level", Int, Some("3"), Between(-131072, 22), [("compression.zstd.level", Same)],
        "How hard zstd works when the broker itself compresses this topic, up to 22 for the smallest \
         result; negative levels trade size for speed.";
    "delete.retention.ms", Long, Some("86400000"), AtLeast(0), [("log.cleaner.delete.retention.ms", Same)],
        "How long a compacted topic still shows a tombstone, in milliseconds. A consumer that reads from \
         the start must finish within this time to be sure that it sees every deletion.";
    "file.delete.delay.ms", Long, Some("60000"), AtLeast(0), [("log.segment.delete.delay.ms", Same)],
        "How long a removed segment file stays on disk after its removal from the log, in milliseconds, \
         so that reads in progress can end.";
    "flush.messages", Long, Some("9223372036854775807"), AtLeast(1), [("log.flush.interval.messages", Same)],
        "Force the log to disk after this many records. Replication is the usual protection, so the \
         default leaves it to the operating system.";
    "flush.ms", Long, Some("9223372036854775807"), AtLeast(0),
        [("log.flush.interval.ms", Same), ("log.flush.scheduler.interval.ms", Same)],
        "Force the log to disk once unflushed records are this old, in milliseconds. The default leaves \
         it to the operating system.";
    "follower.replication.throttled.replicas", List, Some(""), ThrottledReplicas, [],
        "Replicas of this topic whose fetching falls under follower.replication.throttled.rate, as a list \
         of partition:broker pairs, or `*` for all of them.";
    "index.interval.bytes", Int, Some("4096"), AtLeast(0), [("log.index.interval.bytes", Same)],
        "How many bytes of log may pass before the offset index gets its next entry. Smaller values find \
         positions faster and make the index larger.";
    "leader.replication.throttled.replicas", List, Some(""), ThrottledReplicas, [],
        "Replicas of this topic for which the leader's sending falls under \
         leader.replication.throttled.rate, as a list of partition:broker pairs, or `*` for all of them.";
    "local.retention.bytes", Long, Some("-2"), AtLeast(-2), [("log.local.retention.bytes", Same)],
        "With tiered storage, how many bytes of a partition stay on local disk before only the remote \
         copy is left; -2 means as much as retention.bytes.";
    "local.retention.ms", Long, Some("-2"), AtLeast(-2), [("log.local.retention.ms", Same)],
        "With tiered storage, how long a segment stays on local disk before only the remote copy is left, \
         in milliseconds; -2 means as long as retention.ms.";
    "max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1),
        [("log.cleaner.max.compaction.lag.ms", Same)],
        "The longest time that a record may wait for compaction, in milliseconds. A segment that reaches \
         this age is rolled and compacted whatever the dirty ratio says.";
    "max.message.bytes", Int, Some("1048588"), AtLeast(0), [("message.max.bytes", Same)],
        "The largest record batch, after compression, that a producer may append, in bytes. Consumers \
         still receive a first batch that is larger than their own limits.";
    "message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0),
        [("log.message.timestamp.after.max.ms", Same)],
        "How far a record's timestamp may lie ahead of the broker's clock, in milliseconds, when the \
         producer sets timestamps. Records beyond that are refused.";
    "message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0),
        [("log.message.timestamp.before.max.ms", Same)],
        "How far a record's timestamp may lie behind the broker's clock, in milliseconds, when the \
         producer sets timestamps. Records beyond that are refused.";
    "message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]),
        [("log.message.timestamp.type", Same)],
        "Whether a record keeps the time that its producer gave it (CreateTime) or gets the time of its \
         append (LogAppendTime).";
    "min.cleanable.dirty.ratio", Double, Some("0.5"), BetweenReal(0.0, 1.0),
        [("log.cleaner.min.cleanable.ratio", Same)],
        "The share of a compacted log that must be uncompacted before the cleaner takes it up. A lower \
         ratio cleans more often and leaves fewer old values.";
    "min.compaction.lag.ms", Long, Some("0"), AtLeast(0), [("log.cleaner.min.compaction.lag.ms", Same)],
        "How long a record is safe from compaction after its append, in milliseconds.";
    "min.insync.replicas", Int, Some("1"), AtLeast(1), [("min.insync.replicas", Same)],
        "How many replicas, the leader included, must be in sync for a write with acks=all to be \
         accepted. With fewer, the producer gets an error and may retry.";
    "preallocate", Boolean, Some("false"), Any, [("log.preallocate", Same)],
        "Whether a new segment file takes its full size on disk as soon as it is created.";
    "remote.log.copy.disable", Boolean, Some("false"), Any, [],
        "With tiered storage, stop copying segments to the remote store; what was copied before stays \
         readable.";
    "remote.log.delete.on.disable", Boolean, Some("false"), Any, [],
        "With tiered storage, delete the remote data of this topic when remote.storage.enable is switched off.";
    "remote.storage.enable", Boolean, Some("false"), Any, [],
        "Whether segments of this topic move to a remote store. Needs remote.log.storage.system.enable on \
         the brokers.";
    "retention.bytes", Long, Some("-1"), Any, [("log.retention.bytes", Same)],
        "The size up to which a partition's log may grow before its oldest segments go, in bytes, under \
         the policy `delete`; -1 sets no limit. The limit holds for each partition on its own.";
    "retention.ms", Long, Some("604800000"), AtLeast(-1),
        [("log.retention.ms", Same), ("log.retention.minutes", MinutesToMs), ("log.retention.hours", HoursToMs)],
        "The age at which segments go under the policy `delete`, in milliseconds; -1 keeps them forever. \
         It is the time within which consumers must read their data.";
    "segment.bytes", Int, Some("1073741824"), AtLeast(1048576), [("log.segment.bytes", Same)],
        "The size at which a segment file is closed and the next one opened, in bytes. Retention and \
         compaction work on whole closed segments.";
    "segment.index.bytes", Int, Some("10485760"), AtLeast(4), [("log.index.size.max.bytes", Same)],
        "The largest size of a segment's offset index and time index, in bytes. A full index also closes \
         its segment.";
    "segment.jitter.ms", Long, Some("0"), AtLeast(0),
        [("log.roll.jitter.ms", Same), ("log.roll.jitter.hours", HoursToMs)],
        "A random time up to this many milliseconds is taken off segment.ms, so that segments of many \
         partitions do not all roll at once.";
    "segment.ms", Long, Some("604800000"), AtLeast(1), [("log.roll.ms", Same), ("log.roll.hours", HoursToMs)],
        "The age at which a segment is closed even if it is not full, in milliseconds, so that retention \
         and compaction can reach its records.";
    "unclean.leader.election.enable", Boolean, Some("false"), Any, [("unclean.leader.election.enable", Same)],
        "Whether a replica that fell out of sync may lead when no other is left. It brings the partition \
         back at the price of acknowledged records.";
}

derived_rows! { TOPIC_INTERNAL, WhenSet;
    "internal.segment.bytes", Int, None, Any, [],
        "Overrides segment.bytes without its lower bound, in bytes. Meant for tests that need many \
         segments from little data.";
}
