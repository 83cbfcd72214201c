//! The group coordinator: finds the shard of a group and carries requests through its state machine.
//!
//! Invariants: a request is answered only after the records that it caused are committed; strings and blobs that are kept
//! beyond a request are copies, so that no network frame stays in memory for a group's sake.
use crate::ErrorCode;
use crate::groups::api::{
    CommitRequest, DescribedGroup, FetchedOffset, HeartbeatRequest, JoinReply, JoinRequest, LeaveReply,
    Leaver, ListedGroup, OffsetFetchRequest, SyncReply, SyncRequest,
};
use crate::groups::group::{Effects, Limits, State, Then, Write};
use crate::groups::member::Protocol;
use crate::groups::offsets::tombstone;
use crate::groups::records::{GroupRecord, OffsetValue};
use crate::groups::shard::{Shard, ShardContext};
use crate::internal_topics::{InternalTopics, NewTopic};
use crate::partition::Partition;
use crate::partitions::Partitions;
use base::World;
use bytes::Bytes;
use controller::config::BrokerConfig;
use controller::view::ClusterView;
use log::{Codec, Compression};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The topic that groups and their offsets live in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How long FindCoordinator waits until a topic that it created is there.
const TOPIC_CREATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long FindCoordinator waits for this node's own groups to be loaded.
const LOAD_WAIT: Duration = Duration::from_secs(1);

/// What a written record's commit is told to.
type Committed = oneshot::Receiver<Result<(), ErrorCode>>;

/// The group coordinator of this node.
pub struct Groups {
    world: World,
    partitions: Arc<Partitions>,
    topics: Arc<dyn InternalTopics>,
    shards: RwLock<HashMap<i32, Arc<Shard>>>,
    /// Only one request at a time creates the topic.
    creating: tokio::sync::Mutex<()>,
}

impl Groups {
    pub(crate) fn new(
        world: World,
        partitions: Arc<Partitions>,
        topics: Arc<dyn InternalTopics>,
    ) -> Arc<Groups> {
        Arc::new(Groups {
            world,
            partitions,
            topics,
            shards: RwLock::new(HashMap::new()),
            creating: tokio::sync::Mutex::new(()),
        })
    }

    /// This node leads a partition of `__consumer_offsets`: its groups are loaded in the background.
    pub(crate) fn lead(&self, partition: Arc<Partition>, view: &ClusterView) {
        let index = partition.index();
        let shard = Shard::new(partition, self.context(&view.broker_config));
        if let Some(old) = self.shards.write().insert(index, shard.clone()) {
            old.close();
        }
        tokio::spawn(shard.run());
    }

    /// This node does not lead the partition any more.
    pub(crate) fn resign(&self, index: i32) {
        if let Some(shard) = self.shards.write().remove(&index) {
            shard.close();
        }
    }

    /// Ends the coordinator: everybody who waits is told to look for another one.
    pub(crate) fn close(&self) {
        for (_, shard) in std::mem::take(&mut *self.shards.write()) {
            shard.close();
        }
    }

    fn context(&self, config: &BrokerConfig) -> ShardContext {
        ShardContext {
            world: self.world.clone(),
            limits: Limits {
                max_size: usize::try_from(config.groups.max_size).unwrap_or(usize::MAX),
                initial_delay_ms: config.groups.initial_rebalance_delay_ms,
            },
            commit_timeout_ms: u64::from(config.offsets.commit_timeout_ms.max(1).unsigned_abs()),
            compression: compression(config.offsets.topic_compression_codec),
        }
    }

    /// The partition of `__consumer_offsets` that a group belongs to.
    pub fn partition_of(&self, group_id: &str) -> i32 {
        let view = self.partitions.view();
        let configured = view.broker_config.offsets.topic_partitions;
        let count = view.topic(OFFSETS_TOPIC).map_or(configured, |topic| topic.partitions.len() as i32);
        abs_java_hash(group_id) % count.max(1)
    }

