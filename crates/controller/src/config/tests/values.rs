//! Values and the texts of their refusals, which were taken from a running Kafka.
use super::super::*;

fn topic_row(key: &str) -> &'static ConfigDef {
    topic_config(key).expect("the key exists")
}

fn accepted(key: &str, text: &str) -> String {
    parse_value(topic_row(key), text).expect("the value is allowed").to_string()
}

fn refused(key: &str, text: &str) -> String {
    parse_value(topic_row(key), text).expect_err("the value is refused").to_string()
}

#[test]
fn values_are_trimmed_and_written_as_kafka_does() {
    assert_eq!(accepted("retention.ms", " 77 "), "77");
    assert_eq!(accepted("retention.ms", "+77"), "77");
    assert_eq!(accepted("preallocate", "TRUE"), "true");
    assert_eq!(accepted("min.cleanable.dirty.ratio", "0.30"), "0.3");
    assert_eq!(accepted("min.cleanable.dirty.ratio", "1"), "1.0");
    assert_eq!(accepted("min.cleanable.dirty.ratio", "0.0001"), "1.0E-4");
    assert_eq!(accepted("cleanup.policy", " compact , delete "), "compact,delete");
    assert_eq!(accepted("cleanup.policy", "compact,compact"), "compact");
    assert_eq!(accepted("cleanup.policy", ""), "");
    assert_eq!(accepted("leader.replication.throttled.replicas", "0:1, 1:2"), "0:1,1:2");
    assert_eq!(accepted("leader.replication.throttled.replicas", "*"), "*");
    assert_eq!(accepted("leader.replication.throttled.replicas", ""), "");
}

#[test]
fn doubles_are_written_as_java_does() {
    let row = broker_config("log.cleaner.io.max.bytes.per.second").expect("the key exists");
    for (text, java) in [
        ("1.7976931348623157E308", "1.7976931348623157E308"),
        ("10000000", "1.0E7"),
        ("9999999", "9999999.0"),
        ("0.001", "0.001"),
        ("0.00099", "9.9E-4"),
        ("12345678.5", "1.23456785E7"),
        ("-0", "-0.0"),
        ("0", "0.0"),
    ] {
        assert_eq!(parse_value(row, text).expect("a number").to_string(), java);
    }
    for text in ["NaN", "inf", "1e999", "", "1,5", "0x1p3"] {
        assert!(parse_value(row, text).is_err(), "of {text}");
    }
}

#[test]
fn refusals_name_key_value_and_what_is_allowed() {
    let cases = [
        (
            "cleanup.policy",
            "bad",
            "Invalid value bad for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            "retention.ms",
            "abc",
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        ("retention.ms", "-5", "Invalid value -5 for configuration retention.ms: Value must be at least -1"),
        ("retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"),
        (
            "segment.bytes",
            "1000",
            "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            "segment.bytes",
            "99999999999",
            "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT",
        ),
        (
            "preallocate",
            "yes",
            "Invalid value yes for configuration preallocate: Expected value to be either true or false",
        ),
        (
            "min.cleanable.dirty.ratio",
            "1.5",
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            "min.cleanable.dirty.ratio",
            "x",
            "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE",
        ),
        (
            "compression.type",
            "foo",
            "Invalid value foo for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        (
            "compression.gzip.level",
            "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            "compression.zstd.level",
            "23",
            "Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22",
        ),
        (
            "compression.lz4.level",
            "0",
            "Invalid value 0 for configuration compression.lz4.level: Value must be at least 1",
        ),
        (
            "message.timestamp.type",
            "createtime",
            "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
        ),
        (
            "leader.replication.throttled.replicas",
            "0:1:2",
            "Invalid value [0:1:2] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        ("flush.messages", "0", "Invalid value 0 for configuration flush.messages: Value must be at least 1"),
    ];
    for (key, value, text) in cases {
        assert_eq!(refused(key, value), text);
    }
}

#[test]
fn throttled_replicas_are_pairs_of_numbers() {
    for text in ["a:b", "none", "0", "0:", ":1", "0:-1", "*,0:1", "0:1;1:1"] {
        assert!(parse_value(topic_row("leader.replication.throttled.replicas"), text).is_err(), "of {text}");
    }
}

#[test]
fn share_offset_reset_takes_iso_durations() {
    let row = group_config("share.auto.offset.reset").expect("the key exists");
    for text in [
        "latest",
        "earliest",
        "by_duration:PT1H",
        "by_duration:P3D",
        "by_duration:P1DT2H3M4.5S",
        "BY_DURATION:pt1s",
    ] {
        assert!(parse_value(row, text).is_ok(), "of {text}");
    }
    for text in [
        "x",
        "none",
        "by_duration:",
        "by_duration:P",
        "by_duration:PT",
        "by_duration:-PT1H",
        "by_duration:PT-1H",
        "by_duration:PT1.5H",
        "by_duration:P1H",
        "by_duration:PT1S1H",
        "by_duration:1",
    ] {
        assert!(parse_value(row, text).is_err(), "of {text}");
    }
}

#[test]
fn quorum_addresses_are_checked() {
    let row = broker_config("controller.quorum.voters").expect("the key exists");
    assert!(parse_value(row, "1@localhost:9093,2@[::1]:9093, 3@h.example:1").is_ok());
    assert!(parse_value(row, "").is_ok());
    for text in ["localhost:9093", "x@h:1", "-1@h:1", "1@h", "1@:9093", "1@h:99999", "1@h:1,"] {
        assert!(parse_value(row, text).is_err(), "of {text}");
    }
    let row = broker_config("controller.quorum.bootstrap.servers").expect("the key exists");
    assert!(parse_value(row, "a:1,b:2").is_ok());
    assert!(parse_value(row, "a").is_err());
}

#[test]
fn lists_that_must_not_be_empty() {
    for key in ["listeners", "log.dirs", "group.consumer.assignors"] {
        let row = broker_config(key).expect("the key exists");
        assert!(parse_value(row, "").is_err(), "of {key}");
        assert!(parse_value(row, "a,,b").is_err(), "of {key}");
    }
}

#[test]
fn any_text_is_survived_by_every_key() {
    let texts = [
        "",
        " ",
        ",",
        ",,",
        "*",
        ":",
        "@",
        "://",
        "-",
        "9223372036854775808",
        "\u{0}",
        "é",
        "[::1]:",
        "1@[:1",
        "by_duration:p1dt",
    ];
    for row in topic_configs().iter().chain(group_configs()).chain(broker_configs()) {
        for text in texts {
            if let Ok(value) = parse_value(row, text) {
                let again = parse_value(row, &value.to_string());
                assert!(row.is_sensitive() || again == Ok(value), "of {} and {text:?}", row.name);
            }
        }
    }
}
