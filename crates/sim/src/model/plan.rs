//! The configurations. Invariant: every one is exhausted; a bound that can't be is no part of the gate.

use super::bounds::{Begin, Bounds, Change, PreVotes};
use super::mutant::Mutant;
use super::seen::Sight;

const ELECTIONS: &[Sight] = &[Sight::Leader, Sight::VoteGranted, Sight::VoteRefused, Sight::CommittedEpoch];
const WRITES: &[Sight] = &[Sight::Leader, Sight::CommittedEpoch, Sight::CommittedWrite];
const TRUNCATIONS: &[Sight] =
    &[Sight::Leader, Sight::LostLeader, Sight::CommittedEpoch, Sight::Divergence, Sight::Truncation];
const CHANGES: &[Sight] = &[Sight::Leader, Sight::CommittedVoters, Sight::ChangeDone];

/// Three voters with the shortcuts that make them small: see [`Bounds`].
const fn three(name: &'static str) -> Bounds {
    Bounds {
        begin: Begin::Settled,
        epochs: 2,
        pre_votes: PreVotes::Granted,
        instant_answers: true,
        quick_flush: true,
        ..Bounds::new(name, 3)
    }
}

/// Two voters without any shortcut.
const fn two(name: &'static str) -> Bounds {
    Bounds { begin: Begin::Settled, epochs: 2, ..Bounds::new(name, 2) }
}

/// What the crate's own tests exhaust: less than a minute in a debug build. Audited, so that the model's shortcuts are
/// checked as well.
pub fn slice() -> Vec<Bounds> {
    let slice = [
        Bounds { epochs: 4, writes: 2, crashes: 2, expects: WRITES, ..Bounds::new("one voter", 1) },
        Bounds { crashes: 1, expects: ELECTIONS, ..Bounds::new("two voters from nothing", 2) },
        Bounds { writes: 1, resigns: 1, expects: WRITES, ..two("two voters") },
        Bounds { writes: 1, timeouts: Some(1), expects: TRUNCATIONS, ..three("three voters") },
        Bounds {
            pre_votes: PreVotes::Sent,
            timeouts: Some(2),
            expects: ELECTIONS,
            ..three("three voters with pre-votes")
        },
        Bounds {
            begin: Begin::TwoTails,
            epochs: 3,
            timeouts: Some(1),
            expects: TRUNCATIONS,
            ..three("two tails")
        },
        Bounds {
            observers: 1,
            changes: &[Change::Add(2)],
            crashes: 1,
            epochs: 1,
            expects: CHANGES,
            begin: Begin::Settled,
            ..Bounds::new("a second voter", 1)
        },
        Bounds {
            changes: &[Change::Remove(1)],
            timeouts: Some(1),
            expects: CHANGES,
            ..three("the leader leaves")
        },
    ];
    slice.into_iter().map(|bounds| Bounds { audit: true, ..bounds }).collect()
}

/// What `cargo xtask model` exhausts, in a few minutes on two cores.
pub fn full() -> Vec<Bounds> {
    let mut plan = few_voters();
    plan.extend(three_voters());
    plan.extend(changes());
    plan
}

/// What `cargo xtask model --large` exhausts besides: each of these takes a minute or two.
pub fn large() -> Vec<Bounds> {
    vec![
        Bounds {
            begin: Begin::Empty,
            writes: 1,
            quick_flush: false,
            expects: WRITES,
            ..three("three voters from nothing")
        },
        Bounds { writes: 1, crashes: 2, expects: TRUNCATIONS, ..three("three voters, two crashes") },
        Bounds { epochs: 3, writes: 2, expects: TRUNCATIONS, ..three("three voters, three epochs") },
        Bounds {
            writes: 1,
            losses: 1,
            resigns: 1,
            expects: TRUNCATIONS,
            ..three("three voters, a lost request")
        },
        Bounds {
            observers: 1,
            voters: 2,
            changes: &[Change::Add(3), Change::Remove(1)],
            expects: CHANGES,
            ..three("the leader is replaced")
        },
    ]
}

