//! Every configuration key of topics, groups and brokers: what values it takes, what it is now, and where that comes from.
//!
//! The tables in `tables/` have one row per key; `registry` finds rows, `value` checks values against them. `broker` and
//! `topic` give the server its settings as typed fields; `describe` and `alter` serve DescribeConfigs and the two
//! AlterConfigs APIs. `support` names what this server refuses because it does not do it.
//!
//! Invariants: this module reads no file, no clock and no znode, it computes from what it is given. A setting that it
//! accepts is either acted on or listed with a warning; none is silently dropped.
mod alter;
mod bounds;
mod broker;
mod def;
mod describe;
mod error;
mod layers;
mod listener;
mod registry;
mod settings;
mod support;
mod tables;
mod topic;
mod value;

pub use alter::{
    AlterOperation, Alteration, AlteredResource, CONFIG_VALUE_BYTES_MAX, alter_incrementally,
    effective_group_config, replace_all, validate_group_config,
};
pub use bounds::GroupConfig;
pub use broker::BrokerConfig;
pub use def::{
    CONFIG_TYPE_CODE_UNKNOWN, ConfigDef, ConfigType, Conversion, ListRule, Listing, ServerSynonym,
    UpdateMode, Validator,
};
pub use describe::{ConfigEntry, ConfigSource, ConfigSynonym, DescribedResource, describe};
pub use error::ConfigError;
pub use layers::ConfigMap;
pub use listener::{Listener, QuorumVoter, SecurityProtocol};
pub use registry::{
    broker_config, broker_config_or_listener_override, broker_configs, group_config, group_configs,
    topic_config, topic_configs,
};
pub use settings::{
    GroupSettings, LogSettings, NetworkSettings, OffsetsSettings, QuorumSettings, ReplicationSettings,
    TopicSettings, TransactionSettings, ZooKeeperSettings,
};
pub use support::{BROKER_REFUSALS, ConfigWarning, PROTOCOLS, Refusal, Refused, STATIC_HERE, TOPIC_REFUSALS};
pub use tables::{DEFAULTS_OF_OUR_OWN, OwnDefault};
pub use topic::{
    CleanupPolicy, ThrottledReplicas, TimestampType, TopicCompression, TopicConfig, validate_topic_config,
};
pub use value::{ConfigValue, parse_value};

#[cfg(test)]
mod tests;
