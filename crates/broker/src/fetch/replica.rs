//! Fetches of other brokers: sessions that stay registered at their partitions, so that a fetch costs what has changed and not what
//! is followed.
//!
//! A session's partitions are clean or stale. A clean one was read to its end, its follower was told all there is, and it tells the
//! session's waiter of news; a stale one is read with the next fetch. What the follower says anew, what had news, and what was not read
//! to its end is stale. Invariants: a session's epoch names the one request that may come next; a request that comes while the one
//! before it waits makes that one be answered at once; answers are made in the order of the requests; a session belongs to one
//! incarnation of one broker.
use super::{FetchLimits, Outcome, read_one};
use crate::ErrorCode;
use crate::requests::{FetchPartition, FetchReply, FetchRequest, FetchedPartition, Replica, TopicKey};
use crate::source::Source;
use crate::waiters::{Waiter, Woken};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// The most sessions of other brokers; each of their fetchers has one.
const SESSIONS_MAX: usize = 1_000;
/// A session that was not used for this long makes room for another one, in milliseconds.
const IDLE_MS: u64 = 120_000;
/// The most partitions of one session; a broker that follows more is answered without a session.
const SESSION_PARTITIONS_MAX: usize = 200_000;

/// The sessions of all brokers that fetch from this one.
#[derive(Default)]
pub(crate) struct ReplicaSessions {
    inner: Mutex<BTreeMap<i32, Arc<Entry>>>,
}

struct Entry {
    replica: Replica,
    used_ms: AtomicU64,
    turn: Mutex<Turn>,
    session: tokio::sync::Mutex<Session>,
}

/// Whose turn it is.
struct Turn {
    next_epoch: i32,
    /// Tells the request under way that the next one has come.
    superseded: Arc<Notify>,
}

/// What a session remembers of a partition.
struct Slot {
    request: FetchPartition,
    source: Result<Source, ErrorCode>,
    /// Its place in the line of those that are read; who brought records goes to the end.
    place: u64,
    /// Whether the follower has said anew where it stands and nobody has read it since.
    fresh: bool,
    /// The high watermark and the log start that the follower was told; -1 for what it must be told.
    told: (i64, i64),
}

/// One fetcher's session.
struct Session {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    places: HashMap<(TopicKey, i32), usize>,
    next_place: u64,
    stale: BTreeSet<(u64, usize)>,
    /// What is to be read again with the next request.
    again: Vec<usize>,
    waiter: Arc<Waiter>,
    limits: FetchLimits,
}

/// An answer in the making.
#[derive(Default)]
struct Answer {
    partitions: BTreeMap<usize, FetchedPartition>,
    size: usize,
    is_due: bool,
}

impl ReplicaSessions {
    /// Answers a request that opens a session or goes on with one. `fresh_id` draws a session id.
    pub(crate) async fn fetch(
        &self,
        mut request: FetchRequest,
        replica: Replica,
        limits: FetchLimits,
        resolve: impl Fn(&FetchPartition) -> Result<Source, ErrorCode>,
        now_ms: u64,
        fresh_id: impl FnMut() -> i32,
    ) -> FetchReply {
        let refused = |error| FetchReply { error, session_id: 0, partitions: Vec::new() };
        let (id, entry, superseded) = match request.session_epoch {
            0 => self.open(request.session_id, replica, &limits, now_ms, fresh_id),
            epoch => match self.resume(request.session_id, epoch, replica, now_ms) {
                Ok((entry, superseded)) => (request.session_id, entry, superseded),
                Err(error) => return refused(error),
            },
        };
        let mut session = entry.session.lock().await;
        session.limits = limits;
        for key in std::mem::take(&mut request.forgotten) {
            session.forget(&key);
        }
        for partition in std::mem::take(&mut request.partitions) {
            session.put(partition, &resolve);
        }
        let partitions = session.answer(&superseded).await;
        let is_kept = !session.places.is_empty() && session.places.len() <= SESSION_PARTITIONS_MAX;
        if !is_kept {
            self.inner.lock().remove(&id);
        }
        let session_id = if is_kept && self.inner.lock().contains_key(&id) { id } else { 0 };
        FetchReply { error: ErrorCode::NONE, session_id, partitions }
    }

    /// A new session; the broker's old one, and those of its earlier incarnations, end.
    fn open(
        &self,
        old_id: i32,
        replica: Replica,
        limits: &FetchLimits,
        now_ms: u64,
        mut fresh_id: impl FnMut() -> i32,
    ) -> (i32, Arc<Entry>, Arc<Notify>) {
        let superseded: Arc<Notify> = Arc::default();
        let entry = Arc::new(Entry {
            replica,
            used_ms: AtomicU64::new(now_ms),
            turn: Mutex::new(Turn { next_epoch: 1, superseded: superseded.clone() }),
            session: tokio::sync::Mutex::new(Session::new(limits.clone())),
        });
        let mut inner = self.inner.lock();
        inner.remove(&old_id);
        inner.retain(|_, entry| {
            let idle_ms = now_ms.saturating_sub(entry.used_ms.load(Ordering::Relaxed));
            idle_ms <= IDLE_MS && (entry.replica.id != replica.id || entry.replica.epoch == replica.epoch)
        });
        let id = loop {
            let id = fresh_id() & i32::MAX;
            if id != 0 && !inner.contains_key(&id) {
                break id;
            }
        };
        if inner.len() >= SESSIONS_MAX {
            let oldest = inner.iter().min_by_key(|(_, entry)| entry.used_ms.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                inner.remove(&oldest);
            }
        }
        inner.insert(id, entry.clone());
        (id, entry, superseded)
    }

