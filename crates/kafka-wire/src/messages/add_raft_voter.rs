//! AddRaftVoter, key 80: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    AddRaftVoterRequest [0-1] flexible [0+] {
        cluster_id: Option<Str> [0+] null[0+];
        timeout_ms: i32 [0+];
        voter_id: i32 [0+];
        voter_directory_id: Uuid [0+];
        listeners: Vec<Listener> [0+];
        ack_when_committed: bool [1+] = true;
    }

    Listener {
        name: Str [0+];
        host: Str [0+];
        port: u16 [0+];
    }

    AddRaftVoterResponse [0-1] flexible [0+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+], ignorable;
    }
}
