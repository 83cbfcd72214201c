//! Start and stop of a node: open the log, rebuild the tree, join the quorum, begin to serve.
use crate::applier;
use crate::background;
use crate::config::EnsembleConfig;
use crate::consensus::{Consensus, Received};
use crate::core::{Core, Restored};
use crate::ensemble::Ensemble;
use crate::forwarder;
use crate::links::Links;
use crate::records::SnapshotRecord;
use crate::subscriber::Closed;
use crate::vote_file;
use crate::wire::LISTENER;
use crate::writer;
use crate::znode_log::{Restoring, ZnodeLog};
use base::World;
use base::worker::Worker;
use parking_lot::Mutex;
use peers::Peers;
use quorum::{Config, Endpoint, Event, Millis, Quorum, ReplicaId, Start, Voter, VoterSet};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tree::{Image, Tree, TreeBuilder};

/// How long a stopping leader waits for the others to take note.
const HAND_OVER_PATIENCE: Duration = Duration::from_millis(100);
/// Below this a fetch could not be answered in time on a busy machine.
const FETCH_TIMEOUT_MIN_MS: u64 = 100;

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
        let mut builder = TreeBuilder::new();
        let (segment_bytes, history) = (config.segment_bytes, config.snapshot_every);
        let znode_log = ZnodeLog::open(world.clone(), &config.dir, segment_bytes, history, |step| {
            let image = match step {
                Restoring::Anew => {
                    builder = TreeBuilder::new();
                    return Ok(());
                }
                Restoring::Record(SnapshotRecord::Node(node)) => Image::Node(node),
                Restoring::Record(SnapshotRecord::Session(session)) => Image::Session(session),
            };
            builder.add(image).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        })
        .map_err(failed)?;
        let restored = match znode_log.newest_snapshot_file() {
            Some(snapshot) => Restored {
                tree: builder.finish(snapshot.last_zxid)?,
                end: snapshot.end.offset,
                epoch: snapshot.end.epoch,
                voters: snapshot.voters.clone(),
            },
            None => Restored { tree: Tree::new(), end: 0, epoch: 0, voters: None },
        };
        let core = Arc::new(Core::new(world, config, peers, znode_log, restored));
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
        let mut tasks = vec![
            tokio::spawn(background::tick(core.clone())),
            tokio::spawn(background::expire(core.clone())),
            tokio::spawn(background::reap(ensemble.clone())),
            tokio::spawn(background::note_flushed(core.clone())),
            tokio::spawn(background::settle(core.clone())),
        ];
        if core.peers.is_some() {
            tasks.push(tokio::spawn(forwarder::run(core.clone())));
            tasks.push(tokio::spawn(background::lease(ensemble.clone())));
            tasks.push(tokio::spawn(background::watch_nodes(core.clone())));
        }
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

    /// Gives up leadership, naming the best follower as successor, and waits a moment until the others know.
    async fn hand_over(&self) {
        let core = &self.ensemble.core;
        let (send, told) = oneshot::channel();
        {
            let mut guard = core.consensus.lock();
            let Some(consensus) = guard.as_mut().filter(|_| core.peers.is_some()) else { return };
            consensus.shutdown = Some(send);
            if let Err(error) = core.step_locked(consensus, Event::Shutdown) {
                drop(guard);
                return core.fail(error);
            }
        }
        // Who doesn't answer in time finds out by itself.
        let _told = tokio::time::timeout(HAND_OVER_PATIENCE, told).await;
    }

    /// Stops the node: nothing is taken any more, what is queued is flushed, the files are completed.
    pub async fn stop(&self) -> Result<(), String> {
        let core = &self.ensemble.core;
        self.hand_over().await;
        for (_, attachment) in core.sessions.lock().attachments() {
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
        let waiting = core.sequencer.lock().forwards.give_up();
        core.refuse(waiting);
        if healthy {
            core.znode_log.close().map_err(|error| error.to_string())?;
            // Everything is flushed now: whatever is lost later is damage.
            core.znode_log.note_flushed().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn failed_to_spawn(error: io::Error) -> StartError {
    StartError::Failed(format!("starting a thread: {error}"))
}

fn start_quorum(core: &Arc<Core>) -> Result<(), StartError> {
    let dir = core.config.dir.display().to_string();
    let failed = |source| StartError::Log { dir: dir.clone(), source };
    let vote_path = core.znode_log.dir().join(vote_file::NAME);
    let vote = vote_file::load(&*core.world.disk, &vote_path).map_err(failed)?;
    let in_snapshot = core.shared.read().voters.clone();
    let in_log = core.znode_log.voter_sets().map_err(failed)?;
    let voters = in_snapshot.into_iter().chain(in_log).collect();
    let start = Start { vote, voters, damaged: core.znode_log.is_damaged() };
    let now = Millis(core.world.clock.monotonic_ms());
    let (quorum, actions) = Quorum::start(quorum_config(core), start, &core.znode_log, now)?;
    let mut guard = core.consensus.lock();
    let consensus = guard.insert(Consensus {
        quorum,
        vote_path,
        leading: None,
        links: Links::default(),
        replies: HashMap::new(),
        next_correlation: 0,
        received: Received::default(),
        receiver: None,
        shutdown: None,
    });
    let mut events = VecDeque::new();
    core.carry_out(consensus, actions, &mut events).map_err(StartError::Failed)?;
    while let Some(event) = events.pop_front() {
        core.step_locked(consensus, event).map_err(StartError::Failed)?;
    }
    Ok(())
}

/// The quorum's settings. The fetch timeout is at most half of the shortest session timeout, so that a leader who is cut off has
/// stepped down before its successor may end a session.
fn quorum_config(core: &Core) -> Config {
    let config = &core.config;
    let cluster = &config.cluster;
    let local = ReplicaId::new(config.node_id, config.directory_id);
    let endpoints = |address: &peers::Address| {
        vec![Endpoint { listener: LISTENER.to_owned(), host: address.host.clone(), port: address.port }]
    };
    let alone = cluster.voters.is_empty() && cluster.bootstrap.is_empty();
    let voters = match alone {
        true => VoterSet::new([Voter {
            replica: local,
            endpoints: cluster.advertised.as_ref().map(endpoints).unwrap_or_default(),
        }]),
        false => VoterSet::new(cluster.voters.iter().map(|voter| Voter {
            replica: ReplicaId::of_unknown_directory(voter.id),
            endpoints: endpoints(&voter.address),
        })),
    };
    let session_half = (config.session_timeout_min_ms / 2).max(1) as u64;
    let fetch_timeout_ms = cluster.fetch_timeout_ms.min(session_half).max(FETCH_TIMEOUT_MIN_MS);
    let defaults = Config::new(local, voters);
    Config {
        local_endpoints: cluster.advertised.as_ref().map(endpoints).unwrap_or_default(),
        bootstrap_servers: u32::try_from(cluster.bootstrap.len()).unwrap_or(u32::MAX),
        election_timeout_ms: cluster.election_timeout_ms,
        election_backoff_max_ms: cluster.election_backoff_max_ms,
        fetch_timeout_ms,
        request_timeout_ms: cluster.request_timeout_ms,
        retry_backoff_ms: cluster.retry_backoff_ms,
        fetch_max_bytes: cluster.fetch_max_bytes,
        fetch_snapshot_max_bytes: cluster.fetch_snapshot_max_bytes,
        fetch_max_wait_ms: defaults.fetch_max_wait_ms.min(fetch_timeout_ms / 4),
        auto_join: cluster.auto_join,
        jitter: core.incarnation as u64,
        ..defaults
    }
}
