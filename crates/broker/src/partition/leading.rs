//! A partition under this node's lead: followers' positions, the high watermark, proposals of in-sync replicas, deletion of records.
use super::{Leadership, Partition, error_code};
use crate::ErrorCode;
use crate::partition::FollowerFetch;
use controller::{IsrChange, IsrError};
use log::LogError;
use std::cmp::Reverse;
use std::sync::atomic::Ordering;

impl Partition {
    /// Raises the high watermark as far as the in-sync replicas allow, and wakes whom that concerns.
    pub(super) fn advance(&self) {
        let neighbours = &self.neighbours;
        // Held until the high watermark is set, so that no change of role and no truncation comes between.
        let leadership = self.leadership.read();
        let end = self.log.log_end_offset();
        let may_join = |id, follower: &_| neighbours.may_join(id, follower);
        let now = neighbours.now_ms();
        let Some(committed) = leadership.committed(end, now, neighbours.lag_max_ms(), may_join) else {
            return;
        };
        let before = self.log.high_watermark();
        if committed <= before && self.unseen_bytes.load(Ordering::Acquire) == 0 {
            return;
        }
        let now = self.log.advance_high_watermark(committed);
        drop(leadership);
        if now < end {
            if now > before {
                // How many of the bytes have become visible nobody counts, so whoever waits looks for itself.
                self.waiters.changed();
            }
        } else {
            // Bytes that another append's advance has made visible may be counted only now.
            match self.unseen_bytes.swap(0, Ordering::AcqRel) {
                0 if now > before => self.waiters.changed(),
                0 => {}
                bytes => self.waiters.grown(bytes),
            }
        }
        if now > before {
            match neighbours.selects_by_rack() {
                // Consumers read from followers, which should hear at once of what has become visible (KIP-392).
                true => self.followers.changed(),
                false => self.followers.hinted(),
            }
        }
    }

    /// Before an append: followers that have everything up to now are noted as caught up until their brokers' last fetches.
    pub(super) fn note_idle_followers(&self) {
        let neighbours = &self.neighbours;
        let end = self.log.log_end_offset();
        let is_due = self.leadership.read().has_idle(end, neighbours.now_ms(), neighbours.lag_max_ms());
        if is_due {
            self.leadership.write().note_idle(end, |id| neighbours.fetched_ms(id));
        }
    }

    /// Looks again whether a follower may become in sync: one that has nothing to fetch does not come by itself.
    pub(crate) fn reconsider(&self) {
        let may_join = |id, follower: &_| self.neighbours.may_join(id, follower);
        let mut leadership = self.leadership.write();
        if !leadership.is_leader() || leadership.followers.len() < leadership.role.isr.len() {
            return;
        }
        let ids: Vec<i32> = leadership.followers.keys().copied().collect();
        let high_watermark = self.log.high_watermark();
        let registered = |id| self.neighbours.epoch_of(id);
        let expands =
            ids.into_iter().any(|id| leadership.propose_expansion(id, high_watermark, may_join, registered));
        drop(leadership);
        if expands {
            self.propose();
        }
    }

    /// Takes note of how far a follower has come: it may join the in-sync replicas, or complete what waits for it.
    pub(super) fn note_fetch(&self, id: i32, fetch: FollowerFetch) {
        let mut leadership = self.leadership.write();
        let before = leadership.followers.get(&id).copied();
        if !leadership.is_leader() || !leadership.note_fetch(id, fetch, self.neighbours.now_ms()) {
            return;
        }
        let may_join = |id, follower: &_| self.neighbours.may_join(id, follower);
        let registered = |id| self.neighbours.epoch_of(id);
        let expands = leadership.propose_expansion(id, self.log.high_watermark(), may_join, registered);
        let lost = leadership.role.isr.contains(&id) && fetch.offset < self.log.high_watermark();
        drop(leadership);
        if expands {
            self.propose();
        }
        if lost {
            // A member that came back with less than it had must not be elected for the sake of what it had.
            self.check_lag();
        }
        if before.is_none_or(|before| before.log_end != fetch.offset) {
            self.advance();
        }
        if before.is_none_or(|before| before.log_start < fetch.log_start) {
            // Somebody may wait until all replicas have deleted records.
            self.waiters.changed();
        }
    }

