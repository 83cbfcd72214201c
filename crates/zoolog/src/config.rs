//! What the node is configured to be: defaults, then the files in their order, then the overrides of the command line.
//!
//! Invariants: a [`NodeConfig`] is complete and consistent; every mistake is reported at once and says where it stands; a key that
//! nobody knows is warned about once. Which world a file belongs to follows from its keys, never from its name or place.
mod address;
mod cluster;
mod members;
mod zoo;

pub(crate) use address::{is_unspecified, parse as parse_address};
pub(crate) use cluster::Cluster;

use base::Disk;
use base::properties::{FILE_BYTES_MAX, Properties};
use cluster::Said;
use controller::config::{BrokerConfig, ConfigWarning, broker_config_or_listener_override};
use peers::Address;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zoo::{Applied, ZooSettings};
use zookeeper::{QuorumView, ZooKeeperConfig};

/// The file in `dataDir` that holds the node's number.
const MYID_FILE: &str = "myid";
/// The largest `myid` that is read.
const MYID_BYTES_MAX: u64 = 1024;
/// The largest number of a node: it is the top byte of session ids.
const NODE_ID_MAX: i32 = 254;

/// Everything that a node is told at start.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    /// The number of the node.
    pub(crate) node_id: i32,
    /// The folder of `__znodes`.
    pub(crate) znodes_dir: PathBuf,
    /// The folders of partitions, no two the same.
    pub(crate) log_dirs: Vec<PathBuf>,
    /// The door for ZooKeeper clients.
    pub(crate) zookeeper: ZooKeeperConfig,
    /// The broker and the door for Kafka clients.
    pub(crate) broker: BrokerConfig,
    /// The other nodes.
    pub(crate) cluster: Cluster,
    /// What the user should know, and where it stands.
    pub(crate) warnings: Vec<Remark>,
    zoo: ZooSettings,
}

impl NodeConfig {
    /// The settings of the coordination side. `directory_id` is the identity of the folder of `__znodes`.
    pub(crate) fn ensemble(&self, directory_id: uuid::Uuid) -> ensemble::EnsembleConfig {
        let mut config = ensemble::EnsembleConfig::new(self.znodes_dir.clone(), self.node_id, directory_id);
        config.tick_ms = u64::from(self.zoo.tick_ms);
        config.session_timeout_min_ms = self.zoo.session_timeout_min_ms();
        config.session_timeout_max_ms = self.zoo.session_timeout_max_ms();
        config.snapshot_every = self.zoo.snapshot_every;
        config.snapshots_kept = self.zoo.snapshots_kept;
        config.container_check_ms = self.zoo.container_check_ms;
        config.containers_per_minute = self.zoo.containers_per_minute;
        config.tree = self.zoo.tree.clone();
        if self.broker.file_value("metadata.log.segment.bytes").is_some() {
            config.segment_bytes = self.broker.quorum.segment_bytes.unsigned_abs();
        }
        config
    }

    /// The node's place among others. `known` is the cluster that its folders belong to, `advertised` where the others reach it.
    pub(crate) fn quorum(
        &self,
        known: Option<String>,
        advertised: Option<Address>,
    ) -> ensemble::ClusterConfig {
        let quorum = &self.broker.quorum;
        let ms = |ms: i32| u64::from(ms.unsigned_abs());
        let mut voters = self.cluster.voters.clone();
        let own = voters.iter_mut().find(|voter| voter.id == self.node_id);
        if let (Some(own), Some(advertised)) = (own, &advertised) {
            own.address = advertised.clone();
        }
        ensemble::ClusterConfig {
            voters,
            bootstrap: self.cluster.bootstrap.clone(),
            advertised,
            auto_join: self.cluster.auto_join,
            cluster_id: known,
            election_timeout_ms: ms(quorum.election_timeout_ms),
            election_backoff_max_ms: ms(quorum.election_backoff_max_ms),
            fetch_timeout_ms: ms(quorum.fetch_timeout_ms),
            request_timeout_ms: ms(quorum.request_timeout_ms),
            retry_backoff_ms: ms(quorum.retry_backoff_ms),
            fetch_max_bytes: quorum.fetch_max_bytes.unsigned_abs(),
            fetch_snapshot_max_bytes: quorum.fetch_snapshot_max_bytes.unsigned_abs(),
        }
    }
}

/// A warning or an error, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    origin: Option<Origin>,
    text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    File { path: Arc<str>, line: u32 },
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::CommandLine => f.write_str("--override"),
        }
    }
}

/// One setting as it was given.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: String,
    origin: Origin,
    /// Whether it is from a file with more of ZooKeeper's keys than of Kafka's.
    in_zoo_cfg: bool,
}

