//! A limit on the bytes per second of replication that is not to get in the way of everything else (KIP-73).
//!
//! Only partitions that are listed count, and only replicas that are not in sync are held back. The limit holds on average: a read
//! may overdraw it, and what follows waits until that is made up for.
use parking_lot::Mutex;

/// How many milliseconds' worth of bytes may be saved up.
const BURST_MS: u64 = 1_000;

/// What is left of the limit.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Bytes times 1000, so that slow rates lose nothing to rounding; negative while overdrawn.
    left: i128,
    filled_ms: Option<u64>,
}

impl Throttle {
    /// Whether nothing more may go at the moment.
    pub(crate) fn is_exhausted(&self, rate: i64, now_ms: u64) -> bool {
        if rate == i64::MAX {
            return false;
        }
        let rate = i128::from(rate.max(1));
        let most = rate * i128::from(BURST_MS);
        let mut inner = self.inner.lock();
        let elapsed = now_ms.saturating_sub(inner.filled_ms.unwrap_or(0));
        inner.left = match inner.filled_ms {
            Some(_) => (inner.left + rate * i128::from(elapsed)).min(most),
            None => most,
        };
        inner.filled_ms = Some(now_ms);
        inner.left <= 0
    }

    /// Bytes went.
    pub(crate) fn record(&self, bytes: usize) {
        self.inner.lock().left -= 1_000 * i128::try_from(bytes).unwrap_or(i128::MAX / 2_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_keeps_to_the_limit() {
        let throttle = Throttle::default();
        let mut sent = 0;
        for now in 0..20_000u64 {
            if !throttle.is_exhausted(1_000, now) {
                throttle.record(700);
                sent += 700;
            }
        }
        assert!((20_000..=22_000).contains(&sent), "{sent} bytes in 20 s");
        assert!(!throttle.is_exhausted(i64::MAX, 20_000));
    }

    #[test]
    fn little_is_saved_up() {
        let throttle = Throttle::default();
        assert!(!throttle.is_exhausted(10, 0));
        throttle.record(10);
        assert!(throttle.is_exhausted(10, 0));
        assert!(!throttle.is_exhausted(10, 1_000_000));
        throttle.record(10);
        assert!(throttle.is_exhausted(10, 1_000_000));
        assert!(!throttle.is_exhausted(10, 1_000_100));
    }
}
