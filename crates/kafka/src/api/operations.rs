//! The operations that a client may do, as responses show them on request: a bit for each operation (KIP-430). Without an authorizer
//! that is everything that the kind of resource knows.
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const CREATE: i32 = 1 << 5;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const CLUSTER_ACTION: i32 = 1 << 9;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
const IDEMPOTENT_WRITE: i32 = 1 << 12;

/// What responses carry where the client did not ask.
const NOT_ASKED: i32 = i32::MIN;

/// Operations on a topic, if the client asked.
pub(super) fn on_topic(asked: bool) -> i32 {
    let all = READ | WRITE | CREATE | DESCRIBE | DELETE | ALTER | DESCRIBE_CONFIGS | ALTER_CONFIGS;
    if asked { all } else { NOT_ASKED }
}

/// Operations on a group, if the client asked.
pub(super) fn on_group(asked: bool) -> i32 {
    let all = READ | DESCRIBE | DELETE | DESCRIBE_CONFIGS | ALTER_CONFIGS;
    if asked { all } else { NOT_ASKED }
}

/// Operations on the cluster, if the client asked.
pub(super) fn on_cluster(asked: bool) -> i32 {
    let all =
        CREATE | CLUSTER_ACTION | DESCRIBE_CONFIGS | ALTER_CONFIGS | IDEMPOTENT_WRITE | ALTER | DESCRIBE;
    if asked { all } else { NOT_ASKED }
}
