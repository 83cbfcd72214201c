//! Anything may come in from outside, in any role, with the most inconvenient numbers: a replica answers or ignores it,
//! keeps its invariants, and never panics.

use quorum::message::{
    AddVoterRequest, BeginQuorumEpochRequest, CurrentLeader, EndQuorumEpochRequest, ErrorCode, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, MembershipResponse, QuorumEpochResponse,
    RecordRange, RemoveVoterRequest, Request, Response, UpdateVoterRequest, VoteRequest, VoteResponse,
};
use quorum::{
    Action, Config, ControlRecord, Event, Failure, LogOffset, Millis, Peer, Quorum, ReplicaId, Start, Voter,
    VoterSet,
};
use uuid::Uuid;

use crate::log::{MemLog, Payload};
use crate::random::Random;

const RUNS: u64 = 400;
const STEPS: u64 = 300;

fn int(random: &mut Random, near: i32) -> i32 {
    match random.below(8) {
        0 => i32::MAX,
        1 => i32::MIN,
        2 => -1,
        3 => 0,
        4 => near.saturating_add(1),
        _ => near,
    }
}

fn long(random: &mut Random, near: i64) -> i64 {
    match random.below(8) {
        0 => i64::MAX,
        1 => i64::MIN,
        2 => -1,
        3 => 0,
        4 => near.saturating_add(1),
        _ => near,
    }
}

fn replica(random: &mut Random) -> ReplicaId {
    let id = 1 + random.below(4) as i32;
    let directory = Uuid::from_u128(u128::from(random.below(3)) * id as u128);
    ReplicaId::new(int(random, id), directory)
}

fn position(random: &mut Random, log: &MemLog) -> LogOffset {
    let offset = random.below(log.end_offset() as u64 + 2) as i64;
    LogOffset::new(long(random, offset), int(random, log.epoch_before(offset)))
}

fn request(random: &mut Random, log: &MemLog, epoch: i32) -> Request {
    let leader_epoch = int(random, epoch);
    let at = position(random, log);
    match random.below(9) {
        0 => Request::Vote(VoteRequest {
            voter: replica(random),
            epoch: leader_epoch,
            candidate: replica(random),
            last: at,
            pre_vote: random.one_in(2),
        }),
        1 => Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
            voter: replica(random),
            leader_id: replica(random).id,
            leader_epoch,
        }),
        2 => Request::EndQuorumEpoch(EndQuorumEpochRequest {
            leader_id: replica(random).id,
            leader_epoch,
            preferred_successors: (0..random.below(200)).map(|_| replica(random)).collect(),
        }),
        3 | 4 => Request::Fetch(FetchRequest {
            replica: replica(random),
            current_leader_epoch: leader_epoch,
            fetch_offset: at.offset,
            last_fetched_epoch: at.epoch,
            high_watermark: long(random, at.offset),
            max_wait_ms: random.next(),
            max_bytes: random.next() as u32,
        }),
        5 => Request::FetchSnapshot(FetchSnapshotRequest {
            replica: replica(random),
            current_leader_epoch: leader_epoch,
            snapshot_id: at,
            position: random.next(),
            max_bytes: random.next() as u32,
        }),
        6 => Request::AddVoter(AddVoterRequest {
            voter: replica(random),
            endpoints: Vec::new(),
            timeout_ms: random.next(),
        }),
        7 => Request::RemoveVoter(RemoveVoterRequest { voter: replica(random) }),
        _ => Request::UpdateVoter(UpdateVoterRequest {
            current_leader_epoch: leader_epoch,
            voter: replica(random),
            endpoints: Vec::new(),
        }),
    }
}

