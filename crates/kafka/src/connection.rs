//! One connection: reads a request, has it answered, writes the response, and only then looks at the next request.
//!
//! Invariants: responses go out in the order of the requests, because one request at a time is in processing (reference 2.4); whatever a
//! client sends or leaves unsent ends this connection and harms no other; an idle connection is a task and a socket without buffers.
use crate::api::{self, Answer, BadRequest, Call, Inbound};
use crate::budget::{RequestShare, ResponseShare};
use crate::door::Door;
use bytes::{Buf, Bytes};
use kafka_wire::{BadSize, EncodeError, Frames};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How long a request may take to arrive after its first byte. Clients themselves give up after 30 (Java) or 60 seconds (librdkafka).
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(120);
/// Up to this size a request gets its whole memory at once, so that its bytes are never moved. Producers' batches are rarely larger.
const UPFRONT_BYTES: usize = 2 << 20;
/// How many pieces of a response one system call takes.
const WRITE_SLICES: usize = 64;

/// Who is at the other end.
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    /// The address as Kafka writes it: `/127.0.0.1`.
    pub(crate) host: Arc<str>,
    /// The name of the listener that the client came to.
    pub(crate) listener: Arc<str>,
    /// `User:ANONYMOUS` on a listener without authentication.
    pub(crate) principal: Arc<str>,
}

