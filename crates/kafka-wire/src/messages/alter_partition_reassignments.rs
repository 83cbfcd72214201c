//! AlterPartitionReassignments, key 45: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    AlterPartitionReassignmentsRequest [0-1] flexible [0+] {
        timeout_ms: i32 [0+] = 60000;
        allow_replication_factor_change: bool [1+] = true;
        topics: Vec<ReassignableTopic> [0+];
    }

    ReassignableTopic {
        name: Str [0+];
        partitions: Vec<ReassignablePartition> [0+];
    }

    ReassignablePartition {
        partition_index: i32 [0+];
        replicas: Option<Vec<i32>> [0+] null[0+];
    }

    AlterPartitionReassignmentsResponse [0-1] flexible [0+] {
        throttle_time_ms: i32 [0+];
        allow_replication_factor_change: bool [1+] = true, ignorable;
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
        responses: Vec<ReassignableTopicResponse> [0+];
    }

    ReassignableTopicResponse {
        name: Str [0+];
        partitions: Vec<ReassignablePartitionResponse> [0+];
    }

    ReassignablePartitionResponse {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
    }
}
