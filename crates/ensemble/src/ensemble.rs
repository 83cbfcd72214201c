//! The handle that the doors, the controller and the broker hold: sessions, writes in order, reads at one moment.
use crate::config::EnsembleConfig;
use crate::core::{Core, Shared};
use crate::mutant::Mutant;
use crate::outcome::{Completion, OpResult, Outcome, Refusal};
use crate::sequencer::complete;
use crate::sessions::{Attachment, OWN_SESSIONS_MAX, SESSION_COUNTER_MASK, is_of_a_node, node_of};
use crate::subscriber::{Closed, Subscriber};
use crate::watches::{WatchKind, WatcherId, WatcherType, Watches};
use base::World;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::{oneshot, watch};
use tree::{AuthId, Op, Request, SessionId, Tree, Zxid};

/// A running node of the ensemble. Cheap to clone.
#[derive(Clone)]
pub struct Ensemble {
    pub(crate) core: Arc<Core>,
    next_session: Arc<Mutex<i64>>,
    own_sessions: Arc<AtomicI64>,
}

/// What a client asks for when it connects.
#[derive(Clone, Debug)]
pub struct ConnectParams {
    /// The session to attach to; 0 asks for a new one.
    pub session: SessionId,
    /// The password of the session to attach to.
    pub password: Vec<u8>,
    /// The timeout that the client wants.
    pub timeout_ms: i32,
    /// The last transaction that the client has seen.
    pub last_zxid_seen: Zxid,
}

/// A client's session, attached to one connection.
pub struct Connected {
    /// The handle of the connection; dropping it detaches.
    pub session: Session,
    /// The password by which the client can attach again.
    pub password: [u8; 16],
    /// The timeout as negotiated.
    pub timeout_ms: i32,
}

/// Why a client can't connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No such session, or a wrong password: the client gets a response with timeout 0 (reference 3.18).
    #[error("the session has expired or its password is wrong")]
    Expired,
    /// The client has seen later transactions than this node: its socket is dropped (reference 3.17).
    #[error("the client has seen a later transaction than this node has")]
    AheadOfServer,
    /// The node can't open sessions at the moment.
    #[error("the node does not serve at the moment")]
    NotServing,
}

/// What a node is in the ensemble, in ZooKeeper's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The only node.
    Standalone,
    /// It sequences writes.
    Leader,
    /// It votes and follows.
    Follower,
    /// It follows.
    Observer,
}

/// Figures of a node for `srvr`, `mntr` and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its part.
    pub mode: Mode,
    /// The quorum's epoch.
    pub epoch: i32,
    /// The last applied transaction.
    pub last_zxid: Zxid,
    /// How many znodes there are, the root included.
    pub znodes: usize,
    /// How many of them are ephemeral.
    pub ephemerals: usize,
    /// Paths and data in bytes.
    pub data_bytes: u64,
    /// How many watches are set.
    pub watches: usize,
    /// How many sessions are open.
    pub sessions: usize,
    /// How many writes wait for their answer.
    pub outstanding: usize,
    /// How many transactions were applied since the start.
    pub applied: u64,
}

/// The tree and the watches at one moment, for a read.
pub struct ReadView<'a> {
    tree: &'a Tree,
    last_zxid: Zxid,
    watches: &'a Mutex<Watches>,
}

impl<'a> ReadView<'a> {
    pub(crate) fn new(shared: &'a Shared, watches: &'a Mutex<Watches>) -> ReadView<'a> {
        ReadView { tree: &shared.tree, last_zxid: shared.last_zxid(), watches }
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        self.tree
    }

    /// The last applied transaction, for the reply's header.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Sets a watch for a connection.
    pub fn watch(&self, watcher: WatcherId, path: &str, kind: WatchKind) {
        self.watches.lock().add(watcher, path, kind);
    }

    /// Whether the connection has a watch of that type there (checkWatches).
    pub fn has_watch(&self, watcher: WatcherId, path: &str, of: WatcherType) -> bool {
        self.watches.lock().contains(watcher, path, of)
    }

    /// Removes a connection's watches of that type there; false if there was none.
    pub fn remove_watch(&self, watcher: WatcherId, path: &str, of: WatcherType) -> bool {
        self.watches.lock().remove(watcher, path, of)
    }
}

impl Ensemble {
    pub(crate) fn over(core: Arc<Core>) -> Ensemble {
        // Ids of one server never repeat: they continue from the time of its start, in the shape of Apache's.
        let time = core.world.clock.wall_ms();
        let counter = (((time << 24) as u64) >> 8) as i64 & SESSION_COUNTER_MASK;
        let next_session = Arc::new(Mutex::new(counter.max(OWN_SESSIONS_MAX)));
        Ensemble { core, next_session, own_sessions: Arc::default() }
    }

    /// The settings that the node was started with.
    pub fn config(&self) -> &EnsembleConfig {
        &self.core.config
    }

    /// The node's outside world.
    pub fn world(&self) -> &World {
        &self.core.world
    }

