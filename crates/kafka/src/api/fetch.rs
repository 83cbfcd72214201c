//! Fetch: records go out as the log hands them over, without a copy: slices of its memory, or ranges of its files.
use super::{Call, nodes, topics};
use crate::errors::for_version;
use broker::{FetchReply, FetchedPartition, Isolation, Replica, TopicKey};
use kafka_wire::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_wire::messages::{FetchRequest, FetchResponse};
use kafka_wire::{ApiKey, ErrorCode, Records};

/// The first version that knows zstd.
const ZSTD_SINCE: i16 = 10;
/// The first version that a follower may answer, because the leader can send the consumer to it.
const FOLLOWER_SINCE: i16 = 11;
/// The first version that says in a structure of its own which broker replicates.
const REPLICA_STATE_SINCE: i16 = 15;
/// The first version that names topics by id.
const BY_ID_SINCE: i16 = 13;
/// The first version whose answer names the leader that the client should go to.
const LEADER_SINCE: i16 = 16;
/// The isolation level of consumers that read committed records only.
const READ_COMMITTED: i8 = 1;

pub(super) async fn handle(call: &Call<'_>, request: FetchRequest) -> FetchResponse {
    if is_of_another_cluster(call, &request) {
        return FetchResponse { error_code: ErrorCode::INCONSISTENT_CLUSTER_ID, ..Default::default() };
    }
    let reply = call.door.node.broker.fetch(to_domain(call, request)).await;
    to_wire(call, reply)
}

/// Whether a replica says that it belongs to another cluster than this broker.
fn is_of_another_cluster(call: &Call<'_>, request: &FetchRequest) -> bool {
    let named = request.cluster_id.as_deref().filter(|_| replica(call.version, request).is_some());
    named.is_some_and(|named| *named != *call.view().cluster_id)
}

fn to_domain(call: &Call<'_>, request: FetchRequest) -> broker::FetchRequest {
    let view = call.view();
    let by_id = call.version >= BY_ID_SINCE;
    let key = |name: &str, id| topics::key(&view, by_id, name, id);
    let partitions = request.topics.iter().flat_map(|topic| {
        let key = key(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| broker::FetchPartition {
            topic: key.clone(),
            partition: partition.partition,
            current_leader_epoch: partition.current_leader_epoch,
            fetch_offset: partition.fetch_offset,
            last_fetched_epoch: partition.last_fetched_epoch,
            log_start_offset: partition.log_start_offset,
            max_bytes: partition.partition_max_bytes,
        })
    });
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let key = key(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| (key.clone(), *partition))
    });
    let room = i32::try_from(call.door.budget.fetch_bytes()).unwrap_or(i32::MAX);
    broker::FetchRequest {
        max_wait_ms: request.max_wait_ms,
        min_bytes: request.min_bytes,
        max_bytes: request.max_bytes.min(room),
        isolation: match request.isolation_level {
            READ_COMMITTED => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        },
        allows_zstd: call.version >= ZSTD_SINCE,
        allows_follower: call.version >= FOLLOWER_SINCE,
        takes_files: call.peer.takes_files,
        rack_id: request.rack_id.as_str().into(),
        replica: replica(call.version, &request),
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        by_id,
        partitions: partitions.collect(),
        forgotten: forgotten.collect(),
    }
}

/// The broker that replicates with a fetch.
fn replica(version: i16, request: &FetchRequest) -> Option<Replica> {
    let (id, epoch) = match version >= REPLICA_STATE_SINCE {
        true => (request.replica_state.replica_id, request.replica_state.replica_epoch),
        false => (request.replica_id, -1),
    };
    (id >= 0).then_some(Replica { id, epoch })
}

fn to_wire(call: &Call<'_>, reply: FetchReply) -> FetchResponse {
    let view = call.view();
    let mut leaders: Vec<i32> = Vec::new();
    let items = reply.partitions.into_iter().map(|mut partition| {
        let known = partition.current_leader.take();
        if call.version >= LEADER_SINCE {
            let (topic, index) = (&partition.topic, partition.partition);
            partition.current_leader = nodes::leader(&view, partition.error, known, topic, index);
        }
        if let Some((leader, _)) = partition.current_leader
            && !leaders.contains(&leader)
        {
            leaders.push(leader);
        }
        (partition.topic.clone(), partition_data(call, partition))
    });
    let responses = topics::group(items, |key: TopicKey, partitions| {
        let (topic, topic_id) = topics::fields(&key);
        FetchableTopicResponse { topic, topic_id, partitions }
    });
    let node_endpoints = leaders
        .into_iter()
        .filter_map(|leader| nodes::one(&view, &call.peer.listener, leader))
        .map(|node| NodeEndpoint { node_id: node.id, host: node.host, port: node.port, rack: node.rack });
    FetchResponse {
        error_code: reply.error,
        session_id: reply.session_id,
        responses,
        node_endpoints: node_endpoints.collect(),
        ..Default::default()
    }
}

fn partition_data(call: &Call<'_>, partition: FetchedPartition) -> PartitionData {
    let leader = |(leader_id, leader_epoch)| LeaderIdAndEpoch { leader_id, leader_epoch };
    let diverging = |(epoch, end_offset)| EpochEndOffset { epoch, end_offset };
    let aborted = |list: Vec<(i64, i64)>| {
        list.into_iter()
            .map(|(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset })
            .collect()
    };
    let records: Records = partition.records;
    PartitionData {
        partition_index: partition.partition,
        error_code: for_version(partition.error, ApiKey::Fetch, call.version),
        high_watermark: partition.high_watermark,
        last_stable_offset: partition.last_stable_offset,
        log_start_offset: partition.log_start_offset,
        diverging_epoch: partition.diverging.map(diverging).unwrap_or_default(),
        current_leader: partition.current_leader.map(leader).unwrap_or_default(),
        aborted_transactions: partition.aborted.map(aborted),
        preferred_read_replica: partition.preferred_read_replica,
        records: Some(records),
        ..Default::default()
    }
}
