//! OffsetForLeaderEpoch: where leader epochs end (KIP-320).
use super::{Call, topics};
use broker::EpochEndRequest;
use kafka_wire::messages::offset_for_leader_epoch::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(super) async fn handle(
    call: &Call<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let view = call.view();
    let wanted: Vec<EpochEndRequest> = request
        .topics
        .iter()
        .flat_map(|topic| {
            let name = topics::name(&view, &topic.topic);
            topic.partitions.iter().map(move |partition| EpochEndRequest {
                topic: name.clone(),
                partition: partition.partition,
                current_leader_epoch: partition.current_leader_epoch,
                leader_epoch: partition.leader_epoch,
            })
        })
        .collect();
    let mut ends = call.door.node.broker.epoch_ends(&wanted).into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let of_topic = topic.partitions.iter().zip(&mut ends);
        OffsetForLeaderTopicResult {
            partitions: of_topic
                .map(|(partition, end)| EpochEndOffset {
                    error_code: end.error,
                    partition: partition.partition,
                    leader_epoch: end.leader_epoch,
                    end_offset: end.end_offset,
                })
                .collect(),
            topic: topic.topic,
        }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}
