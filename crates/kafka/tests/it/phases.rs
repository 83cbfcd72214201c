//! The door opens for other nodes first and closes for them last; and the way through it without a socket.
use crate::connections::wait_until;
use crate::node::{Node, Opened};
use crate::wire::{Client, PATIENCE, ask, batch, produce_request};
use kafka_wire::messages::describe_quorum::{
    DescribeQuorumRequestPartitionData, DescribeQuorumRequestTopicData,
};
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic, ReplicaState};
use kafka_wire::messages::{
    ApiVersionsRequest, DescribeQuorumRequest, EnvelopeRequest, FetchRequest, JoinGroupRequest,
    MetadataRequest, VoteRequest,
};
use kafka_wire::{ApiKey, Bytes, ErrorCode, Request, RequestHeader, Response, Uuid};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;

fn ping() -> ApiVersionsRequest {
    ApiVersionsRequest { client_software_name: "t".into(), client_software_version: "1".into() }
}

pub(crate) fn describe() -> DescribeQuorumRequest {
    let partitions = vec![DescribeQuorumRequestPartitionData { partition_index: 0 }];
    let topic_name = "__cluster_metadata".into();
    DescribeQuorumRequest { topics: vec![DescribeQuorumRequestTopicData { topic_name, partitions }] }
}

/// A fetch of one partition that waits for a record.
fn parked(topic: &str, fetch_offset: i64) -> FetchRequest {
    let partition = FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_wait_ms: i32::MAX, min_bytes: 1, topics: vec![topic], ..Default::default() }
}

async fn expect_silence(client: &mut Client) {
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), client.stream.read(&mut byte)).await;
    assert!(early.is_err(), "an answer came: {early:?}");
}

#[tokio::test]
async fn other_nodes_are_answered_before_clients_are() {
    let opened = Opened::alone(&[]).await;
    let mut waiting = opened.client().await;
    waiting.send(4, &ping().into()).await;
    waiting.send(12, &MetadataRequest { topics: None, ..Default::default() }.into()).await;
    let mut node = opened.client().await;
    let vote = ask!(node, Vote 1, VoteRequest::default());
    assert!(vote.error_code.is_error(), "{vote:?}");
    let envelope = ask!(node, Envelope 0, EnvelopeRequest::default());
    assert_eq!(envelope.error_code, ErrorCode::INVALID_REQUEST);
    expect_silence(&mut waiting).await;
    // Once the node serves, those who waited are answered in their order.
    let node = opened.serve().await;
    assert_eq!(waiting.receive(ApiKey::ApiVersions, 4).await.0, 1);
    assert_eq!(waiting.receive(ApiKey::Metadata, 12).await.0, 2);
    node.stop().await;
}

#[tokio::test]
async fn who_waits_for_the_node_can_go_and_be_let_go() {
    let opened = Opened::alone(&[]).await;
    let mut gone = opened.client().await;
    gone.send(4, &ping().into()).await;
    drop(gone);
    let mut let_go = opened.client().await;
    let_go.send(4, &ping().into()).await;
    // More than a client may send without a share of the memory: it is not even read.
    let mut large = opened.client().await;
    large.send(9, &produce_request("t", 0, 1, Bytes::from(vec![0; 1 << 20])).into()).await;
    opened.stop().await;
    let_go.expect_close().await;
    large.expect_close().await;
}

#[tokio::test]
async fn requests_to_the_ensemble_are_answered_in_order_with_clients_in_between() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut apis = Vec::new();
    let mut bytes = Vec::new();
    for round in 0..300 {
        let (version, request): (i16, Request) = match round % 3 {
            0 => (2, describe().into()),
            1 => (0, EnvelopeRequest::default().into()),
            _ => (4, ping().into()),
        };
        bytes.extend(client.frame(version, &request));
        apis.push((request.api(), version));
    }
    client.write(&bytes).await;
    for (id, (api, version)) in (1..).zip(apis) {
        let (got, response) = client.receive(api, version).await;
        assert_eq!((got, response.api()), (id, api));
    }
    assert_eq!(node.stats().requests, 300);
    node.stop().await;
}

