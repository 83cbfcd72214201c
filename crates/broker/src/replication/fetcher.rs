//! One conversation with one leader: a long poll over all partitions that this fetcher follows, one after another.
//!
//! Usually one request is under way. When partitions are added or may be asked for again while it waits, a second one is sent in
//! the fetcher's other lane; the leader then answers the first at once. Answers are taken in the order of the requests. Memory is
//! bounded by `replica.fetch.response.max.bytes` per request under way. A leader that can't be reached, and a partition that it
//! refuses, are asked again after a pause that doubles up to `replica.fetch.backoff.ms`; a new role of the partition ends the pause.
//! Throttled partitions pause, too.
use super::neighbours::Neighbours;
use super::session::{Asked, FollowerSession, Key, Replaced};
use crate::ErrorCode;
use crate::partition::{Copied, Partition};
use controller::view::ClusterView;
use kafka_wire::messages::FetchRequest;
use kafka_wire::messages::FetchResponse;
use kafka_wire::messages::fetch::{PartitionData, ReplicaState};
use kafka_wire::{Records, Request, Response, Str};
use log::Batch;
use log::batch::ParseFault;
use log::header::HeaderFault;
use parking_lot::Mutex;
use peers::{Address, CallError, Calling, Lane, Peers};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The version of Fetch that brokers speak with each other.
const FETCH_VERSION: i16 = 17;
/// The first pause after a failure.
const PAUSE_MIN_MS: u64 = 20;
/// How long a throttled partition pauses before the limit is looked at again.
const THROTTLED_PAUSE_MS: u64 = 100;
/// How much longer than its own wait a fetch is given at least before it counts as lost.
const ANSWER_MS_MIN: u64 = 1_000;

/// A running fetcher; dropping it ends the conversation.
pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the fetcher's task and those who give it partitions share.
struct Shared {
    state: Mutex<State>,
    /// Something should be said to the leader without waiting for its answer.
    urgent: Notify,
}

#[derive(Default)]
struct State {
    followed: BTreeMap<Key, Followed>,
    /// Partitions that may have to be asked for differently than before.
    touched: BTreeSet<Key>,
    /// Partitions that pause, by the time at which that ends.
    pausing: BTreeSet<(u64, Key)>,
    /// Whether partitions were added since the last request.
    is_urgent: bool,
}

/// A partition of this fetcher.
struct Followed {
    partition: Arc<Partition>,
    leader_epoch: i32,
    /// Failures in a row.
    failures: u32,
    /// When it may be asked for again, if it failed.
    resume_ms: Option<u64>,
}

impl State {
    /// Lets a throttled partition pause while the limit is used up.
    fn hold_back(&mut self, key: Key, now: u64, neighbours: &Neighbours) {
        let Some(followed) = self.followed.get_mut(&key).filter(|followed| followed.resume_ms.is_none())
        else {
            return;
        };
        if followed.partition.copies_throttled() && neighbours.may_not_copy() {
            let at = now + THROTTLED_PAUSE_MS;
            followed.resume_ms = Some(at);
            self.pausing.insert((at, key));
        }
    }
}

impl Fetcher {
    /// Starts a conversation with a leader; there is nothing to say yet.
    pub(crate) fn start(leader: i32, number: u16, neighbours: Arc<Neighbours>, peers: Peers) -> Fetcher {
        let shared = Arc::new(Shared { state: Mutex::new(State::default()), urgent: Notify::new() });
        let conversation = Conversation {
            leader,
            number,
            neighbours,
            peers,
            shared: shared.clone(),
            session: FollowerSession::default(),
            under_way: VecDeque::new(),
            in_second_lane: false,
            failures: 0,
        };
        Fetcher { shared, task: tokio::spawn(conversation.run()) }
    }

    /// Follows a partition from now on, in an epoch of the leader.
    pub(crate) fn put(&self, key: Key, partition: Arc<Partition>, leader_epoch: i32) {
        let mut state = self.shared.state.lock();
        let before = state.followed.get(&key);
        if before.is_some_and(|before| before.leader_epoch == leader_epoch && before.resume_ms.is_none()) {
            return;
        }
        if let Some(at) = before.and_then(|before| before.resume_ms) {
            state.pausing.remove(&(at, key));
        }
        state.followed.insert(key, Followed { partition, leader_epoch, failures: 0, resume_ms: None });
        state.touched.insert(key);
        state.is_urgent = true;
        drop(state);
        self.shared.urgent.notify_one();
    }

