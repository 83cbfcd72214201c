//! `zoolog dev`: a cluster of several nodes on this machine, each a process of its own, as long as this process runs.
//!
//! Invariants: no node outlives this process; a node that ends by itself is reported and not started again, so that one can see
//! what a cluster does without it; a node's configuration is a file with which it can be started again alone.
use crate::cli::Dev;
use crate::signals::Signals;
use crate::{FAILED, fail};
use base::properties::Properties;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

/// The line by which a node says that it serves.
const READY: &str = "ready";
/// How many events of all nodes wait to be looked at.
const EVENTS_MAX: usize = 64;

/// One of the nodes.
#[derive(Clone, Debug)]
struct Member {
    id: u16,
    zookeeper_port: u16,
    kafka_port: u16,
    folder: PathBuf,
    config: PathBuf,
}

/// What happens to a node.
enum Event {
    Ready(u16),
    Ended(u16, ExitStatus),
}

/// Starts the nodes and waits until all have ended. `log_level` is handed on to them.
pub(crate) async fn run(dev: &Dev, log_level: &str, signals: &mut Signals) -> ExitCode {
    let members = match prepare(dev) {
        Ok(members) => members,
        Err(reason) => return fail(&reason),
    };
    let (events, mut received) = mpsc::channel(EVENTS_MAX);
    // How often the nodes were told to stop.
    let stop = watch::Sender::new(0_u32);
    let mut cluster = Cluster { members, ready: Vec::new(), running: Vec::new(), has_failed: false };
    for member in cluster.members.clone() {
        match start(&member, log_level) {
            Ok(child) => {
                cluster.running.push(member.id);
                tokio::spawn(attend(member.id, child, stop.subscribe(), events.clone()));
            }
            Err(error) => {
                cluster.has_failed = true;
                stop.send_modify(|times| *times += 1);
                eprintln!("zoolog: node {} cannot be started: {error}", member.id);
                break;
            }
        }
    }
    drop(events);
    loop {
        tokio::select! {
            event = received.recv() => match event {
                Some(event) => {
                    let is_stopping = *stop.borrow() > 0;
                    if !cluster.note(&event, is_stopping) {
                        stop.send_modify(|times| *times += 1);
                    }
                }
                None if cluster.has_failed => return ExitCode::from(FAILED),
                None => return ExitCode::SUCCESS,
            },
            request = signals.next() => {
                tracing::info!("{}: all nodes stop; a second signal ends them at once", request.name);
                stop.send_modify(|times| *times += 1);
            }
        }
    }
}

/// How the nodes are.
struct Cluster {
    members: Vec<Member>,
    ready: Vec<u16>,
    running: Vec<u16>,
    has_failed: bool,
}

impl Cluster {
    /// Takes note of an event; false if the others are to stop.
    fn note(&mut self, event: &Event, is_stopping: bool) -> bool {
        match *event {
            Event::Ready(id) => {
                let was_complete = self.is_complete();
                self.ready.push(id);
                if self.is_complete() && !was_complete {
                    self.say_where();
                }
                true
            }
            Event::Ended(id, status) => {
                self.running.retain(|running| *running != id);
                if is_stopping {
                    self.has_failed |= !status.success();
                    return true;
                }
                if !self.is_complete() {
                    self.has_failed = true;
                    eprintln!("zoolog: node {id} did not start ({status}), so the others stop");
                    return false;
                }
                self.has_failed |= self.running.is_empty();
                self.say_how_to_start_again(id, status);
                true
            }
        }
    }

    /// Whether every node has served.
    fn is_complete(&self) -> bool {
        self.members.iter().all(|member| self.ready.contains(&member.id))
    }

    /// Prints where clients find the nodes. Nobody has to read it.
    fn say_where(&self) {
        let mut out = std::io::stdout();
        let _nobody_reads = out.write_all(places(&self.members).as_bytes()).and_then(|()| out.flush());
    }

    fn say_how_to_start_again(&self, id: u16, status: ExitStatus) {
        let config = self.members.iter().find(|member| member.id == id).map(|member| member.config.display());
        if let Some(config) = config {
            eprintln!("zoolog: node {id} has ended ({status}); to start it again: zoolog serve {config}");
        }
    }
}

