//! One client's connection as the rest of the server sees it: where watch events, answers and the end of its session arrive.
//!
//! Invariants: everything for the client goes through one buffer under one short mutex, in the order in which the tree hands it out;
//! what arrives after the end is dropped; a client that doesn't read costs at most [`OUTPUT_BYTES_MAX`] and one reply.
//! A connection that has nothing to do rests: nothing is left of it but this, its session and its socket, which [`crate::resting`]
//! watches; whatever arrives for it calls it back. Requests that are started and not answered are in `line`, in the order in which they were sent (reference 3.6): a write is
//! answered by its completion, which then answers the reads behind it, so that they see the tree right after that write and before
//! the connection's next.
use crate::door::Door;
use crate::reply;
use crate::request::{Asked, Read};
use crate::resting::Resting;
use crate::stats::{Answered, ConnectionStats};
use bytes::BytesMut;
use ensemble::{Closed, Session, Subscriber, WatchEvent};
use jute::ErrorCode;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Poll, Waker};
use tree::{AuthId, SessionId};

/// Unwritten output beyond which no further request of the connection is executed.
pub(crate) const OUTPUT_PAUSE_BYTES: usize = 256 << 10;
/// Unwritten output beyond which a watch event ends the connection: the client doesn't read. It may come back and set its
/// watches again, which loses nothing.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// The same for reads that can't wait for the client, because a later write of it may be applied any moment.
const FORCED_OUTPUT_BYTES_MAX: usize = 64 << 20;
/// Requests of one connection that are started and not answered.
pub(crate) const LINE_MAX: usize = 1000;
/// For how long a connection must have been silent after a request before it is asked to rest, so that whoever asks often finds its
/// task in place. After nothing but pings and watch events it rests at once.
const SILENCE_BEFORE_REST_MS: u64 = 2000;

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is served.
    Open,
    /// It ends once what is in its buffer is written.
    AfterOutput,
    /// It ends at once.
    Now,
}

/// A connection's session, for the four-letter words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionInfo {
    pub(crate) id: SessionId,
    pub(crate) timeout_ms: i32,
    pub(crate) watcher: ensemble::WatcherId,
}

/// A connection's state at one moment, for the four-letter words.
pub(crate) struct Snapshot {
    pub(crate) stats: ConnectionStats,
    pub(crate) session: Option<SessionInfo>,
    /// Requests that arrived and are not answered.
    pub(crate) outstanding: usize,
    /// Whether its socket is not being read because of a limit.
    pub(crate) throttled: bool,
    /// Bytes that are not yet written.
    pub(crate) unwritten: usize,
    /// Whether it asked a four-letter word.
    pub(crate) word: bool,
}

struct Outbox {
    /// `None` while there is nothing on hand.
    work: Option<Box<Work>>,
    stage: Stage,
    ending: Ending,
    word: bool,
    identities: Arc<[AuthId]>,
    stats: ConnectionStats,
}

/// How far a connection is with its session. One value, so that thousands of resting connections don't have room for what only a served one has.
enum Stage {
    /// It has none yet.
    Opening,
    /// Its task holds it.
    Served(SessionInfo),
    /// There is no task.
    Resting(Resting),
}

impl Stage {
    fn session(&self) -> Option<SessionInfo> {
        match self {
            Stage::Opening => None,
            Stage::Served(session) => Some(*session),
            Stage::Resting(resting) => Some(resting.session_info()),
        }
    }
}

/// What a connection has on hand; one that rests has nothing.
#[derive(Default)]
struct Work {
    buffer: BytesMut,
    /// Bytes that the connection's task has taken out and not yet written.
    taken: usize,
    line: VecDeque<InLine>,
    /// How many writes are in line.
    submitted: usize,
    outstanding: usize,
    /// Whether a read at the head of the line has been taken out and is being answered.
    draining: bool,
    /// Whether a read in line must be answered before the next write is judged (auth).
    barrier: bool,
    /// Whether answers to reads between writes have once outrun the socket; from then on no write is submitted past a read.
    cautious: bool,
    /// Whether a write in line ends the session.
    closing_session: bool,
    throttled: bool,
    /// Whether there is something to do that the connection's task has not seen.
    woken: bool,
    waker: Option<Waker>,
}

/// A request that is started and not answered.
enum InLine {
    /// A write, which the ensemble will answer.
    Write,
    /// A read, which is answered when it comes first.
    Read(Asked, Read),
}

