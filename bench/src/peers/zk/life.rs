//! A server's life: how long from its start to the first acknowledged write, and how long clients wait when the leader is killed.
use super::session::Session;
use crate::peers::figures::{Figure, TOOK_MS};
use crate::peers::server::{Cluster, Kind};
use crate::peers::workload::{Plan, State, Workload};
use anyhow::{Context as _, Result, bail};
use base::SystemClock;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two attempts of a client that waits for a server.
const PAUSE: Duration = Duration::from_millis(1);
/// A client whose node doesn't answer for so long connects again, as clients do long before their session times out.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Servers that don't serve for so long won't.
const PATIENCE_US: u64 = 60_000_000;
/// How long clients write before the leader is killed.
const LOAD: Duration = Duration::from_millis(500);
const START_ROW: &str = "start to first acknowledged write";
const RECOVERY_ROW: &str = "recovery after kill -9 of the leader, 3 nodes";
/// Of the client that waits least.
const FIRST_MS: &str = "ms, first client";

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("zk/start/1node", Kind::ZooKeeper, 1, start).state(State::Prepared).goal(
            START_ROW,
            TOOK_MS,
            1.0 / 3.0,
        ),
        Workload::new("zk/recovery/3nodes", Kind::ZooKeeper, 3, recovery).state(State::Fresh).goal(
            RECOVERY_ROW,
            TOOK_MS,
            1.0 / 3.0,
        ),
    ]
}

/// From the start of the process to the first acknowledged write.
fn start(cluster: &mut Cluster, _plan: &Plan) -> Result<Vec<Figure>> {
    cluster.spawn()?;
    let address = cluster.zookeeper()[0];
    loop {
        let written = Session::try_open(address).and_then(|mut session| session.create("/first", b"x"));
        let took_us = crate::now_us(cluster.clock()) - cluster.spawned_us();
        match written {
            Ok(()) => return Ok(vec![Figure::lower(TOOK_MS, took_us as f64 / 1e3)]),
            Err(error) if took_us > PATIENCE_US => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
        cluster.check()?;
    }
}

/// A client on each surviving node writes all the time; from the kill to its first acknowledged write that it sent after the kill.
fn recovery(cluster: &mut Cluster, _plan: &Plan) -> Result<Vec<Figure>> {
    let leader = leader(cluster)?;
    let survivors: Vec<SocketAddr> = (0..cluster.zookeeper().len())
        .filter(|node| *node != leader)
        .map(|node| cluster.zookeeper()[node])
        .collect();
    Session::open(cluster.zookeeper()[leader])?.create("/recovery", b"")?;
    let gone_us = AtomicU64::new(u64::MAX);
    // The clients read the clock while the cluster is changed.
    let clock = cluster.shared_clock();
    let (killed_us, recovered_us) = std::thread::scope(|scope| {
        let clients: Vec<_> = survivors
            .iter()
            .map(|address| {
                let (clock, gone_us) = (&clock, &gone_us);
                scope.spawn(move || write_until_recovered(clock, *address, gone_us))
            })
            .collect();
        std::thread::sleep(LOAD);
        let killed_us = crate::now_us(&clock);
        let killed = cluster.kill(leader);
        // Without a kill the clients end all the same.
        gone_us.store(crate::now_us(&clock), Ordering::Release);
        let joined = clients.into_iter().map(|client| client.join());
        let recovered_us: Vec<u64> = joined
            .map(|client| client.unwrap_or_else(|_| bail!("a client panicked")))
            .collect::<Result<_>>()?;
        killed?;
        Ok::<_, anyhow::Error>((killed_us, recovered_us))
    })?;
    let ms = |time: Option<&u64>| time.map_or(f64::NAN, |time| (time - killed_us) as f64 / 1e3);
    Ok(vec![
        Figure::lower(TOOK_MS, ms(recovered_us.iter().max())),
        Figure::lower(FIRST_MS, ms(recovered_us.iter().min())),
    ])
}

/// Writes and waits for the answer, again and again; when the first write was acknowledged that was sent after `gone_us`.
fn write_until_recovered(clock: &SystemClock, address: SocketAddr, gone_us: &AtomicU64) -> Result<u64> {
    let begun = crate::now_us(clock);
    let mut session = Session::open(address)?;
    session.patience(ANSWER_PATIENCE)?;
    loop {
        let sent_us = crate::now_us(clock);
        match session.set("/recovery", b"x") {
            Ok(()) if sent_us >= gone_us.load(Ordering::Acquire) => return Ok(crate::now_us(clock)),
            Ok(()) => {}
            Err(error) if sent_us - begun > PATIENCE_US => return Err(error).context("no recovery"),
            Err(_) => {
                std::thread::sleep(PAUSE);
                // Its node may have no leader to ask yet; the next attempt tells.
                if let Ok(attached) = session.attach(address, ANSWER_PATIENCE) {
                    session = attached;
                }
            }
        }
    }
}

/// The node that says that it leads.
fn leader(cluster: &Cluster) -> Result<usize> {
    for (node, address) in cluster.zookeeper().iter().enumerate() {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"srvr")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if text.contains("Mode: leader") {
            return Ok(node);
        }
    }
    bail!("no node says that it leads")
}
