//! Topics created, grown and deleted; log folders.
use crate::node::Node;
use crate::wire::{Client, ask, batch};
use ensemble::Coordinator;
use kafka_wire::messages::create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
};
use kafka_wire::messages::delete_topics::DeleteTopicState;
use kafka_wire::messages::describe_log_dirs::DescribableLogDirTopic;
use kafka_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeLogDirsRequest,
    MetadataRequest,
};
use kafka_wire::{ErrorCode, Str, Uuid};

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: Str::from(name), num_partitions, replication_factor, ..Default::default() }
}

async fn create(
    client: &mut Client,
    version: i16,
    topics: Vec<CreatableTopic>,
    validate_only: bool,
) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest { topics, timeout_ms: 10_000, validate_only };
    ask!(client, CreateTopics version, request).topics
}

#[tokio::test]
async fn every_version_creates_and_deletes() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 2..=7 {
        let name = format!("topic-{version}");
        let created = create(&mut client, version, vec![topic(&name, 2, 1)], false).await;
        assert_eq!(created[0].error_code, ErrorCode::NONE);
        if version >= 5 {
            assert_eq!((created[0].num_partitions, created[0].replication_factor), (2, 1));
            let configs = created[0].configs.as_ref().expect("settings");
            let cleanup =
                configs.iter().find(|config| &*config.name == "cleanup.policy").expect("a known key");
            assert_eq!(cleanup.value.as_deref(), Some("delete"));
        }
        // What was created can be used at once (reference 2.35).
        assert_eq!(client.produce(&name, 1, batch(&["a"])).await.error_code, ErrorCode::NONE);
    }
    for version in 1..=6 {
        let name = Str::from(format!("topic-{}", version + 1));
        let mut request = DeleteTopicsRequest { timeout_ms: 10_000, ..Default::default() };
        if version < 6 {
            request.topic_names = vec![name.clone()];
        } else {
            request.topics = vec![DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::nil() }];
        }
        let deleted = ask!(client, DeleteTopics version, request).responses;
        assert_eq!((deleted[0].error_code, deleted[0].name.as_ref()), (ErrorCode::NONE, Some(&name)));
        let produced = client.produce(&name, 0, batch(&["a"])).await;
        assert_eq!(produced.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let all = ask!(client, Metadata 9, MetadataRequest { topics: None, ..Default::default() });
    assert_eq!(all.topics.len(), 1, "only the znode log is left");
    node.stop().await;
}

#[tokio::test]
async fn topics_are_deleted_by_id_from_version_6_on() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 1).await;
    let delete = |name: Option<&str>, topic_id| DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: name.map(Str::from), topic_id }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let both = ask!(client, DeleteTopics 6, delete(Some("t"), id)).responses[0].clone();
    assert_eq!(both.error_code, ErrorCode::INVALID_REQUEST);
    let unknown = ask!(client, DeleteTopics 6, delete(None, Uuid::from_u128(3))).responses[0].clone();
    assert_eq!((unknown.error_code, unknown.name), (ErrorCode::UNKNOWN_TOPIC_ID, None));
    let deleted = ask!(client, DeleteTopics 6, delete(None, id)).responses[0].clone();
    assert_eq!(
        (deleted.error_code, deleted.name.as_deref(), deleted.topic_id),
        (ErrorCode::NONE, Some("t"), id)
    );
    let again = ask!(client, DeleteTopics 6, delete(Some("t"), Uuid::nil())).responses[0].clone();
    assert_eq!(again.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let log = ask!(client, DeleteTopics 6, delete(Some("__znodes"), Uuid::nil())).responses[0].clone();
    assert!(log.error_code.is_error(), "the znode log stays");
    node.stop().await;
}

