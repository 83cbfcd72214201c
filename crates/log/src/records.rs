//! Records inside a batch: borrowed views, iteration, and a scan that needs no buffer for compressed batches.
//!
//! Invariant: a [`RecordView`] is only handed out after its whole encoding was checked, headers included.
use crate::batch::Batch;
use crate::compression::{self, Codec, DECOMPRESSED_BYTES_MAX};
use crate::header::BatchHeader;
use crate::varint;
use std::io::Read;
use thiserror::Error;

/// Bytes of the window through which compressed records are scanned.
const SCAN_WINDOW: usize = 32 * 1024;
/// A scratch buffer larger than this is given back after use.
const SCRATCH_KEPT_MAX: usize = 1 << 20;
/// The smallest encoding of a record: length, attributes, two deltas, null key, null value, no headers.
const RECORD_SIZE_MIN: usize = 7;

/// Why the records of a batch can't be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordFault {
    /// The encoding contradicts itself.
    #[error("malformed record: {0}")]
    Malformed(&'static str),
    /// Bytes are left after the number of records that the header declares.
    #[error("the batch has bytes after its last declared record")]
    Trailing,
    /// Fewer records than the header declares.
    #[error("the batch declares more records than it holds")]
    Missing,
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {0}")]
    Codec(i16),
    /// The compressed payload can't be decoded.
    #[error("compressed records can't be decoded: {0}")]
    Undecodable(String),
    /// The payload decompresses to more than [`DECOMPRESSED_BYTES_MAX`].
    #[error("compressed records exceed {DECOMPRESSED_BYTES_MAX} bytes when decompressed")]
    TooLarge,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// The name, UTF-8 by convention only.
    pub key: &'a [u8],
    /// The value; may be null.
    pub value: Option<&'a [u8]>,
}

/// A record, borrowed from its batch or from the scratch buffer that the batch was decompressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Absolute offset.
    pub offset: i64,
    /// Milliseconds since 1970; the batch's append time where the batch says so.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; null in a compacted topic is a tombstone.
    pub value: Option<&'a [u8]>,
    header_count: i32,
    header_bytes: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// The headers in order.
    pub fn headers(&self) -> Headers<'a> {
        Headers { left: self.header_count, input: self.header_bytes }
    }

    /// The value of the first header with this name.
    pub fn header(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.headers().find(|header| header.key == name).map(|header| header.value)
    }

    /// The number of headers.
    pub fn header_count(&self) -> usize {
        self.header_count as usize
    }
}

/// Iterates over the headers of a record.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    left: i32,
    input: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        read_header(&mut self.input).ok()
    }
}

/// A reusable buffer for decompressed records.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// An empty buffer.
    pub fn new() -> Scratch {
        Scratch::default()
    }
}

/// Iterates over the records of a batch. After an error it ends.
#[derive(Debug)]
pub struct Records<'a> {
    input: &'a [u8],
    left: i32,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
}

impl<'a> Records<'a> {
    /// The records of `batch`, decompressed into `scratch` if need be.
    pub fn new(batch: &'a Batch, scratch: &'a mut Scratch) -> Result<Records<'a>, RecordFault> {
        Records::of(batch.header(), batch.body(), scratch)
    }

    /// The same for a header and the bytes that follow it.
    pub fn of(
        header: &BatchHeader,
        body: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Result<Records<'a>, RecordFault> {
        let input = match header.codec() {
            None => return Err(RecordFault::Codec(header.attributes & crate::header::CODEC_MASK)),
            Some(Codec::None) => body,
            Some(codec) => {
                if scratch.0.capacity() > SCRATCH_KEPT_MAX {
                    scratch.0 = Vec::new();
                }
                compression::decompress(codec, body, &mut scratch.0)?;
                &scratch.0
            }
        };
        Ok(Records {
            input,
            left: header.record_count.max(0),
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: header.is_log_append_time().then_some(header.max_timestamp),
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let rest = std::mem::take(&mut self.input);
            return (!rest.is_empty()).then_some(Err(RecordFault::Trailing));
        }
        self.left -= 1;
        match read_record(&mut self.input) {
            Ok(record) => {
                let timestamp =
                    self.append_time.unwrap_or(self.base_timestamp.wrapping_add(record.timestamp));
                let offset = self.base_offset.saturating_add(record.offset);
                Some(Ok(RecordView { offset, timestamp, ..record }))
            }
            Err(fault) => {
                self.left = 0;
                self.input = &[];
                Some(Err(fault))
            }
        }
    }
}

