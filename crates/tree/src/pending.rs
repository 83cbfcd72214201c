//! Owns what is in flight: the state of every znode and session that a prepared but not yet applied transaction
//! changes. Invariants: an entry holds the state after the newest such transaction, so that the tree plus the entries is
//! the tree as it will be; the queue is in the order of zxids and names every entry.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use crate::acl::AclList;
use crate::ids::{SessionId, Zxid};
use crate::owner::Owner;
use crate::path;
use crate::tree::{NodeRef, Tree};

/// What `prepare` needs to know of a znode.
#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    pub(crate) acl: AclList,
    pub(crate) owner: Owner,
    pub(crate) version: i32,
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    pub(crate) children: usize,
    pub(crate) mtime_ms: i64,
    pub(crate) mzxid: Zxid,
    pub(crate) data: DataState,
}

/// The data of a znode: that of the tree, or of a transaction in flight.
#[derive(Clone, Debug)]
pub(crate) enum DataState {
    /// The tree has it, in this length.
    Applied(usize),
    /// In flight.
    InFlight(Option<Bytes>),
}

impl NodeState {
    fn of(node: NodeRef<'_>) -> NodeState {
        let stat = node.raw_stat();
        NodeState {
            acl: node.acl().clone(),
            owner: node.owner(),
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            children: node.child_count(),
            mtime_ms: stat.mtime_ms,
            mzxid: stat.mzxid,
            data: DataState::Applied(node.data().map_or(0, <[u8]>::len)),
        }
    }

