//! One run of one seed: time, faults, nodes and clients in turn; then peace, in which everything must come back; then judgement.
//!
//! Invariant: time moves in steps of [`STEP_MS`]; within a step parcels are delivered, then nodes run one after another, then clients
//! act. Nothing that one of them does in a step reaches another one in the same step, so that their order decides nothing.
mod faults;
mod repair;

use super::damage;
use super::dice::Dice;
use super::disk::Medium;
use super::kafka::{self, Agent, FIRST_CLIENT, TOPIC, Tally};
use super::mutant::Mutant;
use super::network::{Network, Parcel};
use super::node::DATA;
use super::operator::{OPERATOR, Operator};
use super::plan::Plan;
use super::process::{Process, Start};
use super::trace::Trace;
use super::zk::{Client, Ledger, Life, Said, judge};
use bytes::Bytes;
use log::Batch;
use parking_lot::Mutex;
use repair::{Frail, Harm};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tree::Digest;
use uuid::Uuid;

/// One step of the simulation. Nothing travels faster.
const STEP_MS: u64 = 2;
/// How long everything may take to come back once there are no faults.
const PATIENCE_MS: u64 = 20_000;
/// How often the trees of the nodes are compared.
const COMPARE_MS: u64 = 400;
/// How many writes each client must have acknowledged in peace.
const PROGRESS: u64 = 5;

/// How a run is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many nodes; by the seed unless told.
    pub nodes: Option<usize>,
    /// Whether nodes have a broker; by the seed unless told.
    pub brokers: Option<bool>,
    /// The bug that is planted.
    pub mutant: Option<Mutant>,
    /// Whether every event is printed.
    pub loud: bool,
}

/// A run without a fault of ours.
#[derive(Clone, Copy, Debug)]
pub struct Clean {
    /// The hash of everything that happened.
    pub trace: u64,
    /// How many events that were.
    pub events: u64,
    /// How many writes were acknowledged.
    pub writes: u64,
}

/// A machine with its process.
struct Machine {
    medium: Arc<Mutex<Medium>>,
    process: Option<Process>,
    runs: u64,
    /// What was known to be committed when the process started.
    started_at_zxid: i64,
    /// When the next process starts, if there is none.
    starts_at_ms: u64,
    /// Until when the process is stopped.
    paused_until_ms: Option<u64>,
    /// What waits in its sockets meanwhile.
    waiting: Vec<Parcel>,
    /// Whether the disk was made to fail since the process started, so that it may end by itself.
    disk_failed: bool,
    /// Whether the machine loses its power when the process dies in the middle of work on the disk.
    dies_with_power: bool,
    disk_full_until_ms: Option<u64>,
    /// The id of the disk, once a process has looked.
    directory: Option<Uuid>,
    /// Whether bits of the disk are lost once the process has ended.
    rots_at_end: bool,
}

struct Simulation {
    plan: Plan,
    mutant: Option<Mutant>,
    dice: Dice,
    network: Arc<Network>,
    now_ms: u64,
    machines: Vec<Machine>,
    clients: Vec<Client>,
    agents: Vec<Agent>,
    operator: Operator,
    tally: Tally,
    ledger: Ledger,
    /// The largest zxid of a write that any client was told of.
    floor: i64,
    writes: u64,
    digests: BTreeMap<i64, (usize, Digest)>,
    reigns: Vec<(u64, Option<usize>)>,
    /// The newest epoch in which any node led.
    newest_reign: i32,
    cuts: Vec<(u64, usize, usize)>,
    /// What is to be done to a disk as soon as the others can do without it.
    harm: Option<(Harm, usize)>,
    /// The node that lacks what it had flushed.
    frail: Option<Frail>,
    next_fault_ms: u64,
    trouble: bool,
}

