//! One node: a machine with a disk, and on it a process, which is a runtime of its own under the simulator's time.
//!
//! Invariants: everything that the node's code spawns runs in that runtime and ends with it, so that dropping it is kill -9; a process
//! runs only inside [`Process::advance`]; what a dead process still does in its destructors reaches neither disk nor network.
use super::clock::SimClock;
use super::dice::{Dice, SimRandom};
use super::disk::{Medium, SimDisk};
use super::network::{Line, Network, Parcel, Run, SimPeers, address};
use super::plan::Settings;
use super::zk::{Connection, Sent};
use base::{Workers, World};
use bytes::Bytes;
use ensemble::{ClusterConfig, ConfiguredVoter, Ensemble, EnsembleConfig, RunningEnsemble, ZnodeTopic};
use kafka_wire::{Request, read_request};
use parking_lot::Mutex;
use peers::Peers;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Where nodes keep their data.
pub(super) const DATA: &str = "/data";
/// What wall clocks show at the beginning, in milliseconds since 1970.
const WALL_MS: i64 = 1_700_000_000_000;

/// What a process tells the simulator.
#[derive(Default)]
struct Report {
    ensemble: Option<Ensemble>,
    running: Option<Arc<RunningEnsemble>>,
    serving: bool,
    /// Why it ended by itself.
    failure: Option<String>,
    /// Whether a clean stop has ended.
    stopped: bool,
}

/// A running process.
pub(super) struct Process {
    runtime: Option<Runtime>,
    pub(super) run: Run,
    clock: Arc<SimClock>,
    disk: SimDisk,
    alive: Arc<AtomicBool>,
    network: Arc<Network>,
    report: Arc<Mutex<Report>>,
    lines: BTreeMap<Line, mpsc::UnboundedSender<(u64, bool, Bytes)>>,
    connections: BTreeMap<(usize, u64), Arc<Connection>>,
    /// The simulator's time at the start, and the node's own time now.
    started_ms: u64,
    own_ms: u64,
    drift_per_mille: i64,
    /// How far the ledger has followed this process' log.
    pub(super) followed: Option<i64>,
}

/// What a process is started with.
pub(super) struct Start<'a> {
    pub(super) node: usize,
    pub(super) number: u64,
    pub(super) nodes: usize,
    pub(super) settings: &'a Settings,
    pub(super) network: &'a Arc<Network>,
    pub(super) medium: &'a Arc<Mutex<Medium>>,
    pub(super) directory: Uuid,
    pub(super) dice: Dice,
    pub(super) now_ms: u64,
}

impl Process {
    /// Starts the node's code; it runs with the next [`Process::advance`].
    pub(super) fn start(start: Start<'_>) -> Process {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing of the machine");
        let entered = runtime.enter();
        let skew = start.settings.wall_skew_ms[start.node];
        let clock = Arc::new(SimClock::start(WALL_MS + start.now_ms as i64 + skew));
        let disk = SimDisk::mount(start.medium);
        let run = Run { node: start.node, number: start.number };
        let world = World {
            clock: clock.clone(),
            disk: Arc::new(disk.clone()),
            random: Arc::new(SimRandom::new(start.dice.clone())),
            workers: Workers::Tasks,
        };
        let transport = SimPeers { network: start.network.clone(), run, nodes: start.nodes };
        let peers: Option<Peers> = (start.nodes > 1).then(|| Arc::new(transport) as Peers);
        let config = config(&start);
        let report = Arc::new(Mutex::new(Report::default()));
        drop(tokio::spawn(live(world, config, peers, report.clone())));
        drop(entered);
        Process {
            runtime: Some(runtime),
            run,
            clock,
            disk,
            alive: Arc::new(AtomicBool::new(true)),
            network: start.network.clone(),
            report,
            lines: BTreeMap::new(),
            connections: BTreeMap::new(),
            started_ms: start.now_ms,
            own_ms: 0,
            drift_per_mille: start.settings.drift_per_mille[start.node],
            followed: None,
        }
    }

