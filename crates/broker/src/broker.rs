//! The broker: what the door asks, put to partitions, groups and producer ids; and the tasks that keep them going.
use crate::ErrorCode;
use crate::fetch::{FetchLimits, FetchSessions, ReplicaSessions, fetch};
use crate::groups::{Groups, OFFSETS_TOPIC};
use crate::internal_topics::{InternalTopics, is_closed_to_producers};
use crate::partition::{Appended, Partition, Reader};
use crate::partitions::{Change, Partitions, log_config};
use crate::producer_ids::{InitProducerId, ProducerIdBlocks, ProducerIdentity, ProducerIds};
use crate::replication::{Fetchers, InSyncReplicas, Neighbours, carry_proposals, watch_lag};
use crate::requests::{
    Acks, DeleteRecords, DeletedRecords, EpochEnd, EpochEndRequest, FetchReply, FetchRequest, Isolation,
    ListOffset, ListedOffset, LogDirDescription, ProducePartition, ProduceRequest, ProducedPartition,
    TopicKey,
};
use crate::source::Source;
use crate::waiters::Waiter;
use crate::znodes::{ZnodeFeed, Znodes};
use base::World;
use controller::config::TopicConfig;
use controller::view::{BrokerView, ClusterView};
use log::{LogDir, LogError, TailBudget};
use parking_lot::Mutex;
use peers::Peers;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The least time that a write to the tree is given: with acks=1 clients may send a timeout of 0, which means nothing then.
const ZNODE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// What a broker is started with.
pub struct BrokerOptions {
    /// Clock, disk, randomness.
    pub world: World,
    /// `node.id`.
    pub node_id: i32,
    /// The opened folders of `log.dirs`, at least one.
    pub log_dirs: Vec<Arc<LogDir>>,
    /// Memory for the newest batches of all logs.
    pub tail: Arc<TailBudget>,
    /// The cluster as the controller sees it; nothing happens before it has a cluster id.
    pub views: watch::Receiver<Arc<ClusterView>>,
    /// The znode log, if this node serves it as a topic.
    pub znodes: Option<Arc<dyn ZnodeFeed>>,
    /// Who creates `__consumer_offsets`.
    pub internal_topics: Arc<dyn InternalTopics>,
    /// Where producer ids come from.
    pub producer_ids: Arc<dyn ProducerIdBlocks>,
    /// How other brokers are reached; none for a node that follows nobody.
    pub peers: Option<Peers>,
    /// Who keeps the in-sync replicas; none for a node whose partitions have no other replicas.
    pub in_sync_replicas: Option<Arc<dyn InSyncReplicas>>,
}

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder of `log.dirs` cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Nobody publishes the cluster's metadata any more.
    #[error("the cluster's metadata ended before the broker had seen any of it")]
    NoView,
}

