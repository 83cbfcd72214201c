//! Classic groups and their offsets over the wire.
use crate::node::Node;
use crate::wire::{Client, ask, batch};
use kafka_wire::messages::join_group::JoinGroupRequestProtocol;
use kafka_wire::messages::leave_group::MemberIdentity;
use kafka_wire::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_wire::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_wire::messages::sync_group::SyncGroupRequestAssignment;
use kafka_wire::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use kafka_wire::{Bytes, ErrorCode, Str, Uuid};

/// Asks for the group's coordinator until its groups are loaded.
async fn coordinate(client: &mut Client, group: &str) {
    let request = FindCoordinatorRequest { coordinator_keys: vec![Str::from(group)], ..Default::default() };
    let response = ask!(client, FindCoordinator 4, request);
    assert_eq!(response.coordinators[0].error_code, ErrorCode::NONE);
    loop {
        let request = DescribeGroupsRequest { groups: vec![Str::from(group)], ..Default::default() };
        let error = ask!(client, DescribeGroups 6, request).groups[0].error_code;
        if !matches!(error, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: Str::from(group),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: Str::from(member),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"topics"),
        }],
        ..Default::default()
    }
}

/// Joins as a new member in a version, twice if it must; the reply.
async fn join_new(client: &mut Client, version: i16, group: &str) -> JoinGroupResponse {
    let first = ask!(client, JoinGroup version, join(group, ""));
    if first.error_code != ErrorCode::MEMBER_ID_REQUIRED {
        return first;
    }
    ask!(client, JoinGroup version, join(group, &first.member_id))
}

async fn sync_all(client: &mut Client, version: i16, group: &str, joined: &JoinGroupResponse) -> Bytes {
    let assignment = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(b"yours"),
    };
    let named = version >= 5;
    let request = SyncGroupRequest {
        group_id: Str::from(group),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: named.then(|| "consumer".into()),
        protocol_name: named.then(|| "range".into()),
        assignments: vec![assignment],
        ..Default::default()
    };
    let response = ask!(client, SyncGroup version, request);
    assert_eq!(response.error_code, ErrorCode::NONE);
    response.assignment
}

