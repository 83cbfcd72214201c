//! Changes of dynamic settings; the texts of refusals were taken from a running Kafka.
use super::super::*;
use super::{broker, configs};

fn alteration<'a>(key: &'a str, operation: AlterOperation, value: &'a str) -> Alteration<'a> {
    Alteration { key, operation, value: Some(value) }
}

fn set<'a>(key: &'a str, value: &'a str) -> Alteration<'a> {
    alteration(key, AlterOperation::Set, value)
}

fn alter(
    resource: AlteredResource,
    current: &[(&str, &str)],
    changes: &[Alteration<'_>],
) -> Result<ConfigMap, ConfigError> {
    alter_incrementally(&BrokerConfig::default(), resource, &configs(current), changes)
}

/// The text and the code of the refusal of one change.
fn refused(resource: AlteredResource, change: Alteration<'_>) -> (String, i16) {
    let error = alter(resource, &[], &[change]).expect_err("the change is refused");
    (error.to_string(), error.code())
}

fn list(current: &[(&str, &str)], operation: AlterOperation, value: &str) -> String {
    let changed = alter(AlteredResource::Topic, current, &[alteration("cleanup.policy", operation, value)])
        .expect("the change is allowed");
    changed["cleanup.policy"].clone()
}

#[test]
fn alter_sets_and_deletes() {
    let changes = [
        set("retention.ms", "5"),
        Alteration { key: "flush.ms", operation: AlterOperation::Delete, value: None },
        Alteration { key: "nope", operation: AlterOperation::Delete, value: Some("1") },
    ];
    let changed = alter(AlteredResource::Topic, &[("flush.ms", "1"), ("segment.ms", "9")], &changes)
        .expect("the changes are allowed");
    assert_eq!(changed, configs(&[("retention.ms", "5"), ("segment.ms", "9")]));
}

#[test]
fn alter_appends_to_and_subtracts_from_lists() {
    let (append, subtract) = (AlterOperation::Append, AlterOperation::Subtract);
    assert_eq!(list(&[], append, "compact"), "delete,compact");
    assert_eq!(list(&[("cleanup.policy", "delete,compact")], append, "compact"), "delete,compact");
    assert_eq!(list(&[("cleanup.policy", "")], append, "compact,delete"), "compact,delete");
    assert_eq!(list(&[("cleanup.policy", "delete,compact")], subtract, "delete"), "compact");
    assert_eq!(list(&[], subtract, "delete"), "");
    assert_eq!(list(&[], subtract, "nope"), "delete");
    let text = "Can't APPEND to key retention.ms because its type is not LIST.".to_owned();
    assert_eq!(refused(AlteredResource::Topic, alteration("retention.ms", append, "1")), (text, 40));
    let text = "Can't SUBTRACT to key nope because its type is not LIST.".to_owned();
    assert_eq!(refused(AlteredResource::Topic, alteration("nope", subtract, "1")), (text, 40));
}

#[test]
fn alter_refuses_as_a_whole() {
    let changes = [set("retention.ms", "5"), set("segment.bytes", "1")];
    assert!(alter(AlteredResource::Topic, &[], &changes).is_err());
    let error = alter(AlteredResource::Topic, &[], &[set("flush.ms", "1"), set("flush.ms", "2")])
        .expect_err("the key occurs twice");
    assert_eq!(
        (error.to_string().as_str(), error.code()),
        ("Error due to duplicate config keys: flush.ms", 42)
    );
    let null = Alteration { key: "retention.ms", operation: AlterOperation::Set, value: None };
    assert_eq!(
        refused(AlteredResource::Topic, null),
        ("Null value not supported for : retention.ms".to_owned(), 42)
    );
}

#[test]
fn alter_refuses_topic_settings() {
    assert_eq!(
        refused(AlteredResource::Topic, set("nope", "1")),
        ("Unknown topic config name: nope".to_owned(), 40)
    );
    let (text, code) = refused(AlteredResource::Topic, set("min.insync.replicas", "0"));
    assert_eq!(
        (text.as_str(), code),
        ("Invalid value 0 for configuration min.insync.replicas: Value must be at least 1", 40)
    );
    assert_eq!(refused(AlteredResource::Topic, set("remote.storage.enable", "true")).1, 40);
    let error = alter(
        AlteredResource::Topic,
        &[("min.compaction.lag.ms", "100")],
        &[set("max.compaction.lag.ms", "50")],
    );
    assert!(matches!(error, Err(ConfigError::Conflict(_))));
}

#[test]
fn alter_values_have_a_longest_length() {
    let replicas = vec!["0:1"; 20_000].join(",");
    let (text, code) =
        refused(AlteredResource::Topic, set("leader.replication.throttled.replicas", &replicas));
    assert!(text.contains("at most 32767") && code == 40, "{text}");
}

#[test]
fn alter_refuses_broker_settings() {
    let cases = [
        (AlteredResource::Broker, "node.id", "4", "Cannot update these configs dynamically: [node.id]"),
        (
            AlteredResource::Broker,
            "log.retention.hours",
            "5",
            "Cannot update these configs dynamically: [log.retention.hours]",
        ),
        (
            AlteredResource::ClusterDefault,
            "cordoned.log.dirs",
            "a",
            "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]",
        ),
        (
            AlteredResource::Broker,
            "ssl.keystore.location",
            "/x",
            "These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.location]",
        ),
        (
            AlteredResource::Broker,
            "log.retention.ms",
            "abc",
            "Invalid value abc for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            AlteredResource::Broker,
            "log.segment.bytes",
            "5",
            "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576",
        ),
        (
            AlteredResource::ClusterDefault,
            "background.threads",
            "0",
            "Invalid value 0 for configuration background.threads: Value must be at least 1",
        ),
        (AlteredResource::Broker, "log.roll.ms", "0", "log.roll.ms must be at least 1"),
        (
            AlteredResource::Broker,
            "listeners",
            "PLAINTEXT://:1",
            "Cannot update these configs dynamically: [listeners]",
        ),
        (AlteredResource::Broker, "nope.nope", "4", "Unknown broker config name: nope.nope"),
    ];
    for (resource, key, value, text) in cases {
        assert_eq!(refused(resource, set(key, value)), (text.to_owned(), 42));
    }
}

#[test]
fn alter_accepts_broker_settings() {
    for (resource, key, value) in [
        (AlteredResource::Broker, "log.retention.ms", "-2"),
        (AlteredResource::ClusterDefault, "log.cleanup.policy", "compact"),
        (AlteredResource::ClusterDefault, "leader.replication.throttled.rate", "1000"),
        (AlteredResource::Broker, "listener.name.plaintext.max.connections", "5"),
        (AlteredResource::ClusterDefault, "listener.name.plaintext.max.connections", "5"),
    ] {
        let changed = alter(resource, &[], &[set(key, value)]).expect("Kafka accepts it");
        assert_eq!(changed, configs(&[(key, value)]));
    }
    let appended = alter(
        AlteredResource::Broker,
        &[],
        &[alteration("log.cleanup.policy", AlterOperation::Append, "compact")],
    );
    assert_eq!(appended, Ok(configs(&[("log.cleanup.policy", "delete,compact")])));
}

#[test]
fn kafka_2_38_alter_configs_replaces_all() {
    let current = configs(&[("retention.ms", "5"), ("flush.ms", "6")]);
    let replace = |pairs: &[(&str, Option<&str>)]| {
        replace_all(&BrokerConfig::default(), AlteredResource::Topic, &current, pairs)
    };
    assert_eq!(replace(&[("segment.ms", Some("9"))]), Ok(configs(&[("segment.ms", "9")])));
    assert_eq!(replace(&[]), Ok(ConfigMap::new()));
    assert_eq!(
        replace(&[("segment.ms", None)]),
        Err(ConfigError::NullValue { key: "segment.ms".to_owned() })
    );
    assert!(replace(&[("a", Some("1")), ("a", Some("2"))]).is_err());
}

#[test]
fn kafka_2_40_group_settings_are_checked_against_the_brokers_bounds() {
    let cases = [
        (
            "consumer.session.timeout.ms",
            "500000",
            "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
        ),
        (
            "consumer.heartbeat.interval.ms",
            "1",
            "consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
        ),
        (
            "streams.num.standby.replicas",
            "3",
            "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
        ),
        (
            "share.isolation.level",
            "READ_COMMITTED",
            "Invalid value READ_COMMITTED for configuration share.isolation.level: String must be one of: read_committed, read_uncommitted",
        ),
        ("nope", "1", "Unknown group config name: nope"),
    ];
    for (key, value, text) in cases {
        assert_eq!(refused(AlteredResource::Group, set(key, value)), (text.to_owned(), 40));
    }
    assert!(alter(AlteredResource::Group, &[], &[set("consumer.session.timeout.ms", "50000")]).is_ok());
    let wide = broker(&[("group.consumer.max.heartbeat.interval.ms", "60000")]);
    let error = validate_group_config(&wide, &configs(&[("consumer.heartbeat.interval.ms", "46000")]));
    let text = "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms";
    assert_eq!(error, Err(ConfigError::Conflict(text.to_owned())));
}

#[test]
fn group_settings_are_brought_into_bounds_that_became_narrower() {
    let broker = broker(&[
        ("group.consumer.max.session.timeout.ms", "50000"),
        ("group.consumer.session.timeout.ms", "46000"),
    ]);
    let group = effective_group_config(&broker, &configs(&[("consumer.session.timeout.ms", "60000")]));
    assert_eq!(group.int("consumer.session.timeout.ms"), Some(50_000));
    let group = effective_group_config(&broker, &ConfigMap::new());
    assert_eq!(group.int("consumer.session.timeout.ms"), Some(46_000));
    assert_eq!(group.value("share.auto.offset.reset"), Some(&ConfigValue::String("latest".to_owned())));
    assert_eq!(group.int("nope"), None);
}

#[test]
fn alter_operations_have_kafkas_codes() {
    let operations =
        [AlterOperation::Set, AlterOperation::Delete, AlterOperation::Append, AlterOperation::Subtract];
    assert_eq!([0, 1, 2, 3].map(AlterOperation::from_code), operations.map(Some));
    assert_eq!(AlterOperation::from_code(4), None);
}
