//! How long a cluster is without a leader when the leader's process dies, in virtual time.

use quorum::{Config, VoterSet};

use crate::cluster::Cluster;
use crate::stories::{replica, settle, voter};

const ROUNDS: u64 = 200;
/// The limits hold for hops of up to 10 ms and flushes of up to 8 ms.
const TYPICAL_MS: u64 = 120;
const LONGEST_MS: u64 = 300;

/// The times from the death of a leader to the first commit of the next one, in order.
fn outages(voters: i32, also_dead: usize) -> Vec<u64> {
    let mut outages: Vec<u64> = (0..ROUNDS)
        .map(|seed| {
            let set = VoterSet::new((1..=voters).map(voter));
            let mut cluster = Cluster::new(seed);
            for id in 1..=voters {
                cluster.add(Config { jitter: seed, ..Config::new(replica(id), set.clone()) });
            }
            settle(&mut cluster);
            let leader = cluster.leader().expect("it settled");
            let followers: Vec<i32> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
            for at in 0..also_dead {
                cluster.crash(followers[(seed as usize + at) % followers.len()]);
            }
            cluster.run_for(600 + seed);
            cluster.crash(leader);
            let (died_at, committed) = (cluster.now, cluster.oracle.committed.len());
            cluster.run_until_holds(5_000, "another leader commits", |cluster| {
                cluster.oracle.committed.len() > committed
            });
            cluster.now - died_at
        })
        .collect();
    outages.sort_unstable();
    outages
}

fn are_short(outages: &[u64]) {
    let (median, longest) = (outages[outages.len() / 2], outages[outages.len() - 1]);
    println!("median {median} ms, longest {longest} ms");
    assert!(median <= TYPICAL_MS, "the median outage is {median} ms");
    assert!(longest <= LONGEST_MS, "the longest outage is {longest} ms");
}

#[test]
fn two_of_three_replace_a_dead_leader_at_once() {
    are_short(&outages(3, 0));
}

#[test]
fn four_of_five_replace_a_dead_leader_at_once() {
    are_short(&outages(5, 0));
}

#[test]
fn three_of_five_replace_a_dead_leader_at_once_whoever_else_is_dead() {
    are_short(&outages(5, 1));
}

#[test]
fn voters_that_start_together_have_a_leader_at_once() {
    let mut waits: Vec<u64> = (0..ROUNDS)
        .map(|seed| {
            let set = VoterSet::new((1..=3).map(voter));
            let mut cluster = Cluster::new(seed);
            for id in 1..=3 {
                cluster.add(Config { jitter: seed, ..Config::new(replica(id), set.clone()) });
            }
            let begun = cluster.now;
            cluster
                .run_until_holds(5_000, "a leader commits", |cluster| !cluster.oracle.committed.is_empty());
            cluster.now - begun
        })
        .collect();
    waits.sort_unstable();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!("median {median} ms, longest {longest} ms");
    assert!(median <= 2 * TYPICAL_MS && longest <= 1_000, "median {median} ms, longest {longest} ms");
}
