//! The CI slice of the model checker: small configurations exhausted, every planted bug caught. `cargo xtask model` runs
//! the large ones.

use sim::model::{Bounds, Law, Mutant, Outcome, Search, caught_by, full, large, search, slice};

/// Far more transitions than any configuration of the slice has.
const LIMIT: usize = 1_000_000;

fn exhaust(name: &str) {
    let bounds: Vec<Bounds> = slice().into_iter().filter(|bounds| bounds.name == name).collect();
    assert_eq!(bounds.len(), 1, "the slice has one configuration of each name");
    for bounds in bounds {
        let outcome = search(bounds, Search::Depth, 1, LIMIT);
        assert!(outcome.is_clean(), "{name}: {outcome:#?}");
    }
}

#[test]
fn one_voter() {
    exhaust("one voter");
}

#[test]
fn two_voters() {
    exhaust("two voters from nothing");
    exhaust("two voters");
}

#[test]
fn three_voters() {
    exhaust("three voters");
    exhaust("three voters with pre-votes");
    exhaust("two tails");
}

#[test]
fn changes_of_the_voters() {
    exhaust("a second voter");
    exhaust("the leader leaves");
}

#[test]
fn every_configuration_has_a_name_of_its_own() {
    for plan in [slice(), full().into_iter().chain(large()).collect()] {
        let mut names: Vec<&str> = plan.iter().map(|bounds| bounds.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

fn plant(mutant: Mutant) -> Outcome {
    search(caught_by(mutant), Search::Breadth, 1, LIMIT)
}

/// Plants a bug and demands that `law` catches it; and that the same configuration is sound without it as far as the
/// search for the bug went.
fn is_caught(mutant: Mutant, law: Law) {
    let outcome = plant(mutant);
    let laws: Vec<Law> = outcome.broken.keys().copied().collect();
    assert_eq!(laws, [law], "{}: {:#?}", mutant.name(), outcome.broken);
    let sound = Bounds { mutant: None, ..caught_by(mutant) };
    let outcome = search(sound, Search::Breadth, 1, outcome.transitions);
    assert!(outcome.broken.is_empty(), "without {}: {:#?}", mutant.name(), outcome.broken);
}

#[test]
fn a_vote_that_is_not_durable_is_caught() {
    is_caught(Mutant::VoteNotDurable, Law::OneVote);
}

#[test]
fn a_vote_that_is_durable_too_late_is_caught() {
    is_caught(Mutant::VoteAfterAnswer, Law::OneVote);
}

#[test]
fn an_acknowledgement_before_the_flush_is_caught() {
    is_caught(Mutant::AcknowledgeBeforeFlush, Law::NoLostFlush);
}

#[test]
fn a_high_watermark_from_appended_entries_is_caught() {
    is_caught(Mutant::CommitAppended, Law::NoLostFlush);
}

#[test]
fn a_commit_by_counting_entries_of_an_older_epoch_is_caught() {
    is_caught(Mutant::CommitOlderEpoch, Law::LeaderCompleteness);
}

#[test]
fn two_votes_in_an_epoch_are_caught() {
    is_caught(Mutant::TwoVotes, Law::OneVote);
}

#[test]
fn a_vote_for_a_shorter_log_is_caught() {
    is_caught(Mutant::VoteForShorterLog, Law::LeaderCompleteness);
}

#[test]
fn a_truncation_to_the_high_watermark_is_caught() {
    is_caught(Mutant::TruncateToHighWatermark, Law::NoLostFlush);
}

#[test]
fn a_leader_that_checks_no_divergence_is_caught() {
    is_caught(Mutant::NoDivergenceCheck, Law::NoLostFlush);
}

#[test]
fn a_stale_leader_that_appends_is_caught() {
    is_caught(Mutant::StaleLeaderAppends, Law::LogMatching);
}

#[test]
fn a_change_of_voters_on_top_of_an_unfinished_one_is_caught() {
    is_caught(Mutant::UnfinishedChange, Law::LeaderCompleteness);
}

/// Both orders of visiting find the same states: what the depth-first runs exhaust is what there is.
#[test]
fn the_order_of_the_search_does_not_matter() {
    let bounds = || Bounds { mutant: None, ..caught_by(Mutant::TwoVotes) };
    let breadth = search(bounds(), Search::Breadth, 1, LIMIT);
    let depth = search(bounds(), Search::Depth, 1, LIMIT);
    assert!(breadth.exhausted && depth.exhausted);
    assert_eq!((breadth.states, breadth.transitions), (depth.states, depth.transitions));
}
