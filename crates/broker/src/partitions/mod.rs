//! All partitions of this node: following the cluster's view, and the work on their logs in the background.
//!
//! `follow` opens, closes and reconfigures partitions when a view arrives; `upkeep` runs retention, compaction, flushes and
//! checkpoints. Invariants: one task at a time changes the set of partitions; a view is published as applied only after
//! the partitions follow it; a partition that cannot be opened is offline (KAFKA_STORAGE_ERROR) and no other suffers.
mod clean;
mod folders;
mod follow;
mod settings;
mod upkeep;

use crate::ErrorCode;
use crate::partition::Partition;
use crate::replication::Neighbours;
use crate::requests::{LogDirDescription, ReplicaSize, TopicKey};
use crate::source::Source;
use crate::znodes::{ZNODES_TOPIC, Znodes};
use base::World;
use controller::view::ClusterView;
use folders::{Folder, Folders};
use hashbrown::HashMap;
use log::{LogDir, LogError, TailBudget};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use follow::Change;
pub(crate) use settings::log_config;

/// A partition that this node should have.
#[derive(Clone)]
enum Hosted {
    Online(Arc<Replica>),
    /// Its log could not be opened.
    Offline,
}

/// A partition with the folder that it is in.
struct Replica {
    partition: Arc<Partition>,
    folder: Arc<Folder>,
}

/// The partitions of one topic on this node.
struct Topic {
    id: Uuid,
    partitions: HashMap<i32, Hosted>,
}

/// All partitions of this node.
pub(crate) struct Partitions {
    world: World,
    neighbours: Arc<Neighbours>,
    folders: Folders,
    znodes: Option<Arc<Znodes>>,
    topics: RwLock<HashMap<Arc<str>, Topic>>,
    cleaner: clean::CleanerState,
    /// Held by whoever changes the set of partitions; true once it is closed for good.
    changing: Mutex<bool>,
    /// The view that the partitions follow.
    applied: watch::Sender<Arc<ClusterView>>,
}

impl Partitions {
    /// No partitions yet: the first view brings them.
    ///
    /// # Errors
    /// A folder of `log.dirs` that cannot be read.
    pub(crate) fn new(
        world: World,
        neighbours: Arc<Neighbours>,
        dirs: Vec<Arc<LogDir>>,
        tail: Arc<TailBudget>,
        znodes: Option<Arc<Znodes>>,
    ) -> Result<Partitions, LogError> {
        let folders = Folders::open(world.clone(), dirs, tail)?;
        let (applied, _) = watch::channel(Arc::new(ClusterView::default()));
        Ok(Partitions {
            world,
            neighbours,
            folders,
            znodes,
            topics: RwLock::new(HashMap::new()),
            cleaner: clean::CleanerState::default(),
            changing: Mutex::new(false),
            applied,
        })
    }

