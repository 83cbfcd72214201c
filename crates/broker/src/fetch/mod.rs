//! Fetching from many partitions, and waiting until there is enough (KIP-74 limits, long poll).
//!
//! A fetch that must wait registers one waiter at all its sources; only those with news are read again. It ends when the bytes
//! suffice, the time is up, or something happened that the client should know at once: an error, a diverging epoch, a nearer replica,
//! or records that end before the partition does (a closed segment, a limit), to which nothing can be added by waiting. `session` is
//! about consumers that fetch incrementally, `replica` about brokers that do.
mod replica;
mod session;

use crate::ErrorCode;
use crate::partition::{PartitionRead, Portion, Reader};
use crate::requests::{FetchPartition, FetchedPartition};
use crate::source::Source;
use crate::waiters::{Mark, Waiter, Woken};
use kafka_wire::Records;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use replica::ReplicaSessions;
pub(crate) use session::FetchSessions;

/// What bounds a fetch.
#[derive(Clone, Debug)]
pub(crate) struct FetchLimits {
    pub(crate) max_wait: Duration,
    pub(crate) min_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) reader: Reader,
    pub(crate) allows_zstd: bool,
    /// Whether records may be answered as ranges of files.
    pub(crate) takes_files: bool,
}

/// One partition of a fetch that is under way.
struct Slot {
    request: FetchPartition,
    /// Whether it was read before.
    read_before: bool,
    source: Result<Source, ErrorCode>,
    /// How far the source's news had come before the last read.
    mark: Mark,
    /// Bytes that came since.
    grown: u64,
    /// Whether it has to be read again.
    stale: bool,
    result: FetchedPartition,
    size: usize,
    /// Whether waiting cannot add anything to this partition.
    complete: bool,
}

/// Reads all partitions, waiting for enough bytes if need be. Results come in the order of `wanted`.
pub(crate) async fn fetch(
    resolve: impl Fn(&FetchPartition) -> Result<Source, ErrorCode>,
    wanted: &[FetchPartition],
    limits: FetchLimits,
) -> Vec<FetchedPartition> {
    let max_wait = limits.max_wait;
    let slots = wanted.iter().map(|request| Slot::new(request, resolve(request))).collect();
    let mut round = Round { slots, limits, waiter: None };
    round.read_stale();
    if !round.is_due() && !max_wait.is_zero() {
        // Time being up is an ordinary end: what there is then is the answer.
        let _in_time = tokio::time::timeout(max_wait, round.wait()).await;
        round.read_stale();
    }
    round.finish()
}

/// A fetch under way. Dropping it takes its registrations back, so a client that is gone leaves nothing behind.
struct Round {
    slots: Vec<Slot>,
    limits: FetchLimits,
    waiter: Option<Arc<Waiter>>,
}

impl Round {
    /// Waits until the fetch is due.
    async fn wait(&mut self) {
        let waiter = self.waiter.insert(Waiter::new()).clone();
        for (index, slot) in self.slots.iter().enumerate() {
            if let Ok(source) = &slot.source {
                source.waiters(&self.limits.reader).register(&waiter, index, slot.mark);
            }
        }
        loop {
            let mut urgent = false;
            for Woken { index, bytes, urgent: now, mark } in waiter.woken().await {
                let Some(slot) = self.slots.get_mut(index) else { continue };
                slot.stale = true;
                slot.grown += bytes;
                urgent |= now;
                if let Ok(source) = &slot.source {
                    source.waiters(&self.limits.reader).register(&waiter, index, mark);
                }
            }
            if urgent || self.estimate() >= self.limits.min_bytes as u64 {
                self.read_stale();
                if self.is_due() {
                    return;
                }
            }
        }
    }

    /// How many bytes a read would bring, judged by what the sources reported.
    fn estimate(&self) -> u64 {
        self.slots
            .iter()
            .map(|slot| {
                let most = u64::from(slot.request.max_bytes.max(0).unsigned_abs());
                (slot.size as u64 + slot.grown).min(most.max(slot.size as u64))
            })
            .sum()
    }

    /// Reads what is stale within the limits of the whole fetch.
    fn read_stale(&mut self) {
        let mut total: usize = self.slots.iter().filter(|slot| !slot.stale).map(|slot| slot.size).sum();
        for slot in self.slots.iter_mut().filter(|slot| slot.stale) {
            let left = self.limits.max_bytes.saturating_sub(total);
            slot.read(left, total == 0, &self.limits);
            total += slot.size;
        }
    }

    fn is_due(&self) -> bool {
        let total: usize = self.slots.iter().map(|slot| slot.size).sum();
        self.slots.is_empty() || total >= self.limits.min_bytes || self.slots.iter().any(|slot| slot.complete)
    }

    fn finish(mut self) -> Vec<FetchedPartition> {
        self.deregister();
        std::mem::take(&mut self.slots).into_iter().map(|slot| slot.result).collect()
    }

