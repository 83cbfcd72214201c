//! The parts of a running ensemble node, and the locks between them.
//!
//! Lock order: consensus, sequencer, tree (`shared`), watches, sessions, then a subscriber's own outbox. A later lock may be taken under an
//! earlier one, never the other way round. The locks of what was fetched and of the pace may be taken under any of them, and no other under them.
use crate::asks::{Ask, Origin};
use crate::config::EnsembleConfig;
use crate::consensus::Consensus;
use crate::ensemble::ReadView;
use crate::fetched::Fetched;
use crate::outcome::{Completion, OpResult, Refusal};
use crate::pace::Pace;
use crate::sequencer::{Asker, Sequencer, Submitted, complete};
use crate::sessions::Sessions;
use crate::watches::Watches;
use crate::znode_log::ZnodeLog;
use base::World;
use parking_lot::{Mutex, RwLock};
use peers::Peers;
use quorum::VoterSet;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};
use tree::{Applied, AuthId, PasswordDigest, Refused, Request, SessionId, Tree, TreeError, Zxid};

/// The tree and how far it has come; one lock, so that a reader sees both at one moment.
pub(crate) struct Shared {
    pub(crate) tree: Tree,
    /// The offset up to which the log is applied, control batches included.
    pub(crate) applied_end: i64,
    /// The epoch of the last entry below it.
    pub(crate) applied_epoch: i32,
    /// The last voter set below it, with the offset of its record; `None` while the configuration's is in effect.
    pub(crate) voters: Option<(i64, VoterSet)>,
    /// What applying the last transaction gave; kept for its memory.
    pub(crate) applied: Applied,
}

impl Shared {
    /// The last applied transaction, as replies carry it: 0 before the first.
    pub(crate) fn last_zxid(&self) -> Zxid {
        self.tree.last_zxid().max(Zxid(0))
    }
}

/// What a snapshot, or nothing, gives to begin with.
pub(crate) struct Restored {
    pub(crate) tree: Tree,
    /// The first offset that is not in the tree.
    pub(crate) end: i64,
    /// The epoch of the entry before.
    pub(crate) epoch: i32,
    /// The voter set as of then, with the offset of its record.
    pub(crate) voters: Option<(i64, VoterSet)>,
}

