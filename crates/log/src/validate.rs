//! Checks a client's batch once, where it lies, before it is appended.
//!
//! The rules are those of Kafka's LogValidator and UnifiedLog: lengths, magic, CRC-32C, record count, offsets 0..n,
//! control bit, sequences, keys of compacted topics, timestamps, and that a compressed payload decodes to exactly the
//! records that the header declares. What a broker corrects instead of refusing (maximum timestamp, log-append-time
//! bit, codec of the topic) is corrected here.
use crate::batch::{Batch, ParseFault};
use crate::builder::{BatchBuilder, BuildError};
use crate::compression::{Codec, Compression};
use crate::config::{LogConfig, TimestampType};
use crate::header::{BatchHeader, HEADER_SIZE, HeaderFault, NO_TIMESTAMP};
use crate::records::{self, RecordFault, Records, ScannedRecord, Scratch};
use bytes::Bytes;
use thiserror::Error;

/// The most records that one refusal names; the rest is counted.
const RECORD_ERRORS_MAX: usize = 100;

/// What a batch of a client must keep to.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The largest batch in bytes (`max.message.bytes`).
    pub max_bytes: u64,
    /// Whether records need a key (`cleanup.policy` has `compact`).
    pub compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// How far a timestamp may lie in the past.
    pub before_max_ms: i64,
    /// How far a timestamp may lie in the future.
    pub after_max_ms: i64,
    /// The broker's wall clock.
    pub now_ms: i64,
    /// The topic's own compression; `None` keeps the producer's.
    pub compression: Option<Compression>,
}

impl Rules {
    /// The rules that a log's settings amount to.
    pub fn new(config: &LogConfig, now_ms: i64) -> Rules {
        Rules {
            max_bytes: config.max_message_bytes,
            compacted: config.cleanup.compact,
            timestamp_type: config.timestamp_type,
            before_max_ms: config.timestamp_before_max_ms,
            after_max_ms: config.timestamp_after_max_ms,
            now_ms,
            compression: config.compression,
        }
    }
}

/// One record of a batch that was refused (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Position of the record in its batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// Why a batch is refused. The numbers are Kafka's error codes.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The CRC or the lengths don't fit the bytes (2, CORRUPT_MESSAGE).
    #[error("corrupt record batch: {0}")]
    Corrupt(String),
    /// Larger than the topic allows (10, MESSAGE_TOO_LARGE).
    #[error("a record batch of {size} bytes exceeds max.message.bytes ({limit})")]
    TooLarge {
        /// The batch's size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The batch as a whole breaks a rule (87, INVALID_RECORD).
    #[error("invalid record batch: {0}")]
    Invalid(String),
    /// Single records break a rule (87, INVALID_RECORD).
    #[error("{message}")]
    InvalidRecords {
        /// The sentence for the whole batch.
        message: String,
        /// The records.
        records: Vec<RecordError>,
    },
    /// Timestamps are too far from the broker's clock (32, INVALID_TIMESTAMP).
    #[error("{message}")]
    InvalidTimestamp {
        /// The sentence for the whole batch.
        message: String,
        /// The records.
        records: Vec<RecordError>,
    },
    /// The codec is unknown or the payload doesn't decode (-1, UNKNOWN_SERVER_ERROR, as Kafka answers).
    #[error("the records can't be decompressed: {0}")]
    Undecodable(String),
}

