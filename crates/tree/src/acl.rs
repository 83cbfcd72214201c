//! Owns access control lists: who (`Id`) may do what (`Perms`) with one znode. A list is shared, never copied: a tree
//! has few different ones.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// A set of permissions. Bits that ZooKeeper doesn't know are kept and mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Perms(pub i32);

/// The letters of the permissions in the order in which ZooKeeper's tools print them.
const PERM_LETTERS: [(char, Perms); 5] = [
    ('c', Perms::CREATE),
    ('d', Perms::DELETE),
    ('r', Perms::READ),
    ('w', Perms::WRITE),
    ('a', Perms::ADMIN),
];

impl Perms {
    /// Read the data and list the children.
    pub const READ: Perms = Perms(1);
    /// Set the data.
    pub const WRITE: Perms = Perms(2);
    /// Create children.
    pub const CREATE: Perms = Perms(4);
    /// Delete children.
    pub const DELETE: Perms = Perms(8);
    /// Set the ACL, and see password digests in it.
    pub const ADMIN: Perms = Perms(16);
    /// All of them.
    pub const ALL: Perms = Perms(31);

    /// Whether any permission is in both sets.
    pub fn intersects(self, other: Perms) -> bool {
        self.0 & other.0 != 0
    }
}

/// Prints `cdrwa` letters; a set that letters can't express (empty, or with unknown bits) is a decimal number.
impl fmt::Display for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 || self.0 & !Perms::ALL.0 != 0 {
            return write!(f, "{}", self.0);
        }
        for (letter, perm) in PERM_LETTERS {
            if self.intersects(perm) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no set of permissions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither letters of cdrwa nor a decimal number")]
pub struct ParsePermsError(String);

impl FromStr for Perms {
    type Err = ParsePermsError;

    fn from_str(text: &str) -> Result<Perms, ParsePermsError> {
        let failure = || ParsePermsError(text.to_owned());
        if text.is_empty() {
            return Err(failure());
        }
        if let Ok(bits) = text.parse::<i32>() {
            return Ok(Perms(bits));
        }
        text.chars().try_fold(Perms(0), |perms, letter| {
            let (_, perm) = PERM_LETTERS.iter().find(|(known, _)| *known == letter).ok_or_else(failure)?;
            Ok(Perms(perms.0 | perm.0))
        })
    }
}

/// An identity, or what an ACL entry says about identities (e.g. `ip:10.0.0.0/8`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// The scheme: `world`, `auth`, `digest`, `ip`, `sasl`, `x509`, `super`.
    pub scheme: Box<str>,
    /// What the scheme makes of it.
    pub id: Box<str>,
}

impl Id {
    /// An id of a scheme.
    pub fn new(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    /// `world:anyone`: everybody.
    pub fn anyone() -> Id {
        Id::new("world", "anyone")
    }

    /// The identity that no ACL binds.
    pub fn superuser() -> Id {
        Id::new("super", "")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.id)
    }
}

/// An identity that a connection has proven.
pub type AuthId = Id;

/// One entry of an ACL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    /// What is permitted.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

impl Acl {
    /// An entry.
    pub fn new(perms: Perms, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id::new(scheme, id) }
    }
}

static OPEN: LazyLock<AclList> =
    LazyLock::new(|| AclList::from(vec![Acl::new(Perms::ALL, "world", "anyone")]));
static READ_ONLY: LazyLock<AclList> =
    LazyLock::new(|| AclList::from(vec![Acl::new(Perms::READ, "world", "anyone")]));

/// An access control list. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AclList(Arc<[Acl]>);

impl AclList {
    /// `world:anyone:cdrwa`, what nearly every znode has. Callers that build lists from outside input should use it
    /// for this value, to share one list.
    pub fn open() -> AclList {
        OPEN.clone()
    }

    /// `world:anyone:r`.
    pub fn read_only() -> AclList {
        READ_ONLY.clone()
    }

    /// Whether it is `world:anyone:cdrwa`.
    pub fn is_open(&self) -> bool {
        self.ptr_eq(&OPEN) || *self == *OPEN
    }

    /// The entries.
    pub fn entries(&self) -> &[Acl] {
        &self.0
    }

    pub(crate) fn ptr_eq(&self, other: &AclList) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<Vec<Acl>> for AclList {
    fn from(entries: Vec<Acl>) -> AclList {
        AclList(entries.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_as_text() {
        let cases = [
            (31, "cdrwa"),
            (1, "r"),
            (6, "cw"),
            (24, "da"),
            (0, "0"),
            (32, "32"),
            (-1, "-1"),
            (i32::MIN, "-2147483648"),
        ];
        for (bits, text) in cases {
            assert_eq!(Perms(bits).to_string(), text);
            assert_eq!(text.parse(), Ok(Perms(bits)));
        }
        for bad in ["", "x", "rx", "1r", "2147483648"] {
            assert!(bad.parse::<Perms>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_open_list_is_known_however_it_was_made() {
        assert!(AclList::open().is_open());
        assert!(AclList::from(vec![Acl::new(Perms::ALL, "world", "anyone")]).is_open());
        assert!(!AclList::read_only().is_open());
    }
}
