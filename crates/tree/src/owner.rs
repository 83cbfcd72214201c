//! Owns what a znode's life depends on (`Owner`) and the seven ways to create one (`CreateMode`).

use crate::ids::SessionId;

/// The longest TTL: 40 bits of milliseconds, about 34 years (`EphemeralType.TTL`).
pub const TTL_MS_MAX: i64 = (1 << 40) - 1;

/// `ephemeralOwner` of a container as ZooKeeper stores it.
const CONTAINER_RAW: i64 = i64::MIN;
/// The high byte that marks a TTL as ZooKeeper stores it.
const TTL_MASK: i64 = 0xff00_0000_0000_0000_u64 as i64;

/// What a znode's life depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Lives until it is deleted.
    Persistent,
    /// Ephemeral: dies with this session and cannot have children.
    Session(SessionId),
    /// Removed by the server when its last child is gone.
    Container,
    /// Removed by the server when it is childless and unmodified for so many milliseconds (1 to [`TTL_MS_MAX`]).
    Ttl(i64),
}

impl Owner {
    /// `ephemeralOwner` as ZooKeeper stores it: 0, the session, `i64::MIN`, or `0xff << 56 | ttl`.
    pub fn to_raw(self) -> i64 {
        match self {
            Owner::Persistent => 0,
            Owner::Session(session) => session.0,
            Owner::Container => CONTAINER_RAW,
            Owner::Ttl(ttl_ms) => TTL_MASK | ttl_ms,
        }
    }

    /// The reverse of [`Owner::to_raw`]. Session ids with the top byte 0xff cannot be told from TTLs, as in
    /// ZooKeeper with extended types: servers must not hand them out.
    pub fn from_raw(raw: i64) -> Owner {
        match raw {
            0 => Owner::Persistent,
            CONTAINER_RAW => Owner::Container,
            raw if raw & TTL_MASK == TTL_MASK => Owner::Ttl(raw & TTL_MS_MAX),
            raw => Owner::Session(SessionId(raw)),
        }
    }

    /// Whether a session owns the node.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Owner::Session(_))
    }
}

/// The seven ways to create a znode (`org.apache.zookeeper.CreateMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CreateMode {
    /// Flag 0.
    Persistent,
    /// Flag 1.
    Ephemeral,
    /// Flag 2.
    PersistentSequential,
    /// Flag 3.
    EphemeralSequential,
    /// Flag 4.
    Container,
    /// Flag 5.
    Ttl,
    /// Flag 6.
    TtlSequential,
}

impl CreateMode {
    /// The mode of a flag on the wire, or none for a flag that ZooKeeper doesn't know.
    pub fn from_flag(flag: i32) -> Option<CreateMode> {
        Some(match flag {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            3 => CreateMode::EphemeralSequential,
            4 => CreateMode::Container,
            5 => CreateMode::Ttl,
            6 => CreateMode::TtlSequential,
            _ => return None,
        })
    }

    /// The flag on the wire.
    pub fn to_flag(self) -> i32 {
        match self {
            CreateMode::Persistent => 0,
            CreateMode::Ephemeral => 1,
            CreateMode::PersistentSequential => 2,
            CreateMode::EphemeralSequential => 3,
            CreateMode::Container => 4,
            CreateMode::Ttl => 5,
            CreateMode::TtlSequential => 6,
        }
    }

    /// Whether the node dies with its session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::Ephemeral | CreateMode::EphemeralSequential)
    }

    /// Whether the parent's create count is appended to the name.
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential | CreateMode::EphemeralSequential | CreateMode::TtlSequential
        )
    }

    /// Whether the node has a time to live.
    pub fn is_ttl(self) -> bool {
        matches!(self, CreateMode::Ttl | CreateMode::TtlSequential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zk_3_25_and_3_26_owners_as_zookeeper_stores_them() {
        let cases = [
            (Owner::Persistent, 0),
            (Owner::Container, i64::MIN),
            (Owner::Session(SessionId(0x0100_0000_0000_0001)), 0x0100_0000_0000_0001),
            (Owner::Ttl(1), -0x00ff_ffff_ffff_ffff),
            (Owner::Ttl(TTL_MS_MAX), -0x00ff_ff00_0000_0001),
        ];
        for (owner, raw) in cases {
            assert_eq!(owner.to_raw(), raw, "{owner:?}");
            assert_eq!(Owner::from_raw(raw), owner);
        }
    }

    #[test]
    fn zk_1_create_flags() {
        for flag in 0..=6 {
            assert_eq!(CreateMode::from_flag(flag).map(CreateMode::to_flag), Some(flag));
        }
        assert_eq!([-1, 7].map(CreateMode::from_flag), [None, None]);
    }
}
