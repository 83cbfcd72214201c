//! OffsetDelete: a group forgets offsets (KIP-496).
use super::{Call, topics};
use kafka_wire::ErrorCode;
use kafka_wire::messages::offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::sync::Arc;

pub(super) async fn handle(call: &Call<'_>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let view = call.view();
    let mut wanted = Vec::new();
    let mut exists = Vec::new();
    for topic in &request.topics {
        let name = topics::name(&view, &topic.name);
        for partition in &topic.partitions {
            let known = view.partition(&name, partition.partition_index).is_some();
            exists.push(known);
            wanted.extend(known.then(|| (name.clone(), partition.partition_index)));
        }
    }
    let deleted = call.door.node.broker.groups().delete_offsets(Arc::from(&*request.group_id), wanted).await;
    let deleted = match deleted {
        Ok(deleted) => deleted,
        Err(error_code) => return OffsetDeleteResponse { error_code, ..Default::default() },
    };
    let mut deleted = deleted.into_iter();
    let mut errors = exists.into_iter().map(|exists| match exists {
        true => deleted.next().unwrap_or_default(),
        false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    });
    let topics = request.topics.into_iter().map(|topic| OffsetDeleteResponseTopic {
        partitions: topic
            .partitions
            .iter()
            .zip(&mut errors)
            .map(|(partition, error_code)| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code,
            })
            .collect(),
        name: topic.name,
    });
    OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }
}