#[tokio::test]
async fn find_coordinator_in_every_version() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 0..=6 {
        let mut request = FindCoordinatorRequest::default();
        if version < 4 {
            request.key = "g".into();
        } else {
            request.coordinator_keys = vec!["g".into(), "h".into()];
        }
        let response = ask!(client, FindCoordinator version, request);
        if version < 4 {
            assert_eq!(
                (response.error_code, response.port),
                (ErrorCode::NONE, i32::from(node.address.port()))
            );
        } else {
            assert_eq!(response.coordinators.len(), 2);
            assert!(response.coordinators.iter().all(|found| found.port == i32::from(node.address.port())));
        }
    }
    for (kind, error) in
        [(1, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED), (2, ErrorCode::INVALID_REQUEST)]
    {
        let request = FindCoordinatorRequest {
            key_type: kind,
            coordinator_keys: vec!["x".into()],
            ..Default::default()
        };
        let found = ask!(client, FindCoordinator 6, request).coordinators[0].clone();
        assert_eq!((found.error_code, found.node_id), (error, -1));
        assert!(found.error_message.is_some());
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_22_a_member_lives_through_every_version() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 0..=9 {
        let group = format!("group-{version}");
        coordinate(&mut client, &group).await;
        let joined = join_new(&mut client, version, &group).await;
        assert_eq!((joined.error_code, joined.generation_id), (ErrorCode::NONE, 1), "version {version}");
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(joined.protocol_type.is_some(), version >= 7);
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.members.len(), 1);
        assert_eq!(joined.members[0].metadata, Bytes::from_static(b"topics"));
        let assignment = sync_all(&mut client, version.min(5), &group, &joined).await;
        assert_eq!(assignment, Bytes::from_static(b"yours"));
        let beat = HeartbeatRequest {
            group_id: Str::from(&group),
            generation_id: 1,
            member_id: joined.member_id.clone(),
            ..Default::default()
        };
        assert_eq!(ask!(client, Heartbeat version.min(4), beat).error_code, ErrorCode::NONE);
        let mut leave = LeaveGroupRequest { group_id: Str::from(&group), ..Default::default() };
        if version < 3 {
            leave.member_id = joined.member_id;
        } else {
            leave.members = vec![MemberIdentity { member_id: joined.member_id, ..Default::default() }];
        }
        let left = ask!(client, LeaveGroup version.min(5), leave);
        assert_eq!((left.error_code, left.members.len()), (ErrorCode::NONE, usize::from(version >= 3)));
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_22_a_new_member_must_come_back_with_its_id_from_version_4_on() {
    let node = Node::start().await;
    let mut client = node.client().await;
    coordinate(&mut client, "g").await;
    let first = ask!(client, JoinGroup 4, join("g", ""));
    assert_eq!((first.error_code, first.generation_id), (ErrorCode::MEMBER_ID_REQUIRED, -1));
    assert!(first.member_id.starts_with("test-"));
    assert_eq!(first.protocol_name.as_deref(), Some(""));
    let refused = ask!(client, JoinGroup 7, join("g", "stranger"));
    assert_eq!((refused.error_code, refused.protocol_name), (ErrorCode::UNKNOWN_MEMBER_ID, None));
    let mut other = join("g", &first.member_id);
    other.session_timeout_ms = 1;
    assert_eq!(ask!(client, JoinGroup 4, other).error_code, ErrorCode::INVALID_SESSION_TIMEOUT);
    assert_eq!(ask!(client, JoinGroup 4, join("", "")).error_code, ErrorCode::INVALID_GROUP_ID);
    node.stop().await;
}

#[tokio::test]
async fn two_members_share_a_group_over_two_connections() {
    let node = Node::start().await;
    let mut one = node.client().await;
    coordinate(&mut one, "g").await;
    let first = join_new(&mut one, 5, "g").await;
    sync_all(&mut one, 4, "g", &first).await;
    let mut two = node.client().await;
    let id = ask!(two, JoinGroup 5, join("g", "")).member_id;
    two.send(5, &join("g", &id).into()).await;
    // The heartbeat tells the first member to join again.
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: first.member_id.clone(),
        ..Default::default()
    };
    let rebalance = async {
        while ask!(one, Heartbeat 3, beat.clone()).error_code != ErrorCode::REBALANCE_IN_PROGRESS {}
    };
    tokio::time::timeout(crate::wire::PATIENCE, rebalance).await.expect("a rebalance");
    let again = ask!(one, JoinGroup 5, join("g", &first.member_id));
    assert_eq!((again.generation_id, again.members.len()), (2, 2));
    let (_, kafka_wire::Response::JoinGroup(second)) = two.receive(kafka_wire::ApiKey::JoinGroup, 5).await
    else {
        panic!("no join")
    };
    assert_eq!((second.generation_id, second.members.len(), second.leader), (2, 0, first.member_id));
    let stale =
        ask!(two, Heartbeat 3, HeartbeatRequest { generation_id: 1, member_id: second.member_id, ..beat });
    assert_eq!(stale.error_code, ErrorCode::ILLEGAL_GENERATION);
    node.stop().await;
}