/// Why the door closes a connection.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0} (socket.request.max.bytes)")]
    Size(#[from] BadSize),
    #[error(transparent)]
    Request(#[from] BadRequest),
    #[error("the response cannot be written: {0}")]
    Encode(#[from] EncodeError),
    #[error("a request of {size} bytes took longer than {ARRIVAL_PATIENCE:?} to arrive")]
    Unfinished { size: usize },
    #[error("nothing came or went for longer than connections.max.idle.ms")]
    Idle,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves a connection until it ends.
pub(crate) async fn run(door: Arc<Door>, stream: TcpStream, remote: SocketAddr, listener: Arc<str>) {
    let max = usize::try_from(door.view().broker_config.network.socket_request_max_bytes).unwrap_or(0);
    let peer = Peer {
        remote,
        host: Arc::from(format!("/{}", remote.ip())),
        listener,
        principal: Arc::from("User:ANONYMOUS"),
    };
    let stopping = door.stopping();
    let mut connection = Connection { frames: Frames::new(max, UPFRONT_BYTES), door, stream, peer, stopping };
    if let Err(fault) = connection.serve().await {
        connection.report(&fault);
    }
}

struct Connection {
    door: Arc<Door>,
    stream: TcpStream,
    peer: Peer,
    frames: Frames,
    stopping: watch::Receiver<bool>,
}

/// A request that has arrived, with its share of the memory.
struct Arrived {
    frame: Bytes,
    _share: Option<RequestShare>,
}

impl Connection {
    async fn serve(&mut self) -> Result<(), Fault> {
        while let Some(arrived) = self.next_request().await? {
            // Boxed, so that an idle connection does not keep room for the largest handler.
            let response = Box::pin(self.answer(arrived)).await?;
            match response {
                Outcome::Respond(chunks) => self.write(chunks).await?,
                Outcome::Silence => {}
                Outcome::End => return Ok(()),
            }
            self.door.counters.requests.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Reads until a whole request is there; `None` if the client has gone or the door closes.
    async fn next_request(&mut self) -> Result<Option<Arrived>, Fault> {
        let mut share = None;
        let mut begun_ms = None;
        loop {
            if let Some(frame) = self.frames.next_frame()? {
                return Ok(Some(Arrived { frame, _share: share }));
            }
            if let Some(size) = self.frames.partial_size()
                && share.is_none()
                && self.door.budget.is_charged(size)
            {
                let Some(granted) = or_stopped(&mut self.stopping, self.door.budget.request(size)).await
                else {
                    return Ok(None);
                };
                share = Some(granted);
                begun_ms = None;
            }
            let now_ms = self.door.node.world.clock.monotonic_ms();
            let patience = match self.frames.is_empty() {
                true => self.idle_patience(),
                false => {
                    let since = *begun_ms.get_or_insert(now_ms);
                    ARRIVAL_PATIENCE.saturating_sub(Duration::from_millis(now_ms - since))
                }
            };
            let readable = tokio::time::timeout(patience, self.stream.readable());
            match or_stopped(&mut self.stopping, readable).await {
                None => return Ok(None),
                Some(Ok(ready)) => ready?,
                Some(Err(_)) if self.frames.is_empty() => return Err(Fault::Idle),
                Some(Err(_)) => {
                    return Err(Fault::Unfinished { size: self.frames.partial_size().unwrap_or(0) });
                }
            }
            if self.read()? == Some(0) {
                return Ok(None);
            }
        }
    }

    /// Takes what has arrived; none if nothing has.
    fn read(&mut self) -> Result<Option<usize>, Fault> {
        match self.frames.fill(|room| self.stream.try_read_buf(room)) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers one request.
    async fn answer(&mut self, arrived: Arrived) -> Result<Outcome, Fault> {
        let inbound = match api::decode(arrived.frame.clone())? {
            Ok(inbound) => inbound,
            Err(response) => return Ok(Outcome::Respond(response)),
        };
        let Inbound { header, request } = inbound;
        let (api, version, correlation_id) = (header.api, header.version, header.correlation_id);
        let can_be_abandoned = api::can_be_abandoned(api);
        let door = self.door.clone();
        let call = Call::new(&door, &self.peer, &header);
        let answering = api::serve(call, request);
        let answer = match can_be_abandoned {
            false => answering.await,
            true => {
                // Nobody is to wait for a client that has gone, nor at the door's end for a group's other members.
                let gone = watch_peer(&self.stream, &mut self.frames);
                let stopping = self.stopping.wait_for(|stopping| *stopping);
                tokio::select! {
                    answer = answering => answer,
                    () = gone => return Ok(Outcome::End),
                    _ = stopping => return Ok(Outcome::End),
                }
            }
        };
        match answer {
            Answer::Response(response) => Ok(Outcome::Respond(response.to_frame(version, correlation_id)?)),
            Answer::Silence => Ok(Outcome::Silence),
            Answer::Close(reason) => {
                tracing::debug!(remote = %self.peer.remote, %api, version, reason, "the connection is closed in place of an answer");
                Ok(Outcome::End)
            }
        }
    }

    /// Writes a response from where its pieces lie.
    async fn write(&self, chunks: Vec<Bytes>) -> Result<(), Fault> {
        let mut unsent =
            Unsent { share: self.door.budget.response(chunks.iter().map(Bytes::len).sum()), chunks, next: 0 };
        while !unsent.is_done() {
            match unsent.write_to(&self.stream) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = tokio::time::timeout(self.idle_patience(), self.stream.writable());
                    writable.await.map_err(|_| Fault::Idle)??;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// `connections.max.idle.ms`; not positive means for ever.
    fn idle_patience(&self) -> Duration {
        let ms = self.door.view().broker_config.network.connections_max_idle_ms;
        u64::try_from(ms).ok().filter(|ms| *ms > 0).map_or(Duration::MAX, Duration::from_millis)
    }

    /// Notes why the door closes the connection. Clients that just go are nobody's fault.
    fn report(&self, fault: &Fault) {
        let remote = self.peer.remote;
        match fault {
            Fault::Idle | Fault::Io(_) => {
                tracing::debug!(%remote, %fault, "a connection of a Kafka client ended")
            }
            Fault::Encode(_) => {
                self.door.counters.faults.fetch_add(1, Relaxed);
                tracing::error!(%remote, %fault, "a connection is closed");
            }
            _ => {
                self.door.counters.faults.fetch_add(1, Relaxed);
                tracing::info!(%remote, %fault, "a connection of a Kafka client is closed");
            }
        }
    }
}

/// What becomes of a request.
enum Outcome {
    Respond(Vec<Bytes>),
    Silence,
    End,
}

/// A response on its way.
struct Unsent<'a> {
    share: ResponseShare<'a>,
    chunks: Vec<Bytes>,
    /// The first chunk that is not gone.
    next: usize,
}

impl Unsent<'_> {
    fn is_done(&self) -> bool {
        self.next >= self.chunks.len()
    }

    /// Writes what the socket takes at once; how many bytes that was. What is gone is no longer held.
    fn write_to(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let pending = self.chunks.get(self.next..).unwrap_or_default();
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(pending) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        let written = stream.try_write_vectored(slices.get(..count).unwrap_or_default())?;
        self.share.sent(written);
        let mut left = written;
        while let Some(chunk) = self.chunks.get_mut(self.next) {
            if left < chunk.len() {
                chunk.advance(left);
                break;
            }
            left -= chunk.len();
            *chunk = Bytes::new();
            self.next += 1;
        }
        Ok(written)
    }
}

/// What the future gives; `None` if the door closes first.
async fn or_stopped<T>(stopping: &mut watch::Receiver<bool>, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => None,
        output = future => Some(output),
    }
}

/// Waits until the client has gone, reading ahead as far as the buffer allows; beyond that nobody can tell.
async fn watch_peer(stream: &TcpStream, frames: &mut Frames) {
    while !frames.is_full() {
        if stream.readable().await.is_err() {
            return;
        }
        match frames.fill(|room| stream.try_read_buf(room)) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
    std::future::pending().await
}

/// A handler under way.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function would return.
    fn future_size<F>(_: impl FnOnce(Arc<Door>, TcpStream, SocketAddr, Arc<str>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        let bytes = future_size(run);
        assert!(bytes <= 2048, "{bytes} bytes");
    }
}
