//! Calls to other nodes over the Kafka protocol: who is called, in which lane, and how a call ends.
//!
//! This room carries requests and knows nothing of what they mean. Invariants: calls of one lane to one address are written in the
//! order in which they were made and answered in that order, as on any Kafka connection; lanes don't wait for each other;
//! whatever waits is bounded by a named limit; a call ends exactly once, with a response or with a reason.
mod connection;
mod lane;
mod tcp;

use kafka_wire::{Request, Response};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use tcp::{BYTES_MAX, CALLS_MAX, IDLE_MAX, RESPONSE_BYTES_MAX, TIMEOUT_MAX, Tcp, TcpOptions};

/// Where a node listens for the Kafka protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// A host name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Which traffic a call belongs to. Each lane to an address has a connection of its own, because a Kafka connection
/// answers in order and a parked fetch would hold up whatever is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Votes, the begin and end of epochs, changes of the voters.
    Quorum,
    /// Fetches of the znode log.
    ZnodeFetch,
    /// Writes, session keep-alives and syncs on their way to the quorum's leader.
    Forward,
    /// Fetches of partitions; the number is the fetcher's (`num.replica.fetchers`).
    ReplicaFetch(u16),
    /// Whatever brokers ask each other besides fetching.
    Broker,
}

/// Why a call has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The host refused the connection: no process listens there.
    #[error("{0} refused the connection")]
    Refused(Address),
    /// The other side closed the connection. Whether the request was executed is unknown.
    #[error("{0} closed the connection")]
    Closed(Address),
    /// The connection failed, the answer was no answer, or nothing came in time. Whether the request was executed is unknown.
    #[error("the call to {to} failed: {reason}")]
    Lost {
        /// Who was called.
        to: Address,
        /// What happened.
        reason: String,
    },
    /// Too many calls wait in this lane; the request was not sent.
    #[error("too many calls to {0} are waiting")]
    Busy(Address),
}

/// A call under way. The request is in its lane's order as soon as [`Transport::call`] has returned, before the first poll;
/// dropping the future leaves the request sent and its response unread.
pub type Calling = Pin<Box<dyn Future<Output = Result<Response, CallError>> + Send>>;

/// Carries requests to other nodes: over TCP in production, over a simulated network in tests.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request. `version` is that of its API; `timeout` counts from now.
    fn call(&self, to: &Address, lane: Lane, version: i16, request: Request, timeout: Duration) -> Calling;
}

/// A shared transport.
pub type Peers = Arc<dyn Transport>;
