//! The quorum's messages on Kafka's wire: one topic, one partition, packed and unpacked.
//!
//! Invariant: pure translation. The bytes of records travel beside the core's messages; who may speak at all is judged elsewhere.
use kafka_wire::messages::add_raft_voter::Listener as AddedListener;
use kafka_wire::messages::begin_quorum_epoch::{
    BeginQuorumEpochRequestPartitionData, BeginQuorumEpochRequestTopicData,
    BeginQuorumEpochResponsePartitionData, BeginQuorumEpochResponseTopicData, LeaderEndpoint,
};
use kafka_wire::messages::describe_quorum::{
    DescribeQuorumResponsePartitionData, DescribeQuorumResponseTopicData, Listener as NodeListener, Node,
    ReplicaState as WireReplica,
};
use kafka_wire::messages::end_quorum_epoch::{
    EndQuorumEpochRequestPartitionData, EndQuorumEpochRequestTopicData, EndQuorumEpochResponsePartitionData,
    EndQuorumEpochResponseTopicData, ReplicaInfo,
};
use kafka_wire::messages::fetch::{
    EpochEndOffset, FetchPartition, FetchTopic, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint as FetchEndpoint, PartitionData, ReplicaState as FetchingReplica, SnapshotId,
};
use kafka_wire::messages::fetch_snapshot::{
    FetchSnapshotRequestPartitionSnapshot, FetchSnapshotRequestSnapshotId, FetchSnapshotRequestTopicSnapshot,
    FetchSnapshotResponsePartitionSnapshot, FetchSnapshotResponseSnapshotId,
    FetchSnapshotResponseTopicSnapshot, LeaderIdAndEpoch as SnapshotLeader,
};
use kafka_wire::messages::update_raft_voter::{
    CurrentLeader as UpdatedLeader, KRaftVersionFeature, Listener as UpdatedListener,
};
use kafka_wire::messages::vote::{
    NodeEndpoint as VoteEndpoint, VoteRequestPartitionData, VoteRequestTopicData, VoteResponsePartitionData,
    VoteResponseTopicData,
};
use kafka_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, BeginQuorumEpochRequest, BeginQuorumEpochResponse,
    DescribeQuorumResponse, EndQuorumEpochRequest, EndQuorumEpochResponse, EnvelopeResponse, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, RemoveRaftVoterRequest,
    RemoveRaftVoterResponse, UpdateRaftVoterRequest, UpdateRaftVoterResponse, VoteRequest, VoteResponse,
};
use kafka_wire::{ApiKey, ErrorCode, Records, Request, Response, Str};
use quorum::message as core;
use quorum::{Endpoint, LogOffset, Millis, ReplicaId, VoterSet};
use uuid::Uuid;

/// The name of the listener for other nodes.
pub(crate) const LISTENER: &str = "PEERS";
/// The id by which nodes fetch the znode log from each other: Kafka's reserved id of the metadata topic.
pub(crate) const LOG_ID: Uuid = Uuid::from_u128(1);
/// The znode log has one partition.
const PARTITION: i32 = 0;
/// The versions that nodes speak among each other.
const FETCH_VERSION: i16 = 18;
const VOTE_VERSION: i16 = 2;
const QUORUM_EPOCH_VERSION: i16 = 1;
const FETCH_SNAPSHOT_VERSION: i16 = 1;
const ADD_VOTER_VERSION: i16 = 1;
const FIRST_VERSION: i16 = 0;
/// The version of DescribeQuorum since which it tells directories and listeners.
const DESCRIBE_VERSION: i16 = 2;
/// A quorum's fetch may wait until there is at least one byte.
const MIN_BYTES: i32 = 1;

/// Where a new leader says that it listens.
pub(crate) fn leader_named_in(request: &Request) -> Option<(i32, peers::Address)> {
    let Request::BeginQuorumEpoch(begin) = request else { return None };
    let endpoint = begin.leader_endpoints.first()?;
    let leader = begin.topics.first()?.partitions.first()?.leader_id;
    Some((leader, peers::Address { host: endpoint.host.to_string(), port: endpoint.port }))
}

