//! AlterPartitionReassignments: starts and cancels the move of replicas (KIP-455, KIP-860).
use super::Call;
use super::create_topics::patience_ms;
use super::topics;
use crate::errors::Failure;
use controller::admin::WantedReassignment;
use kafka_wire::ErrorCode;
use kafka_wire::messages::alter_partition_reassignments::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_wire::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

pub(super) async fn handle(
    call: &Call<'_>,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let view = call.view();
    let wanted = request.topics.iter().flat_map(|topic| {
        let name = topics::name(&view, &topic.name);
        topic.partitions.iter().map(move |partition| WantedReassignment {
            topic: name.clone(),
            partition: partition.partition_index,
            replicas: partition.replicas.clone(),
        })
    });
    let may_change_factor = request.allow_replication_factor_change;
    let answer = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: may_change_factor,
        ..Default::default()
    };
    let controller = &call.door.node.controller;
    let timeout_ms = patience_ms(request.timeout_ms);
    let altered =
        controller.alter_partition_reassignments(wanted.collect(), may_change_factor, timeout_ms).await;
    let mut results = match altered {
        Ok(results) => results.into_iter(),
        Err(error) => {
            let failure = Failure::from(error);
            return AlterPartitionReassignmentsResponse {
                error_code: failure.code,
                error_message: failure.message,
                ..answer
            };
        }
    };
    // The results come in the order of the request.
    let responses = request.topics.into_iter().map(|topic| ReassignableTopicResponse {
        partitions: topic
            .partitions
            .iter()
            .zip(&mut results)
            .map(|(partition, result)| {
                let failure = result.result.err().map(Failure::from);
                ReassignablePartitionResponse {
                    partition_index: partition.partition_index,
                    error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
                    error_message: failure.and_then(|failure| failure.message),
                }
            })
            .collect(),
        name: topic.name,
    });
    AlterPartitionReassignmentsResponse { responses: responses.collect(), ..answer }
}
