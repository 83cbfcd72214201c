//! Finding a key's row, and the other names that a broker key goes by.
use std::sync::LazyLock;

use super::def::ConfigDef;
use super::tables;

static TOPIC: LazyLock<Vec<ConfigDef>> = LazyLock::new(|| sorted(tables::topic()));
static GROUP: LazyLock<Vec<ConfigDef>> = LazyLock::new(|| sorted(tables::group()));
static BROKER: LazyLock<Vec<ConfigDef>> = LazyLock::new(|| sorted(tables::broker()));

fn sorted(rows: impl Iterator<Item = &'static ConfigDef>) -> Vec<ConfigDef> {
    let mut rows: Vec<ConfigDef> = rows.copied().collect();
    rows.sort_by_key(|row| row.name);
    rows
}

/// Every topic key, sorted by name.
pub fn topic_configs() -> &'static [ConfigDef] {
    &TOPIC
}

/// Every group key, sorted by name.
pub fn group_configs() -> &'static [ConfigDef] {
    &GROUP
}

/// Every broker key, sorted by name: those of Kafka 4.3, its internal and dynamic-only ones, and those of ZooKeeper-mode
/// Kafka 3.9.
pub fn broker_configs() -> &'static [ConfigDef] {
    &BROKER
}

/// The row of a topic key.
pub fn topic_config(name: &str) -> Option<&'static ConfigDef> {
    find(topic_configs(), name)
}

/// The row of a group key.
pub fn group_config(name: &str) -> Option<&'static ConfigDef> {
    find(group_configs(), name)
}

/// The row of a broker key that is written without a listener's prefix.
pub fn broker_config(name: &str) -> Option<&'static ConfigDef> {
    find(broker_configs(), name)
}

/// The row that says what values of `name` are like: that of the key itself, or of the key behind
/// `listener.name.<listener>.` and, for SASL, `<mechanism>.`.
pub fn broker_config_or_listener_override(name: &str) -> Option<&'static ConfigDef> {
    broker_config(name).or_else(|| broker_config(listener_override_base(name)?))
}

fn find(rows: &'static [ConfigDef], name: &str) -> Option<&'static ConfigDef> {
    rows.binary_search_by_key(&name, |row| row.name).ok().and_then(|at| rows.get(at))
}

/// Keys that are written as `listener.name.<listener>.<mechanism>.<key>`.
const LISTENER_MECHANISM_KEYS: &[&str] = &[
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
];

/// The key that `listener.name.<listener>.<...>` overrides for one listener.
pub(super) fn listener_override_base(name: &str) -> Option<&str> {
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    Some(LISTENER_MECHANISM_KEYS.iter().find(|key| base.ends_with(*key)).copied().unwrap_or(base))
}

const LOG_ROLL: &[&str] = &["log.roll.ms", "log.roll.hours"];
const LOG_ROLL_JITTER: &[&str] = &["log.roll.jitter.ms", "log.roll.jitter.hours"];
const LOG_RETENTION: &[&str] = &["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
const LOG_FLUSH: &[&str] = &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"];

/// Broker keys that say the same in other units, the first wins (`DynamicBrokerConfig.brokerConfigSynonyms`).
fn unit_synonyms(name: &str) -> Option<&'static [&'static str]> {
    [LOG_ROLL, LOG_ROLL_JITTER, LOG_RETENTION]
        .into_iter()
        .find(|names| names.contains(&name))
        .or_else(|| (name == "log.flush.interval.ms").then_some(LOG_FLUSH))
}

/// The names whose values decide the value of a broker key, in order: the key in all its units, or a listener's key and
/// the key that it overrides.
pub(super) fn broker_synonyms(name: &str) -> Vec<&str> {
    match (unit_synonyms(name), listener_override_base(name)) {
        (Some(names), _) => names.to_vec(),
        (None, Some(base)) => vec![name, base],
        (None, None) => vec![name],
    }
}

/// The names whose lower layers a value of `name` in a higher layer hides. A listener's key does not hide its base key.
pub(super) fn hidden_by(name: &str) -> Vec<&str> {
    unit_synonyms(name).map_or_else(|| vec![name], <[&str]>::to_vec)
}
