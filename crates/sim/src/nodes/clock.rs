//! A node's clock: tokio's paused one, as its own runtime shows it, and a wall clock that may be wrong.
//!
//! Invariant: readings are taken inside the node's runtime, or the machine's clock would show through.
use base::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::time::Instant;

/// The clock of one run of a node.
pub(super) struct SimClock {
    origin: Instant,
    /// What the wall clock showed at the origin; faults move it.
    wall_ms: AtomicI64,
}

impl SimClock {
    /// A clock that starts now. Must be called inside the node's runtime.
    pub(super) fn start(wall_ms: i64) -> SimClock {
        SimClock { origin: Instant::now(), wall_ms: AtomicI64::new(wall_ms) }
    }

    /// When the node's monotonic clock shows so many milliseconds.
    pub(super) fn at(&self, ms: u64) -> Instant {
        self.origin + std::time::Duration::from_millis(ms)
    }

    /// Sets the wall clock forwards or back.
    pub(super) fn set_wall(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::Relaxed) + self.monotonic_ms() as i64
    }

    fn monotonic_ms(&self) -> u64 {
        (Instant::now() - self.origin).as_millis() as u64
    }

    fn monotonic_us(&self) -> u64 {
        (Instant::now() - self.origin).as_micros() as u64
    }
}
