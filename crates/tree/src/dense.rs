//! A map that costs little more than its entries.
//!
//! A hash table keeps a third of its slots empty on average, and each as large as an entry. Here the entries lie side by side in a list, and
//! the table holds their places only.
//!
//! Invariants: every entry's place is in the table once, under the hash of its key; removing an entry moves the last one into its
//! place, so that the order is that of nothing.
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash};

/// Entries by key.
#[derive(Debug)]
pub struct DenseMap<K, V> {
    entries: Vec<(K, V)>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<K, V> Default for DenseMap<K, V> {
    fn default() -> Self {
        DenseMap { entries: Vec::new(), places: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<K: Hash + Eq, V> DenseMap<K, V> {
    /// No entries.
    pub fn new() -> DenseMap<K, V> {
        DenseMap::default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is an entry of this key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_some()
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.place(key).map(|place| &self.entries[place].1)
    }

    /// The value of a key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).map(|place| &mut self.entries[place].1)
    }

    /// Enters a value and gives the one that the key had before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(before) = self.get_mut(&key) {
            return Some(std::mem::replace(before, value));
        }
        let place = u32::try_from(self.entries.len()).expect("2^32 entries don't fit into memory");
        let hash = self.hasher.hash_one(&key);
        self.entries.push((key, value));
        let DenseMap { entries, places, hasher } = self;
        places.insert_unique(hash, place, |place| hasher.hash_one(&entries[*place as usize].0));
        None
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.hasher.hash_one(key);
        let found = self.places.find_entry(hash, |place| self.entries[*place as usize].0 == *key).ok()?;
        let (place, _) = found.remove();
        let last = self.entries.len() - 1;
        if place as usize != last {
            let hash = self.hasher.hash_one(&self.entries[last].0);
            if let Some(moved) = self.places.find_mut(hash, |other| *other as usize == last) {
                *moved = place;
            }
        }
        Some(self.entries.swap_remove(place as usize).1)
    }

    /// Takes all entries out.
    pub fn drain(&mut self) -> impl Iterator<Item = (K, V)> {
        self.places.clear();
        self.entries.drain(..)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// All entries, to change their values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// All values, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    fn place(&self, key: &K) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        self.places.find(hash, |place| self.entries[*place as usize].0 == *key).map(|place| *place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_holds_what_an_ordered_map_holds() {
        let mut dense = DenseMap::new();
        let mut ordered = BTreeMap::new();
        let mut drawn: u64 = 7;
        for step in 0..20_000u64 {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (drawn >> 33) % 500;
            if drawn >> 63 == 0 {
                assert_eq!(dense.insert(key, step), ordered.insert(key, step));
            } else {
                assert_eq!(dense.remove(&key), ordered.remove(&key));
            }
            assert_eq!((dense.get(&key), dense.len()), (ordered.get(&key), ordered.len()));
        }
        let mut all: Vec<_> = dense.drain().collect();
        all.sort_unstable();
        assert_eq!(all, ordered.into_iter().collect::<Vec<_>>());
        assert!(dense.is_empty() && !dense.contains_key(&1));
    }
}