/// Reads the configuration.
///
/// # Errors
/// Everything that is wrong, in the order of the files.
pub(crate) fn load(
    disk: &dyn Disk,
    files: &[PathBuf],
    overrides: &[(String, String)],
    join: &[Address],
) -> Result<NodeConfig, Vec<Remark>> {
    let mut loading = Loading { join: join.to_vec(), ..Loading::default() };
    for file in files {
        loading.read_file(disk, file);
    }
    for (key, value) in overrides {
        let (key, value) = (key.clone(), value.clone());
        loading.entries.push(Entry { key, value, origin: Origin::CommandLine, in_zoo_cfg: false });
    }
    loading.finish(disk)
}

#[derive(Default)]
struct Loading {
    entries: Vec<Entry>,
    join: Vec<Address>,
    warnings: Vec<Remark>,
    errors: Vec<Remark>,
}

impl Loading {
    fn read_file(&mut self, disk: &dyn Disk, path: &Path) {
        let name: Arc<str> = Arc::from(path.display().to_string());
        let content = match disk.read_file(path, FILE_BYTES_MAX) {
            Ok(content) => content,
            Err(error) => {
                return self.refuse(format!("the configuration file {name} cannot be read: {error}"));
            }
        };
        let properties = match Properties::parse(&content) {
            Ok(properties) => properties,
            Err(error) => return self.refuse(format!("the configuration file {name} {error}")),
        };
        let origin = |line| Origin::File { path: name.clone(), line };
        for repeated in properties.overridden() {
            let text = format!("{} is set again further down; the last value counts", repeated.key);
            self.warnings.push(Remark { origin: Some(origin(repeated.line)), text });
        }
        let in_zoo_cfg = is_zoo_cfg(&properties);
        self.entries.extend(properties.effective().map(|property| Entry {
            key: property.key.clone(),
            value: property.value.clone(),
            origin: origin(property.line),
            in_zoo_cfg,
        }));
    }

    fn refuse(&mut self, text: String) {
        self.errors.push(Remark { origin: None, text });
    }

    fn refuse_at(&mut self, origin: &Origin, text: String) {
        self.errors.push(Remark { origin: Some(origin.clone()), text });
    }

