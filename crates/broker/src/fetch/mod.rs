//! Fetching from many partitions, and waiting until there is enough (KIP-74 limits, long poll).
//!
//! A fetch that must wait registers one waiter at all its sources; only those with news are read again. It ends when the bytes
//! suffice, the time is up, or something happened that the client should know at once: an error, a diverging epoch, a nearer replica,
//! or records that end before the partition does (a closed segment, a limit), to which nothing can be added by waiting. A replica is
//! also answered when it has not heard of a high watermark or a log start yet, and when its next request has come.
mod session;

use crate::ErrorCode;
use crate::partition::{PartitionRead, Reader};
use crate::requests::{FetchPartition, FetchedPartition};
use crate::source::Source;
use crate::waiters::{Mark, Waiter, Woken};
use kafka_wire::Records;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use session::FetchSessions;

/// What bounds a fetch.
#[derive(Clone, Debug)]
pub(crate) struct FetchLimits {
    pub(crate) max_wait: Duration,
    pub(crate) min_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) reader: Reader,
    pub(crate) allows_zstd: bool,
}

/// One partition that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) request: FetchPartition,
    /// The high watermark and the log start that a session's client was told, -1 for what it must be told; none without a session.
    pub(crate) told: Option<(i64, i64)>,
}

/// One partition of a fetch that is under way.
struct Slot {
    request: FetchPartition,
    told: Option<(i64, i64)>,
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

/// Reads all partitions, waiting for enough bytes if need be, but no longer than until the fetch is superseded. Results come in the
/// order of `wanted`.
pub(crate) async fn fetch(
    resolve: impl Fn(&FetchPartition) -> Result<Source, ErrorCode>,
    wanted: Vec<Wanted>,
    limits: FetchLimits,
    superseded: impl Future<Output = ()>,
) -> Vec<FetchedPartition> {
    let max_wait = limits.max_wait;
    let slots = wanted.into_iter().map(|wanted| {
        let source = resolve(&wanted.request);
        Slot::new(wanted, source)
    });
    let mut round = Round { slots: slots.collect(), limits, waiter: None };
    round.read_stale();
    if !round.is_due() && !max_wait.is_zero() {
        tokio::select! {
            // Time being up is an ordinary end: what there is then is the answer.
            _in_time = tokio::time::timeout(max_wait, round.wait()) => {}
            () = superseded => {}
        }
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
    fn new(wanted: Wanted, source: Result<Source, ErrorCode>) -> Slot {
        let Wanted { request, told } = wanted;
        let result = failed(&request, ErrorCode::NONE);
        Slot {
            request,
            told,
            read_before: false,
            source,
            mark: Mark::default(),
            grown: 0,
            stale: true,
            result,
            size: 0,
            complete: false,
        }
    }

    fn read(&mut self, left: usize, first: bool, limits: &FetchLimits) {
        self.stale = false;
        self.grown = 0;
        self.size = 0;
        self.complete = true;
        let source = match &self.source {
            Ok(source) => source,
            Err(error) => {
                self.result = failed(&self.request, *error);
                return;
            }
        };
        self.mark = source.waiters(&limits.reader).mark();
        let fresh = !std::mem::replace(&mut self.read_before, true);
        let max_bytes = left.min(self.request.max_bytes.max(0).unsigned_abs() as usize);
        match source.read(&self.request, limits, max_bytes, first, fresh) {
            Err(error) => self.refuse(error, limits),
            Ok(read) => self.answer(read, limits),
        }
    }

    fn refuse(&mut self, error: ErrorCode, limits: &FetchLimits) {
        self.result = failed(&self.request, error);
        let Ok(source) = &self.source else { return };
        if matches!(error, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH) {
            self.result.current_leader = source.current_leader();
        }
        if error == ErrorCode::OFFSET_OUT_OF_RANGE
            && matches!(limits.reader, Reader::Replica(_))
            && let Source::Partition(partition) = source
        {
            let (log_start, high_watermark, epoch, end) = partition.range();
            self.result.log_start_offset = log_start;
            self.result.high_watermark = high_watermark;
            self.result.diverging = Some((epoch, end));
        }
    }

    fn answer(&mut self, read: PartitionRead, limits: &FetchLimits) {
        self.size = read.records.len();
        let cut = self.size > 0 && next_offset(&read.records).is_none_or(|next| next < read.until);
        let news = matches!(limits.reader, Reader::Replica(_))
            && self.told.is_some_and(|told| told != (read.high_watermark, read.log_start_offset));
        self.complete = cut || news || read.diverging.is_some() || read.preferred.is_some();
        self.result = FetchedPartition {
            topic: self.request.topic.clone(),
            partition: self.request.partition,
            error: ErrorCode::NONE,
            high_watermark: read.high_watermark,
            last_stable_offset: read.last_stable_offset,
            log_start_offset: read.log_start_offset,
            diverging: read.diverging,
            aborted: limits.reader.is_read_committed().then(Vec::new),
            current_leader: None,
            preferred_read_replica: read.preferred.unwrap_or(-1),
            records: read.records,
        };
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

/// The offset behind the last batch; none if it is cut off.
fn next_offset(records: &Records) -> Option<i64> {
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