    /// The view that the partitions follow at the moment.
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.applied.borrow().clone()
    }

    /// Hears of each view after the partitions follow it.
    pub(crate) fn applied(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.applied.subscribe()
    }

    /// Where records of a partition come from and go to.
    ///
    /// # Errors
    /// 3 or 100 for what does not exist, 6 for what this node does not have, 56 for what it cannot open.
    pub(crate) fn source(&self, topic: &TopicKey, index: i32) -> Result<Source, ErrorCode> {
        let name = match topic {
            TopicKey::Name(name) => name.clone(),
            TopicKey::Id(id) => {
                self.view().topic_names.get(id).cloned().ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?
            }
        };
        if &*name == ZNODES_TOPIC {
            return self.znode_source(topic, index);
        }
        let hosted = self.topics.read().get(&name).and_then(|topic| topic.partitions.get(&index).cloned());
        match hosted {
            Some(Hosted::Online(replica)) => {
                if let TopicKey::Id(id) = topic
                    && *id != replica.partition.topic_id()
                {
                    return Err(ErrorCode::UNKNOWN_TOPIC_ID);
                }
                Ok(Source::Partition(replica.partition.clone()))
            }
            Some(Hosted::Offline) => Err(ErrorCode::KAFKA_STORAGE_ERROR),
            None if self.view().partition(&name, index).is_some() => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        }
    }

    fn znode_source(&self, topic: &TopicKey, index: i32) -> Result<Source, ErrorCode> {
        match &self.znodes {
            Some(znodes) if index == 0 => Ok(Source::Znodes(znodes.clone())),
            Some(_) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            None => Err(topic.unknown()),
        }
    }

    /// A partition of this node, by topic name.
    pub(crate) fn get(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        match self.topics.read().get(topic)?.partitions.get(&index)? {
            Hosted::Online(replica) => Some(replica.partition.clone()),
            Hosted::Offline => None,
        }
    }

    /// What the partitions know of the other brokers.
    pub(crate) fn neighbours(&self) -> &Arc<Neighbours> {
        &self.neighbours
    }

    /// Does something with every partition that is open.
    pub(crate) fn each_partition(&self, work: impl Fn(&Partition)) {
        for replica in self.replicas() {
            work(&replica.partition);
        }
    }

    /// Everything that is open, in an order that no hash decides.
    fn replicas(&self) -> Vec<Arc<Replica>> {
        let topics = self.topics.read();
        let hosted = topics.values().flat_map(|topic| topic.partitions.values());
        let mut replicas: Vec<Arc<Replica>> = hosted
            .filter_map(|hosted| match hosted {
                Hosted::Online(replica) => Some(replica.clone()),
                Hosted::Offline => None,
            })
            .collect();
        drop(topics);
        replicas.sort_unstable_by(|left, right| {
            let (left, right) = (&left.partition, &right.partition);
            (left.topic(), left.index()).cmp(&(right.topic(), right.index()))
        });
        replicas
    }

    /// How many partitions this node has open, and how many are offline.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let topics = self.topics.read();
        let mut counts = (0, 0);
        for hosted in topics.values().flat_map(|topic| topic.partitions.values()) {
            match hosted {
                Hosted::Online(replica) if replica.partition.log().offline_reason().is_none() => {
                    counts.0 += 1
                }
                _ => counts.1 += 1,
            }
        }
        counts
    }

    /// The folders with the replicas that `wanted` names (all if none).
    pub(crate) fn describe_folders(&self, wanted: &dyn Fn(&str, i32) -> bool) -> Vec<LogDirDescription> {
        let replicas = self.replicas();
        self.folders
            .all()
            .iter()
            .enumerate()
            .map(|(position, folder)| {
                let mut sizes: Vec<ReplicaSize> = replicas
                    .iter()
                    .filter(|replica| Arc::ptr_eq(&replica.folder, folder))
                    .map(|replica| &replica.partition)
                    .filter(|partition| wanted(partition.topic(), partition.index()))
                    .map(|partition| replica_size(partition))
                    .collect();
                if let Some(znodes) =
                    self.znodes.as_ref().filter(|_| position == 0 && wanted(ZNODES_TOPIC, 0))
                {
                    let size = i64::try_from(znodes.size()).unwrap_or(i64::MAX);
                    sizes.push(ReplicaSize { topic: ZNODES_TOPIC.into(), partition: 0, size, lag: 0 });
                }
                sizes.sort_by(|left, right| {
                    (&left.topic, left.partition).cmp(&(&right.topic, right.partition))
                });
                let path = folder.dir.path();
                let space = self.world.disk.space(path).ok();
                let bytes =
                    |bytes: Option<u64>| bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                LogDirDescription {
                    error: ErrorCode::NONE,
                    path: absolute.to_string_lossy().into_owned(),
                    total_bytes: bytes(space.map(|space| space.total)),
                    usable_bytes: bytes(space.map(|space| space.usable)),
                    replicas: sizes,
                }
            })
            .collect()
    }
}

fn replica_size(partition: &Partition) -> ReplicaSize {
    let log = partition.log();
    ReplicaSize {
        topic: partition.topic().clone(),
        partition: partition.index(),
        size: i64::try_from(log.size()).unwrap_or(i64::MAX),
        lag: (log.high_watermark() - log.log_end_offset()).max(0),
    }
}
