//! For model checkers (feature `model`): makes replicas that will act alike equal, so that an exhaustive search ends.
//! Invariant: what is forgotten here can change a replica's future only in *when* it acts by itself.

use crate::Millis;
use crate::message::Peer;
use crate::quorum::Quorum;
use crate::requests::{Kind, Slot};
use crate::role::Role;

/// New requests get numbers above this one, so that they can't be taken for renamed ones.
const FIRST_NEW_REQUEST: u64 = 1 << 40;

/// The new numbers of what [`Quorum::canonicalize`] renamed, as (old, new).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renamed {
    /// This replica's own requests that are still out. An answer to any other number would be ignored.
    pub requests: Vec<(u64, u64)>,
    /// Requests to this replica that it has not answered yet.
    pub unanswered: Vec<(u64, u64)>,
}

impl Quorum {
    /// Forgets history: how many requests were sent, how many elections were tried, when a replica was last caught up,
    /// since when its id is said to be taken (so that nobody ever stops for that where no time passes).
    /// Requests get a number that depends only on whom and what they ask. Every moment goes through `time`, which must
    /// keep the order, and keep what is at or before `now` so; pauses that are over are dropped.
    ///
    /// The shell has to use the new numbers from now on, and to call `step` with a clock that fits `time`.
    pub fn canonicalize(&mut self, now: Millis, time: impl Fn(Millis) -> Millis) -> Renamed {
        let mut renamed = Renamed::default();
        self.role_changes = 0;
        self.attempts = 0;
        self.contact = None;
        self.timer = time(self.timer);
        self.taken = None;
        self.requests.next = FIRST_NEW_REQUEST;
        self.requests
            .slots
            .retain(|_, slot| !matches!(slot, Slot::Idle { not_before } if *not_before <= now));
        for ((peer, kind), slot) in &mut self.requests.slots {
            match slot {
                Slot::Out { correlation, deadline } => {
                    let number = number_of_request(*peer, *kind);
                    renamed.requests.push((*correlation, number));
                    *correlation = number;
                    *deadline = time(*deadline);
                }
                Slot::Idle { not_before } => *not_before = time(*not_before),
            }
        }
        match &mut self.role {
            Role::Unattached(unattached) => unattached.deadline = time(unattached.deadline),
            Role::Prospective(election) | Role::Candidate(election) => {
                election.deadline = time(election.deadline)
            }
            Role::Follower(follower) => follower.deadline = time(follower.deadline),
            Role::Resigned(resigned) => resigned.deadline = time(resigned.deadline),
            Role::Leader(leader) => {
                leader.since = time(leader.since);
                for progress in leader.replicas.values_mut() {
                    progress.last_fetch = progress.last_fetch.map(&time);
                    progress.last_caught_up = None;
                    progress.leader_end = 0;
                }
                for moment in leader.told.values_mut() {
                    *moment = time(*moment);
                }
                for (number, parked) in (1..).zip(leader.parked.values_mut()) {
                    renamed.unanswered.push((parked.correlation, number));
                    parked.correlation = number;
                    parked.deadline = time(parked.deadline);
                }
                if let Some(change) = &mut leader.change {
                    renamed.unanswered.push((change.correlation, 0));
                    change.correlation = 0;
                    change.deadline = time(change.deadline);
                }
            }
        }
        renamed
    }
}

/// A number that no other request which is out at the same time has.
fn number_of_request(peer: Peer, kind: Kind) -> u64 {
    let peer = match peer {
        Peer::Node(id) => u64::from(id.unsigned_abs()) << 1,
        Peer::Bootstrap(at) => (u64::from(at) << 1) | 1,
    };
    (peer << 3) + kind as u64 + 1
}