/// A replica's fetch at the end of the quorum's log, which waits for the next write.
async fn quorum_fetch(client: &mut Client, max_wait_ms: i32) -> FetchRequest {
    let described = ask!(client, DescribeQuorum 2, describe());
    let quorum = &described.topics[0].partitions[0];
    let partition = FetchPartition {
        fetch_offset: quorum.high_watermark,
        current_leader_epoch: quorum.leader_epoch,
        last_fetched_epoch: quorum.leader_epoch,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    FetchRequest {
        max_wait_ms,
        replica_state: ReplicaState { replica_id: 77, replica_epoch: -1 },
        topics: vec![FetchTopic {
            topic_id: Uuid::from_u128(1),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_quorum_fetch_that_waits_holds_up_nobody_else() {
    let node = Node::start().await;
    let mut replica = node.client().await;
    let fetch = quorum_fetch(&mut replica, 30_000).await;
    let id = replica.send(17, &fetch.into()).await;
    let mut client = node.client().await;
    // The write that answers the fetch comes over another connection.
    client.create_topic("t", 1).await;
    let (got, response) = replica.receive(ApiKey::Fetch, 17).await;
    let Response::Fetch(response) = response else { panic!("{response:?}") };
    // The ensemble answers with its own log under the reserved id, which no topic has.
    assert_eq!((got, response.responses[0].topic_id), (id, Uuid::from_u128(1)));
    assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::NONE);
    node.stop().await;
}

#[tokio::test]
async fn clients_leave_before_other_nodes_do() {
    let node = Node::start().await;
    let mut fetching = node.client().await;
    fetching.create_topic("t", 1).await;
    fetching.send(11, &parked("t", 0).into()).await;
    let mut joining = node.client().await;
    let group = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 600_000,
        protocol_type: "consumer".into(),
        ..Default::default()
    };
    joining.send(5, &group.into()).await;
    let mut idle = node.client().await;
    assert_eq!(ask!(idle, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    let mut other = node.client().await;
    assert_eq!(ask!(other, DescribeQuorum 2, describe()).error_code, ErrorCode::NONE);
    let mut fresh = node.client().await;
    wait_until(|| node.stats().connections == 5).await;
    node.door.dismiss_clients();
    fetching.expect_close().await;
    idle.expect_close().await;
    drop(joining);
    for node in [&mut other, &mut fresh] {
        assert_eq!(ask!(node, DescribeQuorum 2, describe()).error_code, ErrorCode::NONE);
    }
    // The port is still open, but not for clients.
    let mut late = node.client().await;
    late.send(11, &parked("t", 0).into()).await;
    late.expect_close().await;
    tokio::time::timeout(PATIENCE, node.stop()).await.expect("nobody holds up the stop");
    other.expect_close().await;
    fresh.expect_close().await;
}

/// A frame as the door's port gets it, without its size.
fn frame(version: i16, request: impl Into<Request>) -> Bytes {
    let request = request.into();
    let header = RequestHeader { api: request.api(), version, correlation_id: 5, client_id: None };
    Bytes::from(request.to_frame(&header).expect("a good request").concat()).slice(4..)
}

fn response(api: ApiKey, version: i16, chunks: Option<Vec<Bytes>>) -> Response {
    let whole = Bytes::from(chunks.expect("an answer").concat());
    let (id, response) =
        kafka_wire::decode_response(api, version, whole.slice(4..)).expect("a good response");
    assert_eq!(id, 5);
    response
}

#[tokio::test]
async fn within_the_process_requests_are_answered_as_over_a_socket() {
    let opened = Opened::alone(&[]).await;
    let remote = SocketAddr::from(([10, 0, 0, 1], 1));
    let way = opened.door.in_process();
    let client = way.connect(remote, "PLAINTEXT");
    let answered = client.call(frame(0, EnvelopeRequest::default())).await;
    let Response::Envelope(envelope) = response(ApiKey::Envelope, 0, answered) else { panic!("an envelope") };
    assert_eq!(envelope.error_code, ErrorCode::INVALID_REQUEST);
    let held = client.call(frame(4, ping()));
    tokio::pin!(held);
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut held).await.is_err(), "clients wait");
    let node = opened.serve().await;
    let Response::ApiVersions(versions) = response(ApiKey::ApiVersions, 4, held.await) else {
        panic!("versions")
    };
    assert_eq!(versions.error_code, ErrorCode::NONE);
    node.client().await.create_topic("t", 1).await;
    // A request without an answer, one whose answer is the connection's end, and garbage.
    let silent = client.call(frame(9, produce_request("t", 0, 0, batch(&["a"])))).await;
    assert_eq!(silent, Some(Vec::new()));
    assert_eq!(client.call(frame(9, produce_request("missing", 0, 0, batch(&["a"])))).await, None);
    assert_eq!(client.call(Bytes::from_static(&[0, 3, 0, 99, 0, 0, 0, 0, 0, 0])).await, None);
    let unsupported = client.call(Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff, 0])).await;
    let Response::ApiVersions(versions) = response(ApiKey::ApiVersions, 0, unsupported) else {
        panic!("versions")
    };
    assert_eq!(versions.error_code, ErrorCode::UNSUPPORTED_VERSION);
    // What waits ends with the door.
    let parked_call = client.call(frame(11, parked("t", 1)));
    let (ended, ()) = tokio::join!(parked_call, async { node.door.dismiss_clients() });
    assert_eq!(ended, None);
    node.stop().await;
    assert_eq!(client.call(frame(0, EnvelopeRequest::default())).await, None);
    assert_eq!(client.call(frame(4, ping())).await, None);
}

#[tokio::test]
async fn an_abandoned_door_is_closed_at_once() {
    let opened = Opened::alone(&[]).await;
    let mut held = opened.client().await;
    held.send(4, &ping().into()).await;
    let Opened { door, ensemble, .. } = opened;
    door.abandon();
    held.expect_close().await;
    ensemble.stop().await.expect("the znode log closes");
}

#[tokio::test]
async fn a_connection_that_is_waited_for_is_not_idle() {
    let settings = [("connections.max.idle.ms", "50"), ("connection.failed.authentication.delay.ms", "10")];
    let node = Node::with(&settings).await;
    let mut replica = node.client().await;
    let fetch = quorum_fetch(&mut replica, 300).await;
    let id = replica.send(17, &fetch.into()).await;
    assert_eq!(replica.receive(ApiKey::Fetch, 17).await.0, id);
    node.stop().await;
}
