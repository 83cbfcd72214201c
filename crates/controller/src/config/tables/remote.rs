//! Broker keys of tiered storage (KIP-405).
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { REMOTE, Always;
    "remote.fetch.max.wait.ms", Int, Some("500"), AtLeast(1), ClusterWide,
        "How long a fetch waits for data from the remote store, in milliseconds.";
    "remote.list.offsets.request.timeout.ms", Long, Some("30000"), AtLeast(1), ClusterWide,
        "How long a ListOffsets request waits for the remote store, in milliseconds.";
    "remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"), AtLeast(1), ClusterWide,
        "How many bytes of local disk cache the indexes of remote segments may take.";
    "remote.log.manager.copier.thread.pool.size", Int, Some("10"), AtLeast(1), ClusterWide,
        "How many threads copy segments to the remote store.";
    "remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"),
        AtLeast(1), ClusterWide,
        "The most bytes a second that are copied to the remote store.";
    "remote.log.manager.copy.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly,
        "How many samples the quota for copying to the remote store looks back on.";
    "remote.log.manager.copy.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly,
        "The length of each sample of the copy quota, in seconds.";
    "remote.log.manager.expiration.thread.pool.size", Int, Some("10"), AtLeast(1), ClusterWide,
        "How many threads remove expired remote segments.";
    "remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"),
        AtLeast(1), ClusterWide,
        "The most bytes a second that are read from the remote store.";
    "remote.log.manager.fetch.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly,
        "How many samples the quota for reading from the remote store looks back on.";
    "remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly,
        "The length of each sample of the fetch quota, in seconds.";
    "remote.log.manager.follower.thread.pool.size", Int, Some("2"), AtLeast(1), ClusterWide,
        "How many threads build followers' state from the remote store.";
    "remote.log.manager.task.interval.ms", Long, Some("30000"), AtLeast(1), ReadOnly,
        "How often the copying and expiring of remote segments runs, in milliseconds.";
    "remote.log.manager.thread.pool.size", Int, Some("2"), AtLeast(1), ReadOnly,
        "The older, single size for all thread pools of tiered storage.";
    "remote.log.metadata.custom.metadata.max.bytes", Int, Some("128"), AtLeast(0), ReadOnly,
        "The most bytes that a remote store plug-in may attach to a segment's metadata.";
    "remote.log.metadata.manager.class.name", String, Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
        NonEmptyText, ReadOnly,
        "The class that keeps the metadata of remote segments.";
    "remote.log.metadata.manager.class.path", String, None, Any, ReadOnly,
        "Where the class of remote.log.metadata.manager.class.name is loaded from.";
    "remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config."), NonEmptyText, ReadOnly,
        "The prefix of settings that are passed to the remote metadata plug-in.";
    "remote.log.metadata.manager.listener.name", String, None, NonEmptyText, ReadOnly,
        "The listener over which the remote metadata plug-in talks to the cluster.";
    "remote.log.reader.max.pending.tasks", Int, Some("100"), AtLeast(1), ReadOnly,
        "How many reads from the remote store may wait before further ones are refused.";
    "remote.log.reader.threads", Int, Some("10"), AtLeast(1), ClusterWide,
        "How many threads read from the remote store.";
    "remote.log.storage.manager.class.name", String, None, NonEmptyText, ReadOnly,
        "The class that stores and reads remote segments.";
    "remote.log.storage.manager.class.path", String, None, Any, ReadOnly,
        "Where the class of remote.log.storage.manager.class.name is loaded from.";
    "remote.log.storage.manager.impl.prefix", String, Some("rsm.config."), NonEmptyText, ReadOnly,
        "The prefix of settings that are passed to the remote storage plug-in.";
    "remote.log.storage.system.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether tiered storage is available on this broker.";
}

server_rows! { REMOTE_INTERNAL, WhenSet;
    "remote.log.index.file.cache.ttl.ms", Long, Some("900000"), AtLeast(-1), ReadOnly,
        "How long an unused remote index stays in the local cache, in milliseconds; -1 sets no limit.";
    "remote.log.manager.task.retry.backoff.max.ms", Long, Some("30000"), AtLeast(1), ReadOnly,
        "The longest wait before a failed remote operation is tried again, in milliseconds.";
    "remote.log.manager.task.retry.backoff.ms", Long, Some("500"), AtLeast(1), ReadOnly,
        "The first wait before a failed remote operation is tried again, in milliseconds.";
    "remote.log.manager.task.retry.jitter", Double, Some("0.2"), BetweenReal(0.0, 0.5), ReadOnly,
        "The random share added to the waits between tries of a remote operation.";
}
