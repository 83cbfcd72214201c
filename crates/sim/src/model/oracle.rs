//! The laws, and the history that they need. Invariant: the history holds nothing that no law can ask for again, for it
//! is part of the state that the search compares.

use quorum::{ReplicaId, VoteState, VoterSet};

use super::log::Entry;
use super::node::Node;

/// What must hold in every state that can be reached. The order is that of [`Law::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// One leader per epoch, elected once.
    ElectionSafety,
    /// Two logs that hold an entry of the same epoch at the same offset are the same up to there.
    LogMatching,
    /// A leader holds everything that an earlier epoch committed.
    LeaderCompleteness,
    /// Two replicas never hold different entries to be committed at the same offset.
    StateMachineSafety,
    /// What is committed is flushed by a majority, when it is committed and, while the voters stay the same, ever after.
    NoLostFlush,
    /// A replica gives one vote per epoch.
    OneVote,
    /// The core keeps its own promises: no failed assert, every request answered once, no batch torn, no giving up.
    Contract,
}

impl Law {
    /// Every law.
    pub const ALL: [Law; 7] = [
        Law::ElectionSafety,
        Law::LogMatching,
        Law::LeaderCompleteness,
        Law::StateMachineSafety,
        Law::NoLostFlush,
        Law::OneVote,
        Law::Contract,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Law::ElectionSafety => "election safety",
            Law::LogMatching => "log matching",
            Law::LeaderCompleteness => "leader completeness",
            Law::StateMachineSafety => "state machine safety",
            Law::NoLostFlush => "no lost flush",
            Law::OneVote => "one vote per epoch",
            Law::Contract => "the core's contract",
        }
    }
}

/// A law that an action broke.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Which one.
    pub law: Law,
    /// How.
    pub how: String,
}

impl Violation {
    pub(crate) fn new(law: Law, how: impl Into<String>) -> Self {
        Self { law, how: how.into() }
    }
}

/// What no node remembers, but the laws do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// Who was elected in which epoch.
    leaders: Vec<(i32, i32)>,
    /// Which vote left which node: (node, epoch, candidate).
    votes: Vec<(i32, i32, ReplicaId)>,
    /// What was committed, each with the epoch of the leader that did it.
    committed: Vec<(Entry, i32)>,
}

impl History {
    /// What was committed, each entry with the epoch of the leader that did it.
    pub fn committed(&self) -> &[(Entry, i32)] {
        &self.committed
    }

    pub(crate) fn elected(&mut self, node: i32, epoch: i32) -> Result<(), Violation> {
        if let Some((_, other)) = self.leaders.iter().find(|(of, _)| *of == epoch) {
            let how = format!("epoch {epoch} elected {other}, and then {node}");
            return Err(Violation::new(Law::ElectionSafety, how));
        }
        self.leaders.push((epoch, node));
        self.leaders.sort_unstable();
        Ok(())
    }

    /// A vote leaves `node`, whose disk holds `durable`.
    pub(crate) fn voted(
        &mut self,
        node: i32,
        epoch: i32,
        candidate: ReplicaId,
        durable: Option<VoteState>,
    ) -> Result<(), Violation> {
        let first = self.votes.iter().find(|(of, at, _)| (*of, *at) == (node, epoch));
        if let Some((_, _, first)) = first.filter(|(_, _, first)| *first != candidate) {
            let how =
                format!("{node} voted in epoch {epoch} for {}, and then for {}", first.id, candidate.id);
            return Err(Violation::new(Law::OneVote, how));
        }
        if durable.is_some_and(|durable| durable.epoch > epoch) {
            let how = format!("{node} voted for {} in epoch {epoch}, which it has left", candidate.id);
            return Err(Violation::new(Law::OneVote, how));
        }
        if first.is_none() {
            self.votes.push((node, epoch, candidate));
            self.votes.sort_unstable();
        }
        Ok(())
    }

    /// `node` tells that everything below `offset` is committed. Returns how many entries that adds.
    pub(crate) fn committed_by(&mut self, node: &Node, offset: i64) -> Result<usize, Violation> {
        let known = self.committed.len();
        let held = usize::try_from(offset).ok().and_then(|end| node.disk.log.entries.get(..end));
        let Some(held) = held else {
            let how = format!("{} commits up to {offset}, past its log's end", node.id());
            return Err(Violation::new(Law::Contract, how));
        };
        if let Some(at) = held.iter().zip(&self.committed).position(|(held, (entry, _))| held != entry) {
            let how = format!("{} holds another entry at the committed offset {at}", node.id());
            return Err(Violation::new(Law::StateMachineSafety, how));
        }
        let epoch = node.quorum.epoch();
        self.committed.extend(held.iter().skip(known).map(|entry| (entry.clone(), epoch)));
        Ok(self.committed.len() - known)
    }

    /// Whether `voters` have everything committed on a majority of their disks.
    pub(crate) fn flushed_by_majority<'a>(
        &self,
        voters: &VoterSet,
        nodes: impl Iterator<Item = &'a Node>,
    ) -> Result<(), Violation> {
        let holds = |node: &Node| {
            let flushed = usize::try_from(node.disk.log.flushed).unwrap_or(0);
            let entries = node.disk.log.entries.iter().take(flushed);
            flushed >= self.committed.len()
                && self.committed.iter().zip(entries).all(|((entry, _), held)| entry == held)
        };
        let ids: Vec<i32> = nodes.filter(|node| holds(node)).map(Node::id).collect();
        if voters.has_majority(&ids) {
            return Ok(());
        }
        let how = format!("offset {} is committed but flushed only by {ids:?}", self.committed.len());
        Err(Violation::new(Law::NoLostFlush, how))
    }

    /// Whether every leader has what earlier epochs committed.
    pub(crate) fn leaders_are_complete<'a>(&self, mut nodes: impl Iterator<Item = &'a Node>) -> bool {
        nodes.all(|node| {
            let Some(epoch) = node.leads else { return true };
            let mut committed = (0..).zip(&self.committed).filter(|(_, (_, by))| *by < epoch);
            committed.all(|(at, (entry, _)): (usize, _)| node.disk.log.entries.get(at) == Some(entry))
        })
    }

    /// Drops what can't matter any more.
    pub(crate) fn forget<'a>(&mut self, nodes: impl Iterator<Item = &'a Node> + Clone) {
        let durable = |id: i32| nodes.clone().find(|node| node.id() == id).map_or(0, Node::durable_epoch);
        self.votes.retain(|(node, epoch, _)| *epoch >= durable(*node));
        // Nobody that has left an epoch, or doesn't ask for votes in it, can still win it.
        self.leaders.retain(|(epoch, _)| {
            nodes.clone().any(|node| node.durable_epoch() < *epoch || node.asks_for_votes_in(*epoch))
        });
    }
}

/// Whether any two logs agree up to the last place where they hold an entry of the same epoch.
pub(crate) fn logs_match(nodes: &[&Node]) -> bool {
    nodes.iter().enumerate().all(|(at, one)| {
        nodes.iter().skip(at + 1).all(|other| {
            let (one, other) = (&one.disk.log.entries, &other.disk.log.entries);
            let pairs = one.iter().zip(other);
            let last = pairs.clone().rposition(|(a, b)| a.epoch == b.epoch);
            last.is_none_or(|last| pairs.take(last + 1).all(|(a, b)| a == b))
        })
    })
}
