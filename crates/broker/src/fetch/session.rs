//! Fetch sessions of consumers (KIP-227): the broker remembers what a client fetches, the client sends only changes, and the broker
//! answers only about partitions that have something new.
//!
//! Invariants: at most `slots` sessions exist; a session's epoch names the one request that may come next; partitions
//! that brought records go to the end of the line, so that none starves. Behaviour follows Kafka's FetchSession.
use crate::ErrorCode;
use crate::requests::{FetchPartition, FetchReply, FetchRequest, FetchedPartition, TopicKey};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A session may be evicted for another one after this long, in milliseconds (Kafka's MinIncrementalFetchSessionEvictionMs).
const EVICTABLE_AFTER_MS: u64 = 120_000;

/// The most partitions that one session remembers; with more it is dropped and the client starts over.
const SESSION_PARTITIONS_MAX: usize = 100_000;

/// The epoch of a request that wants no session, or ends its session.
const FINAL_EPOCH: i32 = -1;
/// The epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;

/// What a session remembers of a partition.
#[derive(Debug)]
struct Cached {
    request: FetchPartition,
    /// What the client was told last; -1 if it must be told again.
    high_watermark: i64,
    log_start_offset: i64,
}

/// One client's session.
#[derive(Debug)]
struct Session {
    by_id: bool,
    /// The epoch that the next request must have.
    next_epoch: i32,
    /// The partitions in line.
    line: BTreeMap<u64, Cached>,
    places: HashMap<(TopicKey, i32), u64>,
    next_place: u64,
}

impl Session {
    fn new(by_id: bool) -> Session {
        Session { by_id, next_epoch: 1, line: BTreeMap::new(), places: HashMap::new(), next_place: 0 }
    }

    fn put(&mut self, request: FetchPartition) {
        let key = (request.topic.clone(), request.partition);
        if let Some(cached) = self.places.get(&key).and_then(|place| self.line.get_mut(place)) {
            cached.request = request;
            return;
        }
        self.line.insert(self.next_place, Cached { request, high_watermark: -1, log_start_offset: -1 });
        self.places.insert(key, self.next_place);
        self.next_place += 1;
    }

    fn forget(&mut self, key: &(TopicKey, i32)) {
        if let Some(place) = self.places.remove(key) {
            self.line.remove(&place);
        }
    }

    /// Notes what the client is told; false if that is nothing new.
    fn note(&mut self, fetched: &FetchedPartition) -> bool {
        let key = (fetched.topic.clone(), fetched.partition);
        let Some(place) = self.places.get(&key).copied() else { return true };
        let Some(cached) = self.line.get_mut(&place) else { return true };
        let failed = fetched.error != ErrorCode::NONE;
        let news = failed
            || !fetched.records.is_empty()
            || fetched.diverging.is_some()
            || cached.high_watermark != fetched.high_watermark
            || cached.log_start_offset != fetched.log_start_offset;
        // After an error the client is told the high watermark again, whatever it was.
        cached.high_watermark = if failed { -1 } else { fetched.high_watermark };
        cached.log_start_offset = fetched.log_start_offset;
        if !fetched.records.is_empty()
            && let Some(cached) = self.line.remove(&place)
        {
            self.line.insert(self.next_place, cached);
            self.places.insert(key, self.next_place);
            self.next_place += 1;
        }
        news
    }
}

#[derive(Debug)]
struct Slot {
    session: Arc<Mutex<Session>>,
    created_ms: u64,
    used_ms: u64,
    size: usize,
}

/// All sessions of the broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots: usize,
    inner: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_id: HashMap<i32, Slot>,
    evictions: u64,
}

/// How one request relates to a session.
#[derive(Debug)]
pub(crate) enum FetchContext {
    /// Without a session: everything is answered.
    Sessionless,
    /// Everything is answered, and a session is opened if there is room.
    Full { by_id: bool },
    /// Only what is new is answered.
    Incremental(Incremental),
}

/// An incremental request's session.
#[derive(Debug)]
pub(crate) struct Incremental {
    id: i32,
    session: Arc<Mutex<Session>>,
}

