//! The durable vote: what a replica must not forget between two starts. Invariants: the epoch never goes back, and
//! within one epoch `voted_for` is set at most once.

use crate::ReplicaId;

/// The content of Kafka's `quorum-state` file (`QuorumStateData` version 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VoteState {
    /// The highest epoch this replica has seen.
    pub epoch: i32,
    /// The candidate that got this replica's vote in `epoch`.
    pub voted_for: Option<ReplicaId>,
    /// The leader of `epoch`, when known.
    pub leader: Option<i32>,
}

impl VoteState {
    /// A state for `epoch` in which nobody was voted for and no leader is known.
    pub const fn unknown(epoch: i32) -> Self {
        Self { epoch, voted_for: None, leader: None }
    }
}
