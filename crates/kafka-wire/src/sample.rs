//! Pseudo-random messages for tests, made from the same tables as the codec.

use bytes::Bytes;

use crate::field::{Field, Shape};
use crate::table::Row;
use crate::{Message, Str};

/// A source of pseudo-random field values for one message in one version (SplitMix64).
pub struct Sampler {
    state: u64,
    version: i16,
    /// Length in bytes of the next large byte field, so that splicing is seen too.
    large: usize,
}

impl Sampler {
    /// A sampler for messages in `version`; equal seeds make equal messages.
    pub fn new(seed: u64, version: i16) -> Sampler {
        Sampler { state: seed, version, large: 1500 }
    }

    /// A message that its version can carry.
    pub fn message<M: Message>(&mut self) -> M {
        let Shape { version, .. } = M::shape(self.version);
        assert!(M::VERSIONS.contains(version), "{} has no version {version}", M::NAME);
        M::sample(self, false)
    }

    /// The value of a field: any if the version has it, else the default.
    pub(crate) fn field<F: Field>(&mut self, row: &Row<F>) -> F {
        let in_version = row.versions.contains(self.version) || row.tagged.contains(self.version);
        if !in_version || (row.is_tagged(self.version) && self.one_in(3)) {
            return (row.default)();
        }
        F::sample(self, row.null.contains(self.version))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n)
    }

    /// A number, small ones and extremes more often than others.
    pub fn number(&mut self) -> i64 {
        match self.bits() % 6 {
            0 => 0,
            1 => -1,
            2 => i64::MAX,
            3 => i64::MIN,
            4 => (self.bits() % 100) as i64,
            _ => self.bits() as i64,
        }
    }

    /// The length of an array.
    pub fn array_len(&mut self) -> usize {
        (self.bits() % 4) as usize
    }

    /// A string, at times empty, at times not ASCII, at times too long for a one-byte compact length.
    pub fn text(&mut self) -> Str {
        match self.bits() % 8 {
            0 => Str::default(),
            1 => Str::from_static("größer 名前"),
            2 => Str::from("x".repeat(130)),
            _ => Str::from(format!("name-{}", self.bits() % 1000)),
        }
    }

    /// A byte field, at times empty, at times large enough to be spliced.
    pub fn blob(&mut self) -> Bytes {
        let len = match self.bits() % 8 {
            0 => 0,
            1 => self.large,
            _ => (self.bits() % 40) as usize,
        };
        self.large += 700;
        let first = self.bits() as u8;
        (0..len).map(|i| first.wrapping_add(i as u8)).collect()
    }
}