/// Checks the batch that `bytes` starts with, and that no second one follows.
///
/// A partial batch behind the first is ignored, as Kafka does. The result has the maximum timestamp and the timestamp
/// type that the topic asks for; the offset, the leader epoch and the append time are set when it is appended.
pub fn validate(bytes: &Bytes, rules: &Rules) -> Result<Batch, BatchError> {
    let batch = parse_single(bytes)?;
    check_header(batch.header(), rules)?;
    if batch.size() as u64 > rules.max_bytes {
        return Err(BatchError::TooLarge { size: batch.size() as u64, limit: rules.max_bytes });
    }
    if !batch.crc_is_valid() {
        let header = batch.header();
        return Err(BatchError::Corrupt(format!(
            "its CRC-32C is {:#010x}, the content's is {:#010x}",
            header.crc,
            batch.computed_crc()
        )));
    }
    let mut check = RecordCheck::new(batch.header(), rules);
    records::scan(batch.header(), batch.body(), |index, record| check.visit(index, record))
        .map_err(|fault| refuse_records(batch.header(), fault))?;
    let max_timestamp = check.finish()?;
    finish(batch, max_timestamp, rules)
}

fn parse_single(bytes: &Bytes) -> Result<Batch, BatchError> {
    let batch = Batch::parse_one(bytes).map_err(|fault| match fault {
        ParseFault::Header(HeaderFault::Magic(magic)) => {
            BatchError::Invalid(format!("format version {magic}; only version 2 can be produced"))
        }
        ParseFault::Header(HeaderFault::Truncated(_)) | ParseFault::Incomplete { .. } => {
            BatchError::Invalid(format!("exactly one whole record batch per partition is needed: {fault}"))
        }
        ParseFault::Header(HeaderFault::Length(_)) => BatchError::Corrupt(fault.to_string()),
    })?;
    let rest = bytes.slice(batch.size()..);
    match Batch::parse_one(&rest) {
        Err(ParseFault::Header(HeaderFault::Truncated(_)) | ParseFault::Incomplete { .. }) => Ok(batch),
        _ => Err(BatchError::Invalid("only one record batch per partition can be produced".to_owned())),
    }
}

fn check_header(header: &BatchHeader, rules: &Rules) -> Result<(), BatchError> {
    let invalid = |message: String| Err(BatchError::Invalid(message));
    if header.base_offset != 0 {
        return invalid(format!("its base offset is {}, a producer must send 0", header.base_offset));
    }
    if header.is_control() {
        return invalid("clients can't write control records".to_owned());
    }
    let count = i64::from(header.last_offset_delta) + 1;
    if count <= 0 || header.record_count <= 0 {
        return invalid(format!("it declares {} records and {count} offsets", header.record_count));
    }
    if i64::from(header.record_count) != count {
        return invalid(format!("it declares {} records but {count} offsets", header.record_count));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return invalid(format!(
            "producer {} sent the sequence {}, which is negative",
            header.producer_id, header.base_sequence
        ));
    }
    match header.codec() {
        None => Err(BatchError::Undecodable(format!("codec {} is unknown", header.attributes & 7))),
        Some(_) if rules.max_bytes < HEADER_SIZE as u64 => {
            Err(BatchError::TooLarge { size: header.size() as u64, limit: rules.max_bytes })
        }
        Some(_) => Ok(()),
    }
}

fn refuse_records(header: &BatchHeader, fault: RecordFault) -> BatchError {
    match fault {
        RecordFault::Codec(_) | RecordFault::Undecodable(_) => BatchError::Undecodable(fault.to_string()),
        // Kafka's decompressing stream reports a payload that ends early as an invalid record.
        _ => BatchError::Invalid(format!("{fault} (batch of {} records)", header.record_count)),
    }
}

/// Collects what is wrong with single records.
struct RecordCheck<'a> {
    rules: &'a Rules,
    base_timestamp: i64,
    max_timestamp: i64,
    check_time: bool,
    invalid: Vec<RecordError>,
    untimely: Vec<RecordError>,
    refused: usize,
}

