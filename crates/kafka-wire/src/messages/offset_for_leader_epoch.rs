//! OffsetForLeaderEpoch, key 23: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    OffsetForLeaderEpochRequest [2-4] flexible [4+] {
        replica_id: i32 [3+] = -2, ignorable;
        topics: Vec<OffsetForLeaderTopic> [0+];
    }

    OffsetForLeaderTopic {
        topic: Str [0+];
        partitions: Vec<OffsetForLeaderPartition> [0+];
    }

    OffsetForLeaderPartition {
        partition: i32 [0+];
        current_leader_epoch: i32 [2+] = -1, ignorable;
        leader_epoch: i32 [0+];
    }

    OffsetForLeaderEpochResponse [2-4] flexible [4+] {
        throttle_time_ms: i32 [2+], ignorable;
        topics: Vec<OffsetForLeaderTopicResult> [0+];
    }

    OffsetForLeaderTopicResult {
        topic: Str [0+];
        partitions: Vec<EpochEndOffset> [0+];
    }

    EpochEndOffset {
        error_code: ErrorCode [0+];
        partition: i32 [0+];
        leader_epoch: i32 [1+] = -1, ignorable;
        end_offset: i64 [0+] = -1;
    }
}
