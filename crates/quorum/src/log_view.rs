//! What the core may ask of the log. The core never writes it: it returns actions. Invariant: between two calls of
//! `step`, `flushed <= end`, `start <= end`, and `end` moves back only by a `TruncateTo` or `InstallSnapshot` action.

use crate::LogOffset;

/// A read-only view of the local log, as of the moment `step` is called.
pub trait LogView {
    /// The first offset that the log still holds, with the epoch of the entry before it (0 if the log begins at 0).
    fn start(&self) -> LogOffset;

    /// One past the last *appended* entry, with its epoch. An appended entry can be read (to serve a fetch) but may
    /// not have reached the disk. An empty log ends where it starts.
    fn end(&self) -> LogOffset;

    /// Everything below this offset survives a crash. What recovery found at start counts, once it is synced.
    fn flushed(&self) -> i64;

    /// The newest complete snapshot, if there is one. It must exist when `start().offset > 0`.
    fn snapshot(&self) -> Option<LogOffset>;

    /// The complete snapshot that a replica takes that begins anew; `None` if it is to begin with the log, whose start is 0 then.
    /// It ends at or behind `start()`. It may be older than the newest, so that such a replica holds some of the log before the newest
    /// one, too. Safe however old it is: whatever that replica may have acknowledged lies below `start()`.
    fn replica_snapshot(&self) -> Option<LogOffset>;

    /// The size in bytes of a snapshot that can be read now; `None` when this replica doesn't hold it.
    fn snapshot_size(&self, snapshot: LogOffset) -> Option<u64>;

    /// The largest epoch of the log that is not above `epoch`, and the offset where it ends (the start of the next
    /// epoch, or the log's end). When every entry is of a later epoch: `start()`.
    fn end_offset_for_epoch(&self, epoch: i32) -> LogOffset;
}
