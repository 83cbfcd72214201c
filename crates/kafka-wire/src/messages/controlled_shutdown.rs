//! ControlledShutdown, key 7: the tables of its request and its response. Kafka's brokers spoke it while their metadata was in
//! ZooKeeper; the last release that did is 3.9. Its version 0 has a header without a client id and is left out.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    ControlledShutdownRequest [1-3] flexible [3+] {
        broker_id: i32 [0+];
        broker_epoch: i64 [2+] = -1, ignorable;
    }

    ControlledShutdownResponse [1-3] flexible [3+] {
        error_code: ErrorCode [0+];
        remaining_partitions: Vec<RemainingPartition> [0+];
    }

    RemainingPartition {
        topic_name: Str [0+];
        partition_index: i32 [0+];
    }
}