    /// Proposes to leave out replicas that lag, and asks again about a proposal that is still open.
    pub(crate) fn check_lag(&self) {
        let mut leadership = self.leadership.write();
        let open = leadership.proposed().is_some();
        let end = self.log.log_end_offset();
        let registered = |id| self.neighbours.epoch_of(id);
        let shrinks = leadership.propose_shrinking(
            (end, self.log.high_watermark()),
            self.neighbours.now_ms(),
            self.neighbours.lag_max_ms(),
            registered,
        );
        if shrinks {
            let (from, to) = (&leadership.role.isr, leadership.proposed());
            tracing::info!(partition = %self, ?from, ?to, end, "replicas lag and leave the ISR");
        }
        drop(leadership);
        if shrinks || open {
            self.propose();
        }
        // A caught-up replica that was waited for may have fallen behind.
        self.advance();
        self.reconsider();
    }

    pub(super) fn propose(&self) {
        self.neighbours.propose((self.topic.clone(), self.index));
    }

    /// The change of in-sync replicas that is to be carried out, if there is one.
    pub(crate) fn proposal(&self) -> Option<IsrChange> {
        let leadership = self.leadership.read();
        leadership.proposed().map(|isr| IsrChange {
            topic: self.topic.clone(),
            partition: self.index,
            leader_epoch: leadership.role.leader_epoch,
            partition_epoch: leadership.role.partition_epoch,
            isr: isr.to_vec(),
            broker_epochs: leadership.judged_epochs(),
            settles: leadership.settles(),
            recovered: true,
        })
    }

    /// Takes the outcome of a proposal.
    pub(crate) fn note_outcome(&self, change: &IsrChange, outcome: Result<i32, IsrError>) {
        let mut leadership = self.leadership.write();
        match outcome {
            Ok(partition_epoch) => {
                let accepted = leadership.accept(change.leader_epoch, &change.isr, partition_epoch);
                drop(leadership);
                if accepted {
                    tracing::info!(partition = %self, isr = ?change.isr, partition_epoch, "in-sync replicas changed");
                    self.advance();
                    self.waiters.changed();
                    self.reconsider();
                }
            }
            Err(error @ (IsrError::Fenced | IsrError::Conflict)) => {
                let registered = |id| self.neighbours.epoch_of(id);
                let high_watermark = self.log.high_watermark();
                let settles = leadership.refuse(change.leader_epoch, &change.isr, high_watermark, registered);
                drop(leadership);
                tracing::debug!(partition = %self, isr = ?change.isr, %error, "a change of in-sync replicas was refused");
                if settles {
                    self.propose();
                }
                // Without the proposed replica, which counted, more may be committed.
                self.advance();
            }
            Err(IsrError::Unavailable) => {
                let again = leadership.doubt(change.leader_epoch, &change.isr);
                drop(leadership);
                if again {
                    self.propose();
                }
            }
        }
    }

    /// The in-sync replica of the consumer's rack that it should read from, unless that is this one (KIP-392).
    pub(super) fn nearer_replica(&self, leadership: &Leadership, rack: &str, offset: i64) -> Option<i32> {
        let neighbours = &self.neighbours;
        if rack.is_empty() || !neighbours.selects_by_rack() || neighbours.rack_is(neighbours.node_id(), rack)
        {
            return None;
        }
        let followers = leadership.followers.iter();
        let holders = followers.filter(|(id, follower)| {
            leadership.role.isr.contains(id)
                && follower.log_end >= offset
                && follower.log_start <= offset
                && neighbours.rack_is(**id, rack)
        });
        let best =
            holders.max_by_key(|(id, follower)| (follower.log_end, follower.caught_up_ms, Reverse(**id)));
        best.map(|(id, _)| *id)
    }

    /// Removes the records below an offset, -1 for all that is committed; that offset.
    ///
    /// # Errors
    /// 44 unless the topic's cleanup policy has `delete`, 1 for an offset that is not committed.
    pub(crate) fn delete_records(&self, offset: i64) -> Result<i64, ErrorCode> {
        self.check_leader(-1)?;
        if !self.log.config().cleanup.delete {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        let high_watermark = self.log.high_watermark();
        let offset = if offset == -1 { high_watermark } else { offset };
        if offset < 0 || offset > high_watermark {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        let deleted = self.log.delete_records_before(offset);
        let note = |error: &LogError| self.note_failure(error);
        deleted.inspect_err(note).map_err(|error| error_code(&error))?;
        self.tell_everybody();
        Ok(offset)
    }

    /// Where the logs of all live replicas have their start, the smallest of them (Kafka's low watermark).
    ///
    /// # Errors
    /// 6 if this node does not lead.
    pub(crate) fn low_watermark(&self) -> Result<i64, ErrorCode> {
        let leadership = self.leadership.read();
        self.check_role(&leadership, -1, true)?;
        let followers = leadership.followers.iter();
        let starts =
            followers.filter(|(id, _)| self.neighbours.is_alive(**id)).map(|(_, state)| state.log_start);
        Ok(starts.fold(self.log.log_start_offset(), i64::min))
    }
}
