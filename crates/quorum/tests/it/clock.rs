//! A node's clock: a monotonic one that runs too fast or too slow. Invariant: it never goes back.

use quorum::Millis;

/// What a true clock runs at.
pub(crate) const TRUE_RATE: u64 = 1_000;

/// A clock, by what it showed at one moment and how fast it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: u64,
    shown: u64,
    /// How many of its milliseconds pass in a second.
    rate: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { at: 0, shown: 0, rate: TRUE_RATE }
    }

    /// What it shows at the true time `now`.
    pub(crate) fn shows(&self, now: u64) -> Millis {
        Millis(self.shown + (now - self.at) * self.rate / TRUE_RATE)
    }

    /// How long it is from `now` until it shows `moment`; at least 1.
    pub(crate) fn until(&self, moment: Millis, now: u64) -> u64 {
        let due = self.at + (moment.0.saturating_sub(self.shown) * TRUE_RATE).div_ceil(self.rate);
        due.saturating_sub(now).max(1)
    }

    pub(crate) fn set_rate(&mut self, rate: u64, now: u64) {
        *self = Self { at: now, shown: self.shows(now).0, rate };
    }
}
