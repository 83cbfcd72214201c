//! A quorum of one voter, as one node runs it: the same interface that many nodes use.

use quorum::{
    Action, Config, ControlRecord, Event, Fatal, LogOffset, Millis, Quorum, ReplicaId, RoleName, Start,
    VoteState, Voter, VoterSet,
};
use uuid::Uuid;

use crate::log::{MemLog, Payload};

const LOCAL: ReplicaId = ReplicaId::new(1, Uuid::from_u128(7));

fn one_voter() -> VoterSet {
    VoterSet::new([Voter { replica: LOCAL, endpoints: Vec::new() }])
}

fn config() -> Config {
    Config::new(LOCAL, one_voter())
}

fn start(start: Start, log: &MemLog) -> (Quorum, Vec<Action>) {
    Quorum::start(config(), start, log, Millis(0)).expect("the configuration is valid")
}

/// Does what the shell does with an `AppendControl`.
fn append_control(log: &mut MemLog, actions: &[Action]) -> Event {
    let mut voters = Vec::new();
    for action in actions {
        if let Action::AppendControl { epoch, records } = action {
            for record in records {
                match record {
                    ControlRecord::LeaderChange { .. } => _ = log.append(*epoch, Payload::LeaderChange),
                    ControlRecord::Voters(set) => {
                        let offset = log.append(*epoch, Payload::Voters(set.clone()));
                        voters.push((offset, set.clone()));
                    }
                }
            }
        }
    }
    Event::Appended { voters }
}

/// A first start, up to the point where the epoch's first entries are committed.
fn leading(log: &mut MemLog) -> Quorum {
    let (mut quorum, actions) = start(Start::default(), log);
    let appended = append_control(log, &actions);
    assert_eq!(quorum.step(appended, log, Millis(1)), []);
    log.flush();
    assert_eq!(quorum.step(Event::Flushed, log, Millis(2)), [Action::HighWatermark(log.end_offset())]);
    quorum
}

#[test]
fn leads_at_once_and_persists_the_vote_before_anything_else() {
    let log = MemLog::default();
    let (quorum, actions) = start(Start::default(), &log);
    let vote = VoteState { epoch: 1, voted_for: Some(LOCAL), leader: None };
    let first = ControlRecord::LeaderChange { leader_id: 1, voters: vec![1], granting_voters: vec![1] };
    let expected = [
        Action::PersistVote(vote),
        Action::AppendControl { epoch: 1, records: vec![first, ControlRecord::Voters(one_voter())] },
        Action::BecameLeader { epoch: 1, start_offset: 0 },
        Action::LeaderChanged { leader: Some(1), epoch: 1 },
    ];
    assert_eq!(actions, expected);
    assert_eq!((quorum.role(), quorum.leader(), quorum.epoch()), (RoleName::Leader, Some(1), 1));
}

#[test]
fn the_high_watermark_follows_the_flushed_offset_and_not_the_appended_one() {
    let mut log = MemLog::default();
    let mut quorum = leading(&mut log);
    log.append(1, Payload::Data(1));
    log.append(1, Payload::Data(2));
    assert_eq!(quorum.step(Event::Appended { voters: Vec::new() }, &log, Millis(3)), []);
    assert_eq!(quorum.high_watermark(), 2, "appended entries are not acknowledged");
    log.flushed = 3;
    assert_eq!(quorum.step(Event::Flushed, &log, Millis(4)), [Action::HighWatermark(3)]);
    log.flushed = 4;
    assert_eq!(quorum.step(Event::Flushed, &log, Millis(5)), [Action::HighWatermark(4)]);
}

