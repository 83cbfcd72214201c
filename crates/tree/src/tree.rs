//! Owns the tree itself: nodes by path, sessions, and what is counted over all nodes; and the reads of it.
//! Invariants: every node but the root is in the index under (parent, name) and in its parent's children exactly once;
//! a session's `ephemerals` are exactly the nodes it owns; `last_zxid` moves only after a whole transaction.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

use crate::acl::AclList;
use crate::acl_table::AclTable;
use crate::dense::DenseMap;
use crate::ids::{SessionId, Zxid};
use crate::node::{NO_NODE, Node, NodeId, Slab};
use crate::owner::Owner;
use crate::path;
use crate::quota;
use crate::snapshot::PreImages;
use crate::stat::{RawStat, Stat};
use crate::txn::PasswordDigest;

/// An open session as the log knows it.
#[derive(Debug)]
pub struct Session {
    /// The timeout negotiated when it was opened, in milliseconds.
    pub timeout_ms: i32,
    /// SHA-256 of its password.
    pub password_sha256: PasswordDigest,
    /// Offset of its record.
    pub last_offset: i64,
    pub(crate) ephemerals: Ephemerals,
}

/// The ephemeral nodes of a session; most sessions have none and pay for a pointer only.
#[derive(Debug, Default)]
pub(crate) struct Ephemerals(Option<Box<HashSet<NodeId>>>);

impl Ephemerals {
    pub(crate) fn of(nodes: HashSet<NodeId>) -> Ephemerals {
        Ephemerals(Some(Box::new(nodes)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |nodes| nodes.len())
    }

    pub(crate) fn insert(&mut self, id: NodeId) {
        self.0.get_or_insert_default().insert(id);
    }

    fn remove(&mut self, id: NodeId) {
        if let Some(nodes) = &mut self.0 {
            nodes.remove(&id);
            if nodes.is_empty() {
                self.0 = None;
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().flat_map(|nodes| nodes.iter().copied())
    }
}

impl Session {
    /// Number of ephemeral nodes that it owns.
    pub fn ephemeral_count(&self) -> usize {
        self.ephemerals.len()
    }
}

/// A node's place in the index: enough of the hash to grow the table without touching nodes.
#[derive(Clone, Copy)]
struct IndexEntry {
    hash: u32,
    id: NodeId,
}

/// Spreads the kept half of a hash over the 64 bits that the table looks at.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The znodes and sessions as of [`Tree::last_zxid`].
pub struct Tree {
    pub(crate) slab: Slab,
    index: HashTable<IndexEntry>,
    hasher: DefaultHashBuilder,
    pub(crate) root: Option<NodeId>,
    pub(crate) acls: AclTable,
    pub(crate) sessions: DenseMap<SessionId, Session>,
    containers: HashSet<NodeId>,
    ttls: HashSet<NodeId>,
    /// Number of quota limit nodes; while it is 0 no write needs to look for a quota.
    limits: usize,
    /// Bytes of all paths and data.
    data_size: u64,
    pub(crate) last_zxid: Zxid,
    pub(crate) pre_images: Option<PreImages>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// A tree without even a root. The first transaction of its log is made of [`Tree::bootstrap_changes`].
    pub fn new() -> Tree {
        Tree {
            slab: Slab::default(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            root: None,
            acls: AclTable::new(),
            sessions: DenseMap::new(),
            containers: HashSet::new(),
            ttls: HashSet::new(),
            limits: 0,
            data_size: 0,
            last_zxid: Zxid::NONE,
            pre_images: None,
        }
    }

    /// The last transaction that was applied: what replies carry in their headers.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The node at a path. `""` is the root too; a path that isn't valid is a node that isn't there.
    pub fn get(&self, path: &str) -> Option<NodeRef<'_>> {
        self.find(path).map(|id| self.node_ref(id))
    }

    /// Number of nodes, the root and the server's own included.
    pub fn node_count(&self) -> usize {
        self.slab.len()
    }

    /// Bytes of all paths and data (`zk_approximate_data_size`).
    pub fn data_size(&self) -> u64 {
        self.data_size
    }

    /// Number of different ACLs in use.
    pub fn acl_count(&self) -> usize {
        self.acls.len()
    }

    /// Number of all descendants of a node; none if it is missing.
    pub fn all_children_count(&self, path: &str) -> Option<usize> {
        let id = self.find(path)?;
        if Some(id) == self.root {
            return Some(self.node_count() - 1);
        }
        Some(self.subtree(id).count() - 1)
    }

    /// An open session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All open sessions in the order of their ids, so that what is done with each does not depend on a hash.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        let mut sessions: Vec<_> = self.sessions.iter().map(|(id, session)| (*id, session)).collect();
        sessions.sort_unstable_by_key(|(id, _)| *id);
        sessions.into_iter()
    }

    /// The ephemeral nodes of a session whose paths begin with `prefix`, sorted; a blank prefix and `/` mean all.
    pub fn ephemerals(&self, id: SessionId, prefix: &str) -> Vec<Arc<str>> {
        let Some(session) = self.sessions.get(&id) else {
            return Vec::new();
        };
        let prefix = if matches!(prefix.trim(), "" | "/") { "" } else { prefix };
        let mut paths: Vec<Arc<str>> = session
            .ephemerals
            .iter()
            .map(|node| self.path_of(node))
            .filter(|path| path.starts_with(prefix))
            .collect();
        paths.sort_unstable();
        paths
    }

    /// Number of ephemeral nodes of all sessions.
    pub fn ephemeral_count(&self) -> usize {
        self.sessions.values().map(Session::ephemeral_count).sum()
    }

    /// The containers and TTL nodes that a [`crate::Request::Reap`] would remove at this time, sorted.
    pub fn reap_candidates(&self, now_ms: i64) -> Vec<Arc<str>> {
        let due = |&&id: &&NodeId| {
            let node = self.slab.get(id);
            let stat = node.raw_stat();
            is_due(node.owner(), node.children().len(), stat.cversion, stat.mtime_ms, now_ms)
        };
        let mut paths: Vec<Arc<str>> =
            self.containers.iter().chain(&self.ttls).filter(due).map(|&id| self.path_of(id)).collect();
        paths.sort_unstable();
        paths
    }

    /// The root, `/zookeeper`, `/zookeeper/quota` and `/zookeeper/config`: the first transaction of a new log.
    pub fn bootstrap_changes() -> Vec<crate::Change> {
        crate::apply::bootstrap_changes()
    }

    /// Number of quota limit nodes.
    pub(crate) fn limits(&self) -> usize {
        self.limits
    }

    pub(crate) fn node_ref(&self, id: NodeId) -> NodeRef<'_> {
        NodeRef { tree: self, id, node: self.slab.get(id) }
    }

    /// The node at a path; `""` is the root.
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        let root = self.root?;
        let Some(segments) = path.strip_prefix('/') else {
            return if path.is_empty() { Some(root) } else { None };
        };
        if segments.is_empty() {
            return Some(root);
        }
        segments.split('/').try_fold(root, |parent, name| self.child(parent, name))
    }