/// The lines for people and for scripts that wait for `ready`.
fn places(members: &[Member]) -> String {
    let mut text = String::new();
    for Member { id, zookeeper_port, kafka_port, folder, .. } in members {
        let folder = folder.display();
        text += &format!(
            "node {id}: zookeeper localhost:{zookeeper_port}, kafka localhost:{kafka_port}, data in {folder}\n"
        );
    }
    let all = |port: fn(&Member) -> u16| {
        members.iter().map(|member| format!("localhost:{}", port(member))).collect::<Vec<_>>().join(",")
    };
    let (zookeeper, kafka) = (all(|member| member.zookeeper_port), all(|member| member.kafka_port));
    text += &format!("try: zkCli.sh -server {zookeeper} ls /brokers/ids\n");
    text += &format!(
        "try: kafka-topics.sh --bootstrap-server {kafka} --create --topic orders --partitions 3 --replication-factor {}\n",
        members.len().min(3)
    );
    text + READY + "\n"
}

/// Writes the nodes' configuration files.
fn prepare(dev: &Dev) -> Result<Vec<Member>, String> {
    let dir = std::path::absolute(&dev.dir)
        .and_then(|dir| std::fs::create_dir_all(&dir).map(|()| dir))
        .map_err(|error| format!("the folder {} cannot be made: {error}", dev.dir.display()))?;
    let members: Vec<Member> = (1..=u16::from(dev.nodes)).map(|id| member(dev, &dir, id)).collect();
    let mut ports: Vec<u16> =
        members.iter().flat_map(|member| [member.zookeeper_port, member.kafka_port]).collect();
    ports.sort_unstable();
    if ports.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(
            "the ports for ZooKeeper clients and those for Kafka clients overlap; choose others with \
                    --zookeeper-port or --kafka-port"
                .to_owned(),
        );
    }
    for member in &members {
        std::fs::write(&member.config, configuration(dev, &members, member)).map_err(|error| {
            format!("the configuration file {} cannot be written: {error}", member.config.display())
        })?;
    }
    Ok(members)
}

fn member(dev: &Dev, dir: &Path, id: u16) -> Member {
    Member {
        id,
        zookeeper_port: dev.zookeeper_port + id - 1,
        kafka_port: dev.kafka_port + id - 1,
        // Without a dash, so that a single node with its data in `dir` doesn't take the folder for one of its partitions.
        folder: dir.join(format!("node{id}")),
        config: dir.join(format!("node{id}.properties")),
    }
}

fn configuration(dev: &Dev, members: &[Member], member: &Member) -> String {
    let voters: Vec<String> =
        members.iter().map(|member| format!("{}@localhost:{}", member.id, member.kafka_port)).collect();
    let mut properties = Properties::new();
    properties.push("node.id", member.id.to_string());
    properties.push("clientPort", member.zookeeper_port.to_string());
    properties.push("listeners", format!("PLAINTEXT://:{}", member.kafka_port));
    properties.push("advertised.listeners", format!("PLAINTEXT://localhost:{}", member.kafka_port));
    properties.push("controller.quorum.voters", voters.join(","));
    properties.push("log.dirs", member.folder.display().to_string());
    for (key, value) in &dev.overrides {
        properties.push(key, value);
    }
    let (id, count) = (member.id, members.len());
    format!(
        "# Node {id} of {count}. `zoolog dev` writes this file anew whenever it starts.\n{}",
        properties.to_text()
    )
}

fn start(member: &Member, log_level: &str) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(&member.config).args(["--log-level", log_level]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Signals of the terminal go to this process only, which hands them on once.
    command.process_group(0).kill_on_drop(true);
    crate::machine::end_with_parent(&mut command);
    command.spawn()
}

