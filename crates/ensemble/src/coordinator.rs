//! The first seam: the ZooKeeper client API that `controller` and `broker` use, and nothing else of coordination.
//!
//! Embedded, it is this process's own ensemble; later it can be an outside ZooKeeper (`zookeeper.connect`). So it promises
//! only what a ZooKeeper client can have: a session, order within the session, watches, and loss of the session.
use crate::subscriber::WatchEvent;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tree::{AclList, CreateMode, SessionId, Stat, TreeError, Zxid};

/// A boxed future, so that the seam is one object-safe trait.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, CoordinatorError>> + Send + 'a>>;

/// Why a coordination request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoordinatorError {
    /// The tree refused the request.
    #[error("{path}: {error}")]
    Refused {
        /// The path of the refused operation (of the failing one in a multi).
        path: String,
        /// The index of the failing operation in a multi, else 0.
        index: usize,
        /// ZooKeeper's error.
        error: TreeError,
    },
    /// The session has ended; its ephemerals are gone. Open a new one.
    #[error("the coordination session has expired")]
    SessionExpired,
    /// The outcome is unknown: the connection or the node's leadership was lost while the request was under way.
    #[error("coordination was lost while a request was under way; its outcome is unknown")]
    ConnectionLost,
}

impl CoordinatorError {
    /// The tree's error, if the tree refused.
    pub fn refused(&self) -> Option<TreeError> {
        match self {
            CoordinatorError::Refused { error, .. } => Some(*error),
            _ => None,
        }
    }
}

/// One write of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Creates a znode that anyone may use.
    Create {
        /// The znode's path (before the suffix of a sequential one).
        path: String,
        /// Its data; `None` is null data.
        data: Option<Bytes>,
        /// Its kind.
        mode: CreateMode,
        /// Its ACL; `None` is `world:anyone:cdrwa`.
        acl: Option<AclList>,
    },
    /// Sets a znode's data.
    Set {
        /// The path.
        path: String,
        /// The new data.
        data: Option<Bytes>,
        /// The version that the znode must have, or -1.
        version: i32,
    },
    /// Deletes a znode.
    Delete {
        /// The path.
        path: String,
        /// The version that the znode must have, or -1.
        version: i32,
    },
    /// Lets the multi fail unless the znode has this version.
    Check {
        /// The path.
        path: String,
        /// The version.
        version: i32,
    },
}

/// The result of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The path (with its suffix, if sequential) and stat of the created znode.
    Created(Arc<str>, Stat),
    /// The stat after the set.
    Set(Stat),
    /// The znode is gone.
    Deleted,
    /// The version was as asked.
    Checked,
}

/// The ZooKeeper client API.
pub trait Coordinator: Send + Sync + 'static {
    /// The id of the session, the owner of its ephemerals.
    fn session(&self) -> SessionId;
    /// Executes the writes as one transaction: all or none. Answers with its zxid.
    fn multi(&self, writes: Vec<Write>) -> Answer<'_, (Zxid, Vec<Written>)>;
    /// A znode's data and stat; `None` if there is no such znode.
    fn get<'a>(&'a self, path: &'a str) -> Answer<'a, Option<(Option<Bytes>, Stat)>>;
    /// The names of a znode's children, sorted; `None` if there is no such znode.
    fn children<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Vec<String>>>;
    /// Sets a persistent recursive watch: every later change of the znode and its subtree is sent, in order. Events that were
    /// caused before this returns may be missing, so read after watching. The receiver ends with the session.
    fn watch<'a>(&'a self, path: &'a str) -> Answer<'a, mpsc::UnboundedReceiver<WatchEvent>>;
    /// Waits until everything that was written anywhere before this call is visible here (ZooKeeper's sync).
    fn sync(&self) -> Answer<'_, ()>;
    /// Ends when the session has ended.
    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
