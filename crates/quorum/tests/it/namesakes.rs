//! Two processes with one node id: the one that the others know stays, the other one stops with a clear error; and a
//! node that lost its disk is no namesake of itself.

use quorum::message::{
    CurrentLeader, ErrorCode, FetchRequest, FetchResponse, RemoveVoterRequest, Request, Response,
    VoteRequest, VoteResponse,
};
use quorum::{
    Action, Config, Event, Fatal, LogOffset, LogView, Millis, Peer, Quorum, ReplicaId, Start, VoteState,
    Voter, VoterSet,
};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::log::MemLog;
use crate::stories::{epoch, last_answer, membership_error, others, quorum, replica, settle, settled};

const OTHER_DIRECTORY: Uuid = Uuid::from_u128(77);

fn namesake(id: i32) -> ReplicaId {
    ReplicaId::new(id, OTHER_DIRECTORY)
}

/// What `at` answers to a fetch of `replica`.
fn fetch(cluster: &mut Cluster, at: i32, replica: ReplicaId) -> ErrorCode {
    let end = cluster.node(at).log.end();
    let request = FetchRequest {
        replica,
        current_leader_epoch: quorum(cluster, at).epoch(),
        fetch_offset: end.offset,
        last_fetched_epoch: end.epoch,
        high_watermark: 0,
        max_wait_ms: 0,
        max_bytes: 1,
    };
    cluster.ask(at, Request::Fetch(request));
    match last_answer(cluster) {
        Response::Fetch(answer) => answer.error,
        other => panic!("not an answer to a fetch: {other:?}"),
    }
}

fn remove(cluster: &mut Cluster, leader: i32, voter: ReplicaId) {
    cluster.ask(leader, Request::RemoveVoter(RemoveVoterRequest { voter }));
}

#[test]
fn a_namesake_of_a_live_voter_is_turned_away() {
    let (mut cluster, leader) = settled(3, 3);
    let taken = others(&cluster, leader)[0];
    for _ in 0..10 {
        assert_eq!(fetch(&mut cluster, leader, namesake(taken)), ErrorCode::DuplicateVoter);
        cluster.run_for(700);
    }
    assert_eq!(fetch(&mut cluster, leader, replica(taken)), ErrorCode::None);
}

#[test]
fn a_namesake_of_the_leader_is_turned_away_by_everyone() {
    let (mut cluster, leader) = settled(3, 3);
    cluster.run_for(1_000);
    for at in [1, 2, 3] {
        assert_eq!(fetch(&mut cluster, at, namesake(leader)), ErrorCode::DuplicateVoter);
    }
    let request = VoteRequest {
        voter: replica(others(&cluster, leader)[0]),
        epoch: epoch(&cluster),
        candidate: namesake(leader),
        last: LogOffset::new(0, 0),
        pre_vote: true,
    };
    cluster.ask(others(&cluster, leader)[0], Request::Vote(request));
    let Response::Vote(answer) = last_answer(&cluster) else { panic!("not an answer to a vote") };
    assert_eq!((answer.error, answer.vote_granted), (ErrorCode::DuplicateVoter, false));
}

#[test]
fn a_namesake_of_a_live_observer_is_turned_away() {
    let (mut cluster, leader) = settled(1, 2);
    assert_eq!(fetch(&mut cluster, leader, namesake(2)), ErrorCode::DuplicateVoter);
}

#[test]
fn a_voter_that_is_gone_gives_way_to_the_one_that_takes_its_place() {
    let (mut cluster, leader) = settled(3, 3);
    let gone = others(&cluster, leader)[0];
    cluster.crash(gone);
    assert_eq!(fetch(&mut cluster, leader, namesake(gone)), ErrorCode::DuplicateVoter);
    cluster.run_for(2_100);
    assert_eq!(fetch(&mut cluster, leader, namesake(gone)), ErrorCode::None);
    remove(&mut cluster, leader, replica(gone));
    cluster.run_for(200);
    assert_eq!(membership_error(&cluster), ErrorCode::None);
}