#[inline]
fn read_header<'a>(input: &mut &'a [u8]) -> Result<RecordHeader<'a>, RecordFault> {
    let key_length = varint::read_i32(input).ok_or(RecordFault::Malformed("header key length"))?;
    let key = take(input, key_length)?.ok_or(RecordFault::Malformed("null header key"))?;
    let value_length = varint::read_i32(input).ok_or(RecordFault::Malformed("header value length"))?;
    Ok(RecordHeader { key, value: take(input, value_length)? })
}

/// Takes `length` bytes; a negative length is null.
#[inline]
fn take<'a>(input: &mut &'a [u8], length: i32) -> Result<Option<&'a [u8]>, RecordFault> {
    if length < 0 {
        return Ok(None);
    }
    let (taken, rest) = input
        .split_at_checked(length as usize)
        .ok_or(RecordFault::Malformed("a length exceeds the record"))?;
    *input = rest;
    Ok(Some(taken))
}

/// Reads a record whose offset and timestamp are still relative to the batch.
#[inline]
pub(crate) fn read_record<'a>(input: &mut &'a [u8]) -> Result<RecordView<'a>, RecordFault> {
    if input.is_empty() {
        return Err(RecordFault::Missing);
    }
    let length = varint::read_i32(input).ok_or(RecordFault::Malformed("record length"))?;
    let mut record = take(input, length)?.ok_or(RecordFault::Malformed("negative record length"))?;
    let record = &mut record;
    let attributes = take(record, 1)?;
    debug_assert!(attributes.is_some());
    let timestamp = varint::read_i64(record).ok_or(RecordFault::Malformed("timestamp delta"))?;
    let offset = varint::read_i32(record).ok_or(RecordFault::Malformed("offset delta"))?;
    let key_length = varint::read_i32(record).ok_or(RecordFault::Malformed("key length"))?;
    let key = take(record, key_length)?;
    let value_length = varint::read_i32(record).ok_or(RecordFault::Malformed("value length"))?;
    let value = take(record, value_length)?;
    let header_count = varint::read_i32(record).ok_or(RecordFault::Malformed("header count"))?;
    if header_count < 0 {
        return Err(RecordFault::Malformed("negative header count"));
    }
    let header_bytes = *record;
    for _ in 0..header_count {
        read_header(record)?;
    }
    if !record.is_empty() {
        return Err(RecordFault::Malformed("a record is longer than its fields"));
    }
    Ok(RecordView { offset: i64::from(offset), timestamp, key, value, header_count, header_bytes })
}

/// What a scan learns of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScannedRecord {
    /// Offset minus the batch's base offset.
    pub(crate) offset_delta: i32,
    /// Timestamp minus the batch's base timestamp.
    pub(crate) timestamp_delta: i64,
    /// Whether the key is null.
    pub(crate) null_key: bool,
}

/// Walks the records of a batch in order and checks their whole structure without keeping them: uncompressed records
/// where they lie, compressed ones through a window, so that memory does not depend on what a payload expands to.
pub(crate) fn scan(
    header: &BatchHeader,
    body: &[u8],
    mut visit: impl FnMut(usize, ScannedRecord),
) -> Result<(), RecordFault> {
    let count = header.record_count.max(0) as usize;
    match header.codec() {
        None => Err(RecordFault::Codec(header.attributes & crate::header::CODEC_MASK)),
        Some(Codec::None) => {
            if count.saturating_mul(RECORD_SIZE_MIN) > body.len() {
                return Err(RecordFault::Missing);
            }
            let mut input = body;
            for index in 0..count {
                let record = read_record(&mut input)?;
                visit(
                    index,
                    ScannedRecord {
                        offset_delta: record.offset as i32,
                        timestamp_delta: record.timestamp,
                        null_key: record.key.is_none(),
                    },
                );
            }
            if input.is_empty() { Ok(()) } else { Err(RecordFault::Trailing) }
        }
        Some(codec) => {
            let mut window = Window::new(compression::reader(codec, body)?);
            for index in 0..count {
                visit(index, window.record()?);
            }
            if window.at_end()? { Ok(()) } else { Err(RecordFault::Trailing) }
        }
    }
}

