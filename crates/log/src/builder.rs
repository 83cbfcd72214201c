//! Builds record batches: for the znode log, group coordination, control records, compaction and `compression.type`.
//!
//! Invariant: offsets of a batch only grow; gaps are allowed, as compaction leaves them.
use crate::batch::Batch;
use crate::compression::{Codec, Compression};
use crate::header::{
    BatchHeader, CONTROL_BIT, DELETE_HORIZON_BIT, HEADER_SIZE, LOG_APPEND_TIME_BIT, NO_LEADER_EPOCH,
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TRANSACTIONAL_BIT,
};
use crate::records::{RecordHeader, RecordView};
use crate::varint;
use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// Why a batch can't be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// An offset is not larger than the one before it, or too far from the base offset.
    #[error("offset {offset} can't follow in a batch at offset {base_offset}")]
    Offset {
        /// The offset of the record.
        offset: i64,
        /// The base offset of the batch.
        base_offset: i64,
    },
    /// A key, value, header or the whole batch has more bytes than the format can count.
    #[error("a record or batch exceeds the 2 GiB that the format can hold")]
    TooLarge,
    /// The codec failed.
    #[error("compressing a batch failed: {0}")]
    Compress(#[source] std::io::Error),
}

/// The headers of a record in the format's encoding, for a caller that makes them one after another. To be used again for the next
/// record, so that its memory is.
#[derive(Debug, Default)]
pub struct EncodedHeaders {
    count: i32,
    bytes: Vec<u8>,
    too_large: bool,
}

impl EncodedHeaders {
    /// Forgets the headers and keeps the memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
        self.too_large = false;
    }

    /// Adds a header. One that is too large for the format is refused with the record.
    #[inline]
    pub fn add(&mut self, key: &str, value: &str) {
        let (Ok(key_length), Ok(value_length)) = (i32::try_from(key.len()), i32::try_from(value.len()))
        else {
            self.too_large = true;
            return;
        };
        self.count += 1;
        varint::write_i32(&mut self.bytes, key_length);
        self.bytes.extend_from_slice(key.as_bytes());
        varint::write_i32(&mut self.bytes, value_length);
        self.bytes.extend_from_slice(value.as_bytes());
    }
}

