//! Workloads of Kafka clients: which there are, with which goals.
//!
//! `client` asks single requests, `topic` makes and deletes topics, `payload` the batches. Load goes through `traffic`: one thread with the
//! connections of `producer`s and `consumer`s (`link`, `cursor`). The other modules are workloads.
mod client;
mod consume;
mod consumer;
mod cursor;
mod footprint;
mod group;
mod latency;
mod link;
mod meter;
mod payload;
mod produce;
mod producer;
mod recovery;
mod topic;
mod traffic;
mod write;

use super::figures::{P99_US, PER_CPU_SECOND, RSS_MIB, TOOK_MS};
use super::server::{Kind, Variant};
use super::workload::{ROUNDS, State, Workload};
use consume::Consume;
use footprint::{CREATE_MS, IDLE_CPU};
use latency::Latency;
use log::Codec;
use payload::{BATCH_BYTES, LARGE, Payload, SMALL};
use produce::Produce;
use recovery::Victim;

/// Rows of the reach.
const RECORDS: &str = "records per broker CPU-second, produce and consume, acks=1 and all, each codec";
const LATENCY: &str = "end-to-end p99 at 20k and 100k records/s";
const MEMORY: &str = "memory idle and under load";
const START: &str = "start to first acknowledged write";
const PARTITIONS: &str = "2,000 partitions: idle CPU; time to create";
const RECOVERY: &str = "recovery after kill -9 of the leader, 3 nodes";

const TWICE: f64 = 2.0;
const THIRD: f64 = 1.0 / 3.0;
const TENTH: f64 = 1.0 / 10.0;
const TWENTIETH: f64 = 1.0 / 20.0;

const LEADER: i16 = 1;
const ALL: i16 = -1;
const SINGLE: usize = 1;
const CLUSTER: usize = 3;
/// Partitions of a topic: one, as many as are usual, as many as hurt.
const ONE: usize = 1;
const SOME: usize = 100;
const MANY: usize = 2_000;
/// Connections of one run to each node.
const PRODUCERS: usize = 4;
const READERS: usize = 2;
const FAN_OUT: usize = 10;
/// Requests over some partitions bring a full batch for each of so many; those over many partitions more and smaller ones.
const SOME_BATCHES: usize = 10;
const MANY_BATCHES: usize = 50;
const MANY_BATCH_BYTES: usize = 2 << 10;
const RATES: [u64; 2] = [20_000, 100_000];
const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd];
/// Turns of what takes its time on the peer's side: clusters that are started anew in the short run, many partitions.
const SLOW_ROUNDS: usize = 1;

/// All of them, or those of the short run, which has each row of the reach.
pub(crate) fn workloads(quick: bool) -> Vec<Workload> {
    let nodes: &[usize] = if quick { &[SINGLE] } else { &[SINGLE, CLUSTER] };
    let mut workloads = Vec::new();
    for nodes in nodes {
        // The load of many readers comes first, because it warms up every path of the peer before the figures of single paths are taken.
        workloads.extend(consume(*nodes, quick));
        workloads.extend(if quick { short_produce() } else { produce(*nodes) });
        workloads.extend(latency(*nodes));
        workloads.extend(shared(*nodes, quick));
    }
    workloads.extend((!quick).then(flushed).into_iter().flatten());
    workloads.extend(alone(quick));
    workloads
}

/// Full batches of a payload to one partition.
fn base(record_bytes: usize, codec: Codec, acks: i16) -> Produce {
    Produce {
        payload: Payload { record_bytes, codec },
        batch_bytes: BATCH_BYTES,
        partitions: ONE,
        batches: 1,
        producers: PRODUCERS,
        acks,
        idempotent: false,
    }
}

/// The same load spread over partitions.
fn spread(produce: Produce, partitions: usize) -> Produce {
    match partitions {
        ONE => produce,
        SOME => Produce { partitions, batches: SOME_BATCHES, ..produce },
        _ => Produce { partitions, batches: MANY_BATCHES, batch_bytes: MANY_BATCH_BYTES, ..produce },
    }
}

/// Of one node every combination over one partition, and what more partitions change; of a cluster those that wait for its copies.
fn produce(nodes: usize) -> Vec<Workload> {
    let acknowledged: &[i16] = if nodes == SINGLE { &[LEADER, ALL] } else { &[ALL] };
    let mut loads = Vec::new();
    for acks in acknowledged {
        for codec in CODECS {
            loads.extend([SMALL, LARGE].map(|record_bytes| base(record_bytes, codec, *acks)));
        }
    }
    loads.extend(CODECS.map(|codec| spread(base(LARGE, codec, ALL), SOME)));
    loads.extend(acknowledged.iter().map(|acks| spread(base(SMALL, Codec::None, *acks), MANY)));
    if nodes == SINGLE {
        loads.push(spread(base(SMALL, Codec::None, LEADER), SOME));
        loads.push(Produce { idempotent: true, ..base(SMALL, Codec::None, ALL) });
    } else {
        loads.push(base(LARGE, Codec::None, LEADER));
    }
    loads.push(Produce { idempotent: true, ..base(LARGE, Codec::None, ALL) });
    loads.into_iter().map(|produce| produces(nodes, produce)).collect()
}