/// Looks after one process: passes on what it says, stops it when asked, reports its end.
async fn attend(id: u16, mut child: Child, mut stop: watch::Receiver<u32>, events: mpsc::Sender<Event>) {
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(pass_on(id, stderr));
    }
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(wait_for_ready(id, stdout, events.clone()));
    }
    let mut told = 0;
    loop {
        // The sender lives as long as the nodes are attended to.
        let stopped = async { stop.wait_for(|times| *times > told).await.map(|times| *times) };
        tokio::select! {
            status = child.wait() => {
                match status {
                    // Nobody hears of it only if everything ends.
                    Ok(status) => drop(events.send(Event::Ended(id, status)).await),
                    Err(error) => eprintln!("zoolog: node {id} cannot be waited for: {error}"),
                }
                return;
            }
            times = stopped => match times {
                Ok(times) => {
                    told = times;
                    terminate(&child);
                }
                Err(_) => return,
            },
        }
    }
}

fn terminate(child: &Child) {
    let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) else { return };
    // SAFETY: the process was not waited for yet, or it would have no id here, so the id is still its own.
    if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
        tracing::warn!(pid, error = %std::io::Error::last_os_error(), "a node takes no signal");
    }
}

/// Shows the lines of a node under its name.
async fn pass_on(id: u16, stderr: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("node {id} | {line}");
    }
}

/// Reports that a node serves, and reads on, so that its output never fills up.
async fn wait_for_ready(id: u16, stdout: impl AsyncRead + Unpin, events: mpsc::Sender<Event>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == READY && events.send(Event::Ready(id)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev(dir: &Path) -> Dev {
        let overrides = vec![("num.partitions".to_owned(), "7".to_owned())];
        Dev { nodes: 3, dir: dir.to_owned(), zookeeper_port: 2181, kafka_port: 9092, overrides }
    }

    #[test]
    fn each_node_has_a_file_that_it_can_be_started_with() {
        let folder = tempfile::tempdir().expect("a folder");
        let members = prepare(&dev(folder.path())).expect("files");
        assert_eq!(members.len(), 3);
        for member in &members {
            let config =
                crate::config::load(&base::SystemDisk, std::slice::from_ref(&member.config), &[], &[]);
            let config = config.unwrap_or_else(|errors| panic!("{errors:?}"));
            assert_eq!((config.node_id, config.cluster.voters.len()), (i32::from(member.id), 3));
            assert_eq!(config.zookeeper.client_port, 2180 + member.id);
            assert_eq!(config.broker.listeners.len(), 1);
            assert_eq!((config.broker.topics.partitions, config.cluster.host()), (7, Some("localhost")));
            assert_eq!(config.broker.advertised_listeners[0].host.as_deref(), Some("localhost"));
            assert_eq!(config.log_dirs, std::slice::from_ref(&member.folder));
            assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        }
    }

    #[test]
    fn ports_must_not_overlap() {
        let folder = tempfile::tempdir().expect("a folder");
        let overlapping = Dev { kafka_port: 2183, ..dev(folder.path()) };
        assert!(prepare(&overlapping).expect_err("2183 twice").contains("--kafka-port"));
    }

    #[test]
    fn the_lines_that_scripts_wait_for() {
        let members: Vec<Member> =
            (1..=3).map(|id| member(&dev(Path::new("/x")), Path::new("/d"), id)).collect();
        let text = places(&members);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "node 2: zookeeper localhost:2182, kafka localhost:9093, data in /d/node2");
        assert!(lines[3].contains("localhost:2181,localhost:2182,localhost:2183"));
        assert!(lines[4].ends_with("--replication-factor 3"));
        assert_eq!(lines[5..], ["ready"]);
    }

    #[test]
    fn a_node_that_fails_at_the_start_stops_the_others() {
        use std::os::unix::process::ExitStatusExt;
        let members: Vec<Member> =
            (1..=2).map(|id| member(&dev(Path::new("/x")), Path::new("/d"), id)).collect();
        let mut cluster = Cluster { members, ready: Vec::new(), running: vec![1, 2], has_failed: false };
        let ended = |id, code: i32| Event::Ended(id, ExitStatus::from_raw(code << 8));
        assert!(cluster.note(&Event::Ready(1), false));
        assert!(!cluster.note(&ended(2, 1), false) && cluster.has_failed);
        let mut cluster = Cluster { ready: vec![1, 2], running: vec![1, 2], has_failed: false, ..cluster };
        assert!(cluster.note(&ended(2, 1), false) && !cluster.has_failed, "the other one serves on");
        assert!(cluster.note(&ended(1, 1), false) && cluster.has_failed, "nobody is left");
    }
}