/// Runs a seed.
///
/// # Errors
/// What law was broken, and how.
pub fn run(seed: u64, options: &Options) -> Result<Clean, String> {
    let mut dice = Dice::new(seed);
    let brokers = options.mutant.map(Mutant::needs_brokers).or(options.brokers);
    let plan = Plan::of(&mut dice.fork(), options.nodes, brokers);
    broker::mutants::set(options.mutant.and_then(Mutant::of_broker));
    let network = Network::new(dice.fork(), plan.foul.clone(), Trace::new(options.loud));
    network.note(format_args!("{plan:?}"));
    let mut simulation = Simulation::new(plan, options.mutant, dice, network.clone());
    simulation.trouble()?;
    simulation.peace()?;
    simulation.judge()?;
    let (trace, events) = network.trace();
    Ok(Clean { trace, events, writes: simulation.writes })
}

impl Simulation {
    fn new(plan: Plan, mutant: Option<Mutant>, mut dice: Dice, network: Arc<Network>) -> Simulation {
        let machines = (0..plan.nodes)
            .map(|_| Machine {
                medium: Arc::default(),
                process: None,
                runs: 0,
                started_at_zxid: 0,
                starts_at_ms: 0,
                paused_until_ms: None,
                waiting: Vec::new(),
                disk_failed: false,
                dies_with_power: false,
                disk_full_until_ms: None,
                directory: None,
                rots_at_end: false,
            })
            .collect();
        let clients = (0..plan.clients)
            .map(|client| Client::new(client, network.clone(), dice.fork(), plan.nodes))
            .collect();
        let (producers, consumers) = plan.agents.unwrap_or_default();
        let durable = plan.settings.durable;
        let mut agents = Vec::new();
        for id in 0..producers {
            agents.push(Agent::producer(id, network.clone(), dice.fork(), plan.nodes, durable));
        }
        for id in producers..producers + consumers {
            agents.push(Agent::consumer(id, network.clone(), dice.fork(), plan.nodes));
        }
        if plan.agents.is_some() {
            let id = producers + consumers;
            agents.push(Agent::committer(id, network.clone(), dice.fork(), plan.nodes));
        }
        let operator = Operator::new(network.clone(), dice.fork(), plan.nodes);
        Simulation {
            operator,
            next_fault_ms: 500 + dice.below(plan.fault_every_ms),
            plan,
            mutant,
            dice,
            network,
            now_ms: 0,
            machines,
            clients,
            agents,
            tally: Tally::default(),
            ledger: Ledger::default(),
            floor: 0,
            writes: 0,
            digests: BTreeMap::new(),
            reigns: Vec::new(),
            newest_reign: 0,
            cuts: Vec::new(),
            harm: None,
            frail: None,
            trouble: true,
        }
    }

    /// Faults, until their time is over.
    fn trouble(&mut self) -> Result<(), String> {
        while self.now_ms < self.plan.trouble_ms {
            self.step()?;
        }
        Ok(())
    }

    /// No more faults: every node comes back, every client makes progress, all nodes get to the same tree, and sessions that fell
    /// silent end.
    fn peace(&mut self) -> Result<(), String> {
        self.trouble = false;
        self.network.note(format_args!("peace"));
        self.network.set_weather(self.plan.fair.clone());
        self.network.heal();
        self.cuts.clear();
        for machine in &mut self.machines {
            machine.starts_at_ms = machine.starts_at_ms.min(self.now_ms);
            machine.paused_until_ms = machine.paused_until_ms.map(|_| self.now_ms);
            *machine.medium.lock().trouble() = super::disk::Trouble::default();
            machine.disk_full_until_ms = None;
        }
        let begun = self.now_ms;
        self.until(begun, "no replica is in sync by name only", |simulation| !simulation.is_exposed())?;
        for node in 0..self.machines.len() {
            // Whoever had a bad disk is started anew, as an operator would do it.
            if self.machines[node].disk_failed {
                self.end(node, false);
            }
        }
        for client in &mut self.clients {
            client.done = 0;
        }
        self.until(begun, "damaged disks are replaced", |simulation| simulation.frail.is_none())?;
        let before: Vec<u64> = self.agents.iter().map(Agent::progress).collect();
        self.until(begun, "every client makes progress", |simulation| {
            let mut clients = simulation.clients.iter();
            clients.all(|client| client.is_silent() || client.done >= PROGRESS)
        })?;
        self.until(begun, "every client of Kafka makes progress", |simulation| {
            let mut agents = simulation.agents.iter().zip(&before);
            agents.all(|(agent, before)| agent.progress() >= before + PROGRESS)
        })?;
        for client in &mut self.clients {
            client.works = false;
        }
        self.agents.iter_mut().for_each(Agent::rest);
        self.until(begun, "nothing is in flight", |simulation| {
            simulation.clients.iter().all(|client| client.is_silent() || client.is_idle())
        })?;
        self.until(begun, "silent sessions end and their ephemerals with them", |simulation| {
            let Some(ensemble) = simulation.machines[0].process.as_ref().and_then(Process::ensemble) else {
                return false;
            };
            let silent = simulation.clients.iter().filter(|client| client.is_silent());
            let mut silent = silent.filter_map(Client::session);
            silent.all(|id| ensemble.read(|view| view.tree().session(tree::SessionId(id)).is_none()))
        })?;
        self.until(begun, "all batches are acknowledged and read, and the replicas equal", |simulation| {
            let Some(ends) = simulation.ends_of_partitions() else { return simulation.agents.is_empty() };
            simulation.agents.iter().all(|agent| agent.is_done(&ends))
        })?;
        self.until(begun, "all nodes have the same tree", Simulation::is_level)
    }

