//! UpdateRaftVoter, key 82: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    UpdateRaftVoterRequest [0] flexible [0+] {
        cluster_id: Option<Str> [0+] null[0+];
        current_leader_epoch: i32 [0+];
        voter_id: i32 [0+];
        voter_directory_id: Uuid [0+];
        listeners: Vec<Listener> [0+];
        kraft_version_feature: KRaftVersionFeature [0+];
    }

    KRaftVersionFeature {
        min_supported_version: i16 [0+];
        max_supported_version: i16 [0+];
    }

    Listener {
        name: Str [0+];
        host: Str [0+];
        port: u16 [0+];
    }

    UpdateRaftVoterResponse [0] flexible [0+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [0+];
        current_leader: CurrentLeader [0+] tag 0 [0+];
    }

    CurrentLeader {
        leader_id: i32 [0+] = -1;
        leader_epoch: i32 [0+] = -1;
        host: Str [0+];
        port: i32 [0+];
    }
}