    /// A node's child of this name.
    pub(crate) fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let hash = self.hash(parent, name);
        self.index
            .find(spread(hash), |entry| entry.hash == hash && self.is_child(entry.id, parent, name))
            .map(|entry| entry.id)
    }

    fn is_child(&self, id: NodeId, parent: NodeId, name: &str) -> bool {
        let node = self.slab.get(id);
        node.parent == parent && node.has_name(name)
    }

    fn hash(&self, parent: NodeId, name: &str) -> u32 {
        self.hasher.hash_one((parent, name)) as u32
    }

    /// Puts a new node into the tree and into whatever counts it but the sessions.
    pub(crate) fn attach(&mut self, node: Node, path: &str) -> NodeId {
        let id = self.place(node);
        self.count(id, path);
        id
    }

    /// Puts a new node under its parent, uncounted.
    pub(crate) fn place(&mut self, node: Node) -> NodeId {
        let parent = node.parent;
        let id = self.slab.insert(node);
        if parent == NO_NODE {
            self.root = Some(id);
        } else {
            let hash = self.hash(parent, self.slab.get(id).name());
            self.index.insert_unique(spread(hash), IndexEntry { hash, id }, |entry| spread(entry.hash));
            self.slab.link(parent, id);
        }
        id
    }

    /// Counts a node that is new, or that a restore has just filled.
    pub(crate) fn count(&mut self, id: NodeId, path: &str) {
        let node = self.slab.get(id);
        self.data_size += (path.len() + node.data_length()) as u64;
        match node.owner() {
            Owner::Container => {
                self.containers.insert(id);
            }
            Owner::Ttl(_) => {
                self.ttls.insert(id);
            }
            Owner::Persistent | Owner::Session(_) => {}
        }
        if quota::is_limits(path) {
            self.limits += 1;
        }
    }

    /// Removes a childless node that is not the root from everything that holds or counts it.
    pub(crate) fn detach(&mut self, id: NodeId, path: &str) {
        let node = self.slab.get(id);
        let (parent, owner, acl) = (node.parent, node.owner(), node.acl());
        self.data_size -= (path.len() + node.data_length()) as u64;
        let hash = self.hash(parent, node.name());
        if let Ok(entry) = self.index.find_entry(spread(hash), |entry| entry.id == id) {
            entry.remove();
        }
        match owner {
            Owner::Container => {
                self.containers.remove(&id);
            }
            Owner::Ttl(_) => {
                self.ttls.remove(&id);
            }
            Owner::Session(session) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.ephemerals.remove(id);
                }
            }
            Owner::Persistent => {}
        }
        if quota::is_limits(path) {
            self.limits -= 1;
        }
        self.acls.release(acl);
        self.slab.unlink(parent, id);
        self.slab.remove(id);
    }

    /// Replaces a node's data.
    pub(crate) fn set_data(&mut self, id: NodeId, data: Option<&[u8]>) {
        let node = self.slab.get_mut(id);
        self.data_size -= node.data_length() as u64;
        node.set_data(data);
        self.data_size += node.data_length() as u64;
    }

    /// The path of a node.
    pub(crate) fn path_of(&self, id: NodeId) -> Arc<str> {
        let mut names = Vec::new();
        let mut node = self.slab.get(id);
        while node.parent != NO_NODE {
            names.push(node.name());
            node = self.slab.get(node.parent);
        }
        if names.is_empty() {
            return path::ROOT.into();
        }
        let mut path = String::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path.into()
    }

    /// A node and all its descendants, parents first. Depth costs no stack.
    pub(crate) fn subtree(&self, top: NodeId) -> impl Iterator<Item = &Node> {
        let mut open = vec![top];
        std::iter::from_fn(move || {
            let node = self.slab.get(open.pop()?);
            open.extend_from_slice(node.children());
            Some(node)
        })
    }
}