/// A window over a decompressing reader.
struct Window<'a> {
    reader: Box<dyn Read + 'a>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    total: u64,
    /// Bytes of the current record that were not consumed yet.
    left: u64,
}

impl<'a> Window<'a> {
    fn new(reader: Box<dyn Read + 'a>) -> Window<'a> {
        let buffer = vec![0; SCAN_WINDOW].into_boxed_slice();
        Window { reader, buffer, start: 0, end: 0, total: 0, left: u64::MAX }
    }

    /// Makes at least one byte available; false at the end of the payload.
    fn fill(&mut self) -> Result<bool, RecordFault> {
        while self.start == self.end {
            let count = match self.reader.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(RecordFault::Undecodable(error.to_string())),
            };
            self.total += count as u64;
            if self.total > DECOMPRESSED_BYTES_MAX {
                return Err(RecordFault::TooLarge);
            }
            (self.start, self.end) = (0, count);
        }
        Ok(true)
    }

    fn at_end(&mut self) -> Result<bool, RecordFault> {
        Ok(!self.fill()?)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordFault> {
        if self.left == 0 {
            return Err(RecordFault::Malformed("a field exceeds the record"));
        }
        if self.start == self.end && !self.fill()? {
            return Err(RecordFault::Missing);
        }
        let byte = self.buffer[self.start];
        self.start += 1;
        self.left -= 1;
        Ok(byte)
    }

    fn skip(&mut self, count: u64) -> Result<(), RecordFault> {
        if count > self.left {
            return Err(RecordFault::Malformed("a length exceeds the record"));
        }
        self.left -= count;
        let mut rest = count;
        while rest > 0 {
            if !self.fill()? {
                return Err(RecordFault::Missing);
            }
            let step = rest.min((self.end - self.start) as u64);
            self.start += step as usize;
            rest -= step;
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<i32, RecordFault> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(varint::zigzag_i32(value));
            }
        }
        Err(RecordFault::Malformed("a varint is too long"))
    }

    fn varlong(&mut self) -> Result<i64, RecordFault> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(varint::zigzag_i64(value));
            }
        }
        Err(RecordFault::Malformed("a varint is too long"))
    }

    /// Skips a field with a length in front; false if it is null.
    fn skip_field(&mut self) -> Result<bool, RecordFault> {
        let length = self.varint()?;
        if length < 0 {
            return Ok(false);
        }
        self.skip(length as u64)?;
        Ok(true)
    }

    fn record(&mut self) -> Result<ScannedRecord, RecordFault> {
        self.left = u64::MAX;
        if self.at_end()? {
            return Err(RecordFault::Missing);
        }
        let length = self.varint()?;
        if length < 0 {
            return Err(RecordFault::Malformed("negative record length"));
        }
        self.left = length as u64;
        self.skip(1)?;
        let timestamp_delta = self.varlong()?;
        let offset_delta = self.varint()?;
        let null_key = !self.skip_field()?;
        self.skip_field()?;
        let headers = self.varint()?;
        if headers < 0 {
            return Err(RecordFault::Malformed("negative header count"));
        }
        for _ in 0..headers {
            if !self.skip_field()? {
                return Err(RecordFault::Malformed("null header key"));
            }
            self.skip_field()?;
        }
        if self.left != 0 {
            return Err(RecordFault::Malformed("a record is longer than its fields"));
        }
        Ok(ScannedRecord { offset_delta, timestamp_delta, null_key })
    }
}
