//! One replica of a partition on this node: who leads it, what is committed, and every access to its log.
//!
//! Invariants: only the leader appends for clients; the high watermark is the smallest log end of the in-sync replicas and never
//! goes back while this node leads; it stays put while the ISR is smaller than `min.insync.replicas` (KIP-966). Whatever
//! moves the high watermark or the log start, or changes the role, tells the waiters after the fact.
//!
//! Errors of the disk take this partition offline (KAFKA_STORAGE_ERROR) and no other.
use crate::ErrorCode;
use crate::requests::{Acks, EpochEnd, FetchPartition, Isolation, ListedOffset, ProducedPartition};
use crate::waiters::{Waiter, Waiters};
use bytes::Bytes;
use kafka_wire::Records;
use log::{
    Batch, BatchBuilder, BatchError, Codec, Log, LogConfig, LogError, Origin, ReadLimits, Rules, Scratch,
};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use uuid::Uuid;

/// How much is read at a time when the whole log is scanned, in bytes.
const SCAN_BYTES: usize = 4 << 20;

/// ListOffsets' special timestamps.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Who leads a partition and who follows, as the controller decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// The leader; -1 for none.
    pub(crate) leader: i32,
    /// Its epoch.
    pub(crate) leader_epoch: i32,
    /// All replicas, the preferred leader first.
    pub(crate) replicas: Vec<i32>,
    /// The in-sync ones.
    pub(crate) isr: Vec<i32>,
}

/// What the role's lock guards.
#[derive(Debug)]
struct Leadership {
    role: Role,
    /// Where this leader's epoch began.
    epoch_start: i64,
    /// `min.insync.replicas`.
    min_insync: usize,
}

/// A replica on this node.
pub(crate) struct Partition {
    topic: Arc<str>,
    index: i32,
    topic_id: Uuid,
    node_id: i32,
    log: Arc<Log>,
    leadership: RwLock<Leadership>,
    waiters: Waiters,
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
    pub(crate) log_append_time_ms: i64,
    pub(crate) log_start_offset: i64,
}

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRead {
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) diverging: Option<(i32, i64)>,
    pub(crate) records: Records,
}