/// Where the leader listens that an answer names: who asks may know another set of voters, without it.
fn leader_endpoint(leader: core::CurrentLeader, voters: &VoterSet) -> Option<(i32, Str, u16)> {
    let voter = voters.get(leader.id?)?;
    let endpoint = voter.endpoints.first()?;
    Some((voter.replica.id, Str::from(endpoint.host.as_str()), endpoint.port))
}

/// A request as nodes send it, with the version that it is written in. A new leader says where it listens, at `own`, because a voter that
/// was away while the leader became one can't know.
pub(crate) fn request(
    cluster: Option<&str>,
    own: Option<&peers::Address>,
    request: core::Request,
) -> (i16, Request) {
    let cluster_id = cluster.map(Str::from);
    match request {
        core::Request::Vote(vote) => (VOTE_VERSION, vote_request(cluster_id, &vote)),
        core::Request::BeginQuorumEpoch(begin) => {
            (QUORUM_EPOCH_VERSION, begin_request(cluster_id, own, &begin))
        }
        core::Request::EndQuorumEpoch(end) => (QUORUM_EPOCH_VERSION, end_request(cluster_id, end)),
        core::Request::Fetch(fetch) => (FETCH_VERSION, fetch_request(cluster_id, &fetch)),
        core::Request::FetchSnapshot(fetch) => {
            (FETCH_SNAPSHOT_VERSION, fetch_snapshot_request(cluster_id, &fetch))
        }
        core::Request::DescribeQuorum => (
            DESCRIBE_VERSION,
            Request::DescribeQuorum(kafka_wire::messages::DescribeQuorumRequest::default()),
        ),
        core::Request::AddVoter(add) => {
            let listener = |endpoint: &Endpoint| AddedListener {
                name: Str::from(endpoint.listener.as_str()),
                host: Str::from(endpoint.host.as_str()),
                port: endpoint.port,
            };
            let message = AddRaftVoterRequest {
                cluster_id,
                timeout_ms: i32::try_from(add.timeout_ms).unwrap_or(i32::MAX),
                voter_id: add.voter.id,
                voter_directory_id: add.voter.directory,
                listeners: add.endpoints.iter().map(listener).collect(),
                ack_when_committed: true,
            };
            (ADD_VOTER_VERSION, Request::AddRaftVoter(message))
        }
        core::Request::RemoveVoter(remove) => {
            let message = RemoveRaftVoterRequest {
                cluster_id,
                voter_id: remove.voter.id,
                voter_directory_id: remove.voter.directory,
            };
            (FIRST_VERSION, Request::RemoveRaftVoter(message))
        }
        core::Request::UpdateVoter(update) => {
            let listener = |endpoint: &Endpoint| UpdatedListener {
                name: Str::from(endpoint.listener.as_str()),
                host: Str::from(endpoint.host.as_str()),
                port: endpoint.port,
            };
            let message = UpdateRaftVoterRequest {
                cluster_id,
                current_leader_epoch: update.current_leader_epoch,
                voter_id: update.voter.id,
                voter_directory_id: update.voter.directory,
                listeners: update.endpoints.iter().map(listener).collect(),
                kraft_version_feature: KRaftVersionFeature {
                    min_supported_version: 0,
                    max_supported_version: 1,
                },
            };
            (FIRST_VERSION, Request::UpdateRaftVoter(message))
        }
    }
}

fn topic() -> Str {
    Str::from_static(crate::ZNODES_TOPIC)
}

fn vote_request(cluster_id: Option<Str>, vote: &core::VoteRequest) -> Request {
    let partition = VoteRequestPartitionData {
        partition_index: PARTITION,
        replica_epoch: vote.epoch,
        replica_id: vote.candidate.id,
        replica_directory_id: vote.candidate.directory,
        voter_directory_id: vote.voter.directory,
        last_offset_epoch: vote.last.epoch,
        last_offset: vote.last.offset,
        pre_vote: vote.pre_vote,
    };
    Request::Vote(VoteRequest {
        cluster_id,
        voter_id: vote.voter.id,
        topics: vec![VoteRequestTopicData { topic_name: topic(), partitions: vec![partition] }],
    })
}

