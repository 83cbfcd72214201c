//! The settings of topics.
use super::super::*;
use super::{broker, configs};

fn refused(pairs: &[(&str, &str)]) -> ConfigError {
    validate_topic_config(&BrokerConfig::default(), &configs(pairs)).expect_err("the settings are refused")
}

fn effective(broker: &BrokerConfig, pairs: &[(&str, &str)]) -> TopicConfig {
    let (topic, errors) = TopicConfig::effective(broker, &configs(pairs));
    assert_eq!(errors, []);
    topic
}

#[test]
fn topic_defaults_are_kafkas() {
    let topic = TopicConfig::defaults(&BrokerConfig::default());
    let week_ms = 7 * 24 * 60 * 60 * 1000;
    assert_eq!(topic.cleanup_policy, CleanupPolicy { delete: true, compact: false });
    assert_eq!(topic.compression, TopicCompression::Producer);
    assert_eq!((topic.retention_ms, topic.retention_bytes), (week_ms, -1));
    assert_eq!((topic.local_retention_ms, topic.local_retention_bytes), (week_ms, -1));
    assert_eq!((topic.segment_bytes, topic.segment_ms, topic.segment_jitter_ms), (1 << 30, week_ms, 0));
    assert_eq!((topic.flush_messages, topic.flush_ms), (i64::MAX, i64::MAX));
    assert_eq!(topic.max_message_bytes, 1_048_588);
    assert_eq!(topic.message_timestamp_type, TimestampType::CreateTime);
    assert_eq!(topic.leader_throttled_replicas, ThrottledReplicas::Listed(vec![]));
    assert!(!topic.unclean_leader_election_enable && !topic.preallocate && !topic.remote_storage_enable);
}

