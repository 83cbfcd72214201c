//! Owns the reasons why the tree refuses a request, with ZooKeeper's codes, and the ways a log or a snapshot can fail
//! to fit a tree.

use std::sync::Arc;

use crate::ids::{SessionId, Zxid};

/// Why a request is refused. The numbers are `KeeperException.Code`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// -2: an op of a multi after the one that failed.
    #[error("not tried: an earlier operation of the same multi failed")]
    RuntimeInconsistency,
    /// -5: the request could not be read.
    #[error("the request is malformed")]
    MarshallingError,
    /// -6: the operation is unknown or switched off.
    #[error("the operation is not supported (TTL nodes need zookeeper.extendedTypesEnabled=true)")]
    Unimplemented,
    /// -8: a bad path, a bad flag or a bad TTL, or a node that the server owns.
    #[error("bad arguments: an invalid path, flag or TTL, or a node that only the server may remove")]
    BadArguments,
    /// -101: the node, or the parent of a node to create, is missing.
    #[error("no such znode (or the parent is missing)")]
    NoNode,
    /// -102: the ACL doesn't let these identities do it.
    #[error("not permitted by the znode's ACL")]
    NoAuth,
    /// -103: the expected version is not the current one.
    #[error("the expected version is not the current one")]
    BadVersion,
    /// -108: an ephemeral node can't have children.
    #[error("an ephemeral znode cannot have children")]
    NoChildrenForEphemerals,
    /// -110: there is such a node already.
    #[error("the znode exists already")]
    NodeExists,
    /// -111: the node to delete has children.
    #[error("the znode has children")]
    NotEmpty,
    /// -112: the session is closed or was never open.
    #[error("the session has expired")]
    SessionExpired,
    /// -114: an empty ACL, or an entry whose scheme or id is not valid.
    #[error("the ACL is empty or has an invalid entry")]
    InvalidAcl,
    /// -118: the session is attached to another server.
    #[error("the session has moved to another server")]
    SessionMoved,
    /// -125: a hard quota would be exceeded.
    #[error("a hard quota would be exceeded")]
    QuotaExceeded,
}

impl TreeError {
    /// All of them.
    const ALL: [TreeError; 14] = [
        TreeError::RuntimeInconsistency,
        TreeError::MarshallingError,
        TreeError::Unimplemented,
        TreeError::BadArguments,
        TreeError::NoNode,
        TreeError::NoAuth,
        TreeError::BadVersion,
        TreeError::NoChildrenForEphemerals,
        TreeError::NodeExists,
        TreeError::NotEmpty,
        TreeError::SessionExpired,
        TreeError::InvalidAcl,
        TreeError::SessionMoved,
        TreeError::QuotaExceeded,
    ];

    /// The error with this code on ZooKeeper's wire, if the tree has it.
    pub fn from_code(code: i32) -> Option<TreeError> {
        TreeError::ALL.into_iter().find(|error| error.code() == code)
    }

    /// The code on ZooKeeper's wire.
    pub fn code(self) -> i32 {
        match self {
            TreeError::RuntimeInconsistency => -2,
            TreeError::MarshallingError => -5,
            TreeError::Unimplemented => -6,
            TreeError::BadArguments => -8,
            TreeError::NoNode => -101,
            TreeError::NoAuth => -102,
            TreeError::BadVersion => -103,
            TreeError::NoChildrenForEphemerals => -108,
            TreeError::NodeExists => -110,
            TreeError::NotEmpty => -111,
            TreeError::SessionExpired => -112,
            TreeError::InvalidAcl => -114,
            TreeError::SessionMoved => -118,
            TreeError::QuotaExceeded => -125,
        }
    }
}

/// A refused request: nothing of it is in [`crate::Pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {index}: {error}")]
pub struct Refused {
    /// Why.
    pub error: TreeError,
    /// Which op of a multi failed, from 0; always 0 for the other requests.
    pub index: usize,
}

/// A logged transaction doesn't fit the tree: the log and the tree are not of the same history. The tree may hold a
/// part of the transaction; the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "transaction {zxid}, change {index} does not fit the tree: {reason}; the log or the snapshot is damaged"
)]
pub struct Misfit {
    /// The transaction.
    pub zxid: Zxid,
    /// The change in it, from 0.
    pub index: usize,
    /// What is wrong.
    pub reason: MisfitReason,
}

/// What is wrong with a transaction that doesn't fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisfitReason {
    /// The transaction's id is not above the last applied one.
    #[error("the last applied transaction is {0}")]
    OutOfOrder(Zxid),
    /// The node to change, or the parent of the node to create, is missing.
    #[error("{0} is missing")]
    Missing(Arc<str>),
    /// The node to create exists.
    #[error("{0} exists already")]
    Exists(Arc<str>),
    /// The node to delete has children, or is the root.
    #[error("{0} cannot be deleted")]
    NotDeletable(Arc<str>),
    /// The session to close, or the owner of an ephemeral node, is not open.
    #[error("session {0} is not open")]
    NoSession(SessionId),
    /// The session to open is open, or the session to close still owns nodes.
    #[error("session {0} is open, or still owns znodes")]
    SessionInUse(SessionId),
}

/// The images added to a [`crate::TreeBuilder`] are no whole tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A path is not absolute or has empty segments.
    #[error("snapshot: {0:?} is not a path")]
    BadPath(Arc<str>),
    /// The same node came twice.
    #[error("snapshot: znode {0} occurs twice")]
    DuplicateNode(Arc<str>),
    /// The same session came twice.
    #[error("snapshot: session {0} occurs twice")]
    DuplicateSession(SessionId),
    /// A node never came, but one of its descendants (or, for the root, nothing) did.
    #[error("snapshot: znode {0} is missing")]
    MissingNode(Arc<str>),
    /// An ephemeral node's session never came.
    #[error("snapshot: session {1} of ephemeral znode {0} is missing")]
    MissingSession(Arc<str>, SessionId),
}
