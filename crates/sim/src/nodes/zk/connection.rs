//! A client's connection at its node, as the door of ZooKeeper has it: requests take effect in the order in which they were sent.
//!
//! Invariants: a write is answered by its completion, under the tree's lock; a read waits for the writes before it and sees the tree
//! right after the last of them; events and answers go out in the order of the tree.
use super::{Body, Change, Deed, Said, Sent, Waits};
use crate::nodes::network::{Network, Parcel};
use bytes::Bytes;
use ensemble::{
    Closed, Completion, ConnectParams, Ensemble, Outcome, ReadView, Refusal, Session, Subscriber, WatchEvent,
    WatchKind, WatcherId,
};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tree::{AclList, AuthId, Create, CreateMode, Op, Request, SessionId, Zxid};

/// The connection.
pub(in crate::nodes) struct Connection {
    network: Arc<Network>,
    /// Whether the process still runs; what it did not send by its end is never sent.
    alive: Arc<AtomicBool>,
    client: usize,
    number: u64,
    ensemble: Ensemble,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    line: VecDeque<InLine>,
    ended: bool,
}

enum InLine {
    Write(u32),
    Read(u32, Deed),
}

/// The half that hears of events. It holds no session, so that a dropped connection lets go of its own.
struct Ear(Arc<Connection>);

impl Subscriber for Ear {
    fn identities(&self) -> Arc<[AuthId]> {
        Arc::from([identity()])
    }

    fn event(&self, event: &WatchEvent) {
        self.0.say(Said::Event(event.clone()));
    }

    fn closed(&self, _reason: Closed) {
        self.0.end();
    }
}

fn identity() -> AuthId {
    AuthId::new("ip", "10.0.0.1")
}

impl Connection {
    pub(in crate::nodes) fn new(
        network: Arc<Network>,
        alive: Arc<AtomicBool>,
        client: usize,
        number: u64,
        ensemble: Ensemble,
    ) -> Arc<Connection> {
        Arc::new(Connection { network, alive, client, number, ensemble, state: Mutex::default() })
    }

    /// Takes what the client sent. Must be called inside the node's runtime.
    pub(in crate::nodes) fn take(self: &Arc<Self>, sent: Sent) {
        match sent {
            Sent::Open { session, password, timeout_ms, last_zxid } => {
                let last_zxid_seen = Zxid(last_zxid);
                let params = ConnectParams { session, password, timeout_ms, last_zxid_seen };
                drop(tokio::spawn(self.clone().open(params)));
            }
            Sent::Ask { xid, deed } => self.ask(xid, deed),
            Sent::Bye => {
                let mut state = self.state.lock();
                state.ended = true;
                let session = state.session.take();
                drop(state);
                drop(session);
            }
        }
    }

    async fn open(self: Arc<Self>, params: ConnectParams) {
        match self.ensemble.connect(params, Arc::new(Ear(self.clone()))).await {
            Ok(connected) => {
                let (password, timeout_ms) = (connected.password, connected.timeout_ms);
                let session = connected.session.id();
                let mut state = self.state.lock();
                if state.ended {
                    drop(state);
                    return;
                }
                state.session = Some(Arc::new(connected.session));
                drop(state);
                self.say(Said::Opened { session, password, timeout_ms });
            }
            Err(error) => {
                self.say(Said::Refused(error));
                self.end();
            }
        }
    }

    fn ask(self: &Arc<Self>, xid: u32, deed: Deed) {
        let mut state = self.state.lock();
        let Some(session) = state.session.clone().filter(|_| !state.ended) else { return };
        session.touch();
        match deed {
            Deed::Write(changes) => {
                state.line.push_back(InLine::Write(xid));
                drop(state);
                let mut ops: Vec<Op> = changes.into_iter().map(op_of).collect();
                let request = match (ops.pop(), ops.is_empty()) {
                    (Some(only), true) => Request::Op(only),
                    (last, _) => Request::Multi(ops.into_iter().chain(last).collect()),
                };
                session.submit(&[identity()], request, self.completion(xid));
            }
            Deed::Sync => {
                state.line.push_back(InLine::Write(xid));
                drop(state);
                session.sync(self.completion(xid));
            }
            Deed::Close => {
                state.line.push_back(InLine::Write(xid));
                drop(state);
                session.close(self.completion(xid));
            }
            read => {
                let waits = !state.line.is_empty();
                if waits {
                    state.line.push_back(InLine::Read(xid, read));
                    return;
                }
                drop(state);
                let watcher = session.watcher();
                self.ensemble.read(|view| self.answer_read(xid, &read, view, watcher));
            }
        }
    }

    fn completion(self: &Arc<Self>, xid: u32) -> Completion {
        let connection = self.clone();
        Box::new(move |outcome, view| connection.complete(xid, outcome, view))
    }