#[test]
fn topic_overrides_win_over_the_broker() {
    let broker =
        broker(&[("log.retention.ms", "5000"), ("compression.type", "zstd"), ("message.max.bytes", "2000")]);
    let topic = effective(&broker, &[]);
    assert_eq!((topic.retention_ms, topic.max_message_bytes), (5000, 2000));
    assert_eq!(topic.compression, TopicCompression::Zstd(3));
    let topic = effective(
        &broker,
        &[
            ("retention.ms", "77"),
            ("compression.type", "gzip"),
            ("compression.gzip.level", "9"),
            ("cleanup.policy", "compact,delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("leader.replication.throttled.replicas", "0:1,2:3"),
            ("follower.replication.throttled.replicas", "*"),
        ],
    );
    assert_eq!(topic.retention_ms, 77);
    assert_eq!(topic.compression, TopicCompression::Gzip(9));
    assert_eq!(topic.cleanup_policy, CleanupPolicy { delete: true, compact: true });
    assert_eq!(topic.message_timestamp_type, TimestampType::LogAppendTime);
    assert!(
        topic.leader_throttled_replicas.contains(2, 3) && !topic.leader_throttled_replicas.contains(2, 4)
    );
    assert!(topic.follower_throttled_replicas.contains(9, 9));
}

#[test]
fn topic_defaults_come_from_the_finest_unit() {
    let retention = |pairs: &[(&str, &str)]| TopicConfig::defaults(&broker(pairs)).retention_ms;
    assert_eq!(retention(&[("log.retention.hours", "24")]), 86_400_000);
    assert_eq!(retention(&[("log.retention.hours", "24"), ("log.retention.minutes", "5")]), 300_000);
    assert_eq!(
        retention(&[
            ("log.retention.hours", "24"),
            ("log.retention.minutes", "5"),
            ("log.retention.ms", "9")
        ]),
        9
    );
    assert_eq!(retention(&[("log.retention.ms", "-1")]), -1);
    assert_eq!(retention(&[("log.retention.hours", "-1")]), -1);
    assert_eq!(TopicConfig::defaults(&broker(&[("log.roll.hours", "2")])).segment_ms, 7_200_000);
    assert_eq!(
        TopicConfig::defaults(&broker(&[("log.roll.jitter.hours", "1")])).segment_jitter_ms,
        3_600_000
    );
    assert_eq!(TopicConfig::defaults(&broker(&[("log.flush.scheduler.interval.ms", "10")])).flush_ms, 10);
}

#[test]
fn topic_follows_dynamic_broker_settings() {
    let broker = broker(&[("log.retention.hours", "24"), ("log.flush.scheduler.interval.ms", "10")]);
    let (broker, errors) = broker.with_dynamic(
        &configs(&[("log.retention.ms", "111"), ("log.flush.interval.ms", "20")]),
        &configs(&[("log.retention.ms", "222")]),
    );
    assert_eq!(errors, []);
    let topic = TopicConfig::defaults(&broker);
    assert_eq!((topic.retention_ms, topic.flush_ms), (222, 20));
}

#[test]
fn kafka_2_33_segments_below_1_mib_are_refused() {
    let text = refused(&[("segment.bytes", "1048575")]).to_string();
    assert_eq!(text, "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576");
    assert!(
        super::broker_errors(&[("log.segment.bytes", "14")])
            .contains("log.segment.bytes: Value must be at least 1048576")
    );
    let topic = effective(
        &BrokerConfig::default(),
        &[("segment.bytes", "1048576"), ("internal.segment.bytes", "4096")],
    );
    assert_eq!(topic.segment_bytes, 4096);
    assert_eq!(refused(&[("internal.segment.bytes", "0")]).code(), 40);
}

#[test]
fn topic_keys_that_do_not_exist_are_refused() {
    for key in ["nope", "message.format.version", "message.downconversion.enable", "log.retention.ms", ""] {
        let error = refused(&[(key, "1")]);
        assert_eq!((error.to_string(), error.code()), (format!("Unknown topic config name: {key}"), 40));
    }
}

#[test]
fn topic_compaction_lags_must_not_contradict() {
    let text = "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)";
    assert_eq!(
        refused(&[("min.compaction.lag.ms", "100"), ("max.compaction.lag.ms", "50")]).to_string(),
        text
    );
    let broker = broker(&[("log.cleaner.max.compaction.lag.ms", "50")]);
    let error = validate_topic_config(&broker, &configs(&[("min.compaction.lag.ms", "100")]))
        .expect_err("the broker's maximum counts");
    assert_eq!(error.to_string(), text);
}

#[test]
fn topic_settings_that_are_not_done_are_refused() {
    let error = refused(&[("remote.storage.enable", "true")]);
    assert!(matches!(error, ConfigError::NotSupported { .. }) && error.code() == 40, "{error}");
    assert_eq!(error.key(), Some("remote.storage.enable"));
    let allowed = configs(&[
        ("remote.storage.enable", "false"),
        ("remote.log.copy.disable", "true"),
        ("local.retention.ms", "5"),
    ]);
    assert_eq!(validate_topic_config(&BrokerConfig::default(), &allowed), Ok(()));
}

#[test]
fn topic_settings_written_by_hand_never_break_a_topic() {
    let overrides = configs(&[
        ("retention.ms", "soon"),
        ("segment.bytes", "1"),
        ("nope", "1"),
        ("flush.messages", "5"),
        ("internal.segment.bytes", "-1"),
    ]);
    let (topic, errors) = TopicConfig::effective(&BrokerConfig::default(), &overrides);
    assert_eq!(topic, TopicConfig { flush_messages: 5, ..TopicConfig::defaults(&BrokerConfig::default()) });
    assert_eq!(errors.len(), 4);
}

#[test]
fn compacted_topics_roll_in_time_for_their_lag() {
    let topic = effective(
        &BrokerConfig::default(),
        &[("cleanup.policy", "compact"), ("max.compaction.lag.ms", "500")],
    );
    assert_eq!(topic.max_segment_ms(), 500);
    let topic =
        effective(&BrokerConfig::default(), &[("max.compaction.lag.ms", "500"), ("segment.ms", "900")]);
    assert_eq!(topic.max_segment_ms(), 900);
}

#[test]
fn local_retention_follows_retention() {
    let topic = effective(&BrokerConfig::default(), &[("retention.ms", "9"), ("retention.bytes", "8")]);
    assert_eq!((topic.local_retention_ms, topic.local_retention_bytes), (9, 8));
    let topic = effective(&BrokerConfig::default(), &[("retention.ms", "9"), ("local.retention.ms", "3")]);
    assert_eq!(topic.local_retention_ms, 3);
}
