//! The list of APIs: key, name, request and response; versions follow from the message tables.

use crate::messages::*;
use crate::{DecodeError, Decoder, EncodeError, Encoder, Message, Versions};

/// The list's macro. A row is `Name = key, Request, Response;`.
macro_rules! apis {
    ($(
        $name:ident = $key:literal, $request:ident, $response:ident;
    )+) => {
        /// An API of the Kafka protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("Key ", stringify!($key), ".")]
                $name = $key,
            )+
        }

        impl ApiKey {
            /// Every API of this codec, in the order of their keys.
            pub const ALL: &[ApiKey] = &[$( ApiKey::$name, )+];

            /// The API of a key on the wire.
            pub const fn from_key(key: i16) -> Option<ApiKey> {
                match key {
                    $( $key => Some(ApiKey::$name), )+
                    _ => None,
                }
            }

            /// Kafka's name of the API, as `Fetch`.
            pub const fn name(self) -> &'static str {
                match self {
                    $( ApiKey::$name => stringify!($name), )+
                }
            }

            /// The versions that Kafka 4.3 serves, of ControlledShutdown those of 3.9. Versions that it keeps back as unstable are not
            /// among them.
            pub const fn versions(self) -> Versions {
                match self {
                    $( ApiKey::$name => <$request as Message>::VERSIONS, )+
                }
            }

            /// The flexible versions (KIP-482), unbounded above.
            pub const fn flexible(self) -> Versions {
                match self {
                    $( ApiKey::$name => <$request as Message>::FLEXIBLE, )+
                }
            }
        }

        /// Any request.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $(
                #[doc = concat!("A request of ", stringify!($name), ".")]
                $name($request),
            )+
        }

        impl Request {
            /// Reads a request from the decoder's position on. Bytes may be left: see [`Decoder::finish`].
            ///
            /// # Errors
            /// If the API has no such version or the bytes are no such request.
            pub fn decode(api: ApiKey, version: i16, d: &mut Decoder) -> Result<Request, DecodeError> {
                match api {
                    $( ApiKey::$name => $request::decode(d, version).map(Request::$name), )+
                }
            }

            /// Appends the request without its header.
            ///
            /// # Errors
            /// If the request does not fit the version.
            pub fn encode(&self, e: &mut Encoder, version: i16) -> Result<(), EncodeError> {
                match self {
                    $( Request::$name(message) => message.encode(e, version), )+
                }
            }

            /// The API that the request is for.
            pub const fn api(&self) -> ApiKey {
                match self {
                    $( Request::$name(_) => ApiKey::$name, )+
                }
            }

            /// A pseudo-random request that the version can carry.
            #[cfg(test)]
            pub(crate) fn sample(api: ApiKey, s: &mut crate::sample::Sampler) -> Request {
                match api {
                    $( ApiKey::$name => Request::$name(s.message()), )+
                }
            }
        }

        /// Any response.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Response {
            $(
                #[doc = concat!("A response of ", stringify!($name), ".")]
                $name($response),
            )+
        }

        impl Response {
            /// Reads a response from the decoder's position on. Bytes may be left: see [`Decoder::finish`].
            ///
            /// # Errors
            /// If the API has no such version or the bytes are no such response.
            pub fn decode(api: ApiKey, version: i16, d: &mut Decoder) -> Result<Response, DecodeError> {
                match api {
                    $( ApiKey::$name => $response::decode(d, version).map(Response::$name), )+
                }
            }

            /// Appends the response without its header.
            ///
            /// # Errors
            /// If the response does not fit the version.
            pub fn encode(&self, e: &mut Encoder, version: i16) -> Result<(), EncodeError> {
                match self {
                    $( Response::$name(message) => message.encode(e, version), )+
                }
            }

            /// The API that the response is of.
            pub const fn api(&self) -> ApiKey {
                match self {
                    $( Response::$name(_) => ApiKey::$name, )+
                }
            }

            /// A pseudo-random response that the version can carry.
            #[cfg(test)]
            pub(crate) fn sample(api: ApiKey, s: &mut crate::sample::Sampler) -> Response {
                match api {
                    $( ApiKey::$name => Response::$name(s.message()), )+
                }
            }
        }

        $(
            impl From<$request> for Request {
                fn from(message: $request) -> Request {
                    Request::$name(message)
                }
            }

            impl From<$response> for Response {
                fn from(message: $response) -> Response {
                    Response::$name(message)
                }
            }
        )+
    };
}

