//! The parts of a running ensemble node, and the locks between them.
//!
//! Lock order: consensus, sequencer, tree (`shared`), watches, sessions, then a subscriber's own outbox. A later lock may be taken under an
//! earlier one, never the other way round.
use crate::config::EnsembleConfig;
use crate::consensus::Consensus;
use crate::ensemble::ReadView;
use crate::outcome::{Completion, Refusal};
use crate::sequencer::{Asker, Sequencer, Submitted, complete};
use crate::sessions::Sessions;
use crate::watches::Watches;
use crate::znode_log::ZnodeLog;
use base::World;
use parking_lot::{Mutex, RwLock};
use peers::Peers;
use std::sync::atomic::AtomicU64;
use tokio::sync::{Notify, watch};
use tree::{Applied, AuthId, Request, SessionId, Tree, Zxid};

/// The tree and how far it has come; one lock, so that a reader sees both at one moment.
pub(crate) struct Shared {
    pub(crate) tree: Tree,
    /// The offset up to which the log is applied, control batches included.
    pub(crate) applied_end: i64,
    /// What applying the last transaction gave; kept for its memory.
    pub(crate) applied: Applied,
}

impl Shared {
    /// The last applied transaction, as replies carry it: 0 before the first.
    pub(crate) fn last_zxid(&self) -> Zxid {
        self.tree.last_zxid().max(Zxid(0))
    }
}

/// One node's part in the ensemble.
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) config: EnsembleConfig,
    /// The way to other nodes; `None` on a node that is alone.
    pub(crate) peers: Option<Peers>,
    pub(crate) znode_log: ZnodeLog,
    /// `None` until the quorum is started.
    pub(crate) consensus: Mutex<Option<Consensus>>,
    pub(crate) sequencer: Mutex<Sequencer>,
    pub(crate) shared: RwLock<Shared>,
    pub(crate) watches: Mutex<Watches>,
    pub(crate) sessions: Mutex<Sessions>,
    /// The epoch that this node was elected for, and the offset behind which the tree must have come before writes are taken.
    pub(crate) taking_over: Mutex<Option<(i32, i64)>>,
    /// The high watermark.
    pub(crate) committed: watch::Sender<i64>,
    /// The offset up to which the tree has come; readers of the topic wait on it.
    pub(crate) applied: watch::Sender<i64>,
    /// Whether writes are taken.
    pub(crate) serving: watch::Sender<bool>,
    /// When the quorum's timer is due, in monotonic milliseconds.
    pub(crate) tick_at: watch::Sender<u64>,
    /// There is something to write.
    pub(crate) work: Notify,
    pub(crate) applied_count: AtomicU64,
    pub(crate) stopping: watch::Sender<bool>,
    /// Why the node must stop, once it must.
    pub(crate) failure: watch::Sender<Option<String>>,
}

impl Core {
    pub(crate) fn new(
        world: World,
        config: EnsembleConfig,
        peers: Option<Peers>,
        znode_log: ZnodeLog,
        tree: Tree,
        applied_end: i64,
    ) -> Core {
        let sessions = Sessions::new(config.tick_ms);
        Core {
            consensus: Mutex::new(None),
            sequencer: Mutex::new(Sequencer::new()),
            shared: RwLock::new(Shared { tree, applied_end, applied: Applied::default() }),
            watches: Mutex::new(Watches::default()),
            sessions: Mutex::new(sessions),
            taking_over: Mutex::new(None),
            committed: watch::Sender::new(applied_end),
            applied: watch::Sender::new(applied_end),
            serving: watch::Sender::new(false),
            tick_at: watch::Sender::new(u64::MAX),
            work: Notify::new(),
            applied_count: AtomicU64::new(0),
            stopping: watch::Sender::new(false),
            failure: watch::Sender::new(None),
            world,
            config,
            peers,
            znode_log,
        }
    }

