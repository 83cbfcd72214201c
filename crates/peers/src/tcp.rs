//! Calls over TCP: one connection for each address and lane, opened when it is first needed.
//!
//! Invariants: a call is in its lane's queue when [`Transport::call`] returns; each lane is one task, which alone touches its
//! connection; the calls of a lane together take no more than [`CALLS_MAX`] places and [`BYTES_MAX`] bytes; a lane in which nothing happens ends
//! with its connection.
use crate::lane::{Lanes, Queued, Share};
use crate::{Address, CallError, Calling, Lane, Transport};
use kafka_wire::{Request, RequestHeader, Str};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many calls of one lane may wait, those that are sent included.
pub const CALLS_MAX: usize = 8192;
/// How many bytes the requests of one lane may have together; a single one may always be as large as it is.
pub const BYTES_MAX: usize = 64 << 20;
/// The largest response. It holds a fetch of twice the largest usual `replica.fetch.response.max.bytes`, and a single batch of any size that
/// a topic may sensibly allow.
pub const RESPONSE_BYTES_MAX: usize = 256 << 20;
/// What a call may take at most, so that no timeout is for ever.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// How long a connection without calls is kept. It is shorter than `connections.max.idle.ms`, so that it is not the other side that closes
/// a connection just when it is used again.
pub const IDLE_MAX: Duration = Duration::from_secs(60);

/// What the calls of a node are made with.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// The name that the node gives itself in its requests.
    pub client_id: String,
    /// How long a connection without calls is kept.
    pub idle_max: Duration,
    /// Where the connections' tasks run.
    pub runtime: Handle,
}

impl TcpOptions {
    /// The usual options of a node.
    pub fn new(node_id: i32, runtime: Handle) -> TcpOptions {
        TcpOptions { client_id: format!("broker-{node_id}"), idle_max: IDLE_MAX, runtime }
    }
}

/// The transport over TCP. Dropping it ends all calls.
#[derive(Debug)]
pub struct Tcp {
    lanes: Arc<Lanes>,
    client_id: Str,
    next_correlation_id: AtomicI32,
}

impl Tcp {
    /// A transport without connections.
    pub fn new(options: TcpOptions) -> Tcp {
        let TcpOptions { client_id, idle_max, runtime } = options;
        Tcp {
            lanes: Lanes::new(runtime, idle_max),
            client_id: Str::from(client_id),
            next_correlation_id: AtomicI32::new(0),
        }
    }

    /// How many connections there are or are being opened.
    pub fn lanes(&self) -> usize {
        self.lanes.count()
    }

    fn queue(
        &self,
        to: &Address,
        lane: Lane,
        version: i16,
        request: &Request,
        timeout: Duration,
    ) -> Result<oneshot::Receiver<Result<kafka_wire::Response, CallError>>, CallError> {
        let api = request.api();
        let correlation_id = self.next_correlation_id.fetch_add(1, Relaxed);
        let header = RequestHeader { api, version, correlation_id, client_id: Some(self.client_id.clone()) };
        let chunks = request.to_frame(&header).map_err(|error| CallError::Lost {
            to: to.clone(),
            reason: format!("the request cannot be written: {error}"),
        })?;
        let (answer, receiver) = oneshot::channel();
        let deadline = Instant::now() + timeout.min(TIMEOUT_MAX);
        self.lanes.push(to, lane, |load| {
            let share = Share::of(load, chunks.iter().map(bytes::Bytes::len).sum())?;
            Some(Queued { api, version, correlation_id, chunks, deadline, answer, _share: share })
        })?;
        Ok(receiver)
    }
}

impl Transport for Tcp {
    fn call(&self, to: &Address, lane: Lane, version: i16, request: Request, timeout: Duration) -> Calling {
        let receiver = match self.queue(to, lane, version, &request, timeout) {
            Ok(receiver) => receiver,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let to = to.clone();
        Box::pin(async move {
            // A lane that ends without an answer was dropped with the transport or the runtime.
            let ended = |_| Err(CallError::Lost { to, reason: "this node is stopping".to_owned() });
            receiver.await.unwrap_or_else(ended)
        })
    }
}
