//! How each server is configured and started: files in its folder and a command line, as its own start script makes it.
//!
//! Invariant: both sides of a comparison get the same settings where they have the same meaning; everything else stays at its default.
use super::server::{Context, Kind, Variant};
use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folders of `Context::jars`, which are profiles of bench/pom.xml.
pub(crate) const ZOOKEEPER: &str = "zookeeper-3.9.5";
pub(crate) const KAFKA: &str = "kafka-4.3.1";
/// zkServer.sh's and zkEnv.sh's.
pub(crate) const ZOOKEEPER_JVM: &str = "-Xmx1000m -XX:+HeapDumpOnOutOfMemoryError -Dcom.sun.management.jmxremote \
     -Dcom.sun.management.jmxremote.local.only=false";
/// kafka-server-start.sh's and kafka-run-class.sh's.
pub(crate) const KAFKA_JVM: &str = "-Xmx1G -Xms1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
     -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true -Dcom.sun.management.jmxremote=true \
     -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false";
/// The base64 of 16 bytes, as Kafka wants it.
const CLUSTER_ID: &str = "em9vbG9nLWJlbmNoLTAwMQ";
const REPLICAS_MAX: usize = 3;

/// The ports of all nodes; node `i` has the number `i + 1`.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Where ZooKeeper clients connect.
    pub(crate) zookeeper: Vec<SocketAddr>,
    /// Where Kafka clients connect.
    pub(crate) kafka: Vec<SocketAddr>,
    /// Where Apache's servers reach each other.
    pub(crate) quorum: Vec<SocketAddr>,
    /// Where ZooKeeper's servers elect their leader.
    pub(crate) election: Vec<SocketAddr>,
}

/// Everything that is needed to start one cluster's nodes again and again.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) context: Context,
    pub(crate) kind: Kind,
    pub(crate) variant: Variant,
    pub(crate) layout: Layout,
    pub(crate) folder: PathBuf,
}

impl Launch {
    fn nodes(&self) -> usize {
        self.layout.kafka.len()
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.join(format!("data{}", node + 1))
    }

    fn file(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node{}.properties", node + 1))
    }

    /// Where a node's output goes.
    pub(crate) fn output(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node{}.out", node + 1))
    }

    /// Writes a node's files and formats its data folder, if its kind wants that.
    pub(crate) fn prepare(&self, node: usize) -> Result<()> {
        let data = self.data(node);
        fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
        let settings = match self.kind {
            Kind::Zoolog => self.zoolog(node),
            Kind::ZooKeeper => self.zookeeper(node),
            Kind::Kafka => self.kafka(node),
        };
        let text = settings.iter().fold(String::new(), |mut text, (key, value)| {
            let _infallible = writeln!(text, "{key}={value}");
            text
        });
        let file = self.file(node);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        match self.kind {
            Kind::Zoolog => Ok(()),
            Kind::ZooKeeper => Ok(fs::write(data.join("myid"), (node + 1).to_string())?),
            Kind::Kafka => self.format(node),
        }
    }

    /// The command that starts a node.
    pub(crate) fn command(&self, node: usize) -> Command {
        let mut command = match self.kind {
            Kind::Zoolog => {
                let mut command = Command::new(&self.context.binary);
                command.args(["serve", "--log-level", "warn"]);
                command
            }
            Kind::ZooKeeper => {
                self.java(ZOOKEEPER, ZOOKEEPER_JVM, "org.apache.zookeeper.server.quorum.QuorumPeerMain")
            }
            Kind::Kafka => self.java(KAFKA, KAFKA_JVM, "kafka.Kafka"),
        };
        command.arg(self.file(node)).current_dir(&self.folder);
        command
    }

    fn java(&self, jars: &str, options: &str, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(options.split_whitespace()).arg("-cp");
        command.arg(self.context.jars.join(jars).join("*")).arg(class);
        command
    }

    /// kafka-storage.sh.
    fn format(&self, node: usize) -> Result<()> {
        let mut command = self.java(KAFKA, "-Xmx256M", "kafka.tools.StorageTool");
        command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(self.file(node)).current_dir(&self.folder);
        let done = command.stdin(Stdio::null()).output().context("starting java")?;
        ensure!(
            done.status.success(),
            "Kafka's storage tool ended with {}:\n{}{}",
            done.status,
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    fn zoolog(&self, node: usize) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("clientPort", self.layout.zookeeper[node].port().to_string()),
            ("clientPortAddress", self.layout.zookeeper[node].ip().to_string()),
            ("listeners", format!("PLAINTEXT://{}", self.layout.kafka[node])),
            ("log.dirs", path(&self.data(node))),
            ("maxClientCnxns", "0".to_owned()),
        ];
        if self.nodes() > 1 {
            settings.push(("node.id", (node + 1).to_string()));
            settings.push(("controller.quorum.voters", voters(&self.layout.kafka)));
        }
        settings.extend(self.broker());
        settings
    }

    fn zookeeper(&self, node: usize) -> Vec<(&'static str, String)> {
        const SERVERS: [&str; REPLICAS_MAX] = ["server.1", "server.2", "server.3"];
        let mut settings = vec![
            ("tickTime", "2000".to_owned()),
            ("initLimit", "10".to_owned()),
            ("syncLimit", "5".to_owned()),
            ("dataDir", path(&self.data(node))),
            ("clientPort", self.layout.zookeeper[node].port().to_string()),
            ("clientPortAddress", self.layout.zookeeper[node].ip().to_string()),
            ("maxClientCnxns", "0".to_owned()),
            ("admin.enableServer", "false".to_owned()),
        ];
        if self.nodes() > 1 {
            let ports = self.layout.quorum.iter().zip(&self.layout.election);
            let lines = ports.map(|(quorum, election)| format!("{quorum}:{}", election.port()));
            settings.extend(SERVERS.into_iter().zip(lines));
        }
        settings
    }

    fn kafka(&self, node: usize) -> Vec<(&'static str, String)> {
        let (clients, controller) = (self.layout.kafka[node], self.layout.quorum[node]);
        let mut settings = vec![
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", (node + 1).to_string()),
            ("controller.quorum.voters", voters(&self.layout.quorum)),
            ("listeners", format!("PLAINTEXT://{clients},CONTROLLER://{controller}")),
            ("advertised.listeners", format!("PLAINTEXT://{clients}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("log.dirs", path(&self.data(node))),
        ];
        settings.extend(self.broker());
        settings
    }

    /// What ours and Kafka get alike: internal topics with as many copies as there are nodes.
    fn broker(&self) -> Vec<(&'static str, String)> {
        let replicas = self.nodes().min(REPLICAS_MAX).to_string();
        let mut settings = vec![
            ("offsets.topic.replication.factor", replicas.clone()),
            ("transaction.state.log.replication.factor", replicas),
            ("transaction.state.log.min.isr", "1".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ];
        if self.variant.flush_each {
            settings.push(("log.flush.interval.messages", "1".to_owned()));
        }
        settings
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn voters(addresses: &[SocketAddr]) -> String {
    let voters = addresses.iter().enumerate().map(|(node, address)| format!("{}@{address}", node + 1));
    voters.collect::<Vec<_>>().join(",")
}
