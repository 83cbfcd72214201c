//! The tables against Kafka's own.
use std::collections::{BTreeMap, BTreeSet};

use super::super::tables::is_legacy;
use super::super::*;
use super::fixture;

/// A key as the fixture writes it: type, default, allowed values, update mode, listing.
type Facts = [String; 5];

fn kafka_keys(resource: &str) -> BTreeMap<&'static str, Facts> {
    fixture(include_str!("../../../testdata/kafka-4.3.1/keys.tsv"))
        .filter(|fields| fields[0] == resource)
        .map(|fields| (fields[1], [2, 3, 4, 5, 6].map(|at| fields[at].to_owned())))
        .collect()
}

fn our_keys(resource: &str, rows: &'static [ConfigDef]) -> BTreeMap<&'static str, Facts> {
    rows.iter()
        .filter(|row| resource != "broker" || !is_legacy(row.name))
        .map(|row| (row.name, facts(resource, row)))
        .collect()
}

fn facts(resource: &str, row: &ConfigDef) -> Facts {
    let own = DEFAULTS_OF_OUR_OWN.iter().find(|own| resource == "broker" && own.name == row.name);
    let default = match own {
        Some(own) => own.kafka.unwrap_or("\\R"),
        None => row.default.unwrap_or("\\N"),
    };
    let mode = match row.update_mode {
        _ if resource != "broker" => "-",
        UpdateMode::ReadOnly => "read-only",
        UpdateMode::PerBroker => "per-broker",
        UpdateMode::ClusterWide => "cluster-wide",
    };
    let listing = match row.listing {
        Listing::Always => "public",
        Listing::WhenSet
            if row.name.ends_with(".throttled.rate") || row.name.starts_with("replica.alter.") =>
        {
            "dynamic-only"
        }
        Listing::WhenSet => "internal",
    };
    [row.config_type.name(), default, &allowed(row.validator), mode, listing].map(str::to_owned)
}

/// The allowed values in the notation of Kafka's validators.
fn allowed(validator: Validator) -> String {
    match validator {
        Validator::Any => String::new(),
        Validator::AtLeast(min) => format!("[{min},...]"),
        Validator::Between(min, max) => format!("[{min},...,{max}]"),
        Validator::BetweenOr(min, max, other) => format!("[{min},...,{max}] or {other}"),
        Validator::BetweenReal(min, max) => format!("[{min},...,{max}]"),
        Validator::OneOf(texts) => format!("[{}]", texts.join(", ")),
        Validator::OneOfIgnoringCase(texts) => format!("(case insensitive) [{}]", texts.join(", ")),
        Validator::NonEmptyText => "non-empty string".to_owned(),
        Validator::ListOf(ListRule { may_be_empty, elements }) => {
            let elements =
                if elements.is_empty() { String::new() } else { format!("[{}]", elements.join(", ")) };
            format!("{elements}{}", if may_be_empty { "" } else { " non-empty" }).trim().to_owned()
        }
        Validator::QuorumVoters | Validator::QuorumServers => "non-empty list".to_owned(),
        Validator::ThrottledReplicas => "[partitionId]:[brokerId],[partitionId]:[brokerId],...".to_owned(),
        Validator::ShareOffsetReset => "[latest, earliest, by_duration:PnDTnHnMn.nS]".to_owned(),
    }
}

fn check(resource: &str, rows: &'static [ConfigDef]) {
    let (ours, mut kafka) = (our_keys(resource, rows), kafka_keys(resource));
    // "Not null" is no rule for text.
    for facts in kafka.values_mut().filter(|facts| facts[2] == "non-null string") {
        facts[2].clear();
    }
    let names = |keys: &BTreeMap<&'static str, Facts>| keys.keys().copied().collect::<BTreeSet<_>>();
    assert_eq!(names(&ours), names(&kafka));
    for (name, facts) in &ours {
        assert_eq!(facts, &kafka[name], "of {resource} key {name}");
    }
}

#[test]
fn kafka_2_26_topic_keys_are_those_of_kafka() {
    check("topic", topic_configs());
}

#[test]
fn kafka_2_40_group_keys_are_those_of_kafka() {
    check("group", group_configs());
}

#[test]
fn kafka_2_26_broker_keys_are_those_of_kafka() {
    check("broker", broker_configs());
}

#[test]
fn zookeeper_mode_keys_are_known_and_not_listed_unless_set() {
    for name in [
        "zookeeper.connect",
        "zookeeper.session.timeout.ms",
        "inter.broker.protocol.version",
        "broker.id.generation.enable",
    ] {
        let row = broker_config(name).expect("operators have the key in their files");
        assert!(is_legacy(name) && row.listing == Listing::WhenSet && row.is_read_only(), "of {name}");
    }
}

#[test]
fn every_row_is_sound() {
    for rows in [topic_configs(), group_configs(), broker_configs()] {
        assert!(rows.windows(2).all(|pair| pair[0].name < pair[1].name), "a key is in two tables");
        for row in rows {
            if let Some(default) = row.default {
                parse_value(row, default).expect("a default is allowed by its own row");
            }
            let words = row.documentation.split(' ').count();
            assert!(
                (4..=60).contains(&words) && row.documentation.ends_with('.'),
                "the documentation of {}",
                row.name
            );
            assert!(!row.documentation.contains("  "), "the documentation of {}", row.name);
            for synonym in row.synonyms {
                assert!(broker_config(synonym.name).is_some(), "{} is no broker key", synonym.name);
            }
        }
    }
}

#[test]
fn own_defaults_are_of_keys_that_exist_and_differ() {
    for own in DEFAULTS_OF_OUR_OWN {
        let row = broker_config(own.name).expect("the key exists");
        assert!(own.kafka.is_none() || own.kafka != row.default, "{} does not differ", own.name);
    }
}

#[test]
fn lookup_finds_every_key_and_nothing_else() {
    for row in topic_configs() {
        assert_eq!(topic_config(row.name), Some(row));
    }
    assert_eq!(topic_config("log.retention.ms"), None);
    assert_eq!(broker_config(""), None);
    let name = |key| broker_config_or_listener_override(key).map(|row| row.name);
    assert_eq!(name("listener.name.internal.max.connections"), Some("max.connections"));
    assert_eq!(name("listener.name.internal.scram-sha-256.sasl.jaas.config"), Some("sasl.jaas.config"));
    assert_eq!(name("listener.name.internal"), None);
    assert_eq!(name("listener.name.internal.nope"), None);
}
