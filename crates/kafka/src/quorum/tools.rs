//! What tools ask about the quorum and want of it: DescribeQuorum (KIP-595), AddRaftVoter and RemoveRaftVoter (KIP-853).
//!
//! Any node can be asked. One that doesn't lead the quorum asks the leader, as Kafka's brokers ask their controller; what a node asks is
//! never passed on, so that nodes that take each other for the leader don't play ball with it. The log goes by Kafka's name for it.
use ensemble::{Ensemble, ZNODES_TOPIC};
use kafka_wire::messages::describe_quorum::{
    DescribeQuorumResponsePartitionData, DescribeQuorumResponseTopicData,
};
use kafka_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_wire::{ErrorCode, Request, RequestHeader, Response, Str, Uuid};
use peers::{Address, Lane, Peers};
use std::time::Duration;

/// Kafka's name for the quorum's log; its clients know no other.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// The version in which nodes describe the quorum to each other.
const DESCRIBE_VERSION: i16 = 2;
/// The first version with directory ids and the voters' addresses.
const NODES_SINCE: i16 = 2;
/// How the names begin that nodes give themselves.
const NODE_CLIENT_ID: &str = "broker-";
/// How long the leader may take to describe the quorum.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the leader may take to change the voters: `request.timeout.ms` of Kafka's clients is not shorter.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);

/// Answers a request of a tool.
pub(super) async fn answer(
    ensemble: &Ensemble,
    peers: Option<&Peers>,
    header: &RequestHeader,
    request: Request,
) -> Response {
    let is_of_node = header.client_id.as_ref().is_some_and(|name| name.starts_with(NODE_CLIENT_ID));
    let peers = peers.filter(|_| !is_of_node);
    match request {
        Request::DescribeQuorum(request) if !is_of_node => {
            Response::from(describe(ensemble, peers, request, header.version).await)
        }
        request => change(ensemble, peers, request, header.version).await,
    }
}

/// Describes the quorum in a version that the client reads.
async fn describe(
    ensemble: &Ensemble,
    peers: Option<&Peers>,
    request: DescribeQuorumRequest,
    version: i16,
) -> DescribeQuorumResponse {
    let Some(name) = only_partition(&request) else { return unknown(request) };
    let mut response = describe_here(ensemble).await;
    if let Some(peers) = peers.filter(|_| error_of(&response) == ErrorCode::NOT_LEADER_OR_FOLLOWER)
        && let Some(leader) = leader_in(&response)
    {
        let question = Request::from(DescribeQuorumRequest::default());
        let calling = peers.call(&leader, Lane::Broker, DESCRIBE_VERSION, question, DESCRIBE_PATIENCE);
        match calling.await {
            Ok(Response::DescribeQuorum(theirs)) => response = theirs,
            Ok(_) => {}
            Err(error) => tracing::info!(%error, "the quorum's leader could not be asked about it"),
        }
    }
    fit(&mut response, &name, version);
    response
}

/// The name under which a request asks for the quorum's log and nothing else.
fn only_partition(request: &DescribeQuorumRequest) -> Option<Str> {
    let [topic] = request.topics.as_slice() else { return None };
    let [partition] = topic.partitions.as_slice() else { return None };
    let is_known = topic.topic_name == *METADATA_TOPIC || topic.topic_name == *ZNODES_TOPIC;
    (is_known && partition.partition_index == 0).then(|| topic.topic_name.clone())
}

/// Every partition that was asked for is unknown.
fn unknown(request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let topics = request.topics.into_iter().map(|topic| DescribeQuorumResponseTopicData {
        partitions: topic
            .partitions
            .iter()
            .map(|partition| DescribeQuorumResponsePartitionData {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ..Default::default()
            })
            .collect(),
        topic_name: topic.topic_name,
    });
    DescribeQuorumResponse { topics: topics.collect(), ..Default::default() }
}

/// What this node knows of the quorum.
async fn describe_here(ensemble: &Ensemble) -> DescribeQuorumResponse {
    let question = Request::from(DescribeQuorumRequest::default());
    match ensemble.serve_peer(question, DESCRIBE_VERSION).await {
        Response::DescribeQuorum(response) => response,
        _ => DescribeQuorumResponse { error_code: ErrorCode::UNKNOWN_SERVER_ERROR, ..Default::default() },
    }
}

/// What is wrong with the answer.
fn error_of(response: &DescribeQuorumResponse) -> ErrorCode {
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    match response.error_code {
        ErrorCode::NONE => partition.map_or(ErrorCode::NONE, |partition| partition.error_code),
        error => error,
    }
}