    fn finish(mut self, disk: &dyn Disk) -> Result<NodeConfig, Vec<Remark>> {
        self.keep_last_of_each();
        let zoo = self.zookeeper();
        let mut pairs = self.kafka_pairs();
        let id = self.node_id(disk, &zoo);
        if let Some(id) = id {
            pairs.push(("node.id".to_owned(), id.to_string()));
        }
        let sets_folders = pairs.iter().any(|(key, _)| key == "log.dirs" || key == "log.dir");
        if let Some(dir) = zoo.data_dir.as_ref().filter(|_| !sets_folders) {
            pairs.push(("log.dirs".to_owned(), dir.display().to_string()));
        }
        let mut zookeeper = zoo.door(id);
        let broker = self.broker(pairs.clone());
        let Some(broker) = broker.filter(|_| self.errors.is_empty()) else { return Err(self.errors) };
        let (broker, cluster) = self.cluster(&zoo, broker, pairs, id, zookeeper.client_port);
        self.check_outside_zookeeper(&zoo, &broker, zookeeper.client_port);
        let znodes_dir = self.znodes_dir(&zoo, &broker);
        let log_dirs = self.log_dirs(&broker);
        if !(0..=NODE_ID_MAX).contains(&broker.node_id) {
            self.refuse(format!("node.id is {}, but a node's number is 0 to {NODE_ID_MAX}", broker.node_id));
        }
        if zoo.session_timeout_min_ms() > zoo.session_timeout_max_ms() {
            self.refuse(format!(
                "minSessionTimeout is {} ms, which is more than maxSessionTimeout, {} ms",
                zoo.session_timeout_min_ms(),
                zoo.session_timeout_max_ms()
            ));
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        zookeeper.quorum = quorum_view(&zoo, &cluster, id);
        let warnings = self.warnings;
        let node_id = broker.node_id;
        Ok(NodeConfig { node_id, znodes_dir, log_dirs, zookeeper, broker, cluster, warnings, zoo })
    }

    /// Drops settings that a later file or the command line makes again.
    fn keep_last_of_each(&mut self) {
        let mut seen = BTreeSet::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for entry in self.entries.drain(..).rev() {
            if seen.insert(entry.key.clone()) {
                kept.push(entry);
            }
        }
        kept.reverse();
        self.entries = kept;
    }

    fn zookeeper(&mut self) -> ZooSettings {
        let mut settings = ZooSettings::default();
        for entry in self.entries.clone() {
            match zoo::apply(&mut settings, &entry.key, &entry.value) {
                Ok(Applied::Yes) => {}
                Ok(Applied::NoEffect(reason)) => {
                    let text = format!("{} has no effect: {reason}", entry.key);
                    self.warnings.push(Remark { origin: Some(entry.origin), text });
                }
                Ok(Applied::Partly(reason)) => {
                    let text = format!("{}={}: {reason}", entry.key, entry.value);
                    self.warnings.push(Remark { origin: Some(entry.origin), text });
                }
                Err(allowed) => {
                    let Entry { key, value, origin, .. } = entry;
                    let text = format!("Invalid value {value} for configuration {key}: {allowed}");
                    self.refuse_at(&origin, text);
                }
            }
        }
        settings
    }

    /// The settings for the broker: Kafka's keys, and those that nobody knows, because Kafka keeps and shows them.
    fn kafka_pairs(&mut self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for entry in &self.entries {
            let in_kafka = knows_kafka(&entry.key);
            let in_zookeeper = zoo::knows(&entry.key);
            if in_kafka || (!in_zookeeper && !entry.in_zoo_cfg) {
                pairs.push((entry.key.clone(), entry.value.clone()));
            } else if !in_zookeeper {
                let text =
                    format!("{} is no configuration key of ZooKeeper or Kafka; it is ignored", entry.key);
                self.warnings.push(Remark { origin: Some(entry.origin.clone()), text });
            }
        }
        pairs
    }

    fn broker(&mut self, pairs: Vec<(String, String)>) -> Option<BrokerConfig> {
        match BrokerConfig::from_file(pairs) {
            Ok((config, warnings)) => {
                for warning in warnings {
                    let (ConfigWarning::UnknownKey { key }
                    | ConfigWarning::Legacy { key }
                    | ConfigWarning::JavaClass { key }) = &warning;
                    let origin = self.origin_of(key);
                    self.warnings.push(Remark { origin, text: warning.to_string() });
                }
                Some(config)
            }
            Err(errors) => {
                for error in errors {
                    let origin = error.key().and_then(|key| self.origin_of(key));
                    self.errors.push(Remark { origin, text: error.to_string() });
                }
                None
            }
        }
    }

    fn origin_of(&self, key: &str) -> Option<Origin> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.origin.clone())
    }

    /// The node's number if `myid` or a `server.N` gives one. They and Kafka's keys must agree.
    fn node_id(&mut self, disk: &dyn Disk, zoo: &ZooSettings) -> Option<i32> {
        let mut given: Vec<(String, i32)> = Vec::new();
        for entry in &self.entries {
            // A broker.id of -1 asks for a number; other values are judged with the rest of Kafka's keys.
            let is_id = entry.key == "node.id" || entry.key == "broker.id";
            if let Some(id) = entry.value.trim().parse().ok().filter(|id| is_id && *id != -1) {
                given.push((format!("{} in {}", entry.key, entry.origin), id));
            }
        }
        if let Some(dir) = &zoo.data_dir {
            let path = dir.join(MYID_FILE);
            match read_myid(disk, &path) {
                Ok(None) => {}
                Ok(Some(id)) => given.push((path.display().to_string(), id)),
                Err(reason) => self.refuse(format!("{} {reason}", path.display())),
            }
        }
        if let (true, 1, Some(id)) = (given.is_empty(), zoo.members.len(), zoo.members.keys().next()) {
            return Some(*id);
        }
        let (_, id) = *given.first()?;
        if given.iter().any(|(_, other)| *other != id) {
            let all: Vec<String> = given.iter().map(|(place, id)| format!("{id} ({place})")).collect();
            self.refuse(format!(
                "this node's number is given as {}; they must be the same number, so change or remove one",
                all.join(" and ")
            ));
        }
        Some(id)
    }

    /// Works out who the others are. The broker's settings change if this node has to listen where its line says.
    fn cluster(
        &mut self,
        zoo: &ZooSettings,
        broker: BrokerConfig,
        mut pairs: Vec<(String, String)>,
        id: Option<i32>,
        client_port: u16,
    ) -> (BrokerConfig, Cluster) {
        let said = Said { zoo, broker: &broker, id, join: &self.join, client_port };
        let resolved = match said.resolve() {
            Ok(resolved) => resolved,
            Err(errors) => {
                errors.into_iter().for_each(|error| self.refuse(error));
                return (broker, Cluster::default());
            }
        };
        let warnings = resolved.warnings.into_iter();
        self.warnings.extend(warnings.map(|text| Remark { origin: None, text }));
        if resolved.listener.is_empty() {
            return (broker, resolved.cluster);
        }
        pairs.extend(resolved.listener);
        match BrokerConfig::from_file(pairs) {
            // Its warnings are those of the first time.
            Ok((broker, _)) => (broker, resolved.cluster),
            Err(errors) => {
                errors.into_iter().for_each(|error| self.refuse(error.to_string()));
                (broker, resolved.cluster)
            }
        }
    }

    /// Refuses to leave the metadata to a ZooKeeper that is not this cluster itself.
    fn check_outside_zookeeper(&mut self, zoo: &ZooSettings, broker: &BrokerConfig, client_port: u16) {
        let outside =
            broker.zookeeper.connect.as_deref().map(str::trim).filter(|connect| !connect.is_empty());
        let is_inside = |connect: &str| {
            let mut servers = connect.split(',').map(str::trim);
            servers
                .all(|server| names_own_door(server, client_port) || names_member(server, zoo, client_port))
        };
        if let Some(connect) = outside.filter(|connect| !is_inside(connect)) {
            self.refuse(format!(
                "zookeeper.connect is {connect}, but using a ZooKeeper outside of this cluster is not available yet; \
                 remove it to keep the metadata in this cluster's own tree"
            ));
        }
    }

    fn znodes_dir(&mut self, zoo: &ZooSettings, broker: &BrokerConfig) -> PathBuf {
        let zookeeper = zoo.data_log_dir.as_ref().or(zoo.data_dir.as_ref());
        let kafka = broker.metadata_log_dir.as_ref().map(PathBuf::from);
        if let (Some(zookeeper), Some(kafka)) = (zookeeper, &kafka)
            && absolute(zookeeper) != absolute(kafka)
        {
            let key = if zoo.data_log_dir.is_some() { "dataLogDir" } else { "dataDir" };
            self.refuse(format!(
                "{key} is {} and metadata.log.dir is {}, but both say where the znodes are kept; remove one",
                zookeeper.display(),
                kafka.display()
            ));
        }
        let first = broker.log_dirs.first().map(PathBuf::from);
        zookeeper.cloned().or(kafka).or(first).unwrap_or_default()
    }

    fn log_dirs(&mut self, broker: &BrokerConfig) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for dir in broker.log_dirs.iter().map(PathBuf::from) {
            if dirs.iter().any(|other| absolute(other) == absolute(&dir)) {
                self.refuse(format!("log.dirs names the folder {} twice", dir.display()));
            }
            dirs.push(dir);
        }
        dirs
    }
}

