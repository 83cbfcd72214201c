//! The topic `__znodes` among the broker's topics: the znode log, served by whoever owns it.
//!
//! Its bytes are not the broker's, so every access goes through [`ZnodeFeed`]. A consumer sees an ordinary compacted topic of one
//! partition; a producer's batch becomes one transaction of the tree, whose zxid is the base offset in the reply.
use crate::ErrorCode;
use crate::partition::{PartitionRead, Portion, refused_batch};
use crate::requests::{EpochEnd, FetchPartition, ListedOffset, ProducedPartition};
use crate::waiters::Waiters;
use bytes::Bytes;
use log::{LogConfig, Rules, Scratch};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// The topic's name.
pub const ZNODES_TOPIC: &str = ensemble::ZNODES_TOPIC;

/// Why records cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZnodeFeedError {
    /// The offset lies outside of the log.
    OutOfRange,
    /// The disk failed.
    Storage(String),
    /// The node takes no writes at the moment.
    NotServing,
    /// The tree refused a record, and so the whole batch.
    Refused {
        /// The record's index in the batch.
        index: usize,
        /// Why.
        message: String,
    },
}

/// Records `path -> value`; a null value deletes the znode.
pub type ZnodeRecords = Vec<(Arc<str>, Option<Bytes>)>;

/// The answer to a produce.
pub type ZnodeProduced<'a> = Pin<Box<dyn Future<Output = Result<i64, ZnodeFeedError>> + Send + 'a>>;

/// What the owner of the znode log offers.
pub trait ZnodeFeed: Send + Sync + 'static {
    /// Whole batches from the one that holds `offset` on, below the high watermark.
    ///
    /// # Errors
    /// `OutOfRange` and `Storage`.
    fn read(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Vec<Bytes>, ZnodeFeedError>;
    /// Everything below it is committed and applied to the tree.
    fn high_watermark(&self) -> i64;
    /// The first offset that can be read.
    fn log_start(&self) -> i64;
    /// The epoch of the quorum's leader.
    fn leader_epoch(&self) -> i32;
    /// The largest epoch not above `epoch` and its end offset.
    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64);
    /// The first record at or after a time: (offset, timestamp).
    ///
    /// # Errors
    /// `Storage`.
    fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<(i64, i64)>, ZnodeFeedError>;
    /// Bytes on the disk.
    fn size(&self) -> u64;
    /// Changes whenever the high watermark moves.
    fn subscribe(&self) -> watch::Receiver<i64>;
    /// Writes the records as one transaction in the name of `principal`; its zxid.
    ///
    /// # Errors
    /// `Refused` and `NotServing`.
    fn produce<'a>(&'a self, records: ZnodeRecords, principal: &'a str) -> ZnodeProduced<'a>;
}

/// The topic.
pub(crate) struct Znodes {
    feed: Arc<dyn ZnodeFeed>,
    node_id: i32,
    waiters: Waiters,
    config: LogConfig,
}

impl Znodes {
    pub(crate) fn new(feed: Arc<dyn ZnodeFeed>, node_id: i32, config: LogConfig) -> Arc<Znodes> {
        Arc::new(Znodes { feed, node_id, waiters: Waiters::default(), config })
    }

    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(crate) fn size(&self) -> u64 {
        self.feed.size()
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.feed.high_watermark()
    }

    pub(crate) fn log_start(&self) -> i64 {
        self.feed.log_start()
    }

    /// Wakes the waiters whenever the high watermark moves, until the feed ends.
    pub(crate) async fn run(self: Arc<Znodes>) {
        let mut moves = self.feed.subscribe();
        while moves.changed().await.is_ok() {
            self.waiters.changed();
        }
    }

    /// This node serves reads of its own tree's log; the epoch is the quorum's.
    pub(crate) fn current_leader(&self) -> (i32, i32) {
        (self.node_id, self.feed.leader_epoch())
    }

