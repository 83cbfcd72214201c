//! What must hold whatever happens: watches every action of every replica from above, with knowledge that no replica
//! has.

use std::collections::{BTreeMap, BTreeSet};

use quorum::{ReplicaId, VoteState, VoterSet};

use crate::log::{Entry, MemLog};

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<i32, ReplicaId>,
    votes: BTreeMap<(ReplicaId, i32), ReplicaId>,
    /// Every entry ever appended, with the epoch of the entry before it.
    entries: BTreeMap<(i64, i32), (Entry, i32)>,
    pub(crate) committed: Vec<Entry>,
    /// The epoch of the leader that committed each of them.
    committed_in: Vec<i32>,
}

impl Oracle {
    /// Election safety and leader completeness.
    pub(crate) fn became_leader(&mut self, replica: ReplicaId, epoch: i32, log: &MemLog) {
        if let Some(other) = self.leaders.insert(epoch, replica) {
            panic!("epoch {epoch} has two leaders: {other} and {replica}");
        }
        for (offset, committed) in self.committed.iter().enumerate() {
            // A leader that learns late of its election in an old epoch can't do harm: nobody follows it any more.
            if self.committed_in[offset] < epoch {
                let held = log.entries.get(offset);
                assert_eq!(
                    held,
                    Some(committed),
                    "leader {replica} of epoch {epoch} lacks committed offset {offset}"
                );
            }
        }
    }

    /// One vote per epoch, and epochs that never go back.
    pub(crate) fn persisted(&mut self, replica: ReplicaId, before: Option<VoteState>, vote: VoteState) {
        assert!(before.is_none_or(|before| before.epoch <= vote.epoch), "{replica} went back to {vote:?}");
        if let Some(candidate) = vote.voted_for {
            let first = *self.votes.entry((replica, vote.epoch)).or_insert(candidate);
            assert_eq!(first, candidate, "{replica} voted twice in epoch {}", vote.epoch);
        }
    }

    /// Log matching: an offset and an epoch name one entry, and the same one comes before it everywhere.
    pub(crate) fn appended(&mut self, log: &MemLog, from: i64) {
        for (offset, entry) in log.entries.iter().enumerate().skip(from as usize) {
            let here = (entry.clone(), log.epoch_before(offset as i64));
            let known = self.entries.entry((offset as i64, entry.epoch)).or_insert_with(|| here.clone());
            assert_eq!(*known, here, "two entries at offset {offset} in epoch {}", entry.epoch);
        }
    }

    /// A leader's own append makes an entry that nobody has seen.
    pub(crate) fn is_new(&self, offset: i64, epoch: i32) {
        assert!(!self.entries.contains_key(&(offset, epoch)), "epoch {epoch} wrote offset {offset} twice");
    }

    /// State machine safety: what one replica holds for committed is what every other does.
    pub(crate) fn high_watermark(
        &mut self,
        replica: ReplicaId,
        offset: i64,
        log: &MemLog,
        epoch: i32,
    ) -> bool {
        let held = &log.entries[..offset as usize];
        let both = held.len().min(self.committed.len());
        assert_eq!(held[..both], self.committed[..both], "{replica} disagrees about what is committed");
        let more = held.len() > both;
        self.committed.extend_from_slice(&held[both..]);
        self.committed_in.resize(self.committed.len(), epoch);
        more
    }

    /// What a leader calls committed is flushed by a majority of its voters, each in the incarnation that counts.
    pub(crate) fn flushed_by_majority<'a>(
        &self,
        voters: &VoterSet,
        logs: impl Iterator<Item = (ReplicaId, &'a MemLog)>,
        lossy: &BTreeSet<ReplicaId>,
    ) {
        let committed = self.committed.len();
        let holding = logs.filter(|(_, log)| {
            log.flushed >= committed as i64 && log.entries[committed - 1] == self.committed[committed - 1]
        });
        let holding = holding.map(|(replica, _)| replica).chain(lossy.iter().copied());
        let ids: BTreeSet<i32> =
            holding.filter(|replica| voters.contains(*replica)).map(|replica| replica.id).collect();
        assert!(voters.has_majority(&ids), "offset {committed} is committed but flushed only by {ids:?}");
    }
}
