//! A member of a classic consumer group: who it is, what it supports, and what it waits for.
//!
//! Invariant: a member waits for at most one JoinGroup reply and one SyncGroup reply; whoever replaces a ticket
//! answers the old one first.
use bytes::Bytes;
use std::sync::Arc;

/// Names a request whose reply is still owed; the shell maps it to the waiting connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// One assignment strategy that a member supports, with its metadata (for consumers: the subscription).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The strategy's name, such as `range`.
    pub name: Arc<str>,
    /// What the leader gets to see of this member under the strategy; opaque to the coordinator.
    pub metadata: Bytes,
}

/// The state that the coordinator keeps of one member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    /// Set for static members (KIP-345).
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    /// How long the group waits for this member to rejoin, in milliseconds.
    pub(crate) rebalance_timeout_ms: i32,
    /// How long the member may be silent, in milliseconds.
    pub(crate) session_timeout_ms: i32,
    /// In the order of the member's preference.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    /// The JoinGroup request that is parked until the rebalance completes.
    pub(crate) awaiting_join: Option<Ticket>,
    /// The SyncGroup request that is parked until the leader's assignment is stored.
    pub(crate) awaiting_sync: Option<Ticket>,
    /// Whether it has joined but not yet lived through the end of a rebalance.
    pub(crate) is_new: bool,
    /// When it is taken for dead (monotonic milliseconds); none while a parked request vouches for it.
    pub(crate) expires_at: Option<u64>,
}

impl Member {
    /// The member's metadata under a strategy; empty if it does not support it.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|own| &*own.name == protocol)
            .map(|own| own.metadata.clone())
            .unwrap_or_default()
    }

    /// Whether it needs no heartbeat now: a request of it is parked here, and it has been through a rebalance.
    pub(crate) fn vouched_for(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// The first of its strategies that everybody supports.
    pub(crate) fn vote(&self, everybody: impl Fn(&str) -> bool) -> Option<&Arc<str>> {
        self.protocols.iter().map(|protocol| &protocol.name).find(|name| everybody(name))
    }
}
