//! Which APIs are served, and the way of a request to its handler: one file per API, each translating between the wire and the domain
//! and doing nothing else.
//!
//! Invariants: what is not in the list of [`served!`] is neither advertised nor answered; an unknown API or version closes the connection
//! (reference 2.3), but for ApiVersions, whose answer tells the client which versions there are (reference 2.1).
mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod config_resources;
mod controlled_shutdown;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod nodes;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod operations;
mod produce;
mod sync_group;
mod topics;

use crate::door::Door;
use crate::exchange::{Answering, Peer};
use crate::quorum;
use bytes::Bytes;
use controller::ClusterView;
use kafka_wire::messages::ApiVersionsRequest;
use kafka_wire::{ApiKey, DecodeError, EncodeError, Message, Request, RequestHeader, Response, Str};
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// What a handler knows besides the request itself.
pub(crate) struct Call<'a> {
    pub(crate) door: &'a Door,
    pub(crate) peer: &'a Peer,
    pub(crate) version: i16,
    client_id: Option<Str>,
}

impl<'a> Call<'a> {
    /// The surroundings of a request with this header.
    pub(crate) fn new(door: &'a Door, peer: &'a Peer, header: &RequestHeader) -> Call<'a> {
        Call { door, peer, version: header.version, client_id: header.client_id.clone() }
    }

    /// The name that the client gives itself, or nothing.
    fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }

    /// The cluster as the partitions of this node follow it.
    fn view(&self) -> Arc<ClusterView> {
        self.door.view()
    }
}

/// What a handler decides.
pub(crate) enum Answer {
    /// The client gets this.
    Response(Response),
    /// The client wants no answer (reference 2.6).
    Silence,
    /// The connection ends: it is the only way to tell the client.
    Close(&'static str),
}

/// A request that is ready for its handler.
pub(crate) struct Inbound {
    pub(crate) header: RequestHeader,
    pub(crate) request: Request,
}

/// Why a frame is no request that can be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRequest {
    #[error("the request cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    #[error("the API {0} is not served")]
    NotServed(ApiKey),
    #[error("the API {api} has no version {version}")]
    Version { api: ApiKey, version: i16 },
    #[error("a request of {api} asks for {count} things at once, allowed are {BATCH_MAX}")]
    Batch { api: ApiKey, count: usize },
    #[error("the answer to an unknown version cannot be written: {0}")]
    Unwritable(#[from] EncodeError),
}

/// How many groups, resources or keys one request may ask about: each takes a byte or two of the request and a lot more of the
/// answer. What a request asks twice is answered once.
const BATCH_MAX: usize = 100_000;

/// Of requests whose answers can be much larger than they are, how many things they ask about.
fn batch(request: &Request) -> usize {
    match request {
        Request::FindCoordinator(request) => request.coordinator_keys.len(),
        Request::DescribeGroups(request) => request.groups.len(),
        Request::OffsetFetch(request) => request.groups.len(),
        Request::DescribeConfigs(request) => request.resources.len(),
        _ => 0,
    }
}

/// Reads a request. An ApiVersions request of an unknown version is answered at once: with the frame in `Err`.
pub(crate) fn decode(frame: Bytes) -> Result<Result<Inbound, Vec<Bytes>>, BadRequest> {
    let (header, mut decoder) = kafka_wire::read_request(frame)?;
    let RequestHeader { api, version, .. } = header;
    if api == ApiKey::ApiVersions && !ApiVersionsRequest::VERSIONS.contains(version) {
        let response = Response::from(api_versions::unsupported());
        return Ok(Err(response.to_frame(0, header.correlation_id)?));
    }
    if !SERVED.contains(&api) && !quorum::APIS.contains(&api) {
        return Err(BadRequest::NotServed(api));
    }
    if !api.versions().contains(version) {
        return Err(BadRequest::Version { api, version });
    }
    // Bytes behind the request are left alone, as by Kafka.
    let request = Request::decode(api, version, &mut decoder)?;
    let count = batch(&request);
    if count > BATCH_MAX {
        return Err(BadRequest::Batch { api, count });
    }
    Ok(Ok(Inbound { header, request }))
}

/// Keeps the first of the items that have the same key.
fn keep_first<T, K: Hash + Eq>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(key(item)));
}

/// Whether a handler does nothing but wait for others, so that it can be stopped halfway because the client has gone.
pub(crate) fn can_be_abandoned(api: ApiKey) -> bool {
    matches!(api, ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup)
}

/// Lists the APIs that are served: `Name => module` for handlers that always respond, `Name => module, answers` for those that
/// decide.
macro_rules! served {
    (@answer $name:ident, $module:ident, $call:ident, $request:ident) => {
        Answer::Response(Response::$name($module::handle(&$call, $request).await))
    };
    (@answer $name:ident, $module:ident, $call:ident, $request:ident, answers) => {
        $module::handle(&$call, $request).await
    };
    ($( $name:ident => $module:ident $(, $answers:ident)? ; )+) => {
        /// The APIs that have a handler, in the order of their keys.
        const SERVED: &[ApiKey] = &[$( ApiKey::$name, )+];

        /// Has a request answered by the handler of its API.
        pub(crate) fn serve<'a>(call: Call<'a>, request: Request) -> Answering<'a> {
            match request {
                $(
                    Request::$name(request) => Box::pin(async move {
                        served!(@answer $name, $module, call, request $(, $answers)?)
                    }),
                )+
                _ => Box::pin(async { Answer::Close("the API is not served") }),
            }
        }
    };
}

/// Those of the list that only nodes use; clients are not told of them.
const INTERNAL: &[ApiKey] = &[ApiKey::ControlledShutdown];

served! {
    Produce => produce, answers;
    Fetch => fetch;
    ListOffsets => list_offsets;
    Metadata => metadata;
    ControlledShutdown => controlled_shutdown;
    OffsetCommit => offset_commit;
    OffsetFetch => offset_fetch;
    FindCoordinator => find_coordinator;
    JoinGroup => join_group;
    Heartbeat => heartbeat;
    LeaveGroup => leave_group;
    SyncGroup => sync_group;
    DescribeGroups => describe_groups;
    ListGroups => list_groups;
    ApiVersions => api_versions;
    CreateTopics => create_topics;
    DeleteTopics => delete_topics;
    DeleteRecords => delete_records;
    InitProducerId => init_producer_id;
    OffsetForLeaderEpoch => offset_for_leader_epoch;
    DescribeConfigs => describe_configs;
    AlterConfigs => alter_configs;
    DescribeLogDirs => describe_log_dirs;
    CreatePartitions => create_partitions;
    DeleteGroups => delete_groups;
    ElectLeaders => elect_leaders;
    IncrementalAlterConfigs => incremental_alter_configs;
    AlterPartitionReassignments => alter_partition_reassignments;
    ListPartitionReassignments => list_partition_reassignments;
    OffsetDelete => offset_delete;
    DescribeCluster => describe_cluster;
    ListConfigResources => list_config_resources;
    DescribeTopicPartitions => describe_topic_partitions;
}
