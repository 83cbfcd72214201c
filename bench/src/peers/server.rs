//! A cluster under measurement: one or three processes of one kind on free ports, with data in a folder of its own.
//!
//! Invariants: the processes end and the folder goes when the cluster is dropped; what a killed node had used counts on.
use super::launch::{Launch, Layout};
use super::process::{Process, Usage};
use super::ready;
use anyhow::{Context as _, Result, bail, ensure};
use base::SystemClock;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Ports below those that the system gives to connections, so that none of ten thousand of them takes a port that a node will want.
const PORT_FIRST: u16 = 20_000;
const PORT_LAST: u16 = 32_000;
/// The end of a node's output that an error shows.
const OUTPUT_SHOWN: usize = 3_000;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Ours.
    Zoolog,
    /// Apache ZooKeeper.
    ZooKeeper,
    /// Apache Kafka, each node broker and controller.
    Kafka,
}

/// Settings that a comparison may vary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Variant {
    /// Partitions flush every batch (`flush.messages=1`).
    pub(crate) flush_each: bool,
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Our server.
    pub(crate) binary: PathBuf,
    /// The folder with a folder of jars for each of Apache's servers.
    pub(crate) jars: PathBuf,
    /// The folder in which clusters make theirs; it decides which disk is measured.
    pub(crate) folder: PathBuf,
    pub(crate) clock: Arc<SystemClock>,
}

/// One cluster.
pub(crate) struct Cluster {
    nodes: Vec<Option<Process>>,
    launch: Launch,
    /// What the nodes that were killed had used.
    ended: Duration,
    spawned_us: u64,
    _folder: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until every node serves.
    pub(crate) fn start(context: &Context, kind: Kind, nodes: usize, variant: Variant) -> Result<Cluster> {
        let mut cluster = Cluster::prepare(context, kind, nodes, variant)?;
        cluster.spawn()?;
        cluster.wait()?;
        Ok(cluster)
    }

    /// Makes everything that a cluster needs to start.
    pub(crate) fn prepare(context: &Context, kind: Kind, nodes: usize, variant: Variant) -> Result<Cluster> {
        let folder = tempfile::Builder::new().prefix("zoolog-bench-").tempdir_in(&context.folder);
        let folder = folder.with_context(|| format!("making a folder in {}", context.folder.display()))?;
        let mut layout = Layout::default();
        for ports in [&mut layout.zookeeper, &mut layout.kafka, &mut layout.quorum, &mut layout.election] {
            *ports = (0..nodes).map(|_| free_address()).collect::<Result<_>>()?;
        }
        let launch =
            Launch { context: context.clone(), kind, variant, layout, folder: folder.path().to_owned() };
        for node in 0..nodes {
            launch.prepare(node)?;
        }
        let nodes = (0..nodes).map(|_| None).collect();
        Ok(Cluster { nodes, launch, ended: Duration::ZERO, spawned_us: 0, _folder: folder })
    }

    /// Starts the processes of a prepared cluster, without waiting for anything.
    pub(crate) fn spawn(&mut self) -> Result<()> {
        self.spawned_us = crate::now_us(self.clock());
        (0..self.nodes.len()).try_for_each(|node| self.restart(node))
    }

    /// Waits until every node that runs serves clients.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let running: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].is_some()).collect();
        for node in &running {
            if let Err(error) = ready::wait(self, *node, running.len()) {
                let output = std::fs::read_to_string(self.launch.output(*node)).unwrap_or_default();
                let shown = output.len().saturating_sub(OUTPUT_SHOWN);
                let shown = (shown..).find(|at| output.is_char_boundary(*at)).unwrap_or_default();
                bail!("{:?}, node {}: {error:#}\n{}", self.launch.kind, node + 1, &output[shown..]);
            }
        }
        Ok(())
    }

    pub(crate) fn kind(&self) -> Kind {
        self.launch.kind
    }

    pub(crate) fn clock(&self) -> &SystemClock {
        &self.launch.context.clock
    }

    /// The same clock, for clients that run while the cluster is changed.
    pub(crate) fn shared_clock(&self) -> Arc<SystemClock> {
        Arc::clone(&self.launch.context.clock)
    }

    /// When [`Cluster::spawn`] began, in microseconds on the clock.
    pub(crate) fn spawned_us(&self) -> u64 {
        self.spawned_us
    }

    /// Where ZooKeeper clients connect, by node; nobody listens there in a Kafka cluster.
    pub(crate) fn zookeeper(&self) -> &[SocketAddr] {
        &self.launch.layout.zookeeper
    }

    /// Where Kafka clients connect, by node (the number of node `i` is `i + 1`); nobody listens there in a ZooKeeper ensemble.
    pub(crate) fn kafka(&self) -> &[SocketAddr] {
        &self.launch.layout.kafka
    }

    /// Fails if a node that should run has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.nodes.iter_mut().flatten().try_for_each(Process::check)
    }

    /// What all nodes have used: processor time also of those that are gone, memory of those that run.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut sum = Usage { cpu: self.ended, ..Usage::default() };
        for process in self.nodes.iter().flatten() {
            sum += process.usage()?;
        }
        Ok(sum)
    }

    /// Kills a node as a power cut would.
    pub(crate) fn kill(&mut self, node: usize) -> Result<()> {
        if let Some(process) = self.nodes[node].take() {
            self.ended += process.usage()?.cpu;
            process.kill()?;
        }
        Ok(())
    }

    /// Starts a node that was killed, or never started, without waiting for it.
    pub(crate) fn restart(&mut self, node: usize) -> Result<()> {
        ensure!(self.nodes[node].is_none(), "node {} runs already", node + 1);
        let process = Process::spawn(&mut self.launch.command(node), &self.launch.output(node))?;
        self.nodes[node] = Some(process);
        Ok(())
    }
}

/// A port of this machine that nobody listens on. Ports are handed out once, round and round.
fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORT_LAST - PORT_FIRST;
    // Two benches on one machine rarely begin at the same place.
    let begin = (std::process::id() % u32::from(span)) as u16;
    for _ in 0..span {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin) % span;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port from {PORT_FIRST} to {PORT_LAST} is free")
}
