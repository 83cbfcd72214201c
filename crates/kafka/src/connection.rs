//! One connection: reads a request, has it answered, writes the response, and only then looks at the next request; of requests to the
//! ensemble it looks at the next one while others are under way.
//!
//! Small responses are held while more requests are there to be read, and go out together before anything is waited for.
//!
//! Invariants: responses go out in the order of the requests; nothing is held while the connection waits, be it for bytes, for memory or for
//! an answer; of clients one request at a time is in processing (reference 2.4); whatever a
//! client sends or leaves unsent ends this connection and harms no other; an idle connection is a task and a socket without buffers.
use crate::api::{self, BadRequest, Inbound};
use crate::budget::{Purse, RequestShare};
use crate::entrance::{Entrance, Stage};
use crate::exchange::{self, Outcome, Peer};
use crate::outgoing::{Outgoing, SENDS_FILES, SendError, WRITE_SLICES};
use crate::quorum;
use bytes::Bytes;
use futures_util::future::join;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use kafka_wire::{ApiKey, BadSize, EncodeError, Frames, Piece};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How long a request may take to arrive after its first byte. Clients themselves give up after 30 (Java) or 60 seconds (librdkafka).
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(120);
/// Up to this size a request gets its whole memory at once, so that its bytes are never moved. Producers' batches are rarely larger.
const UPFRONT_BYTES: usize = 2 << 20;
/// How many requests to the ensemble one connection may have under way; a group of forwarded writes is no larger than that.
const UNDER_WAY_MAX: usize = 1024;