    fn check_epoch(&self, current_leader_epoch: i32) -> Result<i32, ErrorCode> {
        let own = self.feed.leader_epoch();
        if current_leader_epoch >= 0 && current_leader_epoch < own {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        if current_leader_epoch > own {
            return Err(ErrorCode::UNKNOWN_LEADER_EPOCH);
        }
        Ok(own)
    }

    /// Reads for a consumer.
    pub(crate) fn read(
        &self,
        request: &FetchPartition,
        portion: Portion,
    ) -> Result<PartitionRead, ErrorCode> {
        self.check_epoch(request.current_leader_epoch)?;
        let high_watermark = self.feed.high_watermark();
        let log_start_offset = self.feed.log_start();
        let mut read = PartitionRead {
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset,
            until: high_watermark,
            diverging: None,
            preferred: None,
            records: kafka_wire::Records::EMPTY,
            next_offset: None,
        };
        if request.last_fetched_epoch >= 0 {
            let (epoch, end) = self.feed.end_offset_for_epoch(request.last_fetched_epoch);
            if epoch < 0 || end < 0 || request.fetch_offset < log_start_offset {
                return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
            }
            if epoch < request.last_fetched_epoch || end < request.fetch_offset {
                read.diverging = Some((epoch, end));
                return Ok(read);
            }
        }
        if request.fetch_offset == high_watermark {
            return Ok(read);
        }
        let chunks = self
            .feed
            .read(request.fetch_offset, portion.max_bytes, portion.at_least_one)
            .map_err(error_code)?;
        read.records = chunks.into_iter().collect();
        read.next_offset = crate::fetch::next_offset(&read.records);
        Ok(read)
    }

    /// Looks up an offset by time (ListOffsets).
    pub(crate) fn list_offset(
        &self,
        timestamp: i64,
        current_leader_epoch: i32,
    ) -> Result<ListedOffset, ErrorCode> {
        let leader_epoch = self.check_epoch(current_leader_epoch)?;
        let found = |timestamp, offset, leader_epoch| {
            Ok(ListedOffset { error: ErrorCode::NONE, timestamp, offset, leader_epoch })
        };
        match timestamp {
            -1 => found(-1, self.feed.high_watermark(), leader_epoch),
            -2 | -4 => found(-1, self.feed.log_start(), -1),
            -5 | -6 => found(-1, -1, -1),
            // Transactions are stamped by one clock that never goes back, so the newest one has the largest time.
            -3 => {
                let last = self.feed.high_watermark() - 1;
                match self.feed.offset_for_timestamp(i64::MIN).map_err(error_code)? {
                    Some(_) if last >= self.feed.log_start() => found(-1, last, leader_epoch),
                    _ => found(-1, -1, -1),
                }
            }
            _ => match self.feed.offset_for_timestamp(timestamp).map_err(error_code)? {
                Some((offset, timestamp)) => found(timestamp, offset, leader_epoch),
                None => found(-1, -1, -1),
            },
        }
    }

    /// The end of a leader epoch (OffsetForLeaderEpoch).
    pub(crate) fn epoch_end(&self, epoch: i32, current_leader_epoch: i32) -> Result<EpochEnd, ErrorCode> {
        self.check_epoch(current_leader_epoch)?;
        let (leader_epoch, end_offset) = self.feed.end_offset_for_epoch(epoch);
        Ok(EpochEnd { error: ErrorCode::NONE, leader_epoch, end_offset })
    }

    /// Writes a producer's batch as one transaction.
    pub(crate) async fn produce(&self, records: &Bytes, principal: &str, now_ms: i64) -> ProducedPartition {
        let decoded = match self.decode(records, now_ms) {
            Ok(decoded) => decoded,
            Err(refused) => return refused,
        };
        match self.feed.produce(decoded, principal).await {
            Ok(base_offset) => ProducedPartition {
                base_offset,
                log_start_offset: self.feed.log_start(),
                ..ProducedPartition::refused(ErrorCode::NONE, None)
            },
            Err(ZnodeFeedError::Refused { index, message }) => {
                let index = i32::try_from(index).unwrap_or(i32::MAX);
                let whole = format!("nothing of the batch was written: record {index}: {message}");
                let mut reply = ProducedPartition::refused(ErrorCode::INVALID_RECORD, Some(whole));
                reply.record_errors = vec![(index, message)];
                reply
            }
            Err(error) => ProducedPartition::refused(error_code(error), None),
        }
    }

    /// The records of a batch as writes to the tree.
    fn decode(&self, bytes: &Bytes, now_ms: i64) -> Result<ZnodeRecords, ProducedPartition> {
        let batch = log::validate(bytes, &Rules::new(&self.config, now_ms)).map_err(refused_batch)?;
        let mut scratch = Scratch::new();
        let fault = |fault: log::RecordFault| {
            ProducedPartition::refused(ErrorCode::INVALID_RECORD, Some(fault.to_string()))
        };
        let mut writes = ZnodeRecords::new();
        let mut errors = Vec::new();
        for (index, record) in batch.records(&mut scratch).map_err(fault)?.enumerate() {
            let record = record.map_err(fault)?;
            let key = std::str::from_utf8(record.key.unwrap_or_default());
            match key {
                Ok(path) if path.starts_with('/') => {
                    writes.push((Arc::from(path), record.value.map(Bytes::copy_from_slice)));
                }
                _ => {
                    let index = i32::try_from(index).unwrap_or(i32::MAX);
                    errors.push((index, "the key must be a znode's path, such as /a/b, in UTF-8".to_owned()));
                }
            }
        }
        if errors.is_empty() {
            return Ok(writes);
        }
        let message = "nothing of the batch was written: a record's key is no path".to_owned();
        let mut reply = ProducedPartition::refused(ErrorCode::INVALID_RECORD, Some(message));
        reply.record_errors = errors;
        Err(reply)
    }
}

fn error_code(error: ZnodeFeedError) -> ErrorCode {
    match error {
        ZnodeFeedError::OutOfRange => ErrorCode::OFFSET_OUT_OF_RANGE,
        ZnodeFeedError::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        ZnodeFeedError::NotServing => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ZnodeFeedError::Refused { .. } => ErrorCode::INVALID_RECORD,
    }
}