/// Where the leader that an answer names can be reached.
fn leader_in(response: &DescribeQuorumResponse) -> Option<Address> {
    let leader = response.topics.first()?.partitions.first()?.leader_id;
    let listener = response.nodes.iter().find(|node| node.node_id == leader)?.listeners.first()?;
    Some(Address { host: listener.host.to_string(), port: listener.port })
}

/// Makes the answer what a client that asked for this topic reads in its version.
fn fit(response: &mut DescribeQuorumResponse, name: &Str, version: i16) {
    let has_nodes = version >= NODES_SINCE;
    if !has_nodes {
        response.nodes.clear();
    }
    for topic in &mut response.topics {
        topic.topic_name = name.clone();
        let partitions = topic.partitions.iter_mut();
        for replica in partitions.flat_map(|it| it.current_voters.iter_mut().chain(&mut it.observers)) {
            if !has_nodes {
                replica.replica_directory_id = Uuid::nil();
            }
        }
    }
}

/// Changes the voters, here or through the leader; also answers what nodes ask.
async fn change(ensemble: &Ensemble, peers: Option<&Peers>, request: Request, version: i16) -> Response {
    let Some(peers) = peers else { return ensemble.serve_peer(request, version).await };
    let response = ensemble.serve_peer(request.clone(), version).await;
    let error = match &response {
        Response::AddRaftVoter(response) => response.error_code,
        Response::RemoveRaftVoter(response) => response.error_code,
        _ => ErrorCode::NONE,
    };
    if error != ErrorCode::NOT_LEADER_OR_FOLLOWER {
        return response;
    }
    let Some(leader) = leader_in(&describe_here(ensemble).await) else { return response };
    match peers.call(&leader, Lane::Broker, version, request, CHANGE_PATIENCE).await {
        Ok(theirs) => theirs,
        Err(error) => {
            tracing::info!(%error, "a change of the voters could not be passed on to the quorum's leader");
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_wire::messages::describe_quorum::{
        DescribeQuorumRequestPartitionData, DescribeQuorumRequestTopicData, Listener, Node, ReplicaState,
    };

    fn request(topics: &[(&str, i32)]) -> DescribeQuorumRequest {
        let topic = |(name, index): &(&str, i32)| DescribeQuorumRequestTopicData {
            topic_name: Str::from(*name),
            partitions: vec![DescribeQuorumRequestPartitionData { partition_index: *index }],
        };
        DescribeQuorumRequest { topics: topics.iter().map(topic).collect() }
    }

    #[test]
    fn only_the_quorums_log_can_be_described() {
        assert_eq!(only_partition(&request(&[(METADATA_TOPIC, 0)])).as_deref(), Some(METADATA_TOPIC));
        assert_eq!(only_partition(&request(&[(ZNODES_TOPIC, 0)])).as_deref(), Some(ZNODES_TOPIC));
        for bad in [&[("orders", 0)][..], &[(METADATA_TOPIC, 1)], &[], &[(METADATA_TOPIC, 0), ("a", 0)]] {
            assert_eq!(only_partition(&request(bad)), None);
        }
        let refused = unknown(request(&[("orders", 3)]));
        let partition = &refused.topics[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!((&*refused.topics[0].topic_name, partition.partition_index), ("orders", 3));
    }

    #[test]
    fn old_versions_carry_no_directories_and_no_addresses() {
        let voter = ReplicaState { replica_directory_id: Uuid::from_u128(5), ..Default::default() };
        let listener = Listener { host: "h".into(), port: 9, ..Default::default() };
        let partition = DescribeQuorumResponsePartitionData {
            leader_id: 2,
            current_voters: vec![voter.clone()],
            observers: vec![voter],
            ..Default::default()
        };
        let whole = DescribeQuorumResponse {
            topics: vec![DescribeQuorumResponseTopicData {
                topic_name: ZNODES_TOPIC.into(),
                partitions: vec![partition],
            }],
            nodes: vec![Node { node_id: 2, listeners: vec![listener] }],
            ..Default::default()
        };
        assert_eq!(leader_in(&whole), Some(Address { host: "h".to_owned(), port: 9 }));
        for version in 0..=2 {
            let mut response = whole.clone();
            fit(&mut response, &METADATA_TOPIC.into(), version);
            assert_eq!(response.topics[0].topic_name, *METADATA_TOPIC);
            assert_eq!(response.nodes.len(), usize::from(version == 2));
            assert!(Response::from(response).to_frame(version, 1).is_ok(), "version {version}");
        }
    }
}