/// A response up to this size is held while there is more to do.
const HELD_BYTES_EACH: usize = 4 << 10;
/// How many pieces of responses are held at most, a few of each: about as many responses as clients have requests under way, which is 5 by
/// default. More would make those in front wait for long.
const HELD_PIECES_MAX: usize = 8;

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
    #[error(transparent)]
    Unsent(#[from] SendError),
    #[error("nothing came or went for longer than connections.max.idle.ms")]
    Idle,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves a connection until it ends.
pub(crate) async fn run(entrance: Arc<Entrance>, stream: TcpStream, remote: SocketAddr, listener: Arc<str>) {
    let max = usize::try_from(entrance.config().network.socket_request_max_bytes).unwrap_or(0);
    let (stages, mut cut) = (entrance.stages(), entrance.stages());
    let mut connection = Connection {
        frames: Frames::new(max, UPFRONT_BYTES),
        arriving: Arriving::default(),
        peer: Peer { takes_files: SENDS_FILES, ..Peer::anonymous(remote, listener) },
        held: Held::default(),
        is_client: false,
        is_waited_for: false,
        entrance,
        stream,
        stages,
    };
    let served = tokio::select! {
        served = connection.serve() => served,
        _ = cut.wait_for(|stage| *stage == Stage::Cut) => Ok(()),
    };
    // What was answered before the end goes out, unless the client doesn't even take that.
    let _rest = write(&connection.entrance, &connection.stream, &mut connection.held);
    if let Err(fault) = served {
        connection.report(&fault);
    }
}

struct Connection {
    entrance: Arc<Entrance>,
    stream: TcpStream,
    peer: Peer,
    frames: Frames,
    arriving: Arriving,
    held: Held,
    /// Whether it has brought a request that is not for the ensemble.
    is_client: bool,
    /// Whether requests to the ensemble are under way; it is not idle then.
    is_waited_for: bool,
    stages: watch::Receiver<Stage>,
}

/// What is known of a request that has not arrived in full.
#[derive(Default)]
struct Arriving {
    share: Option<RequestShare>,
    /// When its first byte was seen, or its share granted.
    begun_ms: Option<u64>,
}

/// Responses that are not on their way yet, in their order.
#[derive(Default)]
struct Held {
    pieces: Vec<Piece>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Puts a response behind the others; whether they have to go now.
    fn push(&mut self, response: Vec<Piece>) -> bool {
        let is_small = response.iter().all(|piece| matches!(piece, Piece::Memory(_)))
            && response.iter().map(Piece::memory).sum::<usize>() <= HELD_BYTES_EACH;
        self.pieces.extend(response);
        !is_small || self.pieces.len() >= HELD_PIECES_MAX
    }
}

/// What is left to be done for responses that the socket did not take at once.
type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

/// A request that has arrived, with its share of the memory.
struct Arrived {
    inbound: Inbound,
    share: Option<RequestShare>,
}

impl Arrived {
    fn is_for_ensemble(&self) -> bool {
        quorum::answers(&self.inbound.request, self.inbound.header.version)
    }
}

/// What comes next while requests to the ensemble are under way.
enum Step {
    Answered(Option<Result<Vec<Bytes>, EncodeError>>),
    Arrived(Option<Box<Arrived>>),
}

impl Connection {
    async fn serve(&mut self) -> Result<(), Fault> {
        let mut next = None;
        loop {
            let arrived = match next.take() {
                Some(arrived) => arrived,
                None => match self.next_request().await? {
                    Some(arrived) => arrived,
                    None => return Ok(()),
                },
            };
            // Boxed, so that an idle connection does not keep room for the largest handler.
            if arrived.is_for_ensemble() {
                self.flush().await?;
                next = Box::pin(self.converse_with_ensemble(arrived)).await?;
            } else if !Box::pin(self.answer_client(arrived)).await? {
                return Ok(());
            }
        }
    }

    /// Answers a client's request; false if that ends the connection.
    async fn answer_client(&mut self, arrived: Arrived) -> Result<bool, Fault> {
        self.is_client = true;
        let Arrived { inbound, share } = arrived;
        let can_be_abandoned = api::can_be_abandoned(inbound.header.api);
        let entrance = self.entrance.clone();
        let door = match entrance.door() {
            Some(door) => door,
            None => {
                self.flush().await?;
                match self.unless_left(entrance.served()).await {
                    Some(door) => door,
                    None => return Ok(false),
                }
            }
        };
        let outcome = {
            let mut answering = pin!(exchange::with_client(&door, &self.peer, inbound));
            match answering.as_mut().now_or_never() {
                Some(outcome) => outcome?,
                None => {
                    let sending = async {
                        match write(&self.entrance, &self.stream, &mut self.held)? {
                            Some(rest) => rest.await,
                            None => Ok(()),
                        }
                    };
                    // Both go on together: the request has begun and may hold what other clients wait for, while this one may not read.
                    let both = join(sending, answering);
                    let (sent, outcome) = if can_be_abandoned {
                        // Nobody is to wait for a client that has gone, nor at the door's end for a group's other members.
                        let gone = watch_peer(&self.stream, &mut self.frames);
                        let leaving = self.stages.wait_for(|stage| *stage >= Stage::PeersOnly);
                        tokio::select! {
                            both = both => both,
                            () = gone => return Ok(false),
                            _ = leaving => return Ok(false),
                        }
                    } else {
                        both.await
                    };
                    sent?;
                    outcome?
                }
            }
        };
        drop(share);
        self.entrance.counters.requests.fetch_add(1, Relaxed);
        match outcome {
            Outcome::Respond(pieces) => {
                if self.held.push(pieces) {
                    self.flush().await?;
                }
            }
            Outcome::Silence => {}
            Outcome::End => return Ok(false),
        }
        Ok(true)
    }

    /// What the future gives; `None` if the client goes, or has to, before that.
    async fn unless_left<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            output = future => Some(output),
            () = watch_peer(&self.stream, &mut self.frames) => None,
            _ = self.stages.wait_for(|stage| *stage >= Stage::PeersOnly) => None,
        }
    }

    /// Answers requests to the ensemble for as long as one is under way, in their order; a client's request that comes in between is
    /// handed back.
    async fn converse_with_ensemble(&mut self, first: Arrived) -> Result<Option<Arrived>, Fault> {
        let entrance = self.entrance.clone();
        let start =
            |Arrived { inbound, share }| Box::pin(exchange::with_ensemble(entrance.clone(), inbound, share));
        let mut under_way = FuturesOrdered::new();
        under_way.push_back(start(first));
        let mut next = None;
        loop {
            self.is_waited_for = !under_way.is_empty();
            let reads_on = next.is_none() && under_way.len() < UNDER_WAY_MAX;
            let step = tokio::select! {
                biased;
                answered = under_way.next() => Step::Answered(answered),
                arrived = self.next_request(), if reads_on => Step::Arrived(arrived?.map(Box::new)),
            };
            match step {
                Step::Answered(Some(response)) => {
                    let mut chunks = response?;
                    let mut count = 1;
                    // Those that are ready too go out with it.
                    while chunks.len() < WRITE_SLICES
                        && let Some(Some(response)) = under_way.next().now_or_never()
                    {
                        chunks.extend(response?);
                        count += 1;
                    }
                    self.held.push(in_memory(chunks));
                    self.flush().await?;
                    self.entrance.counters.requests.fetch_add(count, Relaxed);
                }
                Step::Answered(None) => return Ok(next),
                Step::Arrived(Some(arrived)) if arrived.is_for_ensemble() => {
                    under_way.push_back(start(*arrived));
                }
                Step::Arrived(Some(arrived)) => next = Some(*arrived),
                // Nobody is there for the answers, or nobody is to wait for them.
                Step::Arrived(None) => return Ok(None),
            }
        }
    }

    /// Reads until a whole request is there; `None` if the client has gone or has to. Can be dropped halfway.
    async fn next_request(&mut self) -> Result<Option<Arrived>, Fault> {
        loop {
            if !self.has_share() {
                let share = match self.share_at_once() {
                    Some(share) => share,
                    None => {
                        self.flush().await?;
                        // Boxed, as the answers: most requests need not wait.
                        let Some(share) = Box::pin(self.share()).await else { return Ok(None) };
                        share
                    }
                };
                self.arriving = Arriving { share: Some(share), begun_ms: None };
            }
            if let Some(frame) = self.frames.next_frame()? {
                let share = std::mem::take(&mut self.arriving).share;
                match api::decode(frame)? {
                    Ok(inbound) => return Ok(Some(Arrived { inbound, share })),
                    Err(response) => {
                        self.held.push(in_memory(response));
                        Box::pin(self.flush()).await?;
                    }
                }
                continue;
            }
            if !self.has_share() {
                continue;
            }
            if !self.held.is_empty() {
                match self.read()? {
                    Some(0) => return Ok(None),
                    Some(_) => continue,
                    None => self.flush().await?,
                }
            }
            let patience = self.patience();
            let stream = &self.stream;
            let leaving = self.stages.wait_for(|stage| *stage >= last_stage(self.is_client));
            let readable = tokio::select! {
                biased;
                _ = leaving => return Ok(None),
                readable = tokio::time::timeout(patience, stream.readable()) => readable,
            };
            match readable {
                Ok(ready) => ready?,
                Err(_) if self.frames.is_empty() => return Err(Fault::Idle),
                Err(_) => {
                    return Err(Fault::Unfinished { size: self.frames.partial_size().unwrap_or(0) });
                }
            }
            if self.read()? == Some(0) {
                return Ok(None);
            }
        }
    }

    /// Whether the request that is arriving may be read on: it needs no share, has one, or nobody can tell whose it is.
    fn has_share(&self) -> bool {
        let size = self.frames.partial_size().unwrap_or(0);
        self.arriving.share.is_some()
            || !self.entrance.budget.is_charged(size)
            || self.frames.partial_start().len() < size_of::<i16>()
    }

    /// The share of the request that is arriving, if nothing has to be waited for.
    fn share_at_once(&self) -> Option<RequestShare> {
        let purse = self.purse();
        if purse == Purse::Clients && self.entrance.door().is_none() {
            return None;
        }
        self.entrance.budget.request_at_once(purse, self.frames.partial_size().unwrap_or(0))
    }

    /// Waits for the share of the request that is arriving; `None` if the connection has to end before that.
    async fn share(&mut self) -> Option<RequestShare> {
        let (entrance, purse) = (self.entrance.clone(), self.purse());
        let size = self.frames.partial_size().unwrap_or(0);
        let grant = async {
            if purse == Purse::Clients {
                // What nobody can answer yet is not read either.
                entrance.served().await;
            }
            entrance.budget.request(purse, size).await
        };
        let last = last_stage(self.is_client);
        tokio::select! {
            biased;
            _ = self.stages.wait_for(|stage| *stage >= last) => None,
            share = grant => Some(share),
        }
    }

    /// Whose memory the request that is arriving takes.
    fn purse(&self) -> Purse {
        let key = self.frames.partial_start().first_chunk().map(|key| i16::from_be_bytes(*key));
        match key.and_then(ApiKey::from_key) {
            Some(api) if quorum::is_between_nodes(api) => Purse::Nodes,
            _ => Purse::Clients,
        }
    }

    /// How long the client may take to send something.
    fn patience(&mut self) -> Duration {
        if self.frames.is_empty() {
            self.arriving.begun_ms = None;
            return if self.is_waited_for { Duration::MAX } else { self.idle_patience() };
        }
        let now_ms = self.entrance.world.clock.monotonic_ms();
        let since = *self.arriving.begun_ms.get_or_insert(now_ms);
        ARRIVAL_PATIENCE.saturating_sub(Duration::from_millis(now_ms.saturating_sub(since)))
    }

    /// Takes what has arrived; none if nothing has.
    fn read(&mut self) -> Result<Option<usize>, Fault> {
        match self.frames.fill(|room| self.stream.try_read_buf(room)) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the responses that are held.
    async fn flush(&mut self) -> Result<(), Fault> {
        match write(&self.entrance, &self.stream, &mut self.held)? {
            None => Ok(()),
            Some(rest) => rest.await,
        }
    }

    fn idle_patience(&self) -> Duration {
        idle_patience(&self.entrance)
    }

    /// Notes why the door closes the connection. Clients that just go are nobody's fault.
    fn report(&self, fault: &Fault) {
        let remote = self.peer.remote;
        match fault {
            Fault::Idle | Fault::Io(_) => {
                tracing::debug!(%remote, %fault, "a connection of a Kafka client ended")
            }
            Fault::Encode(_) => {
                self.entrance.counters.faults.fetch_add(1, Relaxed);
                tracing::error!(%remote, %fault, "a connection is closed");
            }
            _ => {
                self.entrance.counters.faults.fetch_add(1, Relaxed);
                tracing::info!(%remote, %fault, "a connection of a Kafka client is closed");
            }
        }
    }
}

