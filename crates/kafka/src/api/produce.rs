//! Produce: batches go to the broker as they came, without a copy.
use super::{Answer, Call, nodes, topics};
use crate::errors::{for_version, text};
use broker::{Acks, ProducePartition, ProducedPartition};
use kafka_wire::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData,
    PartitionProduceResponse, TopicProduceResponse,
};
use kafka_wire::messages::{ProduceRequest, ProduceResponse};
use kafka_wire::{ApiKey, Bytes, ErrorCode, Response};

/// The first version that knows zstd.
const ZSTD_SINCE: i16 = 7;
/// The first version that names topics by id.
const BY_ID_SINCE: i16 = 13;
/// The first version whose answer names the leader that the client should go to.
const LEADER_SINCE: i16 = 10;
/// Where a batch has its attributes, and the bit that marks a transactional one.
const ATTRIBUTES_AT: usize = 21;
const TRANSACTIONAL: u16 = 1 << 4;

pub(super) async fn handle(call: &Call<'_>, request: ProduceRequest) -> Answer {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    if partitions.clone().any(|partition| partition.records.is_none()) {
        return Answer::Close("a partition without records can't be answered (reference 2.28)");
    }
    let acks = match request.acks {
        -1 => Some(Acks::All),
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        _ => None,
    };
    let transactional = partitions.clone().any(is_transactional);
    let results = match acks {
        _ if transactional && request.transactional_id.is_none() => {
            refuse_all(&request, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        }
        None => refuse_all(&request, ErrorCode::INVALID_REQUIRED_ACKS),
        Some(acks) => call.door.node.broker.produce(to_domain(call, &request, acks)).await,
    };
    if acks == Some(Acks::None) {
        return match results.iter().any(|result| result.error.is_error()) {
            // The client hears of the failure only in this way (reference 2.6).
            true => Answer::Close("a batch failed that the client wants no answer to"),
            false => Answer::Silence,
        };
    }
    Answer::Response(Response::from(to_wire(call, request, results)))
}

fn is_transactional(partition: &PartitionProduceData) -> bool {
    let records: &[u8] = partition.records.as_deref().unwrap_or_default();
    let attributes = records.get(ATTRIBUTES_AT..).and_then(|rest| rest.first_chunk());
    attributes.is_some_and(|attributes| u16::from_be_bytes(*attributes) & TRANSACTIONAL != 0)
}

fn refuse_all(request: &ProduceRequest, error: ErrorCode) -> Vec<ProducedPartition> {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions.map(|_| ProducedPartition::refused(error, None)).collect()
}

fn to_domain(call: &Call<'_>, request: &ProduceRequest, acks: Acks) -> broker::ProduceRequest {
    let view = call.view();
    let partitions = request.topic_data.iter().flat_map(|topic| {
        let key = topics::key(&view, call.version >= BY_ID_SINCE, &topic.name, topic.topic_id);
        topic.partition_data.iter().map(move |partition| ProducePartition {
            topic: key.clone(),
            partition: partition.index,
            records: partition.records.clone().unwrap_or_else(Bytes::new),
        })
    });
    broker::ProduceRequest {
        acks,
        timeout_ms: request.timeout_ms,
        allows_zstd: call.version >= ZSTD_SINCE,
        principal: call.peer.principal.clone(),
        partitions: partitions.collect(),
    }
}

/// The response: results come in the order of the request.
fn to_wire(call: &Call<'_>, request: ProduceRequest, results: Vec<ProducedPartition>) -> ProduceResponse {
    let view = call.view();
    let mut results = results.into_iter();
    let mut leaders = Vec::new();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let key = topics::key(&view, call.version >= BY_ID_SINCE, &topic.name, topic.topic_id);
        let partitions = topic.partition_data.iter().zip(&mut results);
        let partition_responses = partitions
            .map(|(partition, mut result)| {
                let known = result.current_leader;
                result.current_leader = nodes::leader(&view, result.error, known, &key, partition.index);
                if let Some((leader, _)) = result.current_leader
                    && !leaders.contains(&leader)
                {
                    leaders.push(leader);
                }
                partition_response(call, partition.index, result)
            })
            .collect();
        responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses,
        });
    }
    let node_endpoints = leaders
        .into_iter()
        .filter(|_| call.version >= LEADER_SINCE)
        .filter_map(|leader| nodes::one(&view, &call.peer.listener, leader))
        .map(|node| NodeEndpoint { node_id: node.id, host: node.host, port: node.port, rack: node.rack });
    ProduceResponse { responses, node_endpoints: node_endpoints.collect(), ..Default::default() }
}

fn partition_response(call: &Call<'_>, index: i32, result: ProducedPartition) -> PartitionProduceResponse {
    let current_leader = match result.current_leader {
        Some((leader_id, leader_epoch)) if call.version >= LEADER_SINCE => {
            LeaderIdAndEpoch { leader_id, leader_epoch }
        }
        _ => LeaderIdAndEpoch::default(),
    };
    let record_errors = result.record_errors.into_iter().map(|(batch_index, message)| {
        BatchIndexAndErrorMessage { batch_index, batch_index_error_message: Some(text(message)) }
    });
    PartitionProduceResponse {
        index,
        error_code: for_version(result.error, ApiKey::Produce, call.version),
        base_offset: result.base_offset,
        log_append_time_ms: result.log_append_time_ms,
        log_start_offset: result.log_start_offset,
        record_errors: record_errors.collect(),
        error_message: result.message.map(text),
        current_leader,
    }
}
