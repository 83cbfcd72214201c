//! Measures a node from outside, as its users meet it, and writes the figures to bench/RESULTS.md.
//!
//! Run with `cargo xtask cost`, which builds the server first. Invariants: every figure is of the release binary with its defaults
//! (but free ports and a temporary folder); nothing here fails because a figure is bad, it only says what was measured
//! beside what issue 3 asks for.
mod kafka;
mod node;
mod report;
mod znodes;

use crate::machine;
use anyhow::{Context, Result};
use base::SystemClock;
use clap::Args;
use node::{Node, Tracing};
use report::Report;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an idle node is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);
/// Writes on their way at the same time when a tree is filled.
const FILL_WINDOW: usize = 1_000;
/// The steps of writes on their way at the same time, and how many writes each step makes.
const WINDOWS: [(usize, usize); 4] = [(1, 2_000), (10, 20_000), (100, 100_000), (1_000, 200_000)];
/// How many batches go to the node and on to a consumer one after another.
const ROUND_TRIPS: usize = 500;
const MIB: f64 = 1_048_576.0;

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The server's binary
    #[arg(long)]
    binary: PathBuf,
    /// How many znodes the large tree has
    #[arg(long, default_value_t = 1_000_000)]
    znodes: usize,
    /// Mebibytes to produce in each way
    #[arg(long, default_value_t = 2_048)]
    produce_mib: usize,
    /// The folder in which the nodes' data folders are made; it decides which disk is measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Where the results go
    #[arg(long, overrides_with = "out")]
    out: Option<PathBuf>,
}

/// Measures, prints the figures, and writes them where `arguments` say.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let mut bench = Bench { arguments, clock: SystemClock::new(), report: Report::default() };
    bench.start_and_idle().context("measuring start and idle memory")?;
    bench.writes().context("measuring writes of znodes")?;
    bench.large_tree().context("measuring a large tree")?;
    bench.topics().context("measuring topics")?;
    let text = bench.report.text(&machine::describe(&bench.arguments.folder));
    print!("{text}");
    if let Some(out) = &bench.arguments.out {
        let kept = std::fs::read_to_string(out).ok().and_then(|old| report::cluster_section(&old));
        let text = kept.map_or(text.clone(), |section| format!("{text}\n{section}"));
        std::fs::write(out, &text).with_context(|| format!("writing {}", out.display()))?;
    }
    Ok(())
}

struct Bench {
    arguments: Arguments,
    clock: SystemClock,
    report: Report,
}

impl Bench {
    fn start(&self, data: &Path) -> Result<Node> {
        Node::start(&self.clock, &self.arguments.binary, data, Tracing::Off)
    }

    /// How long the node took to be ready, and how much of that it worked.
    fn ready(&self, node: &Node) -> Result<String> {
        Ok(format!("{} ({} ms of CPU)", ms(node.ready_us), node.ready_cpu_ms))
    }

    fn folder(&self) -> Result<tempfile::TempDir> {
        let made = tempfile::Builder::new().prefix("zoolog-bench-").tempdir_in(&self.arguments.folder);
        made.with_context(|| format!("making a folder in {}", self.arguments.folder.display()))
    }

    /// A new node, and one that has been used for groups.
    fn start_and_idle(&mut self) -> Result<()> {
        let folder = self.folder()?;
        let node = self.start(folder.path())?;
        self.report.add("ready, new node", self.ready(&node)?, "< 500 ms");
        std::thread::sleep(IDLE);
        self.report.add("idle memory (RSS), new node", mib(node.memory()?.resident), "<= 30 MiB");
        kafka::create_topic(node.kafka, "orders", 3)?;
        kafka::create_offsets_topic(node.kafka)?;
        node.stop()?;
        let node = self.start(folder.path())?;
        self.report.add(
            "ready after a clean stop, 53 partitions and the znode log",
            self.ready(&node)?,
            "< 500 ms",
        );
        std::thread::sleep(IDLE);
        self.report.add("idle memory (RSS), 53 partitions", mib(node.memory()?.resident), "<= 30 MiB");
        node.kill()?;
        let node = self.start(folder.path())?;
        self.report.add("ready after a kill, 53 partitions", self.ready(&node)?, "< 500 ms");
        node.stop()
    }

    /// Writes of one connection with more and more of them on their way, and how many share a flush.
    fn writes(&mut self) -> Result<()> {
        for (window, count) in WINDOWS {
            let folder = self.folder()?;
            let node = self.start(folder.path())?;
            let took_us = znodes::fill(&self.clock, node.zookeeper, count, window)?;
            node.stop()?;
            let flushes = self.flushes(count, window)?;
            let shared = match flushes {
                Some(flushes) => format!("{:.1} writes per fdatasync", count as f64 / flushes.max(1) as f64),
                None => "fdatasyncs not counted: no strace".to_owned(),
            };
            let what = format!("create of 100 B, one connection, {window} in flight");
            let figure = format!("{:.0}/s, {shared}", per_second(count, took_us));
            self.report.add(
                &what,
                figure,
                if window == 1 { "1 per fdatasync" } else { "one fdatasync serves all that waited" },
            );
        }
        Ok(())
    }