fn begin_request(
    cluster_id: Option<Str>,
    own: Option<&peers::Address>,
    begin: &core::BeginQuorumEpochRequest,
) -> Request {
    let partition = BeginQuorumEpochRequestPartitionData {
        partition_index: PARTITION,
        voter_directory_id: begin.voter.directory,
        leader_id: begin.leader_id,
        leader_epoch: begin.leader_epoch,
    };
    let topics = vec![BeginQuorumEpochRequestTopicData { topic_name: topic(), partitions: vec![partition] }];
    let endpoint = |address: &peers::Address| LeaderEndpoint {
        name: Str::from(LISTENER),
        host: Str::from(address.host.as_str()),
        port: address.port,
    };
    Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
        cluster_id,
        voter_id: begin.voter.id,
        topics,
        leader_endpoints: own.map(endpoint).into_iter().collect(),
    })
}

fn end_request(cluster_id: Option<Str>, end: core::EndQuorumEpochRequest) -> Request {
    let candidate = |replica: ReplicaId| ReplicaInfo {
        candidate_id: replica.id,
        candidate_directory_id: replica.directory,
    };
    let partition = EndQuorumEpochRequestPartitionData {
        partition_index: PARTITION,
        leader_id: end.leader_id,
        leader_epoch: end.leader_epoch,
        preferred_successors: Vec::new(),
        preferred_candidates: end.preferred_successors.into_iter().map(candidate).collect(),
    };
    let topics = vec![EndQuorumEpochRequestTopicData { topic_name: topic(), partitions: vec![partition] }];
    Request::EndQuorumEpoch(EndQuorumEpochRequest { cluster_id, topics, leader_endpoints: Vec::new() })
}