#[tokio::test]
async fn deletion_can_be_switched_off() {
    let node = Node::with(&[("delete.topic.enable", "false")]).await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    for (version, error) in [(1, ErrorCode::INVALID_REQUEST), (3, ErrorCode::TOPIC_DELETION_DISABLED)] {
        let request =
            DeleteTopicsRequest { topic_names: vec!["t".into()], timeout_ms: 1_000, ..Default::default() };
        assert_eq!(ask!(client, DeleteTopics version, request).responses[0].error_code, error);
    }
    node.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_new_topic_is_said() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("taken", 1).await;
    let assigned = |replicas: &[&[i32]]| {
        let assignments = (0..).zip(replicas).map(|(partition_index, ids)| CreatableReplicaAssignment {
            partition_index,
            broker_ids: ids.to_vec(),
        });
        CreatableTopic { assignments: assignments.collect(), ..topic("assigned", -1, -1) }
    };
    let configured = |key: &str, value: Option<&str>| CreatableTopic {
        configs: vec![CreatableTopicConfig { name: Str::from(key), value: value.map(Str::from) }],
        ..topic("configured", 1, 1)
    };
    for (wanted, error) in [
        (topic("taken", 1, 1), ErrorCode::TOPIC_ALREADY_EXISTS),
        (topic("__znodes", 1, 1), ErrorCode::TOPIC_ALREADY_EXISTS),
        (topic("bad name", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (topic("many", 1, 2), ErrorCode::INVALID_REPLICATION_FACTOR),
        (topic("none", 0, 1), ErrorCode::INVALID_PARTITIONS),
        (topic("negative", -5, 1), ErrorCode::INVALID_PARTITIONS),
        (assigned(&[&[77]]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (configured("retention.ms", Some("soon")), ErrorCode::INVALID_CONFIG),
        (configured("no.such.key", Some("1")), ErrorCode::INVALID_CONFIG),
    ] {
        for validate_only in [true, false] {
            let result = create(&mut client, 7, vec![wanted.clone()], validate_only).await;
            assert_eq!(result[0].error_code, error, "{}", wanted.name);
            assert!(result[0].error_message.is_some());
            assert_eq!(result[0].num_partitions, -1);
        }
    }
    let twice = create(&mut client, 7, vec![topic("x", 1, 1), topic("x", 2, 1)], false).await;
    assert_eq!((twice.len(), twice[0].error_code), (1, ErrorCode::INVALID_REQUEST));
    let node_id = node.controller.node_id();
    let chosen = create(&mut client, 7, vec![assigned(&[&[node_id], &[node_id]])], false).await;
    assert_eq!((chosen[0].error_code, chosen[0].num_partitions), (ErrorCode::NONE, 2));
    let defaults = create(&mut client, 7, vec![topic("defaults", -1, -1)], false).await;
    assert_eq!((defaults[0].error_code, defaults[0].num_partitions), (ErrorCode::NONE, 1));
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_33_validate_only_creates_nothing_but_gives_an_id() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let result = create(&mut client, 7, vec![topic("t", 3, 1)], true).await;
    assert_eq!((result[0].error_code, result[0].num_partitions), (ErrorCode::NONE, 3));
    assert!(!result[0].topic_id.is_nil());
    assert!(node.controller.view().topic("t").is_none());
    assert_eq!(node.tree.get("/brokers/topics/t").await.expect("a read"), None);
    node.stop().await;
}

#[tokio::test]
async fn a_created_topic_is_a_znode_in_kafkas_layout() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic_with("t", 2, &[("retention.ms", "1000")]).await;
    let (data, _) = node.tree.get("/brokers/topics/t").await.expect("a read").expect("the znode");
    let text = String::from_utf8(data.expect("data").to_vec()).expect("JSON");
    assert!(text.contains("\"version\":3") && text.contains("\"topic_id\""), "{text}");
    assert!(node.tree.get("/brokers/topics/t/partitions/1/state").await.expect("a read").is_some());
    let (data, _) = node.tree.get("/config/topics/t").await.expect("a read").expect("the znode");
    assert_eq!(data.as_deref(), Some(&br#"{"version":1,"config":{"retention.ms":"1000"}}"#[..]));
    node.stop().await;
}

#[tokio::test]
async fn topics_grow_and_never_shrink() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let node_id = node.controller.node_id();
    for version in 0..=3 {
        let count = i32::from(version) + 2;
        let wanted = CreatePartitionsTopic { name: "t".into(), count, assignments: None };
        let mut request =
            CreatePartitionsRequest { topics: vec![wanted], timeout_ms: 10_000, validate_only: true };
        let checked = ask!(client, CreatePartitions version, request.clone()).results[0].clone();
        assert_eq!(checked.error_code, ErrorCode::NONE);
        assert_eq!(
            node.controller.view().topic("t").map(|topic| topic.partitions.len()),
            Some(count as usize - 1)
        );
        request.validate_only = false;
        let grown = ask!(client, CreatePartitions version, request).results[0].clone();
        assert_eq!(grown.error_code, ErrorCode::NONE);
        assert_eq!(client.produce("t", count - 1, batch(&["a"])).await.error_code, ErrorCode::NONE);
    }
    let assigned = |ids: &[i32]| Some(vec![CreatePartitionsAssignment { broker_ids: ids.to_vec() }]);
    for (name, count, assignments, error) in [
        ("t", 5, None, ErrorCode::INVALID_PARTITIONS),
        ("t", 1, None, ErrorCode::INVALID_PARTITIONS),
        ("t", 6, assigned(&[node_id + 1]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        ("missing", 2, None, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("__znodes", 2, None, ErrorCode::INVALID_PARTITIONS),
    ] {
        let wanted = CreatePartitionsTopic { name: Str::from(name), count, assignments };
        let request =
            CreatePartitionsRequest { topics: vec![wanted], timeout_ms: 1_000, validate_only: false };
        let result = ask!(client, CreatePartitions 3, request).results[0].clone();
        assert_eq!(result.error_code, error, "{name} {count}");
        assert!(result.error_message.is_some());
    }
    let wanted = CreatePartitionsTopic { name: "t".into(), count: 9, assignments: None };
    let request = CreatePartitionsRequest {
        topics: vec![wanted.clone(), wanted],
        timeout_ms: 1_000,
        validate_only: false,
    };
    let twice = ask!(client, CreatePartitions 3, request).results;
    assert_eq!((twice.len(), twice[0].error_code), (1, ErrorCode::INVALID_REQUEST));
    node.stop().await;
}

#[tokio::test]
async fn log_folders_are_described_in_every_version() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 2).await;
    client.produce("t", 1, batch(&["a"])).await;
    for version in 1..=5 {
        let all = ask!(client, DescribeLogDirs version, DescribeLogDirsRequest { topics: None });
        assert_eq!((all.error_code, all.results.len()), (ErrorCode::NONE, 1));
        let topic = all.results[0].topics.iter().find(|topic| &*topic.name == "t").expect("the topic");
        assert_eq!(topic.partitions.len(), 2);
        assert!(topic.partitions[1].partition_size > 0);
        let (total, usable) = (all.results[0].total_bytes, all.results[0].usable_bytes);
        assert_eq!((total > 0, usable > 0), (version >= 4, version >= 4));
        let wanted = DescribableLogDirTopic { topic: "t".into(), partitions: vec![0] };
        let some =
            ask!(client, DescribeLogDirs version, DescribeLogDirsRequest { topics: Some(vec![wanted]) });
        assert_eq!((some.results[0].topics.len(), some.results[0].topics[0].partitions.len()), (1, 1));
    }
    node.stop().await;
}
