//! Wall-clock and monotonic time. Timers are tokio's, which a simulator can pause; readings come from here.
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of time readings.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, as users read them; may jump when the machine's clock is set.
    fn wall_ms(&self) -> i64;
    /// Milliseconds since some fixed point of this process; never goes back. Timeouts are measured with it.
    fn monotonic_ms(&self) -> u64;
    /// Microseconds on the same scale, for latency metrics.
    fn monotonic_us(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic readings start near zero.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may read the machine's clock")]
    pub fn new() -> SystemClock {
        SystemClock { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may read the machine's clock")]
    fn wall_ms(&self) -> i64 {
        // A clock set before 1970 reads as 0 rather than stopping the node.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
    }

    fn monotonic_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }

    fn monotonic_us(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }
}
