//! Keys and values of control batches.
//!
//! The key, and the transaction marker, have the version-prefixed form. The other values stand alone: their first field
//! repeats their version.

use crate::table::messages;
use crate::{Str, Uuid};

messages! {
    ControlRecordTypeSchema [0] flexible [none] {
        r#type: i16 [0+];
    }

    EndTxnMarker [0] flexible [none] {
        coordinator_epoch: i32 [0+];
    }

    LeaderChangeMessage [0-1] flexible [0+] {
        version: i16 [0+];
        leader_id: i32 [0+];
        voters: Vec<LeaderChangeMessageVoter> [0+];
        granting_voters: Vec<LeaderChangeMessageVoter> [0+];
    }

    LeaderChangeMessageVoter {
        voter_id: i32 [0+];
        voter_directory_id: Uuid [1+];
    }

    SnapshotHeaderRecord [0] flexible [0+] {
        version: i16 [0+];
        last_contained_log_timestamp: i64 [0+];
    }

    SnapshotFooterRecord [0] flexible [0+] {
        version: i16 [0+];
    }

    KRaftVersionRecord [0] flexible [0+] {
        version: i16 [0+];
        kraft_version: i16 [0+];
    }

    VotersRecord [0] flexible [0+] {
        version: i16 [0+];
        voters: Vec<VotersRecordVoter> [0+];
    }

    VotersRecordVoter {
        voter_id: i32 [0+];
        voter_directory_id: Uuid [0+];
        endpoints: Vec<Endpoint> [0+];
        kraft_version_feature: KRaftVersionFeature [0+];
    }

    KRaftVersionFeature {
        min_supported_version: i16 [0+];
        max_supported_version: i16 [0+];
    }

    Endpoint {
        name: Str [0+];
        host: Str [0+];
        port: u16 [0+];
    }
}

/// The values of the key's only field.
impl ControlRecordTypeSchema {
    pub const ABORT: i16 = 0;
    pub const COMMIT: i16 = 1;
    pub const LEADER_CHANGE: i16 = 2;
    pub const SNAPSHOT_HEADER: i16 = 3;
    pub const SNAPSHOT_FOOTER: i16 = 4;
    pub const KRAFT_VERSION: i16 = 5;
    pub const KRAFT_VOTERS: i16 = 6;
}
