//! How fast a node that is far behind catches up: it makes way for what the others write without it.
//!
//! Reading, writing and applying as fast as it goes takes a core and the disk, and where nodes share a machine, or a disk, the writes of all
//! clients pay for it. So a node rests after each fetch for a quarter of the time that it worked on it, but only while the others
//! write, and only as long as it catches up at least twice as fast as they do.
//!
//! Invariants: a node that the others need for their majority never rests, because they can't be ahead of it; no rest comes near the time
//! after which a fetch counts as lost, or its leader.
use crate::core::Core;
use std::time::Duration;

/// No rest and no wait for the tree is longer.
const REST_MAX_MS: u64 = 200;

/// Nor longer than this part of `controller.quorum.fetch.timeout.ms` and `controller.quorum.request.timeout.ms`.
const TIMEOUT_SHARE: u64 = 8;

/// A node rests for this part of the time that it worked.
const REST_SHARE: u64 = 4;

/// Others who write this share of what this node fetches in the same time are made way for in full, and in proportion below.
const WRITES_FELT: u64 = 8;

/// How many entries this node must fetch for each that the others write meanwhile, or it doesn't rest.
const GAIN_MIN: u64 = 2;

/// A fetch that was answered.
#[derive(Clone, Copy)]
pub(crate) struct Answered {
    /// Where this node's log ended when it asked.
    pub(crate) end: i64,
    /// How many entries came.
    pub(crate) entries: u64,
    /// How far the others are.
    pub(crate) high_watermark: i64,
}

/// What is remembered from one fetch to the next.
#[derive(Default)]
pub(crate) struct Pace {
    /// When the last answer was taken in, in monotonic milliseconds, and how far the others were; `None` while this node isn't far behind.
    last: Option<(u64, i64)>,
}

impl Pace {
    /// Whether the last fetch brought entries from far behind the others.
    pub(crate) fn is_far_behind(&self) -> bool {
        self.last.is_some()
    }

    /// How many milliseconds to rest before an answer is taken in. `now_ms` is monotonic.
    fn rest_ms(&mut self, answered: Answered, far_behind: u64, now_ms: u64) -> u64 {
        let Answered { end, entries, high_watermark } = answered;
        let behind = u64::try_from(high_watermark.saturating_sub(end)).unwrap_or(0);
        if behind < far_behind || entries == 0 {
            self.last = None;
            return 0;
        }
        let last = self.last.replace((now_ms, high_watermark));
        let Some((resumed_ms, watermark)) = last else { return 0 };
        let written = u64::try_from(high_watermark.saturating_sub(watermark)).unwrap_or(0);
        if written.saturating_mul(GAIN_MIN) > entries {
            return 0;
        }
        let worked = now_ms.saturating_sub(resumed_ms);
        let felt = worked.saturating_mul(written).saturating_mul(WRITES_FELT) / entries;
        (felt.min(worked) / REST_SHARE).min(REST_MAX_MS)
    }
}

impl Core {
    /// Waits until it is time to take in what was fetched: the tree has come as far as the log, and the writes of others had their turn.
    pub(crate) async fn make_way(&self, answered: Answered) {
        let (far_behind, cluster) = (self.config.far_behind, &self.config.cluster);
        let timeout_ms = cluster.fetch_timeout_ms.min(cluster.request_timeout_ms);
        let longest_ms = REST_MAX_MS.min(timeout_ms / TIMEOUT_SHARE);
        let behind = answered.high_watermark.saturating_sub(answered.end);
        if u64::try_from(behind).is_ok_and(|behind| behind >= far_behind) {
            let mut applied = self.applied.subscribe();
            let caught_up = applied.wait_for(|applied| *applied >= answered.end);
            // A tree that waits for something else must not hold up the log.
            let _late = tokio::time::timeout(Duration::from_millis(longest_ms), caught_up).await;
        }
        let rest = self.pace.lock().rest_ms(answered, far_behind, self.world.clock.monotonic_ms());
        if rest == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(rest.min(longest_ms))).await;
        if let Some((resumed_ms, _)) = &mut self.pace.lock().last {
            *resumed_ms = self.world.clock.monotonic_ms();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 1_000;

    fn answered(end: i64, entries: u64, high_watermark: i64) -> Answered {
        Answered { end, entries, high_watermark }
    }

    #[test]
    fn a_node_rests_for_a_quarter_of_its_time_while_others_write() {
        let mut pace = Pace::default();
        assert_eq!(pace.rest_ms(answered(0, 100, 10_000), FAR, 5_000), 0, "nothing was done yet");
        assert_eq!(pace.rest_ms(answered(100, 100, 10_020), FAR, 5_080), 20);
        assert!(pace.is_far_behind());
        assert_eq!(pace.rest_ms(answered(200, 100, 10_040), FAR, 15_000), REST_MAX_MS, "no rest is long");
    }

    #[test]
    fn it_does_not_rest_for_others_who_write_little_or_nothing() {
        let mut pace = Pace::default();
        pace.rest_ms(answered(0, 1_000, 10_000), FAR, 0);
        assert_eq!(pace.rest_ms(answered(1_000, 1_000, 10_000), FAR, 100), 0);
        let for_a_few = pace.rest_ms(answered(2_000, 1_000, 10_050), FAR, 200);
        assert_eq!(for_a_few, 10, "others write a twentieth of what comes, which is 0.4 of what is felt");
    }

    #[test]
    fn it_does_not_rest_when_it_would_hardly_come_nearer() {
        let mut pace = Pace::default();
        pace.rest_ms(answered(0, 100, 10_000), FAR, 0);
        assert_eq!(pace.rest_ms(answered(100, 100, 10_060), FAR, 80), 0);
        assert_eq!(pace.rest_ms(answered(200, 100, 10_110), FAR, 160), 20);
    }

    #[test]
    fn a_node_that_is_needed_or_nearly_there_never_rests() {
        let mut pace = Pace::default();
        pace.rest_ms(answered(0, 100, 10_000), FAR, 0);
        assert_eq!(pace.rest_ms(answered(9_001, 100, 10_000), FAR, 50), 0, "less than far behind");
        assert!(!pace.is_far_behind());
        assert_eq!(pace.rest_ms(answered(9_101, 100, 10_110), FAR, 100), 0);
        assert_eq!(pace.rest_ms(answered(20_000, 100, 10_110), FAR, 150), 0, "others are behind this node");
        assert_eq!(pace.rest_ms(answered(0, 100, 50_000), FAR, 200), 0, "what went before counts no more");
    }
}
