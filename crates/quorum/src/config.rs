//! The core's configuration. Invariant: a [`Config`] that passed `validate` has timeouts that can't starve each other.

use crate::voters::{Endpoint, ReplicaId, VoterSet};

/// What a replica is told at start. Durations are milliseconds; the names are those of `controller.quorum.*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// This replica.
    pub local: ReplicaId,
    /// Where this replica listens; written into the voter set when it differs there. Empty: leave it alone.
    pub local_endpoints: Vec<Endpoint>,
    /// `controller.quorum.voters` or the `server.N` lines: in effect until the log holds a voter set of its own.
    pub voters: VoterSet,
    /// How many `controller.quorum.bootstrap.servers` the shell can reach as [`crate::Peer::Bootstrap`].
    pub bootstrap_servers: u32,
    /// `controller.quorum.election.timeout.ms`: how long an election may take before another one is tried.
    pub election_timeout_ms: u64,
    /// `controller.quorum.election.backoff.max.ms`: the longest pause between two elections.
    pub election_backoff_max_ms: u64,
    /// `controller.quorum.fetch.timeout.ms`: a follower that can't fetch for so long calls an election; a leader that
    /// a majority stops fetching from for one and a half of it steps down.
    pub fetch_timeout_ms: u64,
    /// `controller.quorum.request.timeout.ms`: how long an answer may take.
    pub request_timeout_ms: u64,
    /// `controller.quorum.retry.backoff.ms`: the pause before a failed request is sent again.
    pub retry_backoff_ms: u64,
    /// How long a leader may keep a follower's fetch waiting for news. Below `fetch_timeout_ms`.
    pub fetch_max_wait_ms: u64,
    /// `controller.quorum.fetch.max.bytes`: the most bytes that a fetch asks for.
    pub fetch_max_bytes: u32,
    /// `controller.quorum.fetch.snapshot.max.bytes`: the most bytes of a snapshot that are asked for at once.
    pub fetch_snapshot_max_bytes: u32,
    /// `controller.quorum.auto.join.enable`: an observer that has caught up asks to become a voter.
    pub auto_join: bool,
    /// Spreads the timeouts of replicas that start together; anything that differs between them.
    pub jitter: u64,
    /// A bug to plant.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::Mutant>,
}

impl Config {
    /// Kafka's defaults for a replica of this quorum.
    pub fn new(local: ReplicaId, voters: VoterSet) -> Self {
        Self {
            local,
            local_endpoints: Vec::new(),
            voters,
            bootstrap_servers: 0,
            election_timeout_ms: 1_000,
            election_backoff_max_ms: 1_000,
            fetch_timeout_ms: 2_000,
            request_timeout_ms: 2_000,
            retry_backoff_ms: 20,
            fetch_max_wait_ms: 500,
            fetch_max_bytes: 1024 * 1024,
            fetch_snapshot_max_bytes: 1024 * 1024,
            auto_join: false,
            jitter: 0,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Refuses a configuration that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.local.id < 0 {
            return Err(ConfigError::NegativeId(self.local.id));
        }
        if self.local.directory.is_nil() {
            return Err(ConfigError::NoDirectory);
        }
        let timeouts = [
            ("controller.quorum.election.timeout.ms", self.election_timeout_ms),
            ("controller.quorum.election.backoff.max.ms", self.election_backoff_max_ms),
            ("controller.quorum.fetch.timeout.ms", self.fetch_timeout_ms),
            ("controller.quorum.request.timeout.ms", self.request_timeout_ms),
            ("controller.quorum.retry.backoff.ms", self.retry_backoff_ms),
        ];
        if let Some((key, _)) = timeouts.into_iter().find(|(_, ms)| *ms == 0) {
            return Err(ConfigError::Zero(key));
        }
        if self.fetch_max_wait_ms >= self.fetch_timeout_ms {
            return Err(ConfigError::FetchWait {
                wait: self.fetch_max_wait_ms,
                timeout: self.fetch_timeout_ms,
            });
        }
        if self.voters.is_empty() && self.bootstrap_servers == 0 {
            return Err(ConfigError::NoPeers);
        }
        Ok(())
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A node id below zero.
    #[error("node id {0} is negative; set node.id (or myid) to 0 or above")]
    NegativeId(i32),
    /// The local directory id is nil.
    #[error("the log directory has no id; the directory id must be generated before the quorum starts")]
    NoDirectory,
    /// A timeout of zero.
    #[error("{0} is 0; it must be at least 1 ms")]
    Zero(&'static str),
    /// A fetch may wait longer than the follower would believe the leader alive.
    #[error(
        "a fetch may wait {wait} ms, which isn't below controller.quorum.fetch.timeout.ms ({timeout} ms)"
    )]
    FetchWait {
        /// The configured wait.
        wait: u64,
        /// The configured timeout.
        timeout: u64,
    },
    /// Nobody to vote and nobody to ask.
    #[error("no voter is known; set controller.quorum.voters or controller.quorum.bootstrap.servers")]
    NoPeers,
}
