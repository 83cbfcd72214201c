//! How long a partition takes no writes after its leader was killed.
use super::client::Client;
use super::topic::{Topic, first};
use super::write::Write;
use crate::peers::figures::{Figure, TOOK_MS};
use crate::peers::server::Cluster;
use crate::peers::workload::Plan;
use anyhow::{Context, Result, ensure};
use kafka_wire::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumRequestPartitionData, DescribeQuorumRequestTopicData,
    DescribeQuorumResponse,
};
use kafka_wire::{ApiKey, ErrorCode};
use std::time::Duration;

/// Writes one after another before the kill, so that the connections are in use.
const WRITES_BEFORE: i64 = 200;
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE_US: u64 = 90_000_000;

/// Which leader of a partition is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// The one that also leads the quorum, so that whoever decides on the next leader has to be found first.
    QuorumLeader,
    /// One that doesn't.
    Follower,
}

/// One turn on a cluster of its own: from the kill to the next acknowledged write (acks=all).
pub(super) fn run(victim: Victim, cluster: &mut Cluster, _plan: &Plan) -> Result<Vec<Figure>> {
    let topic = led_by(victim, cluster)?;
    let write = Write::to(cluster, &topic)?;
    let mut leader = write.find_leader(cluster, 0)?;
    let killed = leader.node;
    let mut last = -1;
    for _ in 0..WRITES_BEFORE {
        last = write.send(&mut leader)?;
    }
    ensure!(last == WRITES_BEFORE - 1, "the last of {WRITES_BEFORE} writes got offset {last}");
    let begun = crate::now_us(cluster.clock());
    cluster.kill(killed)?;
    let mut ask = killed;
    let offset = loop {
        ask = (ask + 1) % cluster.kafka().len();
        if ask == killed {
            continue;
        }
        let found = write.find_leader(cluster, ask);
        match found.and_then(|mut leader| write.send(&mut leader)) {
            Ok(offset) => break offset,
            Err(error) => {
                let waited = crate::now_us(cluster.clock()) - begun;
                ensure!(waited < PATIENCE_US, "no write since the leader was killed: {error:#}");
                std::thread::sleep(PAUSE);
            }
        }
    };
    let took = crate::now_us(cluster.clock()) - begun;
    // Attempts without an answer may have been written too, acknowledged writes may not be gone.
    ensure!(offset > last, "the write behind offset {last} got offset {offset}");
    cluster.check()?;
    Ok(vec![Figure::lower(TOOK_MS, took as f64 / 1e3)])
}

/// A topic of one partition with the leader that is wanted: the placement of new topics goes round.
fn led_by(victim: Victim, cluster: &Cluster) -> Result<Topic> {
    const TRIES: usize = 20;
    let quorum = quorum_leader(cluster)?;
    for number in 0..TRIES {
        let topic = Topic::create(cluster, &format!("recovery-{number}"), 1)?;
        if topic.leaders.contains(&quorum) == (victim == Victim::QuorumLeader) {
            return Ok(topic);
        }
    }
    anyhow::bail!("no topic of {TRIES} has the wanted leader")
}

/// The node that leads the metadata quorum.
fn quorum_leader(cluster: &Cluster) -> Result<usize> {
    let names = [METADATA_OF_KAFKA, METADATA_OF_OURS];
    let mut client = Client::open(first(cluster)?)?;
    let mut refused = ErrorCode::NONE;
    for name in names {
        let partitions = vec![DescribeQuorumRequestPartitionData { partition_index: 0 }];
        let topic = DescribeQuorumRequestTopicData { topic_name: name.into(), partitions };
        let request = DescribeQuorumRequest { topics: vec![topic] };
        let response: DescribeQuorumResponse = client.ask(ApiKey::DescribeQuorum, &request)?;
        let partition = response.topics.first().and_then(|topic| topic.partitions.first());
        match partition {
            Some(partition) if partition.error_code == ErrorCode::NONE => {
                return usize::try_from(partition.leader_id - 1).context("the quorum has no leader");
            }
            Some(partition) => refused = partition.error_code,
            None => refused = response.error_code,
        }
    }
    anyhow::bail!("who leads the quorum: {refused:?}")
}

const METADATA_OF_KAFKA: &str = "__cluster_metadata";
const METADATA_OF_OURS: &str = "__znodes";
