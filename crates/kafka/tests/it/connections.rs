//! The life of connections: order of responses, limits, idleness, the end of the door.
use crate::node::Node;
use crate::wire::{Client, PATIENCE, ask, batch, produce_request};
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic};
use kafka_wire::messages::{
    ApiVersionsRequest, FetchRequest, HeartbeatRequest, ListGroupsRequest, MetadataRequest,
};
use kafka_wire::{ApiKey, ErrorCode, Request, Response, Str};
use std::time::Duration;
use tokio::io::AsyncReadExt;

fn ping() -> ApiVersionsRequest {
    ApiVersionsRequest { client_software_name: "t".into(), client_software_version: "1".into() }
}

/// A fetch of an empty partition that waits.
fn long_poll(topic: &str, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: Str::from(topic),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[tokio::test]
async fn kafka_2_1_an_unsupported_api_versions_version_is_answered_in_version_0() {
    let node = Node::start().await;
    let mut client = node.client().await;
    // Version 5 has the header of a flexible version and bytes that only it would understand.
    client.write(&[0, 0, 0, 16, 0, 18, 0, 5, 0, 0, 0, 77, 0, 1, b't', 0, 9, 9, 9, 9]).await;
    let frame = client.receive_frame().await;
    let (id, response) = kafka_wire::decode_response(ApiKey::ApiVersions, 0, frame).expect("version 0");
    let Response::ApiVersions(response) = response else { panic!("{response:?}") };
    assert_eq!((id, response.error_code), (77, ErrorCode::UNSUPPORTED_VERSION));
    let ranges: Vec<_> =
        response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert_eq!(ranges, [(18, 0, 4)]);
    // The connection lives: the client goes on with a version that it has learned.
    assert_eq!(ask!(client, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_2_api_versions_has_header_0_and_lists_what_is_served() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 0..=4 {
        let response = ask!(client, ApiVersions version, if version < 3 { ApiVersionsRequest::default() } else { ping() });
        assert_eq!(response.error_code, ErrorCode::NONE);
        let produce = response.api_keys.iter().find(|api| api.api_key == 0).expect("Produce");
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
        let keys: Vec<i16> = response.api_keys.iter().map(|api| api.api_key).collect();
        let hidden = [ApiKey::Vote, ApiKey::Envelope, ApiKey::UpdateRaftVoter, ApiKey::ControlledShutdown];
        for later in [ApiKey::DescribeAcls, ApiKey::SaslHandshake] {
            assert!(!keys.contains(&later.key()), "{later} is not there yet");
        }
        assert!(hidden.iter().all(|api| !keys.contains(&api.key())), "{keys:?}");
        for shown in [ApiKey::DescribeQuorum, ApiKey::AddRaftVoter, ApiKey::RemoveRaftVoter] {
            assert!(keys.contains(&shown.key()), "{shown}");
        }
        assert!(keys.is_sorted());
        assert_eq!(keys.len(), 35);
        assert_eq!(response.supported_features.len(), usize::from(version == 4));
    }
    let unnamed = ask!(client, ApiVersions 3, ApiVersionsRequest::default());
    assert_eq!(unnamed.error_code, ErrorCode::INVALID_REQUEST);
    // OffsetDelete is never flexible: its response has no tagged section anywhere.
    let deleted = ask!(client, OffsetDelete 0, kafka_wire::messages::OffsetDeleteRequest::default());
    assert!(deleted.error_code.is_error());
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_3_unknown_apis_and_versions_close_the_connection() {
    let node = Node::start().await;
    let header = |api: i16, version: i16| {
        let mut frame = vec![0, 0, 0, 10];
        frame.extend(api.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0, 0]);
        frame
    };
    for (api, version) in
        [(999, 0), (-1, 0), (3, 14), (3, -1), (0, 2), (0, 0), (1, 3), (29, 3), (52, 0), (24, 5)]
    {
        let mut client = node.client().await;
        client.write(&header(api, version)).await;
        client.expect_close().await;
    }
    assert_eq!(ask!(node.client().await, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    assert_eq!(node.stats().faults, 10);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_4_responses_come_in_the_order_of_the_requests() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    // The first of the pipeline waits; those behind it must wait, too.
    let poll = client.frame(11, &Request::from(long_poll("t", 300)));
    let mut pipeline = poll;
    let mut expected = vec![(ApiKey::Fetch, 11)];
    for round in 0..50 {
        let (api, version, request): (_, _, Request) = match round % 3 {
            0 => (ApiKey::ApiVersions, 4, ping().into()),
            1 => (ApiKey::Metadata, 12, MetadataRequest::default().into()),
            _ => (ApiKey::ListGroups, 4, ListGroupsRequest::default().into()),
        };
        pipeline.extend(client.frame(version, &request));
        expected.push((api, version));
    }
    client.write(&pipeline).await;
    let mut ids = Vec::new();
    for (api, version) in expected {
        ids.push(client.receive(api, version).await.0);
    }
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    node.stop().await;
}

#[tokio::test]
async fn what_is_answered_waits_for_nothing_that_comes_behind_it() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let pings = |client: &mut Client| {
        let frames = [(); 3].map(|()| client.frame(4, &Request::from(ping())));
        frames.concat()
    };
    // A request that is answered late, a part of a request, and one that ends the connection.
    let poll = client.frame(11, &Request::from(long_poll("t", i32::MAX)));
    let half = client.frame(4, &Request::from(ping()));
    for (behind, closes) in [(&poll[..], false), (&half[..half.len() / 2], false), (&[0xff; 4][..], true)] {
        let mut client = node.client().await;
        let mut pipeline = pings(&mut client);
        pipeline.extend(behind);
        client.write(&pipeline).await;
        for _ in 0..3 {
            client.receive(ApiKey::ApiVersions, 4).await;
        }
        if closes {
            client.expect_close().await;
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_6_acks_0_has_no_response_and_an_error_closes_the_socket() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.send(9, &produce_request("t", 0, 0, batch(&["a", "b"])).into()).await;
    // The next response is that of the next request.
    assert_eq!(ask!(client, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    assert_eq!(node.broker.offsets(&broker::TopicKey::Name("t".into()), 0), Ok((2, 0)));
    client.send(9, &produce_request("missing", 0, 0, batch(&["a"])).into()).await;
    client.expect_close().await;
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_long_poll_behind() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.send(11, &long_poll("t", i32::MAX).into()).await;
    drop(client);
    wait_until(|| node.stats().connections == 0).await;
    node.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_when_the_door_closes() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    client.send(11, &long_poll("t", i32::MAX).into()).await;
    let mut idle = node.client().await;
    assert_eq!(ask!(idle, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    tokio::time::timeout(PATIENCE, node.stop()).await.expect("the door closes");
    client.expect_close().await;
    idle.expect_close().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_in_use_is_not() {
    let node = Node::with(&[
        ("connections.max.idle.ms", "400"),
        ("connection.failed.authentication.delay.ms", "10"),
    ])
    .await;
    let mut idle = node.client().await;
    let mut busy = node.client().await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(ask!(busy, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    }
    idle.expect_close().await;
    assert_eq!(ask!(busy, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    node.stop().await;
}

#[tokio::test]
async fn an_address_gets_no_more_than_its_connections() {
    let node = Node::with(&[("max.connections.per.ip", "2")]).await;
    let mut first = node.client().await;
    let mut second = node.client().await;
    assert_eq!(ask!(first, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    assert_eq!(ask!(second, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    node.client().await.expect_close().await;
    assert_eq!(node.stats().refused, 1);
    drop(first);
    wait_until(|| node.stats().connections == 1).await;
    assert_eq!(ask!(node.client().await, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    node.stop().await;
}

#[tokio::test]
async fn a_full_door_lets_the_next_in_when_one_leaves() {
    let node = Node::with(&[("max.connections", "1")]).await;
    let mut first = node.client().await;
    assert_eq!(ask!(first, ApiVersions 4, ping()).error_code, ErrorCode::NONE);
    let mut second = node.client().await;
    second.send(4, &ping().into()).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), second.stream.read(&mut byte)).await;
    assert!(early.is_err(), "the second is not served while the first is there");
    drop(first);
    assert_eq!(second.receive(ApiKey::ApiVersions, 4).await.0, 1);
    node.stop().await;
}

#[tokio::test]
async fn limits_follow_the_dynamic_settings() {
    let node = Node::start().await;
    let mut client = node.client().await;
    crate::configs::set_broker(&mut client, "", "max.connections.per.ip", "1").await;
    wait_until(|| node.broker.applied().borrow().broker_config.network.max_connections_per_ip == 1).await;
    // The door hears of it a moment after the partitions.
    loop {
        let mut other = node.client().await;
        let mut byte = [0];
        let closed = tokio::time::timeout(Duration::from_millis(50), other.stream.read(&mut byte)).await;
        if matches!(closed, Ok(Ok(0) | Err(_))) {
            break;
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn a_thousand_idle_connections_do_not_disturb() {
    let node = Node::start().await;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(node.client().await);
    }
    wait_until(|| node.stats().connections == 1_000).await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    assert_eq!(client.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
    drop(idle);
    wait_until(|| node.stats().connections == 1).await;
    node.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_a_clear_error() {
    let node = Node::start().await;
    let address = format!("PLAINTEXT://{}", node.address);
    let (config, _) =
        controller::config::BrokerConfig::from_file([("listeners", address.as_str())]).expect("good");
    let error = kafka::bind(&config).await.expect_err("the port is taken");
    assert_eq!(error.error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn a_heartbeat_of_nobody_is_answered_in_all_versions() {
    let node = Node::start().await;
    let mut client: Client = node.client().await;
    for version in 0..=4 {
        let response =
            ask!(client, Heartbeat version, HeartbeatRequest { group_id: "g".into(), ..Default::default() });
        assert!(response.error_code.is_error());
    }
    node.stop().await;
}

/// Waits for what happens soon, without a fixed time.
pub(crate) async fn wait_until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it happens in time");
}
