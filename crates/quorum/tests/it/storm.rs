//! A storm over a cluster: one seed decides who takes part and everything that goes wrong. Then everything heals, progress
//! is demanded, and one more node comes and goes without anybody else's taking harm.

use quorum::message::{AddVoterRequest, RemoveVoterRequest, Request};
use quorum::{Config, Event, Quorum, ReplicaId, Voter, VoterSet};
use uuid::Uuid;

use crate::clock::TRUE_RATE;
use crate::cluster::{Cluster, Weather};
use crate::random::Random;

const STORM_MS: u64 = 30_000;
const HEAL_MS: u64 = 60_000;
/// Time enough to join, to be announced to, and to fetch.
const QUIET_MS: u64 = 5_000;
/// Long enough for check-quorum to end a lonely leadership, and for pre-votes.
const ABSENCE_MS: u64 = 4_000;
/// Two rounds of hops of at most 10 ms, and the flushes; a fetch may wait for much longer.
const PROMPT_MS: u64 = 200;

fn directory(id: i32, life: u128) -> Uuid {
    Uuid::from_u128((life << 32) + u128::from(id.unsigned_abs()) + 1)
}

fn build(seed: u64, configure: impl Fn(&mut Config)) -> Cluster {
    let mut random = Random(seed);
    let voters = [1, 2, 3, 3, 3, 4, 5][random.below(7) as usize];
    let observers = random.below(3) as i32;
    let known_directories = random.one_in(2);
    let set = VoterSet::new((1..=voters).map(|id| {
        let directory = if known_directories { directory(id, 1) } else { Uuid::nil() };
        Voter { replica: ReplicaId::new(id, directory), endpoints: Vec::new() }
    }));
    let mut cluster = Cluster::new(random.next());
    for id in 1..=voters + observers {
        let mut config = Config::new(ReplicaId::new(id, directory(id, 1)), set.clone());
        config.jitter = seed;
        config.auto_join = true;
        config.local.directory = directory(id, 1);
        if id > voters {
            config.auto_join = random.one_in(2);
        }
        configure(&mut config);
        cluster.add(config);
        if random.one_in(2) {
            let rate = TRUE_RATE - 50 + random.below(101);
            cluster.node_mut(id).clock.set_rate(rate, 0);
        }
    }
    cluster
}

fn bad_weather(random: &mut Random) -> Weather {
    let pick = |random: &mut Random, choices: [u64; 4]| choices[random.below(4) as usize];
    Weather {
        drop: pick(random, [0, 100, 20, 5]),
        repeat: pick(random, [0, 100, 20, 5]),
        slow: pick(random, [0, 100, 20, 10]),
        crash_mid_step: pick(random, [0, 0, 2_000, 500]),
        flush_fails: pick(random, [0, 0, 500, 100]),
    }
}

/// One thing that goes wrong, or that somebody does.
fn disturb(cluster: &mut Cluster, random: &mut Random) {
    let ids: Vec<i32> = cluster.nodes.keys().copied().collect();
    let id = ids[random.below(ids.len() as u64) as usize];
    let now = cluster.now;
    match random.below(17) {
        0 | 1 => {
            cluster.crash(id);
            cluster.restart_later(id, random.below(5_000));
        }
        2 => {
            for other in ids {
                cluster.cut.insert((id, other));
                cluster.cut.insert((other, id));
            }
        }
        3 => {
            let other = ids[random.below(ids.len() as u64) as usize];
            cluster.cut.insert((id, other));
        }
        4..=6 => cluster.cut.clear(),
        7 => cluster.pause(id, now + random.below(6_000)),
        8 => cluster.weather = bad_weather(random),
        9 => cluster.step(id, Event::Resign, Vec::new()),
        10 => {
            cluster.step(id, Event::Shutdown, Vec::new());
            cluster.run_for(random.below(100));
            cluster.crash(id);
            cluster.restart_later(id, random.below(3_000));
        }
        11 => {
            let log = &cluster.node(id).log;
            let committed = cluster.oracle.committed.len() as i64;
            let known = cluster.node(id).quorum.as_ref().map_or(0, |quorum| quorum.high_watermark());
            let top = known.min(committed).min(log.flushed);
            if top > log.start {
                let offset = log.start + 1 + random.below((top - log.start) as u64) as i64;
                cluster.node_mut(id).log.compact(offset);
            }
        }
        12 | 15 => change_voters(cluster, random, id),
        13 if cluster.can_lose_one() => {
            cluster.wipe(id, directory(id, u128::from(now) + 2));
            let config = &mut cluster.node_mut(id).config;
            // A lone voter with an empty disk would found a cluster of its own, so it joins as others do.
            if config.voters.len() == 1 || random.one_in(2) {
                config.voters = VoterSet::default();
                config.bootstrap_servers = ids.len() as u32;
            }
            cluster.restart_later(id, random.below(5_000));
        }
        14 if cluster.can_lose_one() => {
            cluster.damage(id, 1 + random.below(20) as i64);
            cluster.restart_later(id, random.below(5_000));
        }
        _ => {}
    }
}

fn voters_of(cluster: &Cluster, id: i32) -> VoterSet {
    cluster.node(id).quorum.as_ref().map(|quorum| quorum.voters().clone()).unwrap_or_default()
}

