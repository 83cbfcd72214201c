//! ElectLeaders, key 43: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    ElectLeadersRequest [0-2] flexible [2+] {
        election_type: i8 [1+];
        topic_partitions: Option<Vec<TopicPartitions>> [0+] null[0+];
        timeout_ms: i32 [0+] = 60000;
    }

    TopicPartitions {
        topic: Str [0+];
        partitions: Vec<i32> [0+];
    }

    ElectLeadersResponse [0-2] flexible [2+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [1+];
        replica_election_results: Vec<ReplicaElectionResult> [0+];
    }

    ReplicaElectionResult {
        topic: Str [0+];
        partition_result: Vec<PartitionResult> [0+];
    }

    PartitionResult {
        partition_id: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
    }
}
