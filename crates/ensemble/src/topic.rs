//! The znode log as the Kafka topic `__znodes`: what the broker serves to consumers and takes from producers.
use crate::ensemble::Ensemble;
use crate::outcome::{OpResult, Refusal};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;
use tree::{AuthId, Op, Refused, Request, TreeError, Zxid};

/// The name of the topic.
pub const ZNODES_TOPIC: &str = "__znodes";

/// The topic's handle. Cheap to clone.
#[derive(Clone)]
pub struct ZnodeTopic {
    ensemble: Ensemble,
}

/// What a read of the topic gave.
#[derive(Clone, Debug, Default)]
pub struct ZnodeRead {
    /// Whole batches, one after another.
    pub chunks: Vec<Bytes>,
    /// The high watermark at the time of the read.
    pub high_watermark: i64,
    /// The first offset that can be read: that of the head's first record.
    pub log_start: i64,
}

/// Why the topic can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ZnodeReadError {
    /// The offset lies outside of what the topic holds.
    #[error("offset {offset} is not within {start} to {end} of __znodes")]
    OutOfRange {
        /// The asked offset.
        offset: i64,
        /// The first offset.
        start: i64,
        /// The high watermark.
        end: i64,
    },
    /// The disk failed.
    #[error("reading __znodes failed: {0}")]
    Failed(String),
}

/// Why a batch of records was not written to the tree. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZnodeProduceError {
    /// The tree refused one record, and so the whole batch.
    #[error("record {index}: {error}")]
    Refused {
        /// The record's index in the batch.
        index: usize,
        /// The tree's reason.
        error: TreeError,
    },
    /// The node does not take writes at the moment.
    #[error("the node does not take writes at the moment")]
    NotServing,
}

/// Where an accepted batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZnodeProduced {
    /// The transaction's zxid: the base offset of its batch and the mzxid of every znode in it.
    pub base_offset: i64,
}

impl ZnodeTopic {
    /// The topic of a node.
    pub fn new(ensemble: &Ensemble) -> ZnodeTopic {
        ZnodeTopic { ensemble: ensemble.clone() }
    }

    /// Reads whole batches from the one that holds `offset` on, up to `max_bytes` (the first batch in any case, if `at_least_one`).
    /// Only what the tree has applied is shown, so that a consumer never sees a change before its watchers could.
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<ZnodeRead, ZnodeReadError> {
        let high_watermark = self.high_watermark();
        let log_start = self.log_start();
        if offset < log_start || offset > high_watermark {
            return Err(ZnodeReadError::OutOfRange { offset, start: log_start, end: high_watermark });
        }
        let log = &self.ensemble.core.znode_log;
        let chunks = log
            .read(offset, high_watermark, max_bytes, at_least_one)
            .map_err(|error| ZnodeReadError::Failed(error.to_string()))?;
        Ok(ZnodeRead { chunks, high_watermark, log_start })
    }

    /// Everything below this offset is committed and applied.
    pub fn high_watermark(&self) -> i64 {
        self.ensemble.core.shared.read().applied_end
    }

    /// The first offset that can be read.
    pub fn log_start(&self) -> i64 {
        self.ensemble.core.znode_log.first_offset()
    }

    /// The epoch of the quorum's leader.
    pub fn leader_epoch(&self) -> i32 {
        self.ensemble.status().epoch
    }

    /// The end of the largest epoch that is not above `epoch`: (epoch, end offset).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        let end = quorum::LogView::end_offset_for_epoch(&self.ensemble.core.znode_log, epoch);
        (end.epoch, end.offset)
    }

    /// The first record at or after a time: (offset, timestamp).
    pub fn offset_for_timestamp(&self, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ZnodeReadError> {
        self.ensemble
            .core
            .znode_log
            .offset_for_timestamp(timestamp_ms)
            .map_err(|error| ZnodeReadError::Failed(error.to_string()))
    }

    /// Bytes on the disk.
    pub fn size(&self) -> u64 {
        self.ensemble.core.znode_log.size()
    }

    /// Changes whenever the high watermark moves.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.ensemble.core.applied.subscribe()
    }

    /// Writes records `path -> value` (a tombstone deletes) as one transaction, with the rights of `auth`.
    pub async fn produce(
        &self,
        records: Vec<(Arc<str>, Option<Bytes>)>,
        auth: &[AuthId],
    ) -> Result<ZnodeProduced, ZnodeProduceError> {
        let ops = records
            .into_iter()
            .map(|(path, value)| match value {
                Some(data) => Op::Put { path, data: Some(data) },
                None => Op::Remove { path },
            })
            .collect();
        let answer: Result<(Zxid, Vec<OpResult>), Refusal> =
            self.ensemble.write(None, auth, Request::Multi(ops)).await;
        match answer {
            Ok((zxid, _)) => Ok(ZnodeProduced { base_offset: zxid.0 }),
            Err(Refusal::Tree(Refused { error, index })) => Err(ZnodeProduceError::Refused { index, error }),
            Err(Refusal::SessionMoved | Refusal::NotServing) => Err(ZnodeProduceError::NotServing),
        }
    }
}
