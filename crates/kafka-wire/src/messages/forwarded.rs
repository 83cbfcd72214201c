//! What nodes of an ensemble put into an Envelope (key 58) for the quorum's leader, and what comes back: schemas of our own in
//! Kafka's encoding. One envelope carries everything that waited on a node, in the order of submission.

use crate::table::messages;
use crate::{Bytes, ErrorCode, Str};

messages! {
    ForwardedAsks [0] flexible [0+] {
        cluster_id: Option<Str> [0+] null[0+];
        node_id: i32 [0+];
        incarnation: i64 [0+];
        leader_epoch: i32 [0+];
        heard_of: Vec<i64> [0+];
        first_seq: i64 [0+];
        asks: Vec<ForwardedAsk> [0+];
    }

    ForwardedAsk {
        kind: i8 [0+];
        session: i64 [0+];
        auth: Vec<ForwardedId> [0+];
        ops: Vec<ForwardedOp> [0+];
        timeout_ms: i32 [0+];
        password_digest: Bytes [0+];
    }

    ForwardedId {
        scheme: Str [0+];
        id: Str [0+];
    }

    ForwardedOp {
        kind: i8 [0+];
        path: Str [0+];
        data: Option<Bytes> [0+] null[0+];
        version: i32 [0+];
        mode: i32 [0+];
        has_ttl: bool [0+];
        ttl_ms: i64 [0+];
        acl: Vec<ForwardedAcl> [0+];
    }

    ForwardedAcl {
        perms: i32 [0+];
        scheme: Str [0+];
        id: Str [0+];
    }

    ForwardedVerdicts [0] flexible [0+] {
        error_code: ErrorCode [0+];
        verdicts: Vec<ForwardedVerdict> [0+];
    }

    ForwardedVerdict {
        kind: i8 [0+];
        position: i64 [0+];
        error: i32 [0+];
        index: i32 [0+];
        plan: Vec<ForwardedPlan> [0+];
    }

    ForwardedPlan {
        kind: i8 [0+];
        change: i32 [0+];
    }
}
