//! Owns the memory of znodes: a compact node, its name and data in one allocation, and a slab of nodes named by u32.
//! Invariants: a node is 104 bytes; a vacant slot is never reached from the root or the index; slots move never.

use crate::acl_table::AclId;
use crate::ids::Zxid;
use crate::owner::Owner;
use crate::stat::RawStat;

/// The number of a node in its [`Slab`].
pub(crate) type NodeId = u32;

/// No node: the root's parent.
pub(crate) const NO_NODE: NodeId = u32::MAX;

/// Marks a slot without a node.
const VACANT: NodeId = u32::MAX - 1;

/// Set in the length of the name when the data is null.
const NULL_DATA: u32 = 1 << 31;
/// Bytes of the length of the name.
const NAME_START: usize = 4;

/// A node's name and data: the length of the name (with a flag for null data), the name, the data.
struct Payload(Box<[u8]>);

impl Payload {
    fn new(name: &str, data: Option<&[u8]>) -> Payload {
        let name_length = u32::try_from(name.len()).expect("a name fits into a frame of less than 2 GiB");
        let flags = if data.is_none() { NULL_DATA } else { 0 };
        let data = data.unwrap_or_default();
        let mut bytes = Vec::with_capacity(NAME_START + name.len() + data.len());
        bytes.extend_from_slice(&(name_length | flags).to_ne_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(data);
        Payload(bytes.into_boxed_slice())
    }

    fn head(&self) -> u32 {
        u32::from_ne_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    fn data_start(&self) -> usize {
        NAME_START + (self.head() & !NULL_DATA) as usize
    }

    fn name_bytes(&self) -> &[u8] {
        &self.0[NAME_START..self.data_start()]
    }

    fn name(&self) -> &str {
        std::str::from_utf8(self.name_bytes()).expect("a name is copied from a str")
    }

    /// Puts data of the same length in the place of the old; false if that is not what it is.
    fn replace_data(&mut self, data: Option<&[u8]>) -> bool {
        let (start, is_null) = (self.data_start(), self.head() & NULL_DATA != 0);
        match data {
            Some(data) if !is_null && data.len() == self.0.len() - start => {
                self.0[start..].copy_from_slice(data);
                true
            }
            _ => false,
        }
    }

    fn data(&self) -> Option<&[u8]> {
        if self.head() & NULL_DATA != 0 { None } else { Some(&self.0[self.data_start()..]) }
    }
}

/// A znode.
pub(crate) struct Node {
    czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) pzxid: i64,
    ctime_ms: i64,
    pub(crate) mtime_ms: i64,
    /// Offset of the last record about the node.
    pub(crate) last_offset: i64,
    owner: i64,
    pub(crate) version: i32,
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    pub(crate) acl: AclId,
    /// The parent; [`NO_NODE`] for the root.
    pub(crate) parent: NodeId,
    /// The node's place in the parent's list of children.
    place: u32,
    payload: Payload,
    /// The children in no particular order; most nodes have none.
    children: Option<Box<Children>>,
}

/// The list has a type of its own so that a childless node pays for one pointer only.
#[derive(Default)]
struct Children(Vec<NodeId>);

impl Node {
    pub(crate) fn new(
        parent: NodeId,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        owner: Owner,
        stat: &RawStat,
        last_offset: i64,
    ) -> Node {
        Node {
            czxid: stat.czxid.0,
            mzxid: stat.mzxid.0,
            pzxid: stat.pzxid.0,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            last_offset,
            owner: owner.to_raw(),
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            acl,
            parent,
            place: 0,
            payload: Payload::new(name, data),
            children: None,
        }
    }

    fn vacant() -> Node {
        let mut node =
            Node::new(VACANT, "", None, AclId::default(), Owner::Persistent, &RawStat::default(), 0);
        node.payload = Payload(Box::default());
        node
    }

    pub(crate) fn czxid(&self) -> Zxid {
        Zxid(self.czxid)
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner::from_raw(self.owner)
    }