#[test]
fn a_restart_takes_a_new_epoch_and_commits_the_old_entries_only_with_one_of_it() {
    let mut log = MemLog::default();
    leading(&mut log);
    log.append(1, Payload::Data(1));
    log.flush();
    let vote = VoteState { epoch: 1, voted_for: Some(LOCAL), leader: None };
    let (mut quorum, actions) = start(Start { vote: Some(vote), voters: log.voters(), damaged: false }, &log);
    assert_eq!(actions[0], Action::PersistVote(VoteState { epoch: 2, voted_for: Some(LOCAL), leader: None }));
    let first = ControlRecord::LeaderChange { leader_id: 1, voters: vec![1], granting_voters: vec![1] };
    assert_eq!(
        actions[1],
        Action::AppendControl { epoch: 2, records: vec![first] },
        "the voters are in the log"
    );
    assert_eq!(actions[2], Action::BecameLeader { epoch: 2, start_offset: 3 });
    assert_eq!(quorum.step(Event::Flushed, &log, Millis(1)), [], "only entries of epoch 1 are flushed");
    assert_eq!(quorum.high_watermark(), 0);
    let appended = append_control(&mut log, &actions);
    assert_eq!(quorum.step(appended, &log, Millis(2)), []);
    log.flush();
    assert_eq!(quorum.step(Event::Flushed, &log, Millis(3)), [Action::HighWatermark(4)]);
}

#[test]
fn the_epoch_that_was_led_before_a_restart_is_not_led_on() {
    let log = MemLog::default();
    let vote = VoteState { epoch: 4, voted_for: Some(LOCAL), leader: Some(1) };
    let (quorum, actions) = start(Start { vote: Some(vote), ..Start::default() }, &log);
    assert_eq!(actions[0], Action::PersistVote(VoteState { epoch: 5, voted_for: Some(LOCAL), leader: None }));
    assert_eq!(quorum.epoch(), 5);
}

#[test]
fn an_epoch_in_the_log_that_the_vote_file_does_not_know_is_never_led_again() {
    let mut log = MemLog::default();
    log.append(5, Payload::LeaderChange);
    log.flush();
    let (quorum, actions) = start(Start::default(), &log);
    assert_eq!(actions[0], Action::PersistVote(VoteState { epoch: 6, voted_for: Some(LOCAL), leader: None }));
    assert_eq!(quorum.epoch(), 6);
}

#[test]
fn a_snapshot_is_committed_from_the_start() {
    let mut log = MemLog::default();
    leading(&mut log);
    log.compact(2);
    let (quorum, _) = start(Start { vote: None, voters: log.voters(), damaged: false }, &log);
    assert_eq!(quorum.high_watermark(), 2);
}

#[test]
fn time_changes_nothing_for_a_single_voter() {
    let mut log = MemLog::default();
    let mut quorum = leading(&mut log);
    assert_eq!(quorum.next_tick(), Millis::NEVER);
    assert_eq!(quorum.step(Event::Tick, &log, Millis(1_000_000_000)), []);
    assert_eq!(quorum.role(), RoleName::Leader);
}

#[test]
fn shutdown_ends_the_leadership_and_is_complete_at_once() {
    let mut log = MemLog::default();
    let mut quorum = leading(&mut log);
    let actions = quorum.step(Event::Shutdown, &log, Millis(9));
    assert_eq!(actions[0], Action::LostLeadership { epoch: 1 });
    assert!(actions.contains(&Action::LeaderChanged { leader: None, epoch: 1 }));
    assert!(actions.contains(&Action::ShutdownComplete));
    let later = quorum.step(Event::Tick, &log, Millis(1_000_000));
    assert!(
        !later.iter().any(|action| matches!(action, Action::BecameLeader { .. } | Action::PersistVote(_)))
    );
}

#[test]
fn flushed_entries_that_are_gone_stop_the_only_voter() {
    let log = MemLog::default();
    let (mut quorum, actions) = start(Start { damaged: true, ..Start::default() }, &log);
    assert_eq!(actions, [Action::Fatal(Fatal::OnlyCopyDamaged)]);
    assert_eq!(quorum.step(Event::Tick, &log, Millis(9)), []);
}

#[test]
fn epochs_that_run_out_are_fatal_and_do_not_wrap() {
    let log = MemLog::default();
    let vote = VoteState { epoch: i32::MAX, voted_for: None, leader: None };
    let (_, actions) = start(Start { vote: Some(vote), ..Start::default() }, &log);
    assert_eq!(actions, [Action::Fatal(Fatal::EpochsExhausted(i32::MAX))]);
}

#[test]
fn a_log_position_covers_another_by_epoch_first() {
    assert!(LogOffset::new(1, 2).covers(LogOffset::new(9, 1)));
    assert!(LogOffset::new(9, 1).covers(LogOffset::new(9, 1)));
    assert!(!LogOffset::new(9, 1).covers(LogOffset::new(10, 1)));
}
