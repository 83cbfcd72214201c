//! EndQuorumEpoch, key 54: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    EndQuorumEpochRequest [0-1] flexible [1+] {
        cluster_id: Option<Str> [0+] null[0+];
        topics: Vec<EndQuorumEpochRequestTopicData> [0+];
        leader_endpoints: Vec<LeaderEndpoint> [1+], ignorable;
    }

    LeaderEndpoint {
        name: Str [1+];
        host: Str [1+];
        port: u16 [1+];
    }

    EndQuorumEpochRequestTopicData {
        topic_name: Str [0+];
        partitions: Vec<EndQuorumEpochRequestPartitionData> [0+];
    }

    EndQuorumEpochRequestPartitionData {
        partition_index: i32 [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
        preferred_successors: Vec<i32> [0], ignorable;
        preferred_candidates: Vec<ReplicaInfo> [1+], ignorable;
    }

    ReplicaInfo {
        candidate_id: i32 [1+];
        candidate_directory_id: Uuid [1+];
    }

    EndQuorumEpochResponse [0-1] flexible [1+] {
        error_code: ErrorCode [0+];
        topics: Vec<EndQuorumEpochResponseTopicData> [0+];
        node_endpoints: Vec<NodeEndpoint> [1+] tag 0 [1+];
    }

    NodeEndpoint {
        node_id: i32 [1+];
        host: Str [1+];
        port: u16 [1+];
    }

    EndQuorumEpochResponseTopicData {
        topic_name: Str [0+];
        partitions: Vec<EndQuorumEpochResponsePartitionData> [0+];
    }

    EndQuorumEpochResponsePartitionData {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
    }
}
