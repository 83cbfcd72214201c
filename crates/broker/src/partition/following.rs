//! A partition under another node's lead: copying what the leader has, and taking back what it has not.
//!
//! Everything here names the leader epoch that it comes from and is ignored in any other; the role's lock is held until it is done,
//! so that a replica that begins to lead never changes under its own feet. Follows Kafka's `ReplicaFetcherThread`.
use super::{Partition, blocking};
use log::{Batch, LogError};
use std::sync::atomic::Ordering;

/// Whom a follower copies from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
}

/// What came from the leader for one partition.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    /// The epoch in which it was asked for.
    pub(crate) leader_epoch: i32,
    /// The offset that was asked for.
    pub(crate) offset: i64,
    /// Whole batches.
    pub(crate) batches: Vec<Batch>,
    /// The leader's high watermark.
    pub(crate) high_watermark: i64,
    /// The leader's log start.
    pub(crate) log_start: i64,
}

/// Where a follower stands: what it tells its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) log_start: i64,
    pub(crate) log_end: i64,
    /// The epoch of its last record; -1 for none.
    pub(crate) last_epoch: i32,
}

impl Partition {
    /// Whom this replica copies from, if it follows.
    pub(crate) fn upstream(&self) -> Option<Upstream> {
        let role = &self.leadership.read().role;
        let follows = role.leader >= 0
            && role.leader != self.neighbours.node_id()
            && !self.gone.load(Ordering::Acquire)
            && self.log.offline_reason().is_none();
        follows.then_some(Upstream { leader: role.leader, leader_epoch: role.leader_epoch })
    }

    /// Whether what this replica copies is throttled: it is listed, and not in sync.
    pub(crate) fn copies_throttled(&self) -> bool {
        let leadership = self.leadership.read();
        leadership.terms.copies_throttled && !leadership.role.isr.contains(&self.neighbours.node_id())
    }

    /// Where this replica stands.
    pub(crate) fn position(&self) -> Position {
        Position {
            log_start: self.log.log_start_offset(),
            log_end: self.log.log_end_offset(),
            last_epoch: self.log.latest_epoch().unwrap_or(-1),
        }
    }

    /// Removes what lies behind the high watermark if no record says which epoch it is of, because then no leader could tell whether
    /// it has the same. The role's lock is held.
    pub(super) fn forget_unattributed(&self) -> Result<(), LogError> {
        let (committed, end) = (self.log.high_watermark(), self.log.log_end_offset());
        if self.log.latest_epoch().is_none() && end > committed {
            tracing::info!(partition = %self, end, to = committed, "records without a leader epoch are removed");
            self.log.truncate_to(committed)?;
        }
        Ok(())
    }

    /// Does something to the log as long as this replica follows in `leader_epoch`; none if it does not.
    fn as_follower<T>(
        &self,
        leader_epoch: i32,
        work: impl FnOnce() -> Result<T, LogError>,
    ) -> Option<Result<T, LogError>> {
        let leadership = self.leadership.read();
        let follows = !leadership.is_leader()
            && leadership.role.leader_epoch == leader_epoch
            && !self.gone.load(Ordering::Acquire);
        let outcome = follows.then(work);
        drop(leadership);
        if let Some(Err(error)) = &outcome {
            self.note_failure(error);
        }
        outcome
    }

    /// Appends what came from the leader, byte by byte as it has it, and follows its high watermark and log start. False if the
    /// replica stands elsewhere by now, or follows in another epoch.
    ///
    /// # Errors
    /// Batches that don't continue the log or are damaged, and a disk that fails.
    pub(crate) fn copy(&self, copied: Copied) -> Result<bool, LogError> {
        let before = (self.log.high_watermark(), self.log.log_start_offset());
        let done = self.as_follower(copied.leader_epoch, || {
            if self.log.log_end_offset() != copied.offset {
                return Ok(false);
            }
            if !copied.batches.is_empty() {
                self.append_copies(&copied.batches)?;
            }
            // Never backwards: what was committed stays committed, even if a new leader has yet to find out.
            self.log.advance_high_watermark(copied.high_watermark);
            let start = copied.log_start.min(self.log.high_watermark());
            if start > self.log.log_start_offset() {
                self.log.delete_records_before(start)?;
            }
            Ok(true)
        });
        if before != (self.log.high_watermark(), self.log.log_start_offset()) {
            self.waiters.changed();
        }
        done.unwrap_or(Ok(false))
    }

