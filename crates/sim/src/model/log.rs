//! A virtual log: entries in batches, and the point up to which they survive a crash. Invariants: `flushed` lies at the
//! edge of a batch and within the log; batches are written, sent and lost whole.

use std::sync::Arc;

use quorum::{LogOffset, LogView, VoterSet};

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// The first entry of an epoch, by its leader.
    LeaderChange(i32),
    /// A voter set.
    Voters(Arc<VoterSet>),
    /// A client's entry, by a number of its own.
    Data(u8),
}

/// One entry; its offset is its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The epoch of its batch.
    pub epoch: i32,
    /// What it holds.
    pub payload: Payload,
    /// Whether it is the last one of its batch.
    pub ends_batch: bool,
}

/// The log of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VirtualLog {
    /// All entries, from offset 0.
    pub entries: Vec<Entry>,
    /// Everything below survives a crash.
    pub flushed: i64,
}

impl VirtualLog {
    /// One past the last entry.
    pub fn end_offset(&self) -> i64 {
        self.entries.len() as i64
    }

    /// The epoch of the entry before `offset`; 0 if there is none.
    pub fn epoch_before(&self, offset: i64) -> i32 {
        usize::try_from(offset - 1).ok().and_then(|at| self.entries.get(at)).map_or(0, |entry| entry.epoch)
    }

    pub(crate) fn append_batch(&mut self, epoch: i32, payloads: Vec<Payload>) {
        let last = payloads.len();
        for (at, payload) in payloads.into_iter().enumerate() {
            self.entries.push(Entry { epoch, payload, ends_batch: at + 1 == last });
        }
    }

    pub(crate) fn is_edge(&self, offset: i64) -> bool {
        offset == 0
            || usize::try_from(offset - 1)
                .ok()
                .and_then(|at| self.entries.get(at))
                .is_some_and(|entry| entry.ends_batch)
    }

    pub(crate) fn truncate_to(&mut self, offset: i64) {
        self.entries.truncate(usize::try_from(offset).unwrap_or(0));
        self.flushed = self.flushed.min(offset);
    }

    pub(crate) fn flush(&mut self) {
        self.flushed = self.end_offset();
    }

    /// Where the batches end that aren't flushed; the first value is the flushed offset itself.
    pub(crate) fn unflushed_edges(&self) -> impl Iterator<Item = i64> {
        (self.flushed..=self.end_offset()).filter(|offset| self.is_edge(*offset))
    }

    /// The voter sets at or above `from`, with their offsets.
    pub(crate) fn voters(&self, from: i64) -> Vec<(i64, VoterSet)> {
        let sets = (0..).zip(&self.entries).filter_map(|(offset, entry)| match &entry.payload {
            Payload::Voters(set) if offset >= from => Some((offset, VoterSet::clone(set))),
            _ => None,
        });
        sets.collect()
    }
}

/// What the core is shown of a log.
pub(crate) struct View<'a> {
    pub(crate) log: &'a VirtualLog,
    /// Planted bugs lie about this.
    pub(crate) flushed: i64,
}

impl LogView for View<'_> {
    fn start(&self) -> LogOffset {
        LogOffset::new(0, 0)
    }

    fn end(&self) -> LogOffset {
        let end = self.log.end_offset();
        LogOffset::new(end, self.log.epoch_before(end))
    }

    fn flushed(&self) -> i64 {
        self.flushed
    }

    fn snapshot(&self) -> Option<LogOffset> {
        None
    }

    fn replica_snapshot(&self) -> Option<LogOffset> {
        None
    }

    fn snapshot_size(&self, _: LogOffset) -> Option<u64> {
        None
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> LogOffset {
        let later = self.log.entries.iter().rev().take_while(|entry| entry.epoch > epoch).count();
        let end = self.log.end_offset() - later as i64;
        LogOffset::new(end, self.log.epoch_before(end))
    }
}