    /// The tree and the watches while the tree's lock is held.
    pub(crate) fn view<'a>(&'a self, shared: &'a Shared) -> ReadView<'a> {
        ReadView::new(shared, &self.watches)
    }

    pub(crate) fn stopped(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Lets every worker end.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
        self.work.notify_one();
        self.committed.send_modify(|_| {});
        self.tick_at.send_modify(|_| {});
        self.applied.send_modify(|_| {});
    }

    /// The node can't keep its promises any more: nobody is answered from now on, and the process is told to end.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(%reason, "the znode log failed; the node stops");
        self.failure.send_modify(|failure| {
            failure.get_or_insert(reason);
        });
        self.stop();
        self.stop_leading();
    }

    /// Submits a write of a session or, without one, of the server or of a producer to `__znodes`.
    pub(crate) fn submit(
        &self,
        session: Option<SessionId>,
        auth: &[AuthId],
        request: Request,
        done: Completion,
    ) {
        let time_ms = self.world.clock.wall_ms();
        let asker = Asker { session, auth, time_ms, options: &self.config.tree };
        let mut sequencer = self.sequencer.lock();
        let shared = self.shared.read();
        let submitted = sequencer.submit(&shared.tree, &asker, request, done);
        match submitted {
            Submitted::Queued => self.work.notify_one(),
            Submitted::Now(result, done) => complete(done, &self.view(&shared), result),
            Submitted::Fatal(reason) => {
                drop(shared);
                drop(sequencer);
                self.fail(reason);
            }
        }
    }

    /// Calls back once everything that was submitted before is applied.
    pub(crate) fn barrier(&self, done: Completion) {
        let mut sequencer = self.sequencer.lock();
        let shared = self.shared.read();
        let result = if sequencer.epoch().is_some() { Ok(Vec::new()) } else { Err(Refusal::NotServing) };
        if let Submitted::Now(result, done) = sequencer.answer_later(result, done) {
            complete(done, &self.view(&shared), result);
        }
    }

    /// Refuses everyone who waits: whether their writes will be committed is not known here any more.
    pub(crate) fn stop_leading(&self) {
        self.serving.send_replace(false);
        let waiting = self.sequencer.lock().deactivate();
        let shared = self.shared.read();
        for waiting in waiting {
            complete(waiting.done, &self.view(&shared), Err(Refusal::NotServing));
        }
    }

    /// After the tree has moved: tells readers of the topic, and begins to take writes once an elected node has the whole log.
    pub(crate) fn after_apply(&self, applied_end: i64) {
        self.applied.send_replace(applied_end);
        let mut taking_over = self.taking_over.lock();
        let Some((epoch, start_offset)) = *taking_over else { return };
        if applied_end <= start_offset {
            return;
        }
        *taking_over = None;
        drop(taking_over);
        self.sequencer.lock().activate(epoch, self.znode_log.end());
        self.give_sessions_their_time();
        let fresh = self.shared.read().tree.get("/").is_none();
        if fresh {
            self.bootstrap();
        } else {
            self.serving.send_replace(true);
        }
    }

    /// Logs the transaction that a new tree begins with, and serves once it is applied.
    fn bootstrap(&self) {
        let serving = self.serving.clone();
        let time_ms = self.world.clock.wall_ms();
        let done: Completion = Box::new(move |outcome, _| {
            serving.send_replace(outcome.result.is_ok());
        });
        match self.sequencer.lock().submit_resolved(Tree::bootstrap_changes(), time_ms, done) {
            Ok(()) => self.work.notify_one(),
            Err(reason) => self.fail(reason),
        }
    }

    /// A new leader gives every session its full timeout from now on.
    fn give_sessions_their_time(&self) {
        let now = self.world.clock.monotonic_ms();
        let shared = self.shared.read();
        let mut sessions = self.sessions.lock();
        for (id, session) in shared.tree.sessions() {
            sessions.track(id, session.timeout_ms as u64, now);
        }
    }
}
