//! Time in the model: none passes between two events, and a timer may go off at any moment, in any order between nodes
//! and between timers of different classes. Invariant: every node's clock shows [`NOW`] between two events.

use quorum::{Config, Millis};

/// What every clock shows.
pub(crate) const NOW: Millis = Millis(10_000);

/// A moment before [`NOW`] that is too long ago for any timeout.
const LONG_AGO: Millis = Millis(5_000);
/// From this age on a moment counts as long ago.
const AGE_LIMIT_MS: u64 = 500;

/// How far a clock jumps when a timer goes off. Everything that is due in the same class or an earlier one goes off too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// The pause before a failed request is sent again, and the one after a lost election.
    Short,
    /// The time that an operator's request to add a voter may take.
    Medium,
    /// Every timeout: elections, fetches, requests, a leader that isn't heard from.
    Long,
}

impl Span {
    /// By how much the clock jumps.
    pub(crate) fn ms(self) -> u64 {
        match self {
            Span::Short => 10,
            Span::Medium => 100,
            Span::Long => 3_000,
        }
    }

    /// The class of what is due in `ms`.
    fn of(ms: u64) -> Self {
        match ms {
            ..=10 => Span::Short,
            11..=100 => Span::Medium,
            _ => Span::Long,
        }
    }

    /// What a timer of this class is set to between two events.
    fn reset(self) -> Millis {
        match self {
            Span::Short => NOW.plus(10),
            Span::Medium => NOW.plus(100),
            Span::Long => NOW.plus(1_000),
        }
    }
}

/// The class of the timer that goes off first, if one is set.
pub(crate) fn due(next_tick: Millis) -> Option<Span> {
    (next_tick < Millis::NEVER).then(|| Span::of(next_tick.0.saturating_sub(NOW.0)))
}

/// The core's timeouts, so that each falls into the class that its [`Span`] names. Parked fetches don't expire before
/// their leader's own timeout does.
pub(crate) fn set_timeouts(config: &mut Config) {
    config.retry_backoff_ms = 10;
    config.election_backoff_max_ms = 1;
    config.election_timeout_ms = 300;
    config.request_timeout_ms = 1_000;
    config.fetch_timeout_ms = 1_000;
    config.fetch_max_wait_ms = 400;
}

/// How long an operator's request may take: [`Span::Medium`].
pub(crate) const OPERATOR_TIMEOUT_MS: u64 = 100;

/// What a moment becomes when the clock goes back from `now` to [`NOW`]: a timer is set to its class's full time again,
/// a moment that has passed is just past or long ago.
pub(crate) fn canonical(moment: Millis, now: Millis) -> Millis {
    if moment == Millis::NEVER {
        moment
    } else if moment > now {
        Span::of(moment.0 - now.0).reset()
    } else if now.0 - moment.0 < AGE_LIMIT_MS {
        NOW
    } else {
        LONG_AGO
    }
}
