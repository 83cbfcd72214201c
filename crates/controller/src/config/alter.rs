//! Changes of dynamic settings: IncrementalAlterConfigs and AlterConfigs.
//!
//! Both compute the whole new set of overrides of a resource and check it; nothing is stored here.
use super::bounds::{GroupConfig, check_group_configs};
use super::broker::{BrokerConfig, DynamicScope, check_dynamic};
use super::def::{ConfigDef, ConfigType};
use super::error::ConfigError;
use super::layers::ConfigMap;
use super::registry::{broker_config_or_listener_override, group_config, topic_config};
use super::support::{BROKER_REFUSALS, STATIC_HERE, find_refusal};
use super::topic::validate_topic_config;

/// The longest value that is stored (Kafka's `Short.MAX_VALUE`).
pub const CONFIG_VALUE_BYTES_MAX: usize = 32_767;

/// What kind of resource is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlteredResource {
    /// A topic.
    Topic,
    /// A group.
    Group,
    /// This broker.
    Broker,
    /// The defaults of all brokers.
    ClusterDefault,
}

/// What an incremental change does (`AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlterOperation {
    /// Sets the value.
    Set,
    /// Goes back to the default.
    Delete,
    /// Adds elements to a list that does not have them.
    Append,
    /// Removes elements from a list.
    Subtract,
}

impl AlterOperation {
    /// The operation that a request's code stands for.
    pub const fn from_code(code: i8) -> Option<AlterOperation> {
        match code {
            0 => Some(AlterOperation::Set),
            1 => Some(AlterOperation::Delete),
            2 => Some(AlterOperation::Append),
            3 => Some(AlterOperation::Subtract),
            _ => None,
        }
    }
}

/// One incremental change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alteration<'a> {
    /// The key.
    pub key: &'a str,
    /// What to do.
    pub operation: AlterOperation,
    /// The value; only a deletion goes without.
    pub value: Option<&'a str>,
}