    /// Where the partitions end, if all replicas of each have the same bytes.
    fn ends_of_partitions(&self) -> Option<BTreeMap<i32, i64>> {
        let mut ends = BTreeMap::new();
        for partition in 0..kafka::PARTITIONS {
            let mut logs = self.machines.iter().map(|machine| log_of(&machine.medium.lock(), partition));
            let mut logs: Vec<Vec<u8>> = logs.by_ref().flatten().collect();
            let first = logs.pop()?;
            if logs.len() + 1 != self.machines.len().min(3) || logs.iter().any(|log| *log != first) {
                return None;
            }
            let last = Batch::iter(Bytes::from(first)).map_while(Result::ok).last();
            ends.insert(partition, last.map_or(0, |batch| batch.header().next_offset()));
        }
        Some(ends)
    }

    fn until(&mut self, begun: u64, what: &str, done: impl Fn(&Simulation) -> bool) -> Result<(), String> {
        while !done(self) {
            if self.now_ms > begun + PATIENCE_MS {
                return Err(format!(
                    "{PATIENCE_MS} ms after the last fault it is not so that {what}: {}",
                    self.state()
                ));
            }
            self.step()?;
        }
        self.network.note(format_args!("{what}"));
        Ok(())
    }

    /// A line on where everybody is.
    fn state(&self) -> String {
        let nodes: Vec<String> = (0..self.machines.len())
            .map(|node| match self.ensemble(node) {
                Some(ensemble) => {
                    let process = self.machines[node].process.as_ref().expect("it has an ensemble");
                    process.look(|| {
                        let (status, leader) = (ensemble.status(), ensemble.leader());
                        let serves = process.serves();
                        format!(
                            "node {node}: epoch {} zxid {} leader {leader:?} serves {serves}",
                            status.epoch, status.last_zxid
                        )
                    })
                }
                None => format!("node {node}: down"),
            })
            .collect();
        let clients: Vec<String> = self
            .clients
            .iter()
            .map(|client| {
                format!("open {} silent {} done {}", client.is_open(), client.is_silent(), client.done)
            })
            .collect();
        let agents: Vec<u64> = self.agents.iter().map(Agent::progress).collect();
        let logs: Vec<Vec<Option<usize>>> = self
            .machines
            .iter()
            .map(|machine| {
                let medium = machine.medium.lock();
                (0..kafka::PARTITIONS)
                    .map(|partition| log_of(&medium, partition).map(|log| log.len()))
                    .collect()
            })
            .collect();
        let disks: Vec<String> =
            self.machines.iter().map(|machine| damage::shown(&machine.medium.lock())).collect();
        let kafka = format!("kafka clients: {agents:?}, logs: {logs:?}, disks: {}", disks.join("; "));
        format!(
            "{}; clients: {}; ledger to {}; {kafka}",
            nodes.join(", "),
            clients.join(", "),
            self.ledger.end()
        )
    }

