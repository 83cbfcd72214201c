//! What DescribeConfigs says about a resource: every key with its value, where that comes from, and all values that it
//! won against.
use super::bounds::group_value;
use super::broker::BrokerConfig;
use super::def::{CONFIG_TYPE_CODE_UNKNOWN, ConfigDef, Listing};
use super::layers::ConfigMap;
use super::registry::{
    broker_config, broker_config_or_listener_override, broker_configs, broker_synonyms, group_config,
    group_configs, topic_config, topic_configs,
};
use super::topic::topic_value;
use super::value::{ConfigValue, parse_value};

/// Where a value comes from, with the codes of DescribeConfigs (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum ConfigSource {
    /// The topic's own setting.
    Topic = 1,
    /// The dynamic setting of this broker.
    DynamicBroker = 2,
    /// The dynamic setting of all brokers.
    DynamicDefaultBroker = 3,
    /// The configuration file.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// The level of a logger.
    DynamicBrokerLogger = 6,
    /// A client metrics subscription.
    ClientMetrics = 7,
    /// The group's own setting.
    Group = 8,
}

impl ConfigSource {
    /// The code in DescribeConfigs.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// A value of a setting in one of its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key under which the layer has it.
    pub name: String,
    /// The value; `None` if it is sensitive.
    pub value: Option<String>,
    /// The layer.
    pub source: ConfigSource,
}

/// What DescribeConfigs says about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The effective value; `None` if it is null or sensitive.
    pub value: Option<String>,
    /// Where the effective value comes from.
    pub source: ConfigSource,
    /// Whether values are never shown.
    pub is_sensitive: bool,
    /// Whether the key cannot be changed at run time.
    pub read_only: bool,
    /// The type's code; 0 for a key that no table knows.
    pub config_type: i8,
    /// One or two sentences for people; `None` for a key that no table knows.
    pub documentation: Option<&'static str>,
    /// The values of all layers, the winning one first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// What to describe.
