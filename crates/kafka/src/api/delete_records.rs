//! DeleteRecords: moves the start of partitions forward (KIP-107).
use super::{Call, topics};
use broker::DeleteRecords;
use kafka_wire::messages::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

pub(super) async fn handle(call: &Call<'_>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let view = call.view();
    let wanted = request.topics.iter().flat_map(|topic| {
        let name = topics::name(&view, &topic.name);
        topic.partitions.iter().map(move |partition| DeleteRecords {
            topic: name.clone(),
            partition: partition.partition_index,
            offset: partition.offset,
        })
    });
    let deleted = call.door.node.broker.delete_records(wanted.collect(), request.timeout_ms).await;
    let mut deleted = deleted.into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let of_topic = topic.partitions.iter().zip(&mut deleted);
        DeleteRecordsTopicResult {
            partitions: of_topic
                .map(|(partition, deleted)| DeleteRecordsPartitionResult {
                    partition_index: partition.partition_index,
                    low_watermark: deleted.low_watermark,
                    error_code: deleted.error,
                })
                .collect(),
            name: topic.name,
        }
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}
