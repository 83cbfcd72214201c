//! What the statistics call an operation, and which operations go through the log.
//!
//! Invariant: names are ZooKeeper's own, because dashboards are built on them.
use jute::OpCode;

/// The name that `cons` shows as `lop`.
pub(crate) fn short_name(op: OpCode) -> &'static str {
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetData => "SETD",
        OpCode::GetAcl => "GETA",
        OpCode::SetAcl => "SETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::Sync => "SYNC",
        OpCode::Ping => "PING",
        OpCode::Check => "CHEC",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Reconfig => "RECO",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::AddWatch => "ADDW",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::GetEphemerals => "GETE",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::WhoAmI => "HOMI",
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
        OpCode::Auth | OpCode::Sasl | OpCode::Notification | OpCode::Error => "NA",
    }
}

/// The name in the keys `zk_op_count_<name>` of `mntr`; several operations share one.
pub(crate) fn metric_name(op: OpCode) -> Option<&'static str> {
    Some(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "create",
        OpCode::Delete | OpCode::DeleteContainer => "delete",
        OpCode::Exists => "exists",
        OpCode::GetData => "get_data",
        OpCode::SetData => "set_data",
        OpCode::GetAcl => "get_acl",
        OpCode::SetAcl => "set_acl",
        OpCode::GetChildren | OpCode::GetChildren2 => "get_children",
        OpCode::Sync => "sync",
        OpCode::Ping => "ping",
        OpCode::Check => "check",
        OpCode::Multi => "multi",
        OpCode::MultiRead => "multi_read",
        OpCode::Reconfig => "reconfig",
        OpCode::CheckWatches => "check_watches",
        OpCode::RemoveWatches => "remove_watches",
        OpCode::AddWatch => "add_watch",
        OpCode::SetWatches | OpCode::SetWatches2 => "set_watches",
        OpCode::GetEphemerals => "get_ephemerals",
        OpCode::GetAllChildrenNumber => "get_all_children_number",
        OpCode::WhoAmI => "who_am_i",
        OpCode::CreateSession => "create_session",
        OpCode::CloseSession => "close_session",
        OpCode::Auth | OpCode::Sasl | OpCode::Notification | OpCode::Error => return None,
    })
}

/// Whether it goes through the log.
pub(crate) fn is_write(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::CreateSession
            | OpCode::CloseSession
    )
}
