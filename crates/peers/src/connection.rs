//! An open connection: requests go out in one vectored write as they come, responses are matched to them in order.
//!
//! Invariants: a response belongs to the oldest request without one and carries its correlation id, or the connection is given up; records
//! are not copied on the way out, and on the way in a response is one piece of memory.
use crate::lane::{Calls, Queued};
use crate::tcp::RESPONSE_BYTES_MAX;
use bytes::{Buf, Bytes};
use kafka_wire::{BadSize, DecodeError, Frames};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Up to this size a response gets its whole memory at once, so that its bytes are never moved. It is what a fetch usually brings at most.
const UPFRONT_BYTES: usize = 16 << 20;
/// How many pieces one system call takes.
const WRITE_SLICES: usize = 64;
/// How many calls are taken from the queue at once.
const TAKEN_MAX: usize = 64;

/// How a connection ended.
pub(crate) enum End {
    /// There were no calls for a long time.
    Idle,
    /// The transport is gone.
    Dropped,
    /// A call is overdue.
    Overdue,
    /// The other side closed it.
    Closed,
    /// It failed, or something came that is no answer.
    Broken(String),
}

impl End {
    /// A process that ends with unread requests in its sockets closes its connections by a reset.
    fn of(error: &io::Error) -> End {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                End::Closed
            }
            _ => End::Broken(format!("the connection failed: {error}")),
        }
    }
}

/// What came is no answer.
#[derive(Debug, thiserror::Error)]
enum BadAnswer {
    #[error(transparent)]
    Size(#[from] BadSize),
    #[error("the response cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    #[error("a response to request {got} came where {expected} was due")]
    OutOfOrder { got: i32, expected: i32 },
    #[error("a response came that nobody asked for")]
    Unasked,
}

/// Carries calls until the connection ends; how it ended and how many responses it gave.
pub(crate) async fn converse(
    stream: &TcpStream,
    calls: &mut Calls,
    queue: &mut mpsc::UnboundedReceiver<Queued>,
    idle_max: Duration,
) -> (End, u64) {
    let frames = Frames::new(RESPONSE_BYTES_MAX, UPFRONT_BYTES);
    let mut connection = Connection { stream, frames, outbox: VecDeque::new(), responses: 0 };
    let end = connection.run(calls, queue, idle_max).await;
    (end, connection.responses)
}

struct Connection<'a> {
    stream: &'a TcpStream,
    frames: Frames,
    /// What is to be written.
    outbox: VecDeque<Bytes>,
    responses: u64,
}

impl Connection<'_> {
    async fn run(
        &mut self,
        calls: &mut Calls,
        queue: &mut mpsc::UnboundedReceiver<Queued>,
        idle_max: Duration,
    ) -> End {
        let mut idle_at = Instant::now() + idle_max;
        let timer = tokio::time::sleep_until(idle_at);
        tokio::pin!(timer);
        let mut taken = Vec::new();
        loop {
            self.send(calls);
            if let Err(error) = self.write() {
                return End::of(&error);
            }
            let look_at = calls.look_at().unwrap_or(idle_at);
            if timer.deadline() != look_at {
                timer.as_mut().reset(look_at);
            }
            let interest = if self.outbox.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            tokio::select! {
                count = queue.recv_many(&mut taken, TAKEN_MAX) => {
                    if count == 0 {
                        return End::Dropped;
                    }
                    taken.drain(..).for_each(|call| calls.push(call));
                }
                ready = self.stream.ready(interest) => {
                    if let Err(error) = ready {
                        return End::of(&error);
                    }
                    if let Some(end) = self.read(calls) {
                        return end;
                    }
                    if calls.is_empty() {
                        idle_at = Instant::now() + idle_max;
                    }
                }
                () = &mut timer => {
                    let now = Instant::now();
                    if calls.is_overdue(now) {
                        return End::Overdue;
                    }
                    if calls.is_empty() && idle_at <= now {
                        return End::Idle;
                    }
                }
            }
        }
    }

    /// Puts everything that waits on its way.
    fn send(&mut self, calls: &mut Calls) {
        for mut call in calls.waiting.drain(..) {
            self.outbox.extend(std::mem::take(&mut call.chunks));
            calls.sent.push_back(call);
        }
    }

    /// Writes what the socket takes.
    fn write(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.outbox) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            let mut written = match self.stream.try_write_vectored(slices.get(..count).unwrap_or_default()) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            while let Some(chunk) = self.outbox.front_mut() {
                if written < chunk.len() {
                    chunk.advance(written);
                    break;
                }
                written -= chunk.len();
                self.outbox.pop_front();
            }
        }
        Ok(())
    }

    /// Takes what has arrived; the end if it brought that.
    fn read(&mut self, calls: &mut Calls) -> Option<End> {
        loop {
            let end = match self.frames.fill(|room| self.stream.try_read_buf(room)) {
                Ok(0) => End::Closed,
                Ok(_) => match self.answer(calls) {
                    Ok(()) => continue,
                    Err(error) => End::Broken(error.to_string()),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => End::of(&error),
            };
            return Some(end);
        }
    }

    /// Hands the responses that arrived to those who wait for them.
    fn answer(&mut self, calls: &mut Calls) -> Result<(), BadAnswer> {
        while let Some(frame) = self.frames.next_frame()? {
            let Queued { api, version, correlation_id: expected, .. } =
                *calls.sent.front().ok_or(BadAnswer::Unasked)?;
            let (got, response) = kafka_wire::decode_response(api, version, frame)?;
            if got != expected {
                return Err(BadAnswer::OutOfOrder { got, expected });
            }
            if let Some(call) = calls.sent.pop_front() {
                self.responses += 1;
                // Who no longer waits needs no answer.
                let _unread = call.answer.send(Ok(response));
            }
        }
        Ok(())
    }
}
