//! Owns the memory of znodes: a compact node, its name and data in one allocation, and a slab of nodes named by u32.
//! Invariants: a node is 72 bytes, and what most nodes don't have is in a box; a vacant slot is never reached from the root or the index; slots move never.

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
    mzxid: i64,
    ctime_ms: i64,
    mtime_ms: i64,
    payload: Payload,
    /// `None` for a node that was never more than a leaf of its own with data; all that is in it has an ordinary value then.
    rare: Option<Box<Rare>>,
    version: i32,
    /// The parent; [`NO_NODE`] for the root.
    pub(crate) parent: NodeId,
    /// The node's place in the parent's list of children.
    place: u32,
    /// The number of the ACL; of no meaning if there is a rare half.
    acl: u16,
    /// How far the last record about the node is behind that of its mzxid; of no meaning if there is a rare half.
    ahead: u16,
}

/// What most nodes don't have: children, an owner, changes of them or of the ACL, a last record that isn't that of the data.
struct Rare {
    pzxid: i64,
    owner: i64,
    /// Offset of the last record about the node.
    last_offset: i64,
    /// The children in no particular order.
    children: Option<Box<Children>>,
    cversion: i32,
    aversion: i32,
    acl: AclId,
}

/// The list has a type of its own so that a childless node pays for one pointer only.
#[derive(Default)]
struct Children(Vec<NodeId>);

