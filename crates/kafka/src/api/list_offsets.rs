//! ListOffsets: offsets by time.
use super::{Call, topics};
use broker::{Isolation, ListOffset, ListedOffset};
use kafka_wire::ErrorCode;
use kafka_wire::messages::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

/// The first version whose answer has a leader epoch.
const LEADER_EPOCH_SINCE: i16 = 4;
/// The isolation level of consumers that read committed records only.
const READ_COMMITTED: i8 = 1;

/// The version that a special timestamp came with; none if there is no such timestamp.
fn known_since(timestamp: i64) -> Option<i16> {
    match timestamp {
        0.. | -1 | -2 => Some(1),
        -3 => Some(7),
        -4 => Some(8),
        -5 => Some(9),
        -6 => Some(11),
        _ => None,
    }
}

pub(super) async fn handle(call: &Call<'_>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let view = call.view();
    let isolation = match request.isolation_level {
        READ_COMMITTED => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    };
    let wanted: Vec<ListOffset> = request
        .topics
        .iter()
        .flat_map(|topic| {
            let name = topics::name(&view, &topic.name);
            topic.partitions.iter().map(move |partition| ListOffset {
                topic: name.clone(),
                partition: partition.partition_index,
                current_leader_epoch: partition.current_leader_epoch,
                timestamp: partition.timestamp,
            })
        })
        .collect();
    let listed = call.door.node.broker.list_offsets(isolation, &wanted);
    let mut results = wanted.iter().zip(listed);
    let topics = request.topics.into_iter().map(|topic| {
        let of_topic = topic.partitions.iter().zip(&mut results);
        ListOffsetsTopicResponse {
            partitions: of_topic
                .map(|(_, (wanted, listed))| partition_response(call.version, wanted, listed))
                .collect(),
            name: topic.name,
        }
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

fn partition_response(
    version: i16,
    wanted: &ListOffset,
    listed: ListedOffset,
) -> ListOffsetsPartitionResponse {
    let partition_index = wanted.partition;
    if known_since(wanted.timestamp).is_none_or(|since| version < since) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return ListOffsetsPartitionResponse { partition_index, error_code, ..Default::default() };
    }
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: listed.error,
        timestamp: listed.timestamp,
        offset: listed.offset,
        leader_epoch: if version >= LEADER_EPOCH_SINCE { listed.leader_epoch } else { -1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_2_19_special_timestamps_and_their_versions() {
        let listed = ListedOffset { error: ErrorCode::NONE, timestamp: -1, offset: 7, leader_epoch: 3 };
        for (timestamp, since) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            let wanted = ListOffset { topic: "t".into(), partition: 0, current_leader_epoch: -1, timestamp };
            assert_eq!(partition_response(since, &wanted, listed).offset, 7);
            if since > 1 {
                let early = partition_response(since - 1, &wanted, listed);
                assert_eq!((early.error_code, early.offset), (ErrorCode::UNSUPPORTED_VERSION, -1));
            }
        }
        let wanted = ListOffset { topic: "t".into(), partition: 0, current_leader_epoch: -1, timestamp: -7 };
        assert_eq!(partition_response(11, &wanted, listed).error_code, ErrorCode::UNSUPPORTED_VERSION);
        let wanted = ListOffset { timestamp: 5, ..wanted };
        assert_eq!(partition_response(3, &wanted, listed).leader_epoch, -1);
        assert_eq!(partition_response(4, &wanted, listed).leader_epoch, 3);
    }
}
