//! The group coordinator over a real `__consumer_offsets`: answers after commits, restarts, expiry.
use super::{Node, Setup, loaded, node_with_groups};
use crate::ErrorCode;
use crate::groups::OFFSETS_TOPIC;
use crate::groups::Protocol;
use crate::groups::api::{
    CommitRequest, FetchedOffset, HeartbeatRequest, JoinReply, JoinRequest, Leaver, OffsetFetchRequest,
    OffsetToCommit, SyncReply, SyncRequest,
};
use bytes::Bytes;
use controller::view::PartitionView;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";

fn join_request(member_id: &str, instance_id: Option<&str>) -> JoinRequest {
    JoinRequest {
        group_id: "g".into(),
        member_id: member_id.into(),
        instance_id: instance_id.map(Arc::from),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: Some(60_000),
        protocol_type: "consumer".into(),
        protocols: vec![Protocol::new("range", SUBSCRIPTION)],
        requires_known_member_id: true,
        supports_skip_assignment: true,
        reason: None,
    }
}

fn sync_request(joined: &JoinReply, assignments: Vec<(Arc<str>, Bytes)>) -> SyncRequest {
    SyncRequest {
        group_id: "g".into(),
        generation: joined.generation,
        member_id: joined.member_id.clone(),
        instance_id: None,
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments,
    }
}

fn commit_request(member_id: &str, generation: i32, offsets: &[(&str, i32, i64)]) -> CommitRequest {
    CommitRequest {
        group_id: "g".into(),
        generation,
        member_id: member_id.into(),
        instance_id: None,
        retention_ms: None,
        knows_group_id_not_found: true,
        offsets: offsets
            .iter()
            .map(|(topic, partition, offset)| OffsetToCommit {
                topic: Arc::from(*topic),
                partition: *partition,
                offset: *offset,
                leader_epoch: 5,
                metadata: Some("mine".into()),
            })
            .collect(),
    }
}

fn offset_fetch(partitions: Option<&[(&str, i32)]>) -> OffsetFetchRequest {
    OffsetFetchRequest {
        group_id: "g".into(),
        partitions: partitions
            .map(|all| all.iter().map(|(topic, partition)| (Arc::from(*topic), *partition)).collect()),
        require_stable: true,
    }
}

/// One member joins by way of 79, leads and is assigned everything.
async fn stable_member(node: &Node) -> (JoinReply, SyncReply) {
    let groups = node.groups();
    let told = groups.join(join_request("", None)).await;
    assert_eq!(told.error, ErrorCode::MEMBER_ID_REQUIRED);
    let joined = groups.join(join_request(&told.member_id, None)).await;
    assert_eq!((joined.error, &joined.leader), (ErrorCode::NONE, &joined.member_id));
    let all = vec![(joined.member_id.clone(), Bytes::from_static(b"everything"))];
    let synced = groups.sync(sync_request(&joined, all)).await;
    (joined, synced)
}