/// The overrides of a resource after incremental changes (KIP-339). Fails as a whole.
pub fn alter_incrementally(
    broker: &BrokerConfig,
    resource: AlteredResource,
    current: &ConfigMap,
    changes: &[Alteration<'_>],
) -> Result<ConfigMap, ConfigError> {
    check_distinct(changes.iter().map(|change| change.key))?;
    let mut configs = current.clone();
    for change in changes {
        if change.operation == AlterOperation::Delete {
            configs.remove(change.key);
            continue;
        }
        let value = change.value.ok_or_else(|| ConfigError::NullValue { key: change.key.to_owned() })?;
        let value = match change.operation {
            AlterOperation::Append => append(resource, &configs, change.key, value)?,
            AlterOperation::Subtract => subtract(resource, &configs, change.key, value)?,
            AlterOperation::Set | AlterOperation::Delete => value.to_owned(),
        };
        configs.insert(change.key.to_owned(), value);
    }
    validate_overrides(broker, resource, current, &configs)?;
    Ok(configs)
}

/// The overrides of a resource after AlterConfigs, which replaces all of them.
pub fn replace_all(
    broker: &BrokerConfig,
    resource: AlteredResource,
    current: &ConfigMap,
    pairs: &[(&str, Option<&str>)],
) -> Result<ConfigMap, ConfigError> {
    check_distinct(pairs.iter().map(|(key, _)| *key))?;
    let mut configs = ConfigMap::new();
    for (key, value) in pairs {
        let value = value.ok_or_else(|| ConfigError::NullValue { key: (*key).to_owned() })?;
        configs.insert((*key).to_owned(), value.to_owned());
    }
    validate_overrides(broker, resource, current, &configs)?;
    Ok(configs)
}

/// The effective settings of a group with these overrides, brought into the broker's bounds.
pub fn effective_group_config(broker: &BrokerConfig, overrides: &ConfigMap) -> GroupConfig {
    GroupConfig::new(broker.layers(), overrides)
}

/// Refuses settings of a group that are unknown, not allowed, out of the broker's bounds or contradictory.
pub fn validate_group_config(broker: &BrokerConfig, overrides: &ConfigMap) -> Result<(), ConfigError> {
    check_group_configs(broker.layers(), overrides)
}

fn validate_overrides(
    broker: &BrokerConfig,
    resource: AlteredResource,
    current: &ConfigMap,
    configs: &ConfigMap,
) -> Result<(), ConfigError> {
    let changed = || configs.iter().filter(|(key, value)| current.get(*key) != Some(*value));
    if let Some((key, value)) = changed().find(|(_, value)| value.len() > CONFIG_VALUE_BYTES_MAX) {
        return Err(ConfigError::TooLong {
            key: key.clone(),
            bytes: value.len(),
            bytes_max: CONFIG_VALUE_BYTES_MAX,
        });
    }
    match resource {
        AlteredResource::Topic => validate_topic_config(broker, configs),
        AlteredResource::Group => validate_group_config(broker, configs),
        AlteredResource::Broker | AlteredResource::ClusterDefault => {
            validate_broker_overrides(broker, resource, configs).map_err(|error| match error {
                InvalidBrokerUpdate::Itself(error) => error,
                InvalidBrokerUpdate::Wrapped(error) => ConfigError::DynamicUpdate(Box::new(error)),
            })
        }
    }
}

/// Kafka answers a refused broker update with INVALID_REQUEST, whatever is wrong with it.
enum InvalidBrokerUpdate {
    /// An error that has that code.
    Itself(ConfigError),
    /// An error that has another code elsewhere.
    Wrapped(ConfigError),
}

impl From<ConfigError> for InvalidBrokerUpdate {
    fn from(error: ConfigError) -> InvalidBrokerUpdate {
        match error {
            ConfigError::NotDynamic { .. }
            | ConfigError::NeedsListenerPrefix { .. }
            | ConfigError::PerBrokerOnly { .. } => InvalidBrokerUpdate::Itself(error),
            other => InvalidBrokerUpdate::Wrapped(other),
        }
    }
}

fn validate_broker_overrides(
    broker: &BrokerConfig,
    resource: AlteredResource,
    configs: &ConfigMap,
) -> Result<(), InvalidBrokerUpdate> {
    let scope = match resource {
        AlteredResource::ClusterDefault => DynamicScope::ClusterDefault,
        _ => DynamicScope::Broker,
    };
    for (key, value) in configs {
        if broker_config_or_listener_override(key).is_none() {
            return Err(ConfigError::UnknownKey { scope: "broker", key: key.clone() }.into());
        }
        check_dynamic(key, value, scope)?;
        if STATIC_HERE.contains(&key.as_str()) {
            return Err(ConfigError::NotDynamic { key: key.clone() }.into());
        }
    }
    if let Some(refusal) = find_refusal(configs, BROKER_REFUSALS) {
        return Err(refusal.into());
    }
    let (cluster_default, per_broker) = match scope {
        DynamicScope::ClusterDefault => (configs, broker.per_broker_values()),
        DynamicScope::Broker => (broker.cluster_default_values(), configs),
    };
    let (_, conflicts) = broker.with_dynamic(cluster_default, per_broker);
    conflicts.into_iter().next().map_or(Ok(()), |conflict| Err(conflict.into()))
}

fn check_distinct<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = std::collections::HashSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(ConfigError::DuplicateKey { key: key.to_owned() });
        }
    }
    Ok(())
}

fn append(
    resource: AlteredResource,
    configs: &ConfigMap,
    key: &str,
    value: &str,
) -> Result<String, ConfigError> {
    let mut elements = current_elements(resource, configs, key, "APPEND")?;
    for element in split(value) {
        if !elements.contains(&element) {
            elements.push(element);
        }
    }
    Ok(elements.join(","))
}

fn subtract(
    resource: AlteredResource,
    configs: &ConfigMap,
    key: &str,
    value: &str,
) -> Result<String, ConfigError> {
    let mut elements = current_elements(resource, configs, key, "SUBTRACT")?;
    for element in split(value) {
        if let Some(at) = elements.iter().position(|present| *present == element) {
            elements.remove(at);
        }
    }
    Ok(elements.join(","))
}

/// The elements that a list has now: those of its override, or of its row's default.
fn current_elements(
    resource: AlteredResource,
    configs: &ConfigMap,
    key: &str,
    operation: &'static str,
) -> Result<Vec<String>, ConfigError> {
    let def = row(resource, key)
        .filter(|def| def.config_type == ConfigType::List)
        .ok_or_else(|| ConfigError::NotAList { operation, key: key.to_owned() })?;
    Ok(split(configs.get(key).map(String::as_str).or(def.default).unwrap_or_default()))
}

fn row(resource: AlteredResource, key: &str) -> Option<&'static ConfigDef> {
    match resource {
        AlteredResource::Topic => topic_config(key),
        AlteredResource::Group => group_config(key),
        AlteredResource::Broker | AlteredResource::ClusterDefault => broker_config_or_listener_override(key),
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
}
