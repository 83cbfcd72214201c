//! The effective settings of one topic.
//!
//! Invariant: every field holds a value that its key's row allows, whatever is stored for the topic.
use super::broker::BrokerConfig;
use super::error::ConfigError;
use super::layers::{ConfigMap, FromValue, Layers};
use super::registry::topic_config;
use super::support::{TOPIC_REFUSALS, find_refusal};
use super::value::{ConfigValue, parse_value};

/// What happens to old segments. Neither flag means that everything is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CleanupPolicy {
    /// Segments go by age and size.
    pub delete: bool,
    /// Only the newest record of each key is kept.
    pub compact: bool,
}

/// The form in which batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicCompression {
    /// As the producer sent them.
    Producer,
    /// Without compression.
    Uncompressed,
    /// By gzip with this level, 1 to 9; -1 is the library's choice.
    Gzip(i32),
    /// By snappy.
    Snappy,
    /// By lz4 with this level, 1 to 17.
    Lz4(i32),
    /// By zstd with this level.
    Zstd(i32),
}

/// Whose time a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's at the append.
    LogAppendTime,
}

/// Replicas whose replication is throttled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ThrottledReplicas {
    /// These pairs of partition and broker; none if the list is empty.
    Listed(Vec<(i32, i32)>),
    /// All of the topic.
    All,
}