    /// Follows a partition no more.
    pub(crate) fn remove(&self, key: Key) {
        let mut state = self.shared.state.lock();
        if let Some(Followed { resume_ms: Some(at), .. }) = state.followed.remove(&key) {
            state.pausing.remove(&(at, key));
        }
        state.touched.insert(key);
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request under way.
struct UnderWay {
    calling: Calling,
    replaced: Replaced,
}

/// What the fetcher's task owns.
struct Conversation {
    leader: i32,
    number: u16,
    neighbours: Arc<Neighbours>,
    peers: Peers,
    shared: Arc<Shared>,
    session: FollowerSession,
    under_way: VecDeque<UnderWay>,
    /// Whether the last request went through the second lane.
    in_second_lane: bool,
    /// Failures of the whole conversation in a row.
    failures: u32,
}

/// Why a conversation begins anew.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer is none to a fetch")]
    NoFetch,
    #[error("the leader answers {0}")]
    Refused(ErrorCode),
}

impl Interruption {
    fn is_of_a_process_that_ends(&self) -> bool {
        matches!(self, Interruption::Call(CallError::Closed(_) | CallError::Refused(_)))
    }
}

/// What wakes the task.
enum Event {
    Answer(Result<Response, CallError>),
    Urgent,
}

impl Conversation {
    async fn run(mut self) {
        loop {
            let may_interrupt = self.under_way.len() == 1 && self.session.is_established();
            if self.under_way.is_empty() || (may_interrupt && self.is_urgent()) {
                self.say();
            }
            match self.next_event().await {
                Event::Answer(answer) => {
                    self.under_way.pop_front();
                    if let Err(failure) = self.take_answer(answer) {
                        self.recover(&failure).await;
                    }
                }
                Event::Urgent => {}
            }
        }
    }