    fn shard(&self, group_id: &str) -> Result<Arc<Shard>, ErrorCode> {
        let index = self.partition_of(group_id);
        self.shards.read().get(&index).cloned().ok_or(ErrorCode::NOT_COORDINATOR)
    }

    fn named_shard(&self, group_id: &str) -> Result<Arc<Shard>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.shard(group_id)
    }

    /// The broker that coordinates a group (FindCoordinator); the first call creates `__consumer_offsets`.
    ///
    /// # Errors
    /// 15 while there is none.
    pub async fn find(&self, group_id: &str) -> Result<i32, ErrorCode> {
        if self.partitions.view().topic(OFFSETS_TOPIC).is_none() {
            self.create_topic().await?;
        }
        let view = self.partitions.view();
        let index = self.partition_of(group_id);
        let Some(partition) = view.partition(OFFSETS_TOPIC, index).filter(|partition| partition.leader >= 0)
        else {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        };
        let own = self.shards.read().get(&index).cloned();
        if let Some(shard) = own {
            // Sparing the client a round of COORDINATOR_LOAD_IN_PROGRESS; a long load is its own to wait for.
            let _loading = tokio::time::timeout(LOAD_WAIT, shard.loaded()).await;
        }
        Ok(partition.leader)
    }

    /// Creates `__consumer_offsets` and waits until all its partitions have leaders that this node knows of.
    async fn create_topic(&self) -> Result<(), ErrorCode> {
        let _one_at_a_time = self.creating.lock().await;
        let view = self.partitions.view();
        if view.topic(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let topic = offsets_topic(&view.broker_config);
        if let Err(error) = self.topics.create(topic).await {
            tracing::warn!(topic = OFFSETS_TOPIC, error, "the topic for groups cannot be created");
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let mut applied = self.partitions.applied();
        let led = applied.wait_for(|view| {
            let topic = view.topic(OFFSETS_TOPIC);
            topic.is_some_and(|topic| topic.partitions.iter().all(|partition| partition.leader >= 0))
        });
        match tokio::time::timeout(TOPIC_CREATION_TIMEOUT, led).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        }
    }

    /// JoinGroup: answered when the rebalance is through, or at once where none is needed.
    pub async fn join(&self, mut request: JoinRequest) -> JoinReply {
        let asked_as = request.member_id.clone();
        match self.start_join(&mut request) {
            Ok(reply) => {
                let gone = || JoinReply::refused(asked_as, ErrorCode::NOT_COORDINATOR);
                reply.await.unwrap_or_else(|_| gone())
            }
            Err(error) => JoinReply::refused(asked_as, error),
        }
    }

    fn start_join(&self, request: &mut JoinRequest) -> Result<oneshot::Receiver<JoinReply>, ErrorCode> {
        let shard = self.named_shard(&request.group_id)?;
        let view = self.partitions.view();
        let groups = &view.broker_config.groups;
        let allowed = groups.min_session_timeout_ms..=groups.max_session_timeout_ms;
        if !allowed.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        for protocol in &mut request.protocols {
            protocol.metadata = Bytes::copy_from_slice(&protocol.metadata);
        }
        let fresh_id = self.fresh_member_id(request);
        let request = request.clone();
        let now = shard.now();
        let mut state = shard.lock()?;
        let fresh_group = !state.groups.contains_key(&request.group_id);
        if fresh_group && !request.member_id.is_empty() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let (ticket, reply) = state.join_ticket();
        let group_id = request.group_id.clone();
        let group = &mut state.entry(&group_id, now).group;
        let mut effects = Effects::default();
        group.join(now, shard.limits(), request, fresh_id, ticket, &mut effects);
        if fresh_group && effects.writes.is_empty() {
            // The group is recorded from its first member on, so that it is listed after a restart.
            effects.writes.push(Write { value: group.to_empty_value(), then: Then::Nothing });
        }
        shard.carry_out(&mut state, &group_id, effects, None);
        Ok(reply)
    }

    /// The id of a new member: its instance or client id and a random part, as Kafka makes it.
    fn fresh_member_id(&self, request: &JoinRequest) -> Arc<str> {
        let unique = uuid::Builder::from_random_bytes(self.world.random.bytes16()).into_uuid();
        let name = request.instance_id.as_ref().unwrap_or(&request.client_id);
        Arc::from(format!("{name}-{unique}"))
    }

    /// SyncGroup: answered when the leader's assignment is committed.
    pub async fn sync(&self, request: SyncRequest) -> SyncReply {
        match self.start_sync(request) {
            Ok(reply) => reply.await.unwrap_or_else(|_| SyncReply::refused(ErrorCode::NOT_COORDINATOR)),
            Err(error) => SyncReply::refused(error),
        }
    }

    fn start_sync(&self, mut request: SyncRequest) -> Result<oneshot::Receiver<SyncReply>, ErrorCode> {
        let shard = self.named_shard(&request.group_id)?;
        for (_, assignment) in &mut request.assignments {
            *assignment = Bytes::copy_from_slice(assignment);
        }
        let mut state = shard.lock()?;
        let group_id = request.group_id.clone();
        if !state.groups.contains_key(&group_id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let (ticket, reply) = state.sync_ticket();
        let mut effects = Effects::default();
        if let Some(entry) = state.groups.get_mut(&group_id) {
            entry.group.sync(request, ticket, &mut effects);
        }
        shard.carry_out(&mut state, &group_id, effects, None);
        Ok(reply)
    }

    /// Heartbeat. While the groups are being loaded every member is taken to be alive.
    pub fn heartbeat(&self, request: &HeartbeatRequest) -> ErrorCode {
        let beat = || {
            let shard = self.named_shard(&request.group_id)?;
            let now = shard.now();
            let mut state = shard.lock()?;
            let Some(entry) = state.groups.get_mut(&request.group_id) else {
                return Err(ErrorCode::UNKNOWN_MEMBER_ID);
            };
            let error = entry.group.heartbeat(now, request);
            shard.carry_out(&mut state, &request.group_id, Effects::default(), None);
            Ok(error)
        };
        match beat() {
            Ok(error) => error,
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => ErrorCode::NONE,
            Err(error) => error,
        }
    }

    /// LeaveGroup of one or more members.
    pub async fn leave(&self, group_id: Arc<str>, leavers: Vec<Leaver>) -> LeaveReply {
        let refused = |error| LeaveReply { error, members: Vec::new() };
        let (members, committed) = match self.start_leave(&group_id, leavers) {
            Ok(started) => started,
            Err(error) => return refused(error),
        };
        match outcome(committed).await {
            Ok(()) => LeaveReply { error: ErrorCode::NONE, members },
            Err(error) => refused(error),
        }
    }

    fn start_leave(
        &self,
        group_id: &Arc<str>,
        leavers: Vec<Leaver>,
    ) -> Result<(Vec<(Leaver, ErrorCode)>, Committed), ErrorCode> {
        let shard = self.named_shard(group_id)?;
        let now = shard.now();
        let mut state = shard.lock()?;
        let (done, committed) = oneshot::channel();
        let mut effects = Effects::default();
        let members = match state.groups.get_mut(group_id) {
            Some(entry) => entry.group.leave(now, shard.limits(), leavers, &mut effects),
            None => leavers.into_iter().map(|leaver| (leaver, ErrorCode::UNKNOWN_MEMBER_ID)).collect(),
        };
        shard.carry_out(&mut state, group_id, effects, Some(done));
        Ok((members, committed))
    }

    /// OffsetCommit: a result for each offset, in order.
    pub async fn commit(&self, request: CommitRequest) -> Vec<ErrorCode> {
        let count = request.offsets.len();
        match self.start_commit(request) {
            Ok((mut errors, committed)) => {
                if let Err(error) = outcome(committed).await {
                    // Offsets that were refused for themselves keep their own reason.
                    for own in errors.iter_mut().filter(|own| **own == ErrorCode::NONE) {
                        *own = error;
                    }
                }
                errors
            }
            Err(error) => vec![error; count],
        }
    }

    fn start_commit(&self, request: CommitRequest) -> Result<(Vec<ErrorCode>, Committed), ErrorCode> {
        let shard = self.shard(&request.group_id)?;
        let view = self.partitions.view();
        let metadata_max = usize::try_from(view.broker_config.offsets.metadata_max_bytes).unwrap_or(0);
        let now = shard.now();
        let mut state = shard.lock()?;
        match state.groups.get_mut(&request.group_id) {
            Some(entry) => {
                let instance = request.instance_id.as_deref();
                entry.group.validate_commit(&request.member_id, instance, request.generation)?;
                if matches!(entry.group.state, State::Stable | State::PreparingRebalance) {
                    entry.group.renew(now, &request.member_id);
                }
            }
            None if request.generation < 0 => {}
            None if request.knows_group_id_not_found => return Err(ErrorCode::GROUP_ID_NOT_FOUND),
            None => return Err(ErrorCode::ILLEGAL_GENERATION),
        }
        let retention_ms = request.retention_ms.filter(|retention| *retention != -1);
        let expires_at = retention_ms.map(|retention| now.wall.saturating_add(retention));
        let mut errors = Vec::with_capacity(request.offsets.len());
        let mut records = Vec::new();
        for offset in request.offsets {
            let metadata = offset.metadata.unwrap_or_default();
            // Java counts UTF-16 units, and so does the limit.
            if metadata.encode_utf16().count() > metadata_max {
                errors.push(ErrorCode::OFFSET_METADATA_TOO_LARGE);
                continue;
            }
            errors.push(ErrorCode::NONE);
            let value = OffsetValue {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata,
                committed_at: now.wall,
                expires_at,
            };
            records.push(GroupRecord::Offset {
                group_id: request.group_id.clone(),
                topic: offset.topic,
                partition: offset.partition,
                value: Some(value),
            });
        }
        let (done, committed) = oneshot::channel();
        write_or_answer(&shard, &mut state, &request.group_id, records, done);
        shard.carry_out(&mut state, &request.group_id, Effects::default(), None);
        Ok((errors, committed))
    }

    /// One group of OffsetFetch: its offsets, those that were asked for in the order of the request.
    ///
    /// # Errors
    /// 16, 14 and 15 for the whole group.
    pub async fn fetch_offsets(&self, request: OffsetFetchRequest) -> Result<Vec<FetchedOffset>, ErrorCode> {
        let shard = self.shard(&request.group_id)?;
        let (offsets, last_write) = {
            let state = shard.lock()?;
            let entry = state.groups.get(&request.group_id);
            let last_write = entry.map_or(-1, |entry| entry.last_write);
            let offsets = entry.map(|entry| &entry.offsets);
            let found = match request.partitions {
                Some(wanted) => wanted
                    .into_iter()
                    .map(|(topic, partition)| {
                        let value = offsets.and_then(|offsets| offsets.get(&topic, partition));
                        fetched(topic, partition, value)
                    })
                    .collect(),
                None => offsets
                    .into_iter()
                    .flat_map(|offsets| offsets.iter())
                    .map(|(topic, partition, value)| fetched(topic.clone(), partition, Some(value)))
                    .collect(),
            };
            (found, last_write)
        };
        shard.committed(last_write).await?;
        Ok(offsets)
    }

    /// OffsetDelete: a result for each partition, in order.
    ///
    /// # Errors
    /// 69 for an unknown group, 68 for one that is in use by something else than consumers, and the coordinator's own.
    pub async fn delete_offsets(
        &self,
        group_id: Arc<str>,
        partitions: Vec<(Arc<str>, i32)>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let (errors, committed) = {
            let shard = self.named_shard(&group_id)?;
            let mut state = shard.lock()?;
            let entry = state.groups.get(&group_id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
            entry.group.validate_offset_delete()?;
            let mut errors = Vec::with_capacity(partitions.len());
            let mut records = Vec::new();
            for (topic, partition) in &partitions {
                if entry.group.is_subscribed_to(topic) {
                    errors.push(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
                    continue;
                }
                errors.push(ErrorCode::NONE);
                if entry.offsets.get(topic, *partition).is_some() {
                    records.push(tombstone(&group_id, topic, *partition));
                }
            }
            let (done, committed) = oneshot::channel();
            write_or_answer(&shard, &mut state, &group_id, records, done);
            (errors, committed)
        };
        outcome(committed).await?;
        Ok(errors)
    }

    /// DescribeGroups.
    pub fn describe(&self, group_ids: &[Arc<str>]) -> Vec<DescribedGroup> {
        group_ids.iter().map(|id| self.describe_one(id)).collect()
    }

    fn describe_one(&self, group_id: &Arc<str>) -> DescribedGroup {
        let described = || {
            let shard = self.shard(group_id)?;
            let state = shard.lock()?;
            let entry = state.groups.get(group_id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
            Ok(entry.group.describe())
        };
        described().unwrap_or_else(|error| DescribedGroup {
            group_id: group_id.clone(),
            error,
            state: if error == ErrorCode::GROUP_ID_NOT_FOUND { State::Dead.name() } else { "" },
            protocol_type: Arc::from(""),
            protocol: Arc::from(""),
            members: Vec::new(),
        })
    }

    /// ListGroups: the groups that this node coordinates, of the given states and types (all if none are given). Names
    /// are compared without regard to case.
    ///
    /// # Errors
    /// 14 while any group is still being loaded.
    pub fn list(&self, states: &[String], types: &[String]) -> Result<Vec<ListedGroup>, ErrorCode> {
        let passes = |filter: &[String], own: &str| {
            filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(own))
        };
        let shards: Vec<Arc<Shard>> = self.shards.read().values().cloned().collect();
        let mut listed = Vec::new();
        for shard in shards {
            let state = match shard.lock() {
                Ok(state) => state,
                Err(ErrorCode::NOT_COORDINATOR) => continue,
                Err(error) => return Err(error),
            };
            let groups = state.groups.values().map(|entry| entry.group.list());
            listed.extend(
                groups.filter(|group| passes(states, group.state) && passes(types, group.group_type)),
            );
        }
        listed.sort_by(|left, right| left.group_id.cmp(&right.group_id));
        Ok(listed)
    }

    /// DeleteGroups: a result for each group, in order.
    pub async fn delete(&self, group_ids: &[Arc<str>]) -> Vec<ErrorCode> {
        let mut started = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            started.push(self.start_delete(group_id));
        }
        let mut errors = Vec::with_capacity(started.len());
        for committed in started {
            let result = match committed {
                Ok(committed) => outcome(committed).await,
                Err(error) => Err(error),
            };
            errors.push(result.err().unwrap_or(ErrorCode::NONE));
        }
        errors
    }

    fn start_delete(&self, group_id: &Arc<str>) -> Result<Committed, ErrorCode> {
        let shard = self.shard(group_id)?;
        let mut state = shard.lock()?;
        let entry = state.groups.get(group_id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        entry.group.validate_delete()?;
        let mut records = entry.offsets.tombstones(group_id);
        records.push(GroupRecord::Group { group_id: group_id.clone(), value: None });
        let (done, committed) = oneshot::channel();
        shard.write(&mut state, group_id, records, Some(done));
        Ok(committed)
    }

    /// Removes the offsets of topics that were deleted.
    pub(crate) fn topics_gone(&self, topics: &[Arc<str>]) {
        let shards: Vec<Arc<Shard>> = self.shards.read().values().cloned().collect();
        for shard in shards {
            shard.forget_topics(&|topic| topics.iter().any(|gone| &**gone == topic));
        }
    }

    /// Looks for expired offsets at `offsets.retention.check.interval.ms`, until the future is dropped.
    pub(crate) async fn expire_offsets(self: Arc<Groups>) {
        loop {
            let interval = self.partitions.view().broker_config.offsets.retention_check_interval_ms;
            tokio::time::sleep(Duration::from_millis(interval.max(1).unsigned_abs())).await;
            let groups = self.clone();
            if let Err(error) = self.world.workers.blocking(move || groups.expire_now()).await {
                tracing::error!(%error, "looking for expired offsets failed");
            }
        }
    }

    pub(crate) fn expire_now(&self) {
        let minutes = self.partitions.view().broker_config.offsets.retention_minutes;
        let shards: Vec<Arc<Shard>> = self.shards.read().values().cloned().collect();
        for shard in shards {
            shard.expire(i64::from(minutes) * 60_000);
        }
    }
}

/// Writes records, or answers at once if there are none.
fn write_or_answer(
    shard: &Shard,
    state: &mut crate::groups::shard::ShardState,
    group_id: &Arc<str>,
    records: Vec<GroupRecord>,
    done: oneshot::Sender<Result<(), ErrorCode>>,
) {
    if records.is_empty() {
        let _gone = done.send(Ok(()));
    } else {
        shard.write(state, group_id, records, Some(done));
    }
}

/// Waits for a commit; a shard that ended without a word has been given away.
async fn outcome(committed: Committed) -> Result<(), ErrorCode> {
    committed.await.unwrap_or(Err(ErrorCode::NOT_COORDINATOR))
}

fn fetched(topic: Arc<str>, partition: i32, value: Option<&OffsetValue>) -> FetchedOffset {
    FetchedOffset {
        topic,
        partition,
        offset: value.map_or(-1, |value| value.offset),
        leader_epoch: value.map_or(-1, |value| value.leader_epoch),
        metadata: value.map(|value| value.metadata.clone()).unwrap_or_default(),
        error: ErrorCode::NONE,
    }
}

/// `__consumer_offsets` as this broker's settings want it.
fn offsets_topic(config: &BrokerConfig) -> NewTopic {
    NewTopic {
        name: OFFSETS_TOPIC,
        partitions: config.offsets.topic_partitions,
        replication_factor: config.offsets.topic_replication_factor,
        configs: vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.offsets.topic_segment_bytes.to_string()),
        ],
    }
}

/// `offsets.topic.compression.codec`: the number of a codec.
fn compression(codec: i32) -> Compression {
    let number = i16::try_from(codec).ok();
    number.and_then(Codec::from_number).map_or(Compression::NONE, Compression::new)
}

/// The absolute value of Java's `String.hashCode`, 0 for the one that has none.
pub(crate) fn abs_java_hash(text: &str) -> i32 {
    let hash =
        text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0)
}

/// Copies a list of strategies out of the frame that it came in.
impl Protocol {
    /// A strategy with metadata of its own.
    pub fn new(name: &str, metadata: &[u8]) -> Protocol {
        Protocol { name: Arc::from(name), metadata: Bytes::copy_from_slice(metadata) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_2_29_partitions_come_from_the_absolute_java_hash() {
        assert_eq!(abs_java_hash(""), 0);
        assert_eq!(abs_java_hash("a"), 97);
        assert_eq!(abs_java_hash("test"), 3_556_498);
        // Its hash is Integer.MIN_VALUE, whose absolute value Java cannot express.
        assert_eq!(abs_java_hash("polygenelubricants"), 0);
        // A negative hash: masking the sign bit would give another partition.
        assert_eq!(abs_java_hash("zoolog-consumers") % 50, {
            let hash =
                "zoolog-consumers".bytes().fold(0i32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
            hash.abs() % 50
        });
    }
}
