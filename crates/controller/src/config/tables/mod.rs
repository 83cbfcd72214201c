//! The tables: one row per key, in files by subject. Within a file the rows are in alphabetical order.
//!
//! Invariants, held by tests: names, types, defaults, ranges and flags are those of a running Kafka 4.3.1, except for
//! [`DEFAULTS_OF_OUR_OWN`]; every default passes its own validator; no key is in two tables of one kind.
mod coordinator;
mod group;
mod legacy;
mod log;
mod network;
mod quorum;
mod quota;
mod remote;
mod sasl;
mod server;
mod share;
mod ssl;
mod topic;
mod transaction;

use super::def::ConfigDef;

/// Writes a table of server keys: name, type, default, allowed values, update mode, documentation.
macro_rules! server_rows {
    ($table:ident, $listing:ident;
     $($name:literal, $kind:ident, $default:expr, $valid:expr, $mode:ident, $doc:literal;)*) => {
        pub(super) static $table: &[$crate::config::def::ConfigDef] = {
            use $crate::config::tables::vocabulary::*;
            &[$(ConfigDef {
                name: $name,
                config_type: ConfigType::$kind,
                default: $default,
                validator: $valid,
                update_mode: UpdateMode::$mode,
                listing: Listing::$listing,
                synonyms: &[],
                documentation: $doc,
            }),*]
        };
    };
}

/// Writes a table of topic or group keys: name, type, default, allowed values, the server keys that give the default,
/// documentation.
macro_rules! derived_rows {
    ($table:ident, $listing:ident;
     $($name:literal, $kind:ident, $default:expr, $valid:expr, [$(($server:literal, $conversion:ident)),*],
       $doc:literal;)*) => {
        pub(super) static $table: &[$crate::config::def::ConfigDef] = {
            use $crate::config::tables::vocabulary::*;
            &[$(ConfigDef {
                name: $name,
                config_type: ConfigType::$kind,
                default: $default,
                validator: $valid,
                update_mode: UpdateMode::ClusterWide,
                listing: Listing::$listing,
                synonyms: &[$(ServerSynonym { name: $server, conversion: Conversion::$conversion }),*],
                documentation: $doc,
            }),*]
        };
    };
}

use {derived_rows, server_rows};

/// The words that rows are written in.
mod vocabulary {
    pub(super) use super::super::def::Validator::*;
    pub(super) use super::super::def::{
        ConfigDef, ConfigType, Conversion, ListRule, Listing, ServerSynonym, UpdateMode, Validator,
    };

    /// Any list.
    pub(super) const LIST: Validator = list_of(&[]);
    /// Any list with at least one element.
    pub(super) const NON_EMPTY_LIST: Validator = non_empty_list_of(&[]);

    /// A list of some of these elements, or of any if there are none.
    pub(super) const fn list_of(elements: &'static [&'static str]) -> Validator {
        Validator::ListOf(ListRule { may_be_empty: true, elements })
    }

    /// A list of at least one of these elements, or of any if there are none.
    pub(super) const fn non_empty_list_of(elements: &'static [&'static str]) -> Validator {
        Validator::ListOf(ListRule { may_be_empty: false, elements })
    }
}

/// A default in which Zoolog differs from Kafka on purpose.
#[derive(Clone, Copy, Debug)]
pub struct OwnDefault {
    /// The key.
    pub name: &'static str,
    /// Kafka's default; `None` is null or no default at all.
    pub kafka: Option<&'static str>,
    /// Why ours differs.
    pub reason: &'static str,
}

/// Every default in which Zoolog differs from Kafka. All but the last of them let a node start without a configuration file.
pub const DEFAULTS_OF_OUR_OWN: &[OwnDefault] = &[
    OwnDefault {
        name: "broker.id",
        kafka: Some("-1"),
        reason: "follows node.id, whose default is 0; no number is drawn from ZooKeeper",
    },
    OwnDefault {
        name: "controller.listener.names",
        kafka: None,
        reason: "nodes talk to each other over the brokers' listeners unless a listener is set apart for it",
    },
    OwnDefault {
        name: "log.dir",
        kafka: Some("/tmp/kafka-logs"),
        reason: "data does not belong into a folder that a reboot empties",
    },
    OwnDefault { name: "node.id", kafka: None, reason: "a single node needs no number of its own" },
    OwnDefault {
        name: "process.roles",
        kafka: None,
        reason: "every node is both, as in ZooKeeper-mode Kafka",
    },
    OwnDefault {
        name: "socket.listen.backlog.size",
        kafka: Some("50"),
        reason: "with 50, thousands of clients that come back at once wait for seconds, as each refused one tries again after a second",
    },
];

/// The topic keys, in any order.
pub(super) fn topic() -> impl Iterator<Item = &'static ConfigDef> {
    [topic::TOPIC, topic::TOPIC_INTERNAL].into_iter().flatten()
}

/// The group keys, in any order.
pub(super) fn group() -> impl Iterator<Item = &'static ConfigDef> {
    group::GROUP.iter()
}

/// The broker keys, in any order.
pub(super) fn broker() -> impl Iterator<Item = &'static ConfigDef> {
    [
        coordinator::COORDINATOR,
        coordinator::COORDINATOR_INTERNAL,
        legacy::LEGACY,
        log::LOG,
        log::LOG_INTERNAL,
        network::NETWORK,
        quorum::QUORUM,
        quota::QUOTA,
        quota::QUOTA_DYNAMIC_ONLY,
        remote::REMOTE,
        remote::REMOTE_INTERNAL,
        sasl::SASL,
        server::SERVER,
        server::SERVER_INTERNAL,
        share::SHARE,
        share::SHARE_INTERNAL,
        ssl::SSL,
        transaction::TRANSACTION,
        transaction::TRANSACTION_INTERNAL,
    ]
    .into_iter()
    .flatten()
}

/// Whether the key is one of ZooKeeper-mode Kafka that Kafka 4 dropped.
pub(super) fn is_legacy(name: &str) -> bool {
    legacy::LEGACY.iter().any(|def| def.name == name)
}

/// Whether Kafka 4.3's own set of broker keys lacks the key: it is dynamic-only, or of ZooKeeper mode.
pub(super) fn is_outside_kafka_config(name: &str) -> bool {
    is_legacy(name) || quota::QUOTA_DYNAMIC_ONLY.iter().any(|def| def.name == name)
}