/// Whether the server should remove a node of this owner: childless, and a container that once had a child, or a TTL
/// node unmodified for longer than its TTL.
pub(crate) fn is_due(owner: Owner, children: usize, cversion: i32, mtime_ms: i64, now_ms: i64) -> bool {
    children == 0
        && match owner {
            Owner::Container => cversion > 0,
            Owner::Ttl(ttl_ms) => now_ms.saturating_sub(mtime_ms) > ttl_ms,
            Owner::Persistent | Owner::Session(_) => false,
        }
}

/// A node, for as long as the tree is read.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    tree: &'a Tree,
    id: NodeId,
    node: &'a Node,
}

impl<'a> NodeRef<'a> {
    /// The data; none is null, which is not empty.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.node.data()
    }

    /// The stat as a client sees it.
    pub fn stat(&self) -> Stat {
        self.node.raw_stat().for_client(
            self.node.owner(),
            self.node.data_length(),
            self.node.children().len(),
        )
    }

    /// The stat as it is stored.
    pub fn raw_stat(&self) -> RawStat {
        self.node.raw_stat()
    }

    /// The ACL.
    pub fn acl(&self) -> &'a AclList {
        self.tree.acls.get(self.node.acl())
    }

    /// What the node's life depends on.
    pub fn owner(&self) -> Owner {
        self.node.owner()
    }

    /// The names of the children in no particular order.
    pub fn children(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let tree = self.tree;
        self.node.children().iter().map(move |&id| tree.slab.get(id).name())
    }

    /// Number of children.
    pub fn child_count(&self) -> usize {
        self.node.children().len()
    }

    /// Offset of the last record about the node.
    pub fn last_offset(&self) -> i64 {
        self.node.last_offset()
    }

    /// The path.
    pub fn path(&self) -> Arc<str> {
        self.tree.path_of(self.id)
    }
}
