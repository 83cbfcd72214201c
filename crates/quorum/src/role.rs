//! What a replica is at the moment. Invariant: the state of a role exists only while the role is held.

use std::collections::BTreeSet;

use crate::follower::Follower;
use crate::leader::Leader;
use crate::voters::{ReplicaId, VoterSet};
use crate::{LogOffset, Millis};

/// The name of what a replica is, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// A voter that knows no leader and has not asked for votes yet.
    Unattached,
    /// A voter that asks whether it would get votes (KIP-996).
    Prospective,
    /// A voter that asks for votes.
    Candidate,
    /// The leader of the epoch.
    Leader,
    /// A voter that fetches from the leader.
    Follower,
    /// A leader that gave up its epoch.
    Resigned,
    /// A replica that isn't a voter, whether it has found the leader or not.
    Observer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Unattached(Unattached),
    Prospective(Election),
    Candidate(Election),
    Leader(Leader),
    Follower(Follower),
    Resigned(Resigned),
}

/// Knows no leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unattached {
    /// When a voter calls an election.
    pub(crate) deadline: Millis,
    /// Which peer an observer asks for the leader next.
    pub(crate) probe: usize,
}

/// Asks for pre-votes or votes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Election {
    pub(crate) deadline: Millis,
    /// Where the log ended when the votes were asked for.
    pub(crate) last: LogOffset,
    pub(crate) granted: BTreeSet<i32>,
    pub(crate) rejected: BTreeSet<i32>,
}

impl Election {
    pub(crate) fn won(&self, voters: &VoterSet) -> bool {
        voters.has_majority(&self.granted)
    }

    /// Whether those that haven't refused are too few.
    pub(crate) fn lost(&self, voters: &VoterSet) -> bool {
        let refused = self.rejected.iter().filter(|id| voters.get(**id).is_some()).count();
        voters.len() - refused < voters.majority()
    }
}

/// Gave up leadership of the current epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Resigned {
    /// When it takes part again.
    pub(crate) deadline: Millis,
    pub(crate) successors: Vec<ReplicaId>,
    /// The voters that haven't answered EndQuorumEpoch.
    pub(crate) untold: BTreeSet<i32>,
}
