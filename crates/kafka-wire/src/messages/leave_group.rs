//! LeaveGroup, key 13: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    LeaveGroupRequest [0-5] flexible [4+] {
        group_id: Str [0+];
        member_id: Str [0-2];
        members: Vec<MemberIdentity> [3+];
    }

    MemberIdentity {
        member_id: Str [3+];
        group_instance_id: Option<Str> [3+] null[3+];
        reason: Option<Str> [5+] null[5+], ignorable;
    }

    LeaveGroupResponse [0-5] flexible [4+] {
        throttle_time_ms: i32 [1+], ignorable;
        error_code: ErrorCode [0+];
        members: Vec<MemberResponse> [3+];
    }

    MemberResponse {
        member_id: Str [3+];
        group_instance_id: Option<Str> [3+] null[3+];
        error_code: ErrorCode [3+];
    }
}
