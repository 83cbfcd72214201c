//! What an ensemble node is told at start. Defaults are ZooKeeper's, under ZooKeeper's names.
use std::path::PathBuf;

/// Settings of the coordination side of one node.
#[derive(Clone, Debug)]
pub struct EnsembleConfig {
    /// The folder that holds `__znodes-0/` and the vote (`dataDir`, `metadata.log.dir` or the first of `log.dirs`).
    pub dir: PathBuf,
    /// `node.id` / `myid`: 0 to 254, the top byte of the session ids given out here.
    pub node_id: i32,
    /// The id of the log directory (`directory.id` of meta.properties).
    pub directory_id: uuid::Uuid,
    /// `tickTime`: the unit of session expiry.
    pub tick_ms: u64,
    /// `minSessionTimeout`, two ticks by default.
    pub session_timeout_min_ms: i32,
    /// `maxSessionTimeout`, twenty ticks by default.
    pub session_timeout_max_ms: i32,
    /// `zookeeper.snapCount`: transactions between two snapshots.
    pub snapshot_every: u64,
    /// `autopurge.snapRetainCount`: how many snapshots are kept, at least one.
    pub snapshots_kept: usize,
    /// `znode.container.checkIntervalMs`: how often containers and TTL nodes are looked at.
    pub container_check_ms: u64,
    /// `znode.container.maxPerMinute`: how many of them may be removed in a minute.
    pub containers_per_minute: usize,
    /// `__znodes` rolls its segment at this size (`metadata.log.segment.bytes`).
    pub segment_bytes: u32,
    /// How many transactions the others must be ahead for this node to make way for their writes while it catches up.
    pub far_behind: u64,
    /// What `prepare` depends on: extended types, skipACL, enforceQuota.
    pub tree: tree::Options,
    /// This node's place among the others.
    pub cluster: ClusterConfig,
    /// The bug that is planted.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::Mutant>,
}

/// A voter as configuration files name it (`server.N`, `controller.quorum.voters`): its directory is learnt later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredVoter {
    /// Its node id.
    pub id: i32,
    /// Where it listens for the Kafka protocol.
    pub address: peers::Address,
}

/// How a node finds the others and how long it waits for them.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The voters that a new cluster begins with; the log's own voter set replaces them. Empty on a node that joins an existing
    /// cluster. A node that isn't among them is an observer.
    pub voters: Vec<ConfiguredVoter>,
    /// `controller.quorum.bootstrap.servers`, `--join`: whom a node asks that knows no voters.
    pub bootstrap: Vec<peers::Address>,
    /// Where other nodes reach this one; `None` on a node that is alone.
    pub advertised: Option<peers::Address>,
    /// `controller.quorum.auto.join.enable`: an observer that has caught up becomes a voter by itself.
    pub auto_join: bool,
    /// The id of the cluster that this node belonged to before, if any: nodes of another one are refused.
    pub cluster_id: Option<String>,
    /// `controller.quorum.election.timeout.ms`.
    pub election_timeout_ms: u64,
    /// `controller.quorum.election.backoff.max.ms`.
    pub election_backoff_max_ms: u64,
    /// `controller.quorum.fetch.timeout.ms`.
    pub fetch_timeout_ms: u64,
    /// `controller.quorum.request.timeout.ms`.
    pub request_timeout_ms: u64,
    /// `controller.quorum.retry.backoff.ms`.
    pub retry_backoff_ms: u64,
    /// `controller.quorum.fetch.max.bytes`.
    pub fetch_max_bytes: u32,
    /// `controller.quorum.fetch.snapshot.max.bytes`.
    pub fetch_snapshot_max_bytes: u32,
}

impl ClusterConfig {
    /// A node that is alone: the only voter of its own cluster, with Kafka's timeouts.
    pub fn alone() -> ClusterConfig {
        ClusterConfig {
            voters: Vec::new(),
            bootstrap: Vec::new(),
            advertised: None,
            auto_join: false,
            cluster_id: None,
            election_timeout_ms: 1_000,
            election_backoff_max_ms: 1_000,
            fetch_timeout_ms: 2_000,
            request_timeout_ms: 2_000,
            retry_backoff_ms: 20,
            fetch_max_bytes: 1 << 20,
            fetch_snapshot_max_bytes: 1 << 20,
        }
    }
}

impl EnsembleConfig {
    /// ZooKeeper's defaults for a node with its data in `dir`.
    pub fn new(dir: PathBuf, node_id: i32, directory_id: uuid::Uuid) -> EnsembleConfig {
        EnsembleConfig {
            dir,
            node_id,
            directory_id,
            tick_ms: 2_000,
            session_timeout_min_ms: 4_000,
            session_timeout_max_ms: 40_000,
            snapshot_every: 100_000,
            snapshots_kept: 3,
            container_check_ms: 60_000,
            containers_per_minute: 10_000,
            segment_bytes: 64 << 20,
            far_behind: 50_000,
            tree: tree::Options::default(),
            cluster: ClusterConfig::alone(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}