#[tokio::test]
async fn groups_are_described_listed_and_deleted() {
    let node = Node::start().await;
    let mut client = node.client().await;
    coordinate(&mut client, "g").await;
    let joined = join_new(&mut client, 5, "g").await;
    sync_all(&mut client, 4, "g", &joined).await;
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            groups: vec!["g".into(), "unknown".into()],
            include_authorized_operations: version >= 3,
        };
        let response = ask!(client, DescribeGroups version, request);
        let group = &response.groups[0];
        assert_eq!(
            (group.error_code, &*group.group_state, &*group.protocol_data),
            (ErrorCode::NONE, "Stable", "range")
        );
        assert_eq!(group.members.len(), 1);
        assert_eq!((&*group.members[0].client_id, &*group.members[0].client_host), ("test", "/127.0.0.1"));
        assert_eq!(group.members[0].member_assignment, Bytes::from_static(b"yours"));
        assert_eq!(group.authorized_operations, if version >= 3 { 3400 } else { i32::MIN });
        let unknown = &response.groups[1];
        let expected = if version >= 6 { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::NONE };
        assert_eq!((unknown.error_code, &*unknown.group_state), (expected, "Dead"));
    }
    for version in 0..=5 {
        let response = ask!(client, ListGroups version, ListGroupsRequest::default());
        assert_eq!((&*response.groups[0].group_id, &*response.groups[0].protocol_type), ("g", "consumer"));
        assert_eq!(&*response.groups[0].group_state, if version >= 4 { "Stable" } else { "" });
    }
    let none = ListGroupsRequest { states_filter: vec!["Empty".into()], ..Default::default() };
    assert_eq!(ask!(client, ListGroups 4, none).groups, []);
    let delete = DeleteGroupsRequest { groups_names: vec!["g".into(), "unknown".into()] };
    for version in 0..=2 {
        let results = ask!(client, DeleteGroups version, delete.clone()).results;
        let errors: Vec<_> = results.iter().map(|result| result.error_code).collect();
        assert_eq!(errors, [ErrorCode::NON_EMPTY_GROUP, ErrorCode::GROUP_ID_NOT_FOUND]);
    }
    let leave = LeaveGroupRequest { group_id: "g".into(), member_id: joined.member_id, ..Default::default() };
    assert_eq!(ask!(client, LeaveGroup 2, leave).error_code, ErrorCode::NONE);
    assert_eq!(ask!(client, DeleteGroups 2, delete).results[0].error_code, ErrorCode::NONE);
    node.stop().await;
}

fn commit(group: &str, topic: &str, id: Uuid, offsets: &[(i32, i64)], metadata: &str) -> OffsetCommitRequest {
    let partitions = offsets.iter().map(|(partition_index, committed_offset)| OffsetCommitRequestPartition {
        partition_index: *partition_index,
        committed_offset: *committed_offset,
        committed_metadata: Some(Str::from(metadata)),
        ..Default::default()
    });
    let topic =
        OffsetCommitRequestTopic { name: Str::from(topic), topic_id: id, partitions: partitions.collect() };
    OffsetCommitRequest { group_id: Str::from(group), topics: vec![topic], ..Default::default() }
}

#[tokio::test]
async fn kafka_2_24_offsets_and_their_metadata_go_round_in_every_version() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 2).await;
    coordinate(&mut client, "g").await;
    for version in 2..=10 {
        let request = commit("g", "t", id, &[(0, i64::from(version)), (1, 100), (9, 1)], "my words");
        let response = ask!(client, OffsetCommit version, request);
        let errors: Vec<_> =
            response.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!(errors, [ErrorCode::NONE, ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
        assert_eq!(response.topics[0].topic_id, if version >= 10 { id } else { Uuid::nil() });
    }
    for version in 1..=7 {
        let topics = vec![OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0, 7] }];
        let request = OffsetFetchRequest { group_id: "g".into(), topics: Some(topics), ..Default::default() };
        let response = ask!(client, OffsetFetch version, request);
        assert_eq!(response.error_code, ErrorCode::NONE);
        let partitions = &response.topics[0].partitions;
        assert_eq!(
            (partitions[0].committed_offset, partitions[0].metadata.as_deref()),
            (10, Some("my words"))
        );
        assert_eq!((partitions[1].committed_offset, partitions[1].error_code), (-1, ErrorCode::NONE));
        if version >= 2 {
            let request = OffsetFetchRequest { group_id: "g".into(), topics: None, ..Default::default() };
            assert_eq!(ask!(client, OffsetFetch version, request).topics[0].partitions.len(), 2);
        }
    }
    for version in 8..=10 {
        let topic = OffsetFetchRequestTopics { name: "t".into(), topic_id: id, partition_indexes: vec![0] };
        let some =
            OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
        let all = OffsetFetchRequestGroup { group_id: "g".into(), topics: None, ..Default::default() };
        let response = ask!(client, OffsetFetch version, OffsetFetchRequest { groups: vec![some, all], ..Default::default() });
        assert_eq!(response.groups[0].topics[0].partitions[0].committed_offset, 10);
        assert_eq!(response.groups[1].topics[0].partitions.len(), 2);
        assert_eq!(response.groups[1].topics[0].topic_id, if version >= 10 { id } else { Uuid::nil() });
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_13_commits_and_fetches_by_id_know_unknown_ids() {
    let node = Node::start().await;
    let mut client = node.client().await;
    coordinate(&mut client, "g").await;
    let nowhere = Uuid::from_u128(5);
    let response = ask!(client, OffsetCommit 10, commit("g", "", nowhere, &[(0, 1)], ""));
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    let topic =
        OffsetFetchRequestTopics { topic_id: nowhere, partition_indexes: vec![0], ..Default::default() };
    let group =
        OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
    let response =
        ask!(client, OffsetFetch 10, OffsetFetchRequest { groups: vec![group], ..Default::default() });
    let topic = &response.groups[0].topics[0];
    assert_eq!((topic.topic_id, topic.partitions[0].error_code), (nowhere, ErrorCode::UNKNOWN_TOPIC_ID));
    assert_eq!(topic.partitions[0].committed_offset, -1);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_24_metadata_beyond_4096_is_too_large() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 1).await;
    coordinate(&mut client, "g").await;
    let response = ask!(client, OffsetCommit 8, commit("g", "t", id, &[(0, 1)], &"x".repeat(4097)));
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_32_an_empty_group_id_and_negative_offsets_are_accepted() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 1).await;
    coordinate(&mut client, "").await;
    let response = ask!(client, OffsetCommit 8, commit("", "t", id, &[(0, -7)], ""));
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
    node.stop().await;
}