/// Collects records of one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    records: Vec<u8>,
    /// Base of the records' timestamp deltas; the first record's own unless a delete horizon was set.
    base_timestamp: Option<i64>,
    append_time: Option<i64>,
    last_offset: Option<i64>,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty, uncompressed batch at `base_offset`.
    pub fn new(base_offset: i64) -> BatchBuilder {
        BatchBuilder {
            header: BatchHeader {
                base_offset,
                batch_length: 0,
                partition_leader_epoch: NO_LEADER_EPOCH,
                crc: 0,
                attributes: 0,
                last_offset_delta: -1,
                base_timestamp: NO_TIMESTAMP,
                max_timestamp: NO_TIMESTAMP,
                producer_id: NO_PRODUCER_ID,
                producer_epoch: NO_PRODUCER_EPOCH,
                base_sequence: NO_SEQUENCE,
                record_count: 0,
            },
            compression: Compression::NONE,
            records: Vec::new(),
            base_timestamp: None,
            append_time: None,
            last_offset: None,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Sets the leader epoch.
    pub fn leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.header.partition_leader_epoch = epoch;
        self
    }

    /// Compresses the records.
    pub fn compression(mut self, compression: Compression) -> BatchBuilder {
        self.compression = compression;
        self
    }

    /// Sets producer id, epoch and the sequence of the first record.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchBuilder {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.header.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Marks the records as control records.
    pub fn control(mut self) -> BatchBuilder {
        self.header.attributes |= CONTROL_BIT;
        self
    }

    /// Gives all records the time of the append.
    pub fn append_time(mut self, now: i64) -> BatchBuilder {
        self.header.attributes |= LOG_APPEND_TIME_BIT;
        self.append_time = Some(now);
        self
    }

    /// Sets the delete horizon (KIP-534), which takes the place of the base timestamp. Before the first record.
    pub fn delete_horizon(mut self, horizon_ms: i64) -> BatchBuilder {
        self.header.attributes |= DELETE_HORIZON_BIT;
        self.base_timestamp = Some(horizon_ms);
        self
    }

    /// Makes the batch end at `offset` even if the last record lies before it, as compaction must.
    pub fn last_offset(mut self, offset: i64) -> BatchBuilder {
        self.header.last_offset_delta = (offset - self.header.base_offset) as i32;
        self
    }

    /// Makes room for so many more bytes of records, so that they are not moved while they are collected.
    pub fn reserve(&mut self, bytes: usize) {
        self.records.reserve(bytes);
    }

    /// Bytes of the records so far, before compression, plus the header.
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.records.len()
    }

    /// Records so far.
    pub fn count(&self) -> i32 {
        self.header.record_count
    }

    /// The offset that [`BatchBuilder::append`] gives to the next record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset.map_or(self.header.base_offset, |last| last + 1)
    }

    /// Adds a record at the next offset.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> Result<(), BuildError> {
        self.append_at(self.next_offset(), timestamp, key, value, headers)
    }

    /// Adds a record at a given offset, which must be above the last one.
    pub fn append_at(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> Result<(), BuildError> {
        let fields = Fields { key, value, header_count: headers.len(), headers: headers.iter().copied() };
        self.push(offset, timestamp, fields.size()?, |out| fields.write(out))
    }

    /// Adds a record at a given offset, which must be above the last one, with headers that are encoded already.
    pub fn append_encoded(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &EncodedHeaders,
    ) -> Result<(), BuildError> {
        let EncodedHeaders { count, bytes, too_large } = headers;
        if *too_large {
            return Err(BuildError::TooLarge);
        }
        let size = field_size(key)? + field_size(value)? + varint::size_i32(*count) + bytes.len();
        self.push(offset, timestamp, size, |out| {
            write_field(out, key);
            write_field(out, value);
            varint::write_i32(out, *count);
            out.extend_from_slice(bytes);
        })
    }

    /// Adds a copy of a record at its own offset.
    pub fn append_view(&mut self, record: &RecordView<'_>) -> Result<(), BuildError> {
        let fields = Fields {
            key: record.key,
            value: record.value,
            header_count: record.header_count(),
            headers: record.headers(),
        };
        self.push(record.offset, record.timestamp, fields.size()?, |out| fields.write(out))
    }

    /// Adds a record whose fields behind the offset take `size` bytes.
    fn push(
        &mut self,
        offset: i64,
        timestamp: i64,
        size: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BuildError> {
        let base_offset = self.header.base_offset;
        let delta = offset.checked_sub(base_offset).and_then(|delta| i32::try_from(delta).ok());
        let delta = delta.filter(|delta| *delta >= 0 && self.last_offset.is_none_or(|last| offset > last));
        let delta = delta.ok_or(BuildError::Offset { offset, base_offset })?;
        let base = *self.base_timestamp.get_or_insert(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(base);
        let length = 1 + varint::size_i64(timestamp_delta) + varint::size_i32(delta) + size;
        let length = i32::try_from(length).map_err(|_| BuildError::TooLarge)?;
        if self.records.len() as u64 + u64::from(length as u32) > (i32::MAX / 2) as u64 {
            return Err(BuildError::TooLarge);
        }
        let out = &mut self.records;
        varint::write_i32(out, length);
        out.push(0);
        varint::write_i64(out, timestamp_delta);
        varint::write_i32(out, delta);
        write(out);
        self.last_offset = Some(offset);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.header.record_count += 1;
        Ok(())
    }

    /// Collects records in memory that was used before; what it holds is forgotten.
    pub fn with_memory(mut self, mut memory: Vec<u8>) -> BatchBuilder {
        memory.clear();
        self.records = memory;
        self
    }

    /// Finishes an uncompressed batch whose body is a part of `block`, to save each of many small batches an allocation of its own; and
    /// hands back the memory that the records were collected in. A block that is full is replaced by one of at least `block_bytes`.
    pub fn build_in(
        mut self,
        block: &mut BytesMut,
        block_bytes: usize,
    ) -> Result<(Batch, Vec<u8>), BuildError> {
        if self.records.len() > i32::MAX as usize - HEADER_SIZE {
            return Err(BuildError::TooLarge);
        }
        self.complete_header();
        if block.capacity() < self.records.len() {
            *block = BytesMut::with_capacity(block_bytes.max(self.records.len()));
        }
        block.extend_from_slice(&self.records);
        Ok((Batch::assemble(self.header, block.split().freeze()), self.records))
    }

    /// Finishes the batch. A batch without records is legal: compaction keeps one for a producer's last sequence.
    pub fn build(mut self) -> Result<Batch, BuildError> {
        self.complete_header();
        let body = if self.compression.codec == Codec::None || self.records.is_empty() {
            self.records
        } else {
            self.header.attributes |= self.compression.codec.number();
            self.compression.compress(&self.records).map_err(BuildError::Compress)?
        };
        if body.len() > i32::MAX as usize - HEADER_SIZE {
            return Err(BuildError::TooLarge);
        }
        Ok(Batch::assemble(self.header, Bytes::from(body)))
    }

    fn complete_header(&mut self) {
        let base_offset = self.header.base_offset;
        let last_delta = self.last_offset.map_or(0, |last| (last - base_offset) as i32);
        self.header.last_offset_delta = self.header.last_offset_delta.max(last_delta);
        self.header.base_timestamp = self.base_timestamp.unwrap_or(NO_TIMESTAMP);
        self.header.max_timestamp = self.append_time.unwrap_or(self.max_timestamp);
    }
}

/// The fields of a record whose headers may come from a slice or from another record.
struct Fields<'a, H> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    header_count: usize,
    headers: H,
}

impl<'h, H: Iterator<Item = RecordHeader<'h>> + Clone> Fields<'_, H> {
    fn size(&self) -> Result<usize, BuildError> {
        let count = i32::try_from(self.header_count).map_err(|_| BuildError::TooLarge)?;
        let mut size = field_size(self.key)? + field_size(self.value)? + varint::size_i32(count);
        for header in self.headers.clone() {
            size += field_size(Some(header.key))? + field_size(header.value)?;
        }
        Ok(size)
    }

    fn write(self, out: &mut Vec<u8>) {
        write_field(out, self.key);
        write_field(out, self.value);
        varint::write_i32(out, self.header_count as i32);
        for header in self.headers {
            write_field(out, Some(header.key));
            write_field(out, header.value);
        }
    }
}

fn field_size(field: Option<&[u8]>) -> Result<usize, BuildError> {
    let Some(field) = field else { return Ok(varint::size_i32(-1)) };
    let length = i32::try_from(field.len()).map_err(|_| BuildError::TooLarge)?;
    Ok(varint::size_i32(length) + field.len())
}

fn write_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::write_i32(out, -1),
        Some(field) => {
            varint::write_i32(out, field.len() as i32);
            out.extend_from_slice(field);
        }
    }
}
