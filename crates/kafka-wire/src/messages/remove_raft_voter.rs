//! RemoveRaftVoter, key 81: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    RemoveRaftVoterRequest [0] flexible [0+] {
        cluster_id: Option<Str> [0+] null[0+];
        voter_id: i32 [0+];
        voter_directory_id: Uuid [0+];
    }

    RemoveRaftVoterResponse [0] flexible [0+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+], ignorable;
    }
}