    fn is_urgent(&self) -> bool {
        let state = self.shared.state.lock();
        let now = self.neighbours.now_ms();
        state.is_urgent || state.pausing.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Waits for the first answer, or for a reason to speak.
    async fn next_event(&mut self) -> Event {
        let listens =
            self.under_way.is_empty() || (self.under_way.len() == 1 && self.session.is_established());
        let resume = self.shared.state.lock().pausing.first().map(|(at, _)| *at);
        let resume =
            resume.map(|at| Duration::from_millis(at.saturating_sub(self.neighbours.now_ms()).max(1)));
        let answer = async {
            match self.under_way.front_mut() {
                Some(first) => (&mut first.calling).await,
                None => std::future::pending().await,
            }
        };
        let paused = async {
            match resume {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer => Event::Answer(answer),
            () = self.shared.urgent.notified(), if listens => Event::Urgent,
            () = paused, if listens => Event::Urgent,
        }
    }

    /// Sends the next request, if there is anything to fetch and somebody to ask.
    fn say(&mut self) {
        let view = self.neighbours.view();
        let wanted = self.wanted(&view);
        let (delta, replaced) = self.session.next(wanted);
        if self.session.is_empty() {
            // The leader's side of the session is dropped when there is something to say again.
            self.session.restart();
            return;
        }
        let settings = &view.broker_config.replication;
        let own_epoch = view.brokers.get(&self.neighbours.node_id()).map_or(-1, |broker| broker.epoch);
        let request = FetchRequest {
            cluster_id: Some(Str::from(&*view.cluster_id)),
            replica_state: ReplicaState { replica_id: self.neighbours.node_id(), replica_epoch: own_epoch },
            max_wait_ms: settings.fetch_wait_max_ms,
            min_bytes: settings.fetch_min_bytes,
            max_bytes: settings.fetch_response_max_bytes,
            session_id: delta.session_id,
            session_epoch: delta.session_epoch,
            topics: delta.topics,
            forgotten_topics_data: delta.forgotten,
            ..FetchRequest::default()
        };
        let wait_ms = u64::from(settings.fetch_wait_max_ms.max(0).unsigned_abs());
        let timeout_ms = u64::from(settings.socket_timeout_ms.max(0).unsigned_abs());
        let timeout = Duration::from_millis(timeout_ms.max(wait_ms + ANSWER_MS_MIN));
        let calling = match address(&view, self.leader) {
            Some(address) => {
                self.in_second_lane = !self.under_way.is_empty() && !self.in_second_lane;
                let lane = Lane::ReplicaFetch(2 * self.number + u16::from(self.in_second_lane));
                self.peers.call(&address, lane, FETCH_VERSION, Request::Fetch(request), timeout)
            }
            None => {
                let nowhere = Address { host: format!("broker {}", self.leader), port: 0 };
                Box::pin(std::future::ready(Err(CallError::Refused(nowhere))))
            }
        };
        self.under_way.push_back(UnderWay { calling, replaced });
    }

    /// How the partitions that may have changed are to be asked for.
    fn wanted(&self, view: &ClusterView) -> BTreeMap<Key, Option<Asked>> {
        let max_bytes = view.broker_config.replication.fetch_max_bytes;
        let now = self.neighbours.now_ms();
        let mut state = self.shared.state.lock();
        state.is_urgent = false;
        while let Some((at, key)) = state.pausing.first().copied().filter(|(at, _)| *at <= now) {
            state.pausing.remove(&(at, key));
            state.touched.insert(key);
            if let Some(followed) = state.followed.get_mut(&key) {
                followed.resume_ms = None;
            }
        }
        let touched = std::mem::take(&mut state.touched);
        let mut wanted = BTreeMap::new();
        for key in touched {
            state.hold_back(key, now, &self.neighbours);
            // A replica whose disk failed, or whose role has changed since, asks for nothing.
            let follows = |followed: &&Followed| {
                followed.resume_ms.is_none()
                    && followed.partition.upstream().map(|upstream| upstream.leader_epoch)
                        == Some(followed.leader_epoch)
            };
            let followed = state.followed.get(&key).filter(follows);
            let asked = followed.map(|followed| {
                let position = followed.partition.position();
                Asked {
                    leader_epoch: followed.leader_epoch,
                    offset: position.log_end,
                    last_epoch: position.last_epoch,
                    log_start: position.log_start,
                    max_bytes,
                }
            });
            wanted.insert(key, asked);
        }
        wanted
    }

    /// Takes the answer to the oldest request under way.
    fn take_answer(&mut self, answer: Result<Response, CallError>) -> Result<(), Interruption> {
        let Response::Fetch(response) = answer? else { return Err(Interruption::NoFetch) };
        if response.error_code != ErrorCode::NONE {
            return Err(Interruption::Refused(response.error_code));
        }
        if self.failures > 0 {
            self.failures = 0;
            self.neighbours.note_back(self.leader);
        }
        self.take_partitions(&response);
        if response.session_id == 0 {
            // Nothing is kept for us, so everything has to be said each time.
            self.touch_all();
        }
        self.session.answered(response.session_id);
        Ok(())
    }

    fn take_partitions(&self, response: &FetchResponse) {
        for topic in &response.responses {
            for data in &topic.partitions {
                let key = (topic.topic_id, data.partition_index);
                let later = self.under_way.front().map(|later| &later.replaced);
                let Some(asked) = self.session.asked(&key, later) else { continue };
                let followed = {
                    let state = self.shared.state.lock();
                    let followed = state.followed.get(&key);
                    // What was asked for in another epoch, or before a pause, counts no more.
                    let followed = followed.filter(|followed| {
                        followed.leader_epoch == asked.leader_epoch && followed.resume_ms.is_none()
                    });
                    followed.map(|followed| followed.partition.clone())
                };
                let Some(partition) = followed else { continue };
                if partition.copies_throttled() {
                    self.neighbours.note_copied(data.records.as_ref().map_or(0, Records::len));
                }
                let outcome = take_data(&partition, asked, data);
                self.note(key, asked, outcome);
            }
        }
    }

    /// Notes how it went with a partition, so that it is asked for next as it stands, or after a pause.
    fn note(&self, key: Key, asked: Asked, outcome: Result<(), String>) {
        let backoff = self.neighbours.view().broker_config.replication.fetch_backoff_ms;
        let resume = |failures| self.neighbours.now_ms() + pause_ms(failures, backoff);
        let mut state = self.shared.state.lock();
        state.touched.insert(key);
        let Some(followed) = state.followed.get_mut(&key) else { return };
        if followed.leader_epoch != asked.leader_epoch {
            return;
        }
        match outcome {
            Ok(()) => followed.failures = 0,
            Err(reason) => {
                let at = resume(followed.failures);
                followed.failures = followed.failures.saturating_add(1);
                followed.resume_ms = Some(at);
                tracing::debug!(partition = %followed.partition, leader = self.leader, reason, "a partition pauses");
                state.pausing.insert((at, key));
            }
        }
    }

    fn touch_all(&self) {
        let mut state = self.shared.state.lock();
        let all: Vec<Key> = state.followed.keys().copied().collect();
        state.touched.extend(all);
    }

    /// The conversation broke: it begins anew after a pause.
    async fn recover(&mut self, reason: &Interruption) {
        self.under_way.clear();
        self.session.restart();
        self.touch_all();
        let backoff = self.neighbours.view().broker_config.replication.fetch_backoff_ms;
        let pause = pause_ms(self.failures, backoff);
        match self.failures {
            0 => tracing::info!(leader = self.leader, %reason, "replication is interrupted"),
            _ => tracing::debug!(leader = self.leader, %reason, "replication is still interrupted"),
        }
        if self.failures == 0 && reason.is_of_a_process_that_ends() {
            self.neighbours.note_gone(self.leader);
        }
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(Duration::from_millis(PAUSE_MIN_MS)).await;
        // A partition that is given to this fetcher meanwhile may mean that the leader is back.
        let rest = Duration::from_millis(pause.saturating_sub(PAUSE_MIN_MS));
        let _early = tokio::time::timeout(rest, self.shared.urgent.notified()).await;
    }
}

/// Where a broker listens for other brokers.
fn address(view: &ClusterView, id: i32) -> Option<Address> {
    let listener = &view.broker_config.inter_broker_listener_name;
    let endpoint = view.brokers.get(&id)?.endpoint(listener)?;
    Some(Address { host: endpoint.host.clone(), port: endpoint.port })
}

/// The pause after a number of failures in a row.
fn pause_ms(failures: u32, backoff_ms: i32) -> u64 {
    let most = u64::from(backoff_ms.max(1).unsigned_abs());
    (PAUSE_MIN_MS << failures.min(16)).min(most)
}

/// Takes what came for one partition; why not, if it has to be asked for again after a pause.
fn take_data(partition: &Partition, asked: Asked, data: &PartitionData) -> Result<(), String> {
    let epoch = asked.leader_epoch;
    let (diverging_epoch, diverging_end) = (data.diverging_epoch.epoch, data.diverging_epoch.end_offset);
    let done = match data.error_code {
        ErrorCode::NONE if diverging_end >= 0 => {
            let diverged = partition.diverge(epoch, asked.offset, diverging_epoch, diverging_end);
            diverged.transpose().map(|_| ())
        }
        ErrorCode::NONE => {
            let bytes = data.records.as_ref().map(|records| records.to_bytes()).unwrap_or_default();
            let copied = Copied {
                leader_epoch: epoch,
                offset: asked.offset,
                batches: whole_batches(bytes)?,
                high_watermark: data.high_watermark,
                log_start: data.log_start_offset,
            };
            partition.copy(copied).map(|_| ())
        }
        ErrorCode::OFFSET_OUT_OF_RANGE if data.log_start_offset >= 0 && diverging_end >= 0 => {
            let restarted =
                partition.restart_within(epoch, asked.offset, data.log_start_offset, diverging_end);
            match restarted.transpose() {
                // Nothing moved, so the same question would bring the same answer.
                Ok(Some(end)) if end == asked.offset => {
                    return Err(format!("offset {end} is out of the leader's range"));
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            }
        }
        error => return Err(error.to_string()),
    };
    done.map_err(|error| {
        tracing::warn!(%partition, offset = asked.offset, %error, "what came from the leader cannot be taken");
        error.to_string()
    })
}

/// The whole batches of an answer, whose last one may be cut off.
fn whole_batches(bytes: bytes::Bytes) -> Result<Vec<Batch>, String> {
    let mut batches = Vec::new();
    for batch in Batch::iter(bytes) {
        match batch {
            Ok(batch) => batches.push(batch),
            Err(ParseFault::Header(HeaderFault::Truncated(_)) | ParseFault::Incomplete { .. }) => break,
            Err(fault) => return Err(fault.to_string()),
        }
    }
    Ok(batches)
}
