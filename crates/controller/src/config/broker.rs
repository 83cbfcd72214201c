//! The broker's effective settings.
//!
//! Invariant: a `BrokerConfig` is immutable and consistent. A change of a dynamic setting makes a new one; what would be
//! inconsistent is never built.
use std::net::IpAddr;

use super::bounds::check_group_bounds;
use super::def::UpdateMode;
use super::error::ConfigError;
use super::layers::{ConfigMap, Layers};
use super::listener::{
    Listener, ProtocolMap, QuorumVoter, SecurityProtocol, check_distinct_ports, parse_listeners,
    parse_protocol_map, parse_quorum_voter,
};
use super::registry::{broker_config, broker_config_or_listener_override, listener_override_base};
use super::settings::{
    GroupSettings, LogSettings, NetworkSettings, OffsetsSettings, QuorumSettings, ReplicationSettings,
    TopicSettings, TransactionSettings, ZooKeeperSettings,
};
use super::support::{BROKER_REFUSALS, ConfigWarning, PROTOCOL_REASON, PROTOCOLS, find_refusal, warning_for};
use super::value::{ConfigValue, parse_value};

/// The effective settings of a broker, from its configuration file and the dynamic settings in the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    layers: Layers,
    /// The number of this node: `node.id`, or `broker.id` if only that is set.
    pub node_id: i32,
    /// `broker.rack`
    pub rack: Option<String>,
    /// Every address to listen on, in the order of `listeners`.
    pub listeners: Vec<Listener>,
    /// The addresses that clients are told: `advertised.listeners`, or `listeners` without the controller's. A host that
    /// is `None` and a port that is 0 are only known once the listener is open.
    pub advertised_listeners: Vec<Listener>,
    /// The listeners of `listeners` that only nodes use among each other (`controller.listener.names`), in upper case.
    pub controller_listener_names: Vec<String>,
    /// The name of the listener over which brokers talk to each other.
    pub inter_broker_listener_name: String,
    /// What each listener name stands for.
    pub listener_protocols: Vec<(String, SecurityProtocol)>,
    /// The folders for partitions, at least one: `log.dirs`, or `log.dir`.
    pub log_dirs: Vec<String>,
    /// `metadata.log.dir`
    pub metadata_log_dir: Option<String>,
    /// `controller.quorum.voters`; empty if the file has none.
    pub quorum_voters: Vec<QuorumVoter>,
    /// `max.connections.per.ip.overrides`: host or address, and its limit.
    pub max_connections_per_ip_overrides: Vec<(String, i32)>,
    /// Connections, sockets and requests.
    pub network: NetworkSettings,
    /// Creation and deletion of topics.
    pub topics: TopicSettings,
    /// Work on all logs.
    pub log: LogSettings,
    /// Replication between brokers.
    pub replication: ReplicationSettings,
    /// Groups.
    pub groups: GroupSettings,
    /// Committed offsets.
    pub offsets: OffsetsSettings,
    /// Producer ids and transactions.
    pub transactions: TransactionSettings,
    /// The consensus of nodes.
    pub quorum: QuorumSettings,
    /// The broker's own ZooKeeper session.
    pub zookeeper: ZooKeeperSettings,
}

impl Default for BrokerConfig {
    /// The settings without a configuration file.
    fn default() -> BrokerConfig {
        BrokerConfig::build(Layers::default()).expect("the defaults are consistent; a test builds them")
    }
}

