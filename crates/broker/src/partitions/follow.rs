//! Following the view: which partitions this node has, whom they follow, and how they are configured.
use super::folders::{Folder, Wanted};
use super::{Hosted, Partitions, Replica, Topic, log_config};
use crate::partition::{Partition, Role, Terms};
use base::Workers;
use controller::view::{ClusterView, PartitionView, TopicView};
use hashbrown::HashMap;
use log::TopicPartition;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How many new partitions are made at a time.
const CREATING_THREADS: usize = 8;

/// What a view changed for those who build on partitions.
#[derive(Clone)]
pub(crate) enum Change {
    /// This node leads the partition, in a new epoch.
    Leads(Arc<Partition>),
    /// This node does not lead the partition any more.
    Resigned { topic: Arc<str>, index: i32 },
    /// Whom the partition is copied from, if from anybody, may be different now.
    Moved(Arc<Partition>),
    /// The topic is gone.
    TopicGone(Arc<str>),
}

/// A log to be opened.
struct Opening {
    topic: Arc<str>,
    index: i32,
    wanted: Wanted,
    folder: Arc<Folder>,
}

impl Partitions {
    /// Makes the partitions follow a view, and says what that changed. Blocks on the disk. `first` is the view at start.
    pub(crate) fn follow(&self, view: &Arc<ClusterView>, first: bool) -> Vec<Change> {
        let closed = self.changing.lock();
        if *closed {
            return Vec::new();
        }
        let before = self.view();
        self.neighbours.show(view.clone());
        let mut changes = Vec::new();
        self.drop_topics(view, &mut changes);
        self.open_all(view, first);
        if first {
            self.folders.set_strays_aside();
        }
        let own = |view: &ClusterView| view.brokers.get(&self.neighbours.node_id()).cloned();
        let registered_anew = own(&before) != own(view);
        let settings_changed = first || !Arc::ptr_eq(&before.broker_config, &view.broker_config);
        for topic in view.topics.values() {
            let same = before.topics.get(&topic.name).is_some_and(|old| Arc::ptr_eq(old, topic));
            if !same || settings_changed || registered_anew {
                self.lead_or_follow(topic, view, &mut changes);
            }
        }
        if before.brokers != view.brokers {
            // Who registered anew may become in sync.
            self.each_partition(Partition::reconsider);
        }
        changes
    }

    /// Publishes the view as applied, once everybody who builds on partitions has heard of its changes.
    pub(crate) fn publish(&self, view: Arc<ClusterView>) {
        self.applied.send_replace(view);
    }

    /// Ends partitions that the view does not give to this node any more.
    fn drop_topics(&self, view: &ClusterView, changes: &mut Vec<Change>) {
        let mut dropped = Vec::new();
        let mut topics = self.topics.write();
        topics.retain(|name, topic| {
            let wanted = view.topics.get(name).filter(|wanted| wanted.id == topic.id);
            topic.partitions.retain(|index, hosted| {
                let assigned = wanted.and_then(|wanted| wanted.partition(*index));
                let stays = assigned.is_some_and(|partition| self.is_ours(partition));
                if !stays {
                    dropped.push(hosted.clone());
                    changes.push(Change::Resigned { topic: name.clone(), index: *index });
                }
                stays
            });
            if wanted.is_none() {
                changes.push(Change::TopicGone(name.clone()));
            }
            wanted.is_some()
        });
        drop(topics);
        // A topic that this node held nothing of may still have offsets committed here.
        let before = self.view();
        for (name, old) in &before.topics {
            let gone = view.topics.get(name).is_none_or(|topic| topic.id != old.id);
            if gone
                && !changes.iter().any(|change| matches!(change, Change::TopicGone(topic) if topic == name))
            {
                changes.push(Change::TopicGone(name.clone()));
            }
        }
        for hosted in dropped {
            if let Hosted::Online(replica) = hosted {
                self.delete(&replica);
                changes.push(Change::Moved(replica.partition.clone()));
            }
        }
    }

