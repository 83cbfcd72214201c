//! One partition of `__consumer_offsets` that this node leads: the groups in it, their timers and their pending writes.
//!
//! Invariants: every change of a group happens under the shard's lock, in the order of the records that it appends; a record's
//! effect on offsets is applied when it is appended, but nobody is told before it is committed; every reply that is owed has
//! exactly one sender in `replies`, and sending happens after the lock is released or into channels that never block.
use crate::ErrorCode;
use crate::groups::api::{JoinReply, SyncReply};
use crate::groups::group::{Effects, Group, Limits, Now, State, Then};
use crate::groups::member::Ticket;
use crate::groups::offsets::Offsets;
use crate::groups::records::GroupRecord;
use crate::partition::Partition;
use crate::waiters::Waiter;
use base::World;
use log::{BatchBuilder, Compression};
use parking_lot::{Mutex, MutexGuard};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};

/// The most tombstones of one batch when offsets expire.
const EXPIRY_BATCH_RECORDS: usize = 1_000;

/// What the shard needs to know besides its partition.
#[derive(Clone)]
pub(crate) struct ShardContext {
    pub(crate) world: World,
    pub(crate) limits: Limits,
    pub(crate) commit_timeout_ms: u64,
    pub(crate) compression: Compression,
}

/// One led partition of `__consumer_offsets`.
pub(crate) struct Shard {
    partition: Arc<Partition>,
    /// The epoch in which this node began to lead the partition.
    leading_since: i32,
    context: ShardContext,
    state: Mutex<ShardState>,
    /// Tells the shard's task to look at deadlines and pending writes again.
    kick: Notify,
    /// Set once loading has ended, one way or the other.
    loaded: watch::Sender<bool>,
}

/// Whether the shard can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Loading,
    Active,
    Closed,
}

/// A group with its offsets.
pub(crate) struct Entry {
    pub(crate) group: Group,
    pub(crate) offsets: Offsets,
    /// The offset of the last record about the group's offsets; reads wait until it is committed.
    pub(crate) last_write: i64,
    /// The earliest timer that is set for the group.
    timer: Option<u64>,
}

enum Reply {
    Join(oneshot::Sender<JoinReply>),
    Sync(oneshot::Sender<SyncReply>),
}

/// An appended record that is not committed yet.
struct Pending {
    last_offset: i64,
    deadline: u64,
    group_id: Arc<str>,
    then: Then,
    done: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

/// What the shard's lock guards.
pub(crate) struct ShardState {
    phase: Phase,
    pub(crate) groups: HashMap<Arc<str>, Entry>,
    pending: VecDeque<Pending>,
    timers: BinaryHeap<Reverse<(u64, Arc<str>)>>,
    replies: HashMap<Ticket, Reply>,
    next_ticket: u64,
}

impl Shard {
    /// A shard that is still to be loaded.
    pub(crate) fn new(partition: Arc<Partition>, context: ShardContext) -> Arc<Shard> {
        Arc::new(Shard {
            leading_since: partition.leading_since(),
            partition,
            context,
            state: Mutex::new(ShardState {
                phase: Phase::Loading,
                groups: HashMap::new(),
                pending: VecDeque::new(),
                timers: BinaryHeap::new(),
                replies: HashMap::new(),
                next_ticket: 0,
            }),
            kick: Notify::new(),
            loaded: watch::channel(false).0,
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.context.limits
    }

    pub(crate) fn now(&self) -> Now {
        let clock = &self.context.world.clock;
        Now { monotonic: clock.monotonic_ms(), wall: clock.wall_ms() }
    }

    /// Waits until the shard is loaded, or closed.
    pub(crate) async fn loaded(&self) {
        // The sender lives as long as the shard does.
        let mut loaded = self.loaded.subscribe();
        drop(loaded.wait_for(|loaded| *loaded).await);
    }

    /// The shard's state, if it can be used.
    ///
    /// # Errors
    /// 14 while it is loading, 16 when it is closed.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, ShardState>, ErrorCode> {
        let state = self.state.lock();
        match state.phase {
            Phase::Loading => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            Phase::Active => Ok(state),
            Phase::Closed => Err(ErrorCode::NOT_COORDINATOR),
        }
    }

    /// Reads the partition's records and opens the shard, then runs its timers until it is closed.
    pub(crate) async fn run(self: Arc<Shard>) {
        let shard = self.clone();
        let loaded = self.context.world.workers.blocking(move || shard.load()).await;
        self.loaded.send_replace(true);
        match loaded {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(partition = %self.partition, %error, "the groups of this partition cannot be loaded");
                self.close();
                return;
            }
            Err(error) => {
                tracing::error!(partition = %self.partition, %error, "loading the groups of this partition failed");
                self.close();
                return;
            }
        }
        let waiter = Waiter::new();
        while let Some(deadline) = self.advance(&waiter) {
            let wait = deadline.map_or(Duration::MAX, |at| {
                Duration::from_millis(at.saturating_sub(self.context.world.clock.monotonic_ms()).max(1))
            });
            tokio::select! {
                _ = self.kick.notified() => {}
                _ = waiter.woken() => {}
                _ = tokio::time::sleep(wait.min(Duration::from_secs(3_600))) => {}
            }
        }
        self.partition.waiters().deregister(&waiter);
    }