    fn append_copies(&self, batches: &[Batch]) -> Result<(), LogError> {
        let append = || match self.log.append_with_offsets(batches) {
            Err(LogError::UnexpectedOffset { offset, end }) if self.starts_within(batches, end) => {
                // The leader's log starts in the middle of a batch, and so does this empty one.
                self.log.truncate_fully_and_start_at(offset)?;
                self.log.append_with_offsets(batches)
            }
            outcome => outcome,
        };
        let info = match self.log.config().flush_messages {
            i64::MAX => append()?,
            _ => blocking(append)?,
        };
        if info.rolled {
            self.flush_rolled();
        }
        Ok(())
    }

    /// Whether the log is empty and the first batch holds the offset that it starts at.
    fn starts_within(&self, batches: &[Batch], end: i64) -> bool {
        let holds = |batch: &Batch| batch.header().base_offset < end && batch.header().last_offset() >= end;
        self.log.log_start_offset() == end && batches.first().is_some_and(holds)
    }

    /// The leader's log parts from this one, which was at `offset` when the leader said so: `epoch` is the newest epoch of the leader's that is not above this log's last one, and
    /// ends at `end`. Removes what the leader can't have; what is left may part again further back. The new log end.
    ///
    /// # Errors
    /// A disk that fails.
    pub(crate) fn diverge(
        &self,
        leader_epoch: i32,
        offset: i64,
        epoch: i32,
        end: i64,
    ) -> Option<Result<i64, LogError>> {
        self.as_follower(leader_epoch, || {
            let own_end = self.log.log_end_offset();
            if own_end != offset {
                return Ok(own_end);
            }
            let (own_epoch, own_epoch_end) = self.log.end_offset_for_epoch(epoch);
            let to = match own_epoch {
                // No epoch that old is known here, so the leader's word is all there is.
                epoch if epoch < 0 => end.min(own_end),
                own if own == epoch => own_epoch_end.min(end).min(own_end),
                // This log lacks the leader's epoch: it goes back to what it has below, and asks again.
                _ => own_epoch_end.min(own_end),
            };
            self.truncate(to)
        })
    }

    /// The leader does not have the offset that this replica stands at: what to do depends on where its log begins and ends. The new
    /// log end.
    ///
    /// # Errors
    /// A disk that fails.
    pub(crate) fn restart_within(
        &self,
        leader_epoch: i32,
        offset: i64,
        leader_start: i64,
        leader_end: i64,
    ) -> Option<Result<i64, LogError>> {
        self.as_follower(leader_epoch, || {
            let end = self.log.log_end_offset();
            if end == offset && leader_end < end {
                return self.truncate(leader_end);
            }
            if end == offset && leader_start > end {
                tracing::warn!(partition = %self, end, leader_start, "the leader has deleted what this replica lacks; it starts over");
                self.log.truncate_fully_and_start_at(leader_start)?;
            }
            Ok(self.log.log_end_offset())
        })
    }

    fn truncate(&self, to: i64) -> Result<i64, LogError> {
        let (end, high_watermark) = (self.log.log_end_offset(), self.log.high_watermark());
        if to < high_watermark {
            tracing::warn!(partition = %self, end, to, high_watermark, "truncating below the high watermark: records that were committed are lost");
        } else if to < end {
            tracing::info!(partition = %self, end, to, "truncating what the leader does not have");
        }
        self.log.truncate_to(to)
    }
}
