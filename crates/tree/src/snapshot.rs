//! Owns snapshots: the tree as of one transaction, handed out piece by piece while later transactions are applied.
//! Invariants: a node that existed at the snapshot's transaction and changes afterwards leaves a pre-image first, unless
//! it has been handed out; an image is the node exactly as of that transaction; images come in the order of the offsets
//! of their last records. A dropped [`Snapshot`] ends itself at the next change.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use hashbrown::HashMap;

use crate::acl::AclList;
use crate::ids::{SessionId, Zxid};
use crate::node::{Node, NodeId};
use crate::owner::Owner;
use crate::stat::RawStat;
use crate::tree::Tree;
use crate::txn::PasswordDigest;

/// A znode with everything that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeImage {
    /// Its path.
    pub path: Arc<str>,
    /// Its data; none is null, which is not empty.
    pub data: Option<Bytes>,
    /// Its ACL.
    pub acl: AclList,
    /// What its life depends on.
    pub owner: Owner,
    /// Its stat.
    pub stat: RawStat,
    /// Offset of the last record about it.
    pub last_offset: i64,
}

/// An open session with everything that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionImage {
    /// Its id.
    pub id: SessionId,
    /// Its timeout in milliseconds.
    pub timeout_ms: i32,
    /// SHA-256 of its password.
    pub password_sha256: PasswordDigest,
    /// Offset of its record.
    pub last_offset: i64,
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// A znode.
    Node(NodeImage),
    /// A session.
    Session(SessionImage),
}

impl Image {
    /// Offset of the last record about the znode or session.
    pub fn last_offset(&self) -> i64 {
        match self {
            Image::Node(node) => node.last_offset,
            Image::Session(session) => session.last_offset,
        }
    }
}

/// What the tree keeps for a snapshot under way.
pub(crate) struct PreImages {
    /// The snapshot's transaction.
    at: Zxid,
    nodes: HashMap<NodeId, NodeImage>,
    /// The highest offset handed out; gone when the [`Snapshot`] is.
    handed_out: Weak<AtomicI64>,
}

/// A snapshot under way. Three phases: [`Snapshot::collect`] until it says so, [`Snapshot::sort`] once (the only long
/// step, and it needs no tree), [`Snapshot::next`] until it gives nothing. Between calls the tree may change.
pub struct Snapshot {
    at: Zxid,
    /// Slots of the tree at the beginning: every node of the snapshot is in one of them.
    slots: NodeId,
    next_slot: NodeId,
    /// Last offset and slot of every node of the snapshot.
    order: Vec<(i64, NodeId)>,
    sorted: bool,
    next_node: usize,
    sessions: Vec<SessionImage>,
    next_session: usize,
    handed_out: Arc<AtomicI64>,
}

impl Tree {
    /// Begins a snapshot of the tree as it is; none while another one is under way.
    pub fn begin_snapshot(&mut self) -> Option<Snapshot> {
        if self.pre_images.as_ref().is_some_and(|images| images.handed_out.strong_count() > 0) {
            return None;
        }
        let handed_out = Arc::new(AtomicI64::new(i64::MIN));
        self.pre_images = Some(PreImages {
            at: self.last_zxid,
            nodes: HashMap::new(),
            handed_out: Arc::downgrade(&handed_out),
        });
        let session = |(id, session): (SessionId, &crate::Session)| SessionImage {
            id,
            timeout_ms: session.timeout_ms,
            password_sha256: session.password_sha256,
            last_offset: session.last_offset,
        };
        let mut sessions: Vec<SessionImage> = self.sessions().map(session).collect();
        sessions.sort_unstable_by_key(|session| session.last_offset);
        Some(Snapshot {
            at: self.last_zxid,
            slots: self.slab.slots(),
            next_slot: 0,
            order: Vec::with_capacity(self.node_count()),
            sorted: false,
            next_node: 0,
            sessions,
            next_session: 0,
            handed_out,
        })
    }

    /// Ends a snapshot, whole or not: its pre-images are dropped.
    pub fn end_snapshot(&mut self, snapshot: Snapshot) {
        drop(snapshot);
        self.pre_images = None;
    }

    /// Keeps a node as it is for a snapshot under way, if the snapshot still needs it. To be called before each change.
    pub(crate) fn preserve(&mut self, id: NodeId) {
        let Some(images) = &self.pre_images else {
            return;
        };
        let Some(handed_out) = images.handed_out.upgrade() else {
            self.pre_images = None;
            return;
        };
        let node = self.slab.get(id);
        if node.czxid() > images.at
            || images.nodes.contains_key(&id)
            || node.last_offset() <= handed_out.load(Ordering::Relaxed)
        {
            return;
        }
        let image = self.image(id);
        if let Some(images) = &mut self.pre_images {
            images.nodes.insert(id, image);
        }
    }

    fn image(&self, id: NodeId) -> NodeImage {
        let node = self.node_ref(id);
        NodeImage {
            path: node.path(),
            data: node.data().map(Bytes::copy_from_slice),
            acl: node.acl().clone(),
            owner: node.owner(),
            stat: node.raw_stat(),
            last_offset: node.last_offset(),
        }
    }

    fn pre_image(&self, id: NodeId) -> Option<&NodeImage> {
        self.pre_images.as_ref()?.nodes.get(&id)
    }
}

impl Snapshot {
    /// The last transaction that the snapshot holds.
    pub fn at(&self) -> Zxid {
        self.at
    }

    /// Looks at up to `slots_max` more slots of the tree that the snapshot was begun on; true when all are seen.
    pub fn collect(&mut self, tree: &Tree, slots_max: usize) -> bool {
        let end = self.slots.min(self.next_slot.saturating_add(slots_max.try_into().unwrap_or(u32::MAX)));
        for id in self.next_slot..end {
            let last_offset = match tree.pre_image(id) {
                Some(image) => Some(image.last_offset),
                None => tree.slab.occupied(id).filter(|node| node.czxid() <= self.at).map(Node::last_offset),
            };
            self.order.extend(last_offset.map(|offset| (offset, id)));
        }
        self.next_slot = end;
        end == self.slots
    }

    /// Puts what was collected into order. Needs no tree, so that no lock is held meanwhile.
    pub fn sort(&mut self) {
        self.order.sort_unstable();
        self.sorted = true;
    }

    /// Number of znodes and sessions; final once collecting is done.
    pub fn len(&self) -> usize {
        self.order.len() + self.sessions.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends up to `max` more images to `out`, in the order of their last offsets; gives their number, 0 at the end.
    /// What is left of the phases before is done first.
    pub fn next(&mut self, tree: &Tree, max: usize, out: &mut Vec<Image>) -> usize {
        if !self.sorted {
            self.collect(tree, usize::MAX);
            self.sort();
        }
        for given in 0..max {
            let node = self.order.get(self.next_node).copied();
            let session = self.sessions.get(self.next_session);
            let image = match (node, session) {
                (None, None) => return given,
                (Some((offset, id)), session)
                    if session.is_none_or(|session| offset < session.last_offset) =>
                {
                    self.next_node += 1;
                    self.handed_out.store(offset, Ordering::Relaxed);
                    Image::Node(tree.pre_image(id).cloned().unwrap_or_else(|| tree.image(id)))
                }
                (_, Some(session)) => {
                    self.next_session += 1;
                    Image::Session(session.clone())
                }
                (Some(_), None) => return given,
            };
            out.push(image);
        }
        max
    }
}
