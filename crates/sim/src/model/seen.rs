//! What happened at all during a search: counts of transitions, so that a clean result says that there was something to
//! find. Not part of any state.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something worth having seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sight {
    /// A leader was elected.
    Leader,
    /// A leader gave up or was deposed.
    LostLeader,
    /// A vote was granted to another replica.
    VoteGranted,
    /// A vote was refused.
    VoteRefused,
    /// The first entry of an epoch was committed.
    CommittedEpoch,
    /// A client's entry was committed.
    CommittedWrite,
    /// A voter set was committed.
    CommittedVoters,
    /// A leader found that a log parts from its own.
    Divergence,
    /// A log was truncated.
    Truncation,
    /// A process died between the actions of one step.
    DeathMidStep,
    /// An operator's change of the voters was confirmed.
    ChangeDone,
}

impl Sight {
    /// Every sight.
    pub const ALL: [Sight; 11] = [
        Sight::Leader,
        Sight::LostLeader,
        Sight::VoteGranted,
        Sight::VoteRefused,
        Sight::CommittedEpoch,
        Sight::CommittedWrite,
        Sight::CommittedVoters,
        Sight::Divergence,
        Sight::Truncation,
        Sight::DeathMidStep,
        Sight::ChangeDone,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Sight::Leader => "leaders elected",
            Sight::LostLeader => "leaders deposed",
            Sight::VoteGranted => "votes granted",
            Sight::VoteRefused => "votes refused",
            Sight::CommittedEpoch => "epochs committed",
            Sight::CommittedWrite => "writes committed",
            Sight::CommittedVoters => "voter sets committed",
            Sight::Divergence => "divergences",
            Sight::Truncation => "truncations",
            Sight::DeathMidStep => "deaths within a step",
            Sight::ChangeDone => "changes confirmed",
        }
    }
}

/// How often each was seen.
#[derive(Debug, Default)]
pub struct Seen {
    counts: [AtomicU64; Sight::ALL.len()],
}

impl Seen {
    pub(crate) fn note(&self, sight: Sight) {
        self.counts[sight as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many transitions showed it.
    pub fn count(&self, sight: Sight) -> u64 {
        self.counts[sight as usize].load(Ordering::Relaxed)
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, whose panics are caught and reported elsewhere, without the default message on standard error.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = work();
    QUIET.set(false);
    result
}
