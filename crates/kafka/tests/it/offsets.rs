//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords.
use crate::node::Node;
use crate::wire::{Client, ask, batch};
use kafka_wire::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic,
};
use kafka_wire::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_wire::messages::{DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};
use kafka_wire::{ErrorCode, Str};

async fn list(
    client: &mut Client,
    version: i16,
    topic: &str,
    timestamps: &[i64],
) -> Vec<ListOffsetsPartitionResponse> {
    let mut found = Vec::new();
    for timestamp in timestamps {
        let partition = ListOffsetsPartition { timestamp: *timestamp, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: Str::from(topic), partitions: vec![partition] }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        found.push(ask!(client, ListOffsets version, request).topics[0].partitions[0].clone());
    }
    found
}

async fn delete(client: &mut Client, version: i16, topic: &str, offset: i64) -> (ErrorCode, i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
    let topics = vec![DeleteRecordsTopic { name: Str::from(topic), partitions }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 1_000 };
    let result = ask!(client, DeleteRecords version, request).topics[0].partitions[0].clone();
    (result.error_code, result.low_watermark)
}

#[tokio::test]
async fn kafka_2_19_list_offsets_of_every_kind_in_every_version() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    client.produce("t", 0, batch(&["c"])).await;
    for version in 1..=11 {
        let found = list(&mut client, version, "t", &[-1, -2, 0, i64::MAX]).await;
        let offsets: Vec<_> = found.iter().map(|found| (found.error_code, found.offset)).collect();
        let none = ErrorCode::NONE;
        assert_eq!(offsets, [(none, 3), (none, 0), (none, 0), (none, -1)], "version {version}");
        assert_eq!(found[0].leader_epoch >= 0, version >= 4);
    }
    let unsupported = list(&mut client, 6, "t", &[-3]).await;
    assert_eq!(unsupported[0].error_code, ErrorCode::UNSUPPORTED_VERSION);
    let special = list(&mut client, 9, "t", &[-3, -4, -5]).await;
    assert!(special.iter().all(|found| found.error_code == ErrorCode::NONE), "{special:?}");
    assert_eq!(special.iter().map(|found| found.offset).collect::<Vec<_>>()[1..], [0, -1]);
    let missing = list(&mut client, 9, "missing", &[-1]).await;
    assert_eq!((missing[0].error_code, missing[0].offset), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1));
    node.stop().await;
}

#[tokio::test]
async fn a_partition_asked_for_twice_is_an_invalid_request() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let partition = ListOffsetsPartition { timestamp: -1, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: vec![partition.clone(), partition] }];
    let response =
        ask!(client, ListOffsets 7, ListOffsetsRequest { replica_id: -1, topics, ..Default::default() });
    for partition in &response.topics[0].partitions {
        assert_eq!(partition.error_code, ErrorCode::INVALID_REQUEST);
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_21_delete_records_moves_the_log_start() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.produce("t", 0, batch(&["a", "b", "c", "d"])).await;
    assert_eq!(delete(&mut client, 0, "t", 1).await, (ErrorCode::NONE, 1));
    assert_eq!(delete(&mut client, 1, "t", 3).await, (ErrorCode::NONE, 3));
    assert_eq!(list(&mut client, 7, "t", &[-2]).await[0].offset, 3);
    assert_eq!(delete(&mut client, 2, "t", 9).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete(&mut client, 2, "t", -1).await, (ErrorCode::NONE, 4));
    assert_eq!(delete(&mut client, 2, "missing", 0).await, (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1));
    assert_eq!(delete(&mut client, 2, "__znodes", 1).await.0, ErrorCode::POLICY_VIOLATION);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_17_offset_for_leader_epoch() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    let epoch = node.controller.view().partition("t", 0).expect("the partition").leader_epoch;
    for version in 2..=4 {
        let partition = |current_leader_epoch, leader_epoch| OffsetForLeaderPartition {
            partition: 0,
            current_leader_epoch,
            leader_epoch,
        };
        let partitions = vec![partition(-1, epoch), partition(epoch + 1, epoch), partition(-1, epoch + 5)];
        let topics = vec![OffsetForLeaderTopic { topic: "t".into(), partitions }];
        let response = ask!(client, OffsetForLeaderEpoch version, OffsetForLeaderEpochRequest { topics, ..Default::default() });
        let ends: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|end| (end.error_code, end.leader_epoch, end.end_offset))
            .collect();
        assert_eq!(ends[0], (ErrorCode::NONE, epoch, 2));
        assert_eq!(ends[1].0, ErrorCode::UNKNOWN_LEADER_EPOCH);
        assert_eq!(ends[2], (ErrorCode::NONE, -1, -1));
    }
    node.stop().await;
}
