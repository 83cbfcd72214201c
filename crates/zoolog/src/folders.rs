//! The data folders: locked for this process, known by their identity, and not somebody else's.
//!
//! Invariants: while [`DataFolders`] lives no other process uses the folders; all of them belong to one node of one cluster; a folder
//! with data that this node did not write is refused before anything in it is changed.
use crate::config::{NodeConfig, absolute};
use base::World;
use log::{LogDir, LogDirError, LogError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The folder of the znode log within a data folder.
const ZNODES_FOLDER: &str = "__znodes-0";
/// Where an Apache ZooKeeper keeps its snapshots and logs within its data folder.
const APACHE_ZOOKEEPER_FOLDER: &str = "version-2";

/// Why the data folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// Locked, of another node, or on a disk that fails.
    #[error("cannot use a data folder: {error}")]
    Unusable {
        #[source]
        error: LogDirError,
    },
    /// A folder cannot be listed.
    #[error("cannot read a data folder: {0}")]
    Log(#[from] LogError),
    /// Data of an Apache ZooKeeper.
    #[error(
        "{} holds the data of an Apache ZooKeeper (in version-2), which cannot be taken over yet; choose another dataDir",
        path.display()
    )]
    ApacheZooKeeper { path: PathBuf },
    /// Partitions without their metadata.
    #[error(
        "{} holds partitions ({example}, ...), but {} holds no znodes that know of them: either the folder is of another \
         Kafka, whose data cannot be taken over yet, or dataDir changed; choose another folder in log.dirs",
        path.display(), znodes.display()
    )]
    ForeignPartitions { path: PathBuf, example: String, znodes: PathBuf },
}

impl From<LogDirError> for FolderError {
    fn from(error: LogDirError) -> FolderError {
        FolderError::Unusable { error }
    }
}

/// The opened folders of a node.
pub(crate) struct DataFolders {
    /// The cluster that they belong to; `None` until a new node has learnt it.
    pub(crate) cluster_id: Option<String>,
    /// The identity of the folder that holds the znode log.
    pub(crate) znodes_directory_id: Uuid,
    /// The folders of `log.dirs`.
    pub(crate) logs: Vec<Arc<LogDir>>,
    /// The folder of the znode log; often one of `logs`.
    znodes: Arc<LogDir>,
}

impl DataFolders {
    /// Creates what is missing, locks all, and makes sure that they belong together.
    pub(crate) fn open(world: &World, config: &NodeConfig) -> Result<DataFolders, FolderError> {
        let open = |path: &Path| LogDir::open(world.clone(), path).map(Arc::new);
        let logs = config.log_dirs.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let shared = logs.iter().find(|dir| absolute(dir.path()) == absolute(&config.znodes_dir));
        let znodes = match shared {
            Some(dir) => dir.clone(),
            None => open(&config.znodes_dir)?,
        };
        refuse_foreign_data(world, &znodes, &logs)?;
        let mut folders = DataFolders { cluster_id: None, znodes_directory_id: Uuid::nil(), logs, znodes };
        let mut known = None;
        for dir in folders.all() {
            known = known.or(dir.meta()?.and_then(|meta| meta.cluster_id));
        }
        folders.identify(config.node_id, known)?;
        Ok(folders)
    }

    /// Notes in every folder that it belongs to this cluster.
    pub(crate) fn belong_to(&mut self, node_id: i32, cluster_id: &str) -> Result<(), FolderError> {
        self.identify(node_id, Some(cluster_id.to_owned()))
    }

    /// Reads or makes each folder's identity.
    fn identify(&mut self, node_id: i32, cluster_id: Option<String>) -> Result<(), FolderError> {
        for dir in self.all() {
            let meta = dir.identify(node_id, cluster_id.as_deref())?;
            if Arc::ptr_eq(&dir, &self.znodes) {
                self.znodes_directory_id = meta.directory_id.unwrap_or_default();
            }
        }
        self.cluster_id = cluster_id;
        Ok(())
    }

    /// Every folder once.
    fn all(&self) -> Vec<Arc<LogDir>> {
        let mut all = self.logs.clone();
        if !all.iter().any(|dir| Arc::ptr_eq(dir, &self.znodes)) {
            all.push(self.znodes.clone());
        }
        all
    }

    /// The paths from the root, for people.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.all().iter().map(|dir| absolute(dir.path())).collect()
    }
}

fn refuse_foreign_data(world: &World, znodes: &LogDir, logs: &[Arc<LogDir>]) -> Result<(), FolderError> {
    if world.disk.exists(&znodes.path().join(ZNODES_FOLDER)) {
        return Ok(());
    }
    let apache = znodes.path().join(APACHE_ZOOKEEPER_FOLDER);
    let is_used = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("snapshot.") || name.starts_with("log.")
    };
    if world.disk.exists(&apache) {
        let list = |source| LogError::Io { action: "listing", path: apache.clone(), source };
        if world.disk.read_dir(&apache).map_err(list)?.iter().any(|entry| is_used(&entry.path)) {
            return Err(FolderError::ApacheZooKeeper { path: absolute(znodes.path()) });
        }
    }
    for dir in logs {
        if let Some(found) = dir.logs()?.first() {
            return Err(FolderError::ForeignPartitions {
                path: absolute(dir.path()),
                example: found.partition.to_string(),
                znodes: absolute(znodes.path()),
            });
        }
    }
    Ok(())
}
