//! SyncGroup, key 14: the tables of its request and its response.

use crate::table::messages;
use crate::{Bytes, ErrorCode, Str};

messages! {
    SyncGroupRequest [0-5] flexible [4+] {
        group_id: Str [0+];
        generation_id: i32 [0+];
        member_id: Str [0+];
        group_instance_id: Option<Str> [3+] null[3+];
        protocol_type: Option<Str> [5+] null[5+], ignorable;
        protocol_name: Option<Str> [5+] null[5+], ignorable;
        assignments: Vec<SyncGroupRequestAssignment> [0+];
    }

    SyncGroupRequestAssignment {
        member_id: Str [0+];
        assignment: Bytes [0+];
    }

    SyncGroupResponse [0-5] flexible [4+] {
        throttle_time_ms: i32 [1+], ignorable;
        error_code: ErrorCode [0+];
        protocol_type: Option<Str> [5+] null[5+], ignorable;
        protocol_name: Option<Str> [5+] null[5+], ignorable;
        assignment: Bytes [0+];
    }
}
