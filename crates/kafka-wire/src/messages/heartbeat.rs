//! Heartbeat, key 12: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    HeartbeatRequest [0-4] flexible [4+] {
        group_id: Str [0+];
        generation_id: i32 [0+];
        member_id: Str [0+];
        group_instance_id: Option<Str> [3+] null[3+];
    }

    HeartbeatResponse [0-4] flexible [4+] {
        throttle_time_ms: i32 [1+], ignorable;
        error_code: ErrorCode [0+];
    }
}
