//! The task of one connection: reads frames, starts requests in their order, writes what its outbox holds.
//!
//! Invariants: requests of a connection take effect in the order in which they were sent (reference 3.6): a read that has nothing
//! before it is answered at once, everything else goes in line; a connection is not read while it has enough on its hands; an
//! idle one holds no buffer, and after a while its task ends until something arrives for it.
use crate::connection::{Connection, Ending};
use crate::frames::Frames;
use crate::opening;
use crate::reads::{self, Reader};
use crate::reply::Shape;
use crate::request::{self, Action, Call, Write};
use crate::writes;
use bytes::{Buf, BytesMut};
use ensemble::Session;
use jute::OpCode;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Requests that are parsed and not yet started; parsing them together lets reads share one look at the tree.
const CALLS_MAX: usize = 64;
/// The same in bytes of their frames, exceeded by at most one request.
const CALL_BYTES_MAX: usize = 1 << 20;
/// How much is read at first of a connection that rested; the rest finds its way by the ordinary path.
const PIECE_BYTES: usize = 1024;
/// How long a connection that has ended may take to accept its last output.
const LAST_OUTPUT_PATIENCE: Duration = Duration::from_secs(5);
/// How long what a client still sends is thrown away after the last output, so that the output isn't lost to a reset.
const LINGER: Duration = Duration::from_millis(500);
/// The same in bytes.
const LINGER_BYTES_MAX: usize = 64 << 10;

/// What became of a connection that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// It has nothing to do; the door brings it back when something arrives.
    Rests,
    /// It is over.
    Ended,
}

/// Serves a connection from its first byte.
pub(crate) async fn open(connection: &Arc<Connection>, stream: TcpStream) -> Served {
    let mut frames = Frames::new(0);
    // The opening is boxed so that the state of a served connection doesn't have to have room for it.
    let session = Box::pin(opening::open(connection, &stream, &mut frames)).await;
    let Some(session) = session else {
        Box::pin(deliver(connection, stream, BytesMut::new())).await;
        connection.drop_now();
        return Served::Ended;
    };
    serve(connection, session, stream, frames).await
}

/// Serves a connection that rested.
pub(crate) async fn resume(
    connection: &Arc<Connection>,
    session: Session,
    stream: std::net::TcpStream,
) -> Served {
    let mut frames = Frames::new(0);
    // The first bytes are read before the runtime watches the socket: a ping is answered without waiting for it to look.
    let read = connection.door().resting.forget(&stream).and_then(|()| read_waiting(&stream, &mut frames));
    let stream = match read.and_then(|count| Ok((count, TcpStream::from_std(stream)?))) {
        Ok((count, stream)) => {
            if count > 0 {
                connection.heard(count);
            }
            stream
        }
        Err(error) => {
            tracing::debug!(remote = %connection.remote(), %error, "a resting connection ended");
            if error.kind() == io::ErrorKind::UnexpectedEof {
                connection.door().stats.connections_dropped.fetch_add(1, Relaxed);
            }
            drop(session);
            connection.drop_now();
            return Served::Ended;
        }
    };
    serve(connection, session, stream, frames).await
}

/// Reads what has arrived on a socket that doesn't block, up to one piece; 0 if that is nothing.
fn read_waiting(mut stream: &std::net::TcpStream, frames: &mut Frames) -> io::Result<usize> {
    let mut piece = [0; PIECE_BYTES];
    match io::Read::read(&mut stream, &mut piece) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            frames.room().extend_from_slice(&piece[..count]);
            Ok(count)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}

/// A connection whose socket can't be watched is over.
fn lost(connection: &Connection, error: &io::Error) -> Served {
    tracing::warn!(remote = %connection.remote(), %error, "a ZooKeeper client's socket can't be watched; closing its connection");
    connection.drop_now();
    Served::Ended
}

async fn serve(
    connection: &Arc<Connection>,
    mut session: Session,
    mut stream: TcpStream,
    mut frames: Frames,
) -> Served {
    frames.set_max(connection.door().config.jute_max_buffer);
    loop {
        let mut serving = Serving::new(connection.clone(), session, stream, frames);
        let outcome = serving.serve().await;
        if let Ok(Pause::Rest) = outcome {
            match serving.rest() {
                Ok(None) => return Served::Rests,
                Ok(Some(busy)) => (session, stream, frames) = busy,
                Err(error) => return lost(connection, &error),
            }
            continue;
        }
        if let Err(error) = &outcome {
            tracing::debug!(remote = %connection.remote(), %error, "a connection ended");
        }
        let (stream, unwritten) = serving.leave();
        if outcome.is_ok() {
            Box::pin(deliver(connection, stream, unwritten)).await;
        }
        connection.drop_now();
        return Served::Ended;
    }
}