#[derive(Clone, Copy, Debug)]
pub enum DescribedResource<'a> {
    /// The broker whose settings are given.
    Broker,
    /// The dynamic settings of all brokers.
    ClusterDefault,
    /// A topic with these overrides.
    Topic(&'a ConfigMap),
    /// A group with these overrides.
    Group(&'a ConfigMap),
}

/// Describes a resource, sorted by key: those of `keys`, or all if there are none. Keys that the resource does not have
/// are left out.
pub fn describe(
    broker: &BrokerConfig,
    resource: DescribedResource<'_>,
    keys: Option<&[&str]>,
) -> Vec<ConfigEntry> {
    let is_wanted = |name: &&str| keys.is_none_or(|keys| keys.is_empty() || keys.contains(name));
    match resource {
        DescribedResource::Broker => listed(broker_configs(), broker.layers().effective())
            .filter(is_wanted)
            .map(|name| broker_entry(broker, name))
            .collect(),
        DescribedResource::ClusterDefault => broker
            .cluster_default_values()
            .iter()
            .filter(|(name, _)| is_wanted(&name.as_str()))
            .map(|(name, value)| cluster_default_entry(broker, name, value))
            .collect(),
        DescribedResource::Topic(overrides) => listed(topic_configs(), overrides)
            .filter(is_wanted)
            .map(|name| topic_entry(broker, overrides, name))
            .collect(),
        DescribedResource::Group(overrides) => listed(group_configs(), overrides)
            .filter(is_wanted)
            .map(|name| group_entry(broker, overrides, name))
            .collect(),
    }
}

/// The keys that are always listed and those that somebody set, sorted.
fn listed<'a>(rows: &'static [ConfigDef], set: &'a ConfigMap) -> impl Iterator<Item = &'a str> {
    let always = rows.iter().filter(|row| row.listing == Listing::Always).map(|row| row.name);
    let names: std::collections::BTreeSet<&str> = always.chain(set.keys().map(String::as_str)).collect();
    names.into_iter()
}

fn broker_entry(broker: &BrokerConfig, name: &str) -> ConfigEntry {
    let value = match broker_config(name) {
        Some(_) => broker.value(name).map(|value| value.to_string()),
        None => broker.layers().effective().get(name).cloned(),
    };
    let is_sensitive = is_sensitive(broker_config_or_listener_override(name));
    let synonyms = server_synonyms(broker, name, is_sensitive);
    server_entry(name, value, is_sensitive, synonyms)
}

fn cluster_default_entry(broker: &BrokerConfig, name: &str, value: &str) -> ConfigEntry {
    let is_sensitive = is_sensitive(broker_config_or_listener_override(name));
    let mut synonyms = server_synonyms(broker, name, is_sensitive);
    synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
    server_entry(name, Some(value.to_owned()), is_sensitive, synonyms)
}

fn server_entry(
    name: &str,
    value: Option<String>,
    is_sensitive: bool,
    synonyms: Vec<ConfigSynonym>,
) -> ConfigEntry {
    let def = broker_config_or_listener_override(name);
    ConfigEntry {
        read_only: broker_config(name).is_none_or(ConfigDef::is_read_only),
        ..entry(name, def, value.filter(|_| !is_sensitive), synonyms)
    }
}

fn topic_entry(broker: &BrokerConfig, overrides: &ConfigMap, name: &str) -> ConfigEntry {
    let def = topic_config(name);
    let value = topic_value(broker.layers(), overrides, name);
    derived_entry(broker, name, def, value, overrides.contains_key(name).then_some(ConfigSource::Topic))
}

fn group_entry(broker: &BrokerConfig, overrides: &ConfigMap, name: &str) -> ConfigEntry {
    let def = group_config(name);
    let value = group_value(broker.layers(), overrides, name);
    let own = overrides.contains_key(name).then_some(ConfigSource::Group);
    let mut result = derived_entry(broker, name, def, value, own);
    if let Some(default) = def.filter(|def| def.synonyms.is_empty()).and_then(|def| def.default) {
        let value = Some(default.to_owned());
        result.synonyms.push(ConfigSynonym { name: name.to_owned(), value, source: ConfigSource::Default });
    }
    result
}

/// The entry of a topic or group key; `own` is the source if the resource itself sets it.
fn derived_entry(
    broker: &BrokerConfig,
    name: &str,
    def: Option<&'static ConfigDef>,
    value: Option<ConfigValue>,
    own: Option<ConfigSource>,
) -> ConfigEntry {
    let is_sensitive = is_sensitive(def);
    let value = value.map(|value| value.to_string()).filter(|_| !is_sensitive);
    let own = own.map(|source| ConfigSynonym { name: name.to_owned(), value: value.clone(), source });
    let server = def.and_then(|def| def.synonyms.first());
    let inherited =
        server.map(|server| server_synonyms(broker, server.name, is_sensitive)).unwrap_or_default();
    entry(name, def, value, own.into_iter().chain(inherited).collect())
}

fn entry(
    name: &str,
    def: Option<&'static ConfigDef>,
    value: Option<String>,
    synonyms: Vec<ConfigSynonym>,
) -> ConfigEntry {
    ConfigEntry {
        name: name.to_owned(),
        value,
        source: synonyms.first().map_or(ConfigSource::Default, |winner| winner.source),
        is_sensitive: is_sensitive(def),
        read_only: false,
        config_type: def.map_or(CONFIG_TYPE_CODE_UNKNOWN, |def| def.config_type.code()),
        documentation: def.map(|def| def.documentation),
        synonyms,
    }
}

/// A key that no table knows may hold anything, so it counts as sensitive.
fn is_sensitive(def: Option<&'static ConfigDef>) -> bool {
    def.is_none_or(ConfigDef::is_sensitive)
}

/// The values of all layers under all names of a broker key, in the order in which they win (`ConfigHelper`).
///
/// The chain starts at the first value under the key's own name, so a value that is only set in another unit, such as
/// log.retention.hours for log.retention.ms, leaves it empty, as in Kafka.
fn server_synonyms(broker: &BrokerConfig, name: &str, is_sensitive: bool) -> Vec<ConfigSynonym> {
    let names = broker_synonyms(name);
    let layers = [
        (broker.per_broker_values(), ConfigSource::DynamicBroker),
        (broker.cluster_default_values(), ConfigSource::DynamicDefaultBroker),
        (broker.file_values(), ConfigSource::StaticBroker),
    ];
    let mut chain = Vec::new();
    for (values, source) in layers {
        for &synonym in &names {
            let Some(value) = values.get(synonym) else { continue };
            let value = (!is_sensitive).then(|| value.clone());
            chain.push(ConfigSynonym { name: synonym.to_owned(), value, source });
        }
    }
    for &synonym in &names {
        let Some(default) = default_text(synonym) else { continue };
        let value = (!is_sensitive).then_some(default);
        chain.push(ConfigSynonym { name: synonym.to_owned(), value, source: ConfigSource::Default });
    }
    let start = chain.iter().position(|synonym| synonym.name == name).unwrap_or(chain.len());
    chain.split_off(start)
}

/// The default of a key in Kafka's text form. Dynamic-only and ZooKeeper-mode keys have none in the chain.
fn default_text(name: &str) -> Option<String> {
    let def = broker_config(name)?;
    if def.listing == Listing::WhenSet && super::tables::is_outside_kafka_config(name) {
        return None;
    }
    parse_value(def, def.default?).ok().map(|value| value.to_string())
}
