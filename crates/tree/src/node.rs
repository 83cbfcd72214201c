//! Owns the memory of znodes: a compact node, its name and data in one allocation, and a slab of nodes named by u32.
//! Invariants: a node is 64 bytes, and what most nodes don't have is in a box; a vacant slot is never reached from the root or the index; slots move never.

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
    ctime_ms: i64,
    payload: Payload,
    /// `None` for a node that was never more than a leaf of its own with data; all that is in it has an ordinary value then.
    rare: Option<Box<Rare>>,
    /// The last change of the data, if there is no rare half.
    change: Change,
    /// The parent; [`NO_NODE`] for the root.
    pub(crate) parent: NodeId,
    /// The node's place in the parent's list of children.
    place: u32,
    /// The number of the ACL; of no meaning if there is a rare half.
    acl: u16,
}

/// The last change of a node's data, told by how far it lies behind the node's creation.
#[derive(Clone, Copy, Default)]
struct Change {
    zxid: Distance,
    time_ms: Distance,
    version: u16,
    /// How far the last record about the node is behind that of the change.
    ahead: u16,
}

/// How far a number lies behind another one: up to 2^40, which are 34 years of milliseconds and a year of 34,000 transactions a second.
#[derive(Clone, Copy, Default)]
struct Distance([u8; 5]);

impl Distance {
    /// `None` if it is negative or too far.
    fn between(from: i64, to: i64) -> Option<Distance> {
        let [a, b, c, d, e, rest @ ..] = u64::try_from(to.checked_sub(from)?).ok()?.to_le_bytes();
        (rest == [0; 3]).then_some(Distance([a, b, c, d, e]))
    }

    fn behind(self, from: i64) -> i64 {
        let [a, b, c, d, e] = self.0;
        from + i64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }
}

