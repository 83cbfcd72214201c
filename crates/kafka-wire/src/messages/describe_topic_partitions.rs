//! DescribeTopicPartitions, key 75: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    DescribeTopicPartitionsRequest [0] flexible [0+] {
        topics: Vec<TopicRequest> [0+];
        response_partition_limit: i32 [0+] = 2000;
        cursor: Option<DescribeTopicPartitionsRequestCursor> [0+] null[0+];
    }

    DescribeTopicPartitionsRequestCursor {
        topic_name: Str [0+];
        partition_index: i32 [0+];
    }

    TopicRequest {
        name: Str [0+];
    }

    DescribeTopicPartitionsResponse [0] flexible [0+] {
        throttle_time_ms: i32 [0+], ignorable;
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0+];
        next_cursor: Option<DescribeTopicPartitionsResponseCursor> [0+] null[0+];
    }

    DescribeTopicPartitionsResponseCursor {
        topic_name: Str [0+];
        partition_index: i32 [0+];
    }

    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode [0+];
        name: Option<Str> [0+] null[0+];
        topic_id: Uuid [0+], ignorable;
        is_internal: bool [0+], ignorable;
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0+];
        topic_authorized_operations: i32 [0+] = i32::MIN;
    }

    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode [0+];
        partition_index: i32 [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [0+] = -1, ignorable;
        replica_nodes: Vec<i32> [0+];
        isr_nodes: Vec<i32> [0+];
        eligible_leader_replicas: Option<Vec<i32>> [0+] null[0+];
        last_known_elr: Option<Vec<i32>> [0+] null[0+];
        offline_replicas: Vec<i32> [0+], ignorable;
    }
}