fn fetch_request(cluster_id: Option<Str>, fetch: &core::FetchRequest) -> Request {
    let partition = FetchPartition {
        partition: PARTITION,
        current_leader_epoch: fetch.current_leader_epoch,
        fetch_offset: fetch.fetch_offset,
        last_fetched_epoch: fetch.last_fetched_epoch,
        partition_max_bytes: i32::try_from(fetch.max_bytes).unwrap_or(i32::MAX),
        replica_directory_id: fetch.replica.directory,
        high_watermark: fetch.high_watermark,
        ..Default::default()
    };
    Request::Fetch(FetchRequest {
        cluster_id,
        replica_state: FetchingReplica { replica_id: fetch.replica.id, replica_epoch: -1 },
        max_wait_ms: i32::try_from(fetch.max_wait_ms).unwrap_or(i32::MAX),
        min_bytes: MIN_BYTES,
        max_bytes: i32::try_from(fetch.max_bytes).unwrap_or(i32::MAX),
        topics: vec![FetchTopic { topic_id: LOG_ID, partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    })
}

fn fetch_snapshot_request(cluster_id: Option<Str>, fetch: &core::FetchSnapshotRequest) -> Request {
    let partition = FetchSnapshotRequestPartitionSnapshot {
        partition: PARTITION,
        current_leader_epoch: fetch.current_leader_epoch,
        snapshot_id: FetchSnapshotRequestSnapshotId {
            end_offset: fetch.snapshot_id.offset,
            epoch: fetch.snapshot_id.epoch,
        },
        position: i64::try_from(fetch.position).unwrap_or(i64::MAX),
        replica_directory_id: fetch.replica.directory,
    };
    Request::FetchSnapshot(FetchSnapshotRequest {
        cluster_id,
        replica_id: fetch.replica.id,
        max_bytes: i32::try_from(fetch.max_bytes).unwrap_or(i32::MAX),
        topics: vec![FetchSnapshotRequestTopicSnapshot { name: topic(), partitions: vec![partition] }],
    })
}

/// A request that came in: the cluster that it is meant for, and what it asks; `None` for one that is none of the quorum's or
/// speaks of anything but the znode log.
pub(crate) fn parse_request(request: Request) -> Option<(Option<Str>, core::Request)> {
    match request {
        Request::Vote(message) => {
            let partition = only(only(message.topics)?.partitions)?;
            let vote = core::VoteRequest {
                voter: ReplicaId::new(message.voter_id, partition.voter_directory_id),
                epoch: partition.replica_epoch,
                candidate: ReplicaId::new(partition.replica_id, partition.replica_directory_id),
                last: LogOffset::new(partition.last_offset, partition.last_offset_epoch),
                pre_vote: partition.pre_vote,
            };
            Some((message.cluster_id, core::Request::Vote(vote)))
        }
        Request::BeginQuorumEpoch(message) => {
            let partition = only(only(message.topics)?.partitions)?;
            let begin = core::BeginQuorumEpochRequest {
                voter: ReplicaId::new(message.voter_id, partition.voter_directory_id),
                leader_id: partition.leader_id,
                leader_epoch: partition.leader_epoch,
            };
            Some((message.cluster_id, core::Request::BeginQuorumEpoch(begin)))
        }
        Request::EndQuorumEpoch(message) => {
            let partition = only(only(message.topics)?.partitions)?;
            let candidates = partition.preferred_candidates.into_iter();
            let end = core::EndQuorumEpochRequest {
                leader_id: partition.leader_id,
                leader_epoch: partition.leader_epoch,
                preferred_successors: candidates
                    .map(|candidate| ReplicaId::new(candidate.candidate_id, candidate.candidate_directory_id))
                    .collect(),
            };
            Some((message.cluster_id, core::Request::EndQuorumEpoch(end)))
        }
        Request::Fetch(message) => parse_fetch(message),
        Request::FetchSnapshot(message) => {
            let partition = only(only(message.topics)?.partitions)?;
            let fetch = core::FetchSnapshotRequest {
                replica: ReplicaId::new(message.replica_id, partition.replica_directory_id),
                current_leader_epoch: partition.current_leader_epoch,
                snapshot_id: LogOffset::new(partition.snapshot_id.end_offset, partition.snapshot_id.epoch),
                position: u64::try_from(partition.position).ok()?,
                max_bytes: u32::try_from(message.max_bytes).ok()?,
            };
            Some((message.cluster_id, core::Request::FetchSnapshot(fetch)))
        }
        Request::DescribeQuorum(_) => Some((None, core::Request::DescribeQuorum)),
        Request::AddRaftVoter(message) => {
            let endpoints = message.listeners.into_iter();
            let add = core::AddVoterRequest {
                voter: ReplicaId::new(message.voter_id, message.voter_directory_id),
                endpoints: endpoints.map(|it| endpoint(&it.name, &it.host, it.port)).collect(),
                timeout_ms: u64::try_from(message.timeout_ms).unwrap_or(0),
            };
            Some((message.cluster_id, core::Request::AddVoter(add)))
        }
        Request::RemoveRaftVoter(message) => {
            let voter = ReplicaId::new(message.voter_id, message.voter_directory_id);
            Some((message.cluster_id, core::Request::RemoveVoter(core::RemoveVoterRequest { voter })))
        }
        Request::UpdateRaftVoter(message) => {
            let endpoints = message.listeners.into_iter();
            let update = core::UpdateVoterRequest {
                current_leader_epoch: message.current_leader_epoch,
                voter: ReplicaId::new(message.voter_id, message.voter_directory_id),
                endpoints: endpoints.map(|it| endpoint(&it.name, &it.host, it.port)).collect(),
            };
            Some((message.cluster_id, core::Request::UpdateVoter(update)))
        }
        _ => None,
    }
}

fn parse_fetch(message: FetchRequest) -> Option<(Option<Str>, core::Request)> {
    let topic = only(message.topics)?;
    let partition = only(topic.partitions)?;
    if topic.topic_id != LOG_ID || partition.partition != PARTITION {
        return None;
    }
    let fetch = core::FetchRequest {
        replica: ReplicaId::new(message.replica_state.replica_id, partition.replica_directory_id),
        current_leader_epoch: partition.current_leader_epoch,
        fetch_offset: partition.fetch_offset,
        last_fetched_epoch: partition.last_fetched_epoch,
        high_watermark: partition.high_watermark,
        max_wait_ms: u64::try_from(message.max_wait_ms).unwrap_or(0),
        max_bytes: u32::try_from(partition.partition_max_bytes).ok()?,
    };
    Some((message.cluster_id, core::Request::Fetch(fetch)))
}

/// The only element of a list that must have exactly one.
fn only<T>(list: Vec<T>) -> Option<T> {
    let mut items = list.into_iter();
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

fn endpoint(listener: &str, host: &str, port: u16) -> Endpoint {
    Endpoint { listener: listener.to_owned(), host: host.to_owned(), port }
}

fn code(error: core::ErrorCode) -> ErrorCode {
    ErrorCode(error.code())
}

fn leader_id(leader: core::CurrentLeader) -> i32 {
    leader.id.unwrap_or(-1)
}

/// An answer of the core as it goes out. `records` are the bytes of the range that it names, of the log or of a snapshot; `voters`
/// tell where the leader is; `wall_ms` turns its moments into times of day.
pub(crate) fn response(
    version: i16,
    response: core::Response,
    records: Records,
    voters: &VoterSet,
    moments: impl Fn(Millis) -> i64,
) -> Response {
    match response {
        core::Response::Vote(vote) => Response::Vote(VoteResponse {
            node_endpoints: leader_endpoint(vote.leader, voters)
                .map(|(node_id, host, port)| VoteEndpoint { node_id, host, port })
                .into_iter()
                .collect(),
            topics: vec![VoteResponseTopicData {
                topic_name: topic(),
                partitions: vec![VoteResponsePartitionData {
                    partition_index: PARTITION,
                    error_code: code(vote.error),
                    leader_id: leader_id(vote.leader),
                    leader_epoch: vote.leader.epoch,
                    vote_granted: vote.vote_granted,
                }],
            }],
            ..Default::default()
        }),
        core::Response::BeginQuorumEpoch(begin) => Response::BeginQuorumEpoch(BeginQuorumEpochResponse {
            topics: vec![BeginQuorumEpochResponseTopicData {
                topic_name: topic(),
                partitions: vec![BeginQuorumEpochResponsePartitionData {
                    partition_index: PARTITION,
                    error_code: code(begin.error),
                    leader_id: leader_id(begin.leader),
                    leader_epoch: begin.leader.epoch,
                }],
            }],
            ..Default::default()
        }),
        core::Response::EndQuorumEpoch(end) => Response::EndQuorumEpoch(EndQuorumEpochResponse {
            topics: vec![EndQuorumEpochResponseTopicData {
                topic_name: topic(),
                partitions: vec![EndQuorumEpochResponsePartitionData {
                    partition_index: PARTITION,
                    error_code: code(end.error),
                    leader_id: leader_id(end.leader),
                    leader_epoch: end.leader.epoch,
                }],
            }],
            ..Default::default()
        }),
        core::Response::Fetch(fetch) => Response::Fetch(fetch_response(&fetch, records, voters)),
        core::Response::FetchSnapshot(fetch) => {
            Response::FetchSnapshot(fetch_snapshot_response(&fetch, records))
        }
        core::Response::DescribeQuorum(describe) => {
            let mut described = describe_response(&describe, voters, moments);
            if version < DESCRIBE_VERSION {
                forget_what_is_new(&mut described);
            }
            Response::DescribeQuorum(described)
        }
        core::Response::AddVoter(add) => Response::AddRaftVoter(AddRaftVoterResponse {
            error_code: code(add.error),
            error_message: message(add.message),
            ..Default::default()
        }),
        core::Response::RemoveVoter(remove) => Response::RemoveRaftVoter(RemoveRaftVoterResponse {
            error_code: code(remove.error),
            error_message: message(remove.message),
            ..Default::default()
        }),
        core::Response::UpdateVoter(update) => Response::UpdateRaftVoter(UpdateRaftVoterResponse {
            error_code: code(update.error),
            current_leader: UpdatedLeader {
                leader_id: leader_id(update.leader),
                leader_epoch: update.leader.epoch,
                ..Default::default()
            },
            ..Default::default()
        }),
    }
}

fn message(text: String) -> Option<Str> {
    (!text.is_empty()).then(|| Str::from(text))
}

fn fetch_response(fetch: &core::FetchResponse, records: Records, voters: &VoterSet) -> FetchResponse {
    let diverging = |end: LogOffset| EpochEndOffset { epoch: end.epoch, end_offset: end.offset };
    let snapshot = |id: LogOffset| SnapshotId { end_offset: id.offset, epoch: id.epoch };
    let partition = PartitionData {
        partition_index: PARTITION,
        error_code: code(fetch.error),
        high_watermark: fetch.high_watermark,
        last_stable_offset: fetch.high_watermark,
        log_start_offset: fetch.log_start_offset,
        diverging_epoch: fetch.diverging_epoch.map(diverging).unwrap_or_default(),
        current_leader: LeaderIdAndEpoch {
            leader_id: leader_id(fetch.leader),
            leader_epoch: fetch.leader.epoch,
        },
        snapshot_id: fetch.snapshot_id.map(snapshot).unwrap_or_default(),
        records: Some(records),
        ..Default::default()
    };
    let endpoint = leader_endpoint(fetch.leader, voters).map(|(node_id, host, port)| FetchEndpoint {
        node_id,
        host,
        port: i32::from(port),
        rack: None,
    });
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic_id: LOG_ID,
            partitions: vec![partition],
            ..Default::default()
        }],
        node_endpoints: endpoint.into_iter().collect(),
        ..Default::default()
    }
}