impl ThrottledReplicas {
    /// Whether the replica of `partition` on `broker` is throttled.
    pub fn contains(&self, partition: i32, broker: i32) -> bool {
        match self {
            ThrottledReplicas::All => true,
            ThrottledReplicas::Listed(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

/// The effective settings of one topic. Sizes are in bytes and times in milliseconds unless the name says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type` with the level of the codec.
    pub compression: TopicCompression,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `flush.messages`
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `follower.replication.throttled.replicas`
    pub follower_throttled_replicas: ThrottledReplicas,
    /// `index.interval.bytes`
    pub index_interval_bytes: i32,
    /// `leader.replication.throttled.replicas`
    pub leader_throttled_replicas: ThrottledReplicas,
    /// `local.retention.bytes`, with -2 replaced by `retention_bytes`.
    pub local_retention_bytes: i64,
    /// `local.retention.ms`, with -2 replaced by `retention_ms`.
    pub local_retention_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: i32,
    /// `message.timestamp.after.max.ms`
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type`
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`
    pub min_insync_replicas: i32,
    /// `preallocate`
    pub preallocate: bool,
    /// `remote.log.copy.disable`
    pub remote_log_copy_disable: bool,
    /// `remote.log.delete.on.disable`
    pub remote_log_delete_on_disable: bool,
    /// `remote.storage.enable`
    pub remote_storage_enable: bool,
    /// `retention.bytes`; -1 sets no limit.
    pub retention_bytes: i64,
    /// `retention.ms`; -1 sets no limit.
    pub retention_ms: i64,
    /// `internal.segment.bytes`, or `segment.bytes` if that is not set.
    pub segment_bytes: i32,
    /// `segment.index.bytes`
    pub segment_index_bytes: i32,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election_enable: bool,
}

/// The value that makes `local.retention.*` follow `retention.*`.
const LOCAL_RETENTION_FOLLOWS: i64 = -2;

impl TopicConfig {
    /// The settings of a topic with these overrides, on this broker.
    ///
    /// Never fails, because anybody may write /config/topics/T by hand: a value that is not allowed gives way to the
    /// broker's default and is reported. Values that came through [`validate_topic_config`] are all allowed.
    pub fn effective(broker: &BrokerConfig, overrides: &ConfigMap) -> (TopicConfig, Vec<ConfigError>) {
        let errors =
            overrides.iter().filter_map(|(key, value)| check_topic_value(key, value).err()).collect();
        (TopicConfig::read(&TopicValues { layers: broker.layers(), overrides }), errors)
    }

    /// The settings of a topic without overrides.
    pub fn defaults(broker: &BrokerConfig) -> TopicConfig {
        TopicConfig::effective(broker, &ConfigMap::new()).0
    }

    fn read(values: &TopicValues<'_>) -> TopicConfig {
        let retention_bytes = values.get("retention.bytes");
        let retention_ms = values.get("retention.ms");
        let local = |key: &str, whole: i64| match values.get::<i64>(key) {
            LOCAL_RETENTION_FOLLOWS => whole,
            own => own,
        };
        TopicConfig {
            cleanup_policy: cleanup_policy(&values.get::<Vec<String>>("cleanup.policy")),
            compression: compression(values),
            delete_retention_ms: values.get("delete.retention.ms"),
            file_delete_delay_ms: values.get("file.delete.delay.ms"),
            flush_messages: values.get("flush.messages"),
            flush_ms: values.get("flush.ms"),
            follower_throttled_replicas: throttled_replicas(
                &values.get::<Vec<String>>("follower.replication.throttled.replicas"),
            ),
            index_interval_bytes: values.get("index.interval.bytes"),
            leader_throttled_replicas: throttled_replicas(
                &values.get::<Vec<String>>("leader.replication.throttled.replicas"),
            ),
            local_retention_bytes: local("local.retention.bytes", retention_bytes),
            local_retention_ms: local("local.retention.ms", retention_ms),
            max_compaction_lag_ms: values.get("max.compaction.lag.ms"),
            max_message_bytes: values.get("max.message.bytes"),
            message_timestamp_after_max_ms: values.get("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: values.get("message.timestamp.before.max.ms"),
            message_timestamp_type: match values.get::<String>("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: values.get("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: values.get("min.compaction.lag.ms"),
            min_insync_replicas: values.get("min.insync.replicas"),
            preallocate: values.get("preallocate"),
            remote_log_copy_disable: values.get("remote.log.copy.disable"),
            remote_log_delete_on_disable: values.get("remote.log.delete.on.disable"),
            remote_storage_enable: values.get("remote.storage.enable"),
            retention_bytes,
            retention_ms,
            segment_bytes: values
                .get::<Option<i32>>("internal.segment.bytes")
                .unwrap_or_else(|| values.get("segment.bytes")),
            segment_index_bytes: values.get("segment.index.bytes"),
            segment_jitter_ms: values.get("segment.jitter.ms"),
            segment_ms: values.get("segment.ms"),
            unclean_leader_election_enable: values.get("unclean.leader.election.enable"),
        }
    }

    /// The age at which a segment is closed. A compacted topic closes it in time for `max.compaction.lag.ms`.
    pub fn max_segment_ms(&self) -> i64 {
        if self.cleanup_policy.compact && self.max_compaction_lag_ms > 0 {
            self.max_compaction_lag_ms.min(self.segment_ms)
        } else {
            self.segment_ms
        }
    }
}

/// Refuses settings of a topic that are unknown, not allowed, contradictory or not done by this server
/// (`LogConfig.validate`). `overrides` are all settings of the topic, the old ones that stay among them.
pub fn validate_topic_config(broker: &BrokerConfig, overrides: &ConfigMap) -> Result<(), ConfigError> {
    for (key, value) in overrides {
        check_topic_value(key, value)?;
    }
    if let Some(refusal) = find_refusal(overrides, TOPIC_REFUSALS) {
        return Err(refusal);
    }
    let topic = TopicConfig::read(&TopicValues { layers: broker.layers(), overrides });
    let (min, max) = (topic.min_compaction_lag_ms, topic.max_compaction_lag_ms);
    if min > max {
        return Err(ConfigError::Conflict(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    Ok(())
}

/// The smallest segment that a topic may ask for in tests. Kafka sets no bound, but a segment of no bytes holds no record.
const INTERNAL_SEGMENT_BYTES_MIN: i32 = 1;

fn check_topic_value(key: &str, value: &str) -> Result<(), ConfigError> {
    let def =
        topic_config(key).ok_or_else(|| ConfigError::UnknownKey { scope: "topic", key: key.to_owned() })?;
    match parse_value(def, value)? {
        ConfigValue::Int(bytes) if key == "internal.segment.bytes" && bytes < INTERNAL_SEGMENT_BYTES_MIN => {
            Err(ConfigError::invalid(
                key,
                value,
                format!("Value must be at least {INTERNAL_SEGMENT_BYTES_MIN}"),
            ))
        }
        _ => Ok(()),
    }
}

/// Where the values of a topic come from.
struct TopicValues<'a> {
    layers: &'a Layers,
    overrides: &'a ConfigMap,
}

impl TopicValues<'_> {
    fn get<T: FromValue>(&self, key: &str) -> T {
        T::from_value(topic_value(self.layers, self.overrides, key)).expect(
            "the row of the key has the type of the field, and a default if the field needs one; a \
             test reads all fields",
        )
    }
}

/// The effective value of a topic key: what the topic sets, else the server's default, else the default of the row.
pub(super) fn topic_value(layers: &Layers, overrides: &ConfigMap, key: &str) -> Option<ConfigValue> {
    let def = topic_config(key)?;
    let given = overrides.get(key).filter(|text| check_topic_value(key, text).is_ok());
    match given.and_then(|text| parse_value(def, text).ok()) {
        Some(value) => Some(value),
        None => server_default(layers, key).or_else(|| parse_value(def, def.default?).ok()),
    }
}

/// The server's default of a topic key. Every negative retention time is -1.
fn server_default(layers: &Layers, key: &str) -> Option<ConfigValue> {
    match layers.derived(topic_config(key)?.synonyms)? {
        ConfigValue::Long(ms) if key == "retention.ms" => Some(ConfigValue::Long(ms.max(-1))),
        value => Some(value),
    }
}

/// The server's default of a topic key that is a time.
pub(super) fn server_default_ms(layers: &Layers, key: &str) -> i64 {
    match server_default(layers, key) {
        Some(ConfigValue::Long(ms)) => ms,
        _ => 0,
    }
}

fn cleanup_policy(policies: &[String]) -> CleanupPolicy {
    let has = |name: &str| policies.iter().any(|policy| policy.eq_ignore_ascii_case(name));
    CleanupPolicy { delete: has("delete"), compact: has("compact") }
}

fn compression(values: &TopicValues<'_>) -> TopicCompression {
    match values.get::<String>("compression.type").as_str() {
        "uncompressed" => TopicCompression::Uncompressed,
        "gzip" => TopicCompression::Gzip(values.get("compression.gzip.level")),
        "snappy" => TopicCompression::Snappy,
        "lz4" => TopicCompression::Lz4(values.get("compression.lz4.level")),
        "zstd" => TopicCompression::Zstd(values.get("compression.zstd.level")),
        _ => TopicCompression::Producer,
    }
}

fn throttled_replicas(texts: &[String]) -> ThrottledReplicas {
    if texts.concat() == "*" {
        return ThrottledReplicas::All;
    }
    let replica = |text: &String| {
        let (partition, broker) = text.split_once(':')?;
        Some((partition.parse().ok()?, broker.parse().ok()?))
    };
    ThrottledReplicas::Listed(texts.iter().filter_map(replica).collect())
}
