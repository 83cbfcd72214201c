//! The bounds that the broker sets to what groups may ask for (GroupCoordinatorConfig, ShareGroupConfig, GroupConfig).
use super::error::ConfigError;
use super::layers::{ConfigMap, Layers};
use super::registry::{group_config, group_configs};
use super::value::{ConfigValue, parse_value};

/// A group key whose value the broker bounds. The broker key of its default has the same bounds.
struct Bound {
    group_key: &'static str,
    server_key: &'static str,
    min_key: Option<&'static str>,
    max_key: &'static str,
}

macro_rules! bounds {
    ($($group:literal, $server:literal, $min:expr, $max:literal;)*) => {
        &[$(Bound { group_key: $group, server_key: $server, min_key: $min, max_key: $max }),*]
    };
}

const BOUNDS: &[Bound] = bounds! {
    "consumer.assignment.interval.ms", "group.consumer.assignment.interval.ms",
        Some("group.consumer.min.assignment.interval.ms"), "group.consumer.max.assignment.interval.ms";
    "consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms",
        Some("group.consumer.min.heartbeat.interval.ms"), "group.consumer.max.heartbeat.interval.ms";
    "consumer.session.timeout.ms", "group.consumer.session.timeout.ms",
        Some("group.consumer.min.session.timeout.ms"), "group.consumer.max.session.timeout.ms";
    "share.assignment.interval.ms", "group.share.assignment.interval.ms",
        Some("group.share.min.assignment.interval.ms"), "group.share.max.assignment.interval.ms";
    "share.delivery.count.limit", "group.share.delivery.count.limit",
        Some("group.share.min.delivery.count.limit"), "group.share.max.delivery.count.limit";
    "share.heartbeat.interval.ms", "group.share.heartbeat.interval.ms",
        Some("group.share.min.heartbeat.interval.ms"), "group.share.max.heartbeat.interval.ms";
    "share.partition.max.record.locks", "group.share.partition.max.record.locks",
        Some("group.share.min.partition.max.record.locks"), "group.share.max.partition.max.record.locks";
    "share.record.lock.duration.ms", "group.share.record.lock.duration.ms",
        Some("group.share.min.record.lock.duration.ms"), "group.share.max.record.lock.duration.ms";
    "share.session.timeout.ms", "group.share.session.timeout.ms",
        Some("group.share.min.session.timeout.ms"), "group.share.max.session.timeout.ms";
    "streams.assignment.interval.ms", "group.streams.assignment.interval.ms",
        Some("group.streams.min.assignment.interval.ms"), "group.streams.max.assignment.interval.ms";
    "streams.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms",
        Some("group.streams.min.heartbeat.interval.ms"), "group.streams.max.heartbeat.interval.ms";
    "streams.num.standby.replicas", "group.streams.num.standby.replicas",
        None, "group.streams.max.standby.replicas";
    "streams.session.timeout.ms", "group.streams.session.timeout.ms",
        Some("group.streams.min.session.timeout.ms"), "group.streams.max.session.timeout.ms";
};

/// Session timeouts and the heartbeat intervals that must be shorter, as group keys.
const SESSIONS: &[(&str, &str)] = &[
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

/// What contradicts what among the broker's own group settings.
pub(super) fn check_group_bounds(layers: &Layers) -> Vec<ConfigError> {
    let mut conflicts = Vec::new();
    for bound in BOUNDS {
        conflicts.extend(check_bound(layers, bound, bound.server_key, layers.get(bound.server_key)).err());
    }
    let server = |group_key: &str| {
        let key =
            BOUNDS.iter().find(|bound| bound.group_key == group_key).map_or("", |bound| bound.server_key);
        (key, layers.get::<i32>(key))
    };
    for (session, heartbeat) in SESSIONS {
        let ((session_key, session), (heartbeat_key, heartbeat)) = (server(session), server(heartbeat));
        if heartbeat >= session {
            conflicts.push(ConfigError::Conflict(format!("{heartbeat_key} must be less than {session_key}")));
        }
    }
    let (sessions, size) = ("group.share.max.share.sessions", "group.share.max.size");
    if layers.get::<i32>(sessions) < layers.get(size) {
        conflicts.push(ConfigError::Conflict(format!("{sessions} must be greater than or equal to {size}")));
    }
    conflicts
}

fn check_bound(layers: &Layers, bound: &Bound, named: &str, value: i32) -> Result<(), ConfigError> {
    if let Some(min_key) = bound.min_key
        && value < layers.get::<i32>(min_key)
    {
        return Err(ConfigError::Conflict(format!("{named} must be greater than or equal to {min_key}")));
    }
    if value > layers.get::<i32>(bound.max_key) {
        return Err(ConfigError::Conflict(format!(
            "{named} must be less than or equal to {}",
            bound.max_key
        )));
    }
    Ok(())
}

/// Refuses settings of a group that are unknown, not allowed, out of the broker's bounds or contradictory
/// (`GroupConfig.validate`).
pub(super) fn check_group_configs(layers: &Layers, configs: &ConfigMap) -> Result<(), ConfigError> {
    for (key, value) in configs {
        let def =
            group_config(key).ok_or_else(|| ConfigError::UnknownKey { scope: "group", key: key.clone() })?;
        parse_value(def, value)?;
    }
    for bound in BOUNDS {
        if let (true, Some(value)) =
            (configs.contains_key(bound.group_key), effective(layers, configs, bound.group_key))
        {
            check_bound(layers, bound, bound.group_key, value)?;
        }
    }
    for (session, heartbeat) in SESSIONS {
        if effective(layers, configs, session) <= effective(layers, configs, heartbeat) {
            return Err(ConfigError::Conflict(format!("{session} must be greater than {heartbeat}")));
        }
    }
    Ok(())
}

fn effective(layers: &Layers, configs: &ConfigMap, group_key: &str) -> Option<i32> {
    match group_value(layers, configs, group_key)? {
        ConfigValue::Int(value) => Some(value),
        _ => None,
    }
}

/// The effective value of a group key: what the group sets, else the broker's default, else the default of the row.
pub(super) fn group_value(layers: &Layers, configs: &ConfigMap, key: &str) -> Option<ConfigValue> {
    let def = group_config(key)?;
    let given = configs.get(key).and_then(|text| parse_value(def, text).ok());
    given.or_else(|| layers.derived(def.synonyms)).or_else(|| parse_value(def, def.default?).ok())
}

/// The effective settings of a group by key.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    values: Vec<(&'static str, ConfigValue)>,
}

impl GroupConfig {
    pub(super) fn new(layers: &Layers, configs: &ConfigMap) -> GroupConfig {
        let values = group_configs()
            .iter()
            .filter_map(|def| {
                let value = group_value(layers, configs, def.name)?;
                Some((def.name, clamp(layers, def.name, value)))
            })
            .collect();
        GroupConfig { values }
    }

    /// The value of an integer key.
    pub fn int(&self, key: &str) -> Option<i32> {
        match self.value(key)? {
            ConfigValue::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of any group key.
    pub fn value(&self, key: &str) -> Option<&ConfigValue> {
        self.values.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Brings a stored value into bounds that became narrower since (`GroupConfig.evaluate`).
fn clamp(layers: &Layers, key: &str, value: ConfigValue) -> ConfigValue {
    match (BOUNDS.iter().find(|bound| bound.group_key == key), value) {
        (Some(bound), ConfigValue::Int(number)) => {
            let min = bound.min_key.map_or(i32::MIN, |key| layers.get(key));
            ConfigValue::Int(number.min(layers.get(bound.max_key)).max(min))
        }
        (_, value) => value,
    }
}