    /// How many flushes the same writes take, in a run of its own because counting slows the node down.
    fn flushes(&self, count: usize, window: usize) -> Result<Option<u64>> {
        let folder = self.folder()?;
        let counts = self.folder()?;
        let counts = counts.path().join("counts");
        let Some(node) = Node::start_traced(&self.clock, &self.arguments.binary, folder.path(), &counts)?
        else {
            return Ok(None);
        };
        znodes::fill(&self.clock, node.zookeeper, count, window)?;
        node.stop()?;
        node::traced_calls(&counts).map(Some)
    }

    fn large_tree(&mut self) -> Result<()> {
        let count = self.arguments.znodes;
        let folder = self.folder()?;
        let node = self.start(folder.path())?;
        let took_us = znodes::fill(&self.clock, node.zookeeper, count, FILL_WINDOW)?;
        let name = format!("{count} znodes of 100 B");
        self.report.add(&format!("{name}: created"), format!("{:.0}/s", per_second(count, took_us)), "");
        std::thread::sleep(IDLE);
        let memory = node.memory()?;
        self.report.add(&format!("{name}: memory (RSS)"), mib(memory.resident), "<= 400 MiB");
        self.report.add(&format!("{name}: largest memory so far"), mib(memory.largest), "");
        node.stop()?;
        let node = self.start(folder.path())?;
        self.report.add(&format!("{name}: ready after a clean stop"), self.ready(&node)?, "< 3 s");
        self.report.add(
            &format!("{name}: memory after that start"),
            mib(node.memory()?.resident),
            "<= 400 MiB",
        );
        node.kill()?;
        let node = self.start(folder.path())?;
        self.report.add(&format!("{name}: ready after a kill"), self.ready(&node)?, "< 3 s");
        znodes::check(node.zookeeper, count)?;
        node.stop()
    }

    fn topics(&mut self) -> Result<()> {
        for (record_bytes, batch_bytes) in [(100, 16 << 10), (1_024, 1 << 20)] {
            let folder = self.folder()?;
            let node = self.start(folder.path())?;
            kafka::create_topic(node.kafka, "load", 1)?;
            let load = kafka::Load::new("load", record_bytes, batch_bytes)?;
            let total = self.arguments.produce_mib << 20;
            let produced = load.produce(&self.clock, node.kafka, total)?;
            let what = format!(
                "produce, one connection and partition, acks=1, {record_bytes} B records, {} KiB batches",
                batch_bytes >> 10
            );
            let figure = format!(
                "{:.0} MiB/s, {:.0} records/s, {:.0} ms of server CPU per GiB",
                produced.bytes as f64 / MIB / seconds(produced.took_us),
                per_second(produced.records, produced.took_us),
                node.cpu_ms()? as f64 / (produced.bytes as f64 / MIB / 1024.0)
            );
            self.report.add(&what, figure, "");
            let mut consumer = load.consumer(node.kafka)?;
            let read_before = node.file_bytes_read()?;
            let there_and_back =
                load.produce_and_fetch(&self.clock, node.kafka, &mut consumer, ROUND_TRIPS)?;
            let figure = format!(
                "{:.0} us, {:.2} MiB of {:.0} read from files",
                there_and_back.took_us as f64 / ROUND_TRIPS as f64,
                (node.file_bytes_read()? - read_before) as f64 / MIB,
                there_and_back.bytes as f64 / MIB
            );
            self.report.add(
                "one such batch to the node and on to a consumer at the tail",
                figure,
                "from memory",
            );
            let read_before = node.file_bytes_read()?;
            let followed = load.follow(&self.clock, node.kafka, &mut consumer, total / 4)?;
            let figure = format!(
                "{:.0} MiB/s, {:.2} MiB of {:.0} read from files",
                followed.bytes as f64 / MIB / seconds(followed.took_us),
                (node.file_bytes_read()? - read_before) as f64 / MIB,
                followed.bytes as f64 / MIB
            );
            self.report.add("a consumer that follows such a producer at its full speed", figure, "");
            self.report.add("memory (RSS) after all that", mib(node.memory()?.resident), "");
            node.stop()?;
        }
        Ok(())
    }
}

fn seconds(us: u64) -> f64 {
    us.max(1) as f64 / 1e6
}

fn per_second(count: usize, us: u64) -> f64 {
    count as f64 / seconds(us)
}

fn ms(us: u64) -> String {
    format!("{:.0} ms", us as f64 / 1e3)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}
