//! Start and stop of a node: open the log, rebuild the tree, join the quorum, begin to serve.
use crate::applier;
use crate::background;
use crate::config::EnsembleConfig;
use crate::consensus::Consensus;
use crate::core::Core;
use crate::ensemble::Ensemble;
use crate::records::SnapshotRecord;
use crate::subscriber::Closed;
use crate::vote_file;
use crate::writer;
use crate::znode_log::ZnodeLog;
use base::World;
use base::worker::Worker;
use parking_lot::Mutex;
use peers::Peers;
use quorum::{Config, Millis, Quorum, ReplicaId, Start, Voter, VoterSet};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tree::{Image, Tree, TreeBuilder};

/// The node's place in the log folder where it notes that it was stopped properly.
const CLEAN_SHUTDOWN: &str = ".zoolog_cleanshutdown";

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log, a snapshot or the vote can't be read or written.
    #[error("opening __znodes in {dir}: {source}")]
    Log {
        /// The configured folder.
        dir: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The snapshot's records make no whole tree.
    #[error("the newest snapshot of __znodes is damaged: {0}")]
    Snapshot(#[from] tree::RestoreError),
    /// The quorum's settings can't work.
    #[error(transparent)]
    Quorum(#[from] quorum::ConfigError),
    /// The first steps of the quorum failed.
    #[error("{0}")]
    Failed(String),
}

/// A node with its workers, to be stopped in order.
pub struct RunningEnsemble {
    ensemble: Ensemble,
    workers: Mutex<Vec<Worker>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl RunningEnsemble {
    /// Opens the log and starts the node. It serves once [`Ensemble::serving`] returns.
    ///
    /// Without `peers` the node is alone, whatever its configuration says of others.
    pub fn start(
        world: World,
        config: EnsembleConfig,
        peers: Option<Peers>,
    ) -> Result<RunningEnsemble, StartError> {
        let failed = |source: io::Error| StartError::Log { dir: config.dir.display().to_string(), source };
        let clean = take_mark(&world, &config.dir).map_err(failed)?;
        let mut builder = TreeBuilder::new();
        let znode_log = ZnodeLog::open(world.clone(), &config.dir, config.segment_bytes, clean, |record| {
            let image = match record {
                SnapshotRecord::Node(node) => Image::Node(node),
                SnapshotRecord::Session(session) => Image::Session(session),
            };
            builder.add(image).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        })
        .map_err(failed)?;
        let (tree, applied_end) = match znode_log.newest_snapshot_zxid() {
            Some((end, last_zxid)) => (builder.finish(last_zxid)?, end),
            None => (Tree::new(), 0),
        };
        let core = Arc::new(Core::new(world, config, peers, znode_log, tree, applied_end));
        start_quorum(&core)?;
        let ensemble = Ensemble::over(core.clone());
        let workers = core.world.workers;
        let spawn = |name, work| workers.spawn(name, work);
        let started = Mutex::new(vec![
            spawn("znodes-writer", Box::pin(writer::run(core.clone())) as Work).map_err(failed_to_spawn)?,
            spawn("znodes-applier", Box::pin(applier::run(core.clone()))).map_err(failed_to_spawn)?,
            spawn("znodes-snapshots", Box::pin(background::snapshots(core.clone())))
                .map_err(failed_to_spawn)?,
        ]);
        let tasks = vec![
            tokio::spawn(background::tick(core.clone())),
            tokio::spawn(background::expire(core.clone())),
            tokio::spawn(background::reap(ensemble.clone())),
        ];
        // The leader's first control batch is appended already and waits to be flushed.
        core.work.notify_one();
        Ok(RunningEnsemble { ensemble, workers: started, tasks })
    }

    /// The handle.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Stops the workers and nothing else, as a crash would leave the files; for tests of recovery.
    pub async fn abandon(&self) {
        self.ensemble.core.stop();
        for task in &self.tasks {
            task.abort();
        }
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers {
            // A worker that panicked has said so; there is nothing to save here.
            let _ = worker.join().await;
        }
    }

    /// Stops the node: nothing is taken any more, what is queued is flushed, the files are completed and marked as clean.
    pub async fn stop(&self) -> Result<(), String> {
        let core = &self.ensemble.core;
        for attachment in core.sessions.lock().attachments() {
            attachment.subscriber.closed(Closed::NodeStopping);
        }
        let healthy = core.failure.borrow().is_none();
        core.stop();
        for task in &self.tasks {
            task.abort();
        }
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers {
            worker.join().await.map_err(|error| error.to_string())?;
        }
        core.stop_leading();
        if healthy {
            core.znode_log.close().map_err(|error| error.to_string())?;
            leave_mark(&core.world, &core.config.dir).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn failed_to_spawn(error: io::Error) -> StartError {
    StartError::Failed(format!("starting a thread: {error}"))
}

fn start_quorum(core: &Arc<Core>) -> Result<(), StartError> {
    let config = &core.config;
    let dir = config.dir.display().to_string();
    let vote_path = core.znode_log.dir().join(vote_file::NAME);
    let vote =
        vote_file::load(&*core.world.disk, &vote_path).map_err(|source| StartError::Log { dir, source })?;
    let local = ReplicaId::new(config.node_id, config.directory_id);
    let voters = VoterSet::new([Voter { replica: local, endpoints: Vec::new() }]);
    let now = Millis(core.world.clock.monotonic_ms());
    let start = Start { vote, ..Start::default() };
    let (quorum, actions) = Quorum::start(Config::new(local, voters), start, &core.znode_log, now)?;
    let mut guard = core.consensus.lock();
    let consensus = guard.insert(Consensus { quorum, vote_path, leading: None });
    let mut events = VecDeque::new();
    core.carry_out(consensus, actions, &mut events).map_err(StartError::Failed)?;
    while let Some(event) = events.pop_front() {
        core.step_locked(consensus, event).map_err(StartError::Failed)?;
    }
    Ok(())
}

/// Whether the last run stopped properly; the mark is used up, so that a crash of this run is seen by the next.
fn take_mark(world: &World, dir: &Path) -> io::Result<bool> {
    let mark = dir.join(CLEAN_SHUTDOWN);
    if !world.disk.exists(&mark) {
        return Ok(false);
    }
    world.disk.remove_file(&mark)?;
    world.disk.sync_dir(dir)?;
    Ok(true)
}

fn leave_mark(world: &World, dir: &Path) -> io::Result<()> {
    world.disk.write_file_atomic(&dir.join(CLEAN_SHUTDOWN), b"")
}