/// The broker of this node.
pub struct Broker {
    world: World,
    partitions: Arc<Partitions>,
    sessions: FetchSessions,
    replica_sessions: ReplicaSessions,
    groups: Arc<Groups>,
    producer_ids: ProducerIds,
    fetchers: Option<Fetchers>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Broker {
    /// Opens the partitions that this node has and starts the work in the background. Returns once all of them serve.
    ///
    /// # Errors
    /// Folders that cannot be read. A single partition that cannot be opened is offline instead.
    pub async fn start(options: BrokerOptions) -> Result<Arc<Broker>, StartError> {
        let BrokerOptions {
            world,
            node_id,
            log_dirs,
            tail,
            mut views,
            znodes,
            internal_topics,
            producer_ids,
            peers,
            in_sync_replicas,
        } = options;
        let loaded = views.wait_for(|view| !view.cluster_id.is_empty()).await;
        let view = loaded.map_err(|_| StartError::NoView)?.clone();
        let znodes = znodes.map(|feed| {
            let topic = TopicConfig::defaults(&view.broker_config);
            let mut config = log_config(&topic, &view.broker_config);
            // The feed is a compacted topic: a record needs a key, its path.
            config.cleanup = log::CleanupPolicy { delete: false, compact: true };
            Znodes::new(feed, node_id, config)
        });
        let neighbours = Neighbours::new(node_id, world.clock.clone());
        let fetchers = peers.map(|peers| Fetchers::new(neighbours.clone(), peers));
        let partitions = Partitions::new(world.clone(), neighbours, log_dirs, tail, znodes.clone())?;
        let partitions = Arc::new(partitions);
        let groups = Groups::new(world.clone(), partitions.clone(), internal_topics);
        let slots = usize::try_from(view.broker_config.network.fetch_session_slots_max).unwrap_or(0);
        let broker = Arc::new(Broker {
            world,
            partitions,
            sessions: FetchSessions::new(slots),
            replica_sessions: ReplicaSessions::default(),
            groups,
            producer_ids: ProducerIds::new(producer_ids),
            fetchers,
            tasks: Mutex::new(Vec::new()),
        });
        broker.follow(view, true).await;
        broker.partitions.remove_doomed();
        let mut tasks = vec![
            tokio::spawn(broker.clone().follow_views(views)),
            tokio::spawn(broker.partitions.clone().keep_up()),
            tokio::spawn(broker.groups.clone().expire_offsets()),
        ];
        if let Some(keeper) = in_sync_replicas {
            tasks.push(tokio::spawn(carry_proposals(broker.partitions.clone(), keeper)));
            tasks.push(tokio::spawn(watch_lag(broker.partitions.clone())));
        }
        tasks.extend(znodes.map(|znodes| tokio::spawn(znodes.run())));
        *broker.tasks.lock() = tasks;
        Ok(broker)
    }

    async fn follow_views(self: Arc<Broker>, mut views: watch::Receiver<Arc<ClusterView>>) {
        // The view at start may have been replaced while the partitions were opened.
        views.mark_changed();
        while views.changed().await.is_ok() {
            let view = views.borrow_and_update().clone();
            self.follow(view, false).await;
        }
    }

    async fn follow(&self, view: Arc<ClusterView>, first: bool) {
        let partitions = self.partitions.clone();
        let next = view.clone();
        let followed = self.world.workers.blocking(move || partitions.follow(&next, first)).await;
        let changes = match followed {
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(%error, "following the cluster's metadata failed");
                return;
            }
        };
        let mut gone = Vec::new();
        for change in changes {
            match change {
                Change::Leads(partition) if &**partition.topic() == OFFSETS_TOPIC => {
                    self.groups.lead(partition, &view)
                }
                Change::Resigned { topic, index } if &*topic == OFFSETS_TOPIC => self.groups.resign(index),
                Change::TopicGone(topic) => gone.push(topic),
                Change::Moved(partition) => {
                    if let Some(fetchers) = &self.fetchers {
                        fetchers.place(&partition);
                    }
                }
                Change::Leads(_) | Change::Resigned { .. } => {}
            }
        }
        self.partitions.publish(view);
        if !gone.is_empty() {
            let groups = self.groups.clone();
            let forget = self.world.workers.blocking(move || groups.topics_gone(&gone));
            if let Err(error) = forget.await {
                tracing::error!(%error, "removing the offsets of deleted topics failed");
            }
        }
    }

    /// Copies nothing from other brokers any more, so that none of them takes this one into its in-sync replicas again: the step
    /// of a controlled shutdown behind the one that moves leaderships away.
    pub fn stop_replicating(&self) {
        if let Some(fetchers) = &self.fetchers {
            fetchers.stop();
        }
    }

