//! The folders of `log.dirs`: finding partitions in them at start, making and removing partitions' folders, checkpoints.
//!
//! Invariants: a folder is opened only for the topic id that it was made for; a folder that belongs to no partition of this node
//! is set aside under the suffix `-stray`, never deleted; a deleted partition's folder is renamed before the partition is
//! forgotten, so that a crash does not bring it back.
use base::World;
use log::{Checkpoint, FoundLog, Log, LogConfig, LogDir, LogError, LogOptions, TailBudget, TopicPartition};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// Suffix of folders that belong to no partition of this node, as in Kafka.
const STRAY_SUFFIX: &str = "-stray";
/// The longest name of a folder.
const FOLDER_NAME_MAX: usize = 255;

/// What the checkpoints of a folder said at start.
#[derive(Debug, Default)]
struct Checkpoints {
    recovery: BTreeMap<TopicPartition, i64>,
    high_watermark: BTreeMap<TopicPartition, i64>,
    log_start: BTreeMap<TopicPartition, i64>,
}

/// One folder of `log.dirs`.
pub(crate) struct Folder {
    pub(crate) dir: Arc<LogDir>,
    checkpoints: Checkpoints,
    /// Partitions' folders found at start and not opened yet.
    found: Mutex<HashMap<TopicPartition, FoundLog>>,
    /// Where the last cleaning of each compacted log ended.
    pub(super) cleaned: Mutex<BTreeMap<TopicPartition, i64>>,
    /// What was written into each checkpoint last, so that nothing is written that did not change.
    written: Mutex<HashMap<&'static str, BTreeMap<TopicPartition, i64>>>,
}

/// A log with the folder that it is in.
pub(crate) struct Opened {
    pub(crate) folder: Arc<Folder>,
    pub(crate) log: Log,
}

/// What a partition's log is opened for.
pub(crate) struct Wanted {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Uuid,
    pub(crate) config: LogConfig,
}

/// All folders.
pub(crate) struct Folders {
    world: World,
    all: Vec<Arc<Folder>>,
    tail: Arc<TailBudget>,
}

