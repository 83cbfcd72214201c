//! The newest offset of every key in a stretch of a log, in bounded memory: what compaction decides by.
//!
//! Keys are kept as the first 128 bits of their SHA-256, so that nobody can make two keys of a topic pass for one.
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes charged per key: a slot of 25 bytes, a table that may be 7/16 full, and the old table while it grows.
const BYTES_PER_KEY: u64 = 64;

/// Keys are hashes already; their first 8 bytes will do.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

/// Keys as fixed bytes without a length prefix, so that the hasher sees them alone.
#[derive(PartialEq, Eq, Clone, Copy)]
struct KeyHash([u8; 16]);

impl std::hash::Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl KeyHash {
    fn of(key: &[u8]) -> KeyHash {
        let digest = Sha256::digest(key);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        KeyHash(hash)
    }
}

/// The newest offsets by key.
pub(crate) struct OffsetMap {
    newest: HashMap<KeyHash, i64, BuildHasherDefault<FirstBytes>>,
    keys_max: usize,
    /// The last offset that was entered.
    latest: i64,
}

impl OffsetMap {
    /// A map that takes about `bytes` at most; it grows as it is filled.
    pub(crate) fn new(bytes: u64) -> OffsetMap {
        let keys_max = usize::try_from((bytes / BYTES_PER_KEY).max(1)).unwrap_or(usize::MAX);
        OffsetMap { newest: HashMap::default(), keys_max, latest: -1 }
    }

    /// Enters a key's offset; false if the map is full and the key new.
    pub(crate) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = KeyHash::of(key);
        if self.newest.len() >= self.keys_max && !self.newest.contains_key(&hash) {
            return false;
        }
        self.newest.insert(hash, offset);
        self.latest = offset;
        true
    }

    /// Notes that everything up to `offset` was looked at.
    pub(crate) fn set_latest(&mut self, offset: i64) {
        self.latest = self.latest.max(offset);
    }

    /// Everything up to this offset is in the map.
    pub(crate) fn latest(&self) -> i64 {
        self.latest
    }

    /// The newest offset of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<i64> {
        self.newest.get(&KeyHash::of(key)).copied()
    }
}
