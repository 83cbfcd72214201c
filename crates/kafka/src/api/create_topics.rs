//! CreateTopics: answered once every node-local view, that of the partitions included, shows the topic (reference 2.35).
use super::Call;
use crate::errors::Failure;
use controller::admin::{CreatedTopic, NewTopic};
use controller::config::{ConfigEntry, DescribedResource, describe};
use kafka_wire::messages::create_topics::{CreatableTopic, CreatableTopicConfigs, CreatableTopicResult};
use kafka_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_wire::{ErrorCode, Str};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How long a change may take to show, for clients that set no time of their own.
const PATIENCE_MS: u64 = 5_000;

/// How many settings one answer shows; topics behind that are answered without theirs.
const ENTRIES_MAX: usize = 500_000;

/// How long a change may take to show, given a request's timeout.
pub(super) fn patience_ms(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).ok().filter(|ms| *ms > 0).unwrap_or(PATIENCE_MS)
}

pub(super) async fn handle(call: &Call<'_>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut times: HashMap<Str, usize> = HashMap::new();
    for topic in &request.topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    let mut answered = HashSet::new();
    let mut entries_left = ENTRIES_MAX;
    let mut topics = Vec::with_capacity(times.len());
    for topic in request.topics {
        if !answered.insert(topic.name.clone()) {
            continue;
        }
        let name = topic.name.clone();
        let created = match times.get(&name) {
            Some(1) => create(call, topic, request.validate_only, patience_ms(request.timeout_ms)).await,
            _ => Err(Failure::new(ErrorCode::INVALID_REQUEST, "Found multiple entries for this topic.")),
        };
        topics.push(to_wire(call, name, created, &mut entries_left));
    }
    CreateTopicsResponse { topics, ..Default::default() }
}

async fn create(
    call: &Call<'_>,
    topic: CreatableTopic,
    validate_only: bool,
    timeout_ms: u64,
) -> Result<CreatedTopic, Failure> {
    let topic = NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| (assignment.partition_index, assignment.broker_ids))
            .collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (String::from(config.name), config.value.map(String::from)))
            .collect(),
    };
    let created = call.door.node.controller.create_topic(&topic, validate_only, timeout_ms).await?;
    if !validate_only {
        let shows = |view: &std::sync::Arc<controller::ClusterView>| {
            view.topic(&created.name).is_some_and(|topic| {
                topic.id == created.id && topic.partitions.iter().all(|partition| partition.leader >= 0)
            })
        };
        call.door.wait_for_view(Duration::from_millis(timeout_ms), shows).await;
    }
    Ok(created)
}

fn to_wire(
    call: &Call<'_>,
    name: Str,
    created: Result<CreatedTopic, Failure>,
    entries_left: &mut usize,
) -> CreatableTopicResult {
    match created {
        Ok(created) => {
            let broker = call.view().broker_config.clone();
            let mut entries = describe(&broker, DescribedResource::Topic(&created.overrides), None);
            entries.truncate(*entries_left);
            *entries_left -= entries.len();
            CreatableTopicResult {
                name,
                topic_id: created.id,
                num_partitions: created.partitions,
                replication_factor: created.replication_factor,
                configs: Some(entries.into_iter().map(config).collect()),
                ..Default::default()
            }
        }
        Err(failure) => CreatableTopicResult {
            name,
            error_code: failure.code,
            error_message: failure.message,
            configs: Some(Vec::new()),
            ..Default::default()
        },
    }
}

fn config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs {
        name: Str::from(entry.name),
        value: entry.value.map(Str::from),
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.is_sensitive,
    }
}