    pub(crate) fn name(&self) -> &str {
        self.payload.name()
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.payload.name_bytes() == name.as_bytes()
    }

    pub(crate) fn data(&self) -> Option<&[u8]> {
        self.payload.data()
    }

    pub(crate) fn data_length(&self) -> usize {
        self.data().map_or(0, <[u8]>::len)
    }

    pub(crate) fn set_data(&mut self, data: Option<&[u8]>) {
        if !self.payload.replace_data(data) {
            self.payload = Payload::new(self.payload.name(), data);
        }
    }

    pub(crate) fn children(&self) -> &[NodeId] {
        self.children.as_deref().map_or(&[], |children| &children.0)
    }

    pub(crate) fn raw_stat(&self) -> RawStat {
        RawStat {
            czxid: Zxid(self.czxid),
            mzxid: Zxid(self.mzxid),
            pzxid: Zxid(self.pzxid),
            ctime_ms: self.ctime_ms,
            mtime_ms: self.mtime_ms,
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
        }
    }

    /// Takes everything but the place in the tree from `other`.
    pub(crate) fn fill_from(&mut self, other: Node) {
        let filled = Node { parent: self.parent, place: self.place, children: self.children.take(), ..other };
        *self = filled;
    }
}

/// Nodes per chunk: growing never copies more than a list of chunks.
const CHUNK: usize = 1 << 12;

/// Nodes by number.
#[derive(Default)]
pub(crate) struct Slab {
    chunks: Vec<Vec<Node>>,
    free: Vec<NodeId>,
    /// Slots ever used.
    slots: u32,
}

impl Slab {
    /// Slots ever used: every node's number is below.
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    /// Number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.slots as usize - self.free.len()
    }

    pub(crate) fn insert(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.free.pop() {
            *self.get_mut(id) = node;
            return id;
        }
        let id = self.slots;
        assert!(id < VACANT, "a tree holds fewer than 2^32 - 2 znodes");
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(node),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(node);
                self.chunks.push(chunk);
            }
        }
        self.slots += 1;
        id
    }

    /// Makes the slot vacant.
    pub(crate) fn remove(&mut self, id: NodeId) {
        *self.get_mut(id) = Node::vacant();
        self.free.push(id);
    }

    pub(crate) fn get(&self, id: NodeId) -> &Node {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// The node in a slot, or none if it is vacant.
    pub(crate) fn occupied(&self, id: NodeId) -> Option<&Node> {
        Some(self.get(id)).filter(|node| node.parent != VACANT)
    }

    /// Enters `child` into the children of `parent`.
    pub(crate) fn link(&mut self, parent: NodeId, child: NodeId) {
        let children = &mut self.get_mut(parent).children.get_or_insert_default().0;
        children.push(child);
        let place = u32::try_from(children.len() - 1).expect("there are fewer than 2^32 nodes");
        self.get_mut(child).place = place;
    }

    /// Takes `child` out of the children of `parent`; the last child moves into its place.
    pub(crate) fn unlink(&mut self, parent: NodeId, child: NodeId) {
        let place = self.get(child).place;
        let Some(children) = &mut self.get_mut(parent).children else {
            return;
        };
        let children = &mut children.0;
        children.swap_remove(place as usize);
        let moved = children.get(place as usize).copied();
        if children.is_empty() {
            self.get_mut(parent).children = None;
        } else if children.capacity() > 64 && children.len() < children.capacity() / 4 {
            children.shrink_to(children.len() * 2);
        }
        if let Some(moved) = moved {
            self.get_mut(moved).place = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_104_bytes() {
        assert_eq!(size_of::<Node>(), 104);
    }

    #[test]
    fn zk_3_34_null_data_is_not_empty() {
        for data in [None, Some(&b""[..]), Some(b"x")] {
            let payload = Payload::new("näme", data);
            assert_eq!((payload.name(), payload.data()), ("näme", data));
        }
    }
}
