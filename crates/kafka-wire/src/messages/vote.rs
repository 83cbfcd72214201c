//! Vote, key 52: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    VoteRequest [0-2] flexible [0+] {
        cluster_id: Option<Str> [0+] null[0+];
        voter_id: i32 [1+] = -1, ignorable;
        topics: Vec<VoteRequestTopicData> [0+];
    }

    VoteRequestTopicData {
        topic_name: Str [0+];
        partitions: Vec<VoteRequestPartitionData> [0+];
    }

    VoteRequestPartitionData {
        partition_index: i32 [0+];
        replica_epoch: i32 [0+];
        replica_id: i32 [0+];
        replica_directory_id: Uuid [1+], ignorable;
        voter_directory_id: Uuid [1+], ignorable;
        last_offset_epoch: i32 [0+];
        last_offset: i64 [0+];
        pre_vote: bool [2+];
    }

    VoteResponse [0-2] flexible [0+] {
        error_code: ErrorCode [0+];
        topics: Vec<VoteResponseTopicData> [0+];
        node_endpoints: Vec<NodeEndpoint> [1+] tag 0 [1+];
    }

    NodeEndpoint {
        node_id: i32 [1+];
        host: Str [1+];
        port: u16 [1+];
    }

    VoteResponseTopicData {
        topic_name: Str [0+];
        partitions: Vec<VoteResponsePartitionData> [0+];
    }

    VoteResponsePartitionData {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
        vote_granted: bool [0+];
    }
}