/// How far an offset is behind a mzxid, if that is not much.
fn ahead(last_offset: i64, mzxid: i64) -> Option<u16> {
    u16::try_from(last_offset.checked_sub(mzxid)?).ok()
}

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
        let short = acl.short().zip(ahead(last_offset, stat.mzxid.0));
        let is_ordinary = owner == Owner::Persistent
            && (stat.pzxid, stat.cversion, stat.aversion) == (stat.czxid, 0, 0)
            && short.is_some();
        let rare = || Rare {
            pzxid: stat.pzxid.0,
            owner: owner.to_raw(),
            last_offset,
            children: None,
            cversion: stat.cversion,
            aversion: stat.aversion,
            acl,
        };
        let (acl_short, ahead) = short.unwrap_or_default();
        Node {
            czxid: stat.czxid.0,
            mzxid: stat.mzxid.0,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            payload: Payload::new(name, data),
            rare: if is_ordinary { None } else { Some(Box::new(rare())) },
            version: stat.version,
            parent,
            place: 0,
            acl: acl_short,
            ahead,
        }
    }

    fn rare_mut(&mut self) -> &mut Rare {
        if self.rare.is_none() {
            self.rare = Some(Box::new(Rare {
                pzxid: self.czxid,
                owner: Owner::Persistent.to_raw(),
                last_offset: self.last_offset(),
                children: None,
                cversion: 0,
                aversion: 0,
                acl: self.acl(),
            }));
        }
        self.rare.as_mut().expect("it was just made")
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
        self.rare.as_ref().map_or(Owner::Persistent, |rare| Owner::from_raw(rare.owner))
    }

    pub(crate) fn acl(&self) -> AclId {
        self.rare.as_ref().map_or(AclId::from_short(self.acl), |rare| rare.acl)
    }

    /// Offset of the last record about the node.
    pub(crate) fn last_offset(&self) -> i64 {
        self.rare.as_ref().map_or(self.mzxid + i64::from(self.ahead), |rare| rare.last_offset)
    }

    pub(crate) fn set_last_offset(&mut self, offset: i64) {
        match (&mut self.rare, ahead(offset, self.mzxid)) {
            (None, Some(ahead)) => self.ahead = ahead,
            _ => self.rare_mut().last_offset = offset,
        }
    }

    /// Notes that a record at `offset` gave the node the data that it has now.
    pub(crate) fn data_changed(&mut self, version: i32, zxid: Zxid, time_ms: i64, offset: i64) {
        self.version = version;
        self.mzxid = zxid.0;
        self.mtime_ms = time_ms;
        self.set_last_offset(offset);
    }

    /// Gives the node another ACL by a record at `offset`; the ACL before is returned.
    pub(crate) fn set_acl(&mut self, acl: AclId, aversion: i32, offset: i64) -> AclId {
        let rare = self.rare_mut();
        rare.aversion = aversion;
        rare.last_offset = offset;
        std::mem::replace(&mut rare.acl, acl)
    }

    /// Notes that a child came, which is counted, or went.
    pub(crate) fn children_changed(&mut self, zxid: Zxid, counted: bool) {
        let rare = self.rare_mut();
        rare.pzxid = zxid.0;
        if counted {
            rare.cversion = rare.cversion.wrapping_add(1);
        }
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
        let children = self.rare.as_ref().and_then(|rare| rare.children.as_ref());
        children.map_or(&[], |children| &children.0)
    }

    pub(crate) fn raw_stat(&self) -> RawStat {
        let (pzxid, cversion, aversion) = match &self.rare {
            Some(rare) => (rare.pzxid, rare.cversion, rare.aversion),
            None => (self.czxid, 0, 0),
        };
        RawStat {
            czxid: Zxid(self.czxid),
            mzxid: Zxid(self.mzxid),
            pzxid: Zxid(pzxid),
            ctime_ms: self.ctime_ms,
            mtime_ms: self.mtime_ms,
            version: self.version,
            cversion,
            aversion,
        }
    }

    /// Takes everything but the place in the tree from `other`.
    pub(crate) fn fill_from(&mut self, other: Node) {
        let children = self.rare.take().and_then(|rare| rare.children);
        *self = Node { parent: self.parent, place: self.place, ..other };
        if children.is_some() {
            self.rare_mut().children = children;
        }
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
        let children = &mut self.get_mut(parent).rare_mut().children.get_or_insert_default().0;
        children.push(child);
        let place = u32::try_from(children.len() - 1).expect("there are fewer than 2^32 nodes");
        self.get_mut(child).place = place;
    }

    /// Takes `child` out of the children of `parent`; the last child moves into its place.
    pub(crate) fn unlink(&mut self, parent: NodeId, child: NodeId) {
        let place = self.get(child).place;
        let Some(rare) = &mut self.get_mut(parent).rare else { return };
        let Some(list) = &mut rare.children else { return };
        let children = &mut list.0;
        children.swap_remove(place as usize);
        let moved = children.get(place as usize).copied();
        if children.is_empty() {
            rare.children = None;
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
    fn a_node_is_72_bytes_and_its_rare_half_48() {
        assert_eq!((size_of::<Node>(), size_of::<Rare>()), (72, 48));
    }

    #[test]
    fn what_a_node_says_does_not_depend_on_where_it_is_kept() {
        let stat = |pzxid, cversion| RawStat {
            czxid: Zxid(5),
            mzxid: Zxid(70_000),
            pzxid: Zxid(pzxid),
            ctime_ms: 1,
            mtime_ms: 2,
            version: 3,
            cversion,
            aversion: 0,
        };
        let far = i64::from(u16::MAX) + 1;
        for (owner, stat, offset, is_rare) in [
            (Owner::Persistent, stat(5, 0), 70_000, false),
            (Owner::Persistent, stat(5, 0), 70_000 + far - 1, false),
            (Owner::Persistent, stat(5, 0), 70_000 + far, true),
            (Owner::Persistent, stat(5, 0), 69_999, true),
            (Owner::Persistent, stat(5, 0), i64::MIN, true),
            (Owner::Persistent, stat(6, 0), 70_000, true),
            (Owner::Persistent, stat(5, 1), 70_000, true),
            (Owner::Container, stat(5, 0), 70_000, true),
        ] {
            let mut node = Node::new(1, "a", Some(b"x"), AclId::default(), owner, &stat, offset);
            assert_eq!(node.rare.is_some(), is_rare, "{owner:?} {stat:?} {offset}");
            let said = |node: &Node| (node.owner(), node.raw_stat(), node.last_offset(), node.acl());
            let before = said(&node);
            assert_eq!(before, (owner, stat, offset, AclId::default()));
            node.rare_mut();
            assert_eq!(said(&node), before);
            node.data_changed(4, Zxid(80_000), 9, 80_001);
            assert_eq!((node.raw_stat().version, node.last_offset()), (4, 80_001));
        }
    }

    #[test]
    fn zk_3_34_null_data_is_not_empty() {
        for data in [None, Some(&b""[..]), Some(b"x")] {
            let payload = Payload::new("näme", data);
            assert_eq!((payload.name(), payload.data()), ("näme", data));
        }
    }
}
