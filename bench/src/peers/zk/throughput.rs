//! Requests per second, per second of processor time, and their latency: closed and open loops of every operation.
use super::load::{End, Load, Outcome, Pace};
use super::script::{KEYS, Script, own_folder};
use super::session::Session;
use crate::peers::figures::{Figure, P50_US, P99_US, P999_US, PER_CPU_SECOND, PER_SECOND};
use crate::peers::process::own_cpu;
use crate::peers::server::{Cluster, Kind};
use crate::peers::workload::{Plan, Workload};
use anyhow::Result;
use jute::{PathRequest, Request};
use std::time::Duration;

/// Connections, and requests on their way on each, of the load that keeps a server busy.
const MANY: (usize, usize) = (32, 32);
/// A client that waits for every answer.
const ONE: (usize, usize) = (1, 1);
/// Bytes of a znode's data.
const SMALL: usize = 100;
const LARGE: usize = 1_024;
/// Requests on their way while a workload sets up and cleans up.
const SETUP_WINDOW: usize = 64;
const EPHEMERAL: i32 = 1;
/// What the load generator spends; it shows that the server is the bottleneck.
const GENERATOR_US: &str = "generator CPU us per operation";
const WRITES_PER_CPU_ROW: &str = "ZooKeeper writes with fsync, per server CPU-second";
const WRITES_ROW: &str = "ZooKeeper writes with fsync, per second";
const READS_ROW: &str = "ZooKeeper reads, per server CPU-second";
const WRITE_P99_ROW: &str = "ZooKeeper write p99, open loop at half of the peer's maximum";

/// The matrix, or the part of it that covers the goals.
pub(super) fn workloads(quick: bool) -> Vec<Workload> {
    let mut workloads = Vec::new();
    for nodes in [1, 3] {
        if quick {
            quick_cases(nodes, &mut workloads);
        } else {
            full_cases(nodes, &mut workloads);
        }
    }
    workloads
}

fn quick_cases(nodes: usize, workloads: &mut Vec<Workload>) {
    let case = |op| Case::new(op, SMALL, MANY, nodes);
    workloads.extend([Op::Create, Op::Set, Op::Multi].map(|op| case(op).closed()));
    if nodes == 1 {
        workloads.push(case(Op::Set).open());
        workloads.push(case(Op::Get).closed());
    }
}

fn full_cases(nodes: usize, workloads: &mut Vec<Workload>) {
    const ALL: [Op; 6] = [Op::Create, Op::Set, Op::Get, Op::Mixed, Op::Multi, Op::Ephemeral];
    for bytes in [SMALL, LARGE] {
        workloads.extend(ALL.map(|op| Case::new(op, bytes, MANY, nodes).closed()));
        let open = [Op::Create, Op::Set, Op::Get, Op::Multi];
        workloads.extend(open.map(|op| Case::new(op, bytes, MANY, nodes).open()));
    }
    workloads.extend([Op::Create, Op::Set, Op::Get].map(|op| Case::new(op, SMALL, ONE, nodes).closed()));
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Create,
    Ephemeral,
    Set,
    Get,
    Mixed,
    Multi,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Op::Create => "create",
            Op::Ephemeral => "ephemeral",
            Op::Set => "set",
            Op::Get => "get",
            Op::Mixed => "mixed90-10",
            Op::Multi => "multi10",
        }
    }

    /// Whether every request makes a node, which is removed when the turn is over.
    fn creates(self) -> bool {
        matches!(self, Op::Create | Op::Ephemeral)
    }

    fn script(self, root: &str, connections: usize, bytes: usize) -> Script {
        match self {
            Op::Create => Script::create(root, connections, bytes, 0),
            Op::Ephemeral => Script::create(root, connections, bytes, EPHEMERAL),
            Op::Set => Script::set(root, bytes),
            Op::Get => Script::get(root, bytes),
            Op::Mixed => Script::mixed(root, bytes),
            Op::Multi => Script::multi(root, bytes),
        }
    }
}

/// One point of the matrix.
#[derive(Clone, Copy, Debug)]
struct Case {
    op: Op,
    bytes: usize,
    connections: usize,
    window: usize,
    nodes: usize,
}

impl Case {
    fn new(op: Op, bytes: usize, (connections, window): (usize, usize), nodes: usize) -> Case {
        Case { op, bytes, connections, window, nodes }
    }

    fn closed_name(self) -> String {
        let Case { op, bytes, connections, window, nodes } = self;
        format!("zk/{}/{}/{connections}x{window}/{}", op.name(), size_name(bytes), nodes_name(nodes))
    }

    fn closed(self) -> Workload {
        let run =
            move |cluster: &mut Cluster, plan: &Plan| self.measure(cluster, plan, Pace::Window(self.window));
        let workload = Workload::new(self.closed_name(), Kind::ZooKeeper, self.nodes, run);
        if (self.connections, self.window) != MANY {
            return workload;
        }
        match self.op {
            Op::Create | Op::Set | Op::Multi => {
                workload.goal(WRITES_PER_CPU_ROW, PER_CPU_SECOND, 3.0).goal(WRITES_ROW, PER_SECOND, 2.0)
            }
            Op::Get => workload.goal(READS_ROW, PER_CPU_SECOND, 5.0),
            Op::Ephemeral | Op::Mixed => workload,
        }
    }

