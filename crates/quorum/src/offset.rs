//! Positions in the log, and the clock's unit. Invariant: epochs start at 1; epoch 0 with offset 0 is the position
//! of an empty log.

/// A position in the log together with the leader epoch of the entry just before it.
///
/// The same shape serves as the log's end, as the identity of a snapshot (`SnapshotId` on the wire) and as the end of
/// an epoch (`DivergingEpoch` on the wire).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogOffset {
    /// The first offset that is not part of it.
    pub offset: i64,
    /// The epoch of the last entry before `offset`; 0 if there is none.
    pub epoch: i32,
}

impl LogOffset {
    /// A position at `offset` whose last entry has `epoch`.
    pub const fn new(offset: i64, epoch: i32) -> Self {
        Self { offset, epoch }
    }

    /// Whether a log that ends here holds at least as much as one that ends at `other`: Raft's rule for granting a
    /// vote, the epoch of the last entry first and the length second.
    pub fn covers(self, other: LogOffset) -> bool {
        (self.epoch, self.offset) >= (other.epoch, other.offset)
    }
}

/// Milliseconds of a monotonic clock that the caller owns; only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// A moment that never comes.
    pub const NEVER: Millis = Millis(u64::MAX);

    /// This moment and `ms` milliseconds; stays at [`Millis::NEVER`] instead of wrapping.
    pub fn plus(self, ms: u64) -> Self {
        Millis(self.0.saturating_add(ms))
    }
}
