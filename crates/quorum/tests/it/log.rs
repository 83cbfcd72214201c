//! A log in memory, for tests: what the shell's log and disk do, with a page cache that a crash empties.

use quorum::{LogOffset, LogView, VoterSet};

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Payload {
    /// A client's entry, by a number of its own.
    Data(u64),
    /// The first entry of an epoch.
    LeaderChange,
    /// A voter set.
    Voters(VoterSet),
}

/// One entry; its offset is its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) epoch: i32,
    pub(crate) payload: Payload,
}

/// The log. Entries below `start` stay here so that a test can look at them; the view hides them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemLog {
    pub(crate) entries: Vec<Entry>,
    pub(crate) start: i64,
    pub(crate) flushed: i64,
    pub(crate) snapshot: Option<LogOffset>,
    /// The snapshot before, which is kept too.
    pub(crate) older: Option<LogOffset>,
}

impl MemLog {
    pub(crate) fn end_offset(&self) -> i64 {
        self.entries.len() as i64
    }

    pub(crate) fn epoch_before(&self, offset: i64) -> i32 {
        usize::try_from(offset - 1).ok().and_then(|at| self.entries.get(at)).map_or(0, |entry| entry.epoch)
    }

    pub(crate) fn append(&mut self, epoch: i32, payload: Payload) -> i64 {
        assert!(epoch >= self.epoch_before(self.end_offset()), "epochs of a log never go back");
        self.entries.push(Entry { epoch, payload });
        self.end_offset() - 1
    }

    pub(crate) fn flush(&mut self) {
        self.flushed = self.end_offset();
    }

    pub(crate) fn truncate_to(&mut self, offset: i64) {
        assert!(offset >= self.start, "truncation to {offset}, below the log's start {}", self.start);
        self.entries.truncate(offset as usize);
        self.flushed = self.flushed.min(offset);
    }

    /// The entries from `offset` on can't be read any more. A log that would end below its newest snapshot begins behind that.
    pub(crate) fn lose_from(&mut self, offset: i64) {
        let snapshot = self.snapshot.map_or(0, |snapshot| snapshot.offset);
        self.truncate_to(offset.max(snapshot));
        if offset < snapshot {
            self.start = snapshot;
            self.older = None;
        }
    }

    /// Takes a snapshot of everything below `offset`, keeps the one before it, and drops the entries that the older one covers.
    pub(crate) fn compact(&mut self, offset: i64) {
        assert!(offset <= self.flushed && offset >= self.start);
        self.older = self.snapshot;
        self.snapshot = Some(LogOffset::new(offset, self.epoch_before(offset)));
        self.start = self.older.map_or(offset, |older| older.offset);
    }

    /// The voter sets that recovery finds: the last one below the start is in the snapshot.
    pub(crate) fn voters(&self) -> Vec<(i64, VoterSet)> {
        let sets = self.entries.iter().enumerate().filter_map(|(at, entry)| match &entry.payload {
            Payload::Voters(set) => Some((at as i64, set.clone())),
            _ => None,
        });
        sets.collect()
    }
}

impl LogView for MemLog {
    fn start(&self) -> LogOffset {
        LogOffset::new(self.start, self.epoch_before(self.start))
    }

    fn end(&self) -> LogOffset {
        LogOffset::new(self.end_offset(), self.epoch_before(self.end_offset()))
    }

    fn flushed(&self) -> i64 {
        self.flushed
    }

    fn snapshot(&self) -> Option<LogOffset> {
        self.snapshot
    }

    fn replica_snapshot(&self) -> Option<LogOffset> {
        self.older.or(self.snapshot)
    }

    fn snapshot_size(&self, snapshot: LogOffset) -> Option<u64> {
        [self.snapshot, self.older].contains(&Some(snapshot)).then_some(snapshot.offset as u64)
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> LogOffset {
        let mut at = self.entries.len();
        while at > self.start as usize && self.entries[at - 1].epoch > epoch {
            at -= 1;
        }
        LogOffset::new(at as i64, self.epoch_before(at as i64))
    }
}