/// Writes the last output, then waits a moment for the client to close first.
async fn deliver(connection: &Connection, stream: TcpStream, mut unwritten: BytesMut) {
    if connection.ending() == Ending::Now {
        return;
    }
    let last_words = async {
        loop {
            write(&stream, &mut unwritten)?;
            if unwritten.is_empty() {
                unwritten = connection.take_output();
                if unwritten.is_empty() {
                    return Ok::<(), io::Error>(());
                }
            } else {
                stream.writable().await?;
            }
        }
    };
    if !matches!(tokio::time::timeout(LAST_OUTPUT_PATIENCE, last_words).await, Ok(Ok(()))) {
        return;
    }
    let mut stream = stream;
    let shut = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
    // A node that stops doesn't wait for its clients; they lose their connection in any case.
    if shut.is_err() || connection.door().is_stopping() {
        return;
    }
    let linger = async {
        let mut thrown_away = 0;
        let mut scratch = [0; 1024];
        while thrown_away < LINGER_BYTES_MAX && stream.readable().await.is_ok() {
            match stream.try_read(&mut scratch) {
                Ok(0) => return,
                Ok(count) => thrown_away += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Whether the client closes in time or not, the socket is closed next.
    let _ = tokio::time::timeout(LINGER, linger).await;
}

/// Writes as much as the socket takes.
fn write(stream: &TcpStream, unwritten: &mut BytesMut) -> io::Result<()> {
    while !unwritten.is_empty() {
        match stream.try_write(unwritten) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => unwritten.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A connection with a session.
struct Serving {
    connection: Arc<Connection>,
    session: Session,
    stream: TcpStream,
    frames: Frames,
    /// Requests that wait for their turn.
    calls: VecDeque<Call>,
    call_bytes: usize,
    /// Whether the client said its last word; what it sends after is not looked at.
    said_last: bool,
    unwritten: BytesMut,
    throttled: bool,
}

/// Whether there is more to do at once.
#[derive(PartialEq, Eq)]
enum Progress {
    Some,
    None,
}

/// Why a connection is served no further for now.
#[derive(PartialEq, Eq)]
enum Pause {
    /// It is to end once its last output is delivered.
    End,
    /// It has nothing to do.
    Rest,
}

impl Serving {
    fn new(connection: Arc<Connection>, session: Session, stream: TcpStream, frames: Frames) -> Serving {
        Serving {
            connection,
            session,
            stream,
            frames,
            calls: VecDeque::new(),
            call_bytes: 0,
            said_last: false,
            unwritten: BytesMut::new(),
            throttled: false,
        }
    }

    /// Serves until the connection is to end or to rest, or fails.
    async fn serve(&mut self) -> io::Result<Pause> {
        loop {
            self.flush()?;
            if self.connection.ending() != Ending::Open {
                return Ok(Pause::End);
            }
            let progress = self.parse()?;
            if self.start() == Progress::Some || progress == Progress::Some {
                // Others get their turn between two rounds of a busy connection.
                tokio::task::consume_budget().await;
                continue;
            }
            if !self.connection.is_busy() && self.has_nothing() && self.connection.is_quiet() {
                return Ok(Pause::Rest);
            }
            self.wait().await?;
        }
    }

    /// Whether nothing of the client is held here.
    fn has_nothing(&self) -> bool {
        self.frames.buffered().is_empty()
            && self.calls.is_empty()
            && self.unwritten.is_empty()
            && !self.said_last
    }

    /// Rests, unless something came up for the connection meanwhile; then everything is handed back.
    fn rest(self) -> io::Result<Option<(Session, TcpStream, Frames)>> {
        let Serving { connection, session, stream, frames, .. } = self;
        let stream = stream.into_std()?;
        match connection.rest(session, stream)? {
            None => Ok(None),
            Some((session, stream)) => Ok(Some((session, TcpStream::from_std(stream)?, frames))),
        }
    }

    /// Ends: detaches from the session and hands back the socket with what is not yet written.
    fn leave(self) -> (TcpStream, BytesMut) {
        for call in &self.calls {
            self.connection.abandoned(&call.asked);
        }
        self.connection.abandon_reads();
        (self.stream, self.unwritten)
    }

    /// Writes what is there, as far as the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        loop {
            if self.unwritten.is_empty() {
                self.unwritten = self.connection.take_output();
                if self.unwritten.is_empty() {
                    return Ok(());
                }
            }
            write(&self.stream, &mut self.unwritten)?;
            if !self.unwritten.is_empty() {
                self.connection.note_unwritten(self.unwritten.len());
                return Ok(());
            }
        }
    }

    /// Whether another request may be taken on.
    fn has_room(&self) -> bool {
        !self.said_last
            && self.calls.len() < CALLS_MAX
            && self.call_bytes < CALL_BYTES_MAX
            && !(self.connection.door().is_crowded() && self.connection.outstanding() > 0)
            && !self.connection.is_output_full()
    }

    /// Parses the frames that have arrived.
    fn parse(&mut self) -> io::Result<Progress> {
        let mut progress = Progress::None;
        let door = self.connection.door().clone();
        let now_ms = door.now_ms();
        while self.has_room() {
            let Some(frame) = self.frames.next_frame().map_err(invalid)? else { break };
            let call = request::parse(frame, self.connection.remote().ip(), &door.config, now_ms)
                .map_err(invalid)?;
            self.connection.received(Some(call.asked.bytes));
            self.call_bytes += call.asked.bytes;
            self.said_last = call.ends_connection();
            if call.asked.op != Some(OpCode::Ping) {
                self.connection.note_busy();
            }
            self.calls.push_back(call);
            progress = Progress::Some;
        }
        Ok(progress)
    }

    /// Starts the requests whose turn it is.
    fn start(&mut self) -> Progress {
        let mut progress = Progress::None;
        if self.connection.has_read_first() {
            self.connection.door().ensemble.read(|view| reads::drain(&self.connection, view));
            progress = Progress::Some;
        }
        while let Some(next) = self.calls.front() {
            let started = match next.action {
                Action::Read(_) => self.start_read(),
                Action::Write(_) => self.start_write(),
            };
            if !started {
                break;
            }
            progress = Progress::Some;
        }
        progress
    }

    fn pop_call(&mut self) -> Option<Call> {
        let call = self.calls.pop_front()?;
        self.call_bytes -= call.asked.bytes;
        Some(call)
    }

    /// Answers the reads at the head of the queue in one look at the tree, or puts one in line; false if they have to wait.
    fn start_read(&mut self) -> bool {
        if !self.connection.is_line_empty() {
            if !self.connection.has_line_room() {
                return false;
            }
            if let Some(Call { asked, action: Action::Read(read) }) = self.pop_call() {
                self.connection.line_up_read(asked, read);
            }
            return true;
        }
        if self.connection.is_output_full() {
            return false;
        }
        let connection = self.connection.clone();
        connection.door().ensemble.read(|view| {
            let Some(mut reader) = Reader::new(&connection, view) else { return };
            while matches!(self.calls.front(), Some(Call { action: Action::Read(_), .. })) {
                let Some(Call { asked, action: Action::Read(read) }) = self.pop_call() else { return };
                reader.answer(&asked, read);
                if connection.is_output_full() {
                    return;
                }
            }
        });
        true
    }

    /// Submits the write at the head of the queue; false if it has to wait.
    fn start_write(&mut self) -> bool {
        let Some(Call { action: Action::Write(next), .. }) = self.calls.front() else { return false };
        let ends_session = matches!(next, Write::Close);
        let Some(identities) = self.connection.line_up_write(ends_session) else { return false };
        let Some(Call { asked, action: Action::Write(write) }) = self.pop_call() else { return false };
        let connection = self.connection.clone();
        match write {
            Write::Change(request, shape) => {
                let counts_quotas = connection.door().ensemble.config().tree.enforce_quota;
                let paths = if counts_quotas { writes::quota_paths(&request) } else { Vec::new() };
                let done = writes::completion(connection, asked, shape, paths, false);
                self.session.submit(&identities, request, done);
            }
            Write::Sync(path) => {
                self.session.sync(writes::completion(
                    connection,
                    asked,
                    Shape::Echo(path),
                    Vec::new(),
                    false,
                ));
            }
            Write::Close => {
                self.session.close(writes::completion(connection, asked, Shape::Header, Vec::new(), true));
            }
        }
        true
    }

    /// Waits until something can be done.
    async fn wait(&mut self) -> io::Result<()> {
        // Ten thousand idle connections would keep room for requests that they don't send.
        if self.calls.is_empty() {
            self.calls = VecDeque::new();
        }
        let reads = self.has_room();
        if self.throttled == reads {
            self.throttled = !reads;
            self.connection.set_throttled(self.throttled);
        }
        self.frames.shrink();
        let interest = match (reads, self.unwritten.is_empty()) {
            (true, true) => Interest::READABLE,
            (true, false) => Interest::READABLE | Interest::WRITABLE,
            (false, false) => Interest::WRITABLE,
            (false, true) => {
                self.connection.woken().await;
                return Ok(());
            }
        };
        tokio::select! {
            () = self.connection.woken() => Ok(()),
            ready = self.stream.ready(interest) => {
                if reads && ready?.is_readable() { self.fill() } else { Ok(()) }
            }
        }
    }

    /// Reads what the socket has.
    fn fill(&mut self) -> io::Result<()> {
        match self.stream.try_read_buf(self.frames.room()) {
            Ok(0) => {
                self.connection.door().stats.connections_dropped.fetch_add(1, Relaxed);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(count) => {
                self.connection.heard(count);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