impl FetchSessions {
    /// Room for `slots` sessions (`max.incremental.fetch.session.cache.slots`).
    pub(crate) fn new(slots: usize) -> FetchSessions {
        FetchSessions { slots, inner: Mutex::new(Slots::default()) }
    }

    /// Relates a request to its session and says what it wants fetched.
    ///
    /// # Errors
    /// 70 for an unknown session, 71 for a wrong epoch, 106 if the client changed between names and ids.
    pub(crate) fn open(
        &self,
        request: &mut FetchRequest,
        now_ms: u64,
    ) -> Result<(FetchContext, Vec<FetchPartition>), ErrorCode> {
        match request.session_epoch {
            FINAL_EPOCH | INITIAL_EPOCH => {
                if request.session_id != 0 {
                    self.inner.lock().by_id.remove(&request.session_id);
                }
                let context = match request.session_epoch {
                    FINAL_EPOCH => FetchContext::Sessionless,
                    _ => FetchContext::Full { by_id: request.by_id },
                };
                Ok((context, std::mem::take(&mut request.partitions)))
            }
            _ => self.resume(request, now_ms),
        }
    }

    fn resume(
        &self,
        request: &mut FetchRequest,
        now_ms: u64,
    ) -> Result<(FetchContext, Vec<FetchPartition>), ErrorCode> {
        let mut inner = self.inner.lock();
        let Some(slot) = inner.by_id.get_mut(&request.session_id) else {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        };
        let shared = slot.session.clone();
        let mut session = shared.lock();
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.by_id != request.by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        for partition in std::mem::take(&mut request.partitions) {
            session.put(partition);
        }
        for key in &request.forgotten {
            session.forget(key);
        }
        let wanted = session.line.values().map(|cached| cached.request.clone()).collect();
        if session.line.len() > SESSION_PARTITIONS_MAX {
            inner.by_id.remove(&request.session_id);
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        if session.line.is_empty() {
            inner.by_id.remove(&request.session_id);
            return Ok((FetchContext::Sessionless, wanted));
        }
        session.next_epoch = session.next_epoch.checked_add(1).unwrap_or(1);
        slot.used_ms = now_ms;
        slot.size = session.line.len();
        drop(session);
        Ok((FetchContext::Incremental(Incremental { id: request.session_id, session: shared }), wanted))
    }

    /// Makes the reply: remembers what the client is told and leaves out what it knows. `fresh_id` draws a session id.
    pub(crate) fn close(
        &self,
        context: FetchContext,
        wanted: Vec<FetchPartition>,
        mut fetched: Vec<FetchedPartition>,
        now_ms: u64,
        fresh_id: impl FnMut() -> i32,
    ) -> FetchReply {
        let session_id = match context {
            FetchContext::Sessionless => 0,
            FetchContext::Full { by_id } => self.create(by_id, wanted, &fetched, now_ms, fresh_id),
            FetchContext::Incremental(Incremental { id, session }) => {
                let mut session = session.lock();
                fetched.retain(|partition| session.note(partition));
                id
            }
        };
        FetchReply { error: ErrorCode::NONE, session_id, partitions: fetched }
    }

    fn create(
        &self,
        by_id: bool,
        wanted: Vec<FetchPartition>,
        fetched: &[FetchedPartition],
        now_ms: u64,
        mut fresh_id: impl FnMut() -> i32,
    ) -> i32 {
        let size = wanted.len();
        if size == 0 || size > SESSION_PARTITIONS_MAX {
            return 0;
        }
        let mut inner = self.inner.lock();
        if inner.by_id.len() >= self.slots && !inner.evict_for(size, now_ms) {
            return 0;
        }
        let mut session = Session::new(by_id);
        for partition in wanted {
            session.put(partition);
        }
        for partition in fetched {
            session.note(partition);
        }
        let id = loop {
            let id = fresh_id() & i32::MAX;
            if id != 0 && !inner.by_id.contains_key(&id) {
                break id;
            }
        };
        let session = Arc::new(Mutex::new(session));
        inner.by_id.insert(id, Slot { session, created_ms: now_ms, used_ms: now_ms, size });
        id
    }

    /// How many sessions there are, how many partitions they hold, and how many were evicted so far.
    pub(crate) fn counts(&self) -> (usize, usize, u64) {
        let inner = self.inner.lock();
        (inner.by_id.len(), inner.by_id.values().map(|slot| slot.size).sum(), inner.evictions)
    }
}

impl Slots {
    /// Makes room for a session of `size` partitions: an idle one goes first, then an old one that is smaller.
    fn evict_for(&mut self, size: usize, now_ms: u64) -> bool {
        let idle = self.by_id.iter().min_by_key(|(_, slot)| slot.used_ms);
        let idle = idle.filter(|(_, slot)| now_ms.saturating_sub(slot.used_ms) > EVICTABLE_AFTER_MS);
        let victim = idle.or_else(|| {
            self.by_id
                .iter()
                .filter(|(_, slot)| now_ms.saturating_sub(slot.created_ms) > EVICTABLE_AFTER_MS)
                .filter(|(_, slot)| slot.size < size)
                .min_by_key(|(_, slot)| slot.size)
        });
        let Some(id) = victim.map(|(id, _)| *id) else { return false };
        self.by_id.remove(&id);
        self.evictions += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::Isolation;
    use bytes::Bytes;
    use kafka_wire::Records;

    fn partition(index: i32) -> FetchPartition {
        FetchPartition {
            topic: TopicKey::Name("t".into()),
            partition: index,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            max_bytes: 1024,
        }
    }

    fn request(id: i32, epoch: i32, partitions: &[i32]) -> FetchRequest {
        FetchRequest {
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1024,
            isolation: Isolation::ReadUncommitted,
            allows_zstd: true,
            allows_follower: true,
            takes_files: false,
            rack_id: "".into(),
            replica: None,
            session_id: id,
            session_epoch: epoch,
            by_id: false,
            partitions: partitions.iter().map(|index| partition(*index)).collect(),
            forgotten: Vec::new(),
        }
    }

    fn fetched(index: i32, high_watermark: i64, records: &'static str) -> FetchedPartition {
        FetchedPartition {
            topic: TopicKey::Name("t".into()),
            partition: index,
            error: ErrorCode::NONE,
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset: 0,
            diverging: None,
            aborted: None,
            current_leader: None,
            preferred_read_replica: -1,
            records: Records::from(Bytes::from_static(records.as_bytes())),
        }
    }

    fn run(
        sessions: &FetchSessions,
        mut request: FetchRequest,
        now: u64,
        answer: impl Fn(i32) -> FetchedPartition,
    ) -> Result<(i32, Vec<i32>), ErrorCode> {
        let (context, wanted) = sessions.open(&mut request, now)?;
        let fetched = wanted.iter().map(|partition| answer(partition.partition)).collect();
        let mut next = 100;
        let reply = sessions.close(context, wanted, fetched, now, || {
            next += 1;
            next
        });
        Ok((reply.session_id, reply.partitions.iter().map(|partition| partition.partition).collect()))
    }

    #[test]
    fn kafka_2_12_unchanged_partitions_are_omitted_and_forgotten_ones_gone() {
        let sessions = FetchSessions::new(1000);
        let (id, all) = run(&sessions, request(0, 0, &[0, 1, 2]), 0, |p| fetched(p, 5, "")).expect("new");
        assert_eq!((id, all), (101, vec![0, 1, 2]));
        let quiet = run(&sessions, request(id, 1, &[]), 0, |p| fetched(p, 5, "")).expect("epoch 1");
        assert_eq!(quiet, (id, vec![]));
        let moved = run(&sessions, request(id, 2, &[]), 0, |p| fetched(p, if p == 1 { 6 } else { 5 }, ""));
        assert_eq!(moved, Ok((id, vec![1])));
        let mut forget = request(id, 3, &[3]);
        forget.forgotten = vec![(TopicKey::Name("t".into()), 1)];
        let changed = run(&sessions, forget, 0, |p| fetched(p, 9, "")).expect("epoch 3");
        assert_eq!(changed, (id, vec![0, 2, 3]));
    }

    #[test]
    fn kafka_2_12_errors_70_71_106() {
        let sessions = FetchSessions::new(1000);
        let answer = |p| fetched(p, 5, "");
        let (id, _) = run(&sessions, request(0, 0, &[0]), 0, answer).expect("new");
        let unknown = run(&sessions, request(id + 1, 1, &[]), 0, answer);
        assert_eq!(unknown, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        let wrong = run(&sessions, request(id, 2, &[]), 0, answer);
        assert_eq!(wrong, Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        let mut by_id = request(id, 1, &[]);
        by_id.by_id = true;
        assert_eq!(run(&sessions, by_id, 0, answer), Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR));
        let ended = run(&sessions, request(id, -1, &[0]), 0, answer);
        assert_eq!(ended, Ok((0, vec![0])));
        let gone = run(&sessions, request(id, 1, &[]), 0, answer);
        assert_eq!(gone, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    }

    #[test]
    fn a_session_without_partitions_ends() {
        let sessions = FetchSessions::new(1000);
        let answer = |p| fetched(p, 5, "");
        let (id, _) = run(&sessions, request(0, 0, &[0]), 0, answer).expect("new");
        let mut forget = request(id, 1, &[]);
        forget.forgotten = vec![(TopicKey::Name("t".into()), 0)];
        assert_eq!(run(&sessions, forget, 0, answer), Ok((0, vec![])));
        assert_eq!(sessions.counts().0, 0);
    }

    #[test]
    fn kafka_2_12_slots_are_evictable_after_120_s() {
        let sessions = FetchSessions::new(1);
        let answer = |p| fetched(p, 5, "");
        let (first, _) = run(&sessions, request(0, 0, &[0]), 0, answer).expect("new");
        assert_ne!(first, 0);
        let full =
            run(&sessions, request(0, 0, &[0, 1]), 120_000, answer).expect("answered without a session");
        assert_eq!(full, (0, vec![0, 1]));
        let (second, _) =
            run(&sessions, request(0, 0, &[0]), 120_001, answer).expect("the first one was idle");
        assert_ne!(second, 0);
        let still = run(&sessions, request(second, 1, &[]), 200_000, answer).expect("in use");
        assert_eq!(still.0, second);
        let (third, _) =
            run(&sessions, request(0, 0, &[0]), 250_000, answer).expect("no larger than the second");
        assert_eq!(third, 0);
        let (fourth, _) = run(&sessions, request(0, 0, &[0, 1]), 250_000, answer).expect("larger");
        assert_ne!(fourth, 0);
        assert_eq!(sessions.counts(), (1, 2, 2));
    }

    #[test]
    fn partitions_that_brought_records_go_to_the_end_of_the_line() {
        let sessions = FetchSessions::new(1000);
        let (id, _) = run(&sessions, request(0, 0, &[0, 1, 2]), 0, |p| fetched(p, 5, "x")).expect("new");
        let answer = |p| fetched(p, 6, if p == 0 { "x" } else { "" });
        assert_eq!(run(&sessions, request(id, 1, &[]), 0, answer), Ok((id, vec![0, 1, 2])));
        assert_eq!(run(&sessions, request(id, 2, &[]), 0, |p| fetched(p, 7, "")), Ok((id, vec![1, 2, 0])));
    }

    #[test]
    fn after_an_error_the_partition_is_answered_again() {
        let sessions = FetchSessions::new(1000);
        let failed = |p| FetchedPartition { error: ErrorCode::KAFKA_STORAGE_ERROR, ..fetched(p, -1, "") };
        let (id, _) = run(&sessions, request(0, 0, &[0]), 0, failed).expect("new");
        assert_eq!(run(&sessions, request(id, 1, &[]), 0, failed), Ok((id, vec![0])));
        assert_eq!(run(&sessions, request(id, 2, &[]), 0, |p| fetched(p, 5, "")), Ok((id, vec![0])));
        assert_eq!(run(&sessions, request(id, 3, &[]), 0, |p| fetched(p, 5, "")), Ok((id, vec![])));
    }
}
