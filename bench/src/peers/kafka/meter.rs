//! What a run cost: records, wall time and the servers' processor time between two moments.
use crate::peers::figures::{Figure, P50_US, P99_US, P999_US, PER_CPU_SECOND, PER_SECOND};
use crate::peers::server::Cluster;
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use std::time::Duration;

/// The servers' processor time is counted in ticks; less than one tick counts as one.
const TICK: Duration = Duration::from_millis(10);
/// Latencies are kept with three digits, up to two minutes.
const DIGITS: u8 = 3;
const LATENCY_MAX_US: u64 = 120_000_000;

/// The moment at which a measurement began.
pub(super) struct Meter {
    begun_us: u64,
    cpu: Duration,
}

impl Meter {
    pub(super) fn start(cluster: &Cluster) -> Result<Meter> {
        Ok(Meter { begun_us: crate::now_us(cluster.clock()), cpu: cluster.usage()?.cpu })
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self, cluster: &Cluster) -> Duration {
        Duration::from_micros(crate::now_us(cluster.clock()) - self.begun_us)
    }

    /// The servers' processor time since the beginning.
    pub(super) fn cpu(&self, cluster: &Cluster) -> Result<Duration> {
        Ok((cluster.usage()?.cpu - self.cpu).max(TICK))
    }

    /// Records per second of wall time and per second of the servers' processor time.
    pub(super) fn throughput(&self, cluster: &mut Cluster, records: u64) -> Result<Vec<Figure>> {
        cluster.check()?;
        ensure!(records > 0, "nothing was moved");
        let (wall, cpu) = (self.elapsed(cluster), self.cpu(cluster)?);
        Ok(vec![
            Figure::higher(PER_SECOND, records as f64 / wall.as_secs_f64()),
            Figure::higher(PER_CPU_SECOND, records as f64 / cpu.as_secs_f64()),
        ])
    }
}

/// An empty histogram of microseconds.
pub(super) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LATENCY_MAX_US, DIGITS)?)
}

/// Percentiles.
pub(super) fn percentiles(latencies: &Histogram<u64>) -> Result<Vec<Figure>> {
    ensure!(!latencies.is_empty(), "no latency was recorded");
    let at = |quantile| latencies.value_at_quantile(quantile) as f64;
    Ok(vec![
        Figure::lower(P50_US, at(0.5)),
        Figure::lower(P99_US, at(0.99)),
        Figure::lower(P999_US, at(0.999)),
    ])
}