fn response(random: &mut Random, log: &MemLog, epoch: i32) -> Response {
    let error = ErrorCode::from_code([0, 0, 0, 6, 42, 74, 98, 99, 77][random.below(9) as usize]);
    let leader = CurrentLeader {
        id: [None, Some(1), Some(2), Some(3), Some(-5)][random.below(5) as usize],
        // The highest epochs end everything at once, so they come rarely.
        epoch: if random.one_in(50) { int(random, epoch) } else { epoch },
    };
    let at = position(random, log);
    match random.below(8) {
        0 | 1 => Response::Vote(VoteResponse { error, leader, vote_granted: random.one_in(2) }),
        2 => Response::BeginQuorumEpoch(QuorumEpochResponse { error, leader }),
        3 => Response::EndQuorumEpoch(QuorumEpochResponse { error, leader }),
        4 | 5 => Response::Fetch(FetchResponse {
            error,
            leader,
            high_watermark: long(random, at.offset),
            log_start_offset: long(random, 0),
            diverging_epoch: random.one_in(8).then_some(at),
            snapshot_id: random.one_in(8).then_some(at),
            records: random.one_in(2).then(|| RecordRange {
                base_offset: log.end_offset(),
                end_offset: log.end_offset() + 1 + random.below(3) as i64,
            }),
        }),
        6 => Response::FetchSnapshot(FetchSnapshotResponse {
            error,
            leader,
            snapshot_id: at,
            size: random.below(10),
            position: random.below(3),
            bytes: random.below(12) as u32,
        }),
        _ => Response::AddVoter(MembershipResponse { error, message: String::new(), leader }),
    }
}

/// Carries out what changes the log; notes the requests that are out.
fn carry_out(
    log: &mut MemLog,
    out: &mut Vec<(Peer, u64)>,
    actions: Vec<Action>,
    epoch: i32,
) -> Option<Event> {
    let mut event = None;
    for action in actions {
        match action {
            Action::Send { to, correlation, .. } => out.push((to, correlation)),
            Action::AppendControl { epoch, records } => {
                let mut voters = Vec::new();
                for record in records {
                    match record {
                        ControlRecord::LeaderChange { .. } => _ = log.append(epoch, Payload::LeaderChange),
                        ControlRecord::Voters(set) => {
                            voters.push((log.append(epoch, Payload::Voters(set.clone())), set));
                        }
                    }
                }
                event = Some(Event::Appended { voters });
            }
            Action::AppendFetched { range } => {
                for _ in range.base_offset..range.end_offset {
                    log.append(epoch, Payload::Data(0));
                }
                event = Some(Event::Appended { voters: Vec::new() });
            }
            Action::TruncateTo { offset } => {
                log.truncate_to(offset);
                event = Some(Event::Truncated);
            }
            Action::InstallSnapshot(_) => event = Some(Event::SnapshotRejected),
            _ => {}
        }
    }
    event
}

#[test]
fn nonsense_from_outside_never_panics() {
    for seed in 0..RUNS {
        let mut random = Random(seed);
        let voters = (1..=1 + random.below(3) as i32).map(|id| {
            let directory = Uuid::from_u128(id as u128);
            Voter { replica: ReplicaId::new(id, directory), endpoints: Vec::new() }
        });
        let local = ReplicaId::new(1, Uuid::from_u128(1));
        let mut config = Config::new(local, VoterSet::new(voters));
        config.auto_join = random.one_in(2);
        let mut log = MemLog::default();
        let start = Start { damaged: random.one_in(10), ..Start::default() };
        let (mut quorum, mut actions) =
            Quorum::start(config, start, &log, Millis(0)).expect("a valid configuration");
        let mut out = Vec::new();
        let mut now = 0;
        for step in 0..STEPS {
            let epoch = quorum.epoch();
            let next = carry_out(&mut log, &mut out, std::mem::take(&mut actions), epoch);
            now += random.below(100);
            let event = next.unwrap_or_else(|| match random.below(8) {
                0 => Event::Tick,
                1 => {
                    log.flush();
                    Event::Flushed
                }
                2 | 3 => Event::Request { correlation: step, request: request(&mut random, &log, epoch) },
                _ => match out.pop() {
                    None => Event::Tick,
                    Some((to, correlation)) if random.one_in(10) => {
                        let failure = if random.one_in(2) { Failure::Refused } else { Failure::Lost };
                        Event::RequestFailed { to, correlation, failure }
                    }
                    Some((from, correlation)) => {
                        Event::Response { from, correlation, response: response(&mut random, &log, epoch) }
                    }
                },
            });
            actions = quorum.step(event, &log, Millis(now));
        }
    }
}

#[test]
fn kafka_error_codes_go_both_ways() {
    for code in -2..=150 {
        assert_eq!(ErrorCode::from_code(code).code(), code);
    }
    assert_eq!(ErrorCode::FencedLeaderEpoch.code(), 74);
    assert_eq!(ErrorCode::InvalidVoterKey.code(), 125);
}
