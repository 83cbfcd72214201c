//! What the partitions of this node know of the other brokers: who is alive, under which epoch, and how far a replica may lag.
//!
//! Invariant: the picture is the newest one that the broker has begun to follow; partitions judge by it and never wait for it.
use super::throttle::Throttle;
use crate::ErrorCode;
use crate::partition::FollowerState;
use crate::requests::Replica;
use arc_swap::ArcSwap;
use base::Clock;
use controller::config::ConfigValue;
use controller::view::{BrokerView, ClusterView};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// The end of the class name that stands for choosing replicas by rack, whatever package it is in.
const RACK_AWARE_SELECTOR: &str = "RackAwareReplicaSelector";

/// For how long a broker that closed its connections, or refused one, is taken for gone at most. Clients ask again by then, and the
/// controller has moved what it led; after that the picture alone counts.
const GONE_MS: u64 = 1_000;
/// For how long clients are still told where a broker was that is registered no more. librdkafka (2.x) forgets a broker that metadata doesn't
/// name, and in doing so undoes the move of its partitions that the same answer tells, until it asks again a second later. What it had asked the
/// broker itself it asks others only once it has forgotten it, so that the next answers should not name the broker any more.
const DEPARTED_MS: u64 = 500;

/// A partition by topic name and number.
pub(crate) type PartitionName = (Arc<str>, i32);

/// The other brokers, as this node's partitions see them.
pub(crate) struct Neighbours {
    node_id: i32,
    clock: Arc<dyn Clock>,
    view: ArcSwap<ClusterView>,
    /// Whether consumers are sent to replicas of their own rack (KIP-392), by the newest picture.
    selects_by_rack: AtomicBool,
    /// Partitions whose proposals wait to be carried out; each is in it at most once.
    proposing: Mutex<BTreeSet<PartitionName>>,
    proposed: Notify,
    /// When each broker last fetched from this node.
    fetched: Mutex<BTreeMap<i32, u64>>,
    /// When each broker that does not answer closed the connection, or refused one.
    gone: Mutex<BTreeMap<i32, u64>>,
    /// The brokers that the last pictures showed and the newest doesn't, with the time when that was seen.
    departed: Mutex<BTreeMap<i32, (Arc<BrokerView>, u64)>>,
    /// What this node may send to replicas that are not in sync, and what it may copy as one.
    sending: Throttle,
    copying: Throttle,
}

impl Neighbours {
    pub(crate) fn new(node_id: i32, clock: Arc<dyn Clock>) -> Arc<Neighbours> {
        Arc::new(Neighbours {
            node_id,
            clock,
            view: ArcSwap::from_pointee(ClusterView::default()),
            selects_by_rack: AtomicBool::new(false),
            proposing: Mutex::new(BTreeSet::new()),
            proposed: Notify::new(),
            fetched: Mutex::new(BTreeMap::new()),
            gone: Mutex::new(BTreeMap::new()),
            departed: Mutex::new(BTreeMap::new()),
            sending: Throttle::default(),
            copying: Throttle::default(),
        })
    }

    /// A newer picture.
    pub(crate) fn show(&self, view: Arc<ClusterView>) {
        let selects = match view.broker_config.value("replica.selector.class") {
            Some(ConfigValue::String(class)) => class.ends_with(RACK_AWARE_SELECTOR),
            _ => false,
        };
        self.selects_by_rack.store(selects, Ordering::Relaxed);
        self.note_departed(&view);
        self.view.store(view);
    }

    fn note_departed(&self, newer: &ClusterView) {
        let now = self.now_ms();
        let mut departed = self.departed.lock();
        departed.retain(|id, (_, since)| {
            !newer.brokers.contains_key(id) && now.saturating_sub(*since) < DEPARTED_MS
        });
        for (id, broker) in &self.view.load().brokers {
            if !newer.brokers.contains_key(id) {
                departed.insert(*id, (broker.clone(), now));
            }
        }
    }

    /// The brokers that were registered until a moment ago.
    pub(crate) fn just_departed(&self) -> Vec<Arc<BrokerView>> {
        let now = self.now_ms();
        let departed = self.departed.lock();
        let recent = departed.values().filter(|(_, since)| now.saturating_sub(*since) < DEPARTED_MS);
        recent.map(|(broker, _)| broker.clone()).collect()
    }