fn fetch_snapshot_response(fetch: &core::FetchSnapshotResponse, piece: Records) -> FetchSnapshotResponse {
    let partition = FetchSnapshotResponsePartitionSnapshot {
        index: PARTITION,
        error_code: code(fetch.error),
        snapshot_id: FetchSnapshotResponseSnapshotId {
            end_offset: fetch.snapshot_id.offset,
            epoch: fetch.snapshot_id.epoch,
        },
        current_leader: SnapshotLeader {
            leader_id: leader_id(fetch.leader),
            leader_epoch: fetch.leader.epoch,
        },
        size: i64::try_from(fetch.size).unwrap_or(i64::MAX),
        position: i64::try_from(fetch.position).unwrap_or(i64::MAX),
        unaligned_records: piece,
    };
    FetchSnapshotResponse {
        topics: vec![FetchSnapshotResponseTopicSnapshot { name: topic(), partitions: vec![partition] }],
        ..Default::default()
    }
}

fn describe_response(
    describe: &core::DescribeQuorumResponse,
    voters: &VoterSet,
    moments: impl Fn(Millis) -> i64,
) -> DescribeQuorumResponse {
    let replica = |state: &core::ReplicaState| WireReplica {
        replica_id: state.replica.id,
        replica_directory_id: state.replica.directory,
        log_end_offset: state.log_end_offset,
        last_fetch_timestamp: state.last_fetch.map_or(-1, &moments),
        last_caught_up_timestamp: state.last_caught_up.map_or(-1, &moments),
    };
    let node = |voter: &quorum::Voter| Node {
        node_id: voter.replica.id,
        listeners: voter
            .endpoints
            .iter()
            .map(|endpoint| NodeListener {
                name: Str::from(endpoint.listener.as_str()),
                host: Str::from(endpoint.host.as_str()),
                port: endpoint.port,
            })
            .collect(),
    };
    let partition = DescribeQuorumResponsePartitionData {
        partition_index: PARTITION,
        error_code: code(describe.error),
        error_message: None,
        leader_id: leader_id(describe.leader),
        leader_epoch: describe.leader.epoch,
        high_watermark: describe.high_watermark,
        current_voters: describe.voters.iter().map(replica).collect(),
        observers: describe.observers.iter().map(replica).collect(),
    };
    DescribeQuorumResponse {
        topics: vec![DescribeQuorumResponseTopicData { topic_name: topic(), partitions: vec![partition] }],
        nodes: voters.iter().map(node).collect(),
        ..Default::default()
    }
}