impl BrokerConfig {
    /// Reads the settings of a configuration file and of the command line. Of a key that occurs twice the last value
    /// counts.
    ///
    /// All errors are reported at once, each with key, value and what is allowed. Warnings are about settings that are
    /// kept and shown but that nothing reads.
    pub fn from_file<K, V>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(BrokerConfig, Vec<ConfigWarning>), Vec<ConfigError>>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let file: ConfigMap = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let mut errors: Vec<ConfigError> =
            file.iter().filter_map(|(key, value)| check_value(key, value).err()).collect();
        errors.extend(find_refusal(&file, BROKER_REFUSALS));
        if !errors.is_empty() {
            return Err(errors);
        }
        let warnings = file.iter().filter_map(|(key, value)| warning_for(key, value)).collect();
        let layers = Layers::new(with_both_ids(file), ConfigMap::new(), ConfigMap::new());
        Ok((BrokerConfig::build(layers)?, warnings))
    }

    /// The same file with other dynamic settings, those of /config/brokers/<default> and of /config/brokers/<id>.
    ///
    /// Never fails, because anybody may write those znodes by hand: a value that is not allowed is left out, settings
    /// that contradict each other leave the dynamic settings as they were; each is reported.
    pub fn with_dynamic(
        &self,
        cluster_default: &ConfigMap,
        per_broker: &ConfigMap,
    ) -> (BrokerConfig, Vec<ConfigError>) {
        let mut errors = Vec::new();
        let cluster_default = keep_valid(cluster_default, DynamicScope::ClusterDefault, &mut errors);
        let per_broker = keep_valid(per_broker, DynamicScope::Broker, &mut errors);
        let layers = Layers::new(self.layers.file.clone(), cluster_default, per_broker);
        match BrokerConfig::build(layers) {
            Ok(config) => (config, errors),
            Err(conflicts) => {
                errors.extend(conflicts);
                (self.clone(), errors)
            }
        }
    }

    /// The effective value of any broker key; `None` is null, or a key that no table knows.
    pub fn value(&self, key: &str) -> Option<ConfigValue> {
        self.layers.value(key)
    }

    /// The text that the configuration file gives a key.
    pub fn file_value(&self, key: &str) -> Option<&str> {
        self.layers.file.get(key).map(String::as_str)
    }

    /// All keys and texts of the configuration file. Some may be passwords.
    pub fn file_values(&self) -> &ConfigMap {
        &self.layers.file
    }

    /// The dynamic settings of all brokers, as far as they are allowed.
    pub fn cluster_default_values(&self) -> &ConfigMap {
        &self.layers.cluster_default
    }

    /// The dynamic settings of this broker, as far as they are allowed.
    pub fn per_broker_values(&self) -> &ConfigMap {
        &self.layers.per_broker
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The protocol of a listener name.
    pub fn listener_protocol(&self, name: &str) -> Option<SecurityProtocol> {
        self.listener_protocols
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, protocol)| *protocol)
    }

    fn build(layers: Layers) -> Result<BrokerConfig, Vec<ConfigError>> {
        let addresses = Addresses::read(&layers).map_err(|error| vec![error])?;
        let voters: Vec<String> = layers.get("controller.quorum.voters");
        let config = BrokerConfig {
            node_id: layers.get("node.id"),
            rack: layers.get("broker.rack"),
            listeners: addresses.listeners,
            advertised_listeners: addresses.advertised,
            controller_listener_names: addresses.controller_names,
            inter_broker_listener_name: addresses.inter_broker_name,
            listener_protocols: addresses.protocols.into_iter().collect(),
            log_dirs: layers.get::<Option<Vec<String>>>("log.dirs").unwrap_or_else(|| layers.get("log.dir")),
            metadata_log_dir: layers.get("metadata.log.dir"),
            quorum_voters: voters.iter().filter_map(|voter| parse_quorum_voter(voter)).collect(),
            max_connections_per_ip_overrides: parse_overrides(&layers).map_err(|error| vec![error])?,
            network: NetworkSettings::read(&layers),
            topics: TopicSettings::read(&layers),
            log: LogSettings::read(&layers),
            replication: ReplicationSettings::read(&layers),
            groups: GroupSettings::read(&layers),
            offsets: OffsetsSettings::read(&layers),
            transactions: TransactionSettings::read(&layers),
            quorum: QuorumSettings::read(&layers),
            zookeeper: ZooKeeperSettings::read(&layers),
            layers,
        };
        let mut conflicts = config.conflicts();
        conflicts.extend(check_group_bounds(&config.layers));
        if conflicts.is_empty() { Ok(config) } else { Err(conflicts) }
    }

    /// What contradicts what (`KafkaConfig.validateValues`).
    fn conflicts(&self) -> Vec<ConfigError> {
        let layers = &self.layers;
        let mut conflicts = Vec::new();
        let mut require = |holds: bool, text: &str| {
            if !holds {
                conflicts.push(ConfigError::Conflict(text.to_owned()));
            }
        };
        let both_ids = layers.is_set("node.id") && layers.is_set("broker.id");
        require(
            !both_ids || layers.get::<i32>("broker.id") == self.node_id,
            "node.id and broker.id must be the same number if both are set",
        );
        let derived_ms = |topic_key: &str| super::topic::server_default_ms(layers, topic_key);
        require(derived_ms("segment.ms") >= 1, "log.roll.ms must be at least 1");
        require(derived_ms("segment.jitter.ms") >= 0, "log.roll.jitter.ms must not be negative");
        let retention_ms = derived_ms("retention.ms");
        require(
            retention_ms >= 1 || retention_ms == -1,
            "log.retention.ms must be -1 (no limit) or at least 1",
        );
        require(
            self.log.cleaner_dedupe_buffer_bytes / i64::from(self.log.cleaner_threads.max(1)) > 1024 * 1024,
            "log.cleaner.dedupe.buffer.size must be more than 1 MiB for each of log.cleaner.threads",
        );
        require(
            layers.get::<i64>("log.cleaner.min.compaction.lag.ms")
                <= layers.get("log.cleaner.max.compaction.lag.ms"),
            "log.cleaner.min.compaction.lag.ms must not be greater than log.cleaner.max.compaction.lag.ms",
        );
        let wait_ms = self.replication.fetch_wait_max_ms;
        require(
            wait_ms <= self.replication.socket_timeout_ms,
            "replica.fetch.wait.max.ms must not be longer than replica.socket.timeout.ms, or waiting followers give up",
        );
        require(
            i64::from(wait_ms) <= self.replication.lag_time_max_ms,
            "replica.fetch.wait.max.ms must not be longer than replica.lag.time.max.ms, or idle followers fall out of sync",
        );
        let network = &self.network;
        require(
            network.queued_max_request_bytes <= 0
                || network.queued_max_request_bytes >= i64::from(network.socket_request_max_bytes),
            "queued.max.request.bytes must have room for one request of socket.request.max.bytes",
        );
        require(
            network.max_connections_per_ip > 0 || !self.max_connections_per_ip_overrides.is_empty(),
            "max.connections.per.ip can be 0 only together with max.connections.per.ip.overrides",
        );
        require(
            network.connections_max_idle_ms < 0
                || i64::from(network.failed_authentication_delay_ms) < network.connections_max_idle_ms,
            "connection.failed.authentication.delay.ms must be shorter than connections.max.idle.ms",
        );
        require(
            self.groups.rebalance_protocols.iter().any(|protocol| protocol == "classic"),
            "group.coordinator.rebalance.protocols must contain classic",
        );
        conflicts
    }
}