/// Each codec and each kind of acknowledgement at least once.
fn short_produce() -> Vec<Workload> {
    let all = [
        base(LARGE, Codec::None, LEADER),
        base(SMALL, Codec::None, ALL),
        base(LARGE, Codec::Lz4, ALL),
        base(LARGE, Codec::Zstd, LEADER),
    ];
    all.into_iter().map(|produce| produces(SINGLE, produce)).collect()
}

fn produces(nodes: usize, produce: Produce) -> Workload {
    let kind = if produce.idempotent { "produce-idempotent" } else { "produce" };
    let name = name(kind, &produce, nodes);
    let rounds = if produce.partitions == MANY { many_rounds(nodes, false) } else { ROUNDS };
    Workload::new(name, Kind::Kafka, nodes, move |cluster, plan| produce.run(cluster, plan))
        .rounds(rounds)
        .goal(RECORDS, PER_CPU_SECOND, TWICE)
}

/// How a load is consumed.
#[derive(Clone, Copy)]
enum Way {
    CatchUp,
    Tail,
    FanOut,
}

fn consume(nodes: usize, quick: bool) -> Vec<Workload> {
    let plain = base(LARGE, Codec::None, LEADER);
    let mut loads = vec![(Way::FanOut, plain), (Way::CatchUp, plain), (Way::Tail, plain)];
    if !quick {
        let compressed = [Codec::Lz4, Codec::Zstd].map(|codec| base(LARGE, codec, LEADER));
        loads.extend(compressed.map(|load| (Way::CatchUp, load)));
        loads.push((Way::Tail, spread(plain, SOME)));
    }
    if !quick && nodes == SINGLE {
        loads.extend(CODECS.map(|codec| (Way::CatchUp, base(SMALL, codec, LEADER))));
        loads.extend([Codec::Lz4, Codec::Zstd].map(|codec| (Way::Tail, base(LARGE, codec, LEADER))));
        loads.push((Way::Tail, base(SMALL, Codec::None, LEADER)));
        loads.push((Way::CatchUp, spread(plain, SOME)));
    }
    loads.into_iter().map(|(way, produce)| consumes(way, nodes, produce)).collect()
}

fn consumes(way: Way, nodes: usize, produce: Produce) -> Workload {
    let (kind, readers) = match way {
        Way::CatchUp => ("catch-up", READERS),
        Way::Tail => ("tail", 1),
        Way::FanOut => ("fan-out-10", FAN_OUT),
    };
    let consume = Consume { produce, readers };
    let workload =
        Workload::new(name(kind, &produce, nodes), Kind::Kafka, nodes, move |cluster, plan| match way {
            Way::CatchUp => consume.catch_up(cluster, plan),
            Way::Tail | Way::FanOut => consume.tail(cluster, plan),
        });
    match way {
        Way::CatchUp | Way::Tail => workload.goal(RECORDS, PER_CPU_SECOND, TWICE),
        // It is the first load of a cluster, so that the peer's code is still being compiled: a ratio proves nothing.
        Way::FanOut => workload,
    }
}

fn latency(nodes: usize) -> Vec<Workload> {
    let all = RATES.into_iter().map(|per_second| {
        let payload = Payload { record_bytes: SMALL, codec: Codec::None };
        let latency = Latency { payload, per_second, partitions: nodes, acks: ALL };
        let name = format!("kafka/end-to-end/{}k-per-s/100B/acks=all/{}", per_second / 1_000, on(nodes));
        Workload::new(name, Kind::Kafka, nodes, move |cluster, plan| latency.run(cluster, plan))
            .goal(LATENCY, P99_US, THIRD)
    });
    all.collect()
}

/// Turns with many partitions: three nodes of the peer on one machine need minutes for one.
fn many_rounds(nodes: usize, quick: bool) -> usize {
    if quick || nodes == CLUSTER { SLOW_ROUNDS } else { ROUNDS }
}

