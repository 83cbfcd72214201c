//! Several brokers in one process: views made by hand in place of the controller, a network of function calls that can be cut, and
//! in-sync replicas kept by compare-and-set as the znodes keep them.
use super::{Ids, TestClock, TestDisk, WALL_START_MS, topic_id};
use crate::internal_topics::{Created, InternalTopics, NewTopic};
use crate::requests::{
    Acks, FetchPartition, FetchRequest, Isolation, ProducePartition, ProduceRequest, ProducedPartition,
    Replica, TopicKey,
};
use crate::{AlteredIsr, Broker, BrokerOptions, InSyncReplicas};
use base::{SystemRandom, Workers, World};
use bytes::Bytes;
use controller::config::{BrokerConfig, ConfigMap, TopicConfig};
use controller::view::{BrokerView, ClusterView, Endpoint, PartitionView, TopicView};
use controller::{IsrChange, IsrError};
use kafka_wire::messages::FetchResponse;
use kafka_wire::messages::fetch::{EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData};
use kafka_wire::{Request, Response};
use log::{LogDir, ReadLimits, TailBudget};
use parking_lot::Mutex;
use peers::{Address, CallError, Calling, Lane, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// Settings that make a test short: replicas lag after 300 ms.
const SETTINGS: [(&str, &str); 3] = [
    ("replica.lag.time.max.ms", "300"),
    ("replica.fetch.wait.max.ms", "100"),
    ("replica.socket.timeout.ms", "1000"),
];
/// How many steps of a millisecond something may take that is waited for.
const STEPS_MAX: usize = 20_000;

/// What the brokers of a test share.
pub(super) struct Shared {
    /// What the znodes say.
    truth: Mutex<ClusterView>,
    /// Counts the writes of it.
    zxid: AtomicI64,
    /// What each node sees of it; a node that is blind sees nothing new.
    views: Mutex<BTreeMap<i32, watch::Sender<Arc<ClusterView>>>>,
    blind: Mutex<BTreeSet<i32>>,
    brokers: Mutex<BTreeMap<i32, Arc<Broker>>>,
    /// Pairs of nodes that can't call each other.
    cut: Mutex<BTreeSet<(i32, i32)>>,
    /// Fetches of replicas that were answered, by the node that asked.
    pub(super) fetches: Mutex<BTreeMap<i32, u64>>,
    /// Whether changes of in-sync replicas get through: if not, they are lost before or after they take effect.
    pub(super) keeper: Mutex<Keeping>,
    /// What was asked for, in order.
    pub(super) altered: Mutex<Vec<IsrChange>>,
    order: Mutex<Lanes>,
}

/// Who may speak next, by caller, callee and lane.
type Lanes = BTreeMap<(i32, i32, Lane), Arc<tokio::sync::Mutex<()>>>;

/// What becomes of changes of in-sync replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    Kept,
    LostBefore,
    LostAfter,
}

/// A cluster under test.
pub(super) struct TestCluster {
    pub(super) shared: Arc<Shared>,
    folders: BTreeMap<i32, TempDir>,
    clock: Arc<TestClock>,
}

impl TestCluster {
    /// Nodes 1 to `count`, each in a rack of its own (`r1`, `r2`, ...).
    pub(super) async fn start(count: i32, settings: &[(&str, &str)]) -> TestCluster {
        let pairs = SETTINGS.iter().chain(settings);
        let pairs = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let (config, _) = BrokerConfig::from_file(pairs).expect("the test's settings are allowed");
        let truth = ClusterView {
            cluster_id: "test".into(),
            broker_config: Arc::new(config),
            ..ClusterView::default()
        };
        let shared = Arc::new(Shared {
            truth: Mutex::new(truth),
            zxid: AtomicI64::new(0),
            views: Mutex::default(),
            blind: Mutex::default(),
            brokers: Mutex::default(),
            cut: Mutex::default(),
            fetches: Mutex::default(),
            keeper: Mutex::new(Keeping::Kept),
            altered: Mutex::default(),
            order: Mutex::default(),
        });
        let clock = TestClock { origin: tokio::time::Instant::now(), skipped_ms: AtomicI64::new(0) };
        let folder = |id| (id, tempfile::tempdir().expect("a temporary folder"));
        let mut cluster =
            TestCluster { shared, folders: (1..=count).map(folder).collect(), clock: Arc::new(clock) };
        for id in 1..=count {
            cluster.start_node(id).await;
        }
        cluster
    }

