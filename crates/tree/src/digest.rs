//! Owns the digest of a tree: equal for equal trees whatever the order in which they were built, and stable over
//! versions of this program, so that replicas can compare theirs.

use std::fmt;

use sha1::{Digest as _, Sha1};

use crate::acl::AclList;
use crate::tree::Tree;

/// A sum of SHA-1 hashes, one per znode and session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A hash of fields, each preceded by its length where it has one.
struct FieldHash(Sha1);

impl FieldHash {
    fn new(kind: u8) -> FieldHash {
        FieldHash(Sha1::new().chain_update([kind]))
    }

    fn number(mut self, number: i64) -> FieldHash {
        self.0.update(number.to_be_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> FieldHash {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn acl(self, acl: &AclList) -> FieldHash {
        acl.entries().iter().fold(self.number(acl.entries().len() as i64), |hash, entry| {
            hash.number(entry.perms.0.into()).bytes(entry.id.scheme.as_bytes()).bytes(entry.id.id.as_bytes())
        })
    }

    fn finish(self) -> u128 {
        let hash = self.0.finalize();
        let (first, _) = hash.split_at(size_of::<u128>());
        first.iter().fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
    }
}

impl Tree {
    /// The digest of all znodes (path, data, ACL, owner, stored stat, last offset) and sessions. Reads everything.
    pub fn digest(&self) -> Digest {
        let mut sum: u128 = 0;
        for id in 0..self.slab.slots() {
            if self.slab.occupied(id).is_none() {
                continue;
            }
            let node = self.node_ref(id);
            let stat = node.raw_stat();
            let hash = FieldHash::new(b'n')
                .bytes(node.path().as_bytes())
                .number(node.data().map_or(-1, |data| data.len() as i64))
                .bytes(node.data().unwrap_or_default())
                .acl(node.acl())
                .number(node.owner().to_raw())
                .number(stat.czxid.0)
                .number(stat.mzxid.0)
                .number(stat.pzxid.0)
                .number(stat.ctime_ms)
                .number(stat.mtime_ms)
                .number(stat.version.into())
                .number(stat.cversion.into())
                .number(stat.aversion.into())
                .number(node.last_offset());
            sum = sum.wrapping_add(hash.finish());
        }
        for (id, session) in self.sessions() {
            let hash = FieldHash::new(b's')
                .number(id.0)
                .number(session.timeout_ms.into())
                .bytes(&session.password_sha256)
                .number(session.last_offset);
            sum = sum.wrapping_add(hash.finish());
        }
        Digest(sum)
    }
}
