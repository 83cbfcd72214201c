//! A topic's effective settings as its logs take them.
use controller::config::{BrokerConfig, CleanupPolicy, TimestampType, TopicCompression, TopicConfig};
use log::{Codec, Compression, LogConfig};

/// The settings of a topic's logs on this broker. Sizes that a row of the settings cannot make negative are taken as they are.
pub(crate) fn log_config(topic: &TopicConfig, broker: &BrokerConfig) -> LogConfig {
    let CleanupPolicy { delete, compact } = topic.cleanup_policy;
    LogConfig {
        segment_bytes: size(topic.segment_bytes),
        segment_ms: topic.max_segment_ms(),
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: size(topic.segment_index_bytes),
        index_interval_bytes: size(topic.index_interval_bytes),
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        cleanup: log::CleanupPolicy { delete, compact },
        delete_retention_ms: topic.delete_retention_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        max_message_bytes: size(topic.max_message_bytes),
        compression: compression(topic.compression),
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        preallocate: topic.preallocate,
        zero_fill_bytes: 0,
        timestamp_type: match topic.message_timestamp_type {
            TimestampType::CreateTime => log::TimestampType::CreateTime,
            TimestampType::LogAppendTime => log::TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        producer_id_expiration_ms: i64::from(broker.transactions.producer_id_expiration_ms),
        page_cache_bytes: u64::MAX,
    }
}

fn size(bytes: i32) -> u64 {
    u64::from(bytes.max(0).unsigned_abs())
}

fn compression(topic: TopicCompression) -> Option<Compression> {
    let with = |codec, level| Some(Compression { codec, level: Some(level) });
    match topic {
        TopicCompression::Producer => None,
        TopicCompression::Uncompressed => Some(Compression::NONE),
        // -1 leaves the level to the library.
        TopicCompression::Gzip(-1) => Some(Compression::new(Codec::Gzip)),
        TopicCompression::Gzip(level) => with(Codec::Gzip, level),
        TopicCompression::Snappy => Some(Compression::new(Codec::Snappy)),
        TopicCompression::Lz4(level) => with(Codec::Lz4, level),
        TopicCompression::Zstd(level) => with(Codec::Zstd, level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_kafka() {
        let broker = BrokerConfig::default();
        let config = log_config(&TopicConfig::defaults(&broker), &broker);
        assert_eq!(config, LogConfig::default());
    }
}