/// The shared half of a connection.
pub(crate) struct Connection {
    id: u64,
    door: Arc<Door>,
    /// The client's address; a socket address with all that IPv6 has beyond it takes half as much again.
    ip: IpAddr,
    port: u16,
    established_wall_ms: i64,
    last_heard_ms: AtomicU64,
    /// Whether it is among those that the door asks to rest after a silence: they don't rest by themselves.
    busy: AtomicBool,
    outbox: Mutex<Outbox>,
}

impl Connection {
    /// A fresh connection, which is known by its address only.
    pub(crate) fn new(id: u64, door: Arc<Door>, remote: SocketAddr, identities: Arc<[AuthId]>) -> Connection {
        Connection {
            id,
            ip: remote.ip(),
            port: remote.port(),
            established_wall_ms: door.world.clock.wall_ms(),
            last_heard_ms: AtomicU64::new(door.now_ms()),
            busy: AtomicBool::new(false),
            outbox: Mutex::new(Outbox {
                work: None,
                stage: Stage::Opening,
                ending: Ending::Open,
                word: false,
                identities,
                stats: ConnectionStats::default(),
            }),
            door,
        }
    }

    /// Its number in the door's register.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The door that it came through.
    pub(crate) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// The client's address.
    pub(crate) fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// When it was accepted.
    pub(crate) fn established_wall_ms(&self) -> i64 {
        self.established_wall_ms
    }

    /// When it will have been silent for too long.
    pub(crate) fn expires_ms(&self) -> u64 {
        let session = self.session();
        let patience = session
            .map_or(self.door.config.sessionless_timeout_ms, |session| session.timeout_ms.unsigned_abs());
        self.last_heard_ms.load(Relaxed) + u64::from(patience)
    }

    /// Notes that bytes arrived.
    pub(crate) fn heard(&self, bytes: usize) {
        self.last_heard_ms.store(self.door.now_ms(), Relaxed);
        self.door.stats.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    /// Notes that a request other than a ping arrived, so that its task stays for a while.
    pub(crate) fn note_busy(self: &Arc<Self>) {
        if !self.busy.load(Relaxed) {
            self.busy.store(true, Relaxed);
            self.door.resting.note_busy(self.clone());
        }
    }

    /// Whether its task is to stay although there may be nothing to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Whether it has been silent for so long that it should rest.
    pub(crate) fn is_silent(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_heard_ms.load(Relaxed)) > SILENCE_BEFORE_REST_MS
    }

    /// Lets the connection's task rest as soon as it can.
    pub(crate) fn calm_down(&self) {
        self.busy.store(false, Relaxed);
        self.wake();
    }

    /// Whether there is nothing on hand but perhaps a call.
    pub(crate) fn is_quiet(&self) -> bool {
        self.outbox.lock().is_quiet()
    }

    /// Rests, if there is nothing on hand: from now on the door watches the socket, and there is no task. What can't rest is handed back.
    pub(crate) fn rest(
        &self,
        session: Session,
        stream: TcpStream,
    ) -> io::Result<Option<(Session, TcpStream)>> {
        let mut outbox = self.outbox.lock();
        if !outbox.is_quiet() {
            return Ok(Some((session, stream)));
        }
        let Some(SessionInfo { timeout_ms, .. }) = outbox.stage.session() else {
            return Ok(Some((session, stream)));
        };
        // A moment that calls it back waits for this lock, and finds it resting.
        self.door.resting.watch(&stream, self.id)?;
        outbox.work = None;
        outbox.stage = Stage::Resting(Resting { session, timeout_ms, stream, called: false });
        Ok(None)
    }

    /// Ends its rest: whoever gets something serves the connection. `None` if it doesn't rest.
    pub(crate) fn rise(&self) -> Option<(Session, TcpStream)> {
        let mut outbox = self.outbox.lock();
        let Stage::Resting(resting) = &outbox.stage else { return None };
        let served = Stage::Served(resting.session_info());
        match std::mem::replace(&mut outbox.stage, served) {
            Stage::Resting(Resting { session, stream, .. }) => Some((session, stream)),
            Stage::Opening | Stage::Served(_) => None,
        }
    }

