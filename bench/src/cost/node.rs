//! A node under measurement: a process of its own with free ports.
use anyhow::{Context, Result, bail};
use base::SystemClock;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long the counts of a traced process may take to be written after its end.
const COUNTS_PATIENCE: Duration = Duration::from_secs(30);
const COUNTS_PAUSE: Duration = Duration::from_millis(50);

/// Whether the system calls of the node are counted.
#[derive(Clone, Copy)]
pub(crate) enum Tracing<'a> {
    /// They are not.
    Off,
    /// fdatasyncs are, into this file.
    Into(&'a Path),
}

/// A running node.
pub(crate) struct Node {
    process: Child,
    /// Microseconds from the start of the process to its line `ready`.
    pub(crate) ready_us: u64,
    /// Milliseconds of processor time until then.
    pub(crate) ready_cpu_ms: u64,
    /// Where ZooKeeper clients connect.
    pub(crate) zookeeper: SocketAddr,
    /// Where Kafka clients connect.
    pub(crate) kafka: SocketAddr,
}

/// Memory in bytes.
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was resident so far.
    pub(crate) largest: u64,
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub(crate) fn start(
        clock: &SystemClock,
        binary: &Path,
        data: &Path,
        tracing: Tracing<'_>,
    ) -> Result<Node> {
        let mut command = match tracing {
            Tracing::Off => Command::new(binary),
            Tracing::Into(counts) => {
                let mut strace = Command::new("strace");
                // The tracer detaches itself, so that the process here is the node.
                strace
                    .args(["-D", "-f", "-c", "--seccomp-bpf", "-e", "trace=fdatasync", "-o"])
                    .arg(counts)
                    .arg(binary);
                strace
            }
        };
        command.arg("serve").args([
            "--override",
            "clientPort=0",
            "--override",
            "clientPortAddress=127.0.0.1",
        ]);
        command.args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"]);
        command.arg("--override").arg(format!("log.dirs={}", data.display()));
        command.args(["--log-level", "warn"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let begun = crate::now_us(clock);
        let mut process = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let mut zookeeper = None;
        let mut kafka = None;
        for line in BufReader::new(process.stdout.take().context("a pipe")?).lines() {
            let line = line?;
            if let Some(address) = line.strip_prefix("zookeeper listening on ") {
                zookeeper = Some(address.parse()?);
            } else if let Some(address) = line.strip_prefix("kafka listening on ") {
                kafka = Some(address.parse()?);
            } else if line == "ready" {
                let ready_us = crate::now_us(clock) - begun;
                let zookeeper = zookeeper.context("the node names its port for ZooKeeper clients")?;
                let kafka = kafka.context("the node names its port for Kafka clients")?;
                let mut node = Node { process, ready_us, ready_cpu_ms: 0, zookeeper, kafka };
                node.ready_cpu_ms = node.cpu_ms()?;
                return Ok(node);
            }
        }
        bail!("the node ended before it was ready: {}", process.wait()?)
    }

    /// Starts a node whose fdatasyncs are counted; none if there is no strace.
    pub(crate) fn start_traced(
        clock: &SystemClock,
        binary: &Path,
        data: &Path,
        counts: &Path,
    ) -> Result<Option<Node>> {
        let found = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        match found {
            Ok(status) if status.success() => {
                Node::start(clock, binary, data, Tracing::Into(counts)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.process.id());
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }

    fn figure(&self, file: &str, key: &str) -> Result<u64> {
        let text = self.proc(file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
        number.with_context(|| format!("{key} in {file}"))
    }

    /// The memory that the process has.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let bytes = |key| self.figure("status", key).map(|kib| kib << 10);
        Ok(Memory { resident: bytes("VmRSS:")?, largest: bytes("VmHWM:")? })
    }

    /// Bytes that the process has read from files, the page cache included.
    pub(crate) fn file_bytes_read(&self) -> Result<u64> {
        self.figure("io", "rchar:")
    }

    /// Processor time so far, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> Result<u64> {
        // The clock ticks of /proc are hundredths of a second on every Linux that has one.
        const MS_PER_TICK: u64 = 10;
        let stat = self.proc("stat")?;
        let (_, fields) = stat.rsplit_once(')').context("the fields of stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| {
            fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("the times of stat")
        };
        Ok((ticks(11)? + ticks(12)?) * MS_PER_TICK)
    }

    /// A clean stop.
    pub(crate) fn stop(mut self) -> Result<()> {
        let sent = Command::new("kill").arg(self.process.id().to_string()).status()?;
        let ended = self.process.wait()?;
        if !sent.success() || !ended.success() {
            bail!("the node did not stop cleanly: {ended}");
        }
        Ok(())
    }

    /// The end that a power cut makes, as far as a process can see it.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended already, unless the measurement failed.
        let _ended = self.process.kill();
    }
}

/// The number of calls in the table that strace leaves behind.
pub(crate) fn traced_calls(counts: &Path) -> Result<u64> {
    let mut waited = Duration::ZERO;
    loop {
        let table = fs::read_to_string(counts).unwrap_or_default();
        let line = table.lines().find(|line| line.ends_with("fdatasync"));
        if let Some(calls) = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()) {
            return Ok(calls);
        }
        if waited > COUNTS_PATIENCE {
            bail!("strace left no counts in {}: {table:?}", counts.display());
        }
        std::thread::sleep(COUNTS_PAUSE);
        waited += COUNTS_PAUSE;
    }
}
