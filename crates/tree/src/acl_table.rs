//! Owns the different ACLs of a tree: a node holds a number. Invariant: an entry lives as long as a node uses it; number
//! 0 is `world:anyone:cdrwa` and always there.

use hashbrown::HashMap;

use crate::acl::AclList;

/// The number of an ACL in an [`AclTable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AclId(u32);

impl AclId {
    /// The number, if it is as short as almost all are.
    pub(crate) fn short(self) -> Option<u16> {
        u16::try_from(self.0).ok()
    }

    pub(crate) fn from_short(short: u16) -> AclId {
        AclId(u32::from(short))
    }
}

const OPEN: AclId = AclId(0);

#[derive(Debug)]
struct Entry {
    acl: AclList,
    uses: u32,
}

/// Interned ACLs with their numbers of uses.
#[derive(Debug)]
pub(crate) struct AclTable {
    entries: Vec<Entry>,
    numbers: HashMap<AclList, AclId>,
    free: Vec<AclId>,
}

impl AclTable {
    pub(crate) fn new() -> AclTable {
        let open = AclList::open();
        AclTable {
            entries: vec![Entry { acl: open.clone(), uses: 1 }],
            numbers: HashMap::from([(open, OPEN)]),
            free: Vec::new(),
        }
    }

    /// Notes one use of `acl` and gives its number.
    pub(crate) fn acquire(&mut self, acl: &AclList) -> AclId {
        if acl.ptr_eq(&self.entries[0].acl) {
            return OPEN;
        }
        if let Some(&id) = self.numbers.get(acl) {
            if id != OPEN {
                self.entries[id.0 as usize].uses += 1;
            }
            return id;
        }
        let entry = Entry { acl: acl.clone(), uses: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.0 as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                AclId(u32::try_from(self.entries.len() - 1).expect("there are no more ACLs than nodes"))
            }
        };
        self.numbers.insert(acl.clone(), id);
        id
    }

    /// Takes back one use.
    pub(crate) fn release(&mut self, id: AclId) {
        if id == OPEN {
            return;
        }
        let entry = &mut self.entries[id.0 as usize];
        entry.uses -= 1;
        if entry.uses == 0 {
            let unused = std::mem::replace(&mut entry.acl, AclList::open());
            self.numbers.remove(&unused);
            self.free.push(id);
        }
    }

    /// The ACL of a number.
    pub(crate) fn get(&self, id: AclId) -> &AclList {
        &self.entries[id.0 as usize].acl
    }

    /// Number of different ACLs in use.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Acl, Perms};

    #[test]
    fn an_acl_lives_as_long_as_its_uses() {
        let mut table = AclTable::new();
        let acl = |id: &str| AclList::from(vec![Acl::new(Perms::ALL, "digest", id)]);
        let first = table.acquire(&acl("a:1"));
        assert_eq!(table.acquire(&acl("a:1")), first);
        assert_eq!(table.acquire(&AclList::open()), OPEN);
        assert_eq!(table.len(), 2);
        table.release(first);
        assert_eq!(table.get(first), &acl("a:1"));
        table.release(first);
        table.release(OPEN);
        assert_eq!(table.len(), 1);
        let second = table.acquire(&acl("b:2"));
        assert_eq!(second, first, "numbers are used again");
        assert_eq!(table.get(second), &acl("b:2"));
    }
}
