//! What this server does not do, although Kafka has a key for it. A setting is done or refused, never silently ignored.
//!
//! Each entry goes when the part that it names is built.
use super::def::ConfigType;
use super::error::ConfigError;
use super::layers::ConfigMap;
use super::listener::SecurityProtocol;

/// Which values of a key are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The value `true`.
    True,
    /// Every value but the empty one.
    NonEmpty,
}

/// A setting that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// The key.
    pub key: &'static str,
    /// Which of its values.
    pub refused: Refused,
    /// What to tell the person who set it.
    pub reason: &'static str,
}

const fn refusal(key: &'static str, refused: Refused, reason: &'static str) -> Refusal {
    Refusal { key, refused, reason }
}

const NO_JAVA: &str = "Java classes cannot be loaded into this server, so the rules in them would not be \
 kept. Remove the setting.";

/// Topic settings that are refused.
pub const TOPIC_REFUSALS: &[Refusal] = &[refusal(
    "remote.storage.enable",
    Refused::True,
    "Tiered storage is not available yet, so the segments would stay on this disk.",
)];

/// Broker settings with which the server does not start.
pub const BROKER_REFUSALS: &[Refusal] = &[
    refusal("alter.config.policy.class.name", Refused::NonEmpty, NO_JAVA),
    refusal(
        "authorizer.class.name",
        Refused::NonEmpty,
        "Authorization is not available yet, and without it everything would be allowed. Remove the \
         setting if that is wanted.",
    ),
    refusal("client.quota.callback.class", Refused::NonEmpty, NO_JAVA),
    refusal(
        "config.providers",
        Refused::NonEmpty,
        "Values from configuration providers are not resolved. Write the values into the file.",
    ),
    refusal("cordoned.log.dirs", Refused::NonEmpty, "Cordoning folders is not available yet."),
    refusal("create.topic.policy.class.name", Refused::NonEmpty, NO_JAVA),
    refusal("remote.log.storage.system.enable", Refused::True, "Tiered storage is not available yet."),
];

/// Broker settings that the server reads at start only, although Kafka changes them at run time.
pub const STATIC_HERE: &[&str] = &["listener.security.protocol.map", "listeners"];

/// The protocols that listeners can have.
pub const PROTOCOLS: &[SecurityProtocol] = &[SecurityProtocol::Plaintext];

/// The classes of `replica.selector.class` that stand for something this server does itself (KIP-392).
const REPLICA_SELECTORS: &[&str] = &[
    "org.apache.kafka.common.replica.LeaderSelector",
    "org.apache.kafka.common.replica.RackAwareReplicaSelector",
];

/// Why a listener with another protocol than those of [`PROTOCOLS`] is refused.
pub(super) const PROTOCOL_REASON: &str =
    "TLS and SASL are not available yet, so the listener would be open. Use PLAINTEXT.";

/// The first setting of `configs` that one of `refusals` names.
pub(super) fn find_refusal(configs: &ConfigMap, refusals: &[Refusal]) -> Option<ConfigError> {
    refusals.iter().find_map(|refusal| {
        let value = configs.get(refusal.key)?;
        let trimmed = value.trim();
        let applies = match refusal.refused {
            Refused::True => trimmed.eq_ignore_ascii_case("true"),
            Refused::NonEmpty => !trimmed.is_empty(),
        };
        applies.then(|| ConfigError::NotSupported {
            key: refusal.key.to_owned(),
            value: value.clone(),
            reason: refusal.reason,
        })
    })
}

/// A setting that is kept and shown, but that nothing in this server reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigWarning {
    /// No table knows the key.
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The key is of ZooKeeper-mode Kafka and has no meaning here.
    Legacy {
        /// The key.
        key: String,
    },
    /// The value names a Java class.
    JavaClass {
        /// The key.
        key: String,
    },
}

impl std::fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigWarning::UnknownKey { key } => {
                write!(f, "{key} is no configuration key of ZooKeeper or Kafka; it is ignored")
            }
            ConfigWarning::Legacy { key } => {
                write!(f, "{key} is a key of Kafka before 4.0 and has no effect here")
            }
            ConfigWarning::JavaClass { key } => {
                write!(f, "{key} names a Java class, which cannot be loaded into this server; it is ignored")
            }
        }
    }
}

/// What to warn about for one setting of the configuration file.
pub(super) fn warning_for(key: &str, value: &str) -> Option<ConfigWarning> {
    let Some(def) = super::registry::broker_config_or_listener_override(key) else {
        return Some(ConfigWarning::UnknownKey { key: key.to_owned() });
    };
    let has_effect = matches!(
        def.name,
        "leader.imbalance.per.broker.percentage" | "zookeeper.connect" | "zookeeper.session.timeout.ms"
    );
    if super::tables::is_legacy(def.name) && !has_effect {
        return Some(ConfigWarning::Legacy { key: key.to_owned() });
    }
    let names_class = def.config_type == ConfigType::Class
        || matches!(def.name, "metric.reporters" | "kafka.metrics.reporters" | "replica.selector.class");
    let stands_for_ours = def.name == "replica.selector.class" && REPLICA_SELECTORS.contains(&value.trim());
    (names_class && !stands_for_ours && !value.trim().is_empty() && def.default != Some(value.trim()))
        .then(|| ConfigWarning::JavaClass { key: key.to_owned() })
}