impl Partition {
    /// A replica whose role is not known yet; see [`Partition::follow`].
    pub(crate) fn new(topic: Arc<str>, index: i32, topic_id: Uuid, node_id: i32, log: Arc<Log>) -> Partition {
        let role = Role { leader: -1, leader_epoch: -1, replicas: Vec::new(), isr: Vec::new() };
        Partition {
            topic,
            index,
            topic_id,
            node_id,
            log,
            leadership: RwLock::new(Leadership { role, epoch_start: 0, min_insync: 1 }),
            waiters: Waiters::default(),
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

    pub(crate) fn is_leader(&self) -> bool {
        self.leadership.read().role.leader == self.node_id && !self.gone.load(Ordering::Acquire)
    }

    /// The leader and its epoch, if there is one.
    pub(crate) fn current_leader(&self) -> Option<(i32, i32)> {
        let leadership = self.leadership.read();
        (leadership.role.leader >= 0).then_some((leadership.role.leader, leadership.role.leader_epoch))
    }

    /// Takes over what the controller decided. A new leader notes where its epoch begins. True if this node has begun to
    /// lead, or leads in a new epoch.
    pub(crate) fn follow(&self, role: Role, config: LogConfig, min_insync: usize) -> bool {
        self.log.set_config(config);
        let mut leadership = self.leadership.write();
        leadership.min_insync = min_insync;
        if role.leader_epoch < leadership.role.leader_epoch || role == leadership.role {
            drop(leadership);
            self.advance();
            return false;
        }
        let newly = role.leader == self.node_id
            && (leadership.role.leader != self.node_id || leadership.role.leader_epoch != role.leader_epoch);
        if newly {
            leadership.epoch_start = self.log.log_end_offset();
            if let Err(error) = self.log.start_epoch(role.leader_epoch) {
                tracing::error!(partition = %self, %error, "the leader epoch cannot be recorded");
            }
        }
        leadership.role = role;
        drop(leadership);
        self.advance();
        self.waiters.changed();
        newly
    }

    /// Ends the replica: everybody who waits looks again and is refused.
    pub(crate) fn end(&self) {
        self.gone.store(true, Ordering::Release);
        self.waiters.changed();
    }

    /// Raises the high watermark as far as the in-sync replicas allow, and wakes whom that concerns.
    fn advance(&self) {
        let leadership = self.leadership.read();
        let role = &leadership.role;
        if role.leader != self.node_id || role.isr.len() < leadership.effective_min_insync() {
            return;
        }
        // With this node alone in the ISR everything appended is committed; followers' positions come with replication.
        if role.isr.iter().any(|id| *id != self.node_id) {
            return;
        }
        drop(leadership);
        let before = self.log.high_watermark();
        let now = self.log.advance_high_watermark(self.log.log_end_offset());
        // Bytes that another append's advance has made visible may be counted only now.
        match self.unseen_bytes.swap(0, Ordering::AcqRel) {
            0 if now > before => self.waiters.changed(),
            0 => {}
            bytes => self.waiters.grown(bytes),
        }
    }

    /// Checks that this node leads and that the client believes so, too.
    fn check_leader(&self, current_leader_epoch: i32) -> Result<i32, ErrorCode> {
        let leadership = self.leadership.read();
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
        if leadership.role.leader != self.node_id {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        Ok(own)
    }

    /// Checks, before an append with acks=all, that enough replicas are in sync; gives the leader epoch.
    fn check_append(&self, acks: Acks) -> Result<i32, ErrorCode> {
        let epoch = self.check_leader(-1)?;
        let leadership = self.leadership.read();
        if acks == Acks::All && leadership.role.isr.len() < leadership.effective_min_insync() {
            return Err(ErrorCode::NOT_ENOUGH_REPLICAS);
        }
        Ok(epoch)
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
        let refuse = |error| {
            let mut reply = ProducedPartition::refused(error, None);
            if error == ErrorCode::NOT_LEADER_OR_FOLLOWER {
                reply.current_leader = self.current_leader();
            }
            reply
        };
        let epoch = self.check_append(acks).map_err(refuse)?;
        check_codec(records, allows_zstd)?;
        let batch = log::validate(records, &Rules::new(&self.log.config(), now_ms)).map_err(refused_batch)?;
        if batch.header().is_transactional() {
            let message = "producer transactions are not supported by this version of the broker";
            return Err(ProducedPartition::refused(ErrorCode::INVALID_TXN_STATE, Some(message.to_owned())));
        }
        let size = batch.size() as u64;
        let appended = self.append(batch, epoch, Origin::Client, size);
        appended.map_err(|error| {
            let message = error.to_string();
            let mut reply = refuse(error_code(&error));
            reply.message = Some(message);
            reply
        })
    }

    /// Appends a batch of this node's own, such as a group's records; the offset of its last record.
    ///
    /// # Errors
    /// As for a producer with acks=all.
    pub(crate) fn append_own(&self, batch: BatchBuilder) -> Result<i64, ErrorCode> {
        let epoch = self.check_append(Acks::All)?;
        let batch = batch.build().map_err(|_| ErrorCode::MESSAGE_TOO_LARGE)?;
        let size = batch.size() as u64;
        if size > self.log.config().max_message_bytes {
            return Err(ErrorCode::MESSAGE_TOO_LARGE);
        }
        let appended = self.append(batch, epoch, Origin::Coordinator, size);
        appended.map(|appended| appended.last_offset).map_err(|error| error_code(&error))
    }

    fn append(&self, batch: Batch, epoch: i32, origin: Origin, size: u64) -> Result<Appended, LogError> {
        let append = || self.log.append(batch, epoch, origin);
        let appended = match self.log.config().flush_messages {
            i64::MAX => append(),
            // The append may wait for the medium, which must not hold up the other connections of this thread.
            _ => blocking(append),
        };
        let info = appended.inspect_err(|error| self.note_failure(error))?;
        if info.rolled {
            self.flush_rolled();
        }
        if !info.duplicate {
            self.unseen_bytes.fetch_add(size, Ordering::AcqRel);
            self.advance();
        }
        Ok(Appended {
            base_offset: info.first_offset,
            last_offset: info.last_offset,
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
            self.waiters.changed();
        }
    }

    /// Whether records up to `last_offset` are committed: none while they are not.
    pub(crate) fn commit_outcome(&self, last_offset: i64) -> Option<Result<(), ErrorCode>> {
        if self.log.high_watermark() > last_offset {
            let leadership = self.leadership.read();
            return Some(match leadership.role.isr.len() < leadership.effective_min_insync() {
                true => Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
                false => Ok(()),
            });
        }
        self.check_leader(-1).err().map(Err)
    }

    /// Waits until records up to `last_offset` are committed.
    ///
    /// # Errors
    /// 7 if it takes too long, 6 if this node stops leading, 20 if the ISR has shrunk too much meanwhile.
    pub(crate) async fn wait_for_commit(&self, last_offset: i64, timeout: Duration) -> Result<(), ErrorCode> {
        let waiter = Waiter::new();
        let wait = async {
            loop {
                let mark = self.waiters.mark();
                if let Some(outcome) = self.commit_outcome(last_offset) {
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

    /// Reads for a consumer. `max_bytes` of 0 reads offsets only.
    ///
    /// # Errors
    /// 1 for an offset outside the log, 74 and 75 for a wrong leader epoch, 6 and 56.
    pub(crate) fn read(
        &self,
        request: &FetchPartition,
        isolation: Isolation,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<PartitionRead, ErrorCode> {
        self.check_leader(request.current_leader_epoch)?;
        let high_watermark = self.log.high_watermark();
        let last_stable_offset = self.last_stable_offset();
        let log_start_offset = self.log.log_start_offset();
        let mut read = PartitionRead {
            high_watermark,
            last_stable_offset,
            log_start_offset,
            diverging: None,
            records: Records::EMPTY,
        };
        if request.last_fetched_epoch >= 0 {
            let (epoch, end) = self.log.end_offset_for_epoch(request.last_fetched_epoch);
            if epoch < 0 || end < 0 || request.fetch_offset < log_start_offset {
                return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
            }
            if epoch < request.last_fetched_epoch || end < request.fetch_offset {
                read.diverging = Some((epoch, end));
                return Ok(read);
            }
        }
        let until = match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => last_stable_offset,
        };
        let limits = ReadLimits { max_bytes, at_least_one, until };
        match self.log.read(request.fetch_offset, limits) {
            Ok(data) => {
                read.records = data.chunks.into_iter().collect();
                Ok(read)
            }
            Err(error) => {
                self.note_failure(&error);
                Err(error_code(&error))
            }
        }
    }

    /// Looks up an offset by time (ListOffsets).
    ///
    /// # Errors
    /// 78 while the high watermark lies before this leader's epoch, and those of [`Partition::read`].
    pub(crate) fn list_offset(
        &self,
        timestamp: i64,
        current_leader_epoch: i32,
        isolation: Isolation,
    ) -> Result<ListedOffset, ErrorCode> {
        let leader_epoch = self.check_leader(current_leader_epoch)?;
        let end = match isolation {
            Isolation::ReadUncommitted => self.log.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        };
        let found = |timestamp, offset, leader_epoch| {
            Ok(ListedOffset { error: ErrorCode::NONE, timestamp, offset, leader_epoch })
        };
        let nothing = found(-1, -1, -1);
        match timestamp {
            LATEST => {
                self.check_caught_up()?;
                found(-1, end, leader_epoch)
            }
            EARLIEST | EARLIEST_LOCAL => {
                let start = self.log.log_start_offset();
                found(-1, start, self.log.epoch_at(start).unwrap_or(-1))
            }
            // Nothing is tiered, so no offset is.
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => nothing,
            _ => {
                let located = match timestamp {
                    MAX_TIMESTAMP => self.log.max_timestamp_offset(),
                    _ => self.log.offset_for_timestamp(timestamp),
                };
                match located.map_err(|error| error_code(&error))? {
                    Some(located) if located.offset < end => {
                        found(located.timestamp, located.offset, located.leader_epoch)
                    }
                    _ => self.check_caught_up().and(nothing),
                }
            }
        }
    }

    /// 78 while the high watermark has not reached the beginning of this leader's epoch.
    fn check_caught_up(&self) -> Result<(), ErrorCode> {
        match self.leadership.read().epoch_start > self.log.high_watermark() {
            true => Err(ErrorCode::OFFSET_NOT_AVAILABLE),
            false => Ok(()),
        }
    }

    /// The end of a leader epoch (OffsetForLeaderEpoch).
    ///
    /// # Errors
    /// Those of [`Partition::read`] about leaders.
    pub(crate) fn epoch_end(&self, epoch: i32, current_leader_epoch: i32) -> Result<EpochEnd, ErrorCode> {
        self.check_leader(current_leader_epoch)?;
        let (leader_epoch, end_offset) = self.log.end_offset_for_epoch(epoch);
        Ok(EpochEnd { error: ErrorCode::NONE, leader_epoch, end_offset })
    }

    /// Removes the records below an offset, -1 for all that is committed; the new log start.
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
        let start =
            deleted.inspect_err(|error| self.note_failure(error)).map_err(|error| error_code(&error))?;
        self.waiters.changed();
        Ok(start)
    }

    /// Visits every record from the log's start to its end: offset, key, value. Control records are left out.
    ///
    /// # Errors
    /// Why the log cannot be read to its end.
    pub(crate) fn scan(
        &self,
        mut visit: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), String> {
        let end = self.log.log_end_offset();
        let mut offset = self.log.log_start_offset();
        let mut scratch = Scratch::new();
        while offset < end {
            let limits = ReadLimits { max_bytes: SCAN_BYTES, at_least_one: true, until: end };
            let data = self.log.read(offset, limits).map_err(|error| error.to_string())?;
            let mut next = offset;
            // The last batch may be cut off; it is read again as the first of the next piece.
            for batch in Batch::iter(data.into_bytes()).map_while(Result::ok) {
                next = batch.header().next_offset();
                if batch.header().is_control() {
                    continue;
                }
                for record in batch.records(&mut scratch).map_err(|fault| fault.to_string())? {
                    let record = record.map_err(|fault| fault.to_string())?;
                    if record.offset >= offset {
                        visit(record.offset, record.key, record.value);
                    }
                }
            }
            if next <= offset {
                return Err(format!("nothing can be read at offset {offset} of a log that ends at {end}"));
            }
            offset = next;
        }
        Ok(())
    }
}

impl Leadership {
    /// `min.insync.replicas`, but no more than there are replicas.
    fn effective_min_insync(&self) -> usize {
        self.min_insync.min(self.role.replicas.len())
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
