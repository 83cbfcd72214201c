//! Stories of small clusters in fair weather, each about one promise.

use quorum::message::{
    AddVoterRequest, ErrorCode, FetchRequest, RemoveVoterRequest, Request, Response, UpdateVoterRequest,
    VoteRequest,
};
use quorum::{Config, Event, LogOffset, LogView, ReplicaId, RoleName, Voter, VoterSet};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::log::Payload;

pub(crate) fn replica(id: i32) -> ReplicaId {
    ReplicaId::new(id, Uuid::from_u128(id as u128 + 100))
}

pub(crate) fn voter(id: i32) -> Voter {
    Voter { replica: replica(id), endpoints: Vec::new() }
}

/// Voters 1 to `voters`, then observers up to `nodes`.
fn cluster(voters: i32, nodes: i32) -> Cluster {
    let set = VoterSet::new((1..=voters).map(voter));
    let mut cluster = Cluster::new(42);
    for id in 1..=nodes {
        cluster.add(Config { jitter: 7, ..Config::new(replica(id), set.clone()) });
    }
    cluster
}

/// A cluster with a leader whom everyone follows and whose epoch is committed everywhere.
pub(crate) fn settled(voters: i32, nodes: i32) -> (Cluster, i32) {
    let mut cluster = cluster(voters, nodes);
    settle(&mut cluster);
    let leader = cluster.leader().expect("somebody leads");
    (cluster, leader)
}

pub(crate) fn settle(cluster: &mut Cluster) {
    cluster.run_until_holds(20_000, "a leader whom everyone follows", |cluster| {
        let leader = cluster.leader();
        let running = || cluster.nodes.values().filter_map(|node| node.quorum.as_ref());
        let epoch = running().map(quorum::Quorum::epoch).max();
        let committed = cluster.oracle.committed.len() as i64;
        leader.is_some()
            && running().all(|quorum| {
                let same = quorum.leader() == leader && Some(quorum.epoch()) == epoch;
                same && quorum.high_watermark() == committed && committed > 0
            })
            && leader.is_some_and(|leader| cluster.node(leader).log.end_offset() == committed)
    });
}

pub(crate) fn quorum(cluster: &Cluster, id: i32) -> &quorum::Quorum {
    cluster.node(id).quorum.as_ref().expect("the node runs")
}

pub(crate) fn epoch(cluster: &Cluster) -> i32 {
    cluster.leader().map_or(0, |leader| quorum(cluster, leader).epoch())
}

pub(crate) fn others(cluster: &Cluster, id: i32) -> Vec<i32> {
    cluster.nodes.keys().copied().filter(|other| *other != id).collect()
}

fn isolate(cluster: &mut Cluster, id: i32) {
    for other in others(cluster, id) {
        cluster.cut.insert((id, other));
        cluster.cut.insert((other, id));
    }
}

pub(crate) fn last_answer(cluster: &Cluster) -> Response {
    cluster.operator_answers.last().cloned().expect("the request was answered")
}

pub(crate) fn membership_error(cluster: &Cluster) -> ErrorCode {
    match last_answer(cluster) {
        Response::AddVoter(answer) | Response::RemoveVoter(answer) | Response::UpdateVoter(answer) => {
            answer.error
        }
        other => panic!("not an answer to a change of the voters: {other:?}"),
    }
}

fn add(cluster: &mut Cluster, leader: i32, id: i32, timeout_ms: u64) {
    let request = AddVoterRequest { voter: replica(id), endpoints: Vec::new(), timeout_ms };
    cluster.ask(leader, Request::AddVoter(request));
}

fn remove(cluster: &mut Cluster, leader: i32, id: i32) {
    cluster.ask(leader, Request::RemoveVoter(RemoveVoterRequest { voter: replica(id) }));
}