/// A path from the root, without touching the disk; a path that has none stays as it is.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn knows_kafka(key: &str) -> bool {
    broker_config_or_listener_override(key).is_some()
}

/// Whether more of a file's keys are only ZooKeeper's than are only Kafka's.
fn is_zoo_cfg(properties: &Properties) -> bool {
    let only = |this: &dyn Fn(&str) -> bool, other: &dyn Fn(&str) -> bool| {
        properties.effective().filter(|entry| this(&entry.key) && !other(&entry.key)).count()
    };
    only(&zoo::knows, &knows_kafka) > only(&knows_kafka, &zoo::knows)
}

/// The number in the first line; `None` if there is no such file.
fn read_myid(disk: &dyn Disk, path: &Path) -> Result<Option<i32>, String> {
    if !disk.exists(path) {
        return Ok(None);
    }
    let content = disk.read_file(path, MYID_BYTES_MAX).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8_lossy(&content);
    let line = text.lines().next().unwrap_or_default().trim();
    let id = line.parse().ok().filter(|id| (0..=NODE_ID_MAX).contains(id));
    id.map(Some).ok_or_else(|| format!("holds {line:?}, but a node's number is 0 to {NODE_ID_MAX}"))
}

/// Whether a `zookeeper.connect` leads to this node's own tree, so that it says nothing new.
fn names_own_door(connect: &str, port: u16) -> bool {
    let Some((host, given)) = connect.rsplit_once(':') else { return false };
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1");
    is_local && given.parse() == Ok(port)
}

/// What `conf` shows of the ensemble.
fn quorum_view(zoo: &ZooSettings, cluster: &Cluster, id: Option<i32>) -> Option<QuorumView> {
    let quorum_port = cluster.own.as_ref().map_or(0, |own| own.port);
    let member = id.and_then(|id| zoo.members.get(&id));
    Some(QuorumView {
        init_limit: zoo.init_limit.unwrap_or(0),
        sync_limit: zoo.sync_limit.unwrap_or(0),
        election_port: member.map_or(quorum_port, |member| member.election_port),
        quorum_port,
        is_observer: !cluster.voters.iter().any(|voter| Some(voter.id) == id),
        membership: cluster.membership.clone()?,
    })
}

/// Whether a server of `zookeeper.connect` is a member of this ensemble.
fn names_member(server: &str, zoo: &ZooSettings, client_port: u16) -> bool {
    let is = |address: &Address| {
        zoo.members.values().any(|member| {
            member.address.host == address.host && member.client_port.unwrap_or(client_port) == address.port
        })
    };
    parse_address(server).is_some_and(|address| is(&address))
}

#[cfg(test)]
mod tests;
