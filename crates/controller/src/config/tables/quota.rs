//! Broker keys of quotas and metrics.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { QUOTA, Always;
    "alter.log.dirs.replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly,
        "How many samples the quota for moving replicas between folders looks back on.";
    "alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly,
        "The length of each sample of that quota, in seconds.";
    "controller.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly,
        "How many samples the quota on changes of topics and partitions looks back on.";
    "controller.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly,
        "The length of each sample of the quota on changes of topics and partitions, in seconds.";
    "kafka.metrics.polling.interval.secs", Int, Some("10"), AtLeast(1), ReadOnly,
        "How often the reporters of kafka.metrics.reporters are fed, in seconds.";
    "kafka.metrics.reporters", List, Some(""), LIST, ReadOnly,
        "Classes that report the broker's older metrics.";
    "metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), LIST, ClusterWide,
        "Classes that report the broker's metrics.";
    "metrics.num.samples", Int, Some("2"), AtLeast(1), ReadOnly,
        "How many samples a rate or an average is computed from.";
    "metrics.recording.level", String, Some("INFO"), Any, ReadOnly,
        "How detailed the recorded metrics are: INFO, DEBUG or TRACE.";
    "metrics.sample.window.ms", Long, Some("30000"), AtLeast(1), ReadOnly,
        "The length of each sample of a metric, in milliseconds.";
    "quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly,
        "How many samples client quotas look back on.";
    "quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly,
        "The length of each sample of a client quota, in seconds.";
    "replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly,
        "How many samples replication quotas look back on.";
    "replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly,
        "The length of each sample of a replication quota, in seconds.";
}

server_rows! { QUOTA_DYNAMIC_ONLY, WhenSet;
    "follower.replication.throttled.rate", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide,
        "The most bytes a second that this broker fetches for the replicas named by \
         follower.replication.throttled.replicas. Only a dynamic setting.";
    "leader.replication.throttled.rate", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide,
        "The most bytes a second that this broker sends for the replicas named by \
         leader.replication.throttled.replicas. Only a dynamic setting.";
    "replica.alter.log.dirs.io.max.bytes.per.second", Long, Some("9223372036854775807"),
        AtLeast(0), ClusterWide,
        "The most bytes a second that are moved between folders of this broker. Only a dynamic setting.";
}