/// Where the broker listens and what it tells others about that.
struct Addresses {
    listeners: Vec<Listener>,
    advertised: Vec<Listener>,
    controller_names: Vec<String>,
    inter_broker_name: String,
    protocols: ProtocolMap,
}

impl Addresses {
    fn read(layers: &Layers) -> Result<Addresses, ConfigError> {
        let upper =
            |names: Vec<String>| names.into_iter().map(|name| name.to_uppercase()).collect::<Vec<_>>();
        let controller_names =
            upper(layers.get::<Option<Vec<String>>>("controller.listener.names").unwrap_or_default());
        let protocols = protocol_map(layers, &controller_names)?;
        let listeners = parse_listeners("listeners", &layers.get::<Vec<String>>("listeners"), &protocols)?;
        check_distinct_ports("listeners", &listeners)?;
        if let Some(unavailable) = listeners.iter().find(|listener| !PROTOCOLS.contains(&listener.protocol)) {
            return Err(ConfigError::NotSupported {
                key: "listeners".to_owned(),
                value: unavailable.to_string(),
                reason: PROTOCOL_REASON,
            });
        }
        let advertised = advertised_listeners(layers, &listeners, &controller_names, &protocols)?;
        let inter_broker_name = inter_broker_listener_name(layers, &advertised)?;
        Ok(Addresses { listeners, advertised, controller_names, inter_broker_name, protocols })
    }
}

/// The protocols of listener names. Without a map of its own, a controller's listener is PLAINTEXT.
fn protocol_map(layers: &Layers, controller_names: &[String]) -> Result<ProtocolMap, ConfigError> {
    const KEY: &str = "listener.security.protocol.map";
    let mut protocols = parse_protocol_map(KEY, &layers.get::<String>(KEY))?;
    if !layers.is_set(KEY) {
        for name in controller_names {
            protocols.entry(name.clone()).or_insert(SecurityProtocol::Plaintext);
        }
    }
    Ok(protocols)
}

fn advertised_listeners(
    layers: &Layers,
    listeners: &[Listener],
    controller_names: &[String],
    protocols: &ProtocolMap,
) -> Result<Vec<Listener>, ConfigError> {
    const KEY: &str = "advertised.listeners";
    let given: Option<Vec<String>> = layers.get(KEY);
    let is_given = given.is_some();
    let mut advertised = match given {
        Some(texts) => parse_listeners(KEY, &texts, protocols)?,
        None => listeners.to_vec(),
    };
    advertised.retain(|listener| !controller_names.contains(&listener.name));
    if advertised.is_empty() {
        return Err(ConfigError::Conflict(
            "Brokers need a listener for clients, but all of them are in controller.listener.names"
                .to_owned(),
        ));
    }
    for listener in &mut advertised {
        if !listeners.iter().any(|open| open.name == listener.name) {
            return Err(ConfigError::invalid(
                KEY,
                listener.to_string(),
                "the listener names must be names of listeners",
            ));
        }
        if !is_wildcard(listener) {
            continue;
        }
        if is_given {
            return Err(ConfigError::invalid(
                KEY,
                listener.to_string(),
                "an address that stands for all interfaces cannot be advertised; name one that clients can reach",
            ));
        }
        listener.host = None;
    }
    Ok(advertised)
}

