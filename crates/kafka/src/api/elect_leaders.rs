//! ElectLeaders: preferred and unclean elections on request (KIP-183, KIP-460).
use super::Call;
use super::create_topics::patience_ms;
use super::topics;
use crate::errors::Failure;
use controller::admin::{ElectionKind, ElectionResult};
use kafka_wire::messages::elect_leaders::{PartitionResult, ReplicaElectionResult};
use kafka_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use kafka_wire::{ErrorCode, Str};
use std::sync::Arc;

/// The first version whose answer has an error of its own.
const OWN_ERROR_SINCE: i16 = 1;
/// Kinds of elections.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub(super) async fn handle(call: &Call<'_>, request: ElectLeadersRequest) -> ElectLeadersResponse {
    match elect(call, &request).await {
        Ok(results) => {
            ElectLeadersResponse { replica_election_results: to_wire(results), ..Default::default() }
        }
        Err(failure) => refused(call.version, request, &failure),
    }
}

async fn elect(call: &Call<'_>, request: &ElectLeadersRequest) -> Result<Vec<ElectionResult>, Failure> {
    let kind = match request.election_type {
        PREFERRED => ElectionKind::Preferred,
        UNCLEAN => ElectionKind::Unclean,
        other => {
            let reason = format!("There is no election of type {other}.");
            return Err(Failure::new(ErrorCode::INVALID_REQUEST, reason));
        }
    };
    let view = call.view();
    let wanted = request.topic_partitions.as_ref().map(|wanted| {
        wanted.iter().map(|topic| (topics::name(&view, &topic.topic), topic.partitions.clone())).collect()
    });
    let controller = &call.door.node.controller;
    Ok(controller.elect_leaders(kind, wanted, patience_ms(request.timeout_ms)).await?)
}

fn to_wire(results: Vec<ElectionResult>) -> Vec<ReplicaElectionResult> {
    let items = results.into_iter().map(|ElectionResult { topic, partition, result }| {
        let failure = result.err().map(Failure::from);
        (topic, partition_result(partition, failure.as_ref()))
    });
    topics::group(items, |topic: Arc<str>, partition_result| ReplicaElectionResult {
        topic: Str::from(&*topic),
        partition_result,
    })
}

fn partition_result(partition_id: i32, failure: Option<&Failure>) -> PartitionResult {
    PartitionResult {
        partition_id,
        error_code: failure.map_or(ErrorCode::NONE, |failure| failure.code),
        error_message: failure.and_then(|failure| failure.message.clone()),
    }
}

/// The whole request failed; the first version says so of each partition.
fn refused(version: i16, request: ElectLeadersRequest, failure: &Failure) -> ElectLeadersResponse {
    let topics = request.topic_partitions.unwrap_or_default().into_iter();
    let replica_election_results = topics.map(|topic| ReplicaElectionResult {
        partition_result: topic.partitions.iter().map(|id| partition_result(*id, Some(failure))).collect(),
        topic: topic.topic,
    });
    ElectLeadersResponse {
        error_code: if version >= OWN_ERROR_SINCE { failure.code } else { ErrorCode::NONE },
        replica_election_results: replica_election_results.collect(),
        ..Default::default()
    }
}