    fn ensemble(&self, node: usize) -> Option<ensemble::Ensemble> {
        self.machines[node].process.as_ref()?.ensemble()
    }

    /// Whether all nodes have applied the same, all that was ever committed.
    fn is_level(&self) -> bool {
        (0..self.machines.len()).all(|node| {
            let process = self.machines[node].process.as_ref();
            process.and_then(Process::topic).is_some_and(|topic| topic.high_watermark() == self.ledger.end())
        })
    }

    fn step(&mut self) -> Result<(), String> {
        self.now_ms += STEP_MS;
        self.network.at(self.now_ms);
        if self.trouble && self.now_ms >= self.next_fault_ms {
            self.fault();
            self.next_fault_ms = self.now_ms + self.dice.between(1, 2 * self.plan.fault_every_ms);
        }
        self.end_of_faults();
        self.look_after_disks();
        for node in 0..self.machines.len() {
            self.resume(node)?;
        }
        while let Some(parcel) = self.network.arrived() {
            self.deliver(parcel)?;
        }
        for node in 0..self.machines.len() {
            self.run_node(node)?;
        }
        for client in &mut self.clients {
            client.tick(self.now_ms, self.floor);
        }
        for agent in &mut self.agents {
            agent.tick(self.now_ms, &mut self.tally);
        }
        self.operate();
        self.note_leader();
        if self.now_ms.is_multiple_of(COMPARE_MS) {
            self.compare_trees()?;
        }
        Ok(())
    }

