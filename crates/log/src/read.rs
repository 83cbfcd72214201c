//! Reading: what batches an answer takes, where they lie, and then their bytes, or the place in the file for others to send from.
//!
//! What is found are whole batches of one segment. Finding them reads no bodies: at the tail nothing at all, elsewhere the indexes and
//! the headers between two of their entries.
use crate::error::LogError;
use crate::partition_log::Log;
use crate::segment::Segment;
use crate::tail::Run;
use bytes::Bytes;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// From this size on, in bytes, batches are lent: below it copying them costs less than one more system call for their own.
const LENT_FROM: usize = 16 << 10;

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
    /// The bytes, to be sent one after another. They start with the batch that holds the offset asked for; the last one is whole, but if
    /// the log was cut during the read.
    pub chunks: Vec<Bytes>,
    /// The sum of the chunks' sizes.
    pub size: usize,
    /// The offset to go on with; none if there are no batches or the last one is cut off.
    pub next_offset: Option<i64>,
}

/// The file of a segment, kept open for whoever sends from it.
#[derive(Clone, Debug)]
pub struct LentFile {
    pub(crate) file: Arc<fs::File>,
    pub(crate) cuts: Arc<AtomicU64>,
    /// How often it had been cut when it was lent.
    pub(crate) cuts_then: u64,
}

impl LentFile {
    /// Whether nothing was cut off since the file was lent.
    pub fn is_intact(&self) -> bool {
        self.cuts.load(Ordering::Acquire) == self.cuts_then
    }
}

impl AsFd for LentFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Batches that nobody has read.
#[derive(Clone, Debug)]
pub struct LentData {
    /// The file that they lie in.
    pub file: LentFile,
    /// Where they begin.
    pub position: u64,
    /// Their size in bytes.
    pub size: usize,
    /// The offset to go on with.
    pub next_offset: i64,
}

/// Batches for an answer that can be sent from files.
#[derive(Clone, Debug)]
pub enum Lending {
    /// They are in memory: there are few, or the disk has no files of the machine.
    Copied(FetchData),
    /// They lie in a file.
    Lent(LentData),
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

impl Run {
    fn read(self) -> Result<FetchData, LogError> {
        if self.size == 0 {
            return Ok(FetchData::default());
        }
        if let Some(chunks) = self.chunks {
            return Ok(FetchData { chunks, size: self.size, next_offset: Some(self.next_offset) });
        }
        let bytes = self.segment.read(self.position, self.size)?;
        let (size, is_whole) = (bytes.len(), bytes.len() == self.size);
        Ok(FetchData { chunks: vec![bytes], size, next_offset: is_whole.then_some(self.next_offset) })
    }
}

impl Log {
    /// Reads batches from the one that holds `offset` on. Never crosses the end of a segment, so less than `max_bytes`
    /// doesn't mean the end. At the log end, or between `until` and it, the result is empty.
    pub fn read(&self, offset: i64, limits: ReadLimits) -> Result<FetchData, LogError> {
        match self.find(offset, limits, usize::MAX)? {
            Some((run, _)) => run.read(),
            None => Ok(FetchData::default()),
        }
    }

    /// The same for an answer that can be sent from files: what is not small is only found.
    pub fn lend(&self, offset: i64, limits: ReadLimits) -> Result<Lending, LogError> {
        match self.find(offset, limits, LENT_FROM - 1)? {
            Some((run, Some(file))) if run.size >= LENT_FROM => Ok(Lending::Lent(LentData {
                file,
                position: run.position,
                size: run.size,
                next_offset: run.next_offset,
            })),
            Some((run, _)) => run.read().map(Lending::Copied),
            None => Ok(Lending::Copied(FetchData::default())),
        }
    }

    /// Finds what a read takes, with its file if that can be lent. Up to `copies_max` bytes come from memory if they are there.
    fn find(
        &self,
        offset: i64,
        limits: ReadLimits,
        copies_max: usize,
    ) -> Result<Option<(Run, Option<LentFile>)>, LogError> {
        self.check_open()?;
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        if offset < start || offset > end {
            return Err(LogError::OffsetOutOfRange { offset, start, end });
        }
        let until = limits.until.min(end);
        if offset >= until {
            return Ok(None);
        }
        let portion = (limits.max_bytes, limits.at_least_one);
        {
            let tail = self.tail.lock();
            if let Some(run) = tail.read(offset, until, portion, copies_max) {
                // Before a truncation cuts the file, it empties the cache under this lock.
                let file = run.segment.lend();
                return Ok(Some((run, file)));
            }
        }
        let mut next = self.segment_at(offset);
        while let Some(segment) = next {
            let file = segment.lend();
            match find_in(&segment, offset, until, portion) {
                Ok(Some(run)) => {
                    // Retention may have taken the segment between the first look and this one.
                    let start = self.log_start_offset();
                    return if offset < start {
                        Err(LogError::OffsetOutOfRange { offset, start, end })
                    } else {
                        Ok(Some((run, file)))
                    };
                }
                Ok(None) => next = self.segment_after(segment.base_offset),
                // A truncation took the bytes away; the reader finds out with its next request.
                Err(LogError::Corrupt { .. }) if self.log_end_offset() < end => break,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
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

/// `None` if the segment has no batch at or behind `offset`; an empty run if none of its batches may be returned.
fn find_in(
    segment: &Arc<Segment>,
    offset: i64,
    until: i64,
    (max_bytes, at_least_one): (usize, bool),
) -> Result<Option<Run>, LogError> {
    let Some(first) = segment.locate(offset)? else { return Ok(None) };
    let run = |(end, next_offset): (u64, i64)| Run {
        segment: segment.clone(),
        position: first.position,
        size: (end - first.position) as usize,
        next_offset,
        chunks: None,
    };
    let size = first.header.size();
    if first.header.last_offset() >= until || (size > max_bytes && !at_least_one) {
        return Ok(Some(run((first.position, offset))));
    }
    if size >= max_bytes {
        return Ok(Some(run((first.end(), first.header.next_offset()))));
    }
    let limit = first.position.saturating_add(max_bytes as u64);
    segment.end_below(&first, limit, until).map(|end| Some(run(end)))
}