    pub(crate) fn data_length(&self) -> usize {
        match &self.data {
            DataState::Applied(length) => *length,
            DataState::InFlight(data) => data.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// The newest state of a znode in flight; none if it is deleted.
#[derive(Clone, Debug)]
struct NodeEntry {
    zxid: Zxid,
    state: Option<NodeState>,
}

#[derive(Clone, Copy, Debug)]
struct SessionEntry {
    zxid: Zxid,
    open: bool,
}

/// What a transaction in flight has touched.
#[derive(Debug)]
enum Touched {
    Node(Arc<str>),
    Session(SessionId),
    /// It created an ephemeral node of this session.
    Ephemeral(SessionId),
}

/// How to take a step back.
#[derive(Debug)]
enum Undo {
    Node(Arc<str>, Option<NodeEntry>),
    Session(SessionId, Option<SessionEntry>),
    Ephemeral(SessionId),
}

/// The changes that are prepared and not yet applied.
#[derive(Debug, Default)]
pub struct Pending {
    nodes: HashMap<Arc<str>, NodeEntry>,
    sessions: HashMap<SessionId, SessionEntry>,
    /// Per session the paths of the ephemeral nodes created in flight, oldest first; some may be deleted again.
    ephemerals: HashMap<SessionId, VecDeque<Arc<str>>>,
    queue: VecDeque<(Zxid, Touched)>,
    /// The steps of the transaction being prepared; empty between transactions.
    undo: Vec<Undo>,
    /// Whether a quota may be in flight, which the tree can't know of.
    quota_in_flight: bool,
}

impl Pending {
    /// Nothing in flight.
    pub fn new() -> Pending {
        Pending::default()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops what the tree now holds: everything up to and including transaction `last`.
    pub fn applied_through(&mut self, last: Zxid) {
        while let Some((zxid, touched)) = self.queue.pop_front_if(|(zxid, _)| *zxid <= last) {
            self.drop_applied(zxid, &touched);
        }
        if self.queue.is_empty() {
            self.quota_in_flight = false;
        }
    }

    fn drop_applied(&mut self, zxid: Zxid, touched: &Touched) {
        match touched {
            Touched::Node(path) => {
                if let EntryRef::Occupied(entry) = self.nodes.entry_ref(&**path)
                    && entry.get().zxid <= zxid
                {
                    entry.remove();
                }
            }
            Touched::Session(id) => {
                if self.sessions.get(id).is_some_and(|entry| entry.zxid <= zxid) {
                    self.sessions.remove(id);
                }
            }
            Touched::Ephemeral(id) => {
                if let Some(paths) = self.ephemerals.get_mut(id) {
                    paths.pop_front();
                    if paths.is_empty() {
                        self.ephemerals.remove(id);
                    }
                }
            }
        }
    }

    /// Drops everything: nothing of what is in flight will be applied.
    pub fn clear(&mut self) {
        *self = Pending::new();
    }

    /// Whether a session is open once everything in flight is applied.
    pub fn session_open(&self, tree: &Tree, id: SessionId) -> bool {
        match self.sessions.get(&id) {
            Some(entry) => entry.open,
            None => tree.session(id).is_some(),
        }
    }

    /// A znode as it will be; none if there will be none.
    pub(crate) fn node(&self, tree: &Tree, path: &str) -> Option<NodeState> {
        match self.nodes.get(canonical(path)) {
            Some(entry) => entry.state.clone(),
            None => tree.get(path).map(NodeState::of),
        }
    }

    /// Looks at a znode as it will be; none if there will be none.
    pub(crate) fn look_at<R>(
        &self,
        tree: &Tree,
        path: &str,
        look: impl FnOnce(&NodeState) -> R,
    ) -> Option<R> {
        match self.nodes.get(canonical(path)) {
            Some(entry) => entry.state.as_ref().map(look),
            None => tree.get(path).map(|node| look(&NodeState::of(node))),
        }
    }

    /// Whether a znode will be there.
    pub(crate) fn exists(&self, tree: &Tree, path: &str) -> bool {
        match self.nodes.get(canonical(path)) {
            Some(entry) => entry.state.is_some(),
            None => tree.find(path).is_some(),
        }
    }

    /// Whether any quota may be set.
    pub(crate) fn may_have_quota(&self, tree: &Tree) -> bool {
        tree.limits() > 0 || self.quota_in_flight
    }

    pub(crate) fn note_quota(&mut self) {
        self.quota_in_flight = true;
    }

    /// The znodes in flight at or below a path.
    pub(crate) fn nodes_within(&self, top: &str) -> impl Iterator<Item = (&Arc<str>, Option<&NodeState>)> {
        self.nodes
            .iter()
            .filter(move |(path, _)| path::is_within(path, top))
            .map(|(path, entry)| (path, entry.state.as_ref()))
    }

    /// The paths of the ephemeral nodes that a session will own, sorted.
    pub(crate) fn ephemerals(&self, tree: &Tree, id: SessionId) -> Vec<Arc<str>> {
        let mut paths = tree.ephemerals(id, "");
        if let Some(in_flight) = self.ephemerals.get(&id) {
            paths.extend(in_flight.iter().cloned());
            paths.sort_unstable();
            paths.dedup();
        }
        paths.retain(|path| match self.nodes.get(path) {
            Some(entry) => entry.state.as_ref().is_some_and(|state| state.owner == Owner::Session(id)),
            None => true,
        });
        paths
    }

    /// Sets the state of a znode as a step of transaction `zxid`.
    pub(crate) fn put_node(&mut self, zxid: Zxid, path: Arc<str>, state: Option<NodeState>) {
        let previous = self.nodes.insert(path.clone(), NodeEntry { zxid, state });
        self.undo.push(Undo::Node(path, previous));
    }

    /// As [`Pending::put_node`], for a caller that has no shared path: the one in flight is shared if there is one.
    pub(crate) fn put_node_at(&mut self, zxid: Zxid, path: &str, state: NodeState) {
        let path = match self.nodes.get_key_value(path) {
            Some((path, _)) => path.clone(),
            None => path.into(),
        };
        self.put_node(zxid, path, Some(state));
    }

    /// Opens or closes a session as a step of transaction `zxid`.
    pub(crate) fn put_session(&mut self, zxid: Zxid, id: SessionId, open: bool) {
        let previous = self.sessions.insert(id, SessionEntry { zxid, open });
        self.undo.push(Undo::Session(id, previous));
    }

    /// Notes a new ephemeral node.
    pub(crate) fn add_ephemeral(&mut self, id: SessionId, path: Arc<str>) {
        self.ephemerals.entry(id).or_default().push_back(path);
        self.undo.push(Undo::Ephemeral(id));
    }

    /// Makes the steps since the last commit or rollback one transaction in flight.
    pub(crate) fn commit(&mut self, zxid: Zxid) {
        for step in self.undo.drain(..) {
            let touched = match step {
                // The transaction has touched it before.
                Undo::Node(_, Some(previous)) if previous.zxid == zxid => continue,
                Undo::Node(path, _) => Touched::Node(path),
                Undo::Session(id, _) => Touched::Session(id),
                Undo::Ephemeral(id) => Touched::Ephemeral(id),
            };
            self.queue.push_back((zxid, touched));
        }
    }

    /// Takes back the steps since the last commit or rollback.
    pub(crate) fn roll_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            match step {
                Undo::Node(path, Some(entry)) => {
                    self.nodes.insert(path, entry);
                }
                Undo::Node(path, None) => {
                    self.nodes.remove(&path);
                }
                Undo::Session(id, Some(entry)) => {
                    self.sessions.insert(id, entry);
                }
                Undo::Session(id, None) => {
                    self.sessions.remove(&id);
                }
                Undo::Ephemeral(id) => {
                    if let Some(paths) = self.ephemerals.get_mut(&id) {
                        paths.pop_back();
                        if paths.is_empty() {
                            self.ephemerals.remove(&id);
                        }
                    }
                }
            }
        }
    }
}

/// The root goes by one name here.
fn canonical(path: &str) -> &str {
    if path.is_empty() { path::ROOT } else { path }
}
