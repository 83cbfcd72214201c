//! Tests of the broker's parts together: real logs in a temporary folder, a disk that can be made to fail, a clock that can be
//! paused, and views made by hand in place of the controller.
mod cluster;
mod fetching;
mod groups;
mod partition;
mod partitions;
mod replication;
mod takeover;
mod znodes;

use crate::groups::{Groups, OFFSETS_TOPIC};
use crate::internal_topics::{Created, InternalTopics, NewTopic};
use crate::producer_ids::{ProducerIdBlock, ProducerIdBlocks};
use crate::requests::{Acks, ProducePartition, ProduceRequest, ProducedPartition, TopicKey};
use crate::znodes::ZnodeFeed;
use crate::{Broker, BrokerOptions};
use base::disk::Entry;
use base::{Clock, Disk, File, OpenMode, SystemDisk, SystemRandom, Workers, World};
use bytes::Bytes;
use controller::config::{BrokerConfig, ConfigMap, TopicConfig};
use controller::view::{ClusterView, PartitionView, TopicView};
use log::{BatchBuilder, LogDir, TailBudget};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tokio::sync::watch;
use uuid::Uuid;

const NODE: i32 = 0;
const WALL_START_MS: i64 = 1_700_000_000_000;

/// Time as tokio's timers see it, so that a paused runtime owns it; `skip` moves the wall clock alone.
struct TestClock {
    origin: tokio::time::Instant,
    skipped_ms: AtomicI64,
}

impl Clock for TestClock {
    fn wall_ms(&self) -> i64 {
        WALL_START_MS + self.skipped_ms.load(Ordering::Relaxed) + self.monotonic_ms() as i64
    }

    fn monotonic_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }

    fn monotonic_us(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }
}

/// The machine's disk, with a switch: writes below a path with the given part in its name fail.
#[derive(Default)]
struct TestDisk {
    broken: Arc<Mutex<Option<String>>>,
}

struct TestFile {
    file: Arc<dyn File>,
    path: String,
    broken: Arc<Mutex<Option<String>>>,
}

fn check(broken: &Mutex<Option<String>>, path: &str) -> io::Result<()> {
    match &*broken.lock() {
        Some(part) if path.contains(part.as_str()) => Err(io::Error::other("the test's disk is broken")),
        _ => Ok(()),
    }
}

impl TestDisk {
    fn check(&self, path: &Path) -> io::Result<()> {
        check(&self.broken, &path.to_string_lossy())
    }
}

impl File for TestFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        check(&self.broken, &self.path)?;
        self.file.write_all_at(buffer, offset)
    }
    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        check(&self.broken, &self.path)?;
        self.file.write_all_vectored_at(slices, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        check(&self.broken, &self.path)?;
        self.file.sync_data()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        check(&self.broken, &self.path)?;
        self.file.set_len(length)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode != OpenMode::Read {
            self.check(path)?;
        }
        let file = SystemDisk.open(path, mode)?;
        let path = path.to_string_lossy().into_owned();
        Ok(Arc::new(TestFile { file, path, broken: self.broken.clone() }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        SystemDisk.create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        SystemDisk.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(to)?;
        SystemDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        SystemDisk.sync_dir(path)
    }
    fn exists(&self, path: &Path) -> bool {
        SystemDisk.exists(path)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        SystemDisk.modified_ms(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        SystemDisk.lock(path)
    }
}

/// Blocks of ten producer ids, one after another.
struct Ids(AtomicI64);

impl ProducerIdBlocks for Ids {
    fn next_block(&self) -> ProducerIdBlock<'_> {
        let first = self.0.fetch_add(10, Ordering::Relaxed);
        Box::pin(async move { Ok(first..=first + 9) })
    }
}

/// Creates topics by publishing a view that has them, as a controller would.
struct Maker(Arc<Cluster>);

impl InternalTopics for Maker {
    fn create(&self, topic: NewTopic) -> Created<'_> {
        Box::pin(async move {
            let configs: Vec<(&str, &str)> =
                topic.configs.iter().map(|(key, value)| (*key, value.as_str())).collect();
            self.0.put(topic.name, topic.partitions, &configs);
            Ok(())
        })
    }
}

/// The views that a controller would publish.
struct Cluster {
    views: watch::Sender<Arc<ClusterView>>,
}

impl Cluster {
    fn new(settings: &[(&str, &str)]) -> Arc<Cluster> {
        let pairs = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let (config, _) = BrokerConfig::from_file(pairs).expect("the test's settings are allowed");
        let view = ClusterView {
            cluster_id: "test".into(),
            broker_config: Arc::new(config),
            ..ClusterView::default()
        };
        Arc::new(Cluster { views: watch::channel(Arc::new(view)).0 })
    }

    /// Creates or replaces a topic that this node leads.
    fn put(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let led = PartitionView {
            replicas: vec![NODE],
            adding: Vec::new(),
            removing: Vec::new(),
            leader: NODE,
            leader_epoch: 0,
            isr: vec![NODE],
            partition_epoch: 0,
            state_zxid: 0,
            recovering: false,
        };
        self.put_led(name, vec![led; partitions as usize], settings);
    }

    fn put_led(&self, name: &str, partitions: Vec<PartitionView>, settings: &[(&str, &str)]) {
        self.views.send_modify(|view| {
            let mut next = ClusterView::clone(view);
            let overrides: ConfigMap =
                settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let (config, errors) = TopicConfig::effective(&next.broker_config, &overrides);
            assert!(errors.is_empty(), "{errors:?}");
            let id = next.topics.get(name).map_or_else(|| topic_id(name, 0), |topic| topic.id);
            let topic = TopicView {
                name: name.into(),
                id,
                partitions,
                overrides: Arc::default(),
                config: Arc::new(config),
            };
            next.topic_names.insert(id, name.into());
            next.topics.insert(name.into(), Arc::new(topic));
            *view = Arc::new(next);
        });
    }

