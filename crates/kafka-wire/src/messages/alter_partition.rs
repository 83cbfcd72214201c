//! AlterPartition, key 56: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Uuid};

messages! {
    AlterPartitionRequest [2-3] flexible [0+] {
        broker_id: i32 [0+];
        broker_epoch: i64 [0+] = -1;
        topics: Vec<AlterPartitionRequestTopicData> [0+];
    }

    AlterPartitionRequestTopicData {
        topic_id: Uuid [2+], ignorable;
        partitions: Vec<AlterPartitionRequestPartitionData> [0+];
    }

    AlterPartitionRequestPartitionData {
        partition_index: i32 [0+];
        leader_epoch: i32 [0+];
        new_isr: Vec<i32> [0-2];
        new_isr_with_epochs: Vec<BrokerState> [3+];
        leader_recovery_state: i8 [1+];
        partition_epoch: i32 [0+];
    }

    BrokerState {
        broker_id: i32 [3+];
        broker_epoch: i64 [3+] = -1;
    }

    AlterPartitionResponse [2-3] flexible [0+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [0+];
        topics: Vec<AlterPartitionResponseTopicData> [0+];
    }

    AlterPartitionResponseTopicData {
        topic_id: Uuid [2+], ignorable;
        partitions: Vec<AlterPartitionResponsePartitionData> [0+];
    }

    AlterPartitionResponsePartitionData {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
        isr: Vec<i32> [0+];
        leader_recovery_state: i8 [1+], ignorable;
        partition_epoch: i32 [0+];
    }
}
