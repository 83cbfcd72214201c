//! Reading: from the tail cache without a copy, else one read of a segment file.
use crate::error::LogError;
use crate::partition_log::Log;
use crate::segment::Segment;
use bytes::Bytes;
use std::sync::Arc;

/// What a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// The most bytes.
    pub max_bytes: usize,
    /// Return the first batch even if it is larger than `max_bytes`.
    pub at_least_one: bool,
    /// Batches at or behind this offset are not returned: the high watermark for consumers, [`i64::MAX`] for replicas.
    pub until: i64,
}

/// Batches, as they lie in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchData {
    /// The bytes, to be sent one after another. They start with the batch that holds the offset asked for; the last
    /// batch may be cut off.
    pub chunks: Vec<Bytes>,
    /// The sum of the chunks' sizes.
    pub size: usize,
}

impl FetchData {
    /// Base offset of the first batch.
    pub fn base_offset(&self) -> Option<i64> {
        let first = self.chunks.first()?.first_chunk()?;
        Some(i64::from_be_bytes(*first))
    }

    /// All chunks in one piece (a copy unless there is one chunk).
    pub fn into_bytes(mut self) -> Bytes {
        match self.chunks.len() {
            0 => Bytes::new(),
            1 => self.chunks.remove(0),
            _ => self.chunks.concat().into(),
        }
    }
}

impl Log {
    /// Reads batches from the one that holds `offset` on. Never crosses the end of a segment, so less than `max_bytes`
    /// doesn't mean the end. At the log end, or between `until` and it, the result is empty.
    pub fn read(&self, offset: i64, limits: ReadLimits) -> Result<FetchData, LogError> {
        self.check_open()?;
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        if offset < start || offset > end {
            return Err(LogError::OffsetOutOfRange { offset, start, end });
        }
        let until = limits.until.min(end);
        if offset >= until {
            return Ok(FetchData::default());
        }
        let cached = self.tail.lock().read(offset, until, limits.max_bytes, limits.at_least_one);
        if let Some((chunks, size)) = cached {
            return Ok(FetchData { chunks, size });
        }
        let mut next = self.segment_at(offset);
        while let Some(segment) = next {
            match read_segment(&segment, offset, until, end, limits) {
                Ok(Some(data)) => {
                    // Retention may have taken the segment between the first look and this one.
                    let start = self.log_start_offset();
                    return if offset < start {
                        Err(LogError::OffsetOutOfRange { offset, start, end })
                    } else {
                        Ok(data)
                    };
                }
                Ok(None) => next = self.segment_after(segment.base_offset),
                // A truncation took the bytes away; the reader finds out with its next request.
                Err(LogError::Corrupt { .. }) if self.log_end_offset() < end => break,
                Err(error) => return Err(error),
            }
        }
        Ok(FetchData::default())
    }

    /// The segment whose range holds `offset`, else the first one.
    fn segment_at(&self, offset: i64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let found = segments.range(..=offset).next_back().or_else(|| segments.first_key_value());
        found.map(|(_, segment)| segment.clone())
    }

    fn segment_after(&self, base: i64) -> Option<Arc<Segment>> {
        self.segments.read().range(base.saturating_add(1)..).next().map(|(_, segment)| segment.clone())
    }

    /// The segment whose range holds `offset` and all behind it.
    pub(crate) fn segments_from(&self, offset: i64) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        let floor = segments.range(..=offset).next_back().map_or(offset, |(base, _)| *base);
        segments.range(floor..).map(|(_, segment)| segment.clone()).collect()
    }
}

/// `None` if the segment has no batch at or behind `offset`.
fn read_segment(
    segment: &Segment,
    offset: i64,
    until: i64,
    end: i64,
    limits: ReadLimits,
) -> Result<Option<FetchData>, LogError> {
    let Some(first) = segment.locate(offset)? else { return Ok(None) };
    if first.header.base_offset >= until {
        return Ok(Some(FetchData::default()));
    }
    let limit = match until < end {
        true => segment.locate(until)?.map_or(segment.size(), |found| found.position),
        false => segment.size(),
    };
    let available = limit.saturating_sub(first.position);
    let size = first.header.size();
    if size as u64 > available || (size > limits.max_bytes && !limits.at_least_one) {
        return Ok(Some(FetchData::default()));
    }
    let length = available.min(limits.max_bytes.max(size) as u64) as usize;
    let bytes = segment.read(first.position, length)?;
    Ok(Some(FetchData { size: bytes.len(), chunks: vec![bytes] }))
}