    /// Does what is due, and says when something is due next; none when the shard is closed.
    fn advance(&self, waiter: &Arc<Waiter>) -> Option<Option<u64>> {
        let mark = self.partition.waiters().mark();
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return None;
        }
        let now = self.now();
        self.settle(&mut state, now);
        while let Some(Reverse((at, _))) = state.timers.peek() {
            if *at > now.monotonic {
                break;
            }
            let Some(Reverse((at, group_id))) = state.timers.pop() else { break };
            if let Some(entry) = state.groups.get_mut(&group_id)
                && entry.timer == Some(at)
            {
                entry.timer = None;
                let mut effects = Effects::default();
                entry.group.tick(now, &self.context.limits, &mut effects);
                self.carry_out(&mut state, &group_id, effects, None);
            }
        }
        if !state.pending.is_empty() {
            self.partition.waiters().register(waiter, 0, mark);
        }
        let timer = state.timers.peek().map(|Reverse((at, _))| *at);
        let pending = state.pending.iter().map(|pending| pending.deadline).min();
        Some(timer.into_iter().chain(pending).min())
    }

    /// Reads all records of the partition.
    fn load(&self) -> Result<(), String> {
        let begun = self.context.world.clock.monotonic_ms();
        let now = self.now();
        let mut groups: HashMap<Arc<str>, Entry> = HashMap::new();
        let mut records = 0u64;
        self.partition.scan(|offset, key, value| {
            records += 1;
            let Some(key) = key else { return };
            match GroupRecord::decode(key, value) {
                Ok(Some(record)) => replay(&mut groups, record, offset, now),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(partition = %self.partition, offset, %error, "a group's record cannot be read; it is skipped");
                }
            }
        })?;
        let mut state = self.state.lock();
        if state.phase != Phase::Loading {
            return Ok(());
        }
        state.groups = groups;
        state.phase = Phase::Active;
        let ids: Vec<Arc<str>> = state.groups.keys().cloned().collect();
        let count = ids.len();
        for id in ids {
            let mut effects = Effects::default();
            if let Some(entry) = state.groups.get_mut(&id) {
                entry.group.loaded(now, &self.context.limits, &mut effects);
            }
            self.carry_out(&mut state, &id, effects, None);
        }
        let took_ms = self.context.world.clock.monotonic_ms().saturating_sub(begun);
        tracing::debug!(partition = %self.partition, groups = count, records, took_ms, "groups loaded");
        Ok(())
    }

    /// Gives the groups away: everybody who waits is sent to the new coordinator.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return;
        }
        state.phase = Phase::Closed;
        let now = self.now();
        let mut effects = Effects::default();
        for entry in state.groups.values_mut() {
            entry.group.unload(now, &mut effects);
        }
        state.answer(effects);
        for pending in std::mem::take(&mut state.pending) {
            if let Some(done) = pending.done {
                let _gone = done.send(Err(ErrorCode::NOT_COORDINATOR));
            }
        }
        for (_, reply) in std::mem::take(&mut state.replies) {
            match reply {
                Reply::Join(sender) => {
                    let _gone = sender.send(JoinReply::refused(Arc::from(""), ErrorCode::NOT_COORDINATOR));
                }
                Reply::Sync(sender) => {
                    let _gone = sender.send(SyncReply::refused(ErrorCode::NOT_COORDINATOR));
                }
            }
        }
        state.groups.clear();
        state.timers.clear();
        drop(state);
        self.kick.notify_one();
    }

    /// Carries out what a step of a group asks for: writes first, then replies. `done` hears when the writes are committed.
    pub(crate) fn carry_out(
        &self,
        state: &mut ShardState,
        group_id: &Arc<str>,
        mut effects: Effects,
        mut done: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    ) {
        let writes = std::mem::take(&mut effects.writes);
        state.answer(effects);
        let last = writes.len().checked_sub(1);
        if last.is_none()
            && let Some(done) = done.take()
        {
            let _gone = done.send(Ok(()));
        }
        for (index, write) in writes.into_iter().enumerate() {
            let record = GroupRecord::Group { group_id: group_id.clone(), value: Some(write.value) };
            let done = if Some(index) == last { done.take() } else { None };
            self.append(state, group_id, &[record], write.then, done);
        }
        self.schedule(state, group_id);
    }

    /// Appends records about a group and applies those about offsets and deletions. `done` hears of their commit.
    pub(crate) fn write(
        &self,
        state: &mut ShardState,
        group_id: &Arc<str>,
        records: Vec<GroupRecord>,
        done: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    ) {
        let now = self.now();
        if let Some(last_offset) = self.append(state, group_id, &records, Then::Nothing, done) {
            for record in records {
                replay(&mut state.groups, record, last_offset, now);
            }
        }
    }

    /// Appends records as one batch; their offset, unless that failed.
    fn append(
        &self,
        state: &mut ShardState,
        group_id: &Arc<str>,
        records: &[GroupRecord],
        then: Then,
        done: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    ) -> Option<i64> {
        let now = self.now();
        let appended = self.build(records, now).and_then(|batch| self.partition.append_own(batch));
        match appended {
            Ok(last_offset) => {
                let deadline = now.monotonic + self.context.commit_timeout_ms;
                let group_id = group_id.clone();
                state.pending.push_back(Pending { last_offset, deadline, group_id, then, done });
                self.settle(state, now);
                if !state.pending.is_empty() {
                    self.kick.notify_one();
                }
                Some(last_offset)
            }
            Err(error) => {
                tracing::warn!(partition = %self.partition, group = &**group_id, %error, "a group's record cannot be written");
                self.complete(state, now, group_id, then, done, Err(for_coordinator(error)));
                None
            }
        }
    }

    fn build(&self, records: &[GroupRecord], now: Now) -> Result<BatchBuilder, ErrorCode> {
        let mut batch = BatchBuilder::new(0).compression(self.context.compression);
        for record in records {
            // Only a string or a blob that no request can carry would not fit.
            let encoded = record.encode().map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
            batch
                .append(now.wall, Some(&encoded.key), encoded.value.as_deref(), &[])
                .map_err(|_| ErrorCode::MESSAGE_TOO_LARGE)?;
        }
        Ok(batch)
    }

    /// Completes pending writes that are committed, and those that took too long.
    fn settle(&self, state: &mut ShardState, now: Now) {
        loop {
            let Some(first) = state.pending.front() else { return };
            let outcome = match self.partition.commit_outcome(first.last_offset, self.leading_since) {
                // The records are committed, if by fewer replicas than wished for.
                Some(Ok(()) | Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND)) => Ok(()),
                Some(Err(error)) => Err(for_coordinator(error)),
                None if first.deadline <= now.monotonic => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
                None => return,
            };
            let Some(Pending { group_id, then, done, .. }) = state.pending.pop_front() else { return };
            self.complete(state, now, &group_id, then, done, outcome);
        }
    }

    fn complete(
        &self,
        state: &mut ShardState,
        now: Now,
        group_id: &Arc<str>,
        then: Then,
        done: Option<oneshot::Sender<Result<(), ErrorCode>>>,
        outcome: Result<(), ErrorCode>,
    ) {
        if !matches!(then, Then::Nothing)
            && let Some(entry) = state.groups.get_mut(group_id)
        {
            let mut effects = Effects::default();
            entry.group.written(now, &self.context.limits, then, outcome, &mut effects);
            self.carry_out(state, group_id, effects, None);
        }
        if let Some(done) = done {
            let _gone = done.send(outcome);
        }
    }

    /// Sets the group's timer if its next deadline is earlier than the one that is set.
    fn schedule(&self, state: &mut ShardState, group_id: &Arc<str>) {
        let Some(entry) = state.groups.get_mut(group_id) else { return };
        let Some(next) = entry.group.next_deadline() else { return };
        if entry.timer.is_none_or(|set| next < set) {
            entry.timer = Some(next);
            let first = state.timers.peek().is_none_or(|Reverse((at, _))| next < *at);
            state.timers.push(Reverse((next, group_id.clone())));
            if first {
                self.kick.notify_one();
            }
        }
    }

    /// A moment at which the groups are looked through for expired offsets, and for groups that nothing is left of.
    pub(crate) fn expire(&self, retention_ms: i64) {
        let Ok(mut state) = self.lock() else { return };
        let now = self.now();
        let ids: Vec<Arc<str>> = state.groups.keys().cloned().collect();
        for id in ids {
            let Some(entry) = state.groups.get(&id) else { continue };
            let (mut records, all) = entry.offsets.expired(&entry.group, now.wall, retention_ms);
            if all && entry.group.state == State::Empty && entry.group.pending_joins.is_empty() {
                records.push(GroupRecord::Group { group_id: id.clone(), value: None });
            }
            self.write_in_batches(&mut state, &id, records);
        }
    }

    /// Removes the offsets of topics that are gone.
    pub(crate) fn forget_topics(&self, is_gone: &dyn Fn(&str) -> bool) {
        let Ok(mut state) = self.lock() else { return };
        let ids: Vec<Arc<str>> = state.groups.keys().cloned().collect();
        for id in ids {
            let Some(entry) = state.groups.get(&id) else { continue };
            let records = entry
                .offsets
                .iter()
                .filter(|(topic, ..)| is_gone(topic))
                .map(|(topic, partition, _)| crate::groups::offsets::tombstone(&id, topic, partition))
                .collect();
            self.write_in_batches(&mut state, &id, records);
        }
    }

    fn write_in_batches(&self, state: &mut ShardState, id: &Arc<str>, records: Vec<GroupRecord>) {
        for chunk in records.chunks(EXPIRY_BATCH_RECORDS) {
            self.write(state, id, chunk.to_vec(), None);
        }
    }

    /// Waits until everything up to an offset is committed.
    ///
    /// # Errors
    /// 16 if this node stops leading the partition, 15 if it takes too long.
    pub(crate) async fn committed(&self, offset: i64) -> Result<(), ErrorCode> {
        let timeout = Duration::from_millis(self.context.commit_timeout_ms);
        match self.partition.wait_for_commit(offset, self.leading_since, timeout).await {
            Ok(()) => Ok(()),
            Err(error) => Err(for_coordinator(error)),
        }
    }
}