fn beat(joined: &JoinReply) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: "g".into(),
        generation: joined.generation,
        member_id: joined.member_id.clone(),
        instance_id: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_joins_syncs_beats_commits_and_leaves() {
    let node = node_with_groups(&[]).await;
    let groups = node.groups();
    let begun = tokio::time::Instant::now();
    let (joined, synced) = stable_member(&node).await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "kafka_2_22: the initial delay");
    assert_eq!((synced.error, &synced.assignment[..]), (ErrorCode::NONE, &b"everything"[..]));
    assert_eq!(groups.heartbeat(&beat(&joined)), ErrorCode::NONE);
    let errors = groups.commit(commit_request(&joined.member_id, 1, &[("t", 0, 42), ("t", 1, -7)])).await;
    assert_eq!(errors, [ErrorCode::NONE, ErrorCode::NONE], "kafka_2_32: negative offsets are accepted");
    let fetched = groups.fetch_offsets(offset_fetch(Some(&[("t", 0), ("u", 3)]))).await.expect("stable");
    let committed = FetchedOffset {
        topic: "t".into(),
        partition: 0,
        offset: 42,
        leader_epoch: 5,
        metadata: "mine".into(),
        error: ErrorCode::NONE,
    };
    let missing = FetchedOffset {
        topic: "u".into(),
        partition: 3,
        offset: -1,
        leader_epoch: -1,
        metadata: "".into(),
        error: ErrorCode::NONE,
    };
    assert_eq!(fetched, [committed, missing], "kafka_2_24: metadata comes back as it was");
    assert_eq!(groups.fetch_offsets(offset_fetch(None)).await.expect("stable").len(), 2);
    let leaver = Leaver { member_id: joined.member_id.clone(), instance_id: None };
    let left = groups.leave("g".into(), vec![leaver]).await;
    assert_eq!((left.error, left.members[0].1), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!(groups.heartbeat(&beat(&joined)), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(groups.describe(&["g".into()])[0].state, "Empty");
}

#[tokio::test(start_paused = true)]
async fn kafka_2_23_groups_and_offsets_survive_a_restart() {
    let setup = Setup::new(&[("offsets.topic.num.partitions", "3")]);
    let node = setup.start().await;
    assert_eq!(node.groups().find("g").await, Ok(0));
    loaded(&node).await;
    let (joined, _) = stable_member(&node).await;
    node.groups().commit(commit_request(&joined.member_id, 1, &[("t", 0, 42)])).await;
    node.broker.shutdown().await;
    drop(node);
    let node = setup.start().await;
    loaded(&node).await;
    let groups = node.groups();
    assert_eq!(groups.heartbeat(&beat(&joined)), ErrorCode::NONE, "the member goes on");
    let described = groups.describe(&["g".into()]).remove(0);
    assert_eq!((described.state, described.members.len()), ("Stable", 1));
    assert_eq!(&described.members[0].assignment[..], b"everything");
    assert_eq!(&described.members[0].metadata[..], SUBSCRIPTION);
    let fetched = groups.fetch_offsets(offset_fetch(Some(&[("t", 0)]))).await.expect("loaded");
    assert_eq!(fetched[0].offset, 42);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(
        groups.heartbeat(&beat(&joined)),
        ErrorCode::UNKNOWN_MEMBER_ID,
        "timers run after loading, too"
    );
}

#[tokio::test(start_paused = true)]
async fn kafka_2_23_a_coordinator_answers_only_after_the_commit() {
    let node = node_with_groups(&[]).await;
    let (joined, _) = stable_member(&node).await;
    let index = node.groups().partition_of("g");
    let led = |isr: Vec<i32>, index_is_slow: bool| PartitionView {
        replicas: vec![0, 1],
        adding: Vec::new(),
        removing: Vec::new(),
        leader: 0,
        leader_epoch: 0,
        isr: if index_is_slow { isr } else { vec![0] },
        partition_epoch: 1,
        state_zxid: 0,
        recovering: false,
    };
    let slow = (0..3).map(|partition| led(vec![0, 1], partition == index)).collect();
    node.cluster.put_led(OFFSETS_TOPIC, slow, &[("cleanup.policy", "compact")]);
    node.settle().await;
    let groups = node.groups();
    let request = commit_request(&joined.member_id, 1, &[("t", 0, 42)]);
    let committing = tokio::spawn({
        let groups = groups.clone();
        async move { groups.commit(request).await }
    });
    let fetching = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        groups.fetch_offsets(offset_fetch(Some(&[("t", 0)]))).await
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!committing.is_finished() && !fetching.is_finished(), "the follower has not got it");
    let quick = (0..3).map(|_| led(vec![0], true)).collect();
    node.cluster.put_led(OFFSETS_TOPIC, quick, &[("cleanup.policy", "compact")]);
    assert_eq!(committing.await.expect("it ends"), [ErrorCode::NONE]);
    assert_eq!(fetching.await.expect("it ends").expect("committed")[0].offset, 42);
    node.cluster.put_led(
        OFFSETS_TOPIC,
        (0..3).map(|_| led(vec![0, 1], true)).collect(),
        &[("cleanup.policy", "compact")],
    );
    node.settle().await;
    let late = node.groups().commit(commit_request(&joined.member_id, 1, &[("t", 0, 43)])).await;
    assert_eq!(late, [ErrorCode::COORDINATOR_NOT_AVAILABLE], "offsets.commit.timeout.ms is over");
}

