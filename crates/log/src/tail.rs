//! The newest batches of a log in memory, so that a consumer at the tail reads without disk or copy.
//!
//! Invariant: the cached batches are a gapless suffix of the log. Large bodies are the slices that were written;
//! small batches are copied into a piece of their own, so that a few bytes don't keep a whole network frame alive.
use crate::batch::Batch;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Batches up to this size are cached as one copy: cheaper than a second slice, and independent of their frame.
const COPIED_MAX: usize = 2048;
/// Bytes of bookkeeping that a cached batch is charged beyond its own.
const ENTRY_OVERHEAD: u64 = 160;

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
    segment: i64,
    /// The whole batch, or its header.
    first: Bytes,
    /// The body, if `first` is only the header.
    second: Option<Bytes>,
    cost: u64,
    cached_at_ms: u64,
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

    /// Caches a batch that was just appended to the segment that starts at `segment`.
    pub(crate) fn push(&mut self, batch: &Batch, segment: i64, now_ms: u64) {
        let cost = batch.size() as u64 + ENTRY_OVERHEAD;
        let end = batch.header().next_offset();
        while !self.fits(cost) {
            if !self.pop() {
                self.start = end;
                return;
            }
        }
        let (first, second) = if batch.size() <= COPIED_MAX {
            (batch.to_bytes(), None)
        } else {
            (Bytes::copy_from_slice(batch.head()), Some(batch.body().clone()))
        };
        self.used += cost;
        self.budget.used.fetch_add(cost, Ordering::Relaxed);
        let last_offset = batch.header().last_offset();
        self.entries.push_back(Entry { last_offset, segment, first, second, cost, cached_at_ms: now_ms });
    }

    fn fits(&self, cost: u64) -> bool {
        self.used + cost <= self.budget.per_log && self.budget.used() + cost <= self.budget.limit
    }

    /// Drops the oldest batch; false if there is none.
    fn pop(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else { return false };
        self.release(entry.cost);
        self.start = entry.last_offset + 1;
        true
    }

    fn release(&mut self, cost: u64) {
        self.used -= cost;
        self.budget.used.fetch_sub(cost, Ordering::Relaxed);
    }

    /// Drops batches that were cached before `before_ms`, so that an idle log gives its share back.
    pub(crate) fn expire(&mut self, before_ms: u64) {
        while self.entries.front().is_some_and(|entry| entry.cached_at_ms < before_ms) {
            self.pop();
        }
    }

    /// Forgets everything; the log now ends at `log_end`.
    pub(crate) fn reset(&mut self, log_end: i64) {
        while self.pop() {}
        self.start = log_end;
    }

    /// Whole batches from the one that holds `offset` on, below `until`, of one segment, as slices. `None` if the cache
    /// starts later. The first batch may exceed `max_bytes` if `at_least_one` is set.
    pub(crate) fn read(
        &self,
        offset: i64,
        until: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Option<(Vec<Bytes>, usize)> {
        if offset < self.start {
            return None;
        }
        let first = self.entries.partition_point(|entry| entry.last_offset < offset);
        let segment = self.entries.get(first)?.segment;
        let (mut chunks, mut size) = (Vec::new(), 0);
        for entry in self.entries.range(first..) {
            let length = entry.first.len() + entry.second.as_ref().map_or(0, Bytes::len);
            let fits = size + length <= max_bytes || (at_least_one && size == 0);
            if entry.segment != segment || entry.last_offset >= until || !fits {
                break;
            }
            chunks.push(entry.first.clone());
            chunks.extend(entry.second.clone());
            size += length;
        }
        Some((chunks, size))
    }
}

impl Drop for TailCache {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.used, Ordering::Relaxed);
    }
}
