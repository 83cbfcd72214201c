//! Reading a partition: for consumers and replicas, by time, by epoch, and from end to end.
//!
//! Consumers read what is committed, replicas up to the log's end. Nothing here changes the log.
use super::{FollowerFetch, Partition, error_code};
use crate::ErrorCode;
use crate::requests::{EpochEnd, FetchPartition, Isolation, ListedOffset, Replica};
use kafka_wire::{BatchFile, FileRange, Records};
use log::{Batch, FetchData, Lending, LentData, LentFile, ReadLimits, Scratch};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// How much is read at a time when the whole log is scanned, in bytes.
const SCAN_BYTES: usize = 4 << 20;

/// ListOffsets' special timestamps.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Who reads.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// A consumer.
    Consumer {
        /// Which records it sees.
        isolation: Isolation,
        /// Whether it may read from a follower (KIP-392).
        allows_follower: bool,
        /// Where it is; empty if it does not say.
        rack: Arc<str>,
    },
    /// Another broker's replica of the partition.
    Replica(Replica),
}

impl Reader {
    /// Whether aborted producer transactions are reported.
    pub(crate) fn is_read_committed(&self) -> bool {
        matches!(self, Reader::Consumer { isolation: Isolation::ReadCommitted, .. })
    }
}

/// How much a read may give, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    /// The most bytes; 0 reads offsets only.
    pub(crate) max_bytes: usize,
    /// Whether the first batch may be larger than that.
    pub(crate) at_least_one: bool,
    /// Whether records may be a range of a file.
    pub(crate) takes_files: bool,
}

/// A file of the log on its way to a socket.
struct Lent(LentFile);

impl AsFd for Lent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl BatchFile for Lent {
    fn is_intact(&self) -> bool {
        self.0.is_intact()
    }
}

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRead {
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// Where the reader's part of the log ends; records behind it are not for it.
    pub(crate) until: i64,
    pub(crate) diverging: Option<(i32, i64)>,
    /// A replica that is nearer to the consumer; then there are no records.
    pub(crate) preferred: Option<i32>,
    pub(crate) records: Records,
    /// The offset behind the records; none if there are none or the last batch is cut off.
    pub(crate) next_offset: Option<i64>,
}

impl PartitionRead {
    /// Takes what the log gave; how many bytes that is.
    fn take(&mut self, lending: Lending) -> usize {
        match lending {
            Lending::Copied(FetchData { chunks, size, next_offset }) => {
                self.records = chunks.into_iter().collect();
                self.next_offset = next_offset;
                size
            }
            Lending::Lent(LentData { file, position, size, next_offset }) => {
                self.records = FileRange { file: Arc::new(Lent(file)), position, len: size }.into();
                self.next_offset = Some(next_offset);
                size
            }
        }
    }
}

impl Partition {
    /// Reads for a consumer or a replica. `fresh` is a request's first read, which tells the
    /// leader how far the replica has come; what is read again while the request waits does not.
    ///
    /// # Errors
    /// 1 for an offset outside the log, 78 for one that this follower may lack, 74 and 75 for a wrong leader epoch, 6 and 56.
    pub(crate) fn read(
        &self,
        request: &FetchPartition,
        reader: &Reader,
        portion: Portion,
        fresh: bool,
    ) -> Result<PartitionRead, ErrorCode> {
        let (read, leader_end) = self.read_as(request, reader, portion)?;
        if let Reader::Replica(replica) = reader
            && fresh
            && read.diverging.is_none()
        {
            let fetch = FollowerFetch {
                offset: request.fetch_offset,
                log_start: request.log_start_offset,
                broker_epoch: replica.epoch,
                leader_end,
            };
            self.note_fetch(replica.id, fetch);
        }
        Ok(read)
    }

    /// The read itself, and where the log ended before it. The role cannot change meanwhile.
    fn read_as(
        &self,
        request: &FetchPartition,
        reader: &Reader,
        portion: Portion,
    ) -> Result<(PartitionRead, i64), ErrorCode> {
        let leadership = self.leadership.read();
        let leads = leadership.is_leader();
        match reader {
            Reader::Consumer { allows_follower, .. } => {
                self.check_role(&leadership, request.current_leader_epoch, !allows_follower)?
            }
            Reader::Replica(replica) => {
                self.check_role(&leadership, request.current_leader_epoch, true)?;
                self.neighbours.check_epoch(*replica)?;
                if !leadership.followers.contains_key(&replica.id) {
                    // With an epoch it is the assignment that one of the two has not heard of yet.
                    let known = request.current_leader_epoch >= 0;
                    return Err(if known {
                        ErrorCode::UNKNOWN_LEADER_EPOCH
                    } else {
                        ErrorCode::NOT_LEADER_OR_FOLLOWER
                    });
                }
            }
        };
        // Taken before the read, so that appends that come meanwhile don't keep a follower from having caught up.
        let log_end = self.log.log_end_offset();
        let high_watermark = self.log.high_watermark();
        let last_stable_offset = self.last_stable_offset();
        let log_start_offset = self.log.log_start_offset();
        let until = match reader {
            Reader::Replica(_) => log_end,
            Reader::Consumer { isolation: Isolation::ReadUncommitted, .. } => high_watermark,
            Reader::Consumer { isolation: Isolation::ReadCommitted, .. } => last_stable_offset,
        };
        let mut read = PartitionRead {
            high_watermark,
            last_stable_offset,
            log_start_offset,
            until,
            diverging: None,
            preferred: None,
            records: Records::EMPTY,
            next_offset: None,
        };
        if let Reader::Consumer { rack, .. } = reader
            && leads
            && let Some(preferred) = self.nearer_replica(&leadership, rack, request.fetch_offset)
        {
            read.preferred = Some(preferred);
            return Ok((read, log_end));
        }
        if request.last_fetched_epoch >= 0 {
            let (epoch, end) = self.log.end_offset_for_epoch(request.last_fetched_epoch);
            if epoch < 0 || end < 0 || request.fetch_offset < log_start_offset {
                return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
            }
            if epoch < request.last_fetched_epoch || end < request.fetch_offset {
                read.diverging = Some((epoch, end));
                return Ok((read, log_end));
            }
        }
        if !leads && request.fetch_offset > log_end {
            // The leader may have it; whether it is out of range is not for a follower to say.
            return Err(ErrorCode::OFFSET_NOT_AVAILABLE);
        }
        let throttled = match reader {
            Reader::Replica(replica) => {
                leadership.terms.sends_throttled && !leadership.role.isr.contains(&replica.id)
            }
            Reader::Consumer { .. } => false,
        };
        // What is held back is there all the same, so an offset outside of the log is still found out.
        let held_back = throttled && self.neighbours.may_not_send();
        let Portion { max_bytes, at_least_one, takes_files } = portion;
        let (max_bytes, at_least_one) = if held_back { (0, false) } else { (max_bytes, at_least_one) };
        let limits = ReadLimits { max_bytes, at_least_one, until };
        let lending = match takes_files {
            true => self.log.lend(request.fetch_offset, limits),
            false => self.log.read(request.fetch_offset, limits).map(Lending::Copied),
        };
        match lending {
            Ok(lending) => {
                let size = read.take(lending);
                if throttled {
                    self.neighbours.note_sent(size);
                }
                Ok((read, log_end))
            }
            Err(error) => {
                drop(leadership);
                self.note_failure(&error);
                Err(error_code(&error))
            }
        }
    }

