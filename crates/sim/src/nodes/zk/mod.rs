//! ZooKeeper's half of the workload: clients with sessions, what they ask and are told, and the laws by which that is judged.
mod client;
mod connection;
mod judge;
mod ledger;
mod watching;

pub(super) use client::{Client, Life};
pub(super) use connection::Connection;
pub(super) use judge::judge;
pub(super) use ledger::Ledger;

use bytes::Bytes;
use ensemble::{ConnectError, OpResult, WatchEvent};
use tree::{SessionId, Stat, TreeError};

/// What a client sends on a connection.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    /// The first thing: a new session, or the old one.
    Open { session: SessionId, password: Vec<u8>, timeout_ms: i32, last_zxid: i64 },
    /// A request.
    Ask { xid: u32, deed: Deed },
    /// The socket was closed.
    Bye,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// One write, or several as one transaction.
    Write(Vec<Change>),
    Get {
        path: String,
        watch: bool,
    },
    Exists {
        path: String,
        watch: bool,
    },
    Children {
        path: String,
        watch: bool,
    },
    Sync,
    /// The first request on another connection: the watches that have not fired as far as the client knows, which has seen everything
    /// up to a zxid.
    SetWatches {
        relative: i64,
        watches: Vec<(String, Waits)>,
    },
    Ping,
    /// The end of the session.
    Close,
}

/// What a watch of a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    /// A znode changes or goes.
    Data,
    /// A znode comes.
    Exist,
    /// A znode's children come or go, or it goes.
    Child,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create { path: String, data: Bytes, ephemeral: bool, sequential: bool },
    Set { path: String, data: Bytes, version: i32 },
    Delete { path: String, version: i32 },
}

impl Change {
    pub(super) fn path(&self) -> &str {
        match self {
            Change::Create { path, .. } | Change::Set { path, .. } | Change::Delete { path, .. } => path,
        }
    }
}

/// What a client is told on a connection.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// The session is open.
    Opened { session: SessionId, password: [u8; 16], timeout_ms: i32 },
    /// It isn't.
    Refused(ConnectError),
    /// The answer to a request.
    Answer { xid: u32, zxid: i64, body: Body },
    /// A watch fired.
    Event(WatchEvent),
    /// The socket was closed.
    Gone,
}

/// An answer's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Written(Vec<OpResult>),
    Failed { error: TreeError, index: usize },
    Node(Option<(Option<Bytes>, Stat)>),
    Children(Option<Vec<String>>),
    Done,
}
