//! One replica, driven by hand through moments that a cluster meets too rarely.

use quorum::message::{
    BeginQuorumEpochRequest, CurrentLeader, EndQuorumEpochRequest, ErrorCode, FetchResponse,
    FetchSnapshotResponse, RecordRange, Request, Response,
};
use quorum::{
    Action, Config, Event, LogOffset, LogView, Millis, Peer, Quorum, ReplicaId, RoleName, SnapshotPiece,
    Start, VoteState, Voter, VoterSet,
};
use uuid::Uuid;

use crate::log::{MemLog, Payload};

const LEADER: i32 = 2;
const EPOCH: i32 = 3;

fn replica(id: i32) -> ReplicaId {
    ReplicaId::new(id, Uuid::from_u128(id as u128))
}

fn set(replicas: &[ReplicaId]) -> VoterSet {
    VoterSet::new(replicas.iter().map(|replica| Voter { replica: *replica, endpoints: Vec::new() }))
}

/// Replica 1 of three, its log, and what it has sent.
struct Hand {
    quorum: Quorum,
    log: MemLog,
    now: u64,
    sent: Vec<(Peer, u64, Request)>,
}

impl Hand {
    /// A follower of `LEADER` whose log has `entries` of epoch 1.
    fn follower(entries: i64, damaged: bool) -> Self {
        let config = Config::new(replica(1), set(&[replica(1), replica(2), replica(3)]));
        let mut log = MemLog::default();
        for at in 0..entries {
            log.append(1, Payload::Data(at as u64));
        }
        log.flush();
        let vote = Some(VoteState { epoch: EPOCH, voted_for: None, leader: Some(LEADER) });
        let start = Start { vote, voters: Vec::new(), damaged };
        let (quorum, actions) = Quorum::start(config, start, &log, Millis(0)).expect("a valid configuration");
        let mut hand = Self { quorum, log, now: 0, sent: Vec::new() };
        hand.note(&actions);
        hand
    }

    fn note(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Send { to, correlation, request } = action {
                self.sent.push((*to, *correlation, request.clone()));
            }
        }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        let actions = self.quorum.step(event, &self.log, Millis(self.now));
        self.note(&actions);
        actions
    }

    fn at(&mut self, now: u64) -> Vec<Action> {
        self.now = now;
        self.step(Event::Tick)
    }

    /// Answers the last request that was sent.
    fn answer(&mut self, response: Response) -> Vec<Action> {
        let (from, correlation, _) = self.sent.last().cloned().expect("something was sent");
        self.step(Event::Response { from, correlation, response })
    }

    /// Does what `AppendFetched` asks, up to the flush.
    fn append(&mut self, entries: i64) -> Vec<Action> {
        for at in 0..entries {
            self.log.append(EPOCH, Payload::Data(1_000 + at as u64));
        }
        let mut actions = self.step(Event::Appended { voters: Vec::new() });
        self.log.flush();
        actions.extend(self.step(Event::Flushed));
        actions
    }
}

fn fetched(high_watermark: i64, records: Option<(i64, i64)>) -> FetchResponse {
    FetchResponse {
        error: ErrorCode::None,
        leader: CurrentLeader { id: Some(LEADER), epoch: EPOCH },
        high_watermark,
        log_start_offset: 0,
        diverging_epoch: None,
        snapshot_id: None,
        records: records.map(|(base_offset, end_offset)| RecordRange { base_offset, end_offset }),
    }
}

#[test]
fn a_fetch_waits_for_the_flush_of_what_was_fetched_before() {
    let mut hand = Hand::follower(4, false);
    let actions = hand.answer(Response::Fetch(fetched(-1, Some((4, 6)))));
    assert_eq!(actions[0], Action::AppendFetched { range: RecordRange { base_offset: 4, end_offset: 6 } });
    let before = hand.sent.len();
    hand.log.append(EPOCH, Payload::Data(1));
    hand.log.append(EPOCH, Payload::Data(2));
    hand.step(Event::Appended { voters: Vec::new() });
    assert_eq!(hand.sent.len(), before, "a fetch would acknowledge what isn't flushed");
    hand.log.flush();
    hand.step(Event::Flushed);
    let Some((_, _, Request::Fetch(fetch))) = hand.sent.last() else { panic!("it fetches on") };
    assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (6, EPOCH));
}

