//! ListGroups, key 16: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    ListGroupsRequest [0-5] flexible [3+] {
        states_filter: Vec<Str> [4+];
        types_filter: Vec<Str> [5+];
    }

    ListGroupsResponse [0-5] flexible [3+] {
        throttle_time_ms: i32 [1+], ignorable;
        error_code: ErrorCode [0+];
        groups: Vec<ListedGroup> [0+];
    }

    ListedGroup {
        group_id: Str [0+];
        protocol_type: Str [0+];
        group_state: Str [4+], ignorable;
        group_type: Str [5+], ignorable;
    }
}
