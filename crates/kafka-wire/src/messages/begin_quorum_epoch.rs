//! BeginQuorumEpoch, key 53: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    BeginQuorumEpochRequest [0-1] flexible [1+] {
        cluster_id: Option<Str> [0+] null[0+];
        voter_id: i32 [1+] = -1, ignorable;
        topics: Vec<BeginQuorumEpochRequestTopicData> [0+];
        leader_endpoints: Vec<LeaderEndpoint> [1+], ignorable;
    }

    LeaderEndpoint {
        name: Str [1+];
        host: Str [1+];
        port: u16 [1+];
    }

    BeginQuorumEpochRequestTopicData {
        topic_name: Str [0+];
        partitions: Vec<BeginQuorumEpochRequestPartitionData> [0+];
    }

    BeginQuorumEpochRequestPartitionData {
        partition_index: i32 [0+];
        voter_directory_id: Uuid [1+], ignorable;
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
    }

    BeginQuorumEpochResponse [0-1] flexible [1+] {
        error_code: ErrorCode [0+];
        topics: Vec<BeginQuorumEpochResponseTopicData> [0+];
        node_endpoints: Vec<NodeEndpoint> [1+] tag 0 [1+];
    }

    NodeEndpoint {
        node_id: i32 [1+];
        host: Str [1+];
        port: u16 [1+];
    }

    BeginQuorumEpochResponseTopicData {
        topic_name: Str [0+];
        partitions: Vec<BeginQuorumEpochResponsePartitionData> [0+];
    }

    BeginQuorumEpochResponsePartitionData {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
    }
}
