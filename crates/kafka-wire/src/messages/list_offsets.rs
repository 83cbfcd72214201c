//! ListOffsets, key 2: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    ListOffsetsRequest [1-11] flexible [6+] {
        replica_id: i32 [0+];
        isolation_level: i8 [2+];
        topics: Vec<ListOffsetsTopic> [0+];
        timeout_ms: i32 [10+], ignorable;
    }

    ListOffsetsTopic {
        name: Str [0+];
        partitions: Vec<ListOffsetsPartition> [0+];
    }

    ListOffsetsPartition {
        partition_index: i32 [0+];
        current_leader_epoch: i32 [4+] = -1, ignorable;
        timestamp: i64 [0+];
    }

    ListOffsetsResponse [1-11] flexible [6+] {
        throttle_time_ms: i32 [2+], ignorable;
        topics: Vec<ListOffsetsTopicResponse> [0+];
    }

    ListOffsetsTopicResponse {
        name: Str [0+];
        partitions: Vec<ListOffsetsPartitionResponse> [0+];
    }

    ListOffsetsPartitionResponse {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
        timestamp: i64 [1+] = -1;
        offset: i64 [1+] = -1;
        leader_epoch: i32 [4+] = -1;
    }
}