#[test]
fn entries_that_do_not_fit_the_log_are_not_taken() {
    let mut hand = Hand::follower(4, false);
    let actions = hand.answer(Response::Fetch(fetched(-1, Some((3, 6)))));
    assert!(!actions.iter().any(|action| matches!(action, Action::AppendFetched { .. })));
}

#[test]
fn a_damaged_replica_is_whole_when_it_holds_everything_committed_and_not_before() {
    let mut hand = Hand::follower(4, true);
    hand.answer(Response::Fetch(fetched(10, Some((4, 8)))));
    assert!(!hand.append(4).contains(&Action::Repaired));
    hand.answer(Response::Fetch(fetched(10, Some((8, 11)))));
    assert!(hand.append(3).contains(&Action::Repaired));
}

#[test]
fn a_truncation_below_the_high_watermark_stops_the_replica() {
    let mut hand = Hand::follower(4, false);
    hand.answer(Response::Fetch(fetched(4, None)));
    assert_eq!(hand.quorum.high_watermark(), 4);
    hand.at(600);
    let diverging_epoch = Some(LogOffset::new(2, 1));
    let actions = hand.answer(Response::Fetch(FetchResponse { diverging_epoch, ..fetched(4, None) }));
    assert!(matches!(actions[..], [Action::Fatal(_)]), "{actions:?}");
    assert_eq!(hand.at(90_000), [], "it does nothing any more");
}

#[test]
fn diverging_epochs_cut_the_log_where_both_sides_end() {
    let mut hand = Hand::follower(4, false);
    let diverging_epoch = Some(LogOffset::new(3, 1));
    let actions = hand.answer(Response::Fetch(FetchResponse { diverging_epoch, ..fetched(-1, None) }));
    assert_eq!(actions[0], Action::TruncateTo { offset: 3 });
    hand.log.truncate_to(3);
    hand.step(Event::Truncated);
    let Some((_, _, Request::Fetch(fetch))) = hand.sent.last() else { panic!("it fetches on") };
    assert_eq!(fetch.fetch_offset, 3);
}

/// A follower that has fetched a whole snapshot and waits for the shell to install it.
fn installing() -> Hand {
    let mut hand = Hand::follower(4, false);
    let snapshot_id = LogOffset::new(20, 2);
    hand.answer(Response::Fetch(FetchResponse { snapshot_id: Some(snapshot_id), ..fetched(-1, None) }));
    let leader = CurrentLeader { id: Some(LEADER), epoch: EPOCH };
    let piece = |position, bytes| {
        let error = ErrorCode::None;
        Response::FetchSnapshot(FetchSnapshotResponse {
            error,
            leader,
            snapshot_id,
            size: 9,
            position,
            bytes,
        })
    };
    let actions = hand.answer(piece(0, 5));
    assert_eq!(actions[0], Action::AppendSnapshot(SnapshotPiece { snapshot_id, position: 0, bytes: 5 }));
    let actions = hand.answer(piece(5, 4));
    assert_eq!(actions[1], Action::InstallSnapshot(snapshot_id));
    hand
}

#[test]
fn no_election_is_called_while_a_snapshot_replaces_the_log() {
    let mut hand = installing();
    let sent = hand.sent.len();
    hand.at(60_000);
    let preferred_successors = vec![replica(1)];
    let request = EndQuorumEpochRequest { leader_id: LEADER, leader_epoch: EPOCH, preferred_successors };
    let actions = hand.step(Event::Request { correlation: 1, request: Request::EndQuorumEpoch(request) });
    assert!(!actions.iter().any(|action| matches!(action, Action::PersistVote(_))));
    hand.at(120_000);
    assert_eq!((hand.quorum.epoch(), hand.sent.len()), (EPOCH, sent));
    hand.log = MemLog::default();
    for _ in 0..20 {
        hand.log.append(2, Payload::Data(0));
    }
    hand.log.flush();
    hand.log.compact(20);
    let actions = hand.step(Event::SnapshotInstalled { voters: None });
    assert_eq!(actions[0], Action::HighWatermark(20));
    assert_eq!(hand.quorum.role(), RoleName::Prospective, "now it may");
}

#[test]
fn a_snapshot_below_the_high_watermark_is_not_fetched() {
    let mut hand = Hand::follower(4, false);
    hand.answer(Response::Fetch(fetched(4, None)));
    hand.at(600);
    let snapshot_id = Some(LogOffset::new(3, 1));
    hand.answer(Response::Fetch(FetchResponse { snapshot_id, ..fetched(4, None) }));
    hand.at(700);
    assert!(!hand.sent.iter().any(|(_, _, request)| matches!(request, Request::FetchSnapshot(_))));
}

