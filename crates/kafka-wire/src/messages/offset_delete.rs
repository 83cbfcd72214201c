//! OffsetDelete, key 47: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    OffsetDeleteRequest [0] flexible [none] {
        group_id: Str [0+];
        topics: Vec<OffsetDeleteRequestTopic> [0+];
    }

    OffsetDeleteRequestTopic {
        name: Str [0+];
        partitions: Vec<OffsetDeleteRequestPartition> [0+];
    }

    OffsetDeleteRequestPartition {
        partition_index: i32 [0+];
    }

    OffsetDeleteResponse [0] flexible [none] {
        error_code: ErrorCode [0+];
        throttle_time_ms: i32 [0+], ignorable;
        topics: Vec<OffsetDeleteResponseTopic> [0+];
    }

    OffsetDeleteResponseTopic {
        name: Str [0+];
        partitions: Vec<OffsetDeleteResponsePartition> [0+];
    }

    OffsetDeleteResponsePartition {
        partition_index: i32 [0+];
        error_code: ErrorCode [0+];
    }
}
