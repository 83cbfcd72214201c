//! Where connections rest that have nothing to do: their sockets are watched together, by one task for all of them.
//!
//! A connection that is served costs a task, a place in the runtime's I/O driver and what is on its hands; ten thousand sessions that
//! only ping would hold all that for nothing. So a connection with nothing to do gives its socket to the [`RestRoom`]
//! and ends its task: at once if it only pinged or got a watch event, after a silence if it asked for something. A byte of the client, a watch event or the end of its session brings it back.
//!
//! Invariants: a socket is watched either here or by the runtime; a call that comes while a connection goes to rest, or
//! rests, is never lost, because both are decided under the connection's lock; a call may come for one that doesn't rest (any
//! more), which means nothing.
use crate::connection::{Connection, SessionInfo};
use crate::door::Door;
use ensemble::Session;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use parking_lot::Mutex;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// How often the connections that are busy are looked at.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);
/// Sockets that the system names in one call; more are named in the next.
const EVENTS_AT_ONCE: usize = 256;

/// What is left of a connection's service while it rests.
pub(crate) struct Resting {
    pub(crate) session: Session,
    pub(crate) timeout_ms: i32,
    pub(crate) stream: TcpStream,
    /// Whether it has been called back.
    pub(crate) called: bool,
}

impl Resting {
    /// Its session, for the four-letter words.
    pub(crate) fn session_info(&self) -> SessionInfo {
        SessionInfo { id: self.session.id(), timeout_ms: self.timeout_ms, watcher: self.session.watcher() }
    }
}

/// The sockets of resting connections, and those that rest only after a silence.
pub(crate) struct RestRoom {
    registry: Registry,
    /// The numbers of connections that something has arrived for, each at most once.
    called: Mutex<Vec<u64>>,
    calls: Notify,
    busy: Mutex<Vec<Arc<Connection>>>,
    arrivals: Notify,
}

impl RestRoom {
    /// An empty one, and what [`watch`] polls.
    pub(crate) fn open() -> io::Result<(RestRoom, Poll)> {
        let poll = Poll::new()?;
        let room = RestRoom {
            registry: poll.registry().try_clone()?,
            called: Mutex::default(),
            calls: Notify::new(),
            busy: Mutex::default(),
            arrivals: Notify::new(),
        };
        Ok((room, poll))
    }

    /// Watches a socket from now on, also for what has arrived before.
    pub(crate) fn watch(&self, stream: &TcpStream, id: u64) -> io::Result<()> {
        let token = Token(usize::try_from(id).map_err(|_| io::ErrorKind::InvalidInput)?);
        self.registry.register(&mut SourceFd(&stream.as_raw_fd()), token, Interest::READABLE)
    }

    /// Watches a socket no longer.
    pub(crate) fn forget(&self, stream: &TcpStream) -> io::Result<()> {
        self.registry.deregister(&mut SourceFd(&stream.as_raw_fd()))
    }

    /// Calls a connection back. It may be called under any lock.
    pub(crate) fn call(&self, id: u64) {
        self.called.lock().push(id);
        self.calls.notify_one();
    }

    /// Notes that a connection is busy, until it is silent.
    pub(crate) fn note_busy(&self, connection: Arc<Connection>) {
        let mut busy = self.busy.lock();
        let is_first = busy.is_empty();
        busy.push(connection);
        drop(busy);
        if is_first {
            self.arrivals.notify_one();
        }
    }

    /// Those that have been silent for long enough; they are not looked at again unless they are noted anew.
    fn take_silent(&self, now_ms: u64) -> Vec<Arc<Connection>> {
        self.busy.lock().extract_if(.., |connection| connection.is_silent(now_ms)).collect()
    }
}

/// Brings connections back as something arrives for them.
pub(crate) async fn watch(door: Arc<Door>, poll: Poll) {
    let outcome = watch_sockets(&door, poll).await;
    if let Err(error) = outcome {
        tracing::error!(%error, "idle ZooKeeper clients can't be served any more; their connections are closed");
        for connection in door.connections() {
            connection.drop_now();
        }
    }
    loop {
        rouse_called(&door).await;
    }
}

async fn watch_sockets(door: &Arc<Door>, poll: Poll) -> io::Result<()> {
    // SAFETY: a `Poll` owns one open descriptor and keeps it until it is dropped, and it lives inside the `AsyncFd`.
    let mut poll = unsafe { AsyncFd::register_with_interest(poll, tokio::io::Interest::READABLE) }?;
    let mut events = Events::with_capacity(EVENTS_AT_ONCE);
    loop {
        tokio::select! {
            () = rouse_called(door) => {}
            ready = poll.readable_mut() => {
                let mut ready = ready?;
                match ready.get_inner_mut().poll(&mut events, Some(Duration::ZERO)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    outcome => outcome?,
                }
                if events.is_empty() {
                    ready.clear_ready();
                }
                for event in &events {
                    door.rouse(event.token().0 as u64);
                }
            }
        }
    }
}

async fn rouse_called(door: &Arc<Door>) {
    door.resting.calls.notified().await;
    let called = std::mem::take(&mut *door.resting.called.lock());
    for id in called {
        door.rouse(id);
    }
}

/// Lets busy connections rest once they are silent. There is no timer while nobody is busy.
pub(crate) async fn sweep(door: Arc<Door>) {
    loop {
        if door.resting.busy.lock().is_empty() {
            door.resting.arrivals.notified().await;
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
        for connection in door.resting.take_silent(door.now_ms()) {
            connection.calm_down();
        }
    }
}