    /// At half of the rate that the peer reaches in the closed loop.
    fn open(self) -> Workload {
        let run = move |cluster: &mut Cluster, plan: &Plan| {
            let rate = plan.rate.unwrap_or_default();
            self.measure(cluster, plan, Pace::Rate(rate))
        };
        let name = format!("zk/{}/{}/open/{}", self.op.name(), size_name(self.bytes), nodes_name(self.nodes));
        let workload = Workload::new(name, Kind::ZooKeeper, self.nodes, run).half_of(self.closed_name());
        match self.op {
            Op::Create | Op::Set | Op::Multi => workload.goal(WRITE_P99_ROW, P99_US, 1.0 / 3.0),
            Op::Get | Op::Ephemeral | Op::Mixed => workload,
        }
    }

    /// One turn: sets up, measures, and removes everything again.
    fn measure(self, cluster: &mut Cluster, plan: &Plan, pace: Pace) -> Result<Vec<Figure>> {
        let root = format!("/t{:05}", plan.turn);
        let mut setup = Setup::new(cluster, &root)?;
        if self.op.creates() {
            setup.own_folders(self.connections)?;
        } else {
            setup.keys(cluster, self.bytes)?;
        }
        setup.everywhere(cluster)?;
        let script = self.op.script(&root, self.connections, self.bytes);
        let mut load = Load::open(cluster.clock(), cluster.zookeeper(), self.connections)?;
        let before = (cluster.usage()?.cpu, own_cpu()?);
        let outcome = load.run(&script, pace, &End::After(plan.seconds))?;
        let (server, own) = (cluster.usage()?.cpu - before.0, own_cpu()? - before.1);
        if self.op.creates() {
            load.run(
                &Script::delete(&root, self.connections),
                Pace::Window(SETUP_WINDOW),
                &End::Counts(outcome.counts.clone()),
            )?;
        }
        setup.remove(cluster, self.op.creates().then_some(self.connections))?;
        Ok(figures(&outcome, server, own))
    }
}

fn size_name(bytes: usize) -> &'static str {
    if bytes == SMALL { "100B" } else { "1KiB" }
}

fn nodes_name(nodes: usize) -> &'static str {
    if nodes == 1 { "1node" } else { "3nodes" }
}

fn figures(outcome: &Outcome, server: Duration, own: Duration) -> Vec<Figure> {
    let operations = outcome.operations as f64;
    let latency = |quantile| outcome.latency_us.value_at_quantile(quantile) as f64;
    vec![
        Figure::higher(PER_SECOND, operations * 1e6 / outcome.elapsed_us as f64),
        Figure::higher(PER_CPU_SECOND, operations / server.as_secs_f64().max(1e-2)),
        Figure::lower(P50_US, latency(0.5)),
        Figure::lower(P99_US, latency(0.99)),
        Figure::lower(P999_US, latency(0.999)),
        Figure::lower(GENERATOR_US, own.as_micros() as f64 / operations.max(1.0)),
    ]
}

/// The nodes that a turn works on, below a root of its own.
struct Setup<'a> {
    session: Session,
    root: &'a str,
}

impl<'a> Setup<'a> {
    fn new(cluster: &Cluster, root: &'a str) -> Result<Setup<'a>> {
        let mut session = Session::open(cluster.zookeeper()[0])?;
        session.create(root, b"")?;
        Ok(Setup { session, root })
    }

    fn own_folders(&mut self, connections: usize) -> Result<()> {
        (0..connections)
            .try_for_each(|connection| self.session.create(&own_folder(self.root, connection), b""))
    }

    fn keys(&mut self, cluster: &Cluster, bytes: usize) -> Result<()> {
        self.once_per_key(cluster, &Script::create_keys(self.root, bytes))
    }

    fn once_per_key(&self, cluster: &Cluster, script: &Script) -> Result<()> {
        let mut load = Load::open(cluster.clock(), &cluster.zookeeper()[..1], 1)?;
        load.run(script, Pace::Window(SETUP_WINDOW), &End::Counts(vec![KEYS])).map(drop)
    }

    /// Removes what the turn has left: `connections` folders, or else the keys.
    fn remove(mut self, cluster: &Cluster, connections: Option<usize>) -> Result<()> {
        match connections {
            Some(connections) => (0..connections)
                .try_for_each(|connection| self.session.delete(&own_folder(self.root, connection)))?,
            None => self.once_per_key(cluster, &Script::delete_keys(self.root))?,
        }
        self.session.delete(self.root)?;
        self.session.close()
    }

    /// Every node shows what was written.
    fn everywhere(&mut self, cluster: &Cluster) -> Result<()> {
        for address in cluster.zookeeper() {
            let mut session = Session::open(*address)?;
            session.ask(&Request::Sync(PathRequest { path: self.root.into() }))?;
            session.close()?;
        }
        Ok(())
    }
}