    /// Lets the node run until its clock shows what it has to show at the simulator's time.
    pub(super) fn advance(&mut self, now_ms: u64) {
        let elapsed = (now_ms - self.started_ms) as i64;
        self.own_ms = (elapsed + elapsed * self.drift_per_mille / 1000) as u64;
        let Some(runtime) = &self.runtime else { return };
        let until = self.clock.at(self.own_ms);
        runtime.block_on(async { tokio::time::sleep_until(until).await });
    }

    /// Moves the node's clock on at once: it was stopped meanwhile, and finds all its timers due.
    pub(super) fn wake(&mut self, now_ms: u64) {
        let elapsed = (now_ms - self.started_ms) as i64;
        let own_ms = (elapsed + elapsed * self.drift_per_mille / 1000) as u64;
        let by = std::time::Duration::from_millis(own_ms.saturating_sub(self.own_ms + 1));
        let Some(runtime) = &self.runtime else { return };
        runtime.block_on(async { tokio::time::advance(by).await });
    }

    /// Ends the process as kill -9 does.
    pub(super) fn kill(&mut self) {
        self.alive.store(false, Relaxed);
        self.lines.clear();
        self.connections.clear();
        *self.report.lock() = Report::default();
        drop(self.runtime.take());
    }

    /// Asks the node to stop, as SIGTERM does.
    pub(super) fn stop(&self) {
        let Some(runtime) = &self.runtime else { return };
        let report = self.report.clone();
        let running = report.lock().running.clone();
        drop(runtime.spawn(async move {
            if let Some(running) = running
                && let Err(error) = running.stop().await
            {
                report.lock().failure = Some(error);
            }
            report.lock().stopped = true;
        }));
    }

    /// Whether the process is at its end, and why: the reason is none if it was asked to stop, or died of the disk.
    pub(super) fn ended(&self) -> Option<Option<String>> {
        if self.disk.has_died() {
            return Some(None);
        }
        let report = self.report.lock();
        if report.stopped {
            return Some(None);
        }
        let failed = report.ensemble.as_ref().and_then(|ensemble| ensemble.failure().borrow().clone());
        report.failure.clone().or(failed).map(Some)
    }

    /// The ensemble, once it is there.
    pub(super) fn ensemble(&self) -> Option<Ensemble> {
        self.report.lock().ensemble.clone()
    }

    /// Whether clients are served.
    pub(super) fn serves(&self) -> bool {
        self.report.lock().serving
    }

    /// Moves the wall clock.
    pub(super) fn jump_wall(&self, by_ms: i64) {
        self.clock.set_wall(by_ms);
    }

    /// Something arrived for the node.
    pub(super) fn deliver(&mut self, parcel: Parcel) {
        let Some(runtime) = &self.runtime else { return };
        let entered = runtime.enter();
        match parcel {
            Parcel::Call { line, call, frame, again } => {
                let line_of = self.lines.entry(line).or_insert_with(|| {
                    let (send, receive) = mpsc::unbounded_channel();
                    let served = answer_line(line, receive, self.report.clone(), self.network.clone());
                    drop(tokio::spawn(served));
                    send
                });
                // The task ends with the process only.
                let _served = line_of.send((call, again, frame));
            }
            Parcel::Return { call, result } => self.network.finish(call, result),
            Parcel::ToNode { client, connection, sent, .. } => {
                let Some(ensemble) = self.ensemble().filter(|_| self.serves()) else {
                    drop(entered);
                    return self.hang_up(client, connection);
                };
                let key = (client, connection);
                let (network, alive) = (self.network.clone(), self.alive.clone());
                let is_bye = matches!(sent, Sent::Bye);
                let found = self
                    .connections
                    .entry(key)
                    .or_insert_with(|| Connection::new(network, alive, client, connection, ensemble));
                found.take(sent);
                if is_bye {
                    self.connections.remove(&key);
                }
            }
            Parcel::ToClient { .. } => {}
        }
        drop(entered);
    }