#[test]
fn a_voter_that_came_back_to_life_is_not_removed_for_its_namesake() {
    let (mut cluster, leader) = settled(3, 3);
    let contested = others(&cluster, leader)[0];
    cluster.crash(contested);
    cluster.run_for(2_100);
    assert_eq!(fetch(&mut cluster, leader, namesake(contested)), ErrorCode::None);
    cluster.start(contested);
    cluster.run_for(1_000);
    remove(&mut cluster, leader, replica(contested));
    assert_eq!(membership_error(&cluster), ErrorCode::DuplicateVoter);
    assert_eq!(quorum(&cluster, leader).voters().len(), 3);
    assert_eq!(fetch(&mut cluster, leader, namesake(contested)), ErrorCode::DuplicateVoter);
    // Once the other one is gone, an operator may take the voter away, alive or not.
    cluster.run_for(2_100);
    remove(&mut cluster, leader, replica(contested));
    cluster.run_for(200);
    assert_eq!(membership_error(&cluster), ErrorCode::None);
}

#[test]
fn a_new_leader_takes_every_voter_for_alive_at_first() {
    let (mut cluster, old) = settled(3, 3);
    let silent = others(&cluster, old)[0];
    cluster.crash(silent);
    cluster.step(old, Event::Resign, Vec::new());
    cluster.run_until_holds(5_000, "another leader", |cluster| cluster.leader().is_some());
    let leader = cluster.leader().expect("it was just seen");
    assert_eq!(fetch(&mut cluster, leader, namesake(silent)), ErrorCode::DuplicateVoter);
    cluster.start(silent);
    settle(&mut cluster);
}

/// Replica 3 of three voters, with an empty disk.
struct Newcomer {
    quorum: Quorum,
    log: MemLog,
    now: u64,
    sent: Vec<(Peer, u64, Request)>,
    fatal: Option<Fatal>,
}

impl Newcomer {
    fn new(vote: VoteState) -> Self {
        let voter = |id| Voter { replica: replica(id), endpoints: Vec::new() };
        let config = Config::new(namesake(3), VoterSet::new((1..=3).map(voter)));
        let start = Start { vote: Some(vote), ..Start::default() };
        let log = MemLog::default();
        let (quorum, actions) = Quorum::start(config, start, &log, Millis(0)).expect("a valid configuration");
        let mut newcomer = Self { quorum, log, now: 0, sent: Vec::new(), fatal: None };
        newcomer.note(actions);
        newcomer
    }

    fn note(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, correlation, request } => self.sent.push((to, correlation, request)),
                Action::Fatal(fatal) => self.fatal = Some(fatal),
                _ => {}
            }
        }
    }

    /// Refuses everything that it asks in `epoch`, until `end` or until it stops.
    fn refuse_until(&mut self, end: u64, epoch: i32) {
        while self.now < end && self.fatal.is_none() {
            for (from, correlation, request) in std::mem::take(&mut self.sent) {
                let leader = CurrentLeader { id: Some(1), epoch };
                let error = ErrorCode::DuplicateVoter;
                let response = match request {
                    Request::Vote(_) => Response::Vote(VoteResponse { error, leader, vote_granted: false }),
                    _ => Response::Fetch(FetchResponse {
                        error,
                        leader,
                        high_watermark: -1,
                        log_start_offset: 0,
                        diverging_epoch: None,
                        snapshot_id: None,
                        records: None,
                    }),
                };
                let event = Event::Response { from, correlation, response };
                let actions = self.quorum.step(event, &self.log, Millis(self.now));
                self.note(actions);
            }
            self.now += 10;
            let actions = self.quorum.step(Event::Tick, &self.log, Millis(self.now));
            self.note(actions);
        }
    }
}

#[test]
fn a_node_whose_id_is_taken_stops_and_says_so() {
    let mut newcomer = Newcomer::new(VoteState { epoch: 4, voted_for: None, leader: Some(1) });
    newcomer.refuse_until(5_000, 4);
    assert_eq!(newcomer.fatal, None, "it may still be its own former incarnation that is remembered");
    newcomer.refuse_until(20_000, 4);
    assert_eq!(newcomer.fatal, Some(Fatal::NodeIdTaken { id: 3, directory: OTHER_DIRECTORY }));
    let message = newcomer.fatal.map(|fatal| fatal.to_string()).unwrap_or_default();
    assert!(message.contains("node id 3 is taken by a live replica with another log directory"), "{message}");
}

#[test]
fn a_new_leader_may_take_its_time_to_forget_a_former_incarnation() {
    let mut newcomer = Newcomer::new(VoteState { epoch: 4, voted_for: None, leader: Some(1) });
    newcomer.refuse_until(5_000, 4);
    newcomer.refuse_until(10_000, 5);
    assert_eq!(newcomer.fatal, None);
}
