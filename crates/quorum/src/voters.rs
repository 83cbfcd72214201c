//! Who votes: replicas, sets of voters and the history of sets that the log holds. Invariants: the ids of a set are
//! distinct; a history is ordered by offset; the newest set of the log is in effect as soon as it is appended.

use std::collections::BTreeMap;

use uuid::Uuid;

/// A replica: a node id and the id of its log directory (KIP-853). A node that lost its disk comes back with another
/// directory id, and is another replica: it must not vote as the one that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    /// The node id.
    pub id: i32,
    /// The id of the log directory; nil when it isn't known yet.
    pub directory: Uuid,
}

impl ReplicaId {
    /// A replica with a known directory.
    pub const fn new(id: i32, directory: Uuid) -> Self {
        Self { id, directory }
    }

    /// A voter that a configuration names by its id alone (`controller.quorum.voters`, `server.N`).
    pub const fn of_unknown_directory(id: i32) -> Self {
        Self { id, directory: Uuid::nil() }
    }

    /// Whether `other` may be the replica that `self` names: the same id, and the same directory unless `self` doesn't
    /// know it.
    pub fn names(self, other: ReplicaId) -> bool {
        self.id == other.id && (self.directory.is_nil() || self.directory == other.directory)
    }
}

impl std::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.id, self.directory)
    }
}

/// Where a voter listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: String,
    /// The host name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// One member of a [`VoterSet`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Voter {
    /// Which replica it is.
    pub replica: ReplicaId,
    /// Where it listens; the core only carries this.
    pub endpoints: Vec<Endpoint>,
}

/// The replicas whose majority decides, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VoterSet {
    voters: BTreeMap<i32, Voter>,
}

impl VoterSet {
    /// A set of these voters; of two with the same id the last one stays.
    pub fn new(voters: impl IntoIterator<Item = Voter>) -> Self {
        Self { voters: voters.into_iter().map(|voter| (voter.replica.id, voter)).collect() }
    }

    /// How many voters there are.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether there are none (an observer that hasn't heard of a quorum yet).
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// How many voters make a majority.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// The voters in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Voter> {
        self.voters.values()
    }

    /// The voter with this id.
    pub fn get(&self, id: i32) -> Option<&Voter> {
        self.voters.get(&id)
    }

    /// Whether `replica` is one of the voters, its directory included when that is known.
    pub fn contains(&self, replica: ReplicaId) -> bool {
        self.get(replica.id).is_some_and(|voter| voter.replica.names(replica))
    }

    /// Whether the ids in `ids` hold a majority; ids of others don't count.
    pub fn has_majority<'a>(&self, ids: impl IntoIterator<Item = &'a i32>) -> bool {
        let count = ids.into_iter().filter(|id| self.voters.contains_key(id)).count();
        !self.is_empty() && count >= self.majority()
    }

    /// This set with `voter` added, or put in the place of the one with its id.
    pub fn with(&self, voter: Voter) -> Self {
        let mut voters = self.voters.clone();
        voters.insert(voter.replica.id, voter);
        Self { voters }
    }

    /// This set without the voter of this id.
    pub fn without(&self, id: i32) -> Self {
        let mut voters = self.voters.clone();
        voters.remove(&id);
        Self { voters }
    }
}

/// The voter sets that the log holds, each with the offset of its record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VoterHistory {
    initial: VoterSet,
    entries: Vec<(i64, VoterSet)>,
}

impl VoterHistory {
    pub(crate) fn new(initial: VoterSet, entries: Vec<(i64, VoterSet)>) -> Self {
        let mut history = Self { initial, entries: Vec::new() };
        history.append(entries);
        history
    }

    /// The set in effect.
    pub(crate) fn last(&self) -> &VoterSet {
        self.entries.last().map_or(&self.initial, |(_, set)| set)
    }

    /// The set that was in effect before the last record.
    pub(crate) fn previous(&self) -> &VoterSet {
        let before = self.entries.len().checked_sub(2).and_then(|at| self.entries.get(at));
        before.map_or(&self.initial, |(_, set)| set)
    }

    /// The offset of the record of the set in effect; `None` when it comes from the configuration.
    pub(crate) fn last_offset(&self) -> Option<i64> {
        self.entries.last().map(|(offset, _)| *offset)
    }

    /// Takes up records that were appended; those that are already known are skipped.
    pub(crate) fn append(&mut self, entries: Vec<(i64, VoterSet)>) {
        for (offset, set) in entries {
            if self.last_offset().is_none_or(|last| last < offset) {
                self.entries.push((offset, set));
            }
        }
    }

    /// Forgets the records at `end` and above.
    pub(crate) fn truncate_to(&mut self, end: i64) {
        self.entries.retain(|(offset, _)| *offset < end);
    }

    /// Forgets records that a later one below `start` has replaced.
    pub(crate) fn trim_below(&mut self, start: i64) {
        let below = self.entries.iter().filter(|(offset, _)| *offset < start).count();
        if below > 1 {
            self.entries.drain(..below - 1);
        }
    }

    /// Starts over from a snapshot.
    pub(crate) fn reset(&mut self, entry: Option<(i64, VoterSet)>) {
        self.entries = entry.into_iter().collect();
    }
}