/// Writes what is held from where its pieces lie; the future does the rest, if the socket doesn't take everything at once. Only then there is
/// one, so that a connection does not keep room for what is rarely needed.
fn write<'a>(
    entrance: &'a Entrance,
    stream: &'a TcpStream,
    held: &mut Held,
) -> Result<Option<Sending<'a>>, Fault> {
    if held.is_empty() {
        return Ok(None);
    }
    let mut outgoing = Outgoing::new(&entrance.budget, std::mem::take(held).pieces);
    let is_sent = send_at_once(&mut outgoing, stream)?;
    Ok((!is_sent).then(|| Box::pin(send_on(entrance, stream, outgoing)) as Sending<'a>))
}

/// Writes as far as the socket takes it; whether that was everything.
fn send_at_once(outgoing: &mut Outgoing<'_>, stream: &TcpStream) -> Result<bool, SendError> {
    while !outgoing.is_done() {
        match outgoing.send_to(stream) {
            Ok(()) => {}
            Err(SendError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(SendError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Writes the rest whenever the socket takes something.
async fn send_on(entrance: &Entrance, stream: &TcpStream, mut outgoing: Outgoing<'_>) -> Result<(), Fault> {
    loop {
        let writable = tokio::time::timeout(idle_patience(entrance), stream.writable());
        writable.await.map_err(|_| Fault::Idle)??;
        if send_at_once(&mut outgoing, stream)? {
            return Ok(());
        }
    }
}

/// `connections.max.idle.ms`; not positive means for ever.
fn idle_patience(entrance: &Entrance) -> Duration {
    let ms = entrance.config().network.connections_max_idle_ms;
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map_or(Duration::MAX, Duration::from_millis)
}

/// A frame that is all memory.
fn in_memory(chunks: Vec<Bytes>) -> Vec<Piece> {
    chunks.into_iter().map(Piece::Memory).collect()
}

/// The stage in which a connection ends. One that has brought nothing may be another node's.
fn last_stage(is_client: bool) -> Stage {
    if is_client { Stage::PeersOnly } else { Stage::Closing }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function would return.
    fn future_size<F>(_: impl FnOnce(Arc<Entrance>, TcpStream, SocketAddr, Arc<str>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        let bytes = future_size(run);
        assert!(bytes <= 2048, "{bytes} bytes");
    }
}
