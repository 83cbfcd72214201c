//! Metadata, DescribeTopicPartitions, DescribeCluster: what clients learn of the cluster.
use crate::node::Node;
use crate::wire::{Client, PATIENCE, ask, batch};
use kafka_wire::messages::describe_topic_partitions::{DescribeTopicPartitionsRequestCursor, TopicRequest};
use kafka_wire::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use kafka_wire::messages::{DescribeClusterRequest, DescribeTopicPartitionsRequest, MetadataRequest};
use kafka_wire::{ErrorCode, Str, Uuid};

fn by_name(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(Str::from(name)), ..Default::default() }
}

fn by_id(topic_id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic { topic_id, name: None }
}

async fn describe(
    client: &mut Client,
    version: i16,
    topics: Vec<MetadataRequestTopic>,
    create: bool,
) -> Vec<MetadataResponseTopic> {
    let request = MetadataRequest {
        topics: Some(topics),
        allow_auto_topic_creation: create || version < 4,
        ..Default::default()
    };
    ask!(client, Metadata version, request).topics
}

#[tokio::test]
async fn every_version_shows_brokers_and_topics() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 3).await;
    for version in 0..=13 {
        let topics = vec![by_name("t")];
        let response =
            ask!(client, Metadata version, MetadataRequest { topics: Some(topics), ..Default::default() });
        assert_eq!(response.brokers.len(), 1);
        assert_eq!(
            (&*response.brokers[0].host, response.brokers[0].port),
            ("127.0.0.1", i32::from(node.address.port()))
        );
        let topic = &response.topics[0];
        assert_eq!((topic.error_code, topic.name.as_deref()), (ErrorCode::NONE, Some("t")));
        assert_eq!(topic.partitions.len(), 3);
        assert_eq!(
            (topic.partitions[2].partition_index, topic.partitions[2].leader_id),
            (2, response.brokers[0].node_id)
        );
        if version >= 10 {
            assert_eq!(topic.topic_id, id);
        }
        if version >= 2 {
            assert_eq!(response.cluster_id.as_deref().map(str::len), Some(22));
            assert_eq!(response.controller_id, response.brokers[0].node_id);
        }
        assert_eq!(topic.topic_authorized_operations, i32::MIN);
    }
    let request = MetadataRequest {
        topics: Some(vec![by_name("t")]),
        include_topic_authorized_operations: true,
        include_cluster_authorized_operations: true,
        ..Default::default()
    };
    let response = ask!(client, Metadata 9, request);
    assert_eq!(response.topics[0].topic_authorized_operations, 3576);
    assert_eq!(response.cluster_authorized_operations, 8096);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_25_null_topics_are_all_and_none_are_none() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("a", 1).await;
    client.create_topic("b", 1).await;
    let all = ask!(client, Metadata 12, MetadataRequest { topics: None, ..Default::default() });
    let names: Vec<_> = all.topics.iter().filter_map(|topic| topic.name.as_deref()).collect();
    assert_eq!(names, ["__znodes", "a", "b"]);
    let internal: Vec<_> = all.topics.iter().map(|topic| topic.is_internal).collect();
    assert_eq!(
        internal, [false; 3],
        "clients may produce to the znode log, which some refuse for internal topics"
    );
    assert_eq!(describe(&mut client, 12, vec![], true).await, []);
    assert_eq!(describe(&mut client, 0, vec![], true).await.len(), 3, "in version 0 none are all");
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_25_topics_by_id_from_version_12_on() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let id = client.create_topic("t", 1).await;
    let found = describe(&mut client, 12, vec![by_id(id)], true).await;
    assert_eq!((found[0].error_code, found[0].name.as_deref()), (ErrorCode::NONE, Some("t")));
    let unknown = describe(&mut client, 12, vec![by_id(Uuid::from_u128(77))], true).await;
    assert_eq!((unknown[0].error_code, unknown[0].name.as_deref()), (ErrorCode::UNKNOWN_TOPIC_ID, None));
    assert_eq!(unknown[0].topic_id, Uuid::from_u128(77));
    let early = describe(&mut client, 11, vec![by_id(id)], true).await;
    assert_eq!(early[0].error_code, ErrorCode::INVALID_REQUEST);
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_25_auto_creation_answers_an_error_first() {
    let node = Node::with(&[("num.partitions", "4")]).await;
    let mut client = node.client().await;
    let refused = describe(&mut client, 9, vec![by_name("new")], false).await;
    assert_eq!(refused[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let first = describe(&mut client, 9, vec![by_name("new")], true).await;
    assert_eq!(first[0].error_code, ErrorCode::LEADER_NOT_AVAILABLE);
    let ask_again = async {
        loop {
            let topics = describe(&mut client, 9, vec![by_name("new")], true).await;
            if !topics[0].error_code.is_error() {
                return topics[0].partitions.len();
            }
        }
    };
    let partitions = tokio::time::timeout(PATIENCE, ask_again).await.expect("the topic appears");
    assert_eq!(partitions, 4);
    for (name, error) in [
        ("not a name", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("__transaction_state", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        assert_eq!(
            describe(&mut client, 9, vec![by_name(name)], true).await[0].error_code,
            error,
            "{name:?}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn auto_creation_can_be_switched_off() {
    let node = Node::with(&[("auto.create.topics.enable", "false")]).await;
    let mut client = node.client().await;
    for version in [3, 13] {
        let refused = describe(&mut client, version, vec![by_name("new")], true).await;
        assert_eq!(refused[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    assert!(node.controller.view().topic("new").is_none());
    node.stop().await;
}

#[tokio::test]
async fn describe_topic_partitions_goes_page_by_page() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("a", 5).await;
    client.create_topic("b", 2).await;
    client.create_topic("c", 3).await;
    let wanted =
        |names: &[&str]| names.iter().map(|name| TopicRequest { name: Str::from(*name) }).collect::<Vec<_>>();
    let mut cursor = None;
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let request = DescribeTopicPartitionsRequest {
            topics: wanted(&["c", "a", "b"]),
            response_partition_limit: 3,
            cursor,
        };
        let response = ask!(client, DescribeTopicPartitions 0, request);
        pages += 1;
        for topic in &response.topics {
            assert_eq!(topic.error_code, ErrorCode::NONE);
            let name = topic.name.as_deref().unwrap_or_default().to_owned();
            seen.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
        }
        match response.next_cursor {
            None => break,
            Some(next) => {
                cursor = Some(DescribeTopicPartitionsRequestCursor {
                    topic_name: next.topic_name,
                    partition_index: next.partition_index,
                });
            }
        }
    }
    let expected: Vec<(String, i32)> = [("a", 5), ("b", 2), ("c", 3)]
        .iter()
        .flat_map(|(name, count)| (0..*count).map(|index| ((*name).to_owned(), index)))
        .collect();
    assert_eq!((seen, pages), (expected, 4));
    let unknown = DescribeTopicPartitionsRequest { topics: wanted(&["zz", "no name"]), ..Default::default() };
    let response = ask!(client, DescribeTopicPartitions 0, unknown);
    let errors: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(errors, [ErrorCode::INVALID_TOPIC_EXCEPTION, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    let elsewhere = DescribeTopicPartitionsRequest {
        topics: wanted(&["a"]),
        cursor: Some(DescribeTopicPartitionsRequestCursor { topic_name: "b".into(), partition_index: 0 }),
        ..Default::default()
    };
    assert_eq!(
        ask!(client, DescribeTopicPartitions 0, elsewhere).topics[0].error_code,
        ErrorCode::INVALID_REQUEST
    );
    let all = ask!(client, DescribeTopicPartitions 0, DescribeTopicPartitionsRequest::default());
    assert_eq!(all.topics.len(), 4);
    node.stop().await;
}

#[tokio::test]
async fn describe_cluster_shows_brokers_but_no_controllers() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 0..=2 {
        let request =
            DescribeClusterRequest { include_cluster_authorized_operations: true, ..Default::default() };
        let response = ask!(client, DescribeCluster version, request);
        assert_eq!((response.error_code, response.brokers.len()), (ErrorCode::NONE, 1));
        assert_eq!(response.brokers[0].port, i32::from(node.address.port()));
        assert_eq!(response.controller_id, response.brokers[0].broker_id);
        assert_eq!(response.cluster_authorized_operations, 8096);
    }
    let controllers = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
    assert_eq!(ask!(client, DescribeCluster 1, controllers).error_code, ErrorCode::MISMATCHED_ENDPOINT_TYPE);
    let nothing = DescribeClusterRequest { endpoint_type: 3, ..Default::default() };
    assert_eq!(ask!(client, DescribeCluster 1, nothing).error_code, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE);
    node.stop().await;
}

#[tokio::test]
async fn the_znode_log_is_a_topic_with_a_usable_leader_epoch() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let topics = describe(&mut client, 12, vec![by_name("__znodes")], true).await;
    let topic = &topics[0];
    assert!(!topic.is_internal);
    assert_eq!(topic.partitions.len(), 1);
    let leader_epoch = topic.partitions[0].leader_epoch;
    let request = kafka_wire::messages::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![kafka_wire::messages::list_offsets::ListOffsetsTopic {
            name: "__znodes".into(),
            partitions: vec![kafka_wire::messages::list_offsets::ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: leader_epoch,
                timestamp: -1,
            }],
        }],
        ..Default::default()
    };
    let response = ask!(client, ListOffsets 7, request);
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
    assert!(response.topics[0].partitions[0].offset > 0);
    assert_eq!(client.produce("__znodes", 0, batch(&["no key"])).await.error_code, ErrorCode::INVALID_RECORD);
    node.stop().await;
}
