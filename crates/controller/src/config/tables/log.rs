//! Broker keys of logs: retention, compaction, flushing, and the server defaults of topic keys.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { LOG, Always;
    "alter.config.policy.class.name", Class, None, Any, ReadOnly,
        "A class that may refuse changes of configuration.";
    "auto.create.topics.enable", Boolean, Some("true"), Any, ReadOnly,
        "Whether a topic comes into being when a client first asks for it.";
    "cordoned.log.dirs", List, Some(""), LIST, PerBroker,
        "Folders that take no new partitions, or `*` for all of them; what they hold is served as before.";
    "create.topic.policy.class.name", Class, None, Any, ReadOnly,
        "A class that may refuse the creation of topics.";
    "log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0), ClusterWide,
        "How long the cleaner sleeps when no log needs it, in milliseconds.";
    "log.cleaner.dedupe.buffer.size", Long, Some("134217728"), Any, ClusterWide,
        "Memory for the key tables of all cleaner threads, in bytes.";
    "log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0), ClusterWide,
        "Server default of delete.retention.ms: how long compacted topics still show tombstones, in \
         milliseconds.";
    "log.cleaner.enable", Boolean, Some("true"), Any, ReadOnly,
        "Whether compaction runs at all. Without it, compacted topics, consumer offsets among them, only grow.";
    "log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any, ClusterWide,
        "How full the cleaner's key table may get, as a share. Fuller tables clean more at once and \
         collide more.";
    "log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0), ClusterWide,
        "Memory for the read and write buffers of all cleaner threads, in bytes.";
    "log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any, ClusterWide,
        "The most bytes a second that the cleaner reads and writes on average.";
    "log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide,
        "Server default of max.compaction.lag.ms: the longest time that a record may wait for compaction, \
         in milliseconds.";
    "log.cleaner.min.cleanable.ratio", Double, Some("0.5"), BetweenReal(0.0, 1.0), ClusterWide,
        "Server default of min.cleanable.dirty.ratio: the uncompacted share at which the cleaner takes up \
         a log.";
    "log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0), ClusterWide,
        "Server default of min.compaction.lag.ms: how long a record is safe from compaction, in milliseconds.";
    "log.cleaner.threads", Int, Some("1"), AtLeast(0), ClusterWide,
        "How many threads compact logs.";
    "log.cleanup.policy", List, Some("delete"), list_of(&["compact", "delete"]), ClusterWide,
        "Server default of cleanup.policy: `delete`, `compact`, both, or nothing.";
    "log.dir", List, Some("./zoolog-data"), NON_EMPTY_LIST, ReadOnly,
        "The folder for partitions when log.dirs is not set.";
    "log.dir.failure.timeout.ms", Long, Some("30000"), AtLeast(1), ReadOnly,
        "How long a broker may fail to report a broken folder to the controller before it stops itself, \
         in milliseconds.";
    "log.dirs", List, None, NON_EMPTY_LIST, ReadOnly,
        "The folders for partitions, separated by commas. Unset means log.dir.";
    "log.flush.interval.messages", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide,
        "Server default of flush.messages: force a log to disk after this many records.";
    "log.flush.interval.ms", Long, None, Any, ClusterWide,
        "Server default of flush.ms: force a log to disk once unflushed records are this old, in \
         milliseconds. Unset means log.flush.scheduler.interval.ms.";
    "log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly,
        "How often the recovery points of all logs are written to disk, in milliseconds.";
    "log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"), Any, ReadOnly,
        "How often the broker looks for logs that are due for a flush, in milliseconds.";
    "log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly,
        "How often the start offsets of all logs are written to disk, in milliseconds.";
    "log.index.interval.bytes", Int, Some("4096"), AtLeast(0), ClusterWide,
        "Server default of index.interval.bytes: how many bytes of log lie between two entries of the \
         offset index.";
    "log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4), ClusterWide,
        "Server default of segment.index.bytes: the largest size of an index file, in bytes.";
    "log.local.retention.bytes", Long, Some("-2"), AtLeast(-2), ClusterWide,
        "Server default of local.retention.bytes for tiered topics, in bytes; -2 follows log.retention.bytes.";
    "log.local.retention.ms", Long, Some("-2"), AtLeast(-2), ClusterWide,
        "Server default of local.retention.ms for tiered topics, in milliseconds; -2 follows log.retention.ms.";
    "log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), ClusterWide,
        "Server default of message.timestamp.after.max.ms: how far timestamps may lie ahead of the clock, \
         in milliseconds.";
    "log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide,
        "Server default of message.timestamp.before.max.ms: how far timestamps may lie behind the clock, \
         in milliseconds.";
    "log.message.timestamp.type", String, Some("CreateTime"),
        OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide,
        "Server default of message.timestamp.type: CreateTime keeps the producer's time, LogAppendTime \
         sets the broker's.";
    "log.preallocate", Boolean, Some("false"), Any, ClusterWide,
        "Server default of preallocate: whether a new segment file takes its full size at once.";
    "log.retention.bytes", Long, Some("-1"), Any, ClusterWide,
        "Server default of retention.bytes: how large each partition's log may grow, in bytes; -1 sets no \
         limit.";
    "log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1), ReadOnly,
        "How often logs are checked for segments past their retention, in milliseconds.";
    "log.retention.hours", Int, Some("168"), Any, ReadOnly,
        "How long records are kept, in hours, when neither log.retention.ms nor log.retention.minutes is set.";
    "log.retention.minutes", Int, None, Any, ReadOnly,
        "How long records are kept, in minutes, when log.retention.ms is not set.";
    "log.retention.ms", Long, None, Any, ClusterWide,
        "Server default of retention.ms: how long records are kept, in milliseconds; -1 keeps them \
         forever. It wins over log.retention.minutes and log.retention.hours.";
    "log.roll.hours", Int, Some("168"), AtLeast(1), ReadOnly,
        "The age at which a segment is closed, in hours, when log.roll.ms is not set.";
    "log.roll.jitter.hours", Int, Some("0"), AtLeast(0), ReadOnly,
        "The random part taken off the rolling age, in hours, when log.roll.jitter.ms is not set.";
    "log.roll.jitter.ms", Long, None, Any, ClusterWide,
        "Server default of segment.jitter.ms: the random part taken off the rolling age, in milliseconds.";
    "log.roll.ms", Long, None, Any, ClusterWide,
        "Server default of segment.ms: the age at which a segment is closed, in milliseconds. It wins \
         over log.roll.hours.";
    "log.segment.bytes", Int, Some("1073741824"), AtLeast(1048576), ClusterWide,
        "Server default of segment.bytes: the size at which a segment file is closed, in bytes.";
    "log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0), ClusterWide,
        "Server default of file.delete.delay.ms: how long removed segment files stay on disk, in milliseconds.";
    "min.insync.replicas", Int, Some("1"), AtLeast(1), ClusterWide,
        "Server default of the topic setting of the same name: how many replicas must be in sync for a \
         write with acks=all.";
    "num.partitions", Int, Some("1"), AtLeast(1), ReadOnly,
        "How many partitions a topic gets that is created without a number of its own, automatic creation \
         included.";
    "num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1), ClusterWide,
        "How many threads recover logs at the start and flush them at the end, for each folder.";
}

server_rows! { LOG_INTERNAL, WhenSet;
    "log.initial.task.delay.ms", Long, Some("30000"), AtLeast(0), ReadOnly,
        "How long after the start the first background work on logs begins, in milliseconds.";
}
