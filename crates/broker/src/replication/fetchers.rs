//! Who fetches what: each leader that this node follows has up to `num.replica.fetchers` fetchers, and each followed partition one.
//!
//! Invariant: a partition is with at most one fetcher, the one of its present leader; it is given away before another gets it.
use super::fetcher::Fetcher;
use super::neighbours::Neighbours;
use super::session::Key;
use crate::partition::Partition;
use parking_lot::Mutex;
use peers::Peers;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A leader and the number of one of its fetchers.
type Place = (i32, u16);

/// The most fetchers per leader; each has two lanes to it.
const FETCHERS_MAX: u16 = 1_000;

/// All fetchers of this node.
pub(crate) struct Fetchers {
    neighbours: Arc<Neighbours>,
    peers: Peers,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    fetchers: BTreeMap<Place, Fetcher>,
    places: BTreeMap<Key, Place>,
    stopped: bool,
}

impl Fetchers {
    pub(crate) fn new(neighbours: Arc<Neighbours>, peers: Peers) -> Fetchers {
        Fetchers { neighbours, peers, inner: Mutex::new(Inner::default()) }
    }

    /// A partition's role has changed: it goes to the fetcher of its leader, or to none.
    pub(crate) fn place(&self, partition: &Arc<Partition>) {
        let key = (partition.topic_id(), partition.index());
        let mut inner = self.inner.lock();
        let upstream = partition.upstream().filter(|_| !inner.stopped);
        let place = upstream.map(|upstream| (upstream.leader, self.number(key)));
        let before = inner.places.get(&key).copied();
        if before != place
            && let Some(before) = before
        {
            inner.places.remove(&key);
            if let Some(fetcher) = inner.fetchers.get(&before) {
                fetcher.remove(key);
            }
        }
        if let (Some(upstream), Some(place)) = (upstream, place) {
            inner.places.insert(key, place);
            let fetcher = inner.fetchers.entry(place).or_insert_with(|| {
                Fetcher::start(place.0, place.1, self.neighbours.clone(), self.peers.clone())
            });
            fetcher.put(key, partition.clone(), upstream.leader_epoch);
        }
    }

    /// Spreads partitions over a leader's fetchers.
    fn number(&self, (topic_id, index): Key) -> u16 {
        let configured = self.neighbours.view().broker_config.replication.fetchers.max(1).unsigned_abs();
        let count = configured.min(u32::from(FETCHERS_MAX));
        let (high, low) = topic_id.as_u64_pair();
        let spread = (high ^ low).wrapping_add(u64::from(index.unsigned_abs()));
        // Smaller than `count`, which fits.
        (spread % u64::from(count)) as u16
    }

    /// Ends all fetching for good: this node is about to stop and must not become in sync again.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        inner.fetchers.clear();
        inner.places.clear();
    }
}
