//! One entry of `log.dirs`: its lock, its identity (`meta.properties`), its checkpoints and the folders in it.
//!
//! Invariant: while a [`LogDir`] lives, no other process uses the folder. The mark of a clean shutdown is taken away
//! when it is opened, so a crash at any later time leads to recovery.
use crate::checkpoint::{self, Offsets, TopicPartition};
use crate::error::LogError;
use crate::folder::{FolderName, PartitionMetadata};
use crate::meta::MetaProperties;
use base::World;
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// What Kafka writes into the mark of a clean shutdown; a reader that doesn't know the broker's epoch needs nothing of it.
const CLEAN_SHUTDOWN_CONTENT: &[u8] = b"{\"version\":0,\"brokerEpoch\":-1}";

/// Why a data folder can't be used.
#[derive(Debug, Error)]
pub enum LogDirError {
    /// Another process has it.
    #[error("{} is in use by another process (its file .lock is locked); stop that process or choose another folder",
        path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Its `meta.properties` belongs to someone else.
    #[error("{}: {reason}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The offset checkpoints of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Flushed offsets.
    RecoveryPoint,
    /// High watermarks.
    HighWatermark,
    /// Log start offsets.
    LogStart,
    /// First offsets that compaction has not seen.
    Cleaner,
}

impl Checkpoint {
    /// Kafka's file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Checkpoint::RecoveryPoint => "recovery-point-offset-checkpoint",
            Checkpoint::HighWatermark => "replication-offset-checkpoint",
            Checkpoint::LogStart => "log-start-offset-checkpoint",
            Checkpoint::Cleaner => "cleaner-offset-checkpoint",
        }
    }
}

/// A partition's folder found in a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLog {
    /// The folder.
    pub dir: PathBuf,
    /// The partition.
    pub partition: TopicPartition,
    /// The topic's id, from `partition.metadata`, if the folder has that file.
    pub topic_id: Option<uuid::Uuid>,
}

/// An opened data folder.
pub struct LogDir {
    world: World,
    path: PathBuf,
    was_clean: bool,
    /// Serializes writers of the checkpoint files.
    writing: Mutex<()>,
    _lock: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDir")
            .field("path", &self.path)
            .field("was_clean", &self.was_clean)
            .finish_non_exhaustive()
    }
}