/// What else runs on warm clusters.
fn shared(nodes: usize, quick: bool) -> Vec<Workload> {
    let partitions = Workload::new(
        format!("kafka/partitions/2000/{}", on(nodes)),
        Kind::Kafka,
        nodes,
        move |cluster, plan| footprint::partitions(MANY, cluster, plan),
    );
    let partitions = partitions.goal(PARTITIONS, IDLE_CPU, THIRD).goal(PARTITIONS, CREATE_MS, THIRD);
    let group =
        Workload::new(format!("kafka/rebalance/100-members/{}", on(nodes)), Kind::Kafka, nodes, group::run);
    let partitions = partitions.rounds(many_rounds(nodes, quick));
    // The short run creates them once, on nodes that have done nothing else.
    if quick { vec![partitions.state(State::Fresh)] } else { vec![group, partitions] }
}

/// Every batch is flushed, by both.
fn flushed() -> Vec<Workload> {
    let all = [(SINGLE, LEADER), (SINGLE, ALL), (CLUSTER, ALL)];
    let all = all.map(|(nodes, acks)| {
        let produce = base(LARGE, Codec::None, acks);
        let name = name("produce-flush.messages=1", &produce, nodes);
        Workload::new(name, Kind::Kafka, nodes, move |cluster, plan| produce.run(cluster, plan))
            .variant(Variant { flush_each: true })
    });
    all.into()
}

/// What wants a cluster of its own for every turn.
fn alone(quick: bool) -> Vec<Workload> {
    let rounds = if quick { SLOW_ROUNDS } else { ROUNDS };
    let nodes: &[usize] = if quick { &[SINGLE] } else { &[SINGLE, CLUSTER] };
    let mut workloads = Vec::new();
    for nodes in nodes {
        let named = |kind: &str| format!("kafka/{kind}/{}", on(*nodes));
        let load = spread(base(LARGE, Codec::None, LEADER), SOME);
        let load = Consume { produce: load, readers: READERS };
        let all = [
            Workload::new(named("start"), Kind::Kafka, *nodes, footprint::start)
                .state(State::Prepared)
                .goal(START, TOOK_MS, TWENTIETH),
            Workload::new(named("memory/idle"), Kind::Kafka, *nodes, footprint::idle)
                .state(State::Fresh)
                .goal(MEMORY, RSS_MIB, TENTH),
            Workload::new(named("memory/under-load"), Kind::Kafka, *nodes, move |cluster, plan| {
                footprint::loaded(&load, cluster, plan)
            })
            .state(State::Fresh)
            .goal(MEMORY, RSS_MIB, TENTH),
        ];
        workloads.extend(all.into_iter().map(|workload| workload.rounds(rounds)));
    }
    let victims: &[_] = if quick {
        &[(Victim::QuorumLeader, "quorum-leader")]
    } else {
        &[(Victim::QuorumLeader, "quorum-leader"), (Victim::Follower, "partition-leader")]
    };
    for (victim, named) in victims {
        let victim = *victim;
        let run = move |cluster: &mut _, plan: &_| recovery::run(victim, cluster, plan);
        let workload =
            Workload::new(format!("kafka/recovery/{named}/{}", on(CLUSTER)), Kind::Kafka, CLUSTER, run);
        workloads.push(workload.state(State::Fresh).rounds(rounds).goal(RECOVERY, TOOK_MS, THIRD));
    }
    workloads
}

/// The name of a workload that moves records.
fn name(kind: &str, produce: &Produce, nodes: usize) -> String {
    let payload = produce.payload;
    let size = if payload.record_bytes == LARGE { "1KiB" } else { "100B" };
    let codec = match payload.codec {
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
        _ => "none",
    };
    let acks = if produce.acks == ALL { "all" } else { "1" };
    format!("kafka/{kind}/{size}/{codec}/acks={acks}/{}p/{}", produce.partitions, on(nodes))
}

fn on(nodes: usize) -> String {
    if nodes == SINGLE { "1node".to_owned() } else { format!("{nodes}nodes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_of_the_reach_is_in_both_runs_and_no_name_twice() {
        for quick in [true, false] {
            let workloads = workloads(quick);
            let names: HashSet<&str> = workloads.iter().map(|workload| workload.name.as_str()).collect();
            assert_eq!(names.len(), workloads.len());
            let goals: HashSet<(&str, &str)> = workloads
                .iter()
                .flat_map(|workload| &workload.goals)
                .map(|goal| (goal.row.as_ref(), goal.figure.as_ref()))
                .collect();
            for row in [RECORDS, LATENCY, MEMORY, START, RECOVERY] {
                assert!(goals.iter().any(|(of, _)| *of == row), "{row}, quick: {quick}");
            }
            assert!(goals.contains(&(PARTITIONS, IDLE_CPU)) && goals.contains(&(PARTITIONS, CREATE_MS)));
        }
    }
}
