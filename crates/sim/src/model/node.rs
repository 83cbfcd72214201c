//! A node: its disk, and the process that runs on it. Invariant: only the disk survives a crash.

use quorum::{Config, Quorum, ReplicaId, RoleName, VoteState, Voter, VoterSet};
use uuid::Uuid;

use super::clock;
use super::log::VirtualLog;

/// What survives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The log; of what isn't flushed, any number of batches may survive.
    pub log: VirtualLog,
    /// The vote file.
    pub vote: Option<VoteState>,
}

/// A node whose process runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its disk.
    pub disk: Disk,
    /// The core, canonical between two events.
    pub quorum: Quorum,
    /// The epoch that this node may append clients' entries with.
    pub leads: Option<i32>,
    id: i32,
}

impl Node {
    pub(crate) fn new(id: i32, disk: Disk, quorum: Quorum) -> Self {
        Self { disk, quorum, leads: None, id }
    }

    /// The node's id.
    pub fn id(&self) -> i32 {
        self.id
    }

    pub(crate) fn durable_epoch(&self) -> i32 {
        self.disk.vote.map_or(0, |vote| vote.epoch)
    }

    pub(crate) fn asks_for_votes_in(&self, epoch: i32) -> bool {
        self.quorum.role() == RoleName::Candidate && self.quorum.epoch() == epoch
    }
}

pub(crate) fn replica(id: i32) -> ReplicaId {
    ReplicaId::new(id, Uuid::from_u128(u128::from(id.unsigned_abs()) + 1))
}

pub(crate) fn voter(id: i32) -> Voter {
    Voter { replica: replica(id), endpoints: Vec::new() }
}

/// The configuration of node `id`, when the first `voters` nodes vote.
pub(crate) fn config(id: i32, voters: i32) -> Config {
    let mut config = Config::new(replica(id), VoterSet::new((1..=voters).map(voter)));
    clock::set_timeouts(&mut config);
    config
}
