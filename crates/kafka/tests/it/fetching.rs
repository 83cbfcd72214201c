//! Fetch, with and without sessions.
use crate::node::Node;
use crate::wire::{Client, PATIENCE, ask, batch, keyed_batch};
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic, PartitionData};
use kafka_wire::messages::{FetchRequest, FetchResponse};
use kafka_wire::{ApiKey, ErrorCode, Records, Response, Str, Uuid};
use std::time::Duration;

fn fetch(topic: &str, offset: i64) -> FetchRequest {
    let partition =
        FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    FetchRequest {
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: Str::from(topic),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn only(response: &FetchResponse) -> &PartitionData {
    assert_eq!((response.responses.len(), response.responses[0].partitions.len()), (1, 1));
    &response.responses[0].partitions[0]
}

fn base_offsets(records: &Option<Records>) -> Vec<i64> {
    let bytes = records.as_ref().map(Records::to_bytes).unwrap_or_default();
    let mut rest = &bytes[..];
    let mut offsets = Vec::new();
    while let Some((base, tail)) = rest.split_first_chunk::<8>() {
        offsets.push(i64::from_be_bytes(*base));
        let (length, tail) = tail.split_first_chunk::<4>().expect("a length");
        rest = tail.get(i32::from_be_bytes(*length) as usize..).unwrap_or_default();
    }
    offsets
}

#[tokio::test]
async fn every_version_fetches_what_was_produced_byte_by_byte() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 1).await;
    let sent = keyed_batch(&[(Some("k"), Some("v"))]);
    assert_eq!(client.produce("t", 0, sent.clone()).await.error_code, ErrorCode::NONE);
    for version in 4..=18 {
        let mut request = fetch("t", 0);
        if version >= 13 {
            request.topics[0].topic_id = id;
        }
        let response = ask!(client, Fetch version, request);
        let partition = only(&response);
        assert_eq!((partition.error_code, partition.high_watermark), (ErrorCode::NONE, 1));
        assert_eq!(partition.last_stable_offset, 1);
        let records = partition.records.as_ref().expect("records").to_bytes();
        // Offset and leader epoch are the broker's to write; the rest is as it came (reference 2.8).
        assert_eq!(&records[16..], &sent[16..]);
        assert_eq!(response.session_id, 0);
        if version >= 13 {
            assert_eq!(response.responses[0].topic_id, id);
        } else {
            assert_eq!(&*response.responses[0].topic, "t");
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_10_a_fetch_returns_the_whole_batch_and_the_first_may_exceed_the_limit() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 2).await;
    for partition in 0..2 {
        client.produce("t", partition, batch(&["a", "b", "c"])).await;
        client.produce("t", partition, batch(&["d"])).await;
    }
    // An offset within the first batch gives that batch from its beginning.
    let response = ask!(client, Fetch 11, fetch("t", 2));
    assert_eq!(base_offsets(&only(&response).records), [0, 3]);
    let mut request = fetch("t", 0);
    request.max_bytes = 1;
    let mut second = request.topics[0].partitions[0].clone();
    second.partition = 1;
    request.topics[0].partitions.push(second);
    let response = ask!(client, Fetch 11, request);
    let partitions = &response.responses[0].partitions;
    assert_eq!(base_offsets(&partitions[0].records), [0]);
    assert_eq!(base_offsets(&partitions[1].records), Vec::<i64>::new());
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_11_a_long_poll_wakes_for_new_records_and_at_its_end() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let mut request = fetch("t", 0);
    request.max_wait_ms = 60_000;
    client.send(11, &request.clone().into()).await;
    let mut producer = node.client().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    producer.produce("t", 0, batch(&["a"])).await;
    let (_, Response::Fetch(response)) = client.receive(ApiKey::Fetch, 11).await else { panic!("no fetch") };
    assert_eq!(base_offsets(&only(&response).records), [0]);
    request.topics[0].partitions[0].fetch_offset = 1;
    request.max_wait_ms = 30;
    let response = ask!(client, Fetch 11, request.clone());
    assert_eq!((only(&response).error_code, only(&response).high_watermark), (ErrorCode::NONE, 1));
    // An error is told at once.
    request.max_wait_ms = 600_000;
    request.topics[0].partitions[0].fetch_offset = 99;
    let response = tokio::time::timeout(PATIENCE, async { ask!(client, Fetch 11, request) }).await;
    let response = response.expect("at once");
    assert_eq!(only(&response).error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(only(&response).high_watermark, -1);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_12_sessions_over_the_wire() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 3).await;
    let mut request = fetch("t", 0);
    request.session_epoch = 0;
    for partition in 1..3 {
        let mut more = request.topics[0].partitions[0].clone();
        more.partition = partition;
        request.topics[0].partitions.push(more);
    }
    let full = ask!(client, Fetch 12, request);
    assert_ne!(full.session_id, 0);
    assert_eq!(full.responses[0].partitions.len(), 3);
    let next =
        |epoch| FetchRequest { session_id: full.session_id, session_epoch: epoch, ..Default::default() };
    // Nothing is new, so nothing is said.
    assert_eq!(ask!(client, Fetch 12, next(1)).responses, []);
    client.produce("t", 1, batch(&["a"])).await;
    let news = ask!(client, Fetch 12, next(2));
    assert_eq!(only(&news).partition_index, 1);
    let mut forget = next(3);
    forget.forgotten_topics_data =
        vec![ForgottenTopic { topic: "t".into(), partitions: vec![1], ..Default::default() }];
    assert_eq!(ask!(client, Fetch 12, forget).responses, []);
    assert_eq!(ask!(client, Fetch 12, next(3)).error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let unknown = FetchRequest { session_id: full.session_id ^ 1, session_epoch: 4, ..Default::default() };
    assert_eq!(ask!(client, Fetch 12, unknown).error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(ask!(client, Fetch 13, next(4)).error_code, ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_13_fetch_by_id_knows_unknown_ids() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut request = fetch("", 0);
    request.topics[0].topic_id = Uuid::from_u128(5);
    let response = ask!(client, Fetch 13, request);
    assert_eq!(only(&response).error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    let response = ask!(client, Fetch 12, fetch("missing", 0));
    assert_eq!(only(&response).error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_30_the_last_stable_offset_is_filled_and_the_aborted_list_fits_the_isolation() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.produce("t", 0, batch(&["a"])).await;
    let uncommitted = ask!(client, Fetch 11, fetch("t", 0));
    assert_eq!(only(&uncommitted).last_stable_offset, 1);
    assert_eq!(only(&uncommitted).aborted_transactions, None);
    let mut request = fetch("t", 0);
    request.isolation_level = 1;
    let committed = ask!(client, Fetch 11, request);
    assert_eq!(only(&committed).aborted_transactions, Some(Vec::new()));
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_17_wrong_leader_epochs_and_diverging_ones() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.produce("t", 0, batch(&["a"])).await;
    let epoch = {
        let view = node.controller.view();
        view.partition("t", 0).expect("the partition").leader_epoch
    };
    let mut request = fetch("t", 0);
    request.topics[0].partitions[0].current_leader_epoch = epoch + 1;
    assert_eq!(
        only(&ask!(client, Fetch 16, by_id(&mut client, request.clone()).await)).error_code,
        ErrorCode::UNKNOWN_LEADER_EPOCH
    );
    request.topics[0].partitions[0].current_leader_epoch = -1;
    request.topics[0].partitions[0].last_fetched_epoch = epoch;
    request.topics[0].partitions[0].fetch_offset = 50;
    let response = ask!(client, Fetch 12, request);
    assert_eq!(only(&response).diverging_epoch.end_offset, 1);
    node.stop().await;
}

/// The same request with its topic's id in place of the name.
async fn by_id(client: &mut Client, mut request: FetchRequest) -> FetchRequest {
    let name = request.topics[0].topic.clone();
    let wanted =
        kafka_wire::messages::metadata::MetadataRequestTopic { name: Some(name), ..Default::default() };
    let metadata = kafka_wire::messages::MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
    request.topics[0].topic_id = ask!(client, Metadata 12, metadata).topics[0].topic_id;
    request
}

#[tokio::test]
async fn the_znode_log_is_fetched_like_any_topic() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let response = ask!(client, Fetch 12, fetch("__znodes", 0));
    assert_eq!(only(&response).error_code, ErrorCode::NONE);
    let offsets = base_offsets(&only(&response).records);
    assert!(offsets.len() > 10 && offsets.is_sorted(), "{offsets:?}");
    let request = by_id(&mut client, fetch("__znodes", 0)).await;
    let response = ask!(client, Fetch 13, request);
    assert_eq!(base_offsets(&only(&response).records), offsets);
    // Writing a znode wakes a consumer at the end.
    let end = only(&response).high_watermark;
    let mut poll = fetch("__znodes", end);
    poll.max_wait_ms = 60_000;
    client.send(12, &poll.into()).await;
    let mut producer = node.client().await;
    let written = producer.produce("__znodes", 0, keyed_batch(&[(Some("/made"), Some("by kafka"))])).await;
    assert_eq!(written.error_code, ErrorCode::NONE);
    let (_, Response::Fetch(response)) = client.receive(ApiKey::Fetch, 12).await else { panic!("no fetch") };
    assert_eq!(base_offsets(&only(&response).records)[0], written.base_offset);
    let (data, stat) =
        ensemble::Coordinator::get(&node.tree, "/made").await.expect("a read").expect("the znode");
    assert_eq!((data.as_deref(), stat.mzxid.0), (Some(&b"by kafka"[..]), written.base_offset));
    node.stop().await;
}
