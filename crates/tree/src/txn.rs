//! Owns the transaction: what `prepare` resolves, the log stores and `apply` executes.
//! Invariants: a change needs nothing but itself and the tree to be applied; the record of `changes[i]` has the offset
//! `zxid + i`; changes of parents' child counters are implied by their children's creation and deletion.

use std::sync::Arc;

use bytes::Bytes;

use crate::acl::AclList;
use crate::ids::{SessionId, Zxid};
use crate::owner::Owner;
use crate::stat::Stat;

/// SHA-256 of a session's password.
pub type PasswordDigest = [u8; 32];

/// A resolved transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// Its id: the offset of its first record.
    pub zxid: Zxid,
    /// Its time, milliseconds since 1970.
    pub time_ms: i64,
    /// The session that asked for it; none for the server's own.
    pub session: Option<SessionId>,
    /// What it changes, in order. Empty only for a multi of nothing but checks, which is not logged.
    pub changes: Vec<Change>,
}

impl Txn {
    /// The offset of its last record.
    pub fn last_offset(&self) -> i64 {
        self.zxid.0 + self.changes.len().max(1) as i64 - 1
    }
}

/// One changed znode or session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A znode comes to be.
    Create {
        /// Its final path.
        path: Arc<str>,
        /// Its data; none is null, which is not empty.
        data: Option<Bytes>,
        /// Its ACL, expanded.
        acl: AclList,
        /// What its life depends on.
        owner: Owner,
    },
    /// A znode's data changes.
    SetData {
        /// Its path.
        path: Arc<str>,
        /// The new data.
        data: Option<Bytes>,
        /// The new data version.
        version: i32,
    },
    /// A znode's ACL changes. Its data version and mzxid stay.
    SetAcl {
        /// Its path.
        path: Arc<str>,
        /// The new ACL, expanded.
        acl: AclList,
        /// The new ACL version.
        aversion: i32,
        /// The data that the node has, repeated so that the latest record of a path always holds its live value.
        data: Option<Bytes>,
        /// The mzxid that the node has and keeps.
        mzxid: Zxid,
    },
    /// A quota's `zookeeper_stats` node follows the subtree that it counts. No version, time or mzxid moves and no
    /// watch fires, as in ZooKeeper; but it is logged, so that the feed holds what a client reads.
    SetUsage {
        /// The path of the `zookeeper_stats` node.
        path: Arc<str>,
        /// Its new data.
        data: Bytes,
        /// The mzxid that the node has and keeps.
        mzxid: Zxid,
    },
    /// A znode is deleted.
    Delete {
        /// Its path.
        path: Arc<str>,
    },
    /// A session opens.
    OpenSession {
        /// Its id.
        id: SessionId,
        /// Its negotiated timeout in milliseconds.
        timeout_ms: i32,
        /// SHA-256 of its password.
        password_sha256: PasswordDigest,
    },
    /// A session closes. The deletions of its ephemeral nodes precede this change in the same transaction.
    CloseSession {
        /// Its id.
        id: SessionId,
    },
}

impl Change {
    /// The path of the changed znode, or none for a session.
    pub fn path(&self) -> Option<&Arc<str>> {
        match self {
            Change::Create { path, .. }
            | Change::SetData { path, .. }
            | Change::SetAcl { path, .. }
            | Change::SetUsage { path, .. }
            | Change::Delete { path } => Some(path),
            Change::OpenSession { .. } | Change::CloseSession { .. } => None,
        }
    }
}

/// What applying a transaction gave. The caller keeps one and clears it between transactions.
#[derive(Debug, Default)]
pub struct Applied {
    /// One per change: the node's stat right after it, for a created or changed node; none for deletions and sessions.
    pub results: Vec<Option<Stat>>,
    /// What watches may be waiting for, in the order in which ZooKeeper fires them.
    pub events: Vec<Event>,
}

impl Applied {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.results.clear();
        self.events.clear();
    }
}

/// What can happen to a znode that a watch can wait for. The numbers are those of `Watcher.Event.EventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The node was created: data and exist watches.
    Created = 1,
    /// The node was deleted: data and child watches, one event per session.
    Deleted = 2,
    /// The node's data changed: data watches.
    DataChanged = 3,
    /// A child was created or deleted: child watches, but never recursive ones.
    ChildrenChanged = 4,
}

/// An event that watches may be waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which node.
    pub path: Arc<str>,
    /// In which transaction.
    pub zxid: Zxid,
    /// That node's ACL as the event happened: an event is delivered only to those it lets READ.
    pub acl: AclList,
}