impl<'a> RecordCheck<'a> {
    fn new(header: &BatchHeader, rules: &'a Rules) -> RecordCheck<'a> {
        RecordCheck {
            rules,
            base_timestamp: header.base_timestamp,
            max_timestamp: NO_TIMESTAMP,
            check_time: rules.timestamp_type == TimestampType::CreateTime,
            invalid: Vec::new(),
            untimely: Vec::new(),
            refused: 0,
        }
    }

    #[inline]
    fn visit(&mut self, index: usize, record: ScannedRecord) {
        let timestamp = self.base_timestamp.wrapping_add(record.timestamp_delta);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let ordered = record.offset_delta as usize == index;
        let keyed = !(self.rules.compacted && record.null_key);
        let timely = !self.check_time || timestamp == NO_TIMESTAMP || self.is_timely(timestamp);
        if !(ordered && keyed && timely) {
            self.refuse(index, record.offset_delta, timestamp, ordered, keyed);
        }
    }

    fn is_timely(&self, timestamp: i64) -> bool {
        let age = self.rules.now_ms.saturating_sub(timestamp);
        age <= self.rules.before_max_ms && age.saturating_neg() <= self.rules.after_max_ms
    }

    #[cold]
    fn refuse(&mut self, index: usize, offset_delta: i32, timestamp: i64, ordered: bool, keyed: bool) {
        self.refused += 1;
        let (list, message) = if !ordered {
            (&mut self.invalid, format!("record {index} has relative offset {offset_delta}, {index} is due"))
        } else if !keyed {
            (&mut self.invalid, "a compacted topic needs a key in every record".to_owned())
        } else {
            let earliest = self.rules.now_ms.saturating_sub(self.rules.before_max_ms);
            let latest = self.rules.now_ms.saturating_add(self.rules.after_max_ms);
            let message = format!("timestamp {timestamp} is outside of [{earliest}, {latest}]");
            (&mut self.untimely, message)
        };
        if list.len() < RECORD_ERRORS_MAX {
            list.push(RecordError { index: index as i32, message });
        }
    }

    /// The largest timestamp, or the refusal. As in Kafka, a batch with any invalid record is 87 even if others are
    /// only untimely.
    fn finish(self) -> Result<i64, BatchError> {
        if self.refused == 0 {
            return Ok(self.max_timestamp);
        }
        let message = format!("{} records of the batch were refused", self.refused);
        if self.invalid.is_empty() {
            return Err(BatchError::InvalidTimestamp { message, records: self.untimely });
        }
        let mut records = self.invalid;
        records.extend(self.untimely);
        records.sort_by_key(|record| record.index);
        Err(BatchError::InvalidRecords { message, records })
    }
}

fn finish(mut batch: Batch, max_timestamp: i64, rules: &Rules) -> Result<Batch, BatchError> {
    if let Some(compression) = rules.compression
        && batch.header().codec() != Some(compression.codec)
    {
        batch = recompress(&batch, compression)?;
        if batch.size() as u64 > rules.max_bytes {
            return Err(BatchError::TooLarge { size: batch.size() as u64, limit: rules.max_bytes });
        }
    }
    // A log of append time sets the time of the append itself; until then the batch may carry anything.
    if rules.timestamp_type == TimestampType::CreateTime {
        batch.set_create_time(max_timestamp);
    }
    Ok(batch)
}

/// Encodes a batch anew with another codec; everything else stays. This is the only path that copies a body.
fn recompress(batch: &Batch, compression: Compression) -> Result<Batch, BatchError> {
    let header = batch.header();
    let mut scratch = Scratch::new();
    let undecodable = |fault: RecordFault| BatchError::Undecodable(fault.to_string());
    let failed = |error: BuildError| BatchError::Undecodable(error.to_string());
    // Timestamps are copied as the records carry them, whatever the log-append-time bit says.
    let plain = BatchHeader { attributes: header.codec().unwrap_or(Codec::None).number(), ..*header };
    let mut builder = BatchBuilder::new(header.base_offset).compression(compression).producer(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    );
    if header.is_transactional() {
        builder = builder.transactional();
    }
    for record in Records::of(&plain, batch.body(), &mut scratch).map_err(undecodable)? {
        builder.append_view(&record.map_err(undecodable)?).map_err(failed)?;
    }
    builder.build().map_err(failed)
}