/// One node's part in the ensemble.
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) config: EnsembleConfig,
    /// The way to other nodes; `None` on a node that is alone.
    pub(crate) peers: Option<Peers>,
    pub(crate) znode_log: ZnodeLog,
    /// What was fetched and waits to be applied.
    pub(crate) fetched: Mutex<Fetched>,
    /// How fast this node catches up.
    pub(crate) pace: Mutex<Pace>,
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
    /// Whether clients are served.
    pub(crate) serving: watch::Sender<bool>,
    /// The epoch in which this node leads and takes writes.
    pub(crate) leading: watch::Sender<Option<i32>>,
    /// The leader that this node follows, and its epoch.
    pub(crate) following: watch::Sender<Option<(i32, i32)>>,
    /// When the leader was last known to hear of this node, in monotonic milliseconds.
    pub(crate) contact_ms: AtomicU64,
    /// This run of the node, as it is told to others.
    pub(crate) incarnation: i64,
    /// The id of the cluster, once it is known.
    pub(crate) cluster_id: RwLock<Option<String>>,
    /// There is something to forward.
    pub(crate) forward: Notify,
    /// The leader decided on something that the tree waits for.
    pub(crate) decided: Notify,
    /// A snapshot takes the place of the tree; writing one of the old tree is given up.
    pub(crate) installing: AtomicBool,
    /// The leader was asked how far its tree is, so that this node can serve from there on.
    pub(crate) asked_to_serve: AtomicBool,
    /// The nodes that are being asked whether their processes live.
    pub(crate) probed: Mutex<BTreeSet<i32>>,
    /// Held while a snapshot is written or installed.
    pub(crate) snapshotting: Mutex<()>,
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
        restored: Restored,
    ) -> Core {
        let mut sessions = Sessions::new(config.tick_ms);
        let now = world.clock.monotonic_ms();
        sessions.reset(restored.tree.sessions().map(|(id, session)| (id, session.timeout_ms as u64)), now);
        let Restored { tree, end, epoch, voters } = restored;
        let mut drawn = [0; 8];
        drawn.copy_from_slice(&world.random.bytes16()[..8]);
        Core {
            fetched: Mutex::new(Fetched::default()),
            pace: Mutex::new(Pace::default()),
            consensus: Mutex::new(None),
            sequencer: Mutex::new(Sequencer::new()),
            shared: RwLock::new(Shared {
                tree,
                applied_end: end,
                applied_epoch: epoch,
                voters,
                applied: Applied::default(),
            }),
            watches: Mutex::new(Watches::default()),
            sessions: Mutex::new(sessions),
            taking_over: Mutex::new(None),
            committed: watch::Sender::new(end),
            applied: watch::Sender::new(end),
            serving: watch::Sender::new(false),
            leading: watch::Sender::new(None),
            following: watch::Sender::new(None),
            contact_ms: AtomicU64::new(now),
            incarnation: i64::from_be_bytes(drawn) & i64::MAX,
            cluster_id: RwLock::new(config.cluster.cluster_id.clone()),
            forward: Notify::new(),
            decided: Notify::new(),
            installing: AtomicBool::new(false),
            asked_to_serve: AtomicBool::new(false),
            probed: Mutex::new(BTreeSet::new()),
            snapshotting: Mutex::new(()),
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
        self.serving.send_replace(false);
        self.work.notify_one();
        self.committed.send_modify(|_| {});
        self.tick_at.send_modify(|_| {});
        self.applied.send_modify(|_| {});
    }

    /// The node can't keep its promises any more: nobody is answered from now on, and the process is told to end.
    pub(crate) fn fail(&self, reason: String) {
        self.halt(reason);
        self.stop_leading();
        let waiting = self.sequencer.lock().forwards.give_up();
        self.refuse(waiting);
    }

    /// Ends all work; those who wait stay unanswered.
    fn halt(&self, reason: String) {
        tracing::error!(%reason, "the node can't go on and stops");
        self.failure.send_modify(|failure| {
            failure.get_or_insert(reason);
        });
        self.stop();
    }

    /// Submits a write of a session or, without one, of the server or of a producer to `__znodes`.
    pub(crate) fn submit(
        &self,
        session: Option<SessionId>,
        auth: &[AuthId],
        request: Request,
        done: Completion,
    ) {
        let mut sequencer = self.sequencer.lock();
        if sequencer.epoch().is_none() {
            return self.ask_leader(
                &mut sequencer,
                Ask::Write { session, auth: auth.to_vec(), request },
                done,
            );
        }
        self.judge(&mut sequencer, session, auth, &request, done);
    }

    /// Judges a write, as the leader.
    fn judge(
        &self,
        sequencer: &mut Sequencer,
        session: Option<SessionId>,
        auth: &[AuthId],
        request: &Request,
        done: Completion,
    ) {
        let time_ms = self.world.clock.wall_ms();
        let asker = Asker { session, auth, time_ms, options: &self.config.tree };
        let shared = self.shared.read();
        match sequencer.submit(&shared.tree, &asker, request, done) {
            Submitted::Queued => self.work.notify_one(),
            Submitted::Now(result, done) => complete(done, &self.view(&shared), result),
            Submitted::Fatal(reason) => self.halt(reason),
        }
    }

    /// Keeps an ask for the leader. A node that is alone has none to wait for.
    fn ask_leader(&self, sequencer: &mut Sequencer, ask: Ask, done: Completion) {
        let refused = match self.peers {
            Some(_) if !self.stopped() => sequencer.forwards.push(ask, done).err(),
            _ => Some(done),
        };
        match refused {
            None => self.forward.notify_one(),
            Some(done) => complete(done, &self.view(&self.shared.read()), Err(Refusal::NotServing)),
        }
    }

    /// Calls back once everything that was submitted before, anywhere, is applied here.
    pub(crate) fn barrier(&self, done: Completion) {
        let mut sequencer = self.sequencer.lock();
        if sequencer.epoch().is_none() {
            return self.ask_leader(&mut sequencer, Ask::Sync, done);
        }
        self.answer(&mut sequencer, Ok(Vec::new()), done);
    }

    /// Asks the leader whether a session may be attached here; calls back once the tree shows the session.
    pub(crate) fn attach(&self, session: SessionId, password_sha256: PasswordDigest, done: Completion) {
        let mut sequencer = self.sequencer.lock();
        if sequencer.epoch().is_none() {
            return self.ask_leader(&mut sequencer, Ask::Attach { session, password_sha256 }, done);
        }
        let is_open = sequencer.session_open(&self.shared.read().tree, session);
        let result = if is_open { Ok(Vec::new()) } else { Err(expired()) };
        self.answer(&mut sequencer, result, done);
    }

    fn answer(&self, sequencer: &mut Sequencer, result: Result<Vec<OpResult>, Refusal>, done: Completion) {
        let shared = self.shared.read();
        if let Submitted::Now(result, done) = sequencer.answer_later(result, done) {
            complete(done, &self.view(&shared), result);
        }
    }

    /// Refuses everyone whose write this node sequenced: whether it will be committed is not known here any more.
    pub(crate) fn stop_leading(&self) {
        self.leading.send_replace(None);
        let waiting = self.sequencer.lock().deactivate();
        self.refuse(waiting);
        self.sessions.lock().forget_proposals();
        // A majority was out of reach for about as long as a fetch may take before this node noticed.
        let seen = self.world.clock.monotonic_ms().saturating_sub(self.config.cluster.fetch_timeout_ms);
        self.contact_ms.store(seen, Ordering::Relaxed);
    }

    /// Tells those who wait that the outcome is unknown.
    pub(crate) fn refuse(&self, waiting: Vec<Completion>) {
        let shared = self.shared.read();
        for done in waiting {
            complete(done, &self.view(&shared), Err(Refusal::NotServing));
        }
    }

    /// The quorum has another leader, or none.
    pub(crate) fn leader_changed(self: &Arc<Self>, leader: Option<i32>, epoch: i32) {
        tracing::info!(?leader, epoch, "the quorum's leader changed");
        let other = leader.filter(|leader| *leader != self.config.node_id).map(|leader| (leader, epoch));
        self.following.send_replace(other);
        {
            let mut sequencer = self.sequencer.lock();
            sequencer.forwards.pause();
            self.resume_forwards(&mut sequencer, &self.shared.read());
        }
        self.sessions.lock().forget_reports();
        self.decided.notify_one();
        self.forward.notify_one();
    }

    /// Once the log of the leader's epoch has reached the tree, what waits can be sent to it.
    pub(crate) fn resume_forwards(self: &Arc<Self>, sequencer: &mut Sequencer, shared: &Shared) {
        let Some((_, epoch)) = *self.following.borrow() else { return };
        if sequencer.forwards.leader_epoch() == Some(epoch) || shared.applied_epoch < epoch {
            return;
        }
        sequencer.forwards.resume(epoch);
        self.ask_to_serve(sequencer);
        self.forward.notify_one();
    }

    /// Serves clients again once the tree has come as far as the leader's, unless it does or is about to.
    pub(crate) fn ask_to_serve(self: &Arc<Self>, sequencer: &mut Sequencer) {
        if *self.serving.borrow() || self.asked_to_serve.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = Arc::downgrade(self);
        let done: Completion = Box::new(move |outcome, _| {
            let Some(core) = core.upgrade() else { return };
            core.asked_to_serve.store(false, Ordering::Release);
            if outcome.result.is_ok() && !core.stopped() {
                core.serving.send_replace(true);
            }
        });
        // A full queue is emptied by its answers, after which this is tried again.
        if sequencer.forwards.push(Ask::Sync, done).is_err() {
            self.asked_to_serve.store(false, Ordering::Release);
        }
        self.forward.notify_one();
    }

    /// Whether a transaction was forwarded by this run of this node.
    pub(crate) fn is_own(&self, origin: &Origin) -> bool {
        origin.node == self.config.node_id && origin.incarnation == self.incarnation
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
        self.take_over(epoch);
    }

    /// Takes writes from now on, first those that waited here for a leader.
    fn take_over(&self, epoch: i32) {
        // Held so that the leadership can't be lost halfway.
        let consensus = self.consensus.lock();
        if consensus.as_ref().is_none_or(|consensus| consensus.leading != Some(epoch)) {
            return;
        }
        let mut sequencer = self.sequencer.lock();
        sequencer.activate(epoch, self.znode_log.end());
        self.sessions.lock().give_time(self.world.clock.monotonic_ms());
        if self.shared.read().tree.get("/").is_none() {
            self.bootstrap(&mut sequencer);
        } else {
            self.serving.send_replace(true);
        }
        for (ask, done) in sequencer.forwards.take_all() {
            match ask {
                Ask::Write { session, auth, request } => {
                    self.judge(&mut sequencer, session, &auth, &request, done);
                }
                Ask::Sync => self.answer(&mut sequencer, Ok(Vec::new()), done),
                Ask::Attach { session, .. } => {
                    let is_open = sequencer.session_open(&self.shared.read().tree, session);
                    let result = if is_open { Ok(Vec::new()) } else { Err(expired()) };
                    self.answer(&mut sequencer, result, done);
                }
            }
        }
        self.leading.send_replace(Some(epoch));
    }

    /// Logs the transaction that a new tree begins with, and serves once it is applied.
    fn bootstrap(&self, sequencer: &mut Sequencer) {
        let serving = self.serving.clone();
        let time_ms = self.world.clock.wall_ms();
        let done: Completion = Box::new(move |outcome, _| {
            serving.send_replace(outcome.result.is_ok());
        });
        match sequencer.submit_resolved(Tree::bootstrap_changes(), time_ms, done) {
            Ok(()) => self.work.notify_one(),
            Err(reason) => self.halt(reason),
        }
    }
}

/// The answer to whoever wants a session that is not there.
pub(crate) fn expired() -> Refusal {
    Refusal::Tree(Refused { error: TreeError::SessionExpired, index: 0 })
}
