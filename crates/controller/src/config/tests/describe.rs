//! DescribeConfigs against the answers of a running Kafka.
use base::properties::Properties;

use super::super::*;
use super::{broker, configs, fixture};

const DESCRIBED: &str = include_str!("../../../testdata/kafka-4.3.1/describe.tsv");

fn fixture_broker() -> BrokerConfig {
    let file = Properties::parse(include_bytes!("../../../testdata/kafka-4.3.1/server.properties"))
        .expect("well-formed");
    let pairs = file.effective().map(|entry| (entry.key.as_str(), entry.value.as_str()));
    BrokerConfig::from_file(pairs).expect("Kafka took the file").0
}

/// What the fixture set for a resource, `TYPE:name`.
fn set_for(resource: &str) -> ConfigMap {
    fixture(DESCRIBED)
        .filter(|fields| fields[0] == "set" && fields[1] == resource)
        .map(|fields| (fields[2].to_owned(), fields[3].to_owned()))
        .collect()
}

/// An entry in the notation of the fixture.
fn line(entry: &ConfigEntry) -> String {
    let null = |value: &Option<String>| value.clone().unwrap_or_else(|| "\\N".to_owned());
    let kind = topic_config(&entry.name)
        .or_else(|| group_config(&entry.name))
        .or_else(|| broker_config_or_listener_override(&entry.name))
        .map_or("UNKNOWN", |row| row.config_type.name());
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|synonym| format!("{}:{}={}", synonym.source.code(), synonym.name, null(&synonym.value)))
        .collect();
    [
        entry.name.as_str(),
        kind,
        &null(&entry.value),
        &entry.source.code().to_string(),
        if entry.is_sensitive { "sensitive" } else { "-" },
        if entry.read_only { "read-only" } else { "-" },
        &synonyms.join("|"),
    ]
    .join("\t")
}

/// Compares with the fixture, but for the defaults that are our own.
fn check(answer: &str, entries: &[ConfigEntry]) {
    let own = |name: &str| DEFAULTS_OF_OUR_OWN.iter().any(|own| own.name == name);
    let expect: Vec<String> = fixture(DESCRIBED)
        .filter(|fields| fields[0] == answer && !own(fields[1]))
        .map(|fields| fields[1..].join("\t"))
        .collect();
    let got: Vec<String> = entries.iter().filter(|entry| !own(&entry.name)).map(line).collect();
    for (got, expect) in got.iter().zip(&expect) {
        assert_eq!(got, expect, "in {answer}");
    }
    assert_eq!(got.len(), expect.len(), "in {answer}");
    assert!(entries.iter().all(|entry| (entry.config_type == 0) == entry.documentation.is_none()));
}

#[test]
fn kafka_2_26_describe_configs_of_a_file_is_kafkas() {
    let broker = fixture_broker();
    let nothing = ConfigMap::new();
    check("static-broker", &describe(&broker, DescribedResource::Broker, None));
    check("static-topic", &describe(&broker, DescribedResource::Topic(&nothing), None));
    check("static-group", &describe(&broker, DescribedResource::Group(&nothing), None));
    check("static-default", &describe(&broker, DescribedResource::ClusterDefault, None));
}

#[test]
fn kafka_2_26_describe_configs_with_dynamic_settings_is_kafkas() {
    let (broker, errors) = fixture_broker().with_dynamic(&set_for("BROKER:"), &set_for("BROKER:1"));
    assert_eq!(errors, []);
    check("dynamic-broker", &describe(&broker, DescribedResource::Broker, None));
    check("dynamic-topic", &describe(&broker, DescribedResource::Topic(&set_for("TOPIC:t1")), None));
    check("dynamic-group", &describe(&broker, DescribedResource::Group(&set_for("GROUP:g1")), None));
    check("dynamic-default", &describe(&broker, DescribedResource::ClusterDefault, None));
}

#[test]
fn kafka_2_26_describe_configs_filters_by_key() {
    let broker = broker(&[("log.roll.ms", "5000")]);
    let overrides = configs(&[("segment.ms", "1000")]);
    let names = |resource, keys: &[&str]| {
        describe(&broker, resource, Some(keys)).into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(names(DescribedResource::Topic(&overrides), &["segment.ms", "nope"]), ["segment.ms"]);
    assert_eq!(names(DescribedResource::Topic(&overrides), &[]).len(), 33);
    assert_eq!(names(DescribedResource::Broker, &["log.roll.ms", "node.id"]), ["log.roll.ms", "node.id"]);
    assert!(names(DescribedResource::ClusterDefault, &["log.roll.ms"]).is_empty());
}

#[test]
fn sensitive_values_are_never_described() {
    let broker = broker(&[
        ("ssl.keystore.password", "s3cret"),
        ("password.encoder.secret", "s3cret"),
        ("my.plugin", "s3cret"),
    ]);
    let overrides = configs(&[("hand.written", "s3cret")]);
    for resource in [DescribedResource::Broker, DescribedResource::Topic(&overrides)] {
        let entries = describe(&broker, resource, None);
        assert!(!format!("{entries:?}").contains("s3cret"));
    }
    let hidden = broker.value("ssl.keystore.password").expect("it is set");
    assert_eq!(format!("{hidden} {hidden:?}"), "[hidden] [hidden]");
}

#[test]
fn own_defaults_are_described_as_defaults() {
    let entries =
        describe(&BrokerConfig::default(), DescribedResource::Broker, Some(&["log.dir", "node.id"]));
    let lines: Vec<String> = entries.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "log.dir\tLIST\t./zoolog-data\t5\t-\tread-only\t5:log.dir=./zoolog-data",
            "node.id\tINT\t0\t5\t-\tread-only\t5:node.id=0"
        ]
    );
}

#[test]
fn kafka_2_26_synonyms_are_in_the_order_in_which_they_win() {
    let file = broker(&[("log.retention.minutes", "5"), ("log.roll.jitter.hours", "2")]);
    let dynamic = configs(&[("log.retention.ms", "9"), ("log.roll.jitter.ms", "7")]);
    let (broker, _) = file.with_dynamic(&dynamic, &ConfigMap::new());
    let keys = ["log.retention.minutes", "log.retention.ms", "log.roll.jitter.ms"];
    let lines: Vec<String> =
        describe(&broker, DescribedResource::Broker, Some(&keys)).iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "log.retention.minutes\tINT\t\\N\t4\t-\tread-only\t4:log.retention.minutes=5|5:log.retention.hours=168",
            "log.retention.ms\tLONG\t9\t3\t-\t-\t3:log.retention.ms=9|4:log.retention.minutes=5|5:log.retention.hours=168",
            "log.roll.jitter.ms\tLONG\t7\t3\t-\t-\t3:log.roll.jitter.ms=7|4:log.roll.jitter.hours=2|5:log.roll.jitter.hours=0",
        ]
    );
}

#[test]
fn config_source_and_type_codes() {
    assert_eq!(ConfigSource::Topic.code(), 1);
    assert_eq!(ConfigSource::DynamicBrokerLogger.code(), 6);
    assert_eq!(ConfigSource::ClientMetrics.code(), 7);
    assert_eq!(ConfigSource::Group.code(), 8);
    assert_eq!(ConfigType::Boolean.code(), 1);
    assert_eq!(ConfigType::Password.code(), 9);
}
