//! What one run of the checker covers. Invariant: everything that is counted here is part of the state, so that a bound
//! cuts no execution that stays within it.

use super::mutant::Mutant;
use super::seen::Sight;

/// A change of the voters that an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// AddRaftVoter of this node.
    Add(i32),
    /// RemoveRaftVoter of this node.
    Remove(i32),
}

/// Where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Empty disks, nobody knows anything.
    Empty,
    /// Node 1 leads epoch 1; everything is replicated, flushed and known to be committed, and every other node's fetch
    /// waits at the leader.
    Settled,
    /// The start of figure 8 of the Raft paper, out of [`Begin::Settled`]: node 1 has appended a client's entry that
    /// nobody fetched, and node 3 was elected in epoch 2 and has flushed the first entry of that epoch, that nobody
    /// fetched either.
    TwoTails,
}

/// What happens to pre-votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreVotes {
    /// They are messages like all others.
    Sent,
    /// They are granted at once and always: any voter can start an election at any moment. Wider than what can really
    /// happen, and much smaller.
    Granted,
}

/// One configuration with its bounds.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The name in reports.
    pub name: &'static str,
    /// How many nodes vote at first: 1, 2, and so on.
    pub voters: i32,
    /// How many more nodes there are.
    pub observers: i32,
    /// Where the search begins.
    pub begin: Begin,
    /// No replica gets beyond this epoch.
    pub epochs: i32,
    /// How many entries clients write.
    pub writes: u8,
    /// How often a process dies and starts again.
    pub crashes: u8,
    /// How often a request fails although both ends live: the request or its answer is lost, or the request comes late.
    /// (Without any, a message can still stay on its way until nobody waits for it any more.)
    pub losses: u8,
    /// How often a message arrives twice.
    pub repeats: u8,
    /// How often a leader gives up because no majority fetches from it. (It is deposed by a later epoch at any time.)
    pub resigns: u8,
    /// How often a timeout goes off, everywhere together; any number if not said.
    pub timeouts: Option<u8>,
    /// Whether a log is flushed in the moment it is appended to once no process can die any more.
    pub quick_flush: bool,
    /// The changes of the voters that are asked for, each once, in any order and at any moment.
    pub changes: &'static [Change],
    /// What happens to pre-votes.
    pub pre_votes: PreVotes,
    /// Whether answers that bring nothing but the sender's epoch arrive in the moment they are given: those to
    /// BeginQuorumEpoch and EndQuorumEpoch, refused votes and refused fetches.
    pub instant_answers: bool,
    /// What must be seen, or the search has shown nothing.
    pub expects: &'static [Sight],
    /// A planted bug.
    pub mutant: Option<Mutant>,
    /// Check every step of the model's own shortcuts: see `World::audit_renaming` and `World::audit_inert`. Slow.
    pub audit: bool,
}

impl Bounds {
    /// The smallest thing there is to check: `voters` nodes from empty disks, one epoch.
    pub const fn new(name: &'static str, voters: i32) -> Self {
        Self {
            name,
            voters,
            observers: 0,
            begin: Begin::Empty,
            epochs: 1,
            writes: 0,
            crashes: 0,
            losses: 0,
            repeats: 0,
            resigns: 0,
            timeouts: None,
            quick_flush: false,
            changes: &[],
            pre_votes: PreVotes::Sent,
            instant_answers: false,
            expects: &[],
            mutant: None,
            audit: false,
        }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> i32 {
        self.voters + self.observers
    }
}
