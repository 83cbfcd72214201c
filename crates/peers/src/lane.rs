//! One lane to one address: the queue of its calls, and the task that opens the connection and opens it again.
//!
//! Invariants: calls are sent in the order in which they were queued; what was sent over a connection that broke is never sent again,
//! because nobody knows whether it was executed; a refused connection ends every call that waits, at once.
use crate::connection::{self, End};
use crate::tcp::{BYTES_MAX, CALLS_MAX};
use crate::{Address, CallError, Lane};
use bytes::Bytes;
use kafka_wire::{ApiKey, Response};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The pause before a connection is tried again that could not be opened, or broke before it gave a single response.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Pauses double up to this.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A call in its lane.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// The request's frame; empty once it is on its way.
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Response, CallError>>,
    pub(crate) _share: Share,
}

/// What the calls of a lane take together.
#[derive(Debug, Default)]
pub(crate) struct Load {
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

/// One call's part of the load; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    load: Arc<Load>,
    bytes: usize,
}

impl Share {
    /// A share for a request of so many bytes; none if the lane is full. Called by one thread at a time.
    pub(crate) fn of(load: &Arc<Load>, bytes: usize) -> Option<Share> {
        let taken = load.bytes.load(Relaxed);
        if load.calls.load(Relaxed) >= CALLS_MAX || (taken > 0 && taken.saturating_add(bytes) > BYTES_MAX) {
            return None;
        }
        load.calls.fetch_add(1, Relaxed);
        load.bytes.fetch_add(bytes, Relaxed);
        Some(Share { load: load.clone(), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.calls.fetch_sub(1, Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// All lanes of a transport.
#[derive(Debug)]
pub(crate) struct Lanes {
    by_key: Mutex<HashMap<(Address, Lane), Entrance>>,
    runtime: Handle,
    idle_max: Duration,
}

/// Where calls enter a lane.
#[derive(Debug)]
struct Entrance {
    queue: mpsc::UnboundedSender<Queued>,
    load: Arc<Load>,
}

impl Lanes {
    pub(crate) fn new(runtime: Handle, idle_max: Duration) -> Arc<Lanes> {
        Arc::new(Lanes { by_key: Mutex::default(), runtime, idle_max })
    }

    pub(crate) fn count(&self) -> usize {
        self.by_key.lock().len()
    }

    /// Queues the call that `make` makes of the lane's load, unless it finds the lane full.
    pub(crate) fn push(
        self: &Arc<Self>,
        to: &Address,
        lane: Lane,
        make: impl FnOnce(&Arc<Load>) -> Option<Queued>,
    ) -> Result<(), CallError> {
        let mut lanes = self.by_key.lock();
        let entrance = lanes.entry((to.clone(), lane)).or_insert_with(|| self.open(to.clone(), lane));
        let call = make(&entrance.load).ok_or_else(|| CallError::Busy(to.clone()))?;
        // Only a lane that ended with the runtime takes nothing more; the call ends with it, unanswered.
        let _unqueued = entrance.queue.send(call);
        Ok(())
    }

    /// Starts a lane's task.
    fn open(self: &Arc<Self>, to: Address, lane: Lane) -> Entrance {
        let (sender, queue) = mpsc::unbounded_channel();
        let task = LaneTask { to, lane, lanes: Arc::downgrade(self), calls: Calls::default(), queue };
        self.runtime.spawn(task.run(self.idle_max));
        Entrance { queue: sender, load: Arc::default() }
    }
}

/// The calls of a lane that its task has taken from the queue.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Not sent.
    pub(crate) waiting: VecDeque<Queued>,
    /// Sent and not answered.
    pub(crate) sent: VecDeque<Queued>,
    /// No deadline is earlier than this.
    earliest: Option<Instant>,
}

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    pub(crate) fn push(&mut self, call: Queued) {
        self.earliest = Some(self.earliest.map_or(call.deadline, |earliest| earliest.min(call.deadline)));
        self.waiting.push_back(call);
    }

    /// When to look again whether a call is overdue; none while there is no call.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        if self.is_empty() { None } else { self.earliest }
    }

    /// Whether a call is overdue.
    pub(crate) fn is_overdue(&mut self, now: Instant) -> bool {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return false;
        }
        self.earliest = self.waiting.iter().chain(&self.sent).map(|call| call.deadline).min();
        self.earliest.is_some_and(|earliest| earliest <= now)
    }

    /// Ends all calls.
    fn fail(&mut self, error: &CallError) {
        self.earliest = None;
        for call in self.sent.drain(..).chain(self.waiting.drain(..)) {
            // Who no longer waits needs no answer.
            let _unread = call.answer.send(Err(error.clone()));
        }
    }
}

/// The task of a lane.
struct LaneTask {
    to: Address,
    lane: Lane,
    lanes: Weak<Lanes>,
    calls: Calls,
    queue: mpsc::UnboundedReceiver<Queued>,
}

/// Why waiting for something else ended early.
enum Interrupted {
    /// A call is overdue.
    Overdue,
    /// The transport is gone.
    Dropped,
}

impl LaneTask {
    async fn run(mut self, idle_max: Duration) {
        let mut pause = Duration::ZERO;
        while self.has_calls(idle_max).await {
            let attempt = async {
                tokio::time::sleep(pause).await;
                connect(&self.to).await
            };
            let stream = match waiting_for(&mut self.calls, &mut self.queue, attempt).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    pause = longer(pause);
                    self.not_connected(&error);
                    continue;
                }
                Err(Interrupted::Overdue) => {
                    self.lost("the connection could not be opened in time");
                    continue;
                }
                Err(Interrupted::Dropped) => return,
            };
            let (end, responses) =
                connection::converse(&stream, &mut self.calls, &mut self.queue, idle_max).await;
            pause = if responses > 0 { Duration::ZERO } else { longer(pause) };
            match end {
                End::Idle if self.retire() => return,
                End::Idle => pause = Duration::ZERO,
                End::Dropped => return,
                End::Overdue => self.lost("no response came in time"),
                End::Closed if self.calls.is_empty() => {}
                End::Closed => self.fail(&CallError::Closed(self.to.clone())),
                End::Broken(reason) => self.lost(&reason),
            }
        }
    }

    /// Waits until there are calls; false if the lane is to end.
    async fn has_calls(&mut self, idle_max: Duration) -> bool {
        while self.calls.is_empty() {
            match tokio::time::timeout(idle_max, self.queue.recv()).await {
                Ok(Some(call)) => self.calls.push(call),
                Ok(None) => return false,
                Err(_) if self.retire() => return false,
                Err(_) => {}
            }
        }
        true
    }

    /// Leaves the transport's lanes, unless a call has come meanwhile.
    fn retire(&mut self) -> bool {
        let Some(lanes) = self.lanes.upgrade() else { return true };
        let mut by_key = lanes.by_key.lock();
        // Calls are queued under this lock.
        let is_unused = self.queue.is_empty();
        if is_unused {
            by_key.remove(&(self.to.clone(), self.lane));
        }
        is_unused
    }

    fn not_connected(&mut self, error: &io::Error) {
        if error.kind() != io::ErrorKind::ConnectionRefused {
            return self.lost(&format!("no connection: {error}"));
        }
        while let Ok(call) = self.queue.try_recv() {
            self.calls.push(call);
        }
        self.calls.fail(&CallError::Refused(self.to.clone()));
    }

    fn lost(&mut self, reason: &str) {
        self.fail(&CallError::Lost { to: self.to.clone(), reason: reason.to_owned() });
    }

    /// Ends the calls that the task has taken.
    fn fail(&mut self, error: &CallError) {
        tracing::debug!(to = %self.to, lane = ?self.lane, %error, "a connection to another node is given up");
        self.calls.fail(error);
    }
}

/// The pause after one more failure.
fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}

/// Opens a connection.
async fn connect(to: &Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    // Nobody listens on a port that the system has just given to this very socket: it is connected with itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Takes calls in while something else is under way, for as long as none is overdue.
async fn waiting_for<T>(
    calls: &mut Calls,
    queue: &mut mpsc::UnboundedReceiver<Queued>,
    work: impl Future<Output = T>,
) -> Result<T, Interrupted> {
    tokio::pin!(work);
    loop {
        let now = Instant::now();
        if calls.is_overdue(now) {
            return Err(Interrupted::Overdue);
        }
        let look_at = calls.look_at().unwrap_or(now + PAUSE_MAX);
        tokio::select! {
            output = &mut work => return Ok(output),
            call = queue.recv() => match call {
                Some(call) => calls.push(call),
                None => return Err(Interrupted::Dropped),
            },
            () = tokio::time::sleep_until(look_at) => {}
        }
    }
}
