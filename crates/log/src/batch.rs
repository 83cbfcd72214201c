//! A record batch: a copy of its 61 header bytes, and its body as a slice of the frame or file that it came from.
//!
//! Invariant: `header` is always the parsed form of `head`, and `body` has exactly the bytes that the header declares.
//! Changes go into the head only; the body is never copied nor touched.
use crate::header::{
    ATTRIBUTES_AT, BASE_OFFSET_AT, BatchHeader, CRC_AT, HEADER_SIZE, HeaderFault, LEADER_EPOCH_AT, LENGTH_AT,
    LENGTH_OVERHEAD, LOG_APPEND_TIME_BIT, MAX_TIMESTAMP_AT,
};
use crate::records::{RecordFault, Records, Scratch};
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use thiserror::Error;

/// Why bytes don't hold a whole batch.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ParseFault {
    /// The header can't be read.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// The batch ends after the bytes that are there.
    #[error("a record batch declares {declared} bytes, only {available} are there")]
    Incomplete {
        /// The size that the batch declares, header included.
        declared: usize,
        /// The bytes there.
        available: usize,
    },
}

/// A record batch v2.
#[derive(Clone, Debug)]
pub struct Batch {
    header: BatchHeader,
    head: [u8; HEADER_SIZE],
    body: Bytes,
    /// Whether the CRC is known to be that of the content: it was computed here, or found right.
    crc_is_known: bool,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Batch) -> bool {
        self.head == other.head && self.body == other.body
    }
}

impl Eq for Batch {}

impl Batch {
    /// Takes the batch at the start of `bytes`; what follows it is ignored. Checks lengths and magic, nothing else.
    pub fn parse_one(bytes: &Bytes) -> Result<Batch, ParseFault> {
        let Some(head) = bytes.first_chunk::<HEADER_SIZE>() else {
            return Err(HeaderFault::Truncated(bytes.len()).into());
        };
        let header = BatchHeader::parse_head(head)?;
        let size = header.size();
        if size > bytes.len() {
            return Err(ParseFault::Incomplete { declared: size, available: bytes.len() });
        }
        let body = bytes.slice(HEADER_SIZE..size);
        Ok(Batch { header, head: *head, body, crc_is_known: false })
    }

    /// Iterates over batches that lie one after another. See [`BatchIter`].
    pub fn iter(bytes: Bytes) -> BatchIter {
        BatchIter { rest: bytes }
    }

    /// Puts a batch together from a header and its records section; length and CRC are filled in.
    pub(crate) fn assemble(mut header: BatchHeader, body: Bytes) -> Batch {
        header.batch_length = (body.len() + HEADER_SIZE - LENGTH_OVERHEAD) as i32;
        let mut batch = Batch { header, head: header.encode(), body, crc_is_known: false };
        batch.update_crc();
        batch
    }

    /// The parsed header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The header's bytes.
    pub fn head(&self) -> &[u8; HEADER_SIZE] {
        &self.head
    }

    /// The bytes after the header: the records, compressed or not.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Size in bytes, header included.
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.body.len()
    }

    /// Sets the offset of the batch. The CRC doesn't cover it.
    pub fn set_base_offset(&mut self, offset: i64) {
        self.header.base_offset = offset;
        self.put(BASE_OFFSET_AT, &offset.to_be_bytes());
    }

    /// Sets the epoch of the leader that appends the batch. The CRC doesn't cover it.
    pub fn set_leader_epoch(&mut self, epoch: i32) {
        self.header.partition_leader_epoch = epoch;
        self.put(LEADER_EPOCH_AT, &epoch.to_be_bytes());
    }

    /// Makes `now` the time of all records (`message.timestamp.type=LogAppendTime`); the CRC is computed anew.
    pub fn set_append_time(&mut self, now: i64) {
        self.set_times(self.header.attributes | LOG_APPEND_TIME_BIT, now);
    }

    /// Sets the largest timestamp of a batch whose records carry their own; a log-append-time bit is cleared. The CRC
    /// is computed anew if that changes something.
    pub fn set_create_time(&mut self, max_timestamp: i64) {
        self.set_times(self.header.attributes & !LOG_APPEND_TIME_BIT, max_timestamp);
    }

    fn set_times(&mut self, attributes: i16, max_timestamp: i64) {
        if self.header.attributes == attributes && self.header.max_timestamp == max_timestamp {
            return;
        }
        self.header.attributes = attributes;
        self.header.max_timestamp = max_timestamp;
        self.put(ATTRIBUTES_AT, &attributes.to_be_bytes());
        self.put(MAX_TIMESTAMP_AT, &max_timestamp.to_be_bytes());
        self.update_crc();
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        self.head[at..at + value.len()].copy_from_slice(value);
    }

    fn update_crc(&mut self) {
        self.put(LENGTH_AT, &self.header.batch_length.to_be_bytes());
        self.header.crc = self.computed_crc();
        self.put(CRC_AT, &self.header.crc.to_be_bytes());
        self.crc_is_known = true;
    }

    /// The CRC-32C of the bytes that it covers.
    pub fn computed_crc(&self) -> u32 {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        digest.update(&self.head[ATTRIBUTES_AT..]);
        digest.update(&self.body);
        digest.finalize() as u32
    }

    /// Whether the stored CRC is that of the content. Costs nothing if that is known already.
    pub fn crc_is_valid(&self) -> bool {
        self.crc_is_known || self.header.crc == self.computed_crc()
    }

    /// The same, and remembers it.
    pub fn check_crc(&mut self) -> bool {
        self.crc_is_known = self.crc_is_valid();
        self.crc_is_known
    }

    /// The records; `scratch` is used if they are compressed.
    pub fn records<'a>(&'a self, scratch: &'a mut Scratch) -> Result<Records<'a>, RecordFault> {
        Records::new(self, scratch)
    }

    /// The batch as one piece of memory (a copy).
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.size());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.body);
        bytes.freeze()
    }
}

/// Iterates over batches that lie one after another. Ends after the last whole batch or after an error; bytes of a
/// batch that is cut off are an error, so that a caller that may get a partial last batch ignores `Incomplete` and
/// `Truncated`.
#[derive(Clone, Debug)]
pub struct BatchIter {
    rest: Bytes,
}

impl Iterator for BatchIter {
    type Item = Result<Batch, ParseFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match Batch::parse_one(&self.rest) {
            Ok(batch) => {
                self.rest = self.rest.slice(batch.size()..);
                Some(Ok(batch))
            }
            Err(fault) => {
                self.rest = Bytes::new();
                Some(Err(fault))
            }
        }
    }
}
