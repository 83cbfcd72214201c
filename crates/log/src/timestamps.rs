//! Offsets by time: the first record at or behind a timestamp, and the record with the largest one (ListOffsets).
use crate::batch::Batch;
use crate::error::LogError;
use crate::header::NO_TIMESTAMP;
use crate::partition_log::Log;
use crate::records::Scratch;
use crate::scan::{Located, Step};
use crate::segment::Segment;
use std::sync::Arc;

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp.
    pub timestamp: i64,
    /// Its offset.
    pub offset: i64,
    /// Epoch of the leader that appended it, or -1.
    pub leader_epoch: i32,
}

impl Log {
    /// The first record, in offset order, whose timestamp is at least `timestamp`. Decompresses at most the batches that
    /// reach it.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, LogError> {
        self.check_open()?;
        let start = self.log_start_offset();
        for segment in self.segments_from(start) {
            if segment.size() == 0 || segment.max_timestamp()?.timestamp < timestamp {
                continue;
            }
            if let Some(found) = first_in_segment(&segment, timestamp, start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of the log.
    pub fn max_timestamp_offset(&self) -> Result<Option<TimestampOffset>, LogError> {
        self.check_open()?;
        let start = self.log_start_offset();
        let mut newest: Option<(i64, Arc<Segment>)> = None;
        for segment in self.segments_from(start) {
            let max = segment.max_timestamp()?.timestamp;
            if max > NO_TIMESTAMP && newest.as_ref().is_none_or(|(timestamp, _)| max > *timestamp) {
                newest = Some((max, segment));
            }
        }
        let Some((timestamp, segment)) = newest else { return Ok(None) };
        first_in_segment(&segment, timestamp, start)
    }
}

/// The first record of a segment at or behind `timestamp` and `start`.
fn first_in_segment(
    segment: &Segment,
    timestamp: i64,
    start: i64,
) -> Result<Option<TimestampOffset>, LogError> {
    // The index names a batch up to whose end everything is older, so the search may begin behind it.
    let entry = segment
        .time_index
        .floor(timestamp.saturating_sub(1))
        .map_err(|error| LogError::io("reading", segment.time_index.path(), error))?;
    let from =
        entry.map_or(segment.base_offset, |entry| segment.base_offset + i64::from(entry.relative_offset));
    let mut scan = segment.headers_from(from.max(start).max(segment.base_offset))?;
    while let Step::Found(found) = scan.step().map_err(|error| segment.io("reading", error))? {
        if found.header.max_timestamp < timestamp || found.header.last_offset() < start {
            continue;
        }
        if let Some(record) = first_in_batch(segment, &found, timestamp, start)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn first_in_batch(
    segment: &Segment,
    found: &Located,
    timestamp: i64,
    start: i64,
) -> Result<Option<TimestampOffset>, LogError> {
    let corrupt = |reason: String| LogError::corrupt(segment.path(), found.position, reason);
    let bytes = segment.read(found.position, found.header.size())?;
    let batch = Batch::parse_one(&bytes).map_err(|fault| corrupt(fault.to_string()))?;
    let mut scratch = Scratch::new();
    for record in batch.records(&mut scratch).map_err(|fault| corrupt(fault.to_string()))? {
        let record = record.map_err(|fault| corrupt(fault.to_string()))?;
        if record.timestamp >= timestamp && record.offset >= start {
            let leader_epoch = found.header.partition_leader_epoch;
            return Ok(Some(TimestampOffset {
                timestamp: record.timestamp,
                offset: record.offset,
                leader_epoch,
            }));
        }
    }
    Ok(None)
}
