//! Produce and InitProducerId.
use crate::node::Node;
use crate::wire::{ask, batch, builder, keyed_batch, produce_request};
use kafka_wire::messages::produce::PartitionProduceData;
use kafka_wire::messages::{InitProducerIdRequest, ProduceRequest};
use kafka_wire::{Bytes, ErrorCode, Uuid};
use log::{BatchBuilder, Codec, Compression};

#[tokio::test]
async fn every_version_produces() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 1).await;
    for version in 3..=13 {
        let mut request = produce_request("t", 0, -1, batch(&["value"]));
        if version >= 13 {
            request.topic_data[0].name = "".into();
            request.topic_data[0].topic_id = id;
        }
        let response = ask!(client, Produce version, request);
        let topic = &response.responses[0];
        let partition = &topic.partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (ErrorCode::NONE, i64::from(version) - 3));
        assert_eq!(partition.log_append_time_ms, -1);
        if version >= 13 {
            assert_eq!(topic.topic_id, id);
        } else {
            assert_eq!(&*topic.name, "t");
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_13_produce_by_id_knows_unknown_ids() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut request = produce_request("", 0, -1, batch(&["value"]));
    request.topic_data[0].topic_id = Uuid::from_u128(5);
    let response = ask!(client, Produce 13, request);
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(response.responses[0].topic_id, Uuid::from_u128(5));
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_7_exactly_one_good_batch_per_partition() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic_with("t", 1, &[("max.message.bytes", "1000")]).await;
    let two = Bytes::from([batch(&["a"]), batch(&["b"])].concat());
    assert_eq!(client.produce("t", 0, two).await.error_code, ErrorCode::INVALID_RECORD);
    let mut damaged = batch(&["a"]).to_vec();
    *damaged.last_mut().expect("not empty") ^= 1;
    assert_eq!(client.produce("t", 0, damaged.into()).await.error_code, ErrorCode::CORRUPT_MESSAGE);
    let large = client.produce("t", 0, batch(&["x".repeat(2_000).as_str()])).await;
    assert_eq!((large.error_code, large.base_offset), (ErrorCode::MESSAGE_TOO_LARGE, -1));
    let zstd = |version: i16| {
        let batch =
            builder(&[(None, Some("a"))]).compression(Compression::new(Codec::Zstd)).build().expect("small");
        (version, produce_request("t", 0, -1, batch.to_bytes()))
    };
    let (version, request) = zstd(6);
    let old = ask!(client, Produce version, request).responses[0].partition_responses[0].error_code;
    assert_eq!(old, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    let (version, request) = zstd(7);
    assert_eq!(
        ask!(client, Produce version, request).responses[0].partition_responses[0].error_code,
        ErrorCode::NONE
    );
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_9_a_null_key_on_a_compacted_topic_is_that_records_error() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic_with("t", 1, &[("cleanup.policy", "compact")]).await;
    let mixed = keyed_batch(&[(Some("k"), Some("v")), (None, Some("v"))]);
    let result = client.produce("t", 0, mixed).await;
    assert_eq!(result.error_code, ErrorCode::INVALID_RECORD);
    assert_eq!(result.record_errors.len(), 1);
    assert_eq!(result.record_errors[0].batch_index, 1);
    assert!(result.error_message.is_some());
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_27_a_base_offset_of_the_client_is_refused() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let mut builder = BatchBuilder::new(7);
    builder.append(1, None, Some(b"v"), &[]).expect("small");
    let result = client.produce("t", 0, builder.build().expect("small").to_bytes()).await;
    assert_eq!(result.error_code, ErrorCode::INVALID_RECORD);
    node.stop().await;
}

#[tokio::test]
async fn acks_other_than_0_1_and_all_are_refused() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let response = ask!(client, Produce 9, produce_request("t", 0, 2, batch(&["a"])));
    let result = &response.responses[0].partition_responses[0];
    assert_eq!((result.error_code, result.base_offset), (ErrorCode::INVALID_REQUIRED_ACKS, -1));
    node.stop().await;
}

#[tokio::test]
async fn results_come_in_the_order_of_the_request() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("a", 2).await;
    client.create_topic("b", 1).await;
    let data = |index| PartitionProduceData { index, records: Some(batch(&["x"])) };
    let topic = |name: &str, indexes: &[i32]| kafka_wire::messages::produce::TopicProduceData {
        name: name.into(),
        partition_data: indexes.iter().map(|index| data(*index)).collect(),
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1_000,
        topic_data: vec![topic("b", &[0, 1]), topic("missing", &[0]), topic("a", &[1, 0])],
        ..Default::default()
    };
    let response = ask!(client, Produce 9, request);
    let seen: Vec<(String, i32, ErrorCode)> = response
        .responses
        .iter()
        .flat_map(|topic| {
            topic.partition_responses.iter().map(|p| (topic.name.to_string(), p.index, p.error_code))
        })
        .collect();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let expected = [
        ("b", 0, ErrorCode::NONE),
        ("b", 1, unknown),
        ("missing", 0, unknown),
        ("a", 1, ErrorCode::NONE),
        ("a", 0, ErrorCode::NONE),
    ];
    assert_eq!(seen, expected.map(|(name, index, error)| (name.to_owned(), index, error)));
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_15_idempotent_producers_are_deduplicated() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let mut ids = Vec::new();
    for version in 0..=5 {
        let response = ask!(client, InitProducerId version, InitProducerIdRequest::default());
        assert_eq!((response.error_code, response.producer_epoch), (ErrorCode::NONE, 0));
        ids.push(response.producer_id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 6);
    let sequenced = |sequence| {
        builder(&[(None, Some("v"))]).producer(ids[0], 0, sequence).build().expect("small").to_bytes()
    };
    let first = client.produce("t", 0, sequenced(0)).await;
    assert_eq!((first.error_code, first.base_offset), (ErrorCode::NONE, 0));
    let second = client.produce("t", 0, sequenced(1)).await;
    assert_eq!((second.error_code, second.base_offset), (ErrorCode::NONE, 1));
    let again = client.produce("t", 0, sequenced(0)).await;
    assert_eq!((again.error_code, again.base_offset), (ErrorCode::NONE, 0));
    assert_eq!(
        client.produce("t", 0, sequenced(5)).await.error_code,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
    );
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_31_transactions_are_refused_clearly() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let transactional =
        builder(&[(None, Some("v"))]).producer(1, 0, 0).transactional().build().expect("small").to_bytes();
    let unnamed = client.produce("t", 0, transactional.clone()).await;
    assert_eq!(unnamed.error_code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    let mut request = produce_request("t", 0, -1, transactional);
    request.transactional_id = Some("tx".into());
    let named = ask!(client, Produce 9, request).responses[0].partition_responses[0].error_code;
    assert_eq!(named, ErrorCode::INVALID_TXN_STATE);
    let init = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        transaction_timeout_ms: 1_000,
        ..Default::default()
    };
    let response = ask!(client, InitProducerId 4, init);
    assert_eq!(
        (response.error_code, response.producer_id),
        (ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1)
    );
    node.stop().await;
}

#[tokio::test]
async fn half_a_producer_identity_is_refused() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let half = InitProducerIdRequest { producer_id: 0, ..Default::default() };
    assert_eq!(ask!(client, InitProducerId 3, half).error_code, ErrorCode::INVALID_REQUEST);
    node.stop().await;
}