    /// Gives a topic the id of a later incarnation.
    fn recreate(&self, name: &str, incarnation: u8) {
        self.views.send_modify(|view| {
            let mut next = ClusterView::clone(view);
            let mut topic = TopicView::clone(&next.topics[name]);
            next.topic_names.remove(&topic.id);
            topic.id = topic_id(name, incarnation);
            next.topic_names.insert(topic.id, name.into());
            next.topics.insert(name.into(), Arc::new(topic));
            *view = Arc::new(next);
        });
    }

    fn remove(&self, name: &str) {
        self.views.send_modify(|view| {
            let mut next = ClusterView::clone(view);
            if let Some(topic) = next.topics.remove(name) {
                next.topic_names.remove(&topic.id);
            }
            *view = Arc::new(next);
        });
    }
}

fn topic_id(name: &str, incarnation: u8) -> Uuid {
    let mut bytes = [incarnation; 16];
    for (byte, letter) in bytes.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    bytes[15] = incarnation.wrapping_add(1);
    Uuid::from_bytes(bytes)
}

/// A node's broker with everything around it.
struct Node {
    broker: Arc<Broker>,
    cluster: Arc<Cluster>,
    clock: Arc<TestClock>,
    broken: Arc<Mutex<Option<String>>>,
    folder: Arc<TempDir>,
}

/// What a node is made of, to be started more than once.
struct Setup {
    cluster: Arc<Cluster>,
    folder: Arc<TempDir>,
    folders: usize,
    znodes: Option<Arc<dyn ZnodeFeed>>,
}

impl Setup {
    fn new(settings: &[(&str, &str)]) -> Setup {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Setup { cluster: Cluster::new(settings), folder, folders: 1, znodes: None }
    }

    async fn start(&self) -> Node {
        let clock =
            Arc::new(TestClock { origin: tokio::time::Instant::now(), skipped_ms: AtomicI64::new(0) });
        let disk = TestDisk::default();
        let broken = disk.broken.clone();
        let world = World {
            clock: clock.clone(),
            disk: Arc::new(disk),
            random: Arc::new(SystemRandom),
            workers: Workers::Threads,
        };
        let open = |index: usize| {
            let path = self.folder.path().join(format!("data{index}"));
            Arc::new(LogDir::open(world.clone(), &path).expect("a folder of its own"))
        };
        let broker = Broker::start(BrokerOptions {
            world: world.clone(),
            node_id: NODE,
            log_dirs: (0..self.folders).map(open).collect(),
            tail: TailBudget::new(64 << 20, 4 << 20),
            views: self.cluster.views.subscribe(),
            znodes: self.znodes.clone(),
            internal_topics: Arc::new(Maker(self.cluster.clone())),
            producer_ids: Arc::new(Ids(AtomicI64::new(0))),
            peers: None,
            in_sync_replicas: None,
        })
        .await
        .expect("the broker starts");
        Node { broker, cluster: self.cluster.clone(), clock, broken, folder: self.folder.clone() }
    }
}

impl Node {
    /// A node with a topic `t` of one partition.
    async fn with_topic(settings: &[(&str, &str)]) -> Node {
        let setup = Setup::new(&[]);
        setup.cluster.put("t", 1, settings);
        setup.start().await
    }

    fn groups(&self) -> Arc<Groups> {
        self.broker.groups().clone()
    }

    /// Waits until the partitions follow the newest view.
    async fn settle(&self) {
        let wanted = self.cluster.views.borrow().clone();
        let mut applied = self.broker.applied();
        applied.wait_for(|view| Arc::ptr_eq(view, &wanted)).await.expect("the broker lives");
    }

    async fn produce_to(&self, topic: &str, partition: i32, acks: Acks, records: Bytes) -> ProducedPartition {
        let request = ProduceRequest {
            acks,
            timeout_ms: 1_000,
            allows_zstd: true,
            principal: "User:ANONYMOUS".into(),
            partitions: vec![ProducePartition { topic: TopicKey::Name(topic.into()), partition, records }],
        };
        self.broker.produce(request).await.remove(0)
    }

    async fn produce(&self, records: Bytes) -> ProducedPartition {
        self.produce_to("t", 0, Acks::All, records).await
    }

    /// The names of the folders in the first of `log.dirs` that begin with a text.
    fn folders(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path().join("data0"))
            .expect("the folder is there")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        names
    }
}

/// A batch of records as a client sends it: keys `k0`, `k1`, ... and the given values, at the test's time.
fn batch(values: &[&str]) -> Bytes {
    batch_at(WALL_START_MS, values)
}

fn batch_at(timestamp: i64, values: &[&str]) -> Bytes {
    builder(timestamp, values).build().expect("small").to_bytes()
}

fn builder(timestamp: i64, values: &[&str]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(0);
    for (index, value) in values.iter().enumerate() {
        let key = format!("k{index}");
        builder.append(timestamp, Some(key.as_bytes()), Some(value.as_bytes()), &[]).expect("small");
    }
    builder
}

/// A node with `__consumer_offsets` whose shards are loaded.
async fn node_with_groups(settings: &[(&str, &str)]) -> Node {
    let mut all = vec![("offsets.topic.num.partitions", "3"), ("offsets.topic.replication.factor", "1")];
    all.extend_from_slice(settings);
    let node = Setup::new(&all).start().await;
    node.groups().find("g").await.expect("it is created");
    loaded(&node).await;
    node
}

/// Waits until every shard has been loaded.
async fn loaded(node: &Node) {
    while node.groups().list(&[], &[]).is_err()
        || node.broker.applied().borrow().topic(OFFSETS_TOPIC).is_none()
    {
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