    /// Starts a node under a new broker epoch.
    pub(super) async fn start_node(&mut self, id: i32) {
        self.shared.reregister(id);
        let world = World {
            clock: self.clock.clone(),
            disk: Arc::new(TestDisk::default()),
            random: Arc::new(SystemRandom),
            workers: Workers::Tasks,
        };
        let path = self.folders[&id].path().to_owned();
        let mut steps = 0;
        let dir = loop {
            match LogDir::open(world.clone(), &path) {
                Ok(dir) => break Arc::new(dir),
                // The node that had the folder before is still giving it up.
                Err(error) => assert!(steps < STEPS_MAX, "{error}"),
            }
            steps += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let truth = Arc::new(self.shared.truth.lock().clone());
        let views = self.shared.views.lock().entry(id).or_insert_with(|| watch::channel(truth).0).subscribe();
        let transport = TestTransport { from: id, shared: self.shared.clone() };
        let broker = Broker::start(BrokerOptions {
            world,
            node_id: id,
            log_dirs: vec![dir],
            tail: TailBudget::new(16 << 20, 1 << 20),
            views,
            znodes: None,
            internal_topics: Arc::new(Maker(self.shared.clone())),
            producer_ids: Arc::new(Ids(AtomicI64::new(0))),
            peers: Some(Arc::new(transport)),
            in_sync_replicas: Some(Arc::new(Keeper { node: id, shared: self.shared.clone() })),
        })
        .await
        .expect("the broker starts");
        self.shared.brokers.lock().insert(id, broker);
    }

    /// Stops a node; its registration stays until [`Shared::change`] removes it.
    pub(super) async fn stop_node(&self, id: i32) {
        let broker = self.shared.brokers.lock().remove(&id).expect("it runs");
        drop(broker.shutdown().await);
    }

    /// Takes the last batch of `t` off the disk of a node that is stopped, as the loss of a page cache would.
    pub(super) fn forget_last_batch(&self, id: i32) {
        let path = self.folders[&id].path().join("t-0/00000000000000000000.log");
        let content = std::fs::read(&path).expect("the segment");
        let last = log::Batch::iter(content.clone().into()).map_while(Result::ok).last().expect("a batch");
        std::fs::write(&path, &content[..content.len() - last.size()]).expect("the disk works");
    }

    pub(super) fn broker(&self, id: i32) -> Arc<Broker> {
        self.shared.brokers.lock()[&id].clone()
    }

    /// Creates topic `t` with one partition, led by the first replica and with all of them in sync.
    pub(super) async fn create(&self, replicas: &[i32], settings: &[(&str, &str)]) {
        self.shared.create("t", 1, replicas, settings);
        self.settle().await;
    }

    /// Waits until all nodes that see follow what there is.
    pub(super) async fn settle(&self) {
        let nodes: Vec<_> = self.shared.brokers.lock().iter().map(|(id, node)| (*id, node.clone())).collect();
        for (id, broker) in nodes {
            if self.shared.blind.lock().contains(&id) {
                continue;
            }
            // The newest picture may be replaced before it is followed, so it is looked up again and again.
            for _ in 0..STEPS_MAX {
                let wanted = self.shared.views.lock()[&id].borrow().clone();
                if Arc::ptr_eq(&broker.applied().borrow(), &wanted) {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
    }

    /// Makes a node lead `t` in the next epoch.
    pub(super) async fn elect(&self, leader: i32, isr: &[i32]) {
        self.shared.change_partition("t", 0, |partition| {
            partition.leader = leader;
            partition.leader_epoch += 1;
            partition.partition_epoch += 1;
            partition.isr = isr.to_vec();
        });
        self.settle().await;
    }

    /// Removes a node's registration, and leaves the rest as it is.
    pub(super) async fn deregister(&self, id: i32) {
        self.shared.change(|view| {
            view.brokers.remove(&id);
        });
        self.settle().await;
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..STEPS_MAX {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never: {what}");
    }

    /// Waits until a node's replica of `t` is that of another one, byte by byte up to the end, and as committed.
    pub(super) async fn until_same(&self, one: i32, other: i32) {
        self.until(&format!("{one} and {other} have the same"), || {
            self.content(one) == self.content(other) && self.high_watermark(one) == self.high_watermark(other)
        })
        .await;
    }

    pub(super) fn isr(&self) -> Vec<i32> {
        self.shared.partition("t").isr
    }

    pub(super) fn log_end(&self, id: i32) -> i64 {
        self.broker(id).partition_for_test("t", 0).log().log_end_offset()
    }

    pub(super) fn log_start(&self, id: i32) -> i64 {
        self.broker(id).partition_for_test("t", 0).log().log_start_offset()
    }

    pub(super) fn high_watermark(&self, id: i32) -> i64 {
        self.broker(id).partition_for_test("t", 0).high_watermark()
    }

    /// All bytes of a node's replica of `t`.
    pub(super) fn content(&self, id: i32) -> Vec<u8> {
        let partition = self.broker(id).partition_for_test("t", 0);
        let log = partition.log();
        let (mut offset, end) = (log.log_start_offset(), log.log_end_offset());
        let mut all = Vec::new();
        while offset < end {
            let limits = ReadLimits { max_bytes: 1 << 20, at_least_one: true, until: end };
            let data = log.read(offset, limits).expect("it can be read").into_bytes();
            let last = log::Batch::iter(data.clone()).map_while(Result::ok).last().expect("a batch");
            offset = last.header().next_offset();
            all.extend_from_slice(&data);
        }
        all
    }

    /// Produces to `t` at a node; it waits up to a second.
    pub(super) async fn produce(&self, id: i32, acks: Acks, records: Bytes) -> ProducedPartition {
        let request = ProduceRequest {
            acks,
            timeout_ms: 1_000,
            allows_zstd: true,
            principal: "User:ANONYMOUS".into(),
            partitions: vec![ProducePartition { topic: TopicKey::Name("t".into()), partition: 0, records }],
        };
        self.broker(id).produce(request).await.remove(0)
    }
}

impl Shared {
    /// Changes what there is, and shows it to every node that sees.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut ClusterView) -> T) -> T {
        let mut truth = self.truth.lock();
        let result = change(&mut truth);
        let view = Arc::new(truth.clone());
        for (id, views) in &*self.views.lock() {
            if !self.blind.lock().contains(id) {
                views.send_replace(view.clone());
            }
        }
        result
    }

    /// Makes a node miss what happens, or see it again.
    pub(super) fn blind(&self, id: i32, blind: bool) {
        match blind {
            true => self.blind.lock().insert(id),
            false => self.blind.lock().remove(&id),
        };
        self.change(|_| {});
    }

    /// Cuts the line between two nodes, or mends it.
    pub(super) fn cut(&self, one: i32, other: i32, cut: bool) {
        for pair in [(one, other), (other, one)] {
            match cut {
                true => self.cut.lock().insert(pair),
                false => self.cut.lock().remove(&pair),
            };
        }
    }

    fn create(&self, name: &str, partitions: i32, replicas: &[i32], settings: &[(&str, &str)]) {
        self.change(|view| {
            let overrides: ConfigMap =
                settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let (config, errors) = TopicConfig::effective(&view.broker_config, &overrides);
            assert!(errors.is_empty(), "{errors:?}");
            let led = PartitionView {
                leader: replicas[0],
                leader_epoch: 0,
                isr: replicas.to_vec(),
                partition_epoch: 0,
                state_zxid: self.next_zxid(),
                ..PartitionView::unelected(replicas.to_vec())
            };
            let id = topic_id(name, 0);
            let topic = TopicView {
                name: name.into(),
                id,
                partitions: vec![led; partitions as usize],
                overrides: Arc::default(),
                config: Arc::new(config),
            };
            view.topic_names.insert(id, name.into());
            view.topics.insert(name.into(), Arc::new(topic));
        });
    }

    /// Topics `many0`, `many1`, ... of one partition each.
    pub(super) fn create_many(&self, count: usize, replicas: &[i32]) {
        for index in 0..count {
            self.create(&format!("many{index}"), 1, replicas, &[]);
        }
    }

    /// The first partition of a topic, as the znodes have it.
    pub(super) fn partition(&self, topic: &str) -> PartitionView {
        self.truth.lock().partition(topic, 0).expect("it was created").clone()
    }

    /// Gives a node a new broker epoch.
    pub(super) fn reregister(&self, id: i32) {
        let epoch = self.next_zxid();
        self.change(|view| view.brokers.insert(id, Arc::new(registration(id, epoch))));
    }

    fn next_zxid(&self) -> i64 {
        self.zxid.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn change_partition(
        &self,
        topic: &str,
        index: usize,
        change: impl FnOnce(&mut PartitionView),
    ) {
        self.change(|view| {
            let mut next = TopicView::clone(&view.topics[topic]);
            let partition = &mut next.partitions[index];
            let before = partition.partition_epoch;
            change(partition);
            if partition.partition_epoch != before {
                partition.state_zxid = self.next_zxid();
            }
            view.topics.insert(topic.into(), Arc::new(next));
        });
    }
}

fn registration(id: i32, epoch: i64) -> BrokerView {
    let endpoint = Endpoint {
        listener: "PLAINTEXT".into(),
        host: "test".into(),
        port: id as u16,
        protocol: "PLAINTEXT".into(),
    };
    BrokerView { id, epoch, endpoints: vec![endpoint], rack: Some(format!("r{id}")) }
}

/// Creates internal topics with as many replicas as are asked for.
struct Maker(Arc<Shared>);

impl InternalTopics for Maker {
    fn create(&self, topic: NewTopic) -> Created<'_> {
        Box::pin(async move {
            let configs: Vec<(&str, &str)> =
                topic.configs.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let replicas: Vec<i32> = (1..=i32::from(topic.replication_factor)).collect();
            self.0.create(topic.name, topic.partitions, &replicas, &configs);
            Ok(())
        })
    }
}

/// Keeps in-sync replicas for one node.
struct Keeper {
    node: i32,
    shared: Arc<Shared>,
}

impl InSyncReplicas for Keeper {
    fn alter(&self, changes: Vec<IsrChange>) -> AlteredIsr<'_> {
        Box::pin(async move {
            // A hop, so that the caller never sees its change before it has ended its own work.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let keeping = *self.shared.keeper.lock();
            let alter = |change: IsrChange| {
                if keeping == Keeping::LostBefore {
                    return Err(IsrError::Unavailable);
                }
                let outcome = self.alter_one(&change);
                self.shared.altered.lock().push(change);
                if keeping == Keeping::LostAfter { Err(IsrError::Unavailable) } else { outcome }
            };
            changes.into_iter().map(alter).collect()
        })
    }
}

impl Keeper {
    fn alter_one(&self, change: &IsrChange) -> Result<i32, IsrError> {
        let present = self.shared.truth.lock().partition(&change.topic, change.partition).cloned();
        let Some(present) = present.filter(|present| present.leader == self.node) else {
            return Err(IsrError::Fenced);
        };
        if present.leader_epoch != change.leader_epoch || present.partition_epoch != change.partition_epoch {
            return Err(IsrError::Conflict);
        }
        self.shared.change_partition(&change.topic, change.partition as usize, |partition| {
            partition.isr = change.isr.clone();
            partition.partition_epoch += 1;
            partition.recovering &= !change.recovered;
        });
        Ok(present.partition_epoch + 1)
    }
}

/// One node's calls to the others.
struct TestTransport {
    from: i32,
    shared: Arc<Shared>,
}

impl Transport for TestTransport {
    fn call(&self, to: &Address, lane: Lane, version: i16, request: Request, timeout: Duration) -> Calling {
        assert_eq!(version, 17);
        let (from, to, address) = (self.from, i32::from(to.port), to.clone());
        let shared = self.shared.clone();
        let lock = shared.order.lock().entry((from, to, lane)).or_default().clone();
        let answer = tokio::spawn(async move {
            let _turn = lock.lock().await;
            let lost = |reason: &str| CallError::Lost { to: address.clone(), reason: reason.to_owned() };
            let is_cut = || shared.cut.lock().contains(&(from, to));
            let Some(broker) = shared.brokers.lock().get(&to).cloned() else {
                return Err(CallError::Refused(address));
            };
            if is_cut() {
                tokio::time::sleep(timeout).await;
                return Err(lost("cut"));
            }
            let Request::Fetch(request) = request else { return Err(lost("no fetch")) };
            let response = serve(&broker, request).await;
            if is_cut() {
                tokio::time::sleep(timeout).await;
                return Err(lost("cut"));
            }
            *shared.fetches.lock().entry(from).or_default() += 1;
            Ok(Response::Fetch(response))
        });
        Box::pin(async move { answer.await.expect("the call ends") })
    }
}

/// What the door does with a replica's fetch.
async fn serve(broker: &Broker, request: kafka_wire::messages::FetchRequest) -> FetchResponse {
    assert_eq!(request.cluster_id.as_deref(), Some("test"));
    let partitions = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| FetchPartition {
            topic: TopicKey::Id(topic.topic_id),
            partition: partition.partition,
            current_leader_epoch: partition.current_leader_epoch,
            fetch_offset: partition.fetch_offset,
            last_fetched_epoch: partition.last_fetched_epoch,
            log_start_offset: partition.log_start_offset,
            max_bytes: partition.partition_max_bytes,
        })
    });
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (TopicKey::Id(topic.topic_id), *partition))
    });
    let reply = broker
        .fetch(FetchRequest {
            max_wait_ms: request.max_wait_ms,
            min_bytes: request.min_bytes,
            max_bytes: request.max_bytes,
            isolation: Isolation::ReadUncommitted,
            allows_zstd: true,
            allows_follower: true,
            takes_files: false,
            rack_id: "".into(),
            replica: Some(Replica {
                id: request.replica_state.replica_id,
                epoch: request.replica_state.replica_epoch,
            }),
            session_id: request.session_id,
            session_epoch: request.session_epoch,
            by_id: true,
            partitions: partitions.collect(),
            forgotten: forgotten.collect(),
        })
        .await;
    let mut response =
        FetchResponse { error_code: reply.error, session_id: reply.session_id, ..Default::default() };
    for partition in reply.partitions {
        let TopicKey::Id(topic_id) = partition.topic else { panic!("asked by id") };
        let diverging = |(epoch, end_offset)| EpochEndOffset { epoch, end_offset };
        let leader = |(leader_id, leader_epoch)| LeaderIdAndEpoch { leader_id, leader_epoch };
        let data = PartitionData {
            partition_index: partition.partition,
            error_code: partition.error,
            high_watermark: partition.high_watermark,
            last_stable_offset: partition.last_stable_offset,
            log_start_offset: partition.log_start_offset,
            diverging_epoch: partition.diverging.map(diverging).unwrap_or_default(),
            current_leader: partition.current_leader.map(leader).unwrap_or_default(),
            records: Some(Bytes::from(partition.records.to_bytes().to_vec()).into()),
            ..Default::default()
        };
        response.responses.push(FetchableTopicResponse {
            topic_id,
            partitions: vec![data],
            ..Default::default()
        });
    }
    response
}

/// A consumer's fetch of `t` at a node, from a rack.
pub(super) fn consumer_fetch(offset: i64, rack: &str, allows_follower: bool) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation: Isolation::ReadUncommitted,
        allows_zstd: true,
        allows_follower,
        takes_files: false,
        rack_id: rack.into(),
        replica: None,
        session_id: 0,
        session_epoch: -1,
        by_id: false,
        partitions: vec![FetchPartition {
            topic: TopicKey::Name("t".into()),
            partition: 0,
            current_leader_epoch: -1,
            fetch_offset: offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            max_bytes: 1 << 20,
        }],
        forgotten: Vec::new(),
    }
}

/// A batch of one record at the test's time.
pub(super) fn record(value: &str) -> Bytes {
    super::batch_at(WALL_START_MS, &[value])
}
