//! Which leader epoch started at which offset: Kafka's leader epoch cache and its file `leader-epoch-checkpoint`.
//!
//! Invariant: epochs and start offsets both grow strictly from entry to entry.
use std::fmt::Write;

/// The answer where an epoch or its end is unknown.
pub const UNDEFINED_EPOCH: i32 = -1;
/// The offset that goes with [`UNDEFINED_EPOCH`].
pub const UNDEFINED_OFFSET: i64 = -1;

/// An epoch and the offset of its first batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: i32,
    /// Its first offset.
    pub start_offset: i64,
}

/// The epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochs(Vec<EpochStart>);

impl LeaderEpochs {
    /// Notes that `epoch` appended at `start_offset`. False if nothing changed. Entries that contradict are dropped.
    pub(crate) fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0
            || self.latest().is_some_and(|last| last.epoch == epoch && start_offset >= last.start_offset)
        {
            return false;
        }
        self.0.retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.0.push(EpochStart { epoch, start_offset });
        true
    }

    /// The newest epoch.
    pub(crate) fn latest(&self) -> Option<EpochStart> {
        self.0.last().copied()
    }

    /// All epochs.
    pub(crate) fn entries(&self) -> &[EpochStart] {
        &self.0
    }

    /// The epoch of a record at `offset`.
    pub(crate) fn epoch_at(&self, offset: i64) -> Option<i32> {
        let count = self.0.partition_point(|entry| entry.start_offset <= offset);
        count.checked_sub(1).map(|index| self.0[index].epoch)
    }

    /// The largest known epoch that is at most `epoch`, and the offset behind its last record. An epoch below all known
    /// ones ends where the first known begins; one above all is undefined (OffsetForLeaderEpoch, KIP-279).
    pub(crate) fn end_offset_for(&self, epoch: i32, log_end: i64) -> (i32, i64) {
        let higher = self.0.partition_point(|entry| entry.epoch <= epoch);
        let floor = higher.checked_sub(1).map(|index| self.0[index].epoch);
        if epoch == UNDEFINED_EPOCH {
            return (UNDEFINED_EPOCH, UNDEFINED_OFFSET);
        }
        match (floor, self.0.get(higher)) {
            (Some(floor), None) if floor == epoch => (epoch, log_end),
            (_, None) => (UNDEFINED_EPOCH, UNDEFINED_OFFSET),
            (floor, Some(next)) => (floor.unwrap_or(epoch), next.start_offset),
        }
    }

    /// Forgets epochs that start at or behind `offset`. False if nothing changed.
    pub(crate) fn truncate_from_end(&mut self, offset: i64) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| entry.start_offset < offset);
        self.0.len() != before
    }

    /// Forgets epochs that end at or before `offset`; the epoch of `offset` then starts there. False if nothing changed.
    pub(crate) fn truncate_from_start(&mut self, offset: i64) -> bool {
        let covered = self.0.partition_point(|entry| entry.start_offset <= offset);
        let Some(floor) = covered.checked_sub(1) else { return false };
        if floor == 0 && self.0[0].start_offset == offset {
            return false;
        }
        self.0.drain(..floor);
        self.0[0].start_offset = offset;
        true
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The file's content: version, count, then `epoch start-offset` per line.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.0.len());
        for entry in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
        }
        text
    }

    /// Parses the file's content.
    pub(crate) fn decode(text: &str) -> Result<LeaderEpochs, String> {
        let mut epochs = LeaderEpochs::default();
        for line in crate::checkpoint::lines(text)? {
            let (epoch, offset) =
                line.split_once(' ').ok_or_else(|| format!("line {line:?} is not two numbers"))?;
            let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a number"));
            let epoch = epoch.parse().map_err(|_| format!("{epoch:?} is not an epoch"))?;
            epochs.assign(epoch, number(offset)?);
        }
        Ok(epochs)
    }
}