    /// Stops all work, closes all logs and writes the checkpoints. The folders returned were closed without a failure: mark
    /// them clean once nobody else writes into them.
    pub async fn shutdown(&self) -> Vec<Arc<LogDir>> {
        self.stop_replicating();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.abort();
            // An aborted task is what was asked for.
            let _aborted = task.await;
        }
        self.groups.close();
        let partitions = self.partitions.clone();
        match self.world.workers.blocking(move || partitions.close()).await {
            Ok(clean) => clean,
            Err(error) => {
                tracing::error!(%error, "closing the logs failed; the next start will check them");
                Vec::new()
            }
        }
    }

    /// The view that the partitions follow, and every later one once they follow it.
    pub fn applied(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.partitions.applied()
    }

    /// The group coordinator.
    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// Partitions that are online and offline on this node.
    pub fn partition_counts(&self) -> (usize, usize) {
        self.partitions.counts()
    }

    /// A partition that this node has.
    #[cfg(test)]
    pub(crate) fn partition_for_test(&self, topic: &str, partition: i32) -> Arc<Partition> {
        self.partitions.get(topic, partition).expect("the test has made it")
    }

    /// Fetch sessions: how many there are, the partitions in them, and how many were evicted since the start.
    pub fn fetch_session_counts(&self) -> (usize, usize, u64) {
        self.sessions.counts()
    }

    /// Gives a producer its id (InitProducerId).
    pub async fn init_producer_id(&self, request: &InitProducerId) -> ProducerIdentity {
        self.producer_ids.init(request).await
    }

    /// Appends batches. With [`Acks::All`] it waits for the in-sync replicas, no longer than the request's timeout.
    pub async fn produce(&self, request: ProduceRequest) -> Vec<ProducedPartition> {
        let timeout = Duration::from_millis(u64::from(request.timeout_ms.max(0).unsigned_abs()));
        let mut replies = Vec::with_capacity(request.partitions.len());
        let mut uncommitted = Vec::new();
        for partition in &request.partitions {
            let reply = match self.produce_source(partition) {
                Err(error) => ProducedPartition::refused(error, None),
                Ok(Source::Znodes(znodes)) => {
                    let now = self.world.clock.wall_ms();
                    let written = znodes.produce(&partition.records, &request.principal, now);
                    match tokio::time::timeout(timeout.max(ZNODE_TIMEOUT_MIN), written).await {
                        Ok(reply) => reply,
                        Err(_) => ProducedPartition::refused(ErrorCode::REQUEST_TIMED_OUT, None),
                    }
                }
                Ok(Source::Partition(source)) => self.append(&source, partition, &request, |appended| {
                    uncommitted.push(Uncommitted {
                        reply: replies.len(),
                        partition: source.clone(),
                        last_offset: appended.last_offset,
                        leader_epoch: appended.leader_epoch,
                    });
                }),
            };
            replies.push(reply);
        }
        if !uncommitted.is_empty() {
            wait_for_commits(&mut replies, uncommitted, timeout).await;
        }
        replies
    }

    fn produce_source(&self, partition: &ProducePartition) -> Result<Source, ErrorCode> {
        let source = self.partitions.source(&partition.topic, partition.partition)?;
        match &source {
            Source::Partition(partition) if is_closed_to_producers(partition.topic()) => {
                Err(ErrorCode::INVALID_TOPIC_EXCEPTION)
            }
            _ => Ok(source),
        }
    }

    fn append(
        &self,
        source: &Arc<Partition>,
        partition: &ProducePartition,
        request: &ProduceRequest,
        note_uncommitted: impl FnOnce(&Appended),
    ) -> ProducedPartition {
        let now = self.world.clock.wall_ms();
        match source.produce(&partition.records, request.acks, request.allows_zstd, now) {
            Err(refused) => refused,
            Ok(appended) => {
                let mut reply = ProducedPartition {
                    base_offset: appended.base_offset,
                    log_append_time_ms: appended.log_append_time_ms,
                    log_start_offset: appended.log_start_offset,
                    ..ProducedPartition::refused(ErrorCode::NONE, None)
                };
                if request.acks == Acks::All {
                    match source.commit_outcome(appended.last_offset, appended.leader_epoch) {
                        Some(Ok(())) => {}
                        Some(Err(error)) => reply = ProducedPartition::refused(error, None),
                        None => note_uncommitted(&appended),
                    }
                }
                reply
            }
        }
    }

    /// Whether another broker's process has just ended, though the picture may still show it.
    pub fn has_just_gone(&self, broker: i32) -> bool {
        self.partitions.neighbours().has_just_gone(broker)
    }

    /// The brokers that were registered until a moment ago. A client that is not told of them any more may forget, with the broker, where the
    /// partitions went that it led.
    pub fn just_departed(&self) -> Vec<Arc<BrokerView>> {
        self.partitions.neighbours().just_departed()
    }

    /// Whether any broker has just gone.
    pub fn misses_another(&self) -> bool {
        self.partitions.neighbours().misses_another()
    }

    /// Reads from many partitions, within a fetch session if the client wants one, waiting for enough bytes.
    pub async fn fetch(&self, mut request: FetchRequest) -> FetchReply {
        let limits = self.fetch_limits(&request);
        let resolve = |partition: &crate::requests::FetchPartition| {
            self.partitions.source(&partition.topic, partition.partition)
        };
        if let Some(replica) = request.replica {
            let now = self.world.clock.monotonic_ms();
            self.partitions.neighbours().note_fetch(replica.id, now);
            if request.session_epoch >= 0 {
                let fresh_id = || self.world.random.u64() as i32;
                return self.replica_sessions.fetch(request, replica, limits, resolve, now, fresh_id).await;
            }
        }
        let opened = self.sessions.open(&mut request, self.world.clock.monotonic_ms());
        let (context, wanted) = match opened {
            Ok(opened) => opened,
            Err(error) => return FetchReply { error, session_id: 0, partitions: Vec::new() },
        };
        let fetched = fetch(resolve, &wanted, limits).await;
        let now = self.world.clock.monotonic_ms();
        self.sessions.close(context, wanted, fetched, now, || self.world.random.u64() as i32)
    }

    fn fetch_limits(&self, request: &FetchRequest) -> FetchLimits {
        let bytes = |count: i32| count.max(0).unsigned_abs() as usize;
        let most = match request.replica {
            // A replica asks for what its own settings allow.
            Some(_) => i32::MAX,
            None => self.partitions.view().broker_config.network.fetch_max_bytes,
        };
        let max_bytes = bytes(request.max_bytes.min(most));
        FetchLimits {
            max_wait: Duration::from_millis(u64::from(request.max_wait_ms.max(0).unsigned_abs())),
            min_bytes: bytes(request.min_bytes).min(max_bytes),
            max_bytes,
            reader: match request.replica {
                Some(replica) => Reader::Replica(replica),
                None => Reader::Consumer {
                    isolation: request.isolation,
                    allows_follower: request.allows_follower,
                    rack: request.rack_id.clone(),
                },
            },
            allows_zstd: request.allows_zstd,
            takes_files: request.takes_files,
        }
    }

    /// Looks up offsets by time. A partition that is asked for twice is INVALID_REQUEST both times.
    pub fn list_offsets(&self, isolation: Isolation, wanted: &[ListOffset]) -> Vec<ListedOffset> {
        let mut seen = HashSet::new();
        let twice: HashSet<(&str, i32)> = wanted
            .iter()
            .map(|one| (&*one.topic, one.partition))
            .filter(|partition| !seen.insert(*partition))
            .collect();
        wanted
            .iter()
            .map(|one| {
                let listed = match twice.contains(&(&*one.topic, one.partition)) {
                    true => Err(ErrorCode::INVALID_REQUEST),
                    false => self.named_source(&one.topic, one.partition).and_then(|source| {
                        source.list_offset(one.timestamp, one.current_leader_epoch, isolation)
                    }),
                };
                let failed = |error| ListedOffset { error, timestamp: -1, offset: -1, leader_epoch: -1 };
                listed.unwrap_or_else(failed)
            })
            .collect()
    }

    /// The ends of leader epochs (OffsetForLeaderEpoch).
    pub fn epoch_ends(&self, wanted: &[EpochEndRequest]) -> Vec<EpochEnd> {
        wanted
            .iter()
            .map(|one| {
                let end = self
                    .named_source(&one.topic, one.partition)
                    .and_then(|source| source.epoch_end(one.leader_epoch, one.current_leader_epoch));
                end.unwrap_or_else(|error| EpochEnd { error, leader_epoch: -1, end_offset: -1 })
            })
            .collect()
    }

    /// Removes records from the beginning of partitions, and waits until all live replicas have done so, no longer than
    /// `timeout_ms`.
    pub async fn delete_records(
        self: &Arc<Self>,
        wanted: Vec<DeleteRecords>,
        timeout_ms: i32,
    ) -> Vec<DeletedRecords> {
        let count = wanted.len();
        let broker = self.clone();
        let delete = move || wanted.iter().map(|one| broker.delete_records_of(one)).collect();
        let deleted: Vec<_> = self.world.workers.blocking(delete).await.unwrap_or_else(|error| {
            tracing::error!(%error, "deleting records failed");
            (0..count).map(|_| Err(ErrorCode::UNKNOWN_SERVER_ERROR)).collect()
        });
        let timeout = Duration::from_millis(u64::from(timeout_ms.max(0).unsigned_abs()));
        let deadline = tokio::time::Instant::now() + timeout;
        let mut replies = Vec::with_capacity(count);
        for deletion in deleted {
            let outcome = match deletion {
                Ok(deletion) => match tokio::time::timeout_at(deadline, deletion.completed()).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(ErrorCode::REQUEST_TIMED_OUT),
                },
                Err(error) => Err(error),
            };
            replies.push(match outcome {
                Ok(low_watermark) => DeletedRecords { error: ErrorCode::NONE, low_watermark },
                Err(error) => DeletedRecords { error, low_watermark: -1 },
            });
        }
        replies
    }

    fn delete_records_of(&self, wanted: &DeleteRecords) -> Result<Deletion, ErrorCode> {
        match self.named_source(&wanted.topic, wanted.partition)? {
            Source::Partition(partition) if is_closed_to_producers(partition.topic()) => {
                Err(ErrorCode::INVALID_TOPIC_EXCEPTION)
            }
            Source::Partition(partition) => {
                let offset = partition.delete_records(wanted.offset)?;
                Ok(Deletion { partition, offset })
            }
            // The znode log shortens itself by its snapshots.
            Source::Znodes(_) => Err(ErrorCode::POLICY_VIOLATION),
        }
    }

    fn named_source(&self, topic: &Arc<str>, partition: i32) -> Result<Source, ErrorCode> {
        self.partitions.source(&TopicKey::Name(topic.clone()), partition)
    }

    /// Who leads a partition that this node has, and the leader's epoch, as reads and writes of it are checked against.
    pub fn current_leader(&self, topic: &TopicKey, partition: i32) -> Option<(i32, i32)> {
        self.partitions.source(topic, partition).ok()?.current_leader()
    }

    /// The high watermark and log start of a partition that this node has, for metrics and tools.
    pub fn offsets(&self, topic: &TopicKey, partition: i32) -> Result<(i64, i64), ErrorCode> {
        Ok(match self.partitions.source(topic, partition)? {
            Source::Partition(partition) => (partition.high_watermark(), partition.log().log_start_offset()),
            Source::Znodes(znodes) => (znodes.high_watermark(), znodes.log_start()),
        })
    }

    /// The folders of `log.dirs` with the sizes of the replicas that `wanted` accepts (DescribeLogDirs).
    pub fn describe_log_dirs(&self, wanted: &dyn Fn(&str, i32) -> bool) -> Vec<LogDirDescription> {
        self.partitions.describe_folders(wanted)
    }
}