    /// The newest picture.
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.view.load_full()
    }

    pub(crate) fn node_id(&self) -> i32 {
        self.node_id
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    /// `replica.lag.time.max.ms`.
    pub(crate) fn lag_max_ms(&self) -> u64 {
        self.view.load().broker_config.replication.lag_time_max_ms.max(0).unsigned_abs()
    }

    /// A broker fetches. What it does not name it has as it had it before, which is how idle partitions cost nothing.
    pub(crate) fn note_fetch(&self, id: i32, now_ms: u64) {
        self.fetched.lock().insert(id, now_ms);
    }

    /// When a broker last fetched from this node.
    pub(crate) fn fetched_ms(&self, id: i32) -> Option<u64> {
        self.fetched.lock().get(&id).copied()
    }

    /// A broker that answered closed its connection, or refuses a new one.
    pub(crate) fn note_gone(&self, id: i32) {
        self.gone.lock().insert(id, self.now_ms());
    }

    /// A broker answers again.
    pub(crate) fn note_back(&self, id: i32) {
        self.gone.lock().remove(&id);
    }

    /// Whether a broker has just gone: its process ended or ends, though the picture may still show it.
    pub(crate) fn has_just_gone(&self, id: i32) -> bool {
        self.gone.lock().get(&id).is_some_and(|since| self.is_just_now(*since))
    }

    /// Whether any broker has just gone.
    pub(crate) fn misses_another(&self) -> bool {
        self.gone.lock().values().any(|since| self.is_just_now(*since))
    }

    fn is_just_now(&self, since: u64) -> bool {
        self.now_ms().saturating_sub(since) < GONE_MS
    }

    /// Whether `leader.replication.throttled.rate` is used up.
    pub(crate) fn may_not_send(&self) -> bool {
        let rate = self.view.load().broker_config.replication.leader_throttled_bytes_per_second;
        self.sending.is_exhausted(rate, self.now_ms())
    }

    /// Throttled bytes were sent.
    pub(crate) fn note_sent(&self, bytes: usize) {
        self.sending.record(bytes);
    }

    /// Whether `follower.replication.throttled.rate` is used up.
    pub(crate) fn may_not_copy(&self) -> bool {
        let rate = self.view.load().broker_config.replication.follower_throttled_bytes_per_second;
        self.copying.is_exhausted(rate, self.now_ms())
    }

    /// Throttled bytes were copied.
    pub(crate) fn note_copied(&self, bytes: usize) {
        self.copying.record(bytes);
    }

    pub(crate) fn is_alive(&self, id: i32) -> bool {
        self.view.load().brokers.contains_key(&id)
    }

    /// The epoch of a live broker's registration.
    pub(crate) fn epoch_of(&self, id: i32) -> Option<i64> {
        self.view.load().brokers.get(&id).map(|broker| broker.epoch)
    }

    /// Whether a follower may become in sync: it is alive and fetches as the incarnation that is registered (KIP-841).
    pub(crate) fn may_join(&self, id: i32, follower: &FollowerState) -> bool {
        let view = self.view.load();
        let registered = view.brokers.get(&id).map(|broker| broker.epoch);
        matches!((registered, follower.broker_epoch), (Some(registered), Some(epoch)) if epoch == -1 || epoch == registered)
    }

    /// Refuses a replica that has registered again since it sent its fetch (Kafka's `Replica.updateFetchStateOrThrow`). One that is
    /// newer than the picture is let through; it can't become in sync before the picture shows it.
    pub(crate) fn check_epoch(&self, replica: Replica) -> Result<(), ErrorCode> {
        let view = self.view.load();
        match view.brokers.get(&replica.id) {
            Some(broker) if replica.epoch != -1 && broker.epoch > replica.epoch => {
                Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
            }
            _ => Ok(()),
        }
    }

    /// Whether consumers are sent to replicas of their own rack (KIP-392).
    pub(crate) fn selects_by_rack(&self) -> bool {
        self.selects_by_rack.load(Ordering::Relaxed)
    }

    /// A live broker's rack.
    pub(crate) fn rack_is(&self, id: i32, rack: &str) -> bool {
        let view = self.view.load();
        view.brokers.get(&id).is_some_and(|broker| broker.rack.as_deref() == Some(rack))
    }

    /// A partition has something to propose.
    pub(crate) fn propose(&self, partition: PartitionName) {
        self.proposing.lock().insert(partition);
        self.proposed.notify_one();
    }

    /// Waits until partitions have something to propose, and takes them.
    pub(crate) async fn proposing(&self) -> BTreeSet<PartitionName> {
        loop {
            let all = std::mem::take(&mut *self.proposing.lock());
            if !all.is_empty() {
                return all;
            }
            self.proposed.notified().await;
        }
    }
}