#[test]
fn the_preferred_successor_asks_for_votes_at_once_and_without_a_pre_vote() {
    let mut hand = Hand::follower(4, false);
    let preferred_successors = vec![replica(1), replica(3)];
    let request = EndQuorumEpochRequest { leader_id: LEADER, leader_epoch: EPOCH, preferred_successors };
    let actions = hand.step(Event::Request { correlation: 1, request: Request::EndQuorumEpoch(request) });
    let vote = VoteState { epoch: EPOCH + 1, voted_for: Some(replica(1)), leader: None };
    assert_eq!(actions[0], Action::PersistVote(vote));
    let votes =
        hand.sent.iter().filter(|(_, _, request)| matches!(request, Request::Vote(vote) if !vote.pre_vote));
    assert_eq!(votes.count(), 2);
}

#[test]
fn a_rejected_snapshot_is_fetched_again() {
    let mut hand = installing();
    hand.step(Event::SnapshotRejected);
    assert!(matches!(hand.sent.last(), Some((_, _, Request::Fetch(_)))));
}

#[test]
fn the_second_leader_of_an_epoch_is_not_believed() {
    let mut hand = Hand::follower(4, false);
    let request = BeginQuorumEpochRequest { voter: replica(1), leader_id: 3, leader_epoch: EPOCH };
    let actions = hand.step(Event::Request { correlation: 1, request: Request::BeginQuorumEpoch(request) });
    let Some(Action::Reply { response: Response::BeginQuorumEpoch(answer), .. }) = actions.first() else {
        panic!("not an answer: {actions:?}")
    };
    assert_eq!((answer.error, answer.leader.id), (ErrorCode::InvalidRequest, Some(LEADER)));
}

#[test]
fn a_late_answer_of_an_earlier_request_is_not_taken_for_a_current_one() {
    let mut hand = Hand::follower(4, false);
    let (from, correlation, _) = hand.sent[0].clone();
    hand.answer(Response::Fetch(fetched(2, None)));
    let response = Response::Fetch(fetched(4, Some((4, 6))));
    assert_eq!(hand.step(Event::Response { from, correlation, response }), []);
    assert_eq!(hand.quorum.high_watermark(), 2);
}

#[test]
fn a_replica_whose_id_another_incarnation_has_taken_does_not_count_its_own_vote() {
    let taken = ReplicaId::new(1, Uuid::from_u128(77));
    let config = Config::new(replica(1), set(&[replica(1)]));
    let mut log = MemLog::default();
    log.append(1, Payload::Voters(set(&[replica(1)])));
    log.append(1, Payload::Voters(set(&[taken])));
    log.flush();
    let start = Start { vote: None, voters: log.voters(), damaged: false };
    let (mut quorum, _) = Quorum::start(config, start, &log, Millis(0)).expect("a valid configuration");
    for second in 1..60 {
        quorum.step(Event::Tick, &log, Millis(second * 1_000));
    }
    assert_eq!((quorum.role(), quorum.epoch()), (RoleName::Prospective, log.end().epoch));
}

#[test]
fn an_early_tick_sets_the_timer_again() {
    let mut hand = Hand::follower(4, false);
    let due = hand.quorum.next_tick();
    assert_eq!(hand.at(1), [Action::SetTimer(due)]);
}

#[test]
fn a_voter_set_that_is_truncated_is_in_effect_no_more() {
    let mut hand = Hand::follower(4, false);
    let more = set(&[replica(1), replica(2), replica(3), replica(4)]);
    hand.answer(Response::Fetch(fetched(-1, Some((4, 5)))));
    let offset = hand.log.append(EPOCH, Payload::Voters(more.clone()));
    hand.step(Event::Appended { voters: vec![(offset, more.clone())] });
    hand.log.flush();
    hand.step(Event::Flushed);
    assert_eq!(*hand.quorum.voters(), more, "it is in effect as soon as it is appended");
    let diverging_epoch = Some(LogOffset::new(4, 1));
    hand.answer(Response::Fetch(FetchResponse { diverging_epoch, ..fetched(-1, None) }));
    hand.log.truncate_to(4);
    hand.step(Event::Truncated);
    assert_eq!(hand.quorum.voters().len(), 3);
}