#[tokio::test]
async fn before_version_2_an_error_of_offset_fetch_is_each_partitions() {
    let node = Node::start().await;
    let mut client = node.client().await;
    // No coordinator has been asked for, so there is none.
    let topics = vec![OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0, 1] }];
    let request = OffsetFetchRequest { group_id: "g".into(), topics: Some(topics), ..Default::default() };
    let old = ask!(client, OffsetFetch 1, request.clone());
    let errors: Vec<_> = old.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(errors, [ErrorCode::NOT_COORDINATOR; 2]);
    let new = ask!(client, OffsetFetch 5, request);
    assert_eq!((new.error_code, new.topics.len()), (ErrorCode::NOT_COORDINATOR, 0));
    node.stop().await;
}

#[tokio::test]
async fn offsets_are_deleted_unless_the_group_reads_the_topic() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 1).await;
    client.produce("t", 0, batch(&["a"])).await;
    coordinate(&mut client, "g").await;
    ask!(client, OffsetCommit 8, commit("g", "t", id, &[(0, 1)], ""));
    let partitions = [0, 5].map(|partition_index| OffsetDeleteRequestPartition { partition_index }).to_vec();
    let request = OffsetDeleteRequest {
        group_id: "g".into(),
        topics: vec![OffsetDeleteRequestTopic { name: "t".into(), partitions }],
    };
    let response = ask!(client, OffsetDelete 0, request.clone());
    assert_eq!(response.error_code, ErrorCode::NONE);
    let errors: Vec<_> = response.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(errors, [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    let unknown = OffsetDeleteRequest { group_id: "unknown".into(), ..request };
    assert_eq!(ask!(client, OffsetDelete 0, unknown).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    node.stop().await;
}

#[tokio::test]
async fn sync_group_v5_must_name_the_protocol() {
    let node = Node::start().await;
    let mut client = node.client().await;
    coordinate(&mut client, "g").await;
    let request = SyncGroupRequest { group_id: "g".into(), ..Default::default() };
    assert_eq!(ask!(client, SyncGroup 5, request).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    node.stop().await;
}

#[tokio::test]
async fn a_member_that_waits_for_others_holds_up_neither_the_door_nor_a_connection() {
    let node = Node::with(&[("group.initial.rebalance.delay.ms", "600000")]).await;
    let mut gone = node.client().await;
    coordinate(&mut gone, "g").await;
    let connections = node.stats().connections;
    let mut stays = node.client().await;
    gone.send(3, &join("g", "").into()).await;
    stays.send(3, &join("h", "").into()).await;
    drop(gone);
    crate::connections::wait_until(|| node.stats().connections == connections).await;
    tokio::time::timeout(crate::wire::PATIENCE, node.stop()).await.expect("the door closes");
    stays.expect_close().await;
}
