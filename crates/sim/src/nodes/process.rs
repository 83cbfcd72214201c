//! One node: a machine with a disk, and on it a process, which is a runtime of its own under the simulator's time.
//!
//! Invariants: everything that the node's code spawns runs in that runtime and ends with it, so that dropping it is kill -9; a process
//! runs only inside [`Process::advance`]; what a dead process still does in its destructors reaches neither disk nor network.
use super::clock::SimClock;
use super::dice::{Dice, SimRandom};
use super::disk::{Medium, SimDisk};
use super::mutant::Mutant;
use super::network::{Line, Network, Parcel, Run, SimPeers};
use super::node::{self, Parts, Report};
use super::operator::OPERATOR;
use super::plan::Settings;
use super::zk::{Connection, Said, Sent};
use base::{Workers, World};
use bytes::Bytes;
use ensemble::{Ensemble, ZnodeTopic};
use kafka_wire::{Request, read_request};
use parking_lot::Mutex;
use peers::Peers;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use uuid::Uuid;

/// What wall clocks show at the beginning, in milliseconds since 1970.
const WALL_MS: i64 = 1_700_000_000_000;

/// Kafka's listener.
const LISTENER: &str = "PLAINTEXT";

/// A running process.
pub(super) struct Process {
    runtime: Option<Runtime>,
    run: u64,
    clock: Arc<SimClock>,
    disk: SimDisk,
    alive: Arc<AtomicBool>,
    network: Arc<Network>,
    report: Arc<Mutex<Report>>,
    lines: BTreeMap<Line, mpsc::UnboundedSender<(u64, bool, Bytes)>>,
    connections: BTreeMap<(usize, u64), Arc<Connection>>,
    kafka_connections: BTreeMap<(usize, u64), mpsc::UnboundedSender<Bytes>>,
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
    pub(super) has_broker: bool,
    pub(super) mutant: Option<Mutant>,
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
        let parts = Parts {
            world,
            node: start.node,
            nodes: start.nodes,
            settings: start.settings.clone(),
            peers,
            has_broker: start.has_broker,
            mutant: start.mutant,
        };
        let report = Arc::new(Mutex::new(Report::default()));
        drop(tokio::spawn(node::live(parts, report.clone())));
        drop(entered);
        Process {
            runtime: Some(runtime),
            run: start.number,
            clock,
            disk,
            alive: Arc::new(AtomicBool::new(true)),
            network: start.network.clone(),
            report,
            lines: BTreeMap::new(),
            connections: BTreeMap::new(),
            kafka_connections: BTreeMap::new(),
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
        self.kafka_connections.clear();
        let report = std::mem::take(&mut *self.report.lock());
        drop(self.runtime.take());
        drop(report);
    }

    /// Asks the node to stop, as SIGTERM does.
    pub(super) fn stop(&self) {
        let Some(runtime) = &self.runtime else { return };
        drop(runtime.spawn(node::stop(self.report.clone())));
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

    /// The id of the disk that it found.
    pub(super) fn directory(&self) -> Option<Uuid> {
        self.report.lock().directory
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
            Parcel::KafkaRequest { client, connection, frame, .. } => {
                let (report, run) = (self.report.clone(), self.run);
                let (network, alive) = (self.network.clone(), self.alive.clone());
                let sender = self.kafka_connections.entry((client, connection)).or_insert_with(|| {
                    let (send, receive) = mpsc::unbounded_channel();
                    drop(tokio::spawn(serve_kafka(
                        (client, connection),
                        run,
                        receive,
                        report,
                        network,
                        alive,
                    )));
                    send
                });
                // A connection that has ended tells its client so.
                let _ended = sender.send(frame);
            }
            Parcel::ToClient { .. } | Parcel::KafkaResponse { .. } => {}
        }
        drop(entered);
    }

    fn hang_up(&self, client: usize, connection: u64) {
        let said = Said::Gone;
        self.network.carry(Parcel::ToClient { client, connection, said });
    }

    /// What the clients hear when the process ends: their connections break.
    pub(super) fn farewells(&self) -> Vec<Parcel> {
        let zookeeper = self.connections.keys();
        let zookeeper =
            zookeeper.map(|&(client, connection)| Parcel::ToClient { client, connection, said: Said::Gone });
        let kafka = self.kafka_connections.keys();
        let kafka = kafka.map(|&(client, connection)| Parcel::KafkaResponse {
            client,
            connection,
            run: self.run,
            frame: None,
        });
        zookeeper.chain(kafka).collect()
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

/// Serves one connection of another node: one request after another.
async fn answer_line(
    line: Line,
    mut requests: mpsc::UnboundedReceiver<(u64, bool, Bytes)>,
    report: Arc<Mutex<Report>>,
    network: Arc<Network>,
) {
    let remote = SocketAddr::from(([10, 0, 0, line.from.node as u8], 1));
    let mut door = None;
    while let Some((call, again, frame)) = requests.recv().await {
        if door.is_none() {
            door = report.lock().door.as_ref().map(|door| door.connect(remote, LISTENER));
        }
        let frame = match &door {
            Some(door) => door.call(frame).await.map(|chunks| chunks.concat()),
            None => answer_ensemble(&report, frame).await,
        };
        if let Some(frame) = frame.filter(|frame| frame.len() > 4 && !again) {
            network.respond(&line, call, Bytes::from(frame).slice(4..));
        }
    }
}

/// Answers without a door, for nodes that have no broker.
async fn answer_ensemble(report: &Mutex<Report>, frame: Bytes) -> Option<Vec<u8>> {
    let ensemble = report.lock().ensemble.clone()?;
    let (header, mut decoder) = read_request(frame).ok()?;
    let request = Request::decode(header.api, header.version, &mut decoder).ok()?;
    let response = ensemble.serve_peer(request, header.version).await;
    let chunks = response.to_frame(header.version, header.correlation_id);
    Some(
        chunks
            .unwrap_or_else(|error| panic!("a response to {:?} cannot be encoded: {error}", header.api))
            .concat(),
    )
}

/// Serves one connection of a client of Kafka.
async fn serve_kafka(
    (client, connection): (usize, u64),
    run: u64,
    mut requests: mpsc::UnboundedReceiver<Bytes>,
    report: Arc<Mutex<Report>>,
    network: Arc<Network>,
    alive: Arc<AtomicBool>,
) {
    let remote = SocketAddr::from(([10, 0, 1, client as u8], 1));
    let door = report.lock().door.as_ref().map(|door| door.connect(remote, LISTENER));
    while let Some(frame) = requests.recv().await {
        let answer = match &door {
            Some(door) => door.call(frame).await.map(|chunks| chunks.concat()),
            // The voters can be changed without a broker.
            None if client == OPERATOR => answer_ensemble(&report, frame).await,
            None => None,
        };
        let frame = answer.map(Bytes::from).filter(|frame| frame.len() > 4).map(|frame| frame.slice(4..));
        let ends = frame.is_none();
        if alive.load(Relaxed) {
            network.carry(Parcel::KafkaResponse { client, connection, run, frame });
        }
        if ends {
            return;
        }
    }
}
