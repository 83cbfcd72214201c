//! Owns the two shapes of a znode's statistics: what a client sees (`Stat`) and what is stored (`RawStat`).
//! They differ in the child version and in the owner of containers and TTL nodes.

use crate::ids::Zxid;
use crate::owner::Owner;

/// A znode's statistics as a client sees them (`org.apache.zookeeper.data.Stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    /// Transaction that created the node.
    pub czxid: Zxid,
    /// Transaction that last changed the node's data: a seek position in `__znodes`.
    pub mzxid: Zxid,
    /// Time of creation, milliseconds since 1970.
    pub ctime_ms: i64,
    /// Time of the last change of the data, milliseconds since 1970.
    pub mtime_ms: i64,
    /// Number of changes of the data.
    pub version: i32,
    /// Number of changes of the children: `2 * creates - children`.
    pub cversion: i32,
    /// Number of changes of the ACL.
    pub aversion: i32,
    /// The owning session of an ephemeral node, else 0 (containers and TTL nodes too).
    pub ephemeral_owner: i64,
    /// Length of the data in bytes; 0 for null data.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

/// A znode's statistics as they are stored (`StatPersisted` without the owner, which is an [`Owner`] of its own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RawStat {
    /// Transaction that created the node.
    pub czxid: Zxid,
    /// Transaction that last changed the node's data.
    pub mzxid: Zxid,
    /// Transaction that last created or deleted a child.
    pub pzxid: Zxid,
    /// Time of creation, milliseconds since 1970.
    pub ctime_ms: i64,
    /// Time of the last change of the data, milliseconds since 1970.
    pub mtime_ms: i64,
    /// Number of changes of the data.
    pub version: i32,
    /// Number of children ever created: the next sequential suffix.
    pub cversion: i32,
    /// Number of changes of the ACL.
    pub aversion: i32,
}

impl RawStat {
    /// The stat that a client is shown for a node with this owner, data length and number of children.
    pub fn for_client(&self, owner: Owner, data_length: usize, num_children: usize) -> Stat {
        let num_children = i32::try_from(num_children).unwrap_or(i32::MAX);
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime_ms: self.ctime_ms,
            mtime_ms: self.mtime_ms,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: match owner {
                Owner::Session(session) => session.0,
                Owner::Persistent | Owner::Container | Owner::Ttl(_) => 0,
            },
            data_length: i32::try_from(data_length).unwrap_or(i32::MAX),
            num_children,
            pzxid: self.pzxid,
        }
    }
}

/// The version after `current`. It skips -1, which as an expected version means "any" (ZOOKEEPER-4743).
pub fn next_version(current: i32) -> i32 {
    match current.wrapping_add(1) {
        -1 => 0,
        next => next,
    }
}
