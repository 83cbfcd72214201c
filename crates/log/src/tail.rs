//! Where the newest batches of a log lie, and the small ones of them in memory, so that a reader at the tail looks for nothing and small
//! answers need no read.
//!
//! Invariants: the entries are a gapless suffix of the log; within a segment they lie one behind the other. A large batch is not kept,
//! because what is large is sent from the page cache; a small one is kept as a copy, so that a few bytes don't keep a whole network frame alive.
use crate::batch::Batch;
use crate::segment::Segment;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Batches up to this size are kept.
const COPIED_MAX: usize = 2048;
/// What the allocation of a copy takes beyond its bytes.
const COPY_OVERHEAD: u64 = 48;

/// Memory that the tail caches of all logs may take together.
#[derive(Debug)]
pub struct TailBudget {
    limit: u64,
    per_log: u64,
    used: AtomicU64,
}

impl TailBudget {
    /// At most `limit` bytes for all logs that share the budget, and `per_log` for each.
    pub fn new(limit: u64, per_log: u64) -> Arc<TailBudget> {
        Arc::new(TailBudget { limit, per_log, used: AtomicU64::new(0) })
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

struct Entry {
    last_offset: i64,
    /// Held, so that the batch is found where it was written even if the segment is compacted meanwhile.
    segment: Arc<Segment>,
    position: u64,
    size: u32,
    copy: Option<Bytes>,
    cached_at_ms: u64,
}

impl Entry {
    fn cost(&self) -> u64 {
        let copy = self.copy.as_ref().map_or(0, |copy| copy.len() as u64 + COPY_OVERHEAD);
        size_of::<Entry>() as u64 + copy
    }

    fn end(&self) -> u64 {
        self.position + u64::from(self.size)
    }
}

/// Batches that lie one behind the other in a segment.
pub(crate) struct Run {
    pub(crate) segment: Arc<Segment>,
    pub(crate) position: u64,
    pub(crate) size: usize,
    /// The offset behind the last of them.
    pub(crate) next_offset: i64,
    /// Them, if all are in memory and they are no more than was asked for as copies.
    pub(crate) chunks: Option<Vec<Bytes>>,
}

/// The cache of one log.
pub(crate) struct TailCache {
    budget: Arc<TailBudget>,
    entries: VecDeque<Entry>,
    /// The first offset that the cache holds everything from.
    start: i64,
    used: u64,
}

impl TailCache {
    pub(crate) fn new(budget: Arc<TailBudget>, log_end: i64) -> TailCache {
        TailCache { budget, entries: VecDeque::new(), start: log_end, used: 0 }
    }

    /// Caches a batch that was just appended at `position` of `segment`.
    pub(crate) fn push(&mut self, batch: &Batch, segment: &Arc<Segment>, position: u64, now_ms: u64) {
        let entry = Entry {
            last_offset: batch.header().last_offset(),
            segment: segment.clone(),
            position,
            size: batch.size() as u32,
            copy: (batch.size() <= COPIED_MAX).then(|| batch.to_bytes()),
            cached_at_ms: now_ms,
        };
        let cost = entry.cost();
        while !self.fits(cost) {
            if !self.pop() {
                self.start = entry.last_offset + 1;
                return;
            }
        }
        self.used += cost;
        self.budget.used.fetch_add(cost, Ordering::Relaxed);
        self.entries.push_back(entry);
    }

    fn fits(&self, cost: u64) -> bool {
        self.used + cost <= self.budget.per_log && self.budget.used() + cost <= self.budget.limit
    }

    /// Drops the oldest batch; false if there is none.
    fn pop(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else { return false };
        let cost = entry.cost();
        self.used -= cost;
        self.budget.used.fetch_sub(cost, Ordering::Relaxed);
        self.start = entry.last_offset + 1;
        true
    }

    /// Drops batches that were cached before `before_ms`, so that an idle log gives its share back.
    pub(crate) fn expire(&mut self, before_ms: u64) {
        while self.entries.front().is_some_and(|entry| entry.cached_at_ms < before_ms) {
            self.pop();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Drops the batches of all segments up to the one that starts at `base_offset`.
    pub(crate) fn forget_through(&mut self, base_offset: i64) {
        while self.entries.front().is_some_and(|entry| entry.segment.base_offset <= base_offset) {
            self.pop();
        }
    }

    /// Forgets everything; the log now ends at `log_end`.
    pub(crate) fn reset(&mut self, log_end: i64) {
        while self.pop() {}
        self.start = log_end;
    }

    /// Whole batches from the one that holds `offset` on, below `until`, of one segment. `None` if the cache starts later or there are
    /// none; a run of size 0 if the first is larger than `max_bytes`, which it may only be if `at_least_one` is set.
    pub(crate) fn read(
        &self,
        offset: i64,
        until: i64,
        (max_bytes, at_least_one): (usize, bool),
        copies_max: usize,
    ) -> Option<Run> {
        if offset < self.start {
            return None;
        }
        let from = self.entries.partition_point(|entry| entry.last_offset < offset);
        let first = self.entries.get(from).filter(|first| first.last_offset < until)?;
        let limit = first.position.saturating_add(max_bytes as u64);
        let belongs = |entry: &Entry| {
            let same = Arc::ptr_eq(&entry.segment, &first.segment);
            let earlier = entry.segment.base_offset < first.segment.base_offset;
            earlier || (same && entry.last_offset < until && entry.end() <= limit)
        };
        let fitting = self.entries.partition_point(belongs);
        let to = if at_least_one { fitting.max(from + 1) } else { fitting.max(from) };
        let last = to.checked_sub(1).filter(|last| *last >= from).and_then(|last| self.entries.get(last));
        let size = last.map_or(0, |last| (last.end() - first.position) as usize);
        let chunks = || self.entries.range(from..to).map(|entry| entry.copy.clone()).collect();
        Some(Run {
            segment: first.segment.clone(),
            position: first.position,
            size,
            next_offset: last.map_or(offset, |last| last.last_offset + 1),
            chunks: if size <= copies_max { chunks() } else { None },
        })
    }
}

impl Drop for TailCache {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.used, Ordering::Relaxed);
    }
}