#[tokio::test(start_paused = true)]
async fn kafka_2_24_metadata_that_is_too_long_is_error_12_for_its_partition() {
    let node = node_with_groups(&[("offset.metadata.max.bytes", "4")]).await;
    let mut request = commit_request("", -1, &[("t", 0, 1), ("t", 1, 2)]);
    request.offsets[1].metadata = Some("12345".into());
    let errors = node.groups().commit(request).await;
    assert_eq!(errors, [ErrorCode::NONE, ErrorCode::OFFSET_METADATA_TOO_LARGE]);
    let fetched = node.groups().fetch_offsets(offset_fetch(None)).await.expect("loaded");
    assert_eq!(fetched.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn kafka_2_32_commits_without_a_group_are_accepted_even_with_an_empty_id() {
    let node = node_with_groups(&[]).await;
    let groups = node.groups();
    let mut nameless = commit_request("", -1, &[("t", 0, 1)]);
    nameless.group_id = "".into();
    assert_eq!(groups.commit(nameless).await, [ErrorCode::NONE]);
    let fetched = OffsetFetchRequest { group_id: "".into(), partitions: None, require_stable: false };
    assert_eq!(groups.fetch_offsets(fetched).await.expect("loaded")[0].offset, 1);
    let mut of_a_generation = commit_request("m", 3, &[("t", 0, 1)]);
    assert_eq!(groups.commit(of_a_generation.clone()).await, [ErrorCode::GROUP_ID_NOT_FOUND]);
    of_a_generation.knows_group_id_not_found = false;
    assert_eq!(groups.commit(of_a_generation).await, [ErrorCode::ILLEGAL_GENERATION]);
    let nobody = JoinRequest { group_id: "".into(), ..join_request("", None) };
    assert_eq!(groups.join(nobody).await.error, ErrorCode::INVALID_GROUP_ID);
}

#[tokio::test(start_paused = true)]
async fn session_timeouts_are_bounded() {
    let node = node_with_groups(&[("group.min.session.timeout.ms", "6000")]).await;
    for timeout in [5_999, 1_800_001, -1] {
        let request = JoinRequest { session_timeout_ms: timeout, ..join_request("", None) };
        assert_eq!(node.groups().join(request).await.error, ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    assert_eq!(node.groups().join(join_request("stranger", None)).await.error, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(node.groups().list(&[], &[]).expect("loaded").len(), 0, "refused joins create no group");
}

#[tokio::test]
async fn kafka_2_35_the_first_find_creates_the_topic_and_waits_for_it() {
    let node = Setup::new(&[("offsets.topic.num.partitions", "3")]).start().await;
    assert_eq!(
        node.groups().heartbeat(&HeartbeatRequest {
            group_id: "g".into(),
            generation: 0,
            member_id: "m".into(),
            instance_id: None
        }),
        ErrorCode::NOT_COORDINATOR
    );
    assert_eq!(node.groups().find("g").await, Ok(0));
    let view = node.broker.applied().borrow().clone();
    let topic = view.topic(OFFSETS_TOPIC).expect("it is there");
    assert_eq!(topic.partitions.len(), 3);
    assert!(topic.config.cleanup_policy.compact && !topic.config.cleanup_policy.delete);
}

#[tokio::test]
async fn a_partition_that_moves_away_takes_its_groups_along() {
    let node = node_with_groups(&[]).await;
    node.groups().commit(commit_request("", -1, &[("t", 0, 1)])).await;
    let away = PartitionView {
        replicas: vec![1],
        adding: Vec::new(),
        removing: Vec::new(),
        leader: 1,
        leader_epoch: 1,
        isr: vec![1],
        partition_epoch: 1,
        state_zxid: 0,
        recovering: false,
    };
    node.cluster.put_led(OFFSETS_TOPIC, vec![away; 3], &[("cleanup.policy", "compact")]);
    node.settle().await;
    assert_eq!(node.groups().find("g").await, Ok(1));
    while node.groups().fetch_offsets(offset_fetch(None)).await != Err(ErrorCode::NOT_COORDINATOR) {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.groups().describe(&["g".into()])[0].error, ErrorCode::NOT_COORDINATOR);
}

#[tokio::test(start_paused = true)]
async fn groups_are_listed_by_state_and_type_and_deleted_when_empty() {
    let node = node_with_groups(&[]).await;
    let groups = node.groups();
    let (joined, _) = stable_member(&node).await;
    let mut other = commit_request("", -1, &[("t", 0, 1)]);
    other.group_id = "h".into();
    groups.commit(other).await;
    let ids = |states: &[&str], types: &[&str]| -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let listed = groups.list(&owned(states), &owned(types)).expect("loaded");
        listed.iter().map(|group| group.group_id.to_string()).collect()
    };
    assert_eq!(ids(&[], &[]), ["g", "h"]);
    assert_eq!(ids(&["stable"], &[]), ["g"]);
    assert_eq!(ids(&["Empty"], &["Classic"]), ["h"]);
    assert_eq!(ids(&[], &["consumer"]), Vec::<String>::new());
    let deleted = groups.delete(&["g".into(), "h".into(), "nobody".into()]).await;
    assert_eq!(deleted, [ErrorCode::NON_EMPTY_GROUP, ErrorCode::NONE, ErrorCode::GROUP_ID_NOT_FOUND]);
    assert_eq!(ids(&[], &[]), ["g"]);
    let gone = groups.describe(&["h".into()]).remove(0);
    assert_eq!((gone.error, gone.state), (ErrorCode::GROUP_ID_NOT_FOUND, "Dead"), "kafka_2_34");
    assert_eq!(groups.heartbeat(&beat(&joined)), ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn offsets_of_topics_in_use_cannot_be_deleted() {
    let node = node_with_groups(&[]).await;
    let groups = node.groups();
    let (joined, _) = stable_member(&node).await;
    groups.commit(commit_request(&joined.member_id, 1, &[("t", 0, 1), ("u", 0, 2)])).await;
    let wanted = vec![("t".into(), 0), ("u".into(), 0), ("v".into(), 0)];
    let deleted = groups.delete_offsets("g".into(), wanted).await;
    assert_eq!(deleted, Ok(vec![ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC, ErrorCode::NONE, ErrorCode::NONE]));
    let left = groups.fetch_offsets(offset_fetch(None)).await.expect("loaded");
    assert_eq!(left.iter().map(|offset| &*offset.topic).collect::<Vec<_>>(), ["t"]);
    let unknown = groups.delete_offsets("nobody".into(), Vec::new()).await;
    assert_eq!(unknown, Err(ErrorCode::GROUP_ID_NOT_FOUND));
}

#[tokio::test]
async fn offsets_of_deleted_topics_go_with_them() {
    let node = node_with_groups(&[]).await;
    node.cluster.put("t", 1, &[]);
    node.settle().await;
    node.groups().commit(commit_request("", -1, &[("t", 0, 1), ("u", 0, 2)])).await;
    node.cluster.remove("t");
    node.settle().await;
    loop {
        let left = node.groups().fetch_offsets(offset_fetch(None)).await.expect("loaded");
        if left.len() == 1 {
            assert_eq!(&*left[0].topic, "u");
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn kafka_2_23_offsets_expire_and_then_the_group_goes() {
    let node = node_with_groups(&[("offsets.retention.minutes", "10")]).await;
    let groups = node.groups();
    groups.commit(commit_request("", -1, &[("t", 0, 1)])).await;
    groups.expire_now();
    assert_eq!(groups.fetch_offsets(offset_fetch(None)).await.expect("loaded").len(), 1);
    node.clock.skipped_ms.store(10 * 60_000, Ordering::Relaxed);
    groups.expire_now();
    assert_eq!(groups.fetch_offsets(offset_fetch(None)).await.expect("loaded").len(), 0);
    assert_eq!(groups.list(&[], &[]).expect("loaded").len(), 0);
    let mut short = commit_request("", -1, &[("t", 0, 1)]);
    short.retention_ms = Some(1_000);
    groups.commit(short).await;
    node.clock.skipped_ms.store(10 * 60_000 + 1_000, Ordering::Relaxed);
    groups.expire_now();
    assert_eq!(groups.list(&[], &[]).expect("loaded").len(), 0, "a retention of its own goes first");
}

#[tokio::test(start_paused = true)]
async fn a_static_member_comes_back_after_its_new_id_is_committed() {
    let node = node_with_groups(&[]).await;
    let groups = node.groups();
    let joined = groups.join(join_request("", Some("i"))).await;
    assert_eq!(joined.error, ErrorCode::NONE, "static members need no second round trip");
    assert!(joined.member_id.starts_with("i-"), "{}", joined.member_id);
    let all = vec![(joined.member_id.clone(), Bytes::from_static(b"all"))];
    let mut request = sync_request(&joined, all);
    request.instance_id = Some("i".into());
    assert_eq!(groups.sync(request).await.error, ErrorCode::NONE);
    let again = groups.join(join_request("", Some("i"))).await;
    assert_eq!((again.error, again.generation, again.skip_assignment), (ErrorCode::NONE, 1, true));
    assert_ne!(again.member_id, joined.member_id);
    let old = HeartbeatRequest { instance_id: Some("i".into()), ..beat(&joined) };
    assert_eq!(groups.heartbeat(&old), ErrorCode::FENCED_INSTANCE_ID);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_makes_the_coordinator_step_aside() {
    let node = node_with_groups(&[]).await;
    *node.broken.lock() = Some(OFFSETS_TOPIC.to_owned());
    let errors = node.groups().commit(commit_request("", -1, &[("t", 0, 1)])).await;
    assert_eq!(errors, [ErrorCode::NOT_COORDINATOR]);
    assert_eq!(node.groups().list(&[], &[]).expect("loaded").len(), 0, "what was not written does not exist");
}

#[tokio::test]
async fn parked_members_are_answered_at_shutdown() {
    let node = node_with_groups(&[]).await;
    let groups = node.groups();
    let parked = tokio::spawn({
        let groups = groups.clone();
        async move { groups.join(join_request("", Some("i"))).await }
    });
    while groups.list(&[], &[]).expect("loaded").is_empty() {
        tokio::task::yield_now().await;
    }
    node.broker.shutdown().await;
    assert_eq!(parked.await.expect("it ends").error, ErrorCode::NOT_COORDINATOR);
}
