//! One replica of a partition on this node: who leads it, what is committed, and every access to its log.
//!
//! `leadership` decides, `leading` and `following` act on it, `reading` serves. Invariants: only the leader appends for clients and
//! only a follower copies, each while the role's lock keeps the role as it is; the high watermark follows the in-sync replicas and
//! goes back only with a truncation; it stays put while the ISR is smaller than `min.insync.replicas` (KIP-966). Whatever moves the
//! high watermark or the log start, or changes the role, tells the waiters after the fact.
//!
//! Errors of the disk take this partition offline (KAFKA_STORAGE_ERROR) and no other.
mod following;
mod leadership;
mod leading;
mod reading;

use crate::ErrorCode;
use crate::replication::Neighbours;
use crate::requests::{Acks, ProducedPartition};
use crate::waiters::{Waiter, Waiters};
use bytes::Bytes;
use log::{Batch, BatchBuilder, BatchError, Codec, Log, LogConfig, LogError, Origin, Rules};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use uuid::Uuid;

pub(crate) use following::Copied;
use leadership::Leadership;
pub(crate) use leadership::{FollowerFetch, FollowerState, Role, Terms, Turn};
pub(crate) use reading::{PartitionRead, Portion, Reader};

/// A replica on this node.
pub(crate) struct Partition {
    topic: Arc<str>,
    index: i32,
    topic_id: Uuid,
    log: Arc<Log>,
    neighbours: Arc<Neighbours>,
    leadership: RwLock<Leadership>,
    /// Who waits for committed records.
    waiters: Waiters,
    /// Replicas that wait for records, committed or not.
    followers: Waiters,
    /// Bytes that were appended and are not below the high watermark yet.
    unseen_bytes: AtomicU64,
    /// Set when the partition is deleted or moved away; whoever still holds it gets NOT_LEADER_OR_FOLLOWER.
    gone: AtomicBool,
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// The epoch of the leader that appended.
    pub(crate) leader_epoch: i32,
    pub(crate) log_append_time_ms: i64,
    pub(crate) log_start_offset: i64,
}

