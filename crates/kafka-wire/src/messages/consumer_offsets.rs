//! Keys and values of the topic `__consumer_offsets`, all in the version-prefixed form. A key's version says
//! what it is: 0 and 1 an offset, 2 a group.

use crate::table::messages;
use crate::{Bytes, Str, Uuid};

messages! {
    OffsetCommitKey [0-1] flexible [none] {
        group: Str [0-1];
        topic: Str [0-1];
        partition: i32 [0-1];
    }

    OffsetCommitValue [0-4] flexible [4+] {
        offset: i64 [0+];
        leader_epoch: i32 [3+] = -1, ignorable;
        metadata: Str [0+];
        commit_timestamp: i64 [0+];
        expire_timestamp: i64 [1] = -1, ignorable;
        topic_id: Uuid [4+] tag 0 [4+], ignorable;
    }

    GroupMetadataKey [2] flexible [none] {
        group: Str [2];
    }

    GroupMetadataValue [0-4] flexible [4+] {
        protocol_type: Str [0+];
        generation: i32 [0+];
        protocol: Option<Str> [0+] null[0+];
        leader: Option<Str> [0+] null[0+];
        current_state_timestamp: i64 [2+] = -1, ignorable;
        members: Vec<MemberMetadata> [0+];
    }

    MemberMetadata {
        member_id: Str [0+];
        group_instance_id: Option<Str> [3+] null[3+], ignorable;
        client_id: Str [0+];
        client_host: Str [0+];
        rebalance_timeout: i32 [1+] = -1, ignorable;
        session_timeout: i32 [0+];
        subscription: Bytes [0+];
        assignment: Bytes [0+];
    }
}