#[test]
fn three_voters_elect_one_leader_and_replicate() {
    let (mut cluster, leader) = settled(3, 3);
    cluster.write(leader, 10);
    settle(&mut cluster);
    let logs: Vec<_> = cluster.nodes.values().map(|node| &node.log.entries).collect();
    assert!(logs.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(cluster.leaders(), [leader]);
}

#[test]
fn a_killed_leader_is_replaced_long_before_the_fetch_timeout() {
    let (mut cluster, leader) = settled(3, 3);
    cluster.write(leader, 3);
    cluster.run_for(100);
    let killed_at = cluster.now;
    cluster.crash(leader);
    cluster.run_until_holds(1_000, "another leader", |cluster| cluster.leader().is_some());
    assert!(cluster.now - killed_at < 300, "{} ms", cluster.now - killed_at);
}

#[test]
fn a_leader_that_stops_hands_over_to_the_replica_that_has_most() {
    let (mut cluster, leader) = settled(3, 3);
    let lagging = others(&cluster, leader)[0];
    isolate(&mut cluster, lagging);
    cluster.write(leader, 5);
    cluster.run_for(100);
    cluster.cut.clear();
    let stopped_at = cluster.now;
    cluster.step(leader, Event::Shutdown, Vec::new());
    cluster.run_until_holds(200, "the successor leads", |cluster| !cluster.leaders().is_empty());
    assert!(cluster.now - stopped_at < 60, "{} ms", cluster.now - stopped_at);
    assert_eq!(
        cluster.leaders(),
        [others(&cluster, leader)[1]],
        "the one with the longer log is asked first"
    );
    cluster.run_until_holds(2_000, "all are told", |cluster| cluster.node(leader).shut_down);
}

#[test]
fn a_leader_cut_off_steps_down_and_its_entries_give_way() {
    let (mut cluster, old) = settled(3, 3);
    isolate(&mut cluster, old);
    cluster.write(old, 7);
    cluster.run_until_holds(4_000, "check-quorum ends the lonely leadership", |cluster| {
        cluster.node(old).leads.is_none()
    });
    cluster.run_until_holds(10_000, "the majority has a leader", |cluster| cluster.leader().is_some());
    let new = cluster.leader().expect("it was just seen");
    assert_ne!(new, old);
    cluster.write(new, 2);
    cluster.cut.clear();
    settle(&mut cluster);
    assert_eq!(cluster.node(old).log.entries, cluster.node(new).log.entries);
    assert!(cluster.seen["truncations"] > 0);
}

#[test]
fn a_follower_that_was_cut_off_disturbs_nobody_when_it_returns() {
    let (mut cluster, leader) = settled(3, 3);
    let (before, lonely) = (epoch(&cluster), others(&cluster, leader)[0]);
    isolate(&mut cluster, lonely);
    cluster.run_for(30_000);
    assert_eq!(
        quorum(&cluster, lonely).epoch(),
        before,
        "pre-vote: no epoch is raised without a chance to win"
    );
    cluster.cut.clear();
    cluster.run_for(5_000);
    settle(&mut cluster);
    assert_eq!((cluster.leader(), epoch(&cluster)), (Some(leader), before));
}

#[test]
fn a_follower_that_hears_nothing_but_is_heard_does_not_unseat_the_leader() {
    let (mut cluster, leader) = settled(3, 3);
    let (before, deaf) = (epoch(&cluster), others(&cluster, leader)[0]);
    for other in others(&cluster, deaf) {
        cluster.cut.insert((other, deaf));
    }
    cluster.run_for(30_000);
    assert_eq!((cluster.leader(), epoch(&cluster)), (Some(leader), before));
}

#[test]
fn entries_of_an_older_epoch_are_not_committed_by_counting_copies() {
    let (mut cluster, leader) = settled(3, 3);
    let followers = others(&cluster, leader);
    // An entry of the old epoch reaches nobody, then its leader comes back to lead a new epoch.
    isolate(&mut cluster, leader);
    cluster.write(leader, 1);
    cluster.run_for(50);
    let (end, committed) = (cluster.node(leader).log.end_offset(), cluster.oracle.committed.len() as i64);
    assert_eq!(end, committed + 1);
    for id in &followers {
        cluster.crash(*id);
    }
    cluster.crash(leader);
    cluster.cut.clear();
    cluster.start(leader);
    cluster.start(followers[0]);
    cluster.run_until_holds(10_000, "the longer log wins", |cluster| cluster.leader() == Some(leader));
    let start = cluster.node(leader).log.end_offset() - 1;
    cluster.run_until_holds(5_000, "the epoch is committed", |cluster| {
        cluster.oracle.committed.len() as i64 > committed
    });
    assert!(
        cluster.oracle.committed.len() as i64 > start,
        "the old entry only along with one of the new epoch"
    );
}

#[test]
fn a_follower_learns_of_a_commit_at_once_and_not_with_its_next_fetch() {
    let (mut cluster, leader) = settled(5, 5);
    for _ in 0..20 {
        cluster.write(leader, 1);
        let written_at = cluster.now;
        let end = cluster.node(leader).log.end_offset();
        cluster.run_until_holds(400, "every replica knows the commit", |cluster| {
            cluster.nodes.keys().all(|id| quorum(cluster, *id).high_watermark() == end)
        });
        // Two rounds of hops of at most 10 ms, and the flushes; a fetch may wait 500 ms.
        assert!(cluster.now - written_at < 100, "{} ms", cluster.now - written_at);
        cluster.run_for(100);
    }
}

#[test]
fn a_follower_below_the_log_start_starts_over_from_the_snapshot() {
    let (mut cluster, leader) = settled(3, 3);
    let late = others(&cluster, leader)[0];
    cluster.crash(late);
    cluster.write(leader, 50);
    cluster.run_for(200);
    let hw = quorum(&cluster, leader).high_watermark();
    cluster.node_mut(leader).log.compact(hw - 5);
    cluster.start(late);
    settle(&mut cluster);
    assert_eq!(cluster.node(late).log.start, hw - 5);
    assert_eq!(cluster.seen["snapshots installed"], 1);
}

#[test]
fn an_empty_observer_takes_the_snapshot_rather_than_the_log() {
    let (mut cluster, leader) = settled(1, 1);
    cluster.write(leader, 20);
    cluster.run_for(100);
    cluster.node_mut(leader).log.compact(10);
    let mut config = Config::new(replica(9), VoterSet::default());
    config.bootstrap_servers = 1;
    cluster.add(config);
    settle(&mut cluster);
    assert_eq!((cluster.node(9).log.start, quorum(&cluster, 9).role()), (10, RoleName::Observer));
}

#[test]
fn an_observer_becomes_a_voter_on_request_once_it_has_caught_up() {
    let (mut cluster, leader) = settled(1, 2);
    isolate(&mut cluster, 2);
    cluster.write(leader, 5);
    cluster.run_for(3_000);
    add(&mut cluster, leader, 2, 30_000);
    cluster.run_for(1_000);
    assert!(cluster.operator_answers.is_empty(), "it waits for the observer");
    cluster.cut.clear();
    cluster.run_for(3_000);
    assert_eq!(membership_error(&cluster), ErrorCode::None);
    assert_eq!(quorum(&cluster, 2).role(), RoleName::Follower);
    assert_eq!(quorum(&cluster, leader).voters().len(), 2);
}

#[test]
fn an_observer_that_lags_is_promoted_only_behind_what_was_committed() {
    let (mut cluster, leader) = settled(1, 2);
    cluster.write(leader, 2_000);
    cluster.run_for(30);
    let committed = cluster.oracle.committed.len() as i64;
    assert!(committed >= 2_000 && cluster.node(2).log.end_offset() < committed);
    add(&mut cluster, leader, 2, 30_000);
    cluster.run_until_holds(30_000, "two voters", |cluster| quorum(cluster, leader).voters().len() == 2);
    assert!(cluster.node(2).log.flushed >= committed);
}

#[test]
fn an_observer_that_does_not_catch_up_in_time_is_not_added() {
    let (mut cluster, leader) = settled(1, 2);
    isolate(&mut cluster, 2);
    cluster.write(leader, 5);
    cluster.run_for(3_000);
    add(&mut cluster, leader, 2, 500);
    cluster.run_for(1_000);
    assert_eq!(membership_error(&cluster), ErrorCode::RequestTimedOut);
    assert_eq!(quorum(&cluster, leader).voters().len(), 1);
}

#[test]
fn only_one_change_of_the_voters_is_under_way() {
    let (mut cluster, leader) = settled(3, 5);
    add(&mut cluster, leader, 4, 5_000);
    add(&mut cluster, leader, 5, 5_000);
    assert_eq!(membership_error(&cluster), ErrorCode::RequestTimedOut);
    cluster.run_for(1_000);
    assert_eq!(membership_error(&cluster), ErrorCode::None);
    let voters: Vec<i32> = quorum(&cluster, leader).voters().iter().map(|voter| voter.replica.id).collect();
    assert_eq!(voters, [1, 2, 3, 4]);
}

#[test]
fn a_timed_out_change_still_blocks_the_next_until_it_is_committed() {
    let (mut cluster, leader) = settled(3, 3);
    let followers = others(&cluster, leader);
    isolate(&mut cluster, leader);
    remove(&mut cluster, leader, followers[0]);
    cluster.run_for(2_100);
    assert_eq!(membership_error(&cluster), ErrorCode::RequestTimedOut);
    remove(&mut cluster, leader, followers[1]);
    assert_eq!(membership_error(&cluster), ErrorCode::RequestTimedOut);
    assert_eq!(quorum(&cluster, leader).voters().len(), 2);
}

#[test]
fn no_change_before_the_leader_has_committed_in_its_epoch() {
    let (mut cluster, old) = settled(3, 3);
    let heir = others(&cluster, old)[0];
    cluster.step(old, Event::Resign, Vec::new());
    cluster.run_until_holds(5_000, "somebody else leads", |cluster| cluster.leader().is_some());
    let leader = cluster.leader().expect("it was just seen");
    remove(&mut cluster, leader, if leader == heir { old } else { heir });
    assert_eq!(membership_error(&cluster), ErrorCode::RequestTimedOut);
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    let (mut cluster, leader) = settled(1, 2);
    remove(&mut cluster, leader, 7);
    assert_eq!(membership_error(&cluster), ErrorCode::VoterNotFound);
    remove(&mut cluster, leader, leader);
    assert_eq!(membership_error(&cluster), ErrorCode::InvalidRequest);
    add(&mut cluster, leader, leader, 100);
    assert_eq!(membership_error(&cluster), ErrorCode::DuplicateVoter);
    let voter = ReplicaId::of_unknown_directory(2);
    let request = AddVoterRequest { voter, endpoints: Vec::new(), timeout_ms: 100 };
    cluster.ask(leader, Request::AddVoter(request));
    assert_eq!(membership_error(&cluster), ErrorCode::InvalidRequest);
    let current_leader_epoch = epoch(&cluster) - 1;
    let request = UpdateVoterRequest { current_leader_epoch, voter: replica(1), endpoints: Vec::new() };
    cluster.ask(leader, Request::UpdateVoter(request));
    assert_eq!(membership_error(&cluster), ErrorCode::FencedLeaderEpoch);
    add(&mut cluster, 2, 2, 100);
    assert_eq!(membership_error(&cluster), ErrorCode::NotLeaderOrFollower);
}

#[test]
fn a_leader_that_removes_itself_commits_that_and_hands_over() {
    let (mut cluster, leader) = settled(3, 3);
    remove(&mut cluster, leader, leader);
    cluster.run_for(100);
    assert_eq!(membership_error(&cluster), ErrorCode::None);
    settle(&mut cluster);
    assert_ne!(cluster.leader(), Some(leader));
    assert_eq!(quorum(&cluster, leader).role(), RoleName::Observer, "it follows on as an observer");
}

#[test]
fn a_voter_that_lost_its_disk_comes_back_as_another_replica_and_joins_again() {
    let (mut cluster, leader) = settled(3, 3);
    let lost = others(&cluster, leader)[0];
    cluster.wipe(lost, Uuid::from_u128(999));
    cluster.node_mut(lost).config.auto_join = true;
    cluster.start(lost);
    cluster.run_for(10_000);
    settle(&mut cluster);
    let voters = quorum(&cluster, leader).voters();
    assert_eq!(voters.len(), 3);
    assert_eq!(voters.get(lost).map(|voter| voter.replica.directory), Some(Uuid::from_u128(999)));
}

#[test]
fn directories_that_the_configuration_does_not_know_become_part_of_the_voter_set() {
    let unknown = |id| Voter { replica: ReplicaId::of_unknown_directory(id), endpoints: Vec::new() };
    let set = VoterSet::new((1..=3).map(unknown));
    let mut cluster = Cluster::new(1);
    for id in 1..=3 {
        cluster.add(Config { jitter: 3, ..Config::new(replica(id), set.clone()) });
    }
    settle(&mut cluster);
    cluster.run_for(5_000);
    settle(&mut cluster);
    let leader = cluster.leader().expect("it settled");
    assert_eq!(*quorum(&cluster, leader).voters(), VoterSet::new((1..=3).map(voter)));
}

#[test]
fn a_vote_for_another_incarnation_is_refused() {
    let (mut cluster, leader) = settled(3, 3);
    let asked = others(&cluster, leader)[0];
    let request = VoteRequest {
        voter: ReplicaId::new(asked, Uuid::from_u128(5)),
        epoch: epoch(&cluster) + 1,
        candidate: replica(leader),
        last: LogOffset::new(1_000, 1),
        pre_vote: false,
    };
    cluster.ask(asked, Request::Vote(request));
    let Response::Vote(answer) = last_answer(&cluster) else { panic!("not an answer to a vote") };
    assert_eq!((answer.error, answer.vote_granted), (ErrorCode::InvalidVoterKey, false));
}

#[test]
fn a_damaged_voter_gives_no_vote_until_it_has_everything_again() {
    let (mut cluster, leader) = settled(3, 3);
    let damaged = others(&cluster, leader)[0];
    cluster.write(leader, 10);
    settle(&mut cluster);
    cluster.damage(damaged, 5);
    isolate(&mut cluster, damaged);
    cluster.start(damaged);
    let request = VoteRequest {
        voter: replica(damaged),
        epoch: epoch(&cluster) + 1,
        candidate: replica(leader),
        last: LogOffset::new(1_000, epoch(&cluster)),
        pre_vote: false,
    };
    cluster.ask(damaged, Request::Vote(request));
    let Response::Vote(answer) = last_answer(&cluster) else { panic!("not an answer to a vote") };
    assert_eq!((answer.error, answer.vote_granted), (ErrorCode::None, false));
    cluster.run_for(20_000);
    assert_eq!(quorum(&cluster, damaged).role(), RoleName::Unattached, "it calls no election");
    cluster.cut.clear();
    cluster.run_until_holds(10_000, "it is whole again", |cluster| !cluster.node(damaged).damaged);
}

#[test]
fn a_leader_tells_how_far_every_replica_is() {
    let (mut cluster, leader) = settled(3, 4);
    cluster.write(leader, 4);
    settle(&mut cluster);
    cluster.run_for(600);
    cluster.ask(leader, Request::DescribeQuorum);
    let Response::DescribeQuorum(answer) = last_answer(&cluster) else { panic!("not a description") };
    let end = cluster.node(leader).log.end_offset();
    assert_eq!((answer.error, answer.leader.id, answer.high_watermark), (ErrorCode::None, Some(leader), end));
    assert_eq!((answer.voters.len(), answer.observers.len()), (3, 1));
    assert!(answer.voters.iter().chain(&answer.observers).all(|state| state.log_end_offset == end));
    assert!(answer.voters.iter().all(|state| state.last_caught_up.is_some()));
    let follower = others(&cluster, leader)[0];
    cluster.ask(follower, Request::DescribeQuorum);
    let Response::DescribeQuorum(answer) = last_answer(&cluster) else { panic!("not a description") };
    assert_eq!((answer.error, answer.leader.id), (ErrorCode::NotLeaderOrFollower, Some(leader)));
}

#[test]
fn a_fetch_of_another_epoch_is_told_so() {
    let (mut cluster, leader) = settled(3, 3);
    let epoch = epoch(&cluster);
    let fetch = |current_leader_epoch| FetchRequest {
        replica: replica(8),
        current_leader_epoch,
        fetch_offset: 0,
        last_fetched_epoch: 0,
        high_watermark: 0,
        max_wait_ms: 0,
        max_bytes: 1,
    };
    for (asked, error) in [
        (epoch - 1, ErrorCode::FencedLeaderEpoch),
        (epoch + 1, ErrorCode::UnknownLeaderEpoch),
        (epoch, ErrorCode::None),
    ] {
        cluster.ask(leader, Request::Fetch(fetch(asked)));
        let Response::Fetch(answer) = last_answer(&cluster) else { panic!("not an answer to a fetch") };
        assert_eq!(answer.error, error);
    }
}

#[test]
fn a_fetch_parked_at_a_leader_is_answered_when_it_stops_leading() {
    let (mut cluster, leader) = settled(3, 3);
    let end = cluster.node(leader).log.end();
    let request = FetchRequest {
        replica: replica(8),
        current_leader_epoch: epoch(&cluster),
        fetch_offset: end.offset,
        last_fetched_epoch: end.epoch,
        high_watermark: end.offset,
        max_wait_ms: 500,
        max_bytes: 1,
    };
    cluster.ask(leader, Request::Fetch(request));
    assert!(cluster.operator_answers.is_empty(), "there is no news");
    cluster.step(leader, Event::Resign, Vec::new());
    let Response::Fetch(answer) = last_answer(&cluster) else { panic!("not an answer to a fetch") };
    assert_eq!(answer.error, ErrorCode::NotLeaderOrFollower);
}

#[test]
fn every_epoch_starts_with_a_leader_change_record() {
    let (mut cluster, leader) = settled(3, 3);
    cluster.step(leader, Event::Resign, Vec::new());
    settle(&mut cluster);
    let entries = &cluster.node(leader).log.entries;
    let mut epoch = 0;
    for entry in entries {
        if entry.epoch > epoch {
            assert_eq!(entry.payload, Payload::LeaderChange);
            epoch = entry.epoch;
        }
    }
    assert!(epoch >= 2);
}

#[test]
fn every_replica_knows_when_it_was_last_in_touch_with_a_leader() {
    let (mut cluster, leader) = settled(3, 4);
    let contact = |cluster: &Cluster, id| {
        let now = cluster.node(id).clock.shows(cluster.now);
        quorum(cluster, id).last_contact(now).map(|moment| now.0 - moment.0)
    };
    cluster.run_for(1_000);
    for id in 1..=4 {
        assert!(contact(&cluster, id).is_some_and(|age| age < 600), "{id}: {:?}", contact(&cluster, id));
    }
    isolate(&mut cluster, leader);
    cluster.run_for(1_500);
    assert!(contact(&cluster, leader).is_some_and(|age| age >= 1_000), "{:?}", contact(&cluster, leader));
    let follower = others(&cluster, leader)[0];
    assert!(contact(&cluster, follower).is_some_and(|age| age >= 1_000), "{:?}", contact(&cluster, follower));
    cluster.run_for(3_000);
    assert!(
        contact(&cluster, leader).is_some_and(|age| age >= 4_000),
        "it stays as it was when the lead is lost"
    );
}

#[test]
fn a_lone_voter_is_always_in_touch_with_itself() {
    let (mut cluster, leader) = settled(1, 1);
    cluster.run_for(10_000);
    let now = cluster.node(leader).clock.shows(cluster.now);
    assert_eq!(quorum(&cluster, leader).last_contact(now), Some(now));
}