fn few_voters() -> Vec<Bounds> {
    vec![
        Bounds { epochs: 6, writes: 3, crashes: 3, expects: WRITES, ..Bounds::new("one voter", 1) },
        Bounds {
            begin: Begin::Empty,
            writes: 1,
            crashes: 1,
            resigns: 1,
            expects: WRITES,
            ..two("two voters from nothing")
        },
        Bounds {
            epochs: 3,
            writes: 1,
            crashes: 1,
            resigns: 1,
            expects: WRITES,
            ..two("two voters, three epochs")
        },
        Bounds { epochs: 3, writes: 1, crashes: 2, expects: WRITES, ..two("two voters, two crashes") },
        Bounds {
            writes: 1,
            crashes: 1,
            losses: 1,
            repeats: 1,
            expects: WRITES,
            ..two("two voters, a bad network")
        },
    ]
}

fn three_voters() -> Vec<Bounds> {
    vec![
        Bounds {
            begin: Begin::Empty,
            pre_votes: PreVotes::Sent,
            timeouts: Some(3),
            expects: TRUNCATIONS,
            ..three("three voters from nothing with pre-votes")
        },
        Bounds {
            pre_votes: PreVotes::Sent,
            timeouts: Some(2),
            writes: 1,
            crashes: 1,
            expects: TRUNCATIONS,
            ..three("three voters with pre-votes")
        },
        Bounds {
            epochs: 3,
            crashes: 1,
            expects: TRUNCATIONS,
            ..three("three voters, three epochs, a crash")
        },
        Bounds { begin: Begin::TwoTails, epochs: 4, expects: TRUNCATIONS, ..three("two tails") },
    ]
}

fn changes() -> Vec<Bounds> {
    let with_observer = |name| Bounds { observers: 1, voters: 2, ..three(name) };
    vec![
        Bounds {
            observers: 1,
            voters: 1,
            changes: &[Change::Add(2)],
            writes: 1,
            crashes: 1,
            expects: CHANGES,
            ..two("a second voter")
        },
        Bounds {
            changes: &[Change::Add(3)],
            writes: 1,
            expects: CHANGES,
            ..with_observer("a third voter, a write")
        },
        Bounds {
            changes: &[Change::Add(3)],
            crashes: 1,
            expects: CHANGES,
            ..with_observer("a third voter, a crash")
        },
        Bounds {
            changes: &[Change::Remove(3)],
            crashes: 1,
            expects: CHANGES,
            ..three("a follower leaves, a crash")
        },
        Bounds {
            changes: &[Change::Remove(1)],
            crashes: 1,
            expects: CHANGES,
            ..three("the leader leaves, a crash")
        },
        Bounds {
            changes: &[Change::Remove(2), Change::Remove(3)],
            expects: CHANGES,
            ..three("both followers leave")
        },
    ]
}

/// A configuration in which a planted bug shows.
pub fn caught_by(mutant: Mutant) -> Bounds {
    let bounds = match mutant {
        // Two candidates of one epoch are enough.
        Mutant::VoteNotDurable | Mutant::VoteAfterAnswer => {
            Bounds { begin: Begin::Empty, epochs: 1, crashes: 1, ..three(mutant.name()) }
        }
        Mutant::TwoVotes => Bounds { begin: Begin::Empty, epochs: 1, ..three(mutant.name()) },
        // No election is needed to see that too few have flushed.
        Mutant::AcknowledgeBeforeFlush | Mutant::CommitAppended => {
            Bounds { epochs: 1, writes: 1, quick_flush: false, ..three(mutant.name()) }
        }
        Mutant::CommitOlderEpoch => Bounds { begin: Begin::TwoTails, epochs: 4, ..three(mutant.name()) },
        Mutant::TruncateToHighWatermark => Bounds { writes: 1, quick_flush: false, ..three(mutant.name()) },
        Mutant::VoteForShorterLog | Mutant::NoDivergenceCheck | Mutant::StaleLeaderAppends => {
            Bounds { writes: 1, ..three(mutant.name()) }
        }
        Mutant::UnfinishedChange => {
            Bounds { changes: &[Change::Remove(2), Change::Remove(3)], ..three(mutant.name()) }
        }
    };
    Bounds { mutant: Some(mutant), ..bounds }
}
