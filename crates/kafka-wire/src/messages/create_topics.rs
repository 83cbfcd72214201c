//! CreateTopics, key 19: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    CreateTopicsRequest [2-7] flexible [5+] {
        topics: Vec<CreatableTopic> [0+];
        timeout_ms: i32 [0+] = 60000;
        validate_only: bool [1+];
    }

    CreatableTopic {
        name: Str [0+];
        num_partitions: i32 [0+];
        replication_factor: i16 [0+];
        assignments: Vec<CreatableReplicaAssignment> [0+];
        configs: Vec<CreatableTopicConfig> [0+];
    }

    CreatableTopicConfig {
        name: Str [0+];
        value: Option<Str> [0+] null[0+];
    }

    CreatableReplicaAssignment {
        partition_index: i32 [0+];
        broker_ids: Vec<i32> [0+];
    }

    CreateTopicsResponse [2-7] flexible [5+] {
        throttle_time_ms: i32 [2+], ignorable;
        topics: Vec<CreatableTopicResult> [0+];
    }

    CreatableTopicResult {
        name: Str [0+];
        topic_id: Uuid [7+], ignorable;
        error_code: ErrorCode [0+];
        error_message: Option<Str> [1+] null[0+], ignorable;
        topic_config_error_code: ErrorCode [5+] tag 0 [5+], ignorable;
        num_partitions: i32 [5+] = -1, ignorable;
        replication_factor: i16 [5+] = -1, ignorable;
        configs: Option<Vec<CreatableTopicConfigs>> [5+] null[5+], ignorable;
    }

    CreatableTopicConfigs {
        name: Str [5+];
        value: Option<Str> [5+] null[5+];
        read_only: bool [5+];
        config_source: i8 [5+] = -1, ignorable;
        is_sensitive: bool [5+];
    }
}