    /// Runs `read` under the tree's read lock. Whatever it puts into an outbox is in the order of the log with watch events.
    /// It must be short and must not call the ensemble.
    pub fn read<R>(&self, read: impl FnOnce(&ReadView<'_>) -> R) -> R {
        let shared = self.core.shared.read();
        read(&self.core.view(&shared))
    }

    /// Opens a session or attaches to one. The connection before is told that the session has moved.
    pub async fn connect(
        &self,
        params: ConnectParams,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<Connected, ConnectError> {
        if !*self.core.serving.borrow() {
            return Err(ConnectError::NotServing);
        }
        let is_stale = params.last_zxid_seen > self.core.shared.read().last_zxid();
        if is_stale && !self.core.planted(Mutant::StaleReadAfterMove) {
            return Err(ConnectError::AheadOfServer);
        }
        if params.session.0 == 0 {
            self.open(params.timeout_ms, subscriber).await
        } else {
            self.attach(params, subscriber).await
        }
    }

    async fn open(
        &self,
        timeout_ms: i32,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<Connected, ConnectError> {
        let config = &self.core.config;
        let timeout_ms = timeout_ms.clamp(config.session_timeout_min_ms, config.session_timeout_max_ms);
        self.open_as(self.next_session_id(), timeout_ms, subscriber).await
    }

    /// Opens a session with this id.
    pub(crate) async fn open_as(
        &self,
        id: SessionId,
        timeout_ms: i32,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<Connected, ConnectError> {
        let password = self.core.world.random.bytes16();
        let password_sha256 = Sha256::digest(password).into();
        let request = Request::OpenSession { id, timeout_ms, password_sha256 };
        self.write(None, &[], request).await.map_err(|_| ConnectError::NotServing)?;
        let session = self.attach_connection(id, subscriber).ok_or(ConnectError::Expired)?;
        Ok(Connected { session, password, timeout_ms })
    }

    /// Attaches to a session that may have been opened at any node: the leader knows whether it still lives, and hears of its move.
    async fn attach(
        &self,
        params: ConnectParams,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<Connected, ConnectError> {
        let digest: tree::PasswordDigest = Sha256::digest(&params.password).into();
        let password: [u8; 16] = params.password.as_slice().try_into().map_err(|_| ConnectError::Expired)?;
        let (send, answer) = oneshot::channel::<Outcome>();
        let done: Completion = Box::new(move |outcome, _| {
            // Nobody waits any more if the client has gone.
            let _gone = send.send(outcome);
        });
        self.core.attach(params.session, digest, done);
        match answer.await.map_err(|_| ConnectError::NotServing)?.result {
            Ok(_) => {}
            Err(Refusal::NotServing) => return Err(ConnectError::NotServing),
            Err(Refusal::Tree(_) | Refusal::SessionMoved) => return Err(ConnectError::Expired),
        }
        let timeout_ms = self
            .read(|view| {
                let session = view.tree().session(params.session)?;
                (session.password_sha256 == digest).then_some(session.timeout_ms)
            })
            .ok_or(ConnectError::Expired)?;
        let session = self.attach_connection(params.session, subscriber).ok_or(ConnectError::Expired)?;
        Ok(Connected { session, password, timeout_ms })
    }

    fn attach_connection(&self, id: SessionId, subscriber: Arc<dyn Subscriber>) -> Option<Session> {
        let now = self.core.world.clock.monotonic_ms();
        let watcher = self.core.watches.lock().register(subscriber.clone());
        let attached = self.core.sessions.lock().attach(id, Attachment { watcher, subscriber }, now);
        let Some(previous) = attached else {
            self.core.watches.lock().forget(watcher);
            return None;
        };
        if let Some(previous) = previous {
            self.core.watches.lock().forget(previous.watcher);
            previous.subscriber.closed(Closed::Moved);
        }
        Some(Session { id, watcher, core: self.core.clone() })
    }

    fn next_session_id(&self) -> SessionId {
        let mut next = self.next_session.lock();
        *next = (*next + 1) & SESSION_COUNTER_MASK;
        *next = (*next).max(OWN_SESSIONS_MAX);
        SessionId((i64::from(self.core.config.node_id) << 56) | *next)
    }

    /// Counts this server's own sessions since its start, from 1.
    pub(crate) fn next_own_session(&self) -> i64 {
        self.own_sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The id of this server's `n`-th own session since its start.
    pub(crate) fn own_session_id(&self, n: i64) -> SessionId {
        SessionId((i64::from(self.core.config.node_id) << 56) | n.clamp(1, OWN_SESSIONS_MAX - 1))
    }

    /// Whether a session is one of this server's own, of this or an earlier run.
    pub(crate) fn is_own_session(&self, id: SessionId) -> bool {
        node_of(id) == self.core.config.node_id && is_of_a_node(id)
    }

    /// Submits a write and waits for its answer.
    pub async fn write(
        &self,
        session: Option<SessionId>,
        auth: &[AuthId],
        request: Request,
    ) -> Result<(Zxid, Vec<OpResult>), Refusal> {
        let (send, answer) = oneshot::channel::<Outcome>();
        let done: Completion = Box::new(move |outcome, _| {
            // Nobody waits any more if the asker was dropped.
            let _ = send.send(outcome);
        });
        self.core.submit(session, auth, request, done);
        let outcome = answer.await.map_err(|_| Refusal::NotServing)?;
        outcome.result.map(|results| (outcome.zxid, results))
    }

    /// Ends a session on the server's own account.
    pub async fn close_session(&self, id: SessionId) -> Result<(), Refusal> {
        self.core.sessions.lock().mark_closing(id);
        self.write(None, &[], Request::CloseSession { id }).await.map(|_| ())
    }

    /// Waits until the node takes writes; an error says why it never will.
    pub async fn serving(&self) -> Result<(), String> {
        let mut serving = self.core.serving.subscribe();
        let mut failure = self.core.failure.subscribe();
        loop {
            if let Some(reason) = failure.borrow_and_update().clone() {
                return Err(reason);
            }
            if *serving.borrow_and_update() {
                return Ok(());
            }
            tokio::select! {
                _ = serving.changed() => {}
                _ = failure.changed() => {}
            }
        }
    }

    /// Changes to the reason when the node must stop.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.core.failure.subscribe()
    }

    /// The node's figures.
    pub fn status(&self) -> Status {
        let (epoch, mode) = match self.core.consensus.lock().as_ref() {
            Some(consensus) => (consensus.quorum.epoch(), self.mode(&consensus.quorum)),
            None => (0, Mode::Standalone),
        };
        let outstanding = self.core.sequencer.lock().outstanding();
        let shared = self.core.shared.read();
        Status {
            mode,
            epoch,
            last_zxid: shared.last_zxid(),
            znodes: shared.tree.node_count(),
            ephemerals: shared.tree.ephemeral_count(),
            data_bytes: shared.tree.data_size(),
            watches: self.core.watches.lock().len(),
            sessions: self.core.sessions.lock().count(),
            outstanding,
            applied: self.core.applied_count.load(Ordering::Relaxed),
        }
    }

    /// In ZooKeeper's words: a voter that doesn't lead is a follower, also while there is no leader to follow.
    fn mode(&self, quorum: &quorum::Quorum) -> Mode {
        match quorum.role() {
            _ if self.core.peers.is_none() => Mode::Standalone,
            quorum::RoleName::Leader => Mode::Leader,
            quorum::RoleName::Observer => Mode::Observer,
            _ => Mode::Follower,
        }
    }

    /// How many writes wait for their answer, for a door's backpressure.
    pub fn outstanding(&self) -> usize {
        self.core.sequencer.lock().outstanding()
    }

    /// The watch table, for `wchs`, `wchc` and `wchp`.
    pub fn with_watches<R>(&self, look: impl FnOnce(&Watches) -> R) -> R {
        look(&self.core.watches.lock())
    }

    /// Sessions by the (monotonic) time at which they are looked at next, for `dump`.
    pub fn sessions_by_expiry(&self) -> Vec<(u64, Vec<SessionId>)> {
        self.core.sessions.lock().by_expiry().map(|(at, ids)| (at, ids.to_vec())).collect()
    }
}

/// A connection's hold on its session. Dropping it detaches the connection; the session lives on until its timeout.
pub struct Session {
    id: SessionId,
    watcher: WatcherId,
    core: Arc<Core>,
}

impl Session {
    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The connection's place in the watch table.
    pub fn watcher(&self) -> WatcherId {
        self.watcher
    }

    /// Says that the client was heard of, for whose subscriber doesn't ([`Subscriber::heard_ms`]).
    pub fn touch(&self) {
        self.core.sessions.lock().touch(self.id, self.core.world.clock.monotonic_ms());
    }

    /// Submits a write. `done` is called in the order of submission, under the tree's lock.
    pub fn submit(&self, auth: &[AuthId], request: Request, done: Completion) {
        let core = &self.core;
        if !core.sessions.lock().is_attached(self.id, self.watcher) {
            let shared = core.shared.read();
            return complete(done, &core.view(&shared), Err(Refusal::SessionMoved));
        }
        core.submit(Some(self.id), auth, request, done);
    }

    /// Submits several operations as one transaction.
    pub fn submit_multi(&self, auth: &[AuthId], ops: Vec<Op>, done: Completion) {
        self.submit(auth, Request::Multi(ops), done);
    }

    /// Calls back once everything that was submitted to the leader before is applied here (sync).
    pub fn sync(&self, done: Completion) {
        self.core.barrier(done);
    }

    /// Submits the end of the session; its ephemerals go with it.
    pub fn close(&self, done: Completion) {
        self.core.sessions.lock().mark_closing(self.id);
        self.core.submit(Some(self.id), &[], Request::CloseSession { id: self.id }, done);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let core = &self.core;
        core.watches.lock().forget(self.watcher);
        core.sessions.lock().detach(self.id, self.watcher);
    }
}