fn is_wildcard(listener: &Listener) -> bool {
    let address = listener.host.as_deref().and_then(|host| host.parse::<IpAddr>().ok());
    address.is_some_and(|address| address.is_unspecified())
}

fn inter_broker_listener_name(layers: &Layers, advertised: &[Listener]) -> Result<String, ConfigError> {
    let given: Option<String> = layers.get("inter.broker.listener.name");
    if given.is_some() && layers.is_set("security.inter.broker.protocol") {
        return Err(ConfigError::Conflict(
            "inter.broker.listener.name and security.inter.broker.protocol say the same; set one of them"
                .to_owned(),
        ));
    }
    let name = given.unwrap_or_else(|| layers.get("security.inter.broker.protocol")).to_uppercase();
    if advertised.iter().any(|listener| listener.name == name) {
        return Ok(name);
    }
    let options: Vec<&str> = advertised.iter().map(|listener| listener.name.as_str()).collect();
    Err(ConfigError::Conflict(format!(
        "inter.broker.listener.name is {name}, but the listeners for brokers and clients are {}; name one of them",
        options.join(",")
    )))
}

fn parse_overrides(layers: &Layers) -> Result<Vec<(String, i32)>, ConfigError> {
    const KEY: &str = "max.connections.per.ip.overrides";
    let text: String = layers.get(KEY);
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let parsed = pair.rsplit_once(':').and_then(|(host, limit)| {
                let limit: i32 = limit.trim().parse().ok().filter(|limit| *limit >= 0)?;
                Some((host.trim().to_owned(), limit))
            });
            parsed.ok_or_else(|| {
                ConfigError::invalid(KEY, &text, format!("`{pair}` should be in the form `host:limit`"))
            })
        })
        .collect()
}

/// Gives broker.id the value of node.id and the other way round, if only one is set (`AbstractKafkaConfig.populateSynonyms`).
/// A broker.id of -1, with which ZooKeeper-mode brokers asked for a number, is none.
fn with_both_ids(mut file: ConfigMap) -> ConfigMap {
    if file.get("broker.id").is_some_and(|id| id.trim() == "-1") {
        file.remove("broker.id");
    }
    match (file.get("node.id").cloned(), file.get("broker.id").cloned()) {
        (Some(id), None) => file.insert("broker.id".to_owned(), id),
        (None, Some(id)) => file.insert("node.id".to_owned(), id),
        _ => None,
    };
    file
}

/// Refuses a value that the row of its key does not allow. Keys without a row take every value.
fn check_value(key: &str, value: &str) -> Result<(), ConfigError> {
    let Some(def) = broker_config_or_listener_override(key) else { return Ok(()) };
    match parse_value(def, value) {
        Err(ConfigError::InvalidValue { value, allowed, .. }) => {
            Err(ConfigError::invalid(key, value, allowed))
        }
        other => other.map(|_| ()),
    }
}

/// Whose dynamic settings are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DynamicScope {
    /// Those of one broker.
    Broker,
    /// Those of all brokers.
    ClusterDefault,
}

/// Security keys that change at run time only with the prefix of a listener (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const LISTENER_PREFIX_NEEDED: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Keys that a listener can override for all brokers at once.
const CLUSTER_WIDE_LISTENER_KEYS: &[&str] =
    &["max.connection.creation.rate", "max.connections", "num.network.threads"];

/// Refuses a dynamic setting that cannot be changed there, or to that value (`DynamicBrokerConfig.validateConfigs`).
pub(super) fn check_dynamic(key: &str, value: &str, scope: DynamicScope) -> Result<(), ConfigError> {
    let key_only = || key.to_owned();
    if let Some(def) = broker_config(key) {
        if def.is_read_only() {
            return Err(ConfigError::NotDynamic { key: key_only() });
        }
        if LISTENER_PREFIX_NEEDED.contains(&key) {
            return Err(ConfigError::NeedsListenerPrefix { key: key_only() });
        }
    }
    check_value(key, value)?;
    let is_per_broker = match listener_override_base(key) {
        Some(base) => !CLUSTER_WIDE_LISTENER_KEYS.contains(&base),
        None => broker_config(key).is_some_and(|def| def.update_mode == UpdateMode::PerBroker),
    };
    if is_per_broker && scope == DynamicScope::ClusterDefault {
        return Err(ConfigError::PerBrokerOnly { key: key_only() });
    }
    Ok(())
}

fn keep_valid(configs: &ConfigMap, scope: DynamicScope, errors: &mut Vec<ConfigError>) -> ConfigMap {
    let mut kept = ConfigMap::new();
    for (key, value) in configs {
        match check_dynamic(key, value, scope) {
            Ok(()) => drop(kept.insert(key.clone(), value.clone())),
            Err(error) => errors.push(error),
        }
    }
    kept
}