    /// Answers a write, and the reads behind it.
    fn complete(&self, xid: u32, outcome: Outcome, view: &ReadView<'_>) {
        let body = match outcome.result {
            Ok(results) => match results.is_empty() {
                true => Body::Done,
                false => Body::Written(results),
            },
            Err(Refusal::Tree(refused)) => Body::Failed { error: refused.error, index: refused.index },
            Err(Refusal::SessionMoved | Refusal::NotServing) => return self.end(),
        };
        {
            let mut state = self.state.lock();
            if state.ended {
                return;
            }
            match state.line.pop_front() {
                Some(InLine::Write(first)) if first == xid => {}
                _ => panic!("the write {xid} of client {} was answered out of its turn", self.client),
            }
        }
        self.say(Said::Answer { xid, zxid: outcome.zxid.0, body });
        loop {
            let mut state = self.state.lock();
            let Some(watcher) = state.session.as_ref().map(|session| session.watcher()) else { return };
            match state.line.pop_front() {
                Some(InLine::Read(xid, read)) => {
                    drop(state);
                    self.answer_read(xid, &read, view, watcher);
                }
                Some(write) => {
                    state.line.push_front(write);
                    return;
                }
                None => return,
            }
        }
    }

    fn answer_read(&self, xid: u32, read: &Deed, view: &ReadView<'_>, watcher: WatcherId) {
        let node = |path: &str| {
            let node = view.tree().get(path)?;
            Some((node.data().map(Bytes::copy_from_slice), node.stat()))
        };
        let body = match read {
            Deed::Get { path, watch } => {
                let found = node(path);
                if *watch && found.is_some() {
                    view.watch(watcher, path, WatchKind::Data);
                }
                Body::Node(found)
            }
            Deed::Exists { path, watch } => {
                if *watch {
                    view.watch(watcher, path, WatchKind::Data);
                }
                Body::Node(node(path).map(|(_, stat)| (None, stat)))
            }
            Deed::Children { path, watch } => {
                let found = view.tree().get(path).map(|node| {
                    let mut names: Vec<String> = node.children().map(str::to_owned).collect();
                    names.sort_unstable();
                    names
                });
                if *watch && found.is_some() {
                    view.watch(watcher, path, WatchKind::Children);
                }
                Body::Children(found)
            }
            Deed::SetWatches { relative, watches } => {
                for (path, waits) in watches {
                    self.set_watch(path, *waits, Zxid(*relative), view, watcher);
                }
                Body::Done
            }
            _ => Body::Done,
        };
        self.say(Said::Answer { xid, zxid: view.last_zxid().0, body });
    }

    /// Sets a watch again, or tells what it would have told meanwhile, as the door of ZooKeeper does.
    fn set_watch(&self, path: &str, waits: Waits, relative: Zxid, view: &ReadView<'_>, watcher: WatcherId) {
        let (waits_for, kind) = match waits {
            Waits::Data => (tree::WatchKind::Data, WatchKind::Data),
            Waits::Exist => (tree::WatchKind::Exist, WatchKind::Data),
            Waits::Child => (tree::WatchKind::Child, WatchKind::Children),
        };
        match view.tree().catch_up(waits_for, path, relative) {
            Some(kind) => self.say(Said::Event(WatchEvent { kind, path: Arc::from(path), zxid: None })),
            None => view.watch(watcher, path, kind),
        }
    }

    /// Closes the socket from the node's side.
    fn end(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.ended, true) {
            drop(state);
            self.send(Said::Gone);
        }
    }

    fn say(&self, said: Said) {
        let ended = self.state.lock().ended;
        if !ended {
            self.send(said);
        }
    }

    fn send(&self, said: Said) {
        if self.alive.load(Relaxed) {
            self.network.carry(Parcel::ToClient { client: self.client, connection: self.number, said });
        }
    }
}

fn op_of(change: Change) -> Op {
    match change {
        Change::Create { path, data, ephemeral, sequential } => Op::Create(Create {
            path: Arc::from(path.as_str()),
            data: Some(data),
            acl: AclList::open(),
            mode: match (ephemeral, sequential) {
                (false, false) => CreateMode::Persistent,
                (false, true) => CreateMode::PersistentSequential,
                (true, false) => CreateMode::Ephemeral,
                (true, true) => CreateMode::EphemeralSequential,
            },
            ttl_ms: None,
        }),
        Change::Set { path, data, version } => {
            Op::SetData { path: Arc::from(path.as_str()), data: Some(data), version }
        }
        Change::Delete { path, version } => Op::Delete { path: Arc::from(path.as_str()), version },
    }
}

/// The id that asks for a new session.
pub(super) const NO_SESSION: SessionId = SessionId(0);