impl ShardState {
    /// A ticket whose reply goes to the receiver.
    pub(crate) fn join_ticket(&mut self) -> (Ticket, oneshot::Receiver<JoinReply>) {
        let (sender, receiver) = oneshot::channel();
        (self.ticket(Reply::Join(sender)), receiver)
    }

    /// A ticket whose reply goes to the receiver.
    pub(crate) fn sync_ticket(&mut self) -> (Ticket, oneshot::Receiver<SyncReply>) {
        let (sender, receiver) = oneshot::channel();
        (self.ticket(Reply::Sync(sender)), receiver)
    }

    fn ticket(&mut self, reply: Reply) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.replies.insert(ticket, reply);
        ticket
    }

    /// Sends replies; a client that is gone does not matter.
    fn answer(&mut self, effects: Effects) {
        for (ticket, reply) in effects.joins {
            if let Some(Reply::Join(sender)) = self.replies.remove(&ticket) {
                let _gone = sender.send(reply);
            }
        }
        for (ticket, reply) in effects.syncs {
            if let Some(Reply::Sync(sender)) = self.replies.remove(&ticket) {
                let _gone = sender.send(reply);
            }
        }
    }

    /// The group, created if it is new.
    pub(crate) fn entry(&mut self, group_id: &Arc<str>, now: Now) -> &mut Entry {
        entry(&mut self.groups, group_id, now)
    }
}

fn entry<'a>(groups: &'a mut HashMap<Arc<str>, Entry>, group_id: &Arc<str>, now: Now) -> &'a mut Entry {
    groups.entry(group_id.clone()).or_insert_with(|| Entry {
        group: Group::new(group_id.clone(), now),
        offsets: Offsets::default(),
        last_write: -1,
        timer: None,
    })
}

/// Applies a record that was read or appended.
fn replay(groups: &mut HashMap<Arc<str>, Entry>, record: GroupRecord, offset: i64, now: Now) {
    match record {
        GroupRecord::Group { group_id, value: Some(value) } => {
            entry(groups, &group_id, now).group = Group::from_value(group_id.clone(), value, now);
        }
        GroupRecord::Group { group_id, value: None } => {
            groups.remove(&group_id);
        }
        GroupRecord::Offset { group_id, topic, partition, value } => {
            if value.is_none() && !groups.contains_key(&group_id) {
                return;
            }
            let entry = entry(groups, &group_id, now);
            entry.last_write = offset;
            entry.offsets.apply(topic, partition, value);
        }
    }
}

/// The error of an append as clients of a coordinator know it.
pub(crate) fn for_coordinator(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        other => other,
    }
}