    fn deliver(&mut self, parcel: Parcel) -> Result<(), String> {
        let node = match &parcel {
            Parcel::Call { line, .. } => line.to,
            Parcel::Return { call, .. } => match self.network.caller(*call) {
                Some(run) => run.node,
                None => return Ok(()),
            },
            Parcel::ToNode { node, .. } | Parcel::KafkaRequest { node, .. } => *node,
            Parcel::ToClient { .. } | Parcel::KafkaResponse { .. } => usize::MAX,
        };
        if let Parcel::KafkaResponse { client: OPERATOR, connection, frame, .. } = parcel {
            return self.operator.hear(connection, frame, self.now_ms);
        }
        if let Parcel::KafkaResponse { client, connection, run, frame } = parcel {
            let agent = &mut self.agents[client - FIRST_CLIENT];
            return agent.hear((connection, run), frame, self.now_ms, &mut self.tally);
        }
        if let Parcel::ToClient { client, connection, said } = parcel {
            self.network.note(format_args!("to client {client}.{connection}: {said:?}"));
            if let Some(zxid) = self.clients[client].hear(connection, said, self.now_ms)? {
                self.floor = self.floor.max(zxid);
                self.writes += 1;
            }
            return Ok(());
        }
        let machine = &mut self.machines[node];
        if machine.paused_until_ms.is_some() {
            machine.waiting.push(parcel);
            return Ok(());
        }
        if let Parcel::Call { line, call, .. } = &parcel
            && !self.network.accept(line, *call)
        {
            return Ok(());
        }
        let process = machine.process.as_mut().filter(|_| self.network.reaches(node, &parcel));
        match (process, parcel) {
            (Some(process), parcel) => process.deliver(parcel),
            (None, Parcel::ToNode { client, connection, .. }) => {
                let said = Said::Gone;
                self.network.carry(Parcel::ToClient { client, connection, said });
            }
            (None, Parcel::KafkaRequest { client, connection, .. }) => {
                self.network.carry(Parcel::KafkaResponse { client, connection, run: 0, frame: None });
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Lets a stopped process go on, if its time has come: it finds its clock far ahead and its sockets full.
    fn resume(&mut self, node: usize) -> Result<(), String> {
        let machine = &mut self.machines[node];
        if machine.paused_until_ms.is_none_or(|until| self.now_ms < until) {
            return Ok(());
        }
        machine.paused_until_ms = None;
        if let Some(process) = &mut machine.process {
            process.wake(self.now_ms);
        }
        // One that led when it was paused may answer once more before it hears that it does not lead any longer.
        self.reigns.push((self.now_ms, None));
        for parcel in std::mem::take(&mut machine.waiting) {
            self.deliver(parcel)?;
        }
        Ok(())
    }

    fn run_node(&mut self, node: usize) -> Result<(), String> {
        let machine = &mut self.machines[node];
        if machine.process.is_none() {
            if self.now_ms >= machine.starts_at_ms {
                self.start(node);
            } else {
                return Ok(());
            }
        }
        let machine = &mut self.machines[node];
        if machine.paused_until_ms.is_some() {
            return Ok(());
        }
        let Some(process) = &mut machine.process else { return Ok(()) };
        process.advance(self.now_ms);
        machine.directory = process.directory().or(machine.directory);
        if let Some(panic) = super::panics::taken() {
            return Err(format!("node {node} panicked: {panic}"));
        }
        if let Some(reason) = process.ended() {
            self.follow(node)?;
            let machine = &mut self.machines[node];
            self.network.note(format_args!("node {node} ended: {reason:?}"));
            if let Some(reason) = reason.filter(|_| !machine.disk_failed) {
                return Err(format!("node {node} gave up without a reason of ours: {reason}"));
            }
            let power = machine.dies_with_power;
            self.end(node, power);
            self.gave_up(node);
            return Ok(());
        }
        self.follow(node)
    }

    /// Reads what the node shows as committed.
    fn follow(&mut self, node: usize) -> Result<(), String> {
        let machine = &mut self.machines[node];
        let Some(process) = &mut machine.process else { return Ok(()) };
        let Some(topic) = process.topic() else { return Ok(()) };
        if process.followed.is_some_and(|followed| followed >= topic.high_watermark()) {
            return Ok(());
        }
        let medium = machine.medium.lock();
        let from = process.followed.unwrap_or(0);
        let end = topic.high_watermark();
        let known = self.ledger.end();
        let (segments, removed) = (segments(&medium, ".log"), segments(&medium, ".log.deleted"));
        let followed = self.ledger.follow(node, &segments, &removed, from, end, self.now_ms);
        for (zxid, path, data) in self.ledger.kafka_changes(known) {
            self.network.note(format_args!("{zxid} {path} = {}", String::from_utf8_lossy(data)));
        }
        let followed = match followed {
            // What its disk has lost the others have.
            Err(_) if machine.disk_failed => return Ok(()),
            followed => followed.map_err(|what| format!("{what}; its files: {}", files(&medium)))?,
        };
        process.followed = Some(followed);
        Ok(())
    }

    /// Lets the operator work. Disks and voters are not changed at the same time.
    fn operate(&mut self) {
        let may_change = self.trouble && self.frail.is_none();
        let directories = |node: usize| self.machines[node].directory;
        self.operator.tick(self.now_ms, self.ledger.voter_sets(), may_change, directories);
    }

    fn note_leader(&mut self) {
        let leads = |node: usize| {
            let ensemble = self.ensemble(node)?;
            (ensemble.leader() == Some(node as i32)).then(|| (ensemble.status().epoch, node))
        };
        let leaders: Vec<(i32, usize)> = (0..self.machines.len()).filter_map(leads).collect();
        let epochs = leaders.iter().map(|(epoch, _)| *epoch);
        self.newest_reign = epochs.fold(self.newest_reign, i32::max);
        let is_paused = |node: usize| self.machines[node].paused_until_ms.is_some();
        let mut leaders = leaders.into_iter().filter(|(_, node)| !is_paused(*node));
        // One that is cut off and hasn't heard of a newer epoch leads nobody, even if whoever led that one is gone again.
        let leader = leaders.next().filter(|(epoch, _)| *epoch == self.newest_reign);
        let leader = leader.map(|(_, node)| node).filter(|_| leaders.next().is_none());
        if self.reigns.last().map(|(_, leader)| *leader) != Some(leader) {
            self.network.note(format_args!("leader {leader:?}"));
            self.reigns.push((self.now_ms, leader));
        }
    }

    fn compare_trees(&mut self) -> Result<(), String> {
        for node in 0..self.machines.len() {
            let Some(ensemble) = self.ensemble(node) else { continue };
            let (zxid, digest) = ensemble.read(|view| (view.last_zxid().0, view.tree().digest()));
            let (other, known) = *self.digests.entry(zxid).or_insert((node, digest));
            if known != digest {
                return Err(format!("nodes {other} and {node} have different trees at zxid {zxid}"));
            }
        }
        Ok(())
    }

    fn start(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        machine.runs += 1;
        machine.started_at_zxid = self.ledger.end();
        machine.disk_failed = machine.medium.lock().trouble().is_planted();
        machine.disk_failed |= self.frail.as_ref().is_some_and(|frail| frail.is_rotten_at(node, machine));
        machine.dies_with_power = false;
        self.network.note(format_args!("node {node} starts, run {}", machine.runs));
        machine.process = Some(Process::start(Start {
            node,
            number: machine.runs,
            nodes: self.plan.nodes,
            settings: &self.plan.settings,
            network: &self.network,
            medium: &machine.medium,
            has_broker: self.plan.agents.is_some(),
            mutant: self.mutant,
            dice: self.dice.fork(),
            now_ms: self.now_ms - STEP_MS,
        }));
        self.network.listens(node, Some(machine.runs));
    }

    /// Ends a process; it starts anew after a while.
    fn end(&mut self, node: usize, power: bool) {
        let machine = &mut self.machines[node];
        let Some(mut process) = machine.process.take() else { return };
        self.network.listens(node, None);
        let farewells = process.farewells();
        process.kill();
        {
            let mut medium = machine.medium.lock();
            medium.process_ended();
            if power {
                medium.lose_power(&mut self.dice);
            }
        }
        machine.paused_until_ms = None;
        machine.waiting.clear();
        machine.disk_full_until_ms = None;
        let pause = if self.trouble { self.dice.between(10, 1_200) } else { 10 };
        machine.starts_at_ms = self.now_ms + pause;
        for farewell in farewells {
            self.network.carry(farewell);
        }
        if std::mem::take(&mut self.machines[node].rots_at_end) {
            self.rot_znodes(node, true);
        }
    }

    fn judge(&mut self) -> Result<(), String> {
        self.compare_trees()?;
        let lives: Vec<&Life> = self.clients.iter().flat_map(|client| &client.lives).collect();
        judge(&lives, &self.ledger, &self.reigns)?;
        self.operator.judge(self.ledger.voter_sets())?;
        kafka::judge(&self.tally)
    }
}

/// A node's log of one partition of the workload's topic; none if it has no such log.
fn log_of(medium: &Medium, partition: i32) -> Option<Vec<u8>> {
    let folder = Path::new(DATA).join(format!("{TOPIC}-{partition}"));
    let files = medium.list(&folder);
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
    let segments: Vec<&[u8]> =
        files.iter().filter(|(path, _)| is_log(path)).map(|(_, content)| *content).collect();
    (!segments.is_empty()).then(|| segments.concat())
}

/// The files of a node's znode log with their sizes, for people.
fn files(medium: &Medium) -> String {
    let files = medium.list(&Path::new(DATA).join("__znodes-0")).into_iter();
    let shown: Vec<String> =
        files.map(|(path, content)| format!("{} ({})", path.display(), content.len())).collect();
    shown.join(", ")
}

/// The files of a node's znode log by base offset.
fn segments<'a>(medium: &'a Medium, suffix: &str) -> BTreeMap<i64, &'a [u8]> {
    let folder = Path::new(DATA).join("__znodes-0");
    let files = medium.list(&folder).into_iter();
    files
        .filter_map(|(path, content)| {
            let base = path.file_name()?.to_str()?.strip_suffix(suffix)?.parse().ok()?;
            Some((base, content))
        })
        .collect()
}