    fn deregister(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            for source in self.slots.iter().filter_map(|slot| slot.source.as_ref().ok()) {
                source.waiters(&self.limits.reader).deregister(&waiter);
            }
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl Slot {
    fn new(request: &FetchPartition, source: Result<Source, ErrorCode>) -> Slot {
        Slot {
            request: request.clone(),
            read_before: false,
            source,
            mark: Mark::default(),
            grown: 0,
            stale: true,
            result: failed(request, ErrorCode::NONE),
            size: 0,
            complete: false,
        }
    }

    fn read(&mut self, left: usize, first: bool, limits: &FetchLimits) {
        self.stale = false;
        self.grown = 0;
        if let Ok(source) = &self.source {
            self.mark = source.waiters(&limits.reader).mark();
        }
        let fresh = !std::mem::replace(&mut self.read_before, true);
        let outcome = read_one(&self.request, &self.source, (left, first), limits, fresh);
        self.size = outcome.result.records.len();
        self.complete = outcome.complete;
        self.result = outcome.result;
    }
}

/// What one read of one partition gave.
struct Outcome {
    result: FetchedPartition,
    /// Whether waiting cannot add anything.
    complete: bool,
    /// Whether there was nothing left to read.
    at_end: bool,
}

/// Reads one partition, at most `left` bytes unless a single batch is larger and `at_least_one`.
fn read_one(
    request: &FetchPartition,
    source: &Result<Source, ErrorCode>,
    (left, at_least_one): (usize, bool),
    limits: &FetchLimits,
    fresh: bool,
) -> Outcome {
    let max_bytes = left.min(request.max_bytes.max(0).unsigned_abs() as usize);
    let portion = Portion { max_bytes, at_least_one, takes_files: limits.takes_files };
    let read = source.as_ref().map_err(|error| *error);
    match read.and_then(|source| source.read(request, limits, portion, fresh)) {
        Err(error) => {
            let result = refused(request, source.as_ref().ok(), error, limits);
            Outcome { result, complete: true, at_end: false }
        }
        Ok(read) => answered(request, read, limits),
    }
}

fn refused(
    request: &FetchPartition,
    source: Option<&Source>,
    error: ErrorCode,
    limits: &FetchLimits,
) -> FetchedPartition {
    let mut result = failed(request, error);
    let Some(source) = source else { return result };
    if matches!(error, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH) {
        result.current_leader = source.current_leader();
    }
    if error == ErrorCode::OFFSET_OUT_OF_RANGE
        && matches!(limits.reader, Reader::Replica(_))
        && let Source::Partition(partition) = source
    {
        let (log_start, high_watermark, epoch, end) = partition.range();
        result.log_start_offset = log_start;
        result.high_watermark = high_watermark;
        result.diverging = Some((epoch, end));
    }
    result
}

fn answered(request: &FetchPartition, read: PartitionRead, limits: &FetchLimits) -> Outcome {
    let any = !read.records.is_empty();
    let cut = any && read.next_offset.is_none_or(|next| next < read.until);
    Outcome {
        complete: cut || read.diverging.is_some() || read.preferred.is_some(),
        at_end: !any && request.fetch_offset >= read.until,
        result: FetchedPartition {
            topic: request.topic.clone(),
            partition: request.partition,
            error: ErrorCode::NONE,
            high_watermark: read.high_watermark,
            last_stable_offset: read.last_stable_offset,
            log_start_offset: read.log_start_offset,
            diverging: read.diverging,
            aborted: limits.reader.is_read_committed().then(Vec::new),
            current_leader: None,
            preferred_read_replica: read.preferred.unwrap_or(-1),
            records: read.records,
        },
    }
}

fn failed(request: &FetchPartition, error: ErrorCode) -> FetchedPartition {
    FetchedPartition {
        topic: request.topic.clone(),
        partition: request.partition,
        error,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        diverging: None,
        aborted: None,
        current_leader: None,
        preferred_read_replica: -1,
        records: Records::EMPTY,
    }
}

/// The offset behind the last batch; none if it is cut off or there is none.
pub(crate) fn next_offset(records: &Records) -> Option<i64> {
    let mut cursor = Cursor { chunks: records.chunks().map(|chunk| &chunk[..]).collect(), chunk: 0, at: 0 };
    let mut next = None;
    while !cursor.is_at_end() {
        let head: [u8; 27] = cursor.take()?;
        let base = i64::from_be_bytes(*head.first_chunk()?);
        let length = i32::from_be_bytes(*head[8..].first_chunk()?);
        let last_delta = i32::from_be_bytes(*head[23..].first_chunk()?);
        cursor.skip(usize::try_from(length).ok()?.checked_sub(head.len() - 12)?)?;
        next = Some(base + i64::from(last_delta) + 1);
    }
    next
}

/// A position in a list of chunks.
struct Cursor<'a> {
    chunks: Vec<&'a [u8]>,
    chunk: usize,
    at: usize,
}

impl Cursor<'_> {
    fn is_at_end(&self) -> bool {
        self.chunk >= self.chunks.len()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = *self.chunks.get(self.chunk)?.get(self.at)?;
            self.skip(1)?;
        }
        Some(bytes)
    }

    fn skip(&mut self, mut count: usize) -> Option<()> {
        while count > 0 {
            let left = self.chunks.get(self.chunk)?.len() - self.at;
            if count < left {
                self.at += count;
                return Some(());
            }
            count -= left;
            self.chunk += 1;
            self.at = 0;
        }
        Some(())
    }
}
