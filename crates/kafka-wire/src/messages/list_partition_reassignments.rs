//! ListPartitionReassignments, key 46: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    ListPartitionReassignmentsRequest [0] flexible [0+] {
        timeout_ms: i32 [0+] = 60000;
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0+] null[0+];
    }

    ListPartitionReassignmentsTopics {
        name: Str [0+];
        partition_indexes: Vec<i32> [0+];
    }

    ListPartitionReassignmentsResponse [0] flexible [0+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
        topics: Vec<OngoingTopicReassignment> [0+];
    }

    OngoingTopicReassignment {
        name: Str [0+];
        partitions: Vec<OngoingPartitionReassignment> [0+];
    }

    OngoingPartitionReassignment {
        partition_index: i32 [0+];
        replicas: Vec<i32> [0+];
        adding_replicas: Vec<i32> [0+];
        removing_replicas: Vec<i32> [0+];
    }
}