/// Records that were deleted here and perhaps not yet at the followers.
struct Deletion {
    partition: Arc<Partition>,
    offset: i64,
}

impl Deletion {
    /// Waits until all live replicas have deleted the records; the smallest start of their logs.
    async fn completed(&self) -> Result<i64, ErrorCode> {
        let waiter = Waiter::new();
        let outcome = loop {
            let mark = self.partition.waiters().mark();
            match self.partition.low_watermark() {
                Ok(low_watermark) if low_watermark < self.offset => {}
                outcome => break outcome,
            }
            self.partition.waiters().register(&waiter, 0, mark);
            waiter.woken().await;
        };
        self.partition.waiters().deregister(&waiter);
        outcome
    }
}

/// Appended records that wait for their commit.
struct Uncommitted {
    /// Whose reply waits.
    reply: usize,
    partition: Arc<Partition>,
    last_offset: i64,
    leader_epoch: i32,
}

/// Waits until appended records are committed, and puts failures into the replies.
async fn wait_for_commits(
    replies: &mut [ProducedPartition],
    mut uncommitted: Vec<Uncommitted>,
    timeout: Duration,
) {
    let waiter = Waiter::new();
    let wait = async {
        loop {
            uncommitted.retain(|one| {
                let mark = one.partition.waiters().mark();
                match one.partition.commit_outcome(one.last_offset, one.leader_epoch) {
                    Some(Ok(())) => false,
                    Some(Err(error)) => {
                        replies[one.reply] = ProducedPartition::refused(error, None);
                        false
                    }
                    None => {
                        one.partition.waiters().register(&waiter, one.reply, mark);
                        true
                    }
                }
            });
            if uncommitted.is_empty() {
                return;
            }
            waiter.woken().await;
        }
    };
    let in_time = tokio::time::timeout(timeout, wait).await;
    for Uncommitted { reply, partition, .. } in uncommitted {
        partition.waiters().deregister(&waiter);
        if in_time.is_err() {
            replies[reply] = ProducedPartition::refused(ErrorCode::REQUEST_TIMED_OUT, None);
        }
    }
}