/// Leaves out what older versions of DescribeQuorum can't carry.
fn forget_what_is_new(described: &mut DescribeQuorumResponse) {
    described.nodes.clear();
    for partition in described.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        for replica in partition.current_voters.iter_mut().chain(&mut partition.observers) {
            replica.replica_directory_id = Uuid::nil();
        }
    }
}

/// An answer that came in: the core's part of it, the bytes that it carries, and the addresses that it names.
pub(crate) struct Answer {
    pub(crate) response: core::Response,
    pub(crate) records: Records,
    pub(crate) endpoints: Vec<(i32, peers::Address)>,
}

/// Reads an answer; an error code stands for one that is about the whole request, such as another cluster's id. The range of a fetch's
/// records is left open: the shell reads the batches.
pub(crate) fn parse_response(response: Response) -> Result<Answer, ErrorCode> {
    let malformed = ErrorCode::UNKNOWN_SERVER_ERROR;
    let answer = |response| Answer { response, records: Records::EMPTY, endpoints: Vec::new() };
    match response {
        Response::Vote(message) => {
            refuse(message.error_code)?;
            let it = only(message.topics).and_then(|topic| only(topic.partitions)).ok_or(malformed)?;
            let response = core::Response::Vote(core::VoteResponse {
                error: core::ErrorCode::from_code(it.error_code.0),
                leader: current_leader(it.leader_id, it.leader_epoch),
                vote_granted: it.vote_granted,
            });
            let endpoints = message.node_endpoints.into_iter();
            let endpoints = endpoints
                .map(|node| (node.node_id, peers::Address { host: node.host.to_string(), port: node.port }))
                .collect();
            Ok(Answer { endpoints, ..answer(response) })
        }
        Response::BeginQuorumEpoch(message) => {
            refuse(message.error_code)?;
            let it = only(message.topics).and_then(|topic| only(topic.partitions)).ok_or(malformed)?;
            Ok(answer(core::Response::BeginQuorumEpoch(core::QuorumEpochResponse {
                error: core::ErrorCode::from_code(it.error_code.0),
                leader: current_leader(it.leader_id, it.leader_epoch),
            })))
        }
        Response::EndQuorumEpoch(message) => {
            refuse(message.error_code)?;
            let it = only(message.topics).and_then(|topic| only(topic.partitions)).ok_or(malformed)?;
            Ok(answer(core::Response::EndQuorumEpoch(core::QuorumEpochResponse {
                error: core::ErrorCode::from_code(it.error_code.0),
                leader: current_leader(it.leader_id, it.leader_epoch),
            })))
        }
        Response::Fetch(message) => parse_fetch_response(message).ok_or(malformed)?,
        Response::FetchSnapshot(message) => parse_fetch_snapshot_response(message).ok_or(malformed)?,
        Response::AddRaftVoter(message) => {
            Ok(answer(core::Response::AddVoter(membership(message.error_code, message.error_message))))
        }
        Response::RemoveRaftVoter(message) => {
            Ok(answer(core::Response::RemoveVoter(membership(message.error_code, message.error_message))))
        }
        Response::UpdateRaftVoter(message) => {
            let mut response = membership(message.error_code, None);
            let leader = message.current_leader;
            response.leader = current_leader(leader.leader_id, leader.leader_epoch.max(0));
            Ok(answer(core::Response::UpdateVoter(response)))
        }
        _ => Err(malformed),
    }
}