fn change_voters(cluster: &mut Cluster, random: &mut Random, id: i32) {
    let Some(leader) = cluster.leader() else { return };
    let replica = cluster.node(id).config.local;
    let voters = voters_of(cluster, leader);
    // An operator doesn't take voters away while another one is lost: the rest might be no majority any more.
    if voters.contains(replica) && (voters.len() == 2 || voters.len() > 2 && cluster.can_lose_one()) {
        cluster.ask(leader, Request::RemoveVoter(RemoveVoterRequest { voter: replica }));
    } else {
        let timeout_ms = random.below(5_000);
        let request = AddVoterRequest { voter: replica, endpoints: Vec::new(), timeout_ms };
        cluster.ask(leader, Request::AddVoter(request));
    }
}

/// Runs one seed to its end; a promise that is broken is a panic.
pub(crate) fn run(seed: u64, configure: impl Fn(&mut Config)) -> Cluster {
    let mut cluster = build(seed, configure);
    let mut random = Random(seed ^ 0x5EED);
    storm(&mut cluster, &mut random);
    heal(&mut cluster);
    come_and_go(&mut cluster, &mut random);
    cluster
}

fn storm(cluster: &mut Cluster, random: &mut Random) {
    cluster.weather = bad_weather(random);
    while cluster.now < STORM_MS {
        cluster.run_for(random.below(200));
        for leader in cluster.leaders() {
            cluster.write(leader, random.below(5));
        }
        if random.one_in(4) {
            disturb(cluster, random);
        }
    }
}

/// Everything runs and reaches everything: one leader, and each replica holds what is written from now on.
fn heal(cluster: &mut Cluster) {
    cluster.weather = Weather::default();
    cluster.cut.clear();
    let ids: Vec<i32> = cluster.nodes.keys().copied().collect();
    for id in &ids {
        let now = cluster.now;
        cluster.pause(*id, now);
        if cluster.node(*id).quorum.is_some() && cluster.node(*id).shut_down {
            cluster.crash(*id);
        }
        cluster.start(*id);
    }
    cluster.run_until_holds(HEAL_MS, "one leader that everybody follows", |cluster| {
        let leader = cluster.leader();
        leader.is_some()
            && cluster.leaders().len() == 1
            && cluster
                .nodes
                .values()
                .all(|node| node.quorum.as_ref().and_then(|quorum| quorum.leader()) == leader)
    });
    let before = cluster.oracle.committed.len();
    let end = cluster.now + HEAL_MS;
    while cluster.now < end && cluster.oracle.committed.len() < before + 10 {
        for leader in cluster.leaders() {
            cluster.write(leader, 1);
        }
        cluster.run_for(50);
    }
    assert!(cluster.oracle.committed.len() >= before + 10, "no write is committed; {}", cluster.describe());
    cluster.run_until_holds(HEAL_MS, "every replica holds everything", |cluster| {
        let committed = cluster.oracle.committed.len() as i64;
        let mut quorums = cluster.nodes.values().filter_map(|node| node.quorum.as_ref());
        quorums.all(|quorum| quorum.high_watermark() == committed)
    });
}

/// Nobody is harmed by a voter that was cut off for a while and comes back: a leader has stepped down meanwhile, and
/// any other one unseats no leader. What is written is known everywhere at once.
fn come_and_go(cluster: &mut Cluster, random: &mut Random) {
    cluster.run_for(QUIET_MS);
    let Some(leader) = cluster.leader() else { panic!("the leader is gone; {}", cluster.describe()) };
    let set = voters_of(cluster, leader);
    let voters = set.iter().map(|voter| voter.replica);
    let voters: Vec<i32> = voters
        .filter(|voter| voter.names(cluster.node(voter.id).config.local))
        .map(|voter| voter.id)
        .collect();
    if voters.len() <= set.majority() {
        return;
    }
    tell_at_once(cluster, leader);
    let epoch = cluster.node(leader).leads;
    let absent = voters[random.below(voters.len() as u64) as usize];
    let is_heard = random.one_in(2);
    let others: Vec<i32> = cluster.nodes.keys().copied().filter(|id| *id != absent).collect();
    for other in others {
        cluster.cut.insert((other, absent));
        if !is_heard {
            cluster.cut.insert((absent, other));
        }
    }
    cluster.run_for(ABSENCE_MS + random.below(ABSENCE_MS));
    if absent == leader {
        assert_ne!(cluster.node(leader).leads, epoch, "{leader} leads on although nobody follows");
    }
    cluster.cut.clear();
    cluster.run_for(QUIET_MS);
    if absent != leader {
        let epochs = cluster.nodes.values().filter_map(|node| node.quorum.as_ref()).map(Quorum::epoch);
        let now = (cluster.node(leader).leads, epochs.max());
        assert_eq!(now, (epoch, epoch), "{absent} unseats the leader {leader}; {}", cluster.describe());
    }
}

fn tell_at_once(cluster: &mut Cluster, leader: i32) {
    cluster.write(leader, 1);
    let end = cluster.node(leader).log.end_offset();
    cluster.run_until_holds(PROMPT_MS, "everybody knows a commit at once", |cluster| {
        let mut quorums = cluster.nodes.values().filter_map(|node| node.quorum.as_ref());
        quorums.all(|quorum| quorum.high_watermark() >= end)
    });
}