    fn hang_up(&self, client: usize, connection: u64) {
        let said = super::zk::Said::Gone;
        self.network.carry(Parcel::ToClient { client, connection, said });
    }

    /// The clients' connections, which break when the process ends.
    pub(super) fn connections(&self) -> Vec<(usize, u64)> {
        self.connections.keys().copied().collect()
    }

    /// Looks at the node from inside its runtime, where its clock is the right one.
    pub(super) fn look<R>(&self, look: impl FnOnce() -> R) -> R {
        let _entered = self.runtime.as_ref().map(Runtime::enter);
        look()
    }

    /// The znode log as a topic.
    pub(super) fn topic(&self) -> Option<ZnodeTopic> {
        self.ensemble().map(|ensemble| ZnodeTopic::new(&ensemble))
    }
}

fn config(start: &Start<'_>) -> EnsembleConfig {
    let settings = start.settings;
    let voters = match start.nodes {
        1 => Vec::new(),
        // A fourth node is an observer: an even number of voters adds nothing.
        count => (0..count - (count + 1) % 2)
            .map(|node| ConfiguredVoter { id: node as i32, address: address(node) })
            .collect(),
    };
    let election_ms = settings.election_ms;
    EnsembleConfig {
        tick_ms: settings.tick_ms,
        session_timeout_min_ms: 100,
        session_timeout_max_ms: 10_000,
        snapshot_every: settings.snapshot_every,
        snapshots_kept: 2,
        container_check_ms: 1_000,
        segment_bytes: settings.segment_bytes,
        cluster: ClusterConfig {
            voters,
            advertised: (start.nodes > 1).then(|| address(start.node)),
            election_timeout_ms: election_ms,
            election_backoff_max_ms: election_ms,
            fetch_timeout_ms: election_ms * 2,
            request_timeout_ms: election_ms * 2,
            ..ClusterConfig::alone()
        },
        ..EnsembleConfig::new(PathBuf::from(DATA), start.node as i32, start.directory)
    }
}

/// The node's main function.
async fn live(world: World, config: EnsembleConfig, peers: Option<Peers>, report: Arc<Mutex<Report>>) {
    if let Err(error) = world.disk.create_dir_all(&config.dir) {
        report.lock().failure = Some(error.to_string());
        return;
    }
    let ensemble = match RunningEnsemble::start(world, config, peers) {
        Ok(running) => {
            let ensemble = running.ensemble().clone();
            let mut report = report.lock();
            report.ensemble = Some(ensemble.clone());
            report.running = Some(Arc::new(running));
            ensemble
        }
        Err(error) => {
            report.lock().failure = Some(error.to_string());
            return;
        }
    };
    if ensemble.serving().await.is_ok() {
        report.lock().serving = true;
    }
}

/// Serves one connection of another node: one request after another.
async fn answer_line(
    line: Line,
    mut requests: mpsc::UnboundedReceiver<(u64, bool, Bytes)>,
    report: Arc<Mutex<Report>>,
    network: Arc<Network>,
) {
    while let Some((call, again, frame)) = requests.recv().await {
        let Some(ensemble) = report.lock().ensemble.clone() else { continue };
        let Ok((header, mut decoder)) = read_request(frame) else { continue };
        let Ok(request) = Request::decode(header.api, header.version, &mut decoder) else { continue };
        let response = ensemble.serve_peer(request, header.version).await;
        match response.to_frame(header.version, header.correlation_id) {
            Ok(_) if again => {}
            Ok(chunks) => network.respond(&line, call, Bytes::from(chunks.concat()).slice(4..)),
            Err(error) => panic!("the response to {:?} cannot be encoded: {error}", header.api),
        }
    }
}