fn refuse(error: ErrorCode) -> Result<(), ErrorCode> {
    if error.is_error() { Err(error) } else { Ok(()) }
}

fn current_leader(id: i32, epoch: i32) -> core::CurrentLeader {
    core::CurrentLeader { id: (id >= 0).then_some(id), epoch }
}

/// Kafka's answers to changes of the voters don't name the leader; epoch 0 teaches the core nothing.
fn membership(error: ErrorCode, text: Option<Str>) -> core::MembershipResponse {
    core::MembershipResponse {
        error: core::ErrorCode::from_code(error.0),
        message: text.map(String::from).unwrap_or_default(),
        leader: core::CurrentLeader { id: None, epoch: 0 },
    }
}

fn parse_fetch_response(message: FetchResponse) -> Option<Result<Answer, ErrorCode>> {
    if message.error_code.is_error() {
        return Some(Err(message.error_code));
    }
    let it = only(only(message.responses)?.partitions)?;
    let at = |offset: i64, epoch: i32| (offset >= 0).then(|| LogOffset::new(offset, epoch));
    let response = core::Response::Fetch(core::FetchResponse {
        error: core::ErrorCode::from_code(it.error_code.0),
        leader: current_leader(it.current_leader.leader_id, it.current_leader.leader_epoch),
        high_watermark: it.high_watermark,
        log_start_offset: it.log_start_offset,
        diverging_epoch: at(it.diverging_epoch.end_offset, it.diverging_epoch.epoch),
        snapshot_id: at(it.snapshot_id.end_offset, it.snapshot_id.epoch),
        records: None,
    });
    let endpoints = message.node_endpoints.into_iter().filter_map(|node| {
        let port = u16::try_from(node.port).ok()?;
        Some((node.node_id, peers::Address { host: node.host.to_string(), port }))
    });
    Some(Ok(Answer { response, records: it.records.unwrap_or_default(), endpoints: endpoints.collect() }))
}

