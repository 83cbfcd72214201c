//! CreatePartitions: topics grow (KIP-195).
use super::Call;
use super::create_topics::patience_ms;
use crate::errors::Failure;
use controller::ClusterView;
use kafka_wire::messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use kafka_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_wire::{ErrorCode, Str};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn handle(call: &Call<'_>, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut times: HashMap<Str, usize> = HashMap::new();
    for topic in &request.topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    let mut answered = HashSet::new();
    let mut results = Vec::with_capacity(times.len());
    for topic in request.topics {
        if !answered.insert(topic.name.clone()) {
            continue;
        }
        let grown = match times.get(&topic.name) {
            Some(1) => grow(call, &topic, request.validate_only, patience_ms(request.timeout_ms)).await,
            _ => Err(Failure::new(ErrorCode::INVALID_REQUEST, "Duplicate topic in request.")),
        };
        let failure = grown.err();
        results.push(CreatePartitionsTopicResult {
            name: topic.name,
            error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
            error_message: failure.and_then(|failure| failure.message),
        });
    }
    CreatePartitionsResponse { results, ..Default::default() }
}

async fn grow(
    call: &Call<'_>,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
    timeout_ms: u64,
) -> Result<(), Failure> {
    let assignments: Option<Vec<Vec<i32>>> = topic
        .assignments
        .as_ref()
        .map(|assignments| assignments.iter().map(|assignment| assignment.broker_ids.clone()).collect());
    let controller = &call.door.node.controller;
    let (name, count) = (&*topic.name, topic.count);
    controller.create_partitions(name, count, assignments.as_deref(), validate_only, timeout_ms).await?;
    if !validate_only {
        let shows =
            |view: &Arc<ClusterView>| view.partition(name, count - 1).is_some_and(|last| last.leader >= 0);
        call.door.wait_for_view(Duration::from_millis(timeout_ms), shows).await;
    }
    Ok(())
}