impl LogDir {
    /// Creates the folder if need be, locks it and notes whether it was left by a clean shutdown.
    pub fn open(world: World, path: &Path) -> Result<LogDir, LogDirError> {
        world.disk.create_dir_all(path).map_err(|error| LogError::io("creating", path, error))?;
        let lock_file = path.join(LOCK_FILE);
        let lock = world.disk.lock(&lock_file).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => LogDirError::Locked { path: path.to_owned() },
            _ => LogError::io("locking", &lock_file, error).into(),
        })?;
        let mark = path.join(CLEAN_SHUTDOWN_FILE);
        let was_clean = world.disk.exists(&mark);
        if was_clean {
            world.disk.remove_file(&mark).map_err(|error| LogError::io("removing", &mark, error))?;
            world.disk.sync_dir(path).map_err(|error| LogError::io("flushing", path, error))?;
        }
        Ok(LogDir { world, path: path.to_owned(), was_clean, writing: Mutex::new(()), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the last process shut down cleanly; then logs are opened without recovery.
    pub fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// Reads `meta.properties`; `None` in a new folder.
    pub fn meta(&self) -> Result<Option<MetaProperties>, LogDirError> {
        MetaProperties::read(&*self.world.disk, &self.path)
    }

    /// Writes `meta.properties`.
    pub fn write_meta(&self, meta: &MetaProperties) -> Result<(), LogDirError> {
        meta.write(&*self.world.disk, &self.path)
    }

    /// Makes sure that the folder belongs to this node and cluster, writing `meta.properties` into a new one. A node that doesn't
    /// know its cluster yet gives none. Returns the folder's identity, with a directory id.
    pub fn identify(&self, node_id: i32, cluster_id: Option<&str>) -> Result<MetaProperties, LogDirError> {
        let found = self.meta()?.unwrap_or_default();
        let mut meta = found.clone();
        let mismatch =
            |reason: String| LogDirError::Identity { path: MetaProperties::path(&self.path), reason };
        if let Some(id) = found.node_id.filter(|id| *id != node_id) {
            return Err(mismatch(format!("it belongs to node {id}, this is node {node_id}")));
        }
        if let (Some(id), Some(cluster_id)) = (found.cluster_id.as_deref(), cluster_id)
            && id != cluster_id
        {
            return Err(mismatch(format!(
                "it belongs to cluster {id}, this node is of cluster {cluster_id}"
            )));
        }
        meta.node_id = Some(node_id);
        meta.cluster_id = cluster_id.map(str::to_owned).or(meta.cluster_id);
        let random = || uuid::Builder::from_random_bytes(self.world.random.bytes16()).into_uuid();
        meta.directory_id.get_or_insert_with(random);
        if meta != found {
            self.write_meta(&meta)?;
        }
        Ok(meta)
    }

    /// The partitions' folders, by name. Folders that wait for deletion are left out; see [`LogDir::doomed_folders`].
    pub fn logs(&self) -> Result<Vec<FoundLog>, LogError> {
        let mut found = Vec::new();
        for (dir, name) in self.folders()? {
            if let FolderName::Partition(partition) = name {
                let metadata = PartitionMetadata::read(&*self.world.disk, &dir)?;
                found.push(FoundLog { dir, partition, topic_id: metadata.map(|metadata| metadata.topic_id) });
            }
        }
        Ok(found)
    }

    /// Folders that were given away for deletion, now or before a restart.
    pub fn doomed_folders(&self) -> Result<Vec<PathBuf>, LogError> {
        let folders = self.folders()?.into_iter();
        Ok(folders.filter(|(_, name)| *name == FolderName::Deleted).map(|(dir, _)| dir).collect())
    }

    fn folders(&self) -> Result<Vec<(PathBuf, FolderName)>, LogError> {
        let entries = self
            .world
            .disk
            .read_dir(&self.path)
            .map_err(|error| LogError::io("listing", &self.path, error))?;
        let named = |path: PathBuf| {
            let name = FolderName::parse(path.file_name()?.to_str()?)?;
            Some((path, name))
        };
        Ok(entries.into_iter().filter(|entry| entry.is_dir).filter_map(|entry| named(entry.path)).collect())
    }

    /// Where a partition's folder is.
    pub fn partition_dir(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(partition.to_string())
    }

    /// Writes `partition.metadata` into a partition's folder.
    pub fn write_partition_metadata(&self, dir: &Path, topic_id: uuid::Uuid) -> Result<(), LogError> {
        PartitionMetadata { topic_id }.write(&*self.world.disk, dir)
    }

    /// Renames the folder of a closed log so that it is gone for good: it is not loaded any more, even after a crash.
    /// Returns the new path, which [`LogDir::remove_folder`] removes once `file.delete.delay.ms` has passed.
    pub fn doom_folder(&self, dir: &Path, partition: &TopicPartition) -> Result<PathBuf, LogError> {
        let unique = uuid::Builder::from_random_bytes(self.world.random.bytes16()).into_uuid();
        let doomed = self.path.join(FolderName::deleted(partition, unique));
        self.world.disk.rename(dir, &doomed).map_err(|error| LogError::io("renaming", dir, error))?;
        self.world.disk.sync_dir(&self.path).map_err(|error| LogError::io("flushing", &self.path, error))?;
        Ok(doomed)
    }

    /// Removes a folder with everything in it.
    pub fn remove_folder(&self, dir: &Path) -> Result<(), LogError> {
        match self.world.disk.remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LogError::io("removing", dir, error))
            }
            _ => Ok(()),
        }
    }

    /// Reads a checkpoint; a missing file is empty.
    pub fn read_checkpoint(&self, checkpoint: Checkpoint) -> Result<Offsets, LogError> {
        checkpoint::read_offsets(&*self.world.disk, &self.path.join(checkpoint.file_name()))
    }

    /// Replaces a checkpoint, atomically.
    pub fn write_checkpoint(&self, checkpoint: Checkpoint, offsets: &Offsets) -> Result<(), LogError> {
        let _writing = self.writing.lock();
        checkpoint::write_offsets(&*self.world.disk, &self.path.join(checkpoint.file_name()), offsets)
    }

    /// Marks the folder as cleanly shut down. Only after every log in it was closed and the checkpoints were written.
    pub fn mark_clean(&self) -> Result<(), LogError> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        self.world
            .disk
            .write_file_atomic(&path, CLEAN_SHUTDOWN_CONTENT)
            .map_err(|error| LogError::io("writing", &path, error))
    }
}