impl Folders {
    /// Reads the checkpoints and the names of the partitions' folders.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub(crate) fn open(
        world: World,
        dirs: Vec<Arc<LogDir>>,
        tail: Arc<TailBudget>,
    ) -> Result<Folders, LogError> {
        let mut all = Vec::with_capacity(dirs.len());
        for dir in dirs {
            let checkpoints = Checkpoints {
                recovery: dir.read_checkpoint(Checkpoint::RecoveryPoint)?,
                high_watermark: dir.read_checkpoint(Checkpoint::HighWatermark)?,
                log_start: dir.read_checkpoint(Checkpoint::LogStart)?,
            };
            let own = |found: &FoundLog| found.partition.topic != crate::znodes::ZNODES_TOPIC;
            let found = dir.logs()?.into_iter().filter(own).map(|found| (found.partition.clone(), found));
            let found = Mutex::new(found.collect());
            let cleaned = Mutex::new(dir.read_checkpoint(Checkpoint::Cleaner)?);
            all.push(Arc::new(Folder {
                dir,
                checkpoints,
                found,
                cleaned,
                written: Mutex::new(HashMap::new()),
            }));
        }
        Ok(Folders { world, all, tail })
    }

    pub(crate) fn all(&self) -> &[Arc<Folder>] {
        &self.all
    }

    /// Opens the partition's log where it was found, or makes one in `fresh`. Durable once [`Folders::settle`] was called.
    ///
    /// # Errors
    /// A disk that fails, or files that cannot be read.
    pub(crate) fn open_log(&self, wanted: &Wanted, fresh: &Arc<Folder>) -> Result<Opened, LogError> {
        for folder in &self.all {
            let Some(found) = folder.found.lock().remove(&wanted.partition) else { continue };
            match found.topic_id {
                Some(id) if id != wanted.topic_id => {
                    self.set_aside(folder, &found, "it belongs to an earlier topic of the same name");
                }
                known => return self.open_found(folder, found.dir, wanted, known.is_none()),
            }
        }
        let dir = fresh.dir.partition_dir(&wanted.partition);
        let log = Log::open(self.options(fresh, dir, wanted, true))?;
        fresh.dir.write_partition_metadata(log.dir(), wanted.topic_id)?;
        Ok(Opened { folder: fresh.clone(), log })
    }

    fn open_found(
        &self,
        folder: &Arc<Folder>,
        dir: PathBuf,
        wanted: &Wanted,
        unnamed: bool,
    ) -> Result<Opened, LogError> {
        let log = Log::open(self.options(folder, dir, wanted, false))?;
        if unnamed {
            folder.dir.write_partition_metadata(log.dir(), wanted.topic_id)?;
        }
        Ok(Opened { folder: folder.clone(), log })
    }

    fn options(&self, folder: &Folder, dir: PathBuf, wanted: &Wanted, fresh: bool) -> LogOptions {
        let known = |offsets: &BTreeMap<TopicPartition, i64>| match fresh {
            true => 0,
            false => offsets.get(&wanted.partition).copied().unwrap_or(0),
        };
        LogOptions {
            world: self.world.clone(),
            dir,
            partition: wanted.partition.clone(),
            config: wanted.config.clone(),
            clean_shutdown: folder.dir.was_clean(),
            recovery_point: known(&folder.checkpoints.recovery),
            log_start_offset: known(&folder.checkpoints.log_start),
            high_watermark: known(&folder.checkpoints.high_watermark),
            tail: self.tail.clone(),
        }
    }

    /// Where an existing log of the partition is, if it was found and not opened yet.
    pub(crate) fn has_found(&self, partition: &TopicPartition) -> bool {
        self.all.iter().any(|folder| folder.found.lock().contains_key(partition))
    }

    /// Makes new folders' names durable.
    ///
    /// # Errors
    /// A disk that fails.
    pub(crate) fn settle(&self, folder: &Folder) -> Result<(), LogError> {
        let path = folder.dir.path();
        self.world.disk.sync_dir(path).map_err(|source| LogError::Io {
            action: "flushing",
            path: path.to_owned(),
            source,
        })
    }

    /// Sets every folder aside that was found and belongs to no partition of this node.
    pub(crate) fn set_strays_aside(&self) {
        for folder in &self.all {
            for (_, found) in std::mem::take(&mut *folder.found.lock()) {
                self.set_aside(folder, &found, "no partition of this node has it");
            }
        }
    }

    /// Renames a folder so that it is not loaded; an operator decides what becomes of it.
    fn set_aside(&self, folder: &Folder, found: &FoundLog, reason: &str) {
        let unique = uuid::Builder::from_random_bytes(self.world.random.bytes16()).into_uuid();
        let suffix = format!("-{}.{}{STRAY_SUFFIX}", found.partition.partition, unique.simple());
        let topic = &found.partition.topic;
        let topic = topic.get(..FOLDER_NAME_MAX.saturating_sub(suffix.len())).unwrap_or(topic);
        let aside = folder.dir.path().join(format!("{topic}{suffix}"));
        match self.world.disk.rename(&found.dir, &aside) {
            Ok(()) => tracing::warn!(
                folder = %found.dir.display(),
                aside = %aside.display(),
                reason,
                "a partition's folder is set aside; delete it once nobody needs its records"
            ),
            Err(error) => tracing::warn!(
                folder = %found.dir.display(),
                %error,
                reason,
                "a partition's folder that should be set aside cannot be renamed"
            ),
        }
    }

    /// Folders that were given away for deletion before the last stop.
    pub(crate) fn doomed(&self) -> Vec<(Arc<Folder>, PathBuf)> {
        let mut doomed = Vec::new();
        for folder in &self.all {
            match folder.dir.doomed_folders() {
                Ok(paths) => doomed.extend(paths.into_iter().map(|path| (folder.clone(), path))),
                Err(error) => tracing::warn!(%error, "deleted folders cannot be listed"),
            }
        }
        doomed
    }
}

impl Folder {
    /// Writes a checkpoint unless it says already what it should.
    ///
    /// # Errors
    /// A disk that fails.
    pub(crate) fn checkpoint(
        &self,
        kind: Checkpoint,
        offsets: BTreeMap<TopicPartition, i64>,
    ) -> Result<(), LogError> {
        let mut written = self.written.lock();
        if written.get(kind.file_name()) == Some(&offsets) {
            return Ok(());
        }
        self.dir.write_checkpoint(kind, &offsets)?;
        written.insert(kind.file_name(), offsets);
        Ok(())
    }
}