apis! {
    Produce = 0, ProduceRequest, ProduceResponse;
    Fetch = 1, FetchRequest, FetchResponse;
    ListOffsets = 2, ListOffsetsRequest, ListOffsetsResponse;
    Metadata = 3, MetadataRequest, MetadataResponse;
    ControlledShutdown = 7, ControlledShutdownRequest, ControlledShutdownResponse;
    OffsetCommit = 8, OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch = 9, OffsetFetchRequest, OffsetFetchResponse;
    FindCoordinator = 10, FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup = 11, JoinGroupRequest, JoinGroupResponse;
    Heartbeat = 12, HeartbeatRequest, HeartbeatResponse;
    LeaveGroup = 13, LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup = 14, SyncGroupRequest, SyncGroupResponse;
    DescribeGroups = 15, DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups = 16, ListGroupsRequest, ListGroupsResponse;
    SaslHandshake = 17, SaslHandshakeRequest, SaslHandshakeResponse;
    ApiVersions = 18, ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics = 19, CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics = 20, DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecords = 21, DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerId = 22, InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch = 23, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    DescribeAcls = 29, DescribeAclsRequest, DescribeAclsResponse;
    CreateAcls = 30, CreateAclsRequest, CreateAclsResponse;
    DeleteAcls = 31, DeleteAclsRequest, DeleteAclsResponse;
    DescribeConfigs = 32, DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigs = 33, AlterConfigsRequest, AlterConfigsResponse;
    AlterReplicaLogDirs = 34, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse;
    DescribeLogDirs = 35, DescribeLogDirsRequest, DescribeLogDirsResponse;
    SaslAuthenticate = 36, SaslAuthenticateRequest, SaslAuthenticateResponse;
    CreatePartitions = 37, CreatePartitionsRequest, CreatePartitionsResponse;
    DeleteGroups = 42, DeleteGroupsRequest, DeleteGroupsResponse;
    ElectLeaders = 43, ElectLeadersRequest, ElectLeadersResponse;
    IncrementalAlterConfigs = 44, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    AlterPartitionReassignments = 45, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
    ListPartitionReassignments = 46, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    OffsetDelete = 47, OffsetDeleteRequest, OffsetDeleteResponse;
    Vote = 52, VoteRequest, VoteResponse;
    BeginQuorumEpoch = 53, BeginQuorumEpochRequest, BeginQuorumEpochResponse;
    EndQuorumEpoch = 54, EndQuorumEpochRequest, EndQuorumEpochResponse;
    DescribeQuorum = 55, DescribeQuorumRequest, DescribeQuorumResponse;
    AlterPartition = 56, AlterPartitionRequest, AlterPartitionResponse;
    UpdateFeatures = 57, UpdateFeaturesRequest, UpdateFeaturesResponse;
    Envelope = 58, EnvelopeRequest, EnvelopeResponse;
    FetchSnapshot = 59, FetchSnapshotRequest, FetchSnapshotResponse;
    DescribeCluster = 60, DescribeClusterRequest, DescribeClusterResponse;
    UnregisterBroker = 64, UnregisterBrokerRequest, UnregisterBrokerResponse;
    ListConfigResources = 74, ListConfigResourcesRequest, ListConfigResourcesResponse;
    DescribeTopicPartitions = 75, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
    AddRaftVoter = 80, AddRaftVoterRequest, AddRaftVoterResponse;
    RemoveRaftVoter = 81, RemoveRaftVoterRequest, RemoveRaftVoterResponse;
    UpdateRaftVoter = 82, UpdateRaftVoterRequest, UpdateRaftVoterResponse;
}

impl ApiKey {
    /// The API's key on the wire.
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// The range that ApiVersions answers: [`ApiKey::versions`], but Produce from 0 on, or else librdkafka turns
    /// compression off (KAFKA-18659). A Produce request below version 3 still cannot be decoded.
    pub const fn advertised(self) -> Versions {
        match self {
            ApiKey::Produce => Versions::new(0, self.versions().max),
            _ => self.versions(),
        }
    }

    /// The version of a request's header, for supported versions and any other: 2 has a tagged section, 1 has none.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.flexible().contains(version) { 2 } else { 1 }
    }

    /// The version of a response's header: 1 has a tagged section, 0 has none. ApiVersions always has 0, since a client
    /// reads that response before it knows what the broker can do (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ApiVersions => 0,
            _ if self.flexible().contains(version) => 1,
            _ => 0,
        }
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
