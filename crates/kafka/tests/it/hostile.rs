//! Bad input: it ends its own connection, or is answered with an error of the protocol, and the node serves the others.
use crate::connections::wait_until;
use crate::node::Node;
use crate::wire::{ask, batch, builder, produce_request};
use kafka_wire::messages::describe_configs::DescribeConfigsResource;
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic};
use kafka_wire::messages::{
    ApiVersionsRequest, DescribeConfigsRequest, FetchRequest, FindCoordinatorRequest, MetadataRequest,
};
use kafka_wire::{ApiKey, ErrorCode, Request, Str};
use std::time::Duration;
use tokio::io::AsyncReadExt;

async fn expect_alive(node: &Node) {
    let response = ask!(node.client().await, ApiVersions 0, ApiVersionsRequest::default());
    assert_eq!(response.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn negative_and_huge_sizes_close_the_connection() {
    let node = Node::with(&[("socket.request.max.bytes", "100000")]).await;
    for size in [-1, i32::MIN, 100_001, i32::MAX] {
        let mut client = node.client().await;
        client.write(&i32::to_be_bytes(size)).await;
        client.expect_close().await;
    }
    // An empty frame has no header.
    let mut client = node.client().await;
    client.write(&[0; 4]).await;
    client.expect_close().await;
    expect_alive(&node).await;
    assert_eq!(node.stats().faults, 5);
    node.stop().await;
}

#[tokio::test]
async fn other_protocols_are_closed() {
    let node = Node::start().await;
    for greeting in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"ruok",
    ] {
        let mut client = node.client().await;
        client.write(greeting).await;
        client.expect_close().await;
    }
    expect_alive(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn truncations_of_every_request_close_the_connection_or_wait() {
    let node = Node::start().await;
    let requests: Vec<Request> = vec![
        produce_request("t", 0, 1, batch(&["value"])).into(),
        FetchRequest {
            topics: vec![FetchTopic { topic: "t".into(), ..Default::default() }],
            ..Default::default()
        }
        .into(),
        MetadataRequest { topics: None, ..Default::default() }.into(),
    ];
    for request in requests {
        let version = if request.api() == ApiKey::Produce { 9 } else { 12 };
        let whole = node.client().await.frame(version, &request);
        for cut in (4..whole.len()).step_by(7) {
            // A frame whose size is right and whose content ends too early.
            let mut client = node.client().await;
            let mut frame = whole[..cut].to_vec();
            let size = i32::try_from(cut - 4).expect("short");
            frame[..4].copy_from_slice(&size.to_be_bytes());
            client.write(&frame).await;
            client.expect_close().await;
        }
        // A frame that never arrives in full occupies its own connection only.
        let mut client = node.client().await;
        client.write(&whole[..whole.len() - 1]).await;
        expect_alive(&node).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn huge_counts_close_the_connection_without_a_huge_allocation() {
    let node = Node::start().await;
    // Metadata version 1 with 2^31 - 1 topics and none of them.
    let mut client = node.client().await;
    client.write(&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff]).await;
    client.expect_close().await;
    // Version 12 in the compact form.
    let mut client = node.client().await;
    client.write(&[0, 0, 0, 16, 0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]).await;
    client.expect_close().await;
    expect_alive(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_28_a_negative_count_of_a_nullable_array_is_null() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    // Metadata version 1 with -7 topics: all of them.
    client.write(&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xf9]).await;
    let (_, response) = client.receive(ApiKey::Metadata, 1).await;
    let kafka_wire::Response::Metadata(response) = response else { panic!("{response:?}") };
    assert!(response.topics.iter().any(|topic| topic.name.as_deref() == Some("t")));
    node.stop().await;
}

#[tokio::test]
async fn clients_that_never_send_what_they_claim_take_no_memory_from_others() {
    let node =
        Node::with(&[("socket.request.max.bytes", "50000000"), ("queued.max.request.bytes", "100000000")])
            .await;
    let mut liars = Vec::new();
    for _ in 0..2 {
        let mut liar = node.client().await;
        // The size, and the first bytes of a produce request.
        liar.write(&[&50_000_000i32.to_be_bytes()[..], &[0, 0, 0, 9]].concat()).await;
        liars.push(liar);
    }
    // A third large request waits for its share; small ones need none.
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    assert_eq!(client.produce("t", 0, batch(&["small"])).await.error_code, ErrorCode::NONE);
    let large = batch(&["x".repeat(500_000).as_str()]);
    client.send(9, &produce_request("t", 0, -1, large).into()).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), client.stream.read(&mut byte)).await;
    assert!(early.is_err(), "the memory is spoken for");
    // Once a liar goes, the request gets on.
    liars.pop();
    assert_eq!(client.receive(ApiKey::Produce, 9).await.0, 3);
    node.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_one_response_and_disturbs_nobody() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let value = "x".repeat(900_000);
    for _ in 0..10 {
        assert_eq!(client.produce("t", 0, batch(&[&value])).await.error_code, ErrorCode::NONE);
    }
    let partition = FetchPartition { partition_max_bytes: i32::MAX, ..Default::default() };
    let fetch = FetchRequest {
        max_wait_ms: 0,
        topics: vec![FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    };
    let mut slow = node.client().await;
    let frame = slow.frame(11, &Request::from(fetch.clone()));
    // A hundred requests and not one byte read: the door answers the first and stops reading behind it.
    let pipeline: Vec<u8> = std::iter::repeat_n(frame, 100).flatten().collect();
    slow.write(&pipeline).await;
    let fetched = ask!(client, Fetch 11, fetch);
    let records = fetched.responses[0].partitions[0].records.as_ref().map(kafka_wire::Records::len);
    assert!(records > Some(9_000_000), "{records:?}");
    expect_alive(&node).await;
    let (before, after) = (node.stats().requests, 20);
    assert!(before <= after, "{before} requests were answered: the slow reader's were not held back");
    drop(slow);
    wait_until(|| node.stats().connections == 1).await;
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_28_null_records_are_never_answered() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let mut request = produce_request("t", 0, 1, batch(&["a"]));
    request.topic_data[0].partition_data[0].records = None;
    client.send(9, &request.into()).await;
    client.expect_close().await;
    node.stop().await;
}

#[tokio::test]
async fn damaged_batches_are_refused_one_by_one() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let good = builder(&[(None, Some("value"))]).build().expect("small").to_bytes();
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x55;
        let result = client.produce("t", 0, bad.into()).await;
        // The leader epoch is not the client's to say, and not under the checksum.
        let is_epoch = (12..16).contains(&at);
        assert_eq!(result.error_code.is_error(), !is_epoch, "byte {at}: {:?}", result.error_code);
    }
    for cut in 0..good.len() {
        let result = client.produce("t", 0, good.slice(..cut)).await;
        assert!(result.error_code.is_error(), "cut at {cut}");
    }
    node.stop().await;
}

#[tokio::test]
async fn names_from_hell_are_refused_politely() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let long = "x".repeat(30_000);
    for name in ["", ".", "..", "a/b", "ä", "a\0b", "\u{1F600}", &long] {
        let topic = kafka_wire::messages::create_topics::CreatableTopic {
            name: Str::from(name),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let request = kafka_wire::messages::CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 1_000,
            ..Default::default()
        };
        let response = ask!(client, CreateTopics 7, request);
        assert_eq!(response.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name:?}");
        let produced = client.produce(name, 0, batch(&["a"])).await;
        assert_eq!(produced.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "{name:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn small_requests_cannot_ask_for_endless_answers() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let broker = DescribeConfigsResource {
        resource_type: 4,
        resource_name: Str::from(node.controller.node_id().to_string()),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![broker; 50_000], ..Default::default() };
    let response = ask!(client, DescribeConfigs 4, request);
    assert_eq!(response.results.len(), 1, "what is asked twice is answered once");
    let group = |number: i32| DescribeConfigsResource {
        resource_type: 32,
        resource_name: Str::from(number.to_string()),
        configuration_keys: None,
    };
    let request =
        DescribeConfigsRequest { resources: (0..50_000).map(group).collect(), ..Default::default() };
    let response = ask!(client, DescribeConfigs 4, request);
    let shown: usize = response.results.iter().map(|result| result.configs.len()).sum();
    assert!((500_000..501_000).contains(&shown), "{shown}");
    assert_eq!(response.results.last().map(|result| result.error_code), Some(ErrorCode::INVALID_REQUEST));
    let keys = vec![Str::from_static("g"); 100_001];
    let request = FindCoordinatorRequest { coordinator_keys: keys, ..Default::default() };
    client.send(4, &request.into()).await;
    client.expect_close().await;
    expect_alive(&node).await;
    node.stop().await;
}
