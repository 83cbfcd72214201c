//! Who receives watch events and the end of a session: a connection of the ZooKeeper door, or the in-process client.
//!
//! Invariant: a subscriber is called under the tree's lock, in the order of the log. It must not block, and must not call back
//! into the ensemble; it puts what it was told into an outbox of its own and wakes whoever empties that.
use std::sync::Arc;
use tree::{AuthId, EventKind, Zxid};

/// One watch event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventKind,
    /// The znode that it happened to; for a recursive watch the changed node, not the watched one.
    pub path: Arc<str>,
    /// The transaction that caused it; `None` for the catch-up events of setWatches, whose header carries -1.
    pub zxid: Option<Zxid>,
}

/// Why a session's connection is told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The session ended: its closeSession transaction was applied, on request or after its timeout.
    SessionEnded,
    /// The session was attached to another connection (reference 3.19).
    Moved,
    /// The node stops, or lost its place in the ensemble.
    NodeStopping,
}

/// A receiver of watch events.
pub trait Subscriber: Send + Sync {
    /// The authenticated ids of the connection, by which deliveries are filtered (READ permission when it fires).
    fn identities(&self) -> Arc<[AuthId]>;
    /// When the client was last heard of (monotonic milliseconds); must be no more than a look at memory. Whoever doesn't note that
    /// says so by [`crate::Session::touch`].
    fn heard_ms(&self) -> u64 {
        0
    }
    /// A watch fired.
    fn event(&self, event: &WatchEvent);
    /// The session is gone or elsewhere; nothing follows.
    fn closed(&self, reason: Closed);
}
