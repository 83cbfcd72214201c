//! Memory: of an idle server, with many idle sessions, and with a million znodes; and how long the latter takes to start again.
use super::load::{End, Load, Pace};
use super::script::{Script, own_folder};
use super::session::Session;
use crate::peers::figures::{Figure, PER_SECOND, RSS_MIB, RSS_PEAK_MIB};
use crate::peers::server::{Cluster, Kind};
use crate::peers::workload::{Plan, ROUNDS, State, Workload};
use anyhow::{Result, ensure};
use jute::{PathRequest, Request, Response};
use std::time::Duration;

const SESSIONS: usize = 10_000;
const ZNODES: usize = 1_000_000;
const ZNODE_BYTES: usize = 100;
const CONNECTIONS: usize = 32;
const WINDOW: usize = 32;
/// How long a server is left alone before its memory is read.
const REST: Duration = Duration::from_secs(3);
/// How long its processor time is watched while nobody asks for anything.
const IDLE: Duration = Duration::from_secs(5);
const IDLE_CPU: &str = "idle CPU ms per second";
const RESTART_MS: &str = "restart ms";
const PATIENCE_US: u64 = 120_000_000;
const PAUSE: Duration = Duration::from_millis(1);
const ROOT: &str = "/million";
const ZNODES_ROW: &str = "memory with 1 million znodes";
const SESSIONS_ROW: &str = "memory with 10,000 sessions";

pub(super) fn workloads(quick: bool) -> Vec<Workload> {
    let rounds = if quick { 1 } else { ROUNDS };
    let workload = |name: &str, run: fn(&mut Cluster, &Plan) -> Result<Vec<Figure>>| {
        Workload::new(name, Kind::ZooKeeper, 1, run).state(State::Fresh).rounds(rounds)
    };
    let mut workloads = vec![
        workload("zk/sessions-10000/1node", sessions).goal(SESSIONS_ROW, RSS_MIB, 0.1),
        workload("zk/znodes-1000000/100B/1node", znodes).goal(ZNODES_ROW, RSS_MIB, 0.2),
    ];
    if !quick {
        workloads.push(workload("zk/idle/1node", idle));
    }
    workloads
}

/// A new server that nobody talks to.
fn idle(cluster: &mut Cluster, _plan: &Plan) -> Result<Vec<Figure>> {
    std::thread::sleep(REST);
    memory_and_idle_cpu(cluster)
}

/// Sessions that are open and silent; a turn is shorter than their timeout.
fn sessions(cluster: &mut Cluster, _plan: &Plan) -> Result<Vec<Figure>> {
    let address = cluster.zookeeper()[0];
    let begun = crate::now_us(cluster.clock());
    let mut sessions = Session::open_many(address, SESSIONS)?;
    let took_us = crate::now_us(cluster.clock()) - begun;
    std::thread::sleep(REST);
    let mut figures = memory_and_idle_cpu(cluster)?;
    // A look at some of them: they are still alive.
    for session in sessions.iter_mut().step_by(SESSIONS / 10) {
        session.ask(&Request::Sync(PathRequest { path: "/".into() }))?;
    }
    figures.push(Figure::higher(PER_SECOND, SESSIONS as f64 * 1e6 / took_us as f64));
    Ok(figures)
}

fn memory_and_idle_cpu(cluster: &Cluster) -> Result<Vec<Figure>> {
    let before = cluster.usage()?.cpu;
    std::thread::sleep(IDLE);
    let mut figures = memory(cluster)?;
    let spent = (cluster.usage()?.cpu - before).as_secs_f64();
    figures.push(Figure::lower(IDLE_CPU, spent * 1e3 / IDLE.as_secs_f64()));
    Ok(figures)
}

fn memory(cluster: &Cluster) -> Result<Vec<Figure>> {
    const MIB: f64 = 1_048_576.0;
    let usage = cluster.usage()?;
    Ok(vec![
        Figure::lower(RSS_MIB, usage.rss as f64 / MIB),
        Figure::lower(RSS_PEAK_MIB, usage.rss_peak as f64 / MIB),
    ])
}

/// A large tree, and the start after a kill with it.
fn znodes(cluster: &mut Cluster, _plan: &Plan) -> Result<Vec<Figure>> {
    let address = cluster.zookeeper()[0];
    let mut session = Session::open(address)?;
    session.create(ROOT, b"")?;
    for connection in 0..CONNECTIONS {
        session.create(&own_folder(ROOT, connection), b"")?;
    }
    let script = Script::create(ROOT, CONNECTIONS, ZNODE_BYTES, 0);
    let end = End::Counts(vec![(ZNODES / CONNECTIONS) as u64; CONNECTIONS]);
    let mut load = Load::open(cluster.clock(), cluster.zookeeper(), CONNECTIONS)?;
    let outcome = load.run(&script, Pace::Window(WINDOW), &end)?;
    drop(load);
    std::thread::sleep(REST);
    let mut figures = memory(cluster)?;
    figures.push(Figure::higher(PER_SECOND, outcome.operations as f64 * 1e6 / outcome.elapsed_us as f64));
    cluster.kill(0)?;
    let begun = crate::now_us(cluster.clock());
    cluster.restart(0)?;
    let took_us = loop {
        cluster.check()?;
        let found = Session::try_open(address).and_then(|mut session| below(&mut session, ROOT));
        let took_us = crate::now_us(cluster.clock()) - begun;
        match found {
            Ok(found) => {
                ensure!(found == ZNODES + CONNECTIONS, "{found} znodes are there after the restart");
                break took_us;
            }
            Err(error) if took_us > PATIENCE_US => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    };
    figures.push(Figure::lower(RESTART_MS, took_us as f64 / 1e3));
    Ok(figures)
}

/// How many znodes are below one.
fn below(session: &mut Session, path: &str) -> Result<usize> {
    let answer = session.ask(&Request::GetAllChildrenNumber(PathRequest { path: path.into() }))?;
    let Response::GetAllChildrenNumber(answer) = answer else { anyhow::bail!("an answer of another kind") };
    Ok(usize::try_from(answer.total_number)?)
}
