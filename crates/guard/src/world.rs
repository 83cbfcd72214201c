//! The outside world of the measured node: the machine's disk, and a clock and random numbers that are alike in every run.
use base::{Clock, Random, SystemClock, SystemDisk, Workers, World};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the wall clock shows, in milliseconds since 1970.
pub(crate) const WALL_MS: i64 = 1_700_000_000_000;

/// A wall clock that stands still, and a monotonic one that runs until it is stopped: then no session expires, however long
/// the path takes under valgrind.
pub(crate) struct StoppableClock {
    running: SystemClock,
    stopped_us: OnceLock<u64>,
}

impl StoppableClock {
    /// Lets no more time pass.
    pub(crate) fn stop(&self) {
        self.stopped_us.get_or_init(|| self.running.monotonic_us());
    }
}

impl Clock for StoppableClock {
    fn wall_ms(&self) -> i64 {
        WALL_MS
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> u64 {
        self.stopped_us.get().copied().unwrap_or_else(|| self.running.monotonic_us())
    }
}

/// Numbers that follow from how many were drawn before (SplitMix64).
#[derive(Default)]
struct Sequence(AtomicU64);

impl Random for Sequence {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let drawn = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            let mixed = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (mixed ^ (mixed >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// A world in one thread, and its clock.
pub(crate) fn world() -> (World, Arc<StoppableClock>) {
    let clock = Arc::new(StoppableClock { running: SystemClock::new(), stopped_us: OnceLock::new() });
    let world = World {
        clock: clock.clone(),
        disk: Arc::new(SystemDisk),
        random: Arc::<Sequence>::default(),
        workers: Workers::Tasks,
    };
    (world, clock)
}
