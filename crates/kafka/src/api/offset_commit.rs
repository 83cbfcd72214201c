//! OffsetCommit: a group's progress is kept.
use super::{Call, topics};
use broker::groups::api::{CommitRequest, OffsetToCommit};
use kafka_wire::ErrorCode;
use kafka_wire::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use std::sync::Arc;

/// The last version in which clients say how long offsets are to be kept.
const RETENTION_UNTIL: i16 = 4;
/// The first version that knows GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND_SINCE: i16 = 9;
/// The first version that names topics by id.
const BY_ID_SINCE: i16 = 10;

pub(super) async fn handle(call: &Call<'_>, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let view = call.view();
    let mut offsets = Vec::new();
    // For each partition its error, or none yet if it goes to the coordinator.
    let mut refused: Vec<Option<ErrorCode>> = Vec::new();
    for topic in &request.topics {
        let name = topics::resolve(&view, call.version >= BY_ID_SINCE, &topic.name, topic.topic_id);
        for partition in &topic.partitions {
            let known = name.as_ref().map_err(|error| *error).and_then(|name| {
                let exists = view.partition(name, partition.partition_index).is_some();
                if exists { Ok(name) } else { Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) }
            });
            refused.push(known.as_ref().err().copied());
            offsets.extend(known.ok().map(|name| to_commit(name, partition)));
        }
    }
    let committed = match offsets.is_empty() {
        true => Vec::new(),
        false => call.door.node.broker.groups().commit(to_domain(call, &request, offsets)).await,
    };
    let mut committed = committed.into_iter();
    let mut errors =
        refused.into_iter().map(|refused| refused.or_else(|| committed.next()).unwrap_or_default());
    let topics = request.topics.into_iter().map(|topic| OffsetCommitResponseTopic {
        partitions: topic
            .partitions
            .iter()
            .zip(&mut errors)
            .map(|(partition, error_code)| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code,
            })
            .collect(),
        name: topic.name,
        topic_id: topic.topic_id,
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

fn to_commit(topic: &Arc<str>, partition: &OffsetCommitRequestPartition) -> OffsetToCommit {
    OffsetToCommit {
        topic: topic.clone(),
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_deref().map(Arc::from),
    }
}

fn to_domain(call: &Call<'_>, request: &OffsetCommitRequest, offsets: Vec<OffsetToCommit>) -> CommitRequest {
    CommitRequest {
        group_id: Arc::from(&*request.group_id),
        generation: request.generation_id_or_member_epoch,
        member_id: Arc::from(&*request.member_id),
        instance_id: request.group_instance_id.as_deref().map(Arc::from),
        retention_ms: (call.version <= RETENTION_UNTIL).then_some(request.retention_time_ms),
        knows_group_id_not_found: call.version >= GROUP_ID_NOT_FOUND_SINCE,
        offsets,
    }
}