    fn is_ours(&self, partition: &PartitionView) -> bool {
        partition.replicas.contains(&self.neighbours.node_id())
    }

    /// Deletes a replica: its folder is renamed now and removed after `file.delete.delay.ms`.
    fn delete(&self, replica: &Replica) {
        let partition = &replica.partition;
        partition.end();
        let log = partition.log();
        log.discard();
        match replica.folder.dir.doom_folder(log.dir(), log.partition()) {
            Ok(doomed) => {
                tracing::info!(%partition, "deleted");
                replica.folder.forget_cleaned(log.partition());
                let delay = log.config().file_delete_delay_ms.max(0).unsigned_abs();
                remove_later(
                    self.world.workers,
                    replica.folder.clone(),
                    doomed,
                    Duration::from_millis(delay),
                );
            }
            Err(error) => {
                tracing::error!(%partition, %error, "a deleted partition's folder cannot be renamed")
            }
        }
    }

    /// Opens the logs of partitions that are new to this node, several at a time.
    fn open_all(&self, view: &ClusterView, first: bool) {
        let openings = self.openings(view);
        if openings.is_empty() {
            return;
        }
        let begun = self.world.clock.monotonic_ms();
        let count = openings.len();
        let workers = match self.world.workers {
            // What a new partition costs is flushes of small files, which the file system does together if they come together.
            base::Workers::Threads if !first => self.workers(view).max(CREATING_THREADS),
            _ => self.workers(view),
        };
        share_out(workers, openings, |opening| self.open(opening));
        for folder in self.folders.all() {
            if let Err(error) = self.folders.settle(folder) {
                tracing::error!(%error, "new partitions' folders cannot be made durable");
            }
        }
        if first {
            let took_ms = self.world.clock.monotonic_ms().saturating_sub(begun);
            tracing::info!(partitions = count, took_ms, "partitions loaded");
        }
    }

    /// `num.recovery.threads.per.data.dir` for each folder. A simulator opens one after another.
    pub(super) fn workers(&self, view: &ClusterView) -> usize {
        match self.world.workers {
            base::Workers::Tasks => 1,
            base::Workers::Threads => {
                let per_dir =
                    view.broker_config.log.recovery_threads_per_data_dir.max(1).unsigned_abs() as usize;
                per_dir * self.folders.all().len().max(1)
            }
        }
    }

    /// What is to be opened, new partitions spread over the folders so that each gets the same number.
    fn openings(&self, view: &ClusterView) -> Vec<Opening> {
        let topics = self.topics.read();
        let mut load: Vec<usize> = self
            .folders
            .all()
            .iter()
            .map(|folder| {
                let hosted = topics.values().flat_map(|topic| topic.partitions.values());
                hosted.filter(|hosted| matches!(hosted, Hosted::Online(replica) if Arc::ptr_eq(&replica.folder, folder))).count()
            })
            .collect();
        let mut openings = Vec::new();
        for topic in view.topics.values().filter(|topic| &*topic.name != crate::znodes::ZNODES_TOPIC) {
            let held = topics.get(&topic.name);
            for (index, partition) in (0..).zip(&topic.partitions) {
                if !self.is_ours(partition) || held.is_some_and(|held| held.partitions.contains_key(&index)) {
                    continue;
                }
                let wanted = Wanted {
                    partition: TopicPartition::new(&*topic.name, index),
                    topic_id: topic.id,
                    config: log_config(&topic.config, &view.broker_config),
                };
                let Some(least) = (0..load.len()).min_by_key(|position| load[*position]) else { continue };
                if !self.folders.has_found(&wanted.partition) {
                    load[least] += 1;
                }
                let folder = self.folders.all()[least].clone();
                openings.push(Opening { topic: topic.name.clone(), index, wanted, folder });
            }
        }
        openings
    }

