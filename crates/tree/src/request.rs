//! Owns what can be asked of the tree (`Request`, `Op`) and by whom, when and under which settings (`Context`).

use std::sync::Arc;

use bytes::Bytes;

use crate::acl::{AclList, AuthId};
use crate::ids::{SessionId, Zxid};
use crate::owner::CreateMode;
use crate::txn::{PasswordDigest, Txn};

/// An expected version that matches any.
pub const ANY_VERSION: i32 = -1;

/// Settings of the server that `prepare` depends on. Every voter must have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `zookeeper.extendedTypesEnabled`: whether TTL nodes may be created.
    pub extended_types: bool,
    /// `zookeeper.skipACL=yes`: whether ACLs are ignored.
    pub skip_acl: bool,
    /// `zookeeper.enforceQuota`: whether hard quotas refuse writes. Usage is kept in any case.
    pub enforce_quota: bool,
    /// Whether the schemes `sasl` and `x509` have a provider, so that ACLs may name them.
    pub sasl: bool,
    /// See `sasl`.
    pub x509: bool,
}

/// Who asks, when, and where the transaction would go in the log.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The asking session, which must be open; none for the server itself and for producers to `__znodes`.
    pub session: Option<SessionId>,
    /// The asker's identities, e.g. `ip:10.0.0.1` and `digest:user:hash`. `super` may do everything.
    pub auth: &'a [AuthId],
    /// The transaction's time, milliseconds since 1970.
    pub time_ms: i64,
    /// The transaction's id: the next free offset of the log.
    pub zxid: Zxid,
    /// The server's settings.
    pub options: &'a Options,
}

/// A request that changes the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// One operation.
    Op(Op),
    /// Several operations with one zxid; all or none.
    Multi(Vec<Op>),
    /// A new session.
    OpenSession {
        /// Its id, not in use.
        id: SessionId,
        /// Its negotiated timeout in milliseconds.
        timeout_ms: i32,
        /// SHA-256 of its password.
        password_sha256: PasswordDigest,
    },
    /// The end of a session and of its ephemeral nodes.
    CloseSession {
        /// Its id.
        id: SessionId,
    },
    /// The server's removal of a container or TTL node whose time has come. It is judged anew, against what is in flight.
    Reap {
        /// Its path.
        path: Arc<str>,
    },
}

/// A node to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its path, without the sequential suffix.
    pub path: Arc<str>,
    /// Its data; none is null, which is not empty.
    pub data: Option<Bytes>,
    /// Its ACL as the client gave it, `auth` not yet expanded.
    pub acl: AclList,
    /// How to create it.
    pub mode: CreateMode,
    /// The TTL in milliseconds exactly if the request has one (`createTTL`), whatever its value.
    pub ttl_ms: Option<i64>,
}

/// One operation on one znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Creates a node.
    Create(Create),
    /// Deletes a childless node.
    Delete {
        /// Its path.
        path: Arc<str>,
        /// The expected data version, or [`ANY_VERSION`].
        version: i32,
    },
    /// Deletes a childless container or TTL node at a client's wish. Unlike Apache's it needs DELETE on the parent and
    /// leaves other nodes alone.
    DeleteContainer {
        /// Its path.
        path: Arc<str>,
    },
    /// Replaces a node's data.
    SetData {
        /// Its path.
        path: Arc<str>,
        /// The new data.
        data: Option<Bytes>,
        /// The expected data version, or [`ANY_VERSION`].
        version: i32,
    },
    /// Replaces a node's ACL.
    SetAcl {
        /// Its path.
        path: Arc<str>,
        /// The new ACL as the client gave it.
        acl: AclList,
        /// The expected ACL version, or [`ANY_VERSION`].
        version: i32,
    },
    /// Fails unless the node has this data version. In a multi only: alone it is not implemented, as in ZooKeeper.
    Check {
        /// Its path.
        path: Arc<str>,
        /// The expected data version, or [`ANY_VERSION`] for mere existence.
        version: i32,
    },
    /// What a producer's record with a value means: sets the node's data, or creates it as persistent and open to all.
    /// The parent must exist.
    Put {
        /// Its path.
        path: Arc<str>,
        /// The new data.
        data: Option<Bytes>,
    },
    /// What a producer's tombstone means: deletes the childless node in whichever version.
    Remove {
        /// Its path.
        path: Arc<str>,
    },
}

/// A request that was accepted: its effects are in `Pending`, its transaction is to be logged (unless it is empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction.
    pub txn: Txn,
    /// One per op of the request, in order (one for a request that is no multi; none for sessions).
    pub plan: Vec<Planned>,
}

/// What became of an op: which change of the transaction (an index into `txn.changes`, and so into
/// [`crate::Applied::results`]) answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planned {
    /// `Create`, or `Put` on a missing node: the change's path and resulting stat are the answer.
    Create(usize),
    /// `SetData`, or `Put` on an existing node.
    SetData(usize),
    /// `SetAcl`.
    SetAcl(usize),
    /// `Delete`, `DeleteContainer`, `Remove`, `Reap`.
    Delete(usize),
    /// `Check`.
    Check,
}