    fn resume(
        &self,
        id: i32,
        epoch: i32,
        replica: Replica,
        now_ms: u64,
    ) -> Result<(Arc<Entry>, Arc<Notify>), ErrorCode> {
        let found = self.inner.lock().get(&id).cloned();
        let entry =
            found.filter(|entry| entry.replica == replica).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        let mut turn = entry.turn.lock();
        if turn.next_epoch != epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        turn.next_epoch = epoch.checked_add(1).unwrap_or(1);
        let superseded: Arc<Notify> = Arc::default();
        std::mem::replace(&mut turn.superseded, superseded.clone()).notify_one();
        drop(turn);
        entry.used_ms.store(now_ms, Ordering::Relaxed);
        Ok((entry, superseded))
    }
}

impl Session {
    fn new(limits: FetchLimits) -> Session {
        Session {
            slots: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            next_place: 0,
            stale: BTreeSet::new(),
            again: Vec::new(),
            waiter: Waiter::new(),
            limits,
        }
    }

    /// The follower says where it stands.
    fn put(
        &mut self,
        request: FetchPartition,
        resolve: &impl Fn(&FetchPartition) -> Result<Source, ErrorCode>,
    ) {
        let key = (request.topic.clone(), request.partition);
        let source = resolve(&request);
        let known = self.places.get(&key).copied();
        if let Some(index) = known
            && let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut)
        {
            slot.request = request;
            slot.source = source;
            slot.fresh = true;
            self.stale.insert((slot.place, index));
            return;
        }
        let place = self.take_place();
        let slot = Slot { request, source, place, fresh: true, told: (-1, -1) };
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.slots[index] = Some(slot);
        self.places.insert(key, index);
        self.stale.insert((place, index));
    }

    fn take_place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }

    fn forget(&mut self, key: &(TopicKey, i32)) {
        let Some(index) = self.places.remove(key) else { return };
        if let Some(slot) = self.slots.get_mut(index).and_then(Option::take) {
            self.stale.remove(&(slot.place, index));
            if let Ok(source) = &slot.source {
                source.waiters(&self.limits.reader).deregister(&self.waiter);
            }
            self.free.push(index);
        }
    }

    /// Reads what is stale, and waits for news until that suffices, the time is up, or the next request has come.
    async fn answer(&mut self, superseded: &Notify) -> Vec<FetchedPartition> {
        let waiter = self.waiter.clone();
        let mut answer = Answer::default();
        let time_up = tokio::time::sleep(self.limits.max_wait);
        tokio::pin!(time_up);
        for index in std::mem::take(&mut self.again) {
            self.make_stale(index);
        }
        loop {
            self.note_news(waiter.woken_by_now());
            self.read_stale(&mut answer);
            let suffices = answer.is_due || answer.size >= self.limits.min_bytes;
            if suffices || self.limits.max_wait.is_zero() {
                break;
            }
            tokio::select! {
                woken = waiter.woken() => self.note_news(woken),
                () = &mut time_up => break,
                () = superseded.notified() => break,
            }
        }
        // Hints have woken nobody, but belong to what the follower should hear.
        self.note_news(waiter.woken_by_now());
        self.read_stale(&mut answer);
        answer.partitions.into_values().collect()
    }

    fn note_news(&mut self, woken: Vec<Woken>) {
        for Woken { index, .. } in woken {
            self.make_stale(index);
        }
    }

    fn make_stale(&mut self, index: usize) {
        if let Some(slot) = self.slots.get(index).and_then(Option::as_ref) {
            self.stale.insert((slot.place, index));
        }
    }

    fn read_stale(&mut self, answer: &mut Answer) {
        while let Some((_, index)) = self.stale.pop_first() {
            let place = self.next_place + 1;
            let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else { continue };
            let mark = slot.source.as_ref().ok().map(|source| source.waiters(&self.limits.reader).mark());
            let left = self.limits.max_bytes.saturating_sub(answer.size);
            let budget = (left, answer.size == 0);
            let fresh = std::mem::replace(&mut slot.fresh, false);
            let Outcome { result, complete, at_end } =
                read_one(&slot.request, &slot.source, budget, &self.limits, fresh);
            let now = (result.high_watermark, result.log_start_offset);
            let news = complete || !result.records.is_empty() || slot.told != now;
            if at_end && let (Ok(source), Some(mark)) = (&slot.source, mark) {
                source.waiters(&self.limits.reader).register(&self.waiter, index, mark);
            } else {
                self.again.push(index);
            }
            if !news {
                continue;
            }
            // After an error the follower is told everything again.
            let told = if result.error == ErrorCode::NONE { now } else { (-1, -1) };
            answer.is_due |= complete || slot.told != now;
            answer.size += result.records.len();
            slot.told = told;
            if !result.records.is_empty() {
                slot.place = place;
                self.next_place = place;
            }
            if let Some(before) = answer.partitions.insert(index, result) {
                answer.size -= before.records.len();
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for slot in self.slots.iter().flatten() {
            if let Ok(source) = &slot.source {
                source.waiters(&self.limits.reader).deregister(&self.waiter);
            }
        }
    }
}