    /// Waits until there is output, an answer or the end.
    pub(crate) async fn woken(&self) {
        poll_fn(|context| {
            let mut outbox = self.outbox.lock();
            let work = outbox.work();
            if std::mem::take(&mut work.woken) {
                return Poll::Ready(());
            }
            match &mut work.waker {
                Some(waker) => waker.clone_from(context.waker()),
                waker => *waker = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Calls whoever serves the connection to look for what there is to do; one that rests is called back.
    fn call(&self, mut outbox: MutexGuard<'_, Outbox>) {
        if let Stage::Resting(resting) = &mut outbox.stage {
            let is_first = !std::mem::replace(&mut resting.called, true);
            drop(outbox);
            if is_first {
                self.door.resting.call(self.id);
            }
            return;
        }
        let work = outbox.work();
        work.woken = true;
        let waker = work.waker.take();
        drop(outbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Its state for the four-letter words.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let outbox = self.outbox.lock();
        Snapshot {
            stats: outbox.stats.clone(),
            session: outbox.stage.session(),
            outstanding: outbox.work.as_ref().map_or(0, |work| work.outstanding),
            throttled: outbox.work.as_ref().is_some_and(|work| work.throttled),
            unwritten: outbox.unwritten(),
            word: outbox.word,
        }
    }

    /// Forgets its numbers (`crst`).
    pub(crate) fn reset_stats(&self) {
        self.outbox.lock().stats = ConnectionStats::default();
    }

    /// Says that it asked a four-letter word.
    pub(crate) fn set_word(&self) {
        self.outbox.lock().word = true;
    }

    /// Its session, once it has one.
    pub(crate) fn session(&self) -> Option<SessionInfo> {
        self.outbox.lock().stage.session()
    }

    /// Says which session it has.
    pub(crate) fn set_session(&self, session: SessionInfo) {
        self.outbox.lock().stage = Stage::Served(session);
    }

    /// Adds proven identities; one that is there already is not added again.
    pub(crate) fn add_identities(&self, added: &[AuthId]) {
        let mut outbox = self.outbox.lock();
        let work = outbox.work();
        work.barrier = work.line.iter().any(|waiting| matches!(waiting, InLine::Read(_, Read::Auth(_))));
        let fresh = added.iter().filter(|id| !outbox.identities.contains(id));
        let all: Vec<AuthId> = outbox.identities.iter().chain(fresh).cloned().collect();
        outbox.identities = all.into();
    }

    /// Lets it end once its output is written.
    pub(crate) fn finish(&self) {
        self.end(Ending::AfterOutput);
    }

    /// Lets it end at once; nothing more is put out.
    pub(crate) fn drop_now(&self) {
        self.end(Ending::Now);
    }

    fn end(&self, how: Ending) {
        let mut outbox = self.outbox.lock();
        if outbox.ending == Ending::Open || how == Ending::Now {
            outbox.ending = how;
        }
        if how == Ending::Now
            && let Some(work) = &mut outbox.work
        {
            work.buffer = BytesMut::new();
        }
        self.call(outbox);
    }

    /// How it stands.
    pub(crate) fn ending(&self) -> Ending {
        self.outbox.lock().ending
    }

    /// Takes everything that is to be written. What was taken before must be written.
    pub(crate) fn take_output(&self) -> BytesMut {
        let mut outbox = self.outbox.lock();
        let Some(work) = &mut outbox.work else { return BytesMut::new() };
        let buffer = std::mem::take(&mut work.buffer);
        work.taken = buffer.len();
        buffer
    }

    /// Says how much of what was taken is still unwritten.
    pub(crate) fn note_unwritten(&self, bytes: usize) {
        self.outbox.lock().work().taken = bytes;
    }

    /// Whether so much output is unwritten that no further request should be executed.
    pub(crate) fn is_output_full(&self) -> bool {
        self.outbox.lock().unwritten() > OUTPUT_PAUSE_BYTES
    }

    /// Requests that arrived and are not answered.
    pub(crate) fn outstanding(&self) -> usize {
        self.outbox.lock().work.as_ref().map_or(0, |work| work.outstanding)
    }

    /// Notes for `cons` whether its socket is being read.
    pub(crate) fn set_throttled(&self, throttled: bool) {
        self.outbox.lock().work().throttled = throttled;
    }

    /// Notes that a frame arrived, which is a request if it has `bytes` to hold until it is answered.
    pub(crate) fn received(&self, request_bytes: Option<usize>) {
        self.door.stats.received.fetch_add(1, Relaxed);
        let mut outbox = self.outbox.lock();
        outbox.stats.received += 1;
        if let Some(bytes) = request_bytes {
            outbox.work().outstanding += 1;
            self.door.request_arrived(bytes);
        }
    }

    /// Notes that a request will never be answered, because the connection ends.
    pub(crate) fn abandoned(&self, asked: &Asked) {
        self.outbox.lock().work().outstanding -= 1;
        self.door.request_done(asked.bytes);
    }

    /// Puts a write in line, which is then to be submitted with the identities returned; `ends_session` if it is closeSession.
    /// `None` if it has to wait.
    pub(crate) fn line_up_write(&self, ends_session: bool) -> Option<Arc<[AuthId]>> {
        let mut outbox = self.outbox.lock();
        let work = outbox.work();
        if work.line.len() >= LINE_MAX || !work.may_pass_reads() {
            return None;
        }
        work.line.push_back(InLine::Write);
        work.submitted += 1;
        work.closing_session |= ends_session;
        Some(outbox.identities.clone())
    }

    /// Whether a read has nothing before it and can be answered at once.
    pub(crate) fn is_line_empty(&self) -> bool {
        let outbox = self.outbox.lock();
        outbox.work.as_ref().is_none_or(|work| work.line.is_empty() && !work.draining)
    }

    /// Whether there is room in line.
    pub(crate) fn has_line_room(&self) -> bool {
        self.outbox.lock().work().line.len() < LINE_MAX
    }

    /// Puts a read in line, to be answered when everything before it is.
    pub(crate) fn line_up_read(&self, asked: Asked, read: Read) {
        let mut outbox = self.outbox.lock();
        let work = outbox.work();
        work.barrier |= matches!(read, Read::Auth(_));
        work.line.push_back(InLine::Read(asked, read));
    }

    /// Whether a read is first in line and may be answered now.
    pub(crate) fn has_read_first(&self) -> bool {
        let mut outbox = self.outbox.lock();
        let Some(work) = &outbox.work else { return false };
        !work.draining && matches!(work.line.front(), Some(InLine::Read(..))) && outbox.may_drain()
    }

    /// Takes the read that is first in line, if there is one and it may be answered now. Whoever got one asks again until there
    /// is none: nobody else answers reads meanwhile.
    pub(crate) fn next_read(&self) -> Option<(Asked, Read)> {
        let mut outbox = self.outbox.lock();
        outbox.work().draining = false;
        if outbox.unwritten() > FORCED_OUTPUT_BYTES_MAX {
            tracing::warn!(remote = %self.remote(), "a client sends requests and doesn't read the answers; closing its connection");
            outbox.cut();
        }
        if !outbox.may_drain() {
            return None;
        }
        let work = outbox.work();
        match work.line.pop_front() {
            Some(InLine::Read(asked, read)) => {
                work.draining = true;
                Some((asked, read))
            }
            Some(write) => {
                work.line.push_front(write);
                None
            }
            None => None,
        }
    }

    /// Notes that the write at the head of the line got its outcome. [`Connection::answer`] or [`Connection::abandoned`] has
    /// accounted for it.
    pub(crate) fn write_done(&self) {
        let mut outbox = self.outbox.lock();
        let work = outbox.work();
        work.line.pop_front();
        work.submitted -= 1;
    }

    /// Forgets the reads in line, because the connection ends; writes are still answered, to nobody.
    pub(crate) fn abandon_reads(&self) {
        let mut reads = Vec::new();
        self.outbox.lock().work().line.retain(|waiting| match waiting {
            InLine::Write => true,
            InLine::Read(asked, _) => {
                reads.push(*asked);
                false
            }
        });
        for asked in &reads {
            self.abandoned(asked);
        }
    }

    /// Lets the connection's task look for what there is to do.
    pub(crate) fn wake(&self) {
        self.call(self.outbox.lock());
    }

    /// Puts a packet without a header, as the answer to a connect request or a four-letter word.
    pub(crate) fn put_raw(&self, body: impl FnOnce(&mut BytesMut)) {
        let mut outbox = self.outbox.lock();
        if outbox.ending != Ending::Open {
            return;
        }
        body(&mut outbox.work().buffer);
        outbox.stats.sent += 1;
        self.door.stats.sent.fetch_add(1, Relaxed);
    }

    /// Puts the answer to a request. The body is written only if there is no error, or if it belongs to one.
    pub(crate) fn answer(&self, asked: &Asked, zxid: i64, err: i32, body: impl FnOnce(&mut BytesMut)) {
        let answered = Answered {
            operation: asked.op,
            xid: asked.xid,
            zxid,
            arrived_ms: asked.arrived_ms,
            now_ms: self.door.now_ms(),
        };
        self.door.request_done(asked.bytes);
        let mut outbox = self.outbox.lock();
        let is_open = outbox.ending == Ending::Open;
        let work = outbox.work();
        work.outstanding -= 1;
        if !is_open {
            return;
        }
        let before = work.buffer.len();
        reply::put_reply(&mut work.buffer, asked.xid, zxid, err, body);
        let size = (work.buffer.len() - before) as u64;
        outbox.stats.sent += 1;
        outbox.stats.answered(&answered);
        drop(outbox);
        let stats = &self.door.stats;
        stats.sent.fetch_add(1, Relaxed);
        stats.response_bytes.fetch_add(size, Relaxed);
        stats.response_size.note(size);
        stats.answered(&answered);
        if err == ErrorCode::AuthFailed.code() {
            stats.auth_failed.fetch_add(1, Relaxed);
        }
    }
}

impl Outbox {
    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    fn unwritten(&self) -> usize {
        self.work.as_ref().map_or(0, |work| work.unwritten())
    }

    /// Whether a read may be answered: not beyond what the client reads, unless a write behind it can't be held back.
    fn may_drain(&mut self) -> bool {
        if self.ending != Ending::Open {
            return false;
        }
        let work = self.work();
        let full = work.unwritten() > OUTPUT_PAUSE_BYTES;
        let forced = full && work.submitted > 0;
        work.cautious |= forced;
        !full || forced
    }

    /// Whether nothing is on hand, so that it can rest.
    fn is_quiet(&self) -> bool {
        self.ending == Ending::Open && self.work.as_ref().is_none_or(|work| work.is_done())
    }

    /// Ends the connection at once and drops what it would have written.
    fn cut(&mut self) {
        self.ending = Ending::Now;
        self.work().buffer = BytesMut::new();
    }
}

impl Work {
    fn unwritten(&self) -> usize {
        self.buffer.len() + self.taken
    }

    /// Whether a write may be submitted while there may be reads in line. Somebody must be sure to answer these before the write
    /// is applied: the completion of a write before them, or who is at it already.
    fn may_pass_reads(&self) -> bool {
        if self.line.len() == self.submitted && !self.draining {
            return true;
        }
        let will_be_drained = self.draining || matches!(self.line.front(), Some(InLine::Write));
        will_be_drained && !self.cautious && !self.barrier
    }

    /// Whether nothing is left to do, be it by the connection's task or by a write that is under way.
    fn is_done(&self) -> bool {
        self.unwritten() == 0
            && self.line.is_empty()
            && self.outstanding == 0
            && !self.draining
            && !self.closing_session
            && !self.woken
    }
}

impl Subscriber for Connection {
    fn identities(&self) -> Arc<[AuthId]> {
        self.outbox.lock().identities.clone()
    }

    fn heard_ms(&self) -> u64 {
        self.last_heard_ms.load(Relaxed)
    }

    fn event(&self, event: &WatchEvent) {
        let mut outbox = self.outbox.lock();
        if outbox.ending != Ending::Open {
            return;
        }
        let work = outbox.work();
        let before = work.buffer.len();
        reply::put_event(&mut work.buffer, event);
        let size = work.buffer.len() - before;
        outbox.stats.sent += 1;
        if outbox.unwritten() > OUTPUT_BYTES_MAX {
            outbox.cut();
            tracing::warn!(remote = %self.remote(), "a client doesn't read its watch events; closing its connection");
        }
        self.door.stats.sent.fetch_add(1, Relaxed);
        self.door.stats.watch_bytes.fetch_add(size as u64, Relaxed);
        self.call(outbox);
    }

    fn closed(&self, reason: Closed) {
        let mut outbox = self.outbox.lock();
        // The client asked for the end itself and is owed the answer, after which the connection ends.
        let asked = outbox.work.as_ref().is_some_and(|work| work.closing_session);
        if reason == Closed::SessionEnded && asked && outbox.ending == Ending::Open {
            return;
        }
        if outbox.ending == Ending::Open {
            outbox.ending = Ending::AfterOutput;
        }
        self.call(outbox);
        tracing::debug!(remote = %self.remote(), ?reason, "a session left its connection");
    }
}
