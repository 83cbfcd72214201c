//! What a run of a workload yields: named numbers, and which direction is better.
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Operations (requests, records, sessions) completed per second.
pub(crate) const PER_SECOND: &str = "per second";
/// Operations completed per second of processor time that all nodes of the server spent, user and system.
pub(crate) const PER_CPU_SECOND: &str = "per server CPU-second";
/// Latency percentiles in microseconds; in an open loop from the intended send time.
pub(crate) const P50_US: &str = "p50 us";
pub(crate) const P99_US: &str = "p99 us";
pub(crate) const P999_US: &str = "p99.9 us";
/// Resident memory of all nodes.
pub(crate) const RSS_MIB: &str = "RSS MiB";
/// The most that was resident so far.
pub(crate) const RSS_PEAK_MIB: &str = "RSS peak MiB";
/// How long something took as a whole.
pub(crate) const TOOK_MS: &str = "ms";

/// Which of two values of a figure wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Better {
    /// The larger one.
    Higher,
    /// The smaller one.
    Lower,
}

/// One number of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What it is, with its unit; the same name has the same unit in every workload.
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: f64,
    pub(crate) better: Better,
}

impl Figure {
    /// A figure of which more is better.
    pub(crate) fn higher(name: &'static str, value: f64) -> Figure {
        Figure { name: Cow::Borrowed(name), value, better: Better::Higher }
    }

    /// A figure of which less is better.
    pub(crate) fn lower(name: &'static str, value: f64) -> Figure {
        Figure { name: Cow::Borrowed(name), value, better: Better::Lower }
    }
}
