//! Three nodes' doors in one process: who is sent where, and what any of them answers for all.
use crate::connections::wait_until;
use crate::node::{Node, Opened, bind};
use crate::phases::describe;
use crate::wire::{Client, PATIENCE, ask, batch, produce_request};
use ensemble::ConfiguredVoter;
use kafka_wire::messages::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use kafka_wire::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::elect_leaders::TopicPartitions;
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic, ReplicaState};
use kafka_wire::messages::metadata::{MetadataRequestTopic, MetadataResponsePartition};
use kafka_wire::messages::{
    AlterPartitionReassignmentsRequest, ControlledShutdownRequest, CreateTopicsRequest,
    DescribeClusterRequest, ElectLeadersRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, RemoveRaftVoterRequest,
};
use kafka_wire::{ErrorCode, Uuid};
use peers::Address;

const SETTINGS: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "3"),
    // In-sync replicas stay what they are unless a test changes them.
    ("replica.lag.time.max.ms", "600000"),
];

struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// Nodes 1, 2 and 3, all of them serving.
    async fn start() -> Cluster {
        let mut bound = Vec::new();
        for id in ["1", "2", "3"] {
            bound.push(bind(&[SETTINGS, &[("node.id", id)]].concat()).await);
        }
        let voters = bound.iter().map(|(config, listeners)| {
            let port = listeners[0].local_addr().expect("an address").port();
            ConfiguredVoter { id: config.node_id, address: Address { host: "127.0.0.1".to_owned(), port } }
        });
        let voters: Vec<_> = voters.collect();
        let mut starting = Vec::new();
        for (config, listeners) in bound {
            let opened = Opened::one_of(config, listeners, voters.clone()).await;
            starting.push(tokio::spawn(opened.serve()));
        }
        let mut nodes = Vec::new();
        for node in starting {
            let node = tokio::time::timeout(PATIENCE, node).await.expect("the cluster forms in time");
            nodes.push(node.expect("no panic"));
        }
        let cluster = Cluster { nodes };
        cluster.all_see(|node| node.broker.applied().borrow().brokers.len() == 3).await;
        cluster
    }

    fn node(&self, id: i32) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("a node of this id")
    }

    async fn client(&self, id: i32) -> Client {
        self.node(id).client().await
    }

    async fn all_see(&self, holds: impl Fn(&Node) -> bool) {
        wait_until(|| self.nodes.iter().all(&holds)).await;
    }

    /// Creates a topic of one partition with these replicas; its id. All nodes see it.
    async fn create(&self, name: &str, replicas: &[i32]) -> Uuid {
        let config = CreatableTopicConfig { name: "min.insync.replicas".into(), value: Some("1".into()) };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![CreatableReplicaAssignment {
                partition_index: 0,
                broker_ids: replicas.to_vec(),
            }],
            configs: vec![config],
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
        let created = ask!(self.client(1).await, CreateTopics 7, request);
        let topic = &created.topics[0];
        assert_eq!(topic.error_code, ErrorCode::NONE, "{:?}", topic.error_message);
        self.all_see(|node| leader_of(node, name) == Some(replicas[0])).await;
        topic.topic_id
    }

    async fn stop(self) {
        // All at once: who stops last would wait for a quorum that is gone.
        let stopping: Vec<_> = self.nodes.into_iter().map(|node| tokio::spawn(node.stop())).collect();
        for stop in stopping {
            tokio::time::timeout(PATIENCE, stop).await.expect("the node stops in time").expect("no panic");
        }
    }
}

fn leader_of(node: &Node, topic: &str) -> Option<i32> {
    node.broker.applied().borrow().partition(topic, 0).map(|partition| partition.leader)
}

async fn metadata(client: &mut Client, topic: &str) -> MetadataResponsePartition {
    let topics = vec![MetadataRequestTopic { name: Some(topic.into()), ..Default::default() }];
    let response = ask!(client, Metadata 12, MetadataRequest { topics: Some(topics), ..Default::default() });
    response.topics[0].partitions[0].clone()
}

async fn brokers(client: &mut Client) -> Vec<i32> {
    let response = ask!(client, Metadata 12, MetadataRequest { topics: None, ..Default::default() });
    let mut ids: Vec<i32> = response.brokers.iter().map(|broker| broker.node_id).collect();
    ids.sort_unstable();
    ids
}