/// What most nodes don't have: children, an owner, changes of them or of the ACL, a last record that isn't that of the data, data that
/// was changed very often or long after the node was made.
struct Rare {
    mzxid: i64,
    mtime_ms: i64,
    pzxid: i64,
    owner: i64,
    /// Offset of the last record about the node.
    last_offset: i64,
    /// The children in no particular order.
    children: Option<Box<Children>>,
    version: i32,
    cversion: i32,
    aversion: i32,
    acl: AclId,
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
        let mut node = Node {
            czxid: stat.czxid.0,
            ctime_ms: stat.ctime_ms,
            payload: Payload::new(name, data),
            rare: None,
            change: Change::default(),
            parent,
            place: 0,
            acl: acl.short().unwrap_or_default(),
        };
        let is_ordinary = owner == Owner::Persistent
            && (stat.pzxid, stat.cversion, stat.aversion) == (stat.czxid, 0, 0)
            && acl.short().is_some();
        match node.change_of(stat.version, stat.mzxid, stat.mtime_ms, last_offset).filter(|_| is_ordinary) {
            Some(change) => node.change = change,
            None => {
                node.rare = Some(Box::new(Rare {
                    mzxid: stat.mzxid.0,
                    mtime_ms: stat.mtime_ms,
                    pzxid: stat.pzxid.0,
                    owner: owner.to_raw(),
                    last_offset,
                    children: None,
                    version: stat.version,
                    cversion: stat.cversion,
                    aversion: stat.aversion,
                    acl,
                }));
            }
        }
        node
    }

    /// A change of the data as nodes keep it that have no rare half; `None` if it needs one.
    fn change_of(&self, version: i32, zxid: Zxid, time_ms: i64, last_offset: i64) -> Option<Change> {
        Some(Change {
            zxid: Distance::between(self.czxid, zxid.0)?,
            time_ms: Distance::between(self.ctime_ms, time_ms)?,
            version: u16::try_from(version).ok()?,
            ahead: u16::try_from(last_offset.checked_sub(zxid.0)?).ok()?,
        })
    }

    fn rare_mut(&mut self) -> &mut Rare {
        let rare = self.rare.take().unwrap_or_else(|| {
            let stat = self.raw_stat();
            Box::new(Rare {
                mzxid: stat.mzxid.0,
                mtime_ms: stat.mtime_ms,
                pzxid: stat.pzxid.0,
                owner: Owner::Persistent.to_raw(),
                last_offset: self.last_offset(),
                children: None,
                version: stat.version,
                cversion: stat.cversion,
                aversion: stat.aversion,
                acl: self.acl(),
            })
        });
        self.rare.insert(rare)
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

    fn mzxid(&self) -> Zxid {
        Zxid(self.rare.as_ref().map_or_else(|| self.change.zxid.behind(self.czxid), |rare| rare.mzxid))
    }

    /// Offset of the last record about the node.
    pub(crate) fn last_offset(&self) -> i64 {
        match &self.rare {
            Some(rare) => rare.last_offset,
            None => self.mzxid().0 + i64::from(self.change.ahead),
        }
    }

    pub(crate) fn set_last_offset(&mut self, offset: i64) {
        let ahead = offset.checked_sub(self.mzxid().0).and_then(|ahead| u16::try_from(ahead).ok());
        match (&mut self.rare, ahead) {
            (None, Some(ahead)) => self.change.ahead = ahead,
            _ => self.rare_mut().last_offset = offset,
        }
    }

    /// Notes that a record at `offset` gave the node the data that it has now.
    pub(crate) fn data_changed(&mut self, version: i32, zxid: Zxid, time_ms: i64, offset: i64) {
        match self.change_of(version, zxid, time_ms, offset).filter(|_| self.rare.is_none()) {
            Some(change) => self.change = change,
            None => {
                let rare = self.rare_mut();
                rare.version = version;
                rare.mzxid = zxid.0;
                rare.mtime_ms = time_ms;
                rare.last_offset = offset;
            }
        }
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
        let (czxid, ctime_ms) = (Zxid(self.czxid), self.ctime_ms);
        match &self.rare {
            Some(rare) => RawStat {
                czxid,
                mzxid: Zxid(rare.mzxid),
                pzxid: Zxid(rare.pzxid),
                ctime_ms,
                mtime_ms: rare.mtime_ms,
                version: rare.version,
                cversion: rare.cversion,
                aversion: rare.aversion,
            },
            None => RawStat {
                czxid,
                mzxid: self.mzxid(),
                pzxid: czxid,
                ctime_ms,
                mtime_ms: self.change.time_ms.behind(self.ctime_ms),
                version: i32::from(self.change.version),
                cversion: 0,
                aversion: 0,
            },
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
    fn a_node_is_64_bytes_and_its_rare_half_64() {
        assert_eq!((size_of::<Node>(), size_of::<Rare>()), (64, 64));
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
            (Owner::Persistent, RawStat { version: i32::from(u16::MAX) + 1, ..stat(5, 0) }, 70_000, true),
            (Owner::Persistent, RawStat { mtime_ms: 0, ..stat(5, 0) }, 70_000, true),
            (Owner::Persistent, RawStat { mtime_ms: 1 << 40, ..stat(5, 0) }, 70_000, false),
            (Owner::Persistent, RawStat { mtime_ms: (1 << 40) + 1, ..stat(5, 0) }, 70_000, true),
        ] {
            let mut node = Node::new(1, "a", Some(b"x"), AclId::default(), owner, &stat, offset);
            assert_eq!(node.rare.is_some(), is_rare, "{owner:?} {stat:?} {offset}");
            let said = |node: &Node| (node.owner(), node.raw_stat(), node.last_offset(), node.acl());
            let before = said(&node);
            assert_eq!(before, (owner, stat, offset, AclId::default()));
            node.rare_mut();
            assert_eq!(said(&node), before);
            for (version, zxid, time_ms) in
                [(4, 80_000, 9), (-1, 80_000, 9), (4, 1 << 41, 9), (4, 80_000, -1)]
            {
                node.data_changed(version, Zxid(zxid), time_ms, zxid + 1);
                let RawStat { mzxid, mtime_ms, version: said, .. } = node.raw_stat();
                assert_eq!((said, mzxid.0, mtime_ms, node.last_offset()), (version, zxid, time_ms, zxid + 1));
            }
        }
    }

    #[test]
    fn a_change_far_from_the_creation_is_kept_as_it_is() {
        let stat = RawStat { czxid: Zxid(5), mzxid: Zxid(5), pzxid: Zxid(5), ..RawStat::default() };
        for (version, zxid, time_ms, is_rare) in [
            (1, 6, 7, false),
            (65_535, 6, 7, false),
            (65_536, 6, 7, true),
            (1, 1 << 41, 7, true),
            (1, 6, -7, true),
        ] {
            let mut node = Node::new(1, "a", None, AclId::default(), Owner::Persistent, &stat, 5);
            node.data_changed(version, Zxid(zxid), time_ms, zxid);
            assert_eq!(node.rare.is_some(), is_rare, "{version} {zxid} {time_ms}");
            let RawStat { mzxid, mtime_ms, version: said, pzxid, .. } = node.raw_stat();
            assert_eq!((said, mzxid.0, mtime_ms, pzxid.0), (version, zxid, time_ms, 5));
            assert_eq!(node.last_offset(), zxid);
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