    fn open(&self, opening: Opening) {
        let Opening { topic, index, wanted, folder } = opening;
        let hosted = match self.folders.open_log(&wanted, &folder) {
            Ok(opened) => {
                let log = Arc::new(opened.log);
                let neighbours = self.neighbours.clone();
                let partition = Partition::new(topic.clone(), index, wanted.topic_id, log, neighbours);
                Hosted::Online(Arc::new(Replica { partition: Arc::new(partition), folder: opened.folder }))
            }
            Err(error) => {
                tracing::error!(topic = &*topic, partition = index, %error, "a partition cannot be opened; it is offline");
                Hosted::Offline
            }
        };
        let mut topics = self.topics.write();
        let entry =
            topics.entry(topic).or_insert_with(|| Topic { id: wanted.topic_id, partitions: HashMap::new() });
        entry.partitions.insert(index, hosted);
    }

    /// Gives a topic's partitions their roles and settings.
    fn lead_or_follow(&self, topic: &TopicView, view: &ClusterView, changes: &mut Vec<Change>) {
        let config = log_config(&topic.config, &view.broker_config);
        let node_id = self.neighbours.node_id();
        for (index, state) in (0..).zip(&topic.partitions) {
            let Some(partition) = self.get(&topic.name, index) else { continue };
            // A leadership that was given to an earlier incarnation of this broker has ended: what that one had may be gone, and
            // followers must not go by what is left. The controller elects anew.
            let is_inherited = state.leader == node_id
                && view.brokers.get(&node_id).is_some_and(|own| own.epoch > state.state_zxid);
            let role = Role {
                leader: if is_inherited { -1 } else { state.leader },
                leader_epoch: state.leader_epoch,
                replicas: state.replicas.clone(),
                isr: state.isr.clone(),
                partition_epoch: state.partition_epoch,
                state_zxid: state.state_zxid,
                recovering: state.recovering,
            };
            let terms = Terms {
                min_insync: topic.config.min_insync_replicas.max(1).unsigned_abs() as usize,
                sends_throttled: topic.config.leader_throttled_replicas.contains(index, node_id),
                copies_throttled: topic.config.follower_throttled_replicas.contains(index, node_id),
            };
            let turn = partition.follow(role, config.clone(), terms);
            if turn.resigned {
                changes.push(Change::Resigned { topic: topic.name.clone(), index });
            }
            if turn.new_epoch {
                changes.push(Change::Moved(partition.clone()));
            }
            if turn.begun_to_lead {
                changes.push(Change::Leads(partition));
            }
        }
    }

    /// Removes the folders of partitions that were deleted before the last stop.
    pub(crate) fn remove_doomed(&self) {
        for (folder, path) in self.folders.doomed() {
            remove_later(self.world.workers, folder, path, Duration::ZERO);
        }
    }
}

/// Removes a folder after a delay, without blocking the runtime.
fn remove_later(workers: Workers, folder: Arc<Folder>, path: PathBuf, delay: Duration) {
    let remove = move || {
        if let Err(error) = folder.dir.remove_folder(&path) {
            tracing::warn!(%error, "a deleted partition's folder cannot be removed; the next start tries again");
        }
    };
    // Without a runtime nothing can wait; the next start removes the folder.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            drop(workers.blocking(remove).await);
        }));
    }
}

/// Does `work` with all items on a number of threads; with one, on the caller's.
pub(super) fn share_out<T: Send>(workers: usize, items: Vec<T>, work: impl Fn(T) + Sync) {
    let workers = workers.min(items.len());
    if workers <= 1 {
        return items.into_iter().for_each(work);
    }
    let mut shares: Vec<Vec<T>> = (0..workers).map(|_| Vec::new()).collect();
    for (position, item) in items.into_iter().enumerate() {
        shares[position % workers].push(item);
    }
    std::thread::scope(|scope| {
        for share in shares {
            scope.spawn(|| share.into_iter().for_each(&work));
        }
    });
}