impl Partition {
    /// A replica whose role is not known yet; see [`Partition::follow`].
    pub(crate) fn new(
        topic: Arc<str>,
        index: i32,
        topic_id: Uuid,
        log: Arc<Log>,
        neighbours: Arc<Neighbours>,
    ) -> Partition {
        let leadership = RwLock::new(Leadership::new(neighbours.node_id()));
        Partition {
            topic,
            index,
            topic_id,
            log,
            neighbours,
            leadership,
            waiters: Waiters::default(),
            followers: Waiters::default(),
            unseen_bytes: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(crate) fn index(&self) -> i32 {
        self.index
    }

    pub(crate) fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Who waits for committed records, or for records at all if it is a replica.
    pub(crate) fn waiters_of(&self, reader: &Reader) -> &Waiters {
        match reader {
            Reader::Consumer { .. } => &self.waiters,
            Reader::Replica(_) => &self.followers,
        }
    }

    /// Who waits for committed records.
    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.log.high_watermark()
    }

    /// Where readers of committed data stop. Producer transactions are refused on the way in, so nothing is undecided.
    fn last_stable_offset(&self) -> i64 {
        self.log.high_watermark()
    }

    /// The epoch since which this node has led without interruption.
    pub(crate) fn leading_since(&self) -> i32 {
        self.leadership.read().since_epoch
    }

    /// The leader and its epoch, if there is one.
    pub(crate) fn current_leader(&self) -> Option<(i32, i32)> {
        let leadership = self.leadership.read();
        (leadership.role.leader >= 0).then_some((leadership.role.leader, leadership.role.leader_epoch))
    }

    /// Takes over what the controller decided. A new leader notes where its epoch begins.
    pub(crate) fn follow(&self, role: Role, config: LogConfig, terms: Terms) -> Turn {
        self.log.set_config(config);
        let mut leadership = self.leadership.write();
        leadership.terms = terms;
        let turn = leadership.take_over(role, self.log.log_end_offset(), self.neighbours.now_ms());
        if turn.new_epoch {
            let outcome = match leadership.is_leader() {
                true => self.log.start_epoch(leadership.role.leader_epoch),
                false => self.forget_unattributed(),
            };
            if let Err(error) = outcome {
                tracing::error!(partition = %self, %error, "a new leader epoch cannot be followed");
            }
        }
        let recovers = leadership.propose_recovery();
        drop(leadership);
        if recovers {
            self.propose();
        }
        self.advance();
        if turn.changed {
            self.reconsider();
            self.tell_everybody();
        }
        turn
    }

    /// Ends the replica: everybody who waits looks again and is refused.
    pub(crate) fn end(&self) {
        self.gone.store(true, Ordering::Release);
        self.waiters.changed();
        self.followers.changed();
    }

    /// The log's start moved, or something else happened that everybody must look at.
    pub(crate) fn tell_everybody(&self) {
        self.waiters.changed();
        self.followers.changed();
    }

    /// Checks that the replica serves, under the leader epoch that the client believes in; and that it leads, if it must.
    fn check_role(
        &self,
        leadership: &Leadership,
        current_leader_epoch: i32,
        must_lead: bool,
    ) -> Result<(), ErrorCode> {
        let own = leadership.role.leader_epoch;
        if self.gone.load(Ordering::Acquire) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        if self.log.offline_reason().is_some() {
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
        if current_leader_epoch >= 0 && current_leader_epoch < own {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        if current_leader_epoch > own {
            return Err(ErrorCode::UNKNOWN_LEADER_EPOCH);
        }
        if must_lead && !leadership.is_leader() {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        Ok(())
    }

    /// Checks that this node leads and that the client believes so, too; gives the leader epoch.
    fn check_leader(&self, current_leader_epoch: i32) -> Result<i32, ErrorCode> {
        let leadership = self.leadership.read();
        self.check_role(&leadership, current_leader_epoch, true)?;
        Ok(leadership.role.leader_epoch)
    }

    /// Checks, before an append, that this node leads and, with acks=all, that enough replicas are in sync.
    fn check_append(&self, leadership: &Leadership, acks: Acks) -> Result<i32, ErrorCode> {
        self.check_role(leadership, -1, true)?;
        if acks == Acks::All && leadership.is_under_min_insync() {
            return Err(ErrorCode::NOT_ENOUGH_REPLICAS);
        }
        Ok(leadership.role.leader_epoch)
    }

    /// A refusal that names the leader to go to.
    fn refuse(&self, error: ErrorCode) -> ProducedPartition {
        let mut reply = ProducedPartition::refused(error, None);
        if error == ErrorCode::NOT_LEADER_OR_FOLLOWER {
            reply.current_leader = self.current_leader();
        }
        reply
    }

    /// Appends a producer's batch.
    ///
    /// # Errors
    /// The whole reply for this partition.
    pub(crate) fn produce(
        &self,
        records: &Bytes,
        acks: Acks,
        allows_zstd: bool,
        now_ms: i64,
    ) -> Result<Appended, ProducedPartition> {
        let checked = self.check_append(&self.leadership.read(), acks);
        checked.map_err(|error| self.refuse(error))?;
        check_codec(records, allows_zstd)?;
        let batch = log::validate(records, &Rules::new(&self.log.config(), now_ms)).map_err(refused_batch)?;
        if batch.header().is_transactional() {
            let message = "producer transactions are not supported by this version of the broker";
            return Err(ProducedPartition::refused(ErrorCode::INVALID_TXN_STATE, Some(message.to_owned())));
        }
        self.append(batch, acks, Origin::Client).map_err(|(code, error)| {
            let mut reply = self.refuse(code);
            reply.message = error.map(|error| error.to_string());
            reply
        })
    }

    /// Appends a batch of this node's own, such as a group's records; the offset of its last record.
    ///
    /// # Errors
    /// As for a producer with acks=all.
    pub(crate) fn append_own(&self, batch: BatchBuilder) -> Result<i64, ErrorCode> {
        let batch = batch.build().map_err(|_| ErrorCode::MESSAGE_TOO_LARGE)?;
        if batch.size() as u64 > self.log.config().max_message_bytes {
            return Err(ErrorCode::MESSAGE_TOO_LARGE);
        }
        let appended = self.append(batch, Acks::All, Origin::Coordinator);
        appended.map(|appended| appended.last_offset).map_err(|(code, _)| code)
    }

    /// Appends as the leader, whose role holds until the batch is written.
    fn append(
        &self,
        batch: Batch,
        acks: Acks,
        origin: Origin,
    ) -> Result<Appended, (ErrorCode, Option<LogError>)> {
        let size = batch.size() as u64;
        self.note_idle_followers();
        let leadership = self.leadership.read();
        let epoch = self.check_append(&leadership, acks).map_err(|error| (error, None))?;
        let append = || self.log.append(batch, epoch, origin);
        let appended = match self.log.config().flush_messages {
            i64::MAX => append(),
            // The append may wait for the medium, which must not hold up the other connections of this thread.
            _ => blocking(append),
        };
        drop(leadership);
        let info = appended.map_err(|error| {
            self.note_failure(&error);
            (error_code(&error), Some(error))
        })?;
        if info.rolled {
            self.flush_rolled();
        }
        if !info.duplicate {
            self.unseen_bytes.fetch_add(size, Ordering::AcqRel);
            self.advance();
            self.followers.grown(size);
        }
        Ok(Appended {
            base_offset: info.first_offset,
            last_offset: info.last_offset,
            leader_epoch: epoch,
            log_append_time_ms: info.log_append_time,
            log_start_offset: info.log_start_offset,
        })
    }

    /// Makes closed segments durable in the background: the append does not wait for it.
    fn flush_rolled(&self) {
        let log = self.log.clone();
        let flush = move || {
            if let Err(error) = log.flush_rolled() {
                tracing::warn!(%error, "a closed segment cannot be flushed");
            }
        };
        match Handle::try_current() {
            Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
                drop(runtime.spawn_blocking(flush));
            }
            _ => flush(),
        }
    }

    /// Tells waiters of a failure that has taken the log offline.
    pub(crate) fn note_failure(&self, error: &LogError) {
        if error.is_storage_failure() {
            self.tell_everybody();
        }
    }

    /// Whether records up to `last_offset`, appended in `leader_epoch`, are committed: none while they are not.
    pub(crate) fn commit_outcome(
        &self,
        last_offset: i64,
        leader_epoch: i32,
    ) -> Option<Result<(), ErrorCode>> {
        let leadership = self.leadership.read();
        if let Err(error) = self.check_role(&leadership, -1, true) {
            return Some(Err(error));
        }
        if leadership.since_epoch > leader_epoch {
            // Another node has led meanwhile, so that other records may be at these offsets now.
            return Some(Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
        }
        if self.log.high_watermark() <= last_offset {
            return None;
        }
        Some(match leadership.is_under_min_insync_after_append() {
            true => Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
            false => Ok(()),
        })
    }

    /// Waits until records up to `last_offset`, appended in `leader_epoch`, are committed.
    ///
    /// # Errors
    /// 7 if it takes too long, 6 if this node stops leading, 20 if the ISR has shrunk too much meanwhile.
    pub(crate) async fn wait_for_commit(
        &self,
        last_offset: i64,
        leader_epoch: i32,
        timeout: Duration,
    ) -> Result<(), ErrorCode> {
        let waiter = Waiter::new();
        let wait = async {
            loop {
                let mark = self.waiters.mark();
                if let Some(outcome) = self.commit_outcome(last_offset, leader_epoch) {
                    return outcome;
                }
                self.waiters.register(&waiter, 0, mark);
                waiter.woken().await;
            }
        };
        let outcome = tokio::time::timeout(timeout, wait).await;
        self.waiters.deregister(&waiter);
        outcome.unwrap_or(Err(ErrorCode::REQUEST_TIMED_OUT))
    }
}

/// Runs what may wait for the disk, handing the thread's other tasks to another thread meanwhile.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Refuses zstd from clients whose version does not know it (KIP-110). Anything else is for the validation to judge.
fn check_codec(records: &Bytes, allows_zstd: bool) -> Result<(), ProducedPartition> {
    match Batch::parse_one(records) {
        Ok(batch) if !allows_zstd && batch.header().codec() == Some(Codec::Zstd) => {
            let message = "zstd needs version 7 of Produce or later".to_owned();
            Err(ProducedPartition::refused(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, Some(message)))
        }
        _ => Ok(()),
    }
}

/// The reply for a batch that breaks a rule.
pub(crate) fn refused_batch(error: BatchError) -> ProducedPartition {
    let message = Some(error.to_string());
    let (code, records) = match error {
        BatchError::Corrupt(_) => (ErrorCode::CORRUPT_MESSAGE, Vec::new()),
        BatchError::TooLarge { .. } => (ErrorCode::MESSAGE_TOO_LARGE, Vec::new()),
        BatchError::Invalid(_) => (ErrorCode::INVALID_RECORD, Vec::new()),
        BatchError::InvalidRecords { records, .. } => (ErrorCode::INVALID_RECORD, records),
        BatchError::InvalidTimestamp { records, .. } => (ErrorCode::INVALID_TIMESTAMP, records),
        BatchError::Undecodable(_) => (ErrorCode::UNKNOWN_SERVER_ERROR, Vec::new()),
    };
    let mut reply = ProducedPartition::refused(code, message);
    reply.record_errors = records.into_iter().map(|record| (record.index, record.message)).collect();
    reply
}

/// A log's error as clients know it.
pub(crate) fn error_code(error: &LogError) -> ErrorCode {
    match error {
        LogError::Io { .. } | LogError::Offline { .. } => ErrorCode::KAFKA_STORAGE_ERROR,
        LogError::Closed { .. } => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        LogError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        LogError::TooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        LogError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        LogError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        LogError::Corrupt { .. } => ErrorCode::CORRUPT_MESSAGE,
        LogError::UnexpectedOffset { .. } | LogError::BadFile { .. } => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}
