//! A running summary of measurements: count, sum, minimum, maximum and percentiles, as `mntr` prints them.
//!
//! Invariants: adding is a handful of relaxed atomic operations and never blocks; a reader that races with writers sees values
//! that may be one measurement apart, which is all that monitoring needs.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values below this have a bucket of their own; above, each power of two is split into as many buckets.
const STEPS: u64 = 16;
const STEPS_LOG2: u32 = STEPS.trailing_zeros();
/// Values above 2^MAX_LOG2 share the last bucket.
const MAX_LOG2: u32 = 32;
const BUCKETS: usize = (STEPS as usize) * (MAX_LOG2 - STEPS_LOG2 + 1) as usize;

/// Count, sum, minimum and maximum (`AvgMinMaxCounter`).
#[derive(Debug)]
pub(crate) struct Summary {
    count: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Summary {
    fn default() -> Self {
        Summary {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Summary {
    /// Adds a measurement.
    pub(crate) fn add(&self, value: u64) {
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        self.min.fetch_min(value, Relaxed);
        self.max.fetch_max(value, Relaxed);
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }

    /// How many measurements there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their sum.
    pub(crate) fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// The smallest, 0 if there was none.
    pub(crate) fn min(&self) -> u64 {
        match self.min.load(Relaxed) {
            u64::MAX => 0,
            min => min,
        }
    }

    /// The largest, 0 if there was none.
    pub(crate) fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// The mean with four decimals, 0 if there was none.
    pub(crate) fn average(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => (self.sum() as f64 / count as f64 * 10_000.0).round() / 10_000.0,
        }
    }
}

/// A summary with percentiles (`AvgMinMaxPercentileCounter`). A percentile is exact below 16, then within 6.25 percent.
#[derive(Debug)]
pub(crate) struct Histogram {
    summary: Summary,
    buckets: Box<[AtomicU64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { summary: Summary::default(), buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Histogram {
    /// Adds a measurement.
    pub(crate) fn add(&self, value: u64) {
        self.summary.add(value);
        if let Some(bucket) = self.buckets.get(bucket_of(value)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        self.summary.reset();
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
    }

    /// Count, sum, minimum, maximum.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The smallest value that at least `per_mille` thousandths of the measurements don't exceed.
    pub(crate) fn percentile(&self, per_mille: u64) -> u64 {
        let total: u64 = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum();
        let wanted = (total * per_mille).div_ceil(1000);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Relaxed);
            if seen >= wanted && seen > 0 {
                return lowest_of(index).min(self.summary.max());
            }
        }
        0
    }
}

fn bucket_of(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let value = value.min((1 << MAX_LOG2) - 1);
    let power = value.ilog2();
    let step = (value >> (power - STEPS_LOG2)) - STEPS;
    (STEPS as usize) * (power - STEPS_LOG2 + 1) as usize + step as usize
}

fn lowest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let power = bucket / STEPS - 1;
    (STEPS + bucket % STEPS) << power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_summary_shows_zeros() {
        let histogram = Histogram::default();
        let summary = histogram.summary();
        assert_eq!((summary.count(), summary.min(), summary.max(), summary.sum()), (0, 0, 0, 0));
        assert_eq!(summary.average(), 0.0);
        assert_eq!(histogram.percentile(990), 0);
    }

    #[test]
    fn the_average_has_four_decimals() {
        let summary = Summary::default();
        for value in [1, 0, 0] {
            summary.add(value);
        }
        assert_eq!(summary.average(), 0.3333);
        summary.reset();
        assert_eq!((summary.count(), summary.min()), (0, 0));
    }

    #[test]
    fn every_value_falls_into_the_bucket_that_begins_at_or_below_it() {
        for value in (0..100_000).chain([1 << 31, u64::from(u32::MAX), u64::MAX]) {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS, "{value}");
            assert!(lowest_of(bucket) <= value, "{value}");
            assert_eq!(bucket_of(lowest_of(bucket)), bucket, "{value}");
        }
    }

    #[test]
    fn percentiles_are_exact_for_small_values() {
        let histogram = Histogram::default();
        for value in 0..10 {
            histogram.add(value);
        }
        assert_eq!(histogram.percentile(500), 4);
        assert_eq!(histogram.percentile(999), 9);
    }
}
