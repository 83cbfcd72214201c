//! What classic consumers exchange inside JoinGroup metadata and SyncGroup assignments, in the version-prefixed form.

use crate::table::messages;
use crate::{Bytes, Str};

messages! {
    ConsumerProtocolSubscription [0-3] flexible [none] {
        topics: Vec<Str> [0+];
        user_data: Option<Bytes> [0+] null[0+];
        owned_partitions: Vec<ConsumerProtocolSubscriptionTopicPartition> [1+], ignorable;
        generation_id: i32 [2+] = -1, ignorable;
        rack_id: Option<Str> [3+] null[3+], ignorable;
    }

    ConsumerProtocolSubscriptionTopicPartition {
        topic: Str [1+];
        partitions: Vec<i32> [1+];
    }

    ConsumerProtocolAssignment [0-3] flexible [none] {
        assigned_partitions: Vec<ConsumerProtocolAssignmentTopicPartition> [0+];
        user_data: Option<Bytes> [0+] null[0+];
    }

    ConsumerProtocolAssignmentTopicPartition {
        topic: Str [0+];
        partitions: Vec<i32> [0+];
    }
}
