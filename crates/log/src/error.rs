//! What can go wrong with a log.
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// An operation of a log failed.
#[derive(Debug, Error)]
pub enum LogError {
    /// A read or write failed. After a failed write or flush the log is offline.
    #[error("{action} {} failed: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// An earlier write or flush failed, so nothing can be trusted until the log is opened again.
    #[error("{} is offline after a failed write or flush: {reason}", path.display())]
    Offline {
        /// The partition's folder.
        path: PathBuf,
        /// The first failure.
        reason: String,
    },
    /// The log was closed or its folder was given away for deletion.
    #[error("{} is closed", path.display())]
    Closed {
        /// The partition's folder.
        path: PathBuf,
    },
    /// An offset outside of the log.
    #[error("offset {offset} is outside of the log, which has {start} to {end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: i64,
        /// Log start offset.
        start: i64,
        /// The end that the reader may see.
        end: i64,
    },
    /// Batches that carry their offsets don't continue the log.
    #[error("a batch at offset {offset} can't follow a log that ends at {end}")]
    UnexpectedOffset {
        /// The batch's base offset.
        offset: i64,
        /// Log end offset.
        end: i64,
    },
    /// A batch is larger than a segment may be.
    #[error("a batch of {size} bytes exceeds segment.bytes ({limit})")]
    TooLarge {
        /// The batch's size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A producer's sequence leaves a gap (error 45).
    #[error("producer {producer_id} sent sequence {got} where {expected} was due, at offset {offset}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// The offset that the batch would have had.
        offset: i64,
        /// The sequence that came.
        got: i32,
        /// The sequence that was due.
        expected: i32,
    },
    /// A producer's epoch is older than one that this partition has seen (error 47).
    #[error("producer {producer_id} has epoch {current}, a batch came with {got}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// The epoch that came.
        got: i16,
        /// The newest epoch seen.
        current: i16,
    },
    /// A stored batch can't be read.
    #[error("{} is corrupt at byte {position}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// A file of the folder has a content that it can't have.
    #[error("{} can't be read: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> LogError {
        LogError::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, position: u64, reason: impl ToString) -> LogError {
        LogError::Corrupt { path: path.to_owned(), position, reason: reason.to_string() }
    }

    pub(crate) fn bad_file(path: &Path, reason: impl ToString) -> LogError {
        LogError::BadFile { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Whether the folder must be considered gone: the disk failed, now or earlier.
    pub fn is_storage_failure(&self) -> bool {
        matches!(self, LogError::Io { .. } | LogError::Offline { .. })
    }
}
