//! DescribeQuorum, key 55: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    DescribeQuorumRequest [0-2] flexible [0+] {
        topics: Vec<DescribeQuorumRequestTopicData> [0+];
    }

    DescribeQuorumRequestTopicData {
        topic_name: Str [0+];
        partitions: Vec<DescribeQuorumRequestPartitionData> [0+];
    }

    DescribeQuorumRequestPartitionData {
        partition_index: i32 [0+];
    }

    DescribeQuorumResponse [0-2] flexible [0+] {
        error_code: ErrorCode [0+];
        error_message: Option<Str> [2+] null[2+], ignorable;
        topics: Vec<DescribeQuorumResponseTopicData> [0+];
        nodes: Vec<Node> [2+];
    }

    Node {
        node_id: i32 [2+];
        listeners: Vec<Listener> [2+];
    }

    Listener {
        name: Str [2+];
        host: Str [2+];
        port: u16 [2+];
    }

    DescribeQuorumResponseTopicData {
        topic_name: Str [0+];
        partitions: Vec<DescribeQuorumResponsePartitionData> [0+];
    }

    DescribeQuorumResponsePartitionData {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [2+] null[2+], ignorable;
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
        high_watermark: i64 [0+];
        current_voters: Vec<ReplicaState> [0+];
        observers: Vec<ReplicaState> [0+];
    }

    ReplicaState {
        replica_id: i32 [0+];
        replica_directory_id: Uuid [2+];
        log_end_offset: i64 [0+];
        last_fetch_timestamp: i64 [1+] = -1, ignorable;
        last_caught_up_timestamp: i64 [1+] = -1, ignorable;
    }
}