fn parse_fetch_snapshot_response(message: FetchSnapshotResponse) -> Option<Result<Answer, ErrorCode>> {
    if message.error_code.is_error() {
        return Some(Err(message.error_code));
    }
    let it = only(only(message.topics)?.partitions)?;
    let response = core::Response::FetchSnapshot(core::FetchSnapshotResponse {
        error: core::ErrorCode::from_code(it.error_code.0),
        leader: current_leader(it.current_leader.leader_id, it.current_leader.leader_epoch),
        snapshot_id: LogOffset::new(it.snapshot_id.end_offset, it.snapshot_id.epoch),
        size: u64::try_from(it.size).ok()?,
        position: u64::try_from(it.position).ok()?,
        bytes: u32::try_from(it.unaligned_records.len()).ok()?,
    });
    Some(Ok(Answer { response, records: it.unaligned_records, endpoints: Vec::new() }))
}

/// Knows how a request is refused as a whole.
pub(crate) struct Refuser(ApiKey);

impl Refuser {
    /// For the answer to this request.
    pub(crate) fn of(request: &Request) -> Refuser {
        Refuser(request.api())
    }

    /// The answer with this error.
    pub(crate) fn with(&self, error_code: ErrorCode) -> Response {
        match self.0 {
            ApiKey::Vote => Response::Vote(VoteResponse { error_code, ..Default::default() }),
            ApiKey::BeginQuorumEpoch => {
                Response::BeginQuorumEpoch(BeginQuorumEpochResponse { error_code, ..Default::default() })
            }
            ApiKey::EndQuorumEpoch => {
                Response::EndQuorumEpoch(EndQuorumEpochResponse { error_code, ..Default::default() })
            }
            ApiKey::Fetch => Response::Fetch(FetchResponse { error_code, ..Default::default() }),
            ApiKey::FetchSnapshot => {
                Response::FetchSnapshot(FetchSnapshotResponse { error_code, ..Default::default() })
            }
            ApiKey::DescribeQuorum => {
                Response::DescribeQuorum(DescribeQuorumResponse { error_code, ..Default::default() })
            }
            ApiKey::AddRaftVoter => {
                Response::AddRaftVoter(AddRaftVoterResponse { error_code, ..Default::default() })
            }
            ApiKey::RemoveRaftVoter => {
                Response::RemoveRaftVoter(RemoveRaftVoterResponse { error_code, ..Default::default() })
            }
            ApiKey::UpdateRaftVoter => {
                Response::UpdateRaftVoter(UpdateRaftVoterResponse { error_code, ..Default::default() })
            }
            _ => Response::Envelope(EnvelopeResponse { error_code, ..Default::default() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leader_says_where_it_listens() {
        let begin = core::BeginQuorumEpochRequest {
            voter: ReplicaId::new(1, Uuid::from_u128(7)),
            leader_id: 3,
            leader_epoch: 9,
        };
        let address = peers::Address { host: "node3".to_owned(), port: 9092 };
        let (version, sent) =
            request(Some("cluster"), Some(&address), core::Request::BeginQuorumEpoch(begin));
        let header = kafka_wire::RequestHeader {
            api: sent.api(),
            version,
            correlation_id: 1,
            client_id: Some(Str::from("node3")),
        };
        let frame = sent.to_frame(&header).expect("it can be encoded").concat();
        let (header, mut decoder) =
            kafka_wire::read_request(bytes::Bytes::from(frame).slice(4..)).expect("a frame");
        let heard = Request::decode(header.api, header.version, &mut decoder).expect("a request");
        assert_eq!(leader_named_in(&heard), Some((3, address)));
    }

    #[test]
    fn a_refused_vote_says_where_the_leader_listens() {
        let leader = quorum::Voter {
            replica: ReplicaId::new(3, Uuid::from_u128(8)),
            endpoints: vec![endpoint(LISTENER, "node3", 9092)],
        };
        let refusal = core::VoteResponse {
            error: core::ErrorCode::None,
            leader: current_leader(3, 9),
            vote_granted: false,
        };
        let voters = VoterSet::new([leader]);
        let sent = response(VOTE_VERSION, core::Response::Vote(refusal), Records::EMPTY, &voters, |_| 0);
        let heard = parse_response(sent).expect("an answer");
        assert_eq!(heard.endpoints, [(3, peers::Address { host: "node3".to_owned(), port: 9092 })]);
    }
}