fn fetch(topic_id: Uuid, replica: Option<(i32, i64)>) -> FetchRequest {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let (replica_id, replica_epoch) = replica.unwrap_or((-1, -1));
    FetchRequest {
        replica_state: ReplicaState { replica_id, replica_epoch },
        topics: vec![FetchTopic { topic_id, partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_the_same_cluster() {
    let cluster = Cluster::start().await;
    cluster.create("t", &[2, 3, 1]).await;
    for node in &cluster.nodes {
        let mut client = node.client().await;
        let all = ask!(client, Metadata 12, MetadataRequest { topics: None, ..Default::default() });
        let brokers: Vec<_> = all.brokers.iter().map(|broker| (broker.node_id, broker.port)).collect();
        let expected: Vec<_> =
            cluster.nodes.iter().map(|node| (node.id, i32::from(node.address.port()))).collect();
        assert_eq!(brokers, expected);
        let described = ask!(client, DescribeCluster 1, DescribeClusterRequest::default());
        assert_eq!(described.brokers.len(), 3);
        assert_eq!(described.controller_id, all.controller_id);
        assert!((1..=3).contains(&all.controller_id));
        let partition = metadata(&mut client, "t").await;
        assert_eq!((partition.error_code, partition.leader_id), (ErrorCode::NONE, 2));
        assert_eq!(partition.replica_nodes, [2, 3, 1]);
        assert!(partition.offline_replicas.is_empty());
    }
    // The znode log has one leader too, though every node has it all.
    let mut leaders = Vec::new();
    for node in &cluster.nodes {
        leaders.push(metadata(&mut node.client().await, "__znodes").await.leader_id);
    }
    assert!(leaders.iter().all(|leader| *leader == leaders[0] && *leader > 0), "{leaders:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_sent_to_the_leader_and_to_the_coordinator() {
    let cluster = Cluster::start().await;
    let id = cluster.create("t", &[2, 3]).await;
    let mut leader = cluster.client(2).await;
    assert_eq!(leader.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
    let port = i32::from(cluster.node(2).address.port());
    for elsewhere in [1, 3] {
        let mut client = cluster.client(elsewhere).await;
        let refused = ask!(client, Produce 10, produce_request("t", 0, -1, batch(&["b"])));
        let partition = &refused.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(partition.current_leader.leader_id, 2);
        assert_eq!((refused.node_endpoints[0].node_id, refused.node_endpoints[0].port), (2, port));
    }
    let fetched = ask!(cluster.client(1).await, Fetch 17, fetch(id, None));
    let partition = &fetched.responses[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!((partition.current_leader.leader_id, fetched.node_endpoints[0].port), (2, port));
    // All nodes agree on the coordinator of a group, and the others send its members away.
    let mut found = Vec::new();
    for node in &cluster.nodes {
        let mut client = node.client().await;
        let find = || FindCoordinatorRequest { key: "group".into(), ..Default::default() };
        let mut answer = ask!(client, FindCoordinator 3, find());
        while answer.error_code == ErrorCode::COORDINATOR_NOT_AVAILABLE {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            answer = ask!(client, FindCoordinator 3, find());
        }
        assert_eq!(answer.error_code, ErrorCode::NONE);
        found.push(answer.node_id);
    }
    assert!(found.iter().all(|id| *id == found[0]), "{found:?}");
    let other = cluster.nodes.iter().find(|node| node.id != found[0]).expect("three nodes");
    let heartbeat = HeartbeatRequest { group_id: "group".into(), ..Default::default() };
    let answer = ask!(other.client().await, Heartbeat 4, heartbeat);
    assert_eq!(answer.error_code, ErrorCode::NOT_COORDINATOR);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_must_be_of_this_cluster_and_of_this_life() {
    let cluster = Cluster::start().await;
    let id = cluster.create("t", &[1, 2]).await;
    let view = cluster.node(1).controller.view();
    let epoch = view.brokers[&2].epoch;
    let mut client = cluster.client(1).await;
    let of_another = FetchRequest { cluster_id: Some("another".into()), ..fetch(id, Some((2, epoch))) };
    let refused = ask!(client, Fetch 17, of_another.clone());
    assert_eq!(refused.error_code, ErrorCode::INCONSISTENT_CLUSTER_ID);
    // A consumer may say what it likes there.
    let consumer = FetchRequest { replica_state: ReplicaState::default(), ..of_another };
    assert_eq!(ask!(client, Fetch 17, consumer).error_code, ErrorCode::NONE);
    let own = Some((&*view.cluster_id).into());
    let stale = FetchRequest { cluster_id: own, ..fetch(id, Some((2, epoch - 1))) };
    let refused = ask!(client, Fetch 17, stale);
    assert!(
        refused.error_code.is_error() || refused.responses[0].partitions[0].error_code.is_error(),
        "{refused:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_2_18_a_follower_hears_the_high_watermark_from_before_its_position_counted() {
    let cluster = Cluster::start().await;
    let id = cluster.create("t", &[1, 2]).await;
    cluster.node(2).broker.stop_replicating();
    let mut client = cluster.client(1).await;
    let produce = kafka_wire::messages::ProduceRequest { ..produce_request("t", 0, 1, batch(&["a"])) };
    assert_eq!(
        ask!(client, Produce 9, produce).responses[0].partition_responses[0].error_code,
        ErrorCode::NONE
    );
    let epoch = cluster.node(1).broker.applied().borrow().brokers[&2].epoch;
    let mut request = fetch(id, Some((2, epoch)));
    request.topics[0].partitions[0].fetch_offset = 1;
    let mut heard = Vec::new();
    for _ in 0..2 {
        let answer = ask!(client, Fetch 17, request.clone());
        heard.push(answer.responses[0].partitions[0].high_watermark);
    }
    assert_eq!(heard, [0, 1]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_describes_the_quorum_and_passes_changes_on() {
    let cluster = Cluster::start().await;
    let mut leaders = Vec::new();
    for node in &cluster.nodes {
        let mut client = node.client().await;
        for version in 0..=2 {
            let described = ask!(client, DescribeQuorum version, describe());
            let topic = &described.topics[0];
            assert_eq!((described.error_code, &*topic.topic_name), (ErrorCode::NONE, "__cluster_metadata"));
            let partition = &topic.partitions[0];
            assert_eq!(partition.error_code, ErrorCode::NONE);
            assert_eq!(partition.current_voters.len(), 3);
            assert_eq!(described.nodes.len(), if version < 2 { 0 } else { 3 });
            leaders.push(partition.leader_id);
        }
        // A voter that there isn't: only the leader can tell.
        let remove = RemoveRaftVoterRequest { voter_id: 99, ..Default::default() };
        let removed = ask!(client, RemoveRaftVoter 0, remove);
        assert_eq!(removed.error_code, ErrorCode::VOTER_NOT_FOUND, "{:?}", removed.error_message);
    }
    assert!(leaders.iter().all(|leader| *leader == leaders[0]), "{leaders:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_move_by_shutdown_and_come_back_by_election() {
    let cluster = Cluster::start().await;
    cluster.create("t", &[2, 3]).await;
    cluster
        .all_see(|node| node.broker.applied().borrow().partition("t", 0).is_some_and(|it| it.isr.len() == 2))
        .await;
    let controller = cluster.node(1).controller.active_controller().expect("a controller");
    let epoch = cluster.node(1).controller.view().brokers[&2].epoch;
    let request = |broker_epoch| ControlledShutdownRequest { broker_id: 2, broker_epoch };
    let elsewhere = cluster.nodes.iter().find(|node| node.id != controller).expect("three nodes");
    let refused = ask!(elsewhere.client().await, ControlledShutdown 3, request(epoch));
    assert_eq!(refused.error_code, ErrorCode::NOT_CONTROLLER);
    let mut client = cluster.client(controller).await;
    let stale = ask!(client, ControlledShutdown 3, request(epoch - 1));
    assert_eq!(stale.error_code, ErrorCode::STALE_BROKER_EPOCH);
    let moved = ask!(client, ControlledShutdown 3, request(epoch));
    assert_eq!((moved.error_code, moved.remaining_partitions), (ErrorCode::NONE, Vec::new()));
    cluster.all_see(|node| leader_of(node, "t") == Some(3)).await;
    let elect = |election_type| ElectLeadersRequest {
        election_type,
        topic_partitions: Some(vec![TopicPartitions { topic: "t".into(), partitions: vec![0, 7] }]),
        timeout_ms: 10_000,
    };
    let elected = ask!(client, ElectLeaders 2, elect(1));
    let results = &elected.replica_election_results[0].partition_result;
    let codes: Vec<_> = results.iter().map(|result| (result.partition_id, result.error_code)).collect();
    assert_eq!(
        codes,
        [(0, ErrorCode::ELECTION_NOT_NEEDED), (7, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)],
        "{results:?}"
    );
    let unknown_kind = ask!(client, ElectLeaders 2, elect(9));
    assert_eq!(unknown_kind.error_code, ErrorCode::INVALID_REQUEST);
    let everything = ElectLeadersRequest { timeout_ms: 10_000, ..Default::default() };
    for version in 0..=2 {
        assert_eq!(ask!(client, ElectLeaders version, everything.clone()).error_code, ErrorCode::NONE);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_move_from_node_to_node() {
    let cluster = Cluster::start().await;
    cluster.create("t", &[1]).await;
    let mut client = cluster.client(1).await;
    assert_eq!(client.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
    let alter = |topic: &str, replicas: Option<Vec<i32>>| AlterPartitionReassignmentsRequest {
        timeout_ms: 10_000,
        topics: vec![ReassignableTopic {
            name: topic.into(),
            partitions: vec![ReassignablePartition { partition_index: 0, replicas }],
        }],
        ..Default::default()
    };
    // Any node takes it, not only the controller.
    let mut other = cluster.client(3).await;
    let altered = ask!(other, AlterPartitionReassignments 1, alter("t", Some(vec![2])));
    assert_eq!(altered.error_code, ErrorCode::NONE);
    assert_eq!(altered.responses[0].partitions[0].error_code, ErrorCode::NONE);
    cluster.all_see(|node| leader_of(node, "t") == Some(2)).await;
    wait_until(|| cluster.node(3).controller.list_partition_reassignments(None).is_empty()).await;
    let list = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
    assert!(ask!(other, ListPartitionReassignments 0, list).topics.is_empty());
    assert_eq!(metadata(&mut other, "t").await.replica_nodes, [2]);
    let refused = ask!(other, AlterPartitionReassignments 0, alter("t", None));
    assert_eq!(refused.responses[0].partitions[0].error_code, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS);
    let unknown = ask!(other, AlterPartitionReassignments 0, alter("missing", Some(vec![1])));
    assert_eq!(unknown.responses[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_waits_for_no_replica_and_is_missed_by_the_others() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[1, 2]).await;
    let mut client = cluster.client(1).await;
    assert_eq!(client.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
    // A follower that has gone quiet keeps acks=all waiting.
    cluster.node(2).broker.stop_replicating();
    let waiting = kafka_wire::messages::ProduceRequest {
        timeout_ms: 600_000,
        ..produce_request("t", 0, -1, batch(&["b"]))
    };
    client.send(9, &waiting.into()).await;
    wait_until(|| cluster.node(1).broker.offsets(&broker::TopicKey::Name("t".into()), 0) == Ok((1, 0))).await;
    let position = cluster.nodes.iter().position(|node| node.id == 1).expect("node 1");
    let node = cluster.nodes.remove(position);
    tokio::time::timeout(PATIENCE, node.stop()).await.expect("the node does not wait for the replica");
    cluster.all_see(|node| node.broker.applied().borrow().brokers.len() == 2).await;
    cluster.all_see(|node| leader_of(node, "t") == Some(2)).await;
    let mut other = cluster.client(3).await;
    let partition = metadata(&mut other, "t").await;
    assert_eq!((partition.leader_id, partition.offline_replicas), (2, vec![1]));
    // librdkafka forgets with a broker where its partitions went, so that it is named for a moment.
    assert_eq!(brokers(&mut other).await, [1, 2, 3]);
    while brokers(&mut other).await != [2, 3] {}
    cluster.stop().await;
}

/// Each waits a moment for the controller, which ends the session of a process that is gone soon.
const ANSWERS_WITHOUT_LEADER_MAX: usize = 20;

/// A client whose connection breaks asks another node at once; named the broker that is gone it would come back only after a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_has_just_gone_is_named_as_a_leader_no_more() {
    let mut cluster = Cluster::start().await;
    // Not the quorum's leader: its end would be noticed by all at once.
    let mut ids = cluster.nodes.iter().map(|node| node.id);
    let gone = ids.clone().find(|id| !cluster.node(*id).leads_quorum()).expect("a follower");
    let other = ids.find(|id| *id != gone).expect("another node");
    cluster.create("t", &[gone, other]).await;
    let mut client = cluster.client(other).await;
    assert_eq!(metadata(&mut client, "t").await.leader_id, gone);
    // Its replica has to be talking with it for a closed connection to say anything.
    let key = broker::TopicKey::Name("t".into());
    assert_eq!(cluster.client(gone).await.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
    wait_until(|| cluster.node(other).broker.offsets(&key, 0).is_ok_and(|(known, _)| known == 1)).await;
    let position = cluster.nodes.iter().position(|node| node.id == gone).expect("it is there");
    let rest = cluster.nodes.remove(position).vanish();
    wait_until(|| cluster.node(other).broker.has_just_gone(gone)).await;
    let mut partition = metadata(&mut client, "t").await;
    for _ in 0..ANSWERS_WITHOUT_LEADER_MAX {
        if partition.leader_id == other {
            break;
        }
        assert_eq!((partition.leader_id, partition.error_code), (-1, ErrorCode::LEADER_NOT_AVAILABLE));
        partition = metadata(&mut client, "t").await;
    }
    assert_eq!(
        partition.leader_id, other,
        "an answer waits a moment for the next leader, so that few are without one"
    );
    cluster.stop().await;
    drop(rest);
}