    /// What a replica whose position is out of range needs to start over: (log start, high watermark, newest epoch, log end).
    pub(crate) fn range(&self) -> (i64, i64, i32, i64) {
        let end = self.log.log_end_offset();
        let epoch = self.log.latest_epoch().unwrap_or(-1);
        (self.log.log_start_offset(), self.log.high_watermark(), epoch, end)
    }

    /// Looks up an offset by time (ListOffsets).
    ///
    /// # Errors
    /// 78 while the high watermark lies before this leader's epoch, and those of [`Partition::read`].
    pub(crate) fn list_offset(
        &self,
        timestamp: i64,
        current_leader_epoch: i32,
        isolation: Isolation,
    ) -> Result<ListedOffset, ErrorCode> {
        let leader_epoch = self.check_leader(current_leader_epoch)?;
        let end = match isolation {
            Isolation::ReadUncommitted => self.log.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        };
        let found = |timestamp, offset, leader_epoch| {
            Ok(ListedOffset { error: ErrorCode::NONE, timestamp, offset, leader_epoch })
        };
        let nothing = found(-1, -1, -1);
        match timestamp {
            LATEST => {
                self.check_caught_up()?;
                found(-1, end, leader_epoch)
            }
            EARLIEST | EARLIEST_LOCAL => {
                let start = self.log.log_start_offset();
                found(-1, start, self.log.epoch_at(start).unwrap_or(-1))
            }
            // Nothing is tiered, so no offset is.
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => nothing,
            _ => {
                let located = match timestamp {
                    MAX_TIMESTAMP => self.log.max_timestamp_offset(),
                    _ => self.log.offset_for_timestamp(timestamp),
                };
                match located.map_err(|error| error_code(&error))? {
                    Some(located) if located.offset < end => {
                        found(located.timestamp, located.offset, located.leader_epoch)
                    }
                    _ => self.check_caught_up().and(nothing),
                }
            }
        }
    }

    /// 78 while the high watermark has not reached the beginning of this leader's epoch.
    fn check_caught_up(&self) -> Result<(), ErrorCode> {
        match self.leadership.read().epoch_start > self.log.high_watermark() {
            true => Err(ErrorCode::OFFSET_NOT_AVAILABLE),
            false => Ok(()),
        }
    }

    /// The end of a leader epoch (OffsetForLeaderEpoch).
    ///
    /// # Errors
    /// Those of [`Partition::read`] about leaders.
    pub(crate) fn epoch_end(&self, epoch: i32, current_leader_epoch: i32) -> Result<EpochEnd, ErrorCode> {
        self.check_leader(current_leader_epoch)?;
        let (leader_epoch, end_offset) = self.log.end_offset_for_epoch(epoch);
        Ok(EpochEnd { error: ErrorCode::NONE, leader_epoch, end_offset })
    }

    /// Visits every record from the log's start to its end: offset, key, value. Control records are left out.
    ///
    /// # Errors
    /// Why the log cannot be read to its end.
    pub(crate) fn scan(
        &self,
        mut visit: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), String> {
        let end = self.log.log_end_offset();
        let mut offset = self.log.log_start_offset();
        let mut scratch = Scratch::new();
        while offset < end {
            let limits = ReadLimits { max_bytes: SCAN_BYTES, at_least_one: true, until: end };
            let data = self.log.read(offset, limits).map_err(|error| error.to_string())?;
            let mut next = offset;
            // The last batch may be cut off; it is read again as the first of the next piece.
            for batch in Batch::iter(data.into_bytes()).map_while(Result::ok) {
                next = batch.header().next_offset();
                if batch.header().is_control() {
                    continue;
                }
                for record in batch.records(&mut scratch).map_err(|fault| fault.to_string())? {
                    let record = record.map_err(|fault| fault.to_string())?;
                    if record.offset >= offset {
                        visit(record.offset, record.key, record.value);
                    }
                }
            }
            if next <= offset {
                return Err(format!("nothing can be read at offset {offset} of a log that ends at {end}"));
            }
            offset = next;
        }
        Ok(())
    }
}
