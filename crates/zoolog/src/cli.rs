//! The command line: what can be asked for, and the texts of `--help`.
//!
//! Invariant: nothing here reads a file or knows a key; a wrong use ends with exit code 2 before anything is touched.
use crate::config::parse_address;
use clap::{Args, Parser, Subcommand};
use peers::Address;
use std::path::PathBuf;

const ABOUT: &str = "A ZooKeeper server and a Kafka broker in one process, each built on the other";

const AFTER_HELP: &str = "\
Without a command, a node starts with defaults: ZooKeeper clients on port 2181, Kafka clients on port 9092, data in
./zoolog-data. `zoolog serve --help` says how it is configured.";

const SERVE_HELP: &str = "\
Starts a node.

Configuration files are Java property files, with the keys that ZooKeeper's zoo.cfg and Kafka's server.properties have. Both
are optional and may come in any order; one file may also hold the keys of both. Of a key that occurs several times the last
one counts; --override comes after all files.";

const SERVE_AFTER_HELP: &str = "\
Where keys are described:
  zoo.cfg            the ZooKeeper Administrator's Guide, \"Configuration Parameters\"; a system property zookeeper.X of a
                     ZooKeeper is the key X or zookeeper.X here
  server.properties  the Apache Kafka documentation, \"Broker Configs\"; on a running node, kafka-configs.sh --describe --all
                     shows every key with its value and documentation

Keys that decide where things are:
  clientPort, clientPortAddress   where ZooKeeper clients connect (2181 on every address); port 0 takes a free one
  listeners                       where Kafka clients connect (PLAINTEXT://:9092); port 0 takes a free one
  advertised.listeners            what Kafka clients are told to connect to. Without it: the host of listeners, or this
                                  machine's name if that is every address, or localhost if listeners is not set either
  log.dirs                        the folders of partitions (dataDir, or ./zoolog-data)
  dataDir                         the folder of the znode log (metadata.log.dir, or the first of log.dirs); the file myid in
                                  it is this node's number, as node.id and broker.id are
  dataLogDir                      the folder of the znode log, if it should be apart from dataDir

Several nodes make a cluster, in any of three ways; `node.id` or the file myid says which of them a node is:
  server.N=host:port:port         the voters, as in every zoo.cfg; the nodes reach each other at the first port, which can be that
                                  of a Kafka listener, or else gets one of its own; the second one is not used
  controller.quorum.voters        the same in Kafka's words: 1@host:port,2@host:port,3@host:port
  --join                          a node of a cluster that runs already; this one follows it without a vote, until
                                  kafka-metadata-quorum.sh add-controller gives it one
Nothing has to be formatted: voters that start with empty folders agree on a new cluster.

Exit codes: 0 after a clean stop (SIGTERM, SIGINT), 1 if the node could not start or had to stop, 2 for a wrong command line.

Examples:
  zoolog serve zoo.cfg server.properties --override log.dirs=/var/lib/zoolog --override num.partitions=3
  zoolog serve --join kafka1:9092,kafka2:9092 --override node.id=4";

const DEV_HELP: &str = "\
Starts a cluster of several nodes on this machine, for trying it out.

Each node is a process of its own with its own folder and its own ports, which count up from those given. Its configuration is
a file beside its folder, so that one node can be stopped and started again by itself. Ctrl-C stops all.";

/// The most nodes that `dev` starts.
const NODES_MAX: i64 = 9;
/// The highest port that leaves room for those of the other nodes.
const FIRST_PORT_MAX: i64 = 65_535 - NODES_MAX;

/// What the user asked for.
#[derive(Debug, Parser)]
#[command(name = "zoolog", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 120)]
pub(crate) struct Cli {
    /// The command; none is `serve` without arguments.
    #[command(subcommand)]
    command: Option<Command>,

    /// Which diagnostics go to the standard error: error, warn, info, debug, trace, or a list such as info,broker=debug
    #[arg(long, global = true, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log_level: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a node
    #[command(long_about = SERVE_HELP, after_help = SERVE_AFTER_HELP)]
    Serve(Serve),
    /// Starts a cluster of several nodes on this machine, for trying it out
    #[command(long_about = DEV_HELP)]
    Dev(Dev),
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Be a node.
    Serve(Serve),
    /// Start nodes.
    Dev(Dev),
}

/// The arguments of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Serve {
    /// Configuration files: a zoo.cfg, a server.properties, or both
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Sets one key, whatever the files say
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = parse_override)]
    pub(crate) overrides: Vec<(String, String)>,

    /// Nodes of a cluster that this one joins, without a vote at first
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = parse_node)]
    pub(crate) join: Vec<Address>,
}

/// The arguments of `dev`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Dev {
    /// How many nodes there are
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=NODES_MAX))]
    pub(crate) nodes: u8,

    /// The folder that holds the folders of the nodes
    #[arg(long, value_name = "FOLDER", default_value = "zoolog-data")]
    pub(crate) dir: PathBuf,

    /// Where ZooKeeper clients find the first node; the others follow
    #[arg(long, value_name = "PORT", default_value_t = 2181, value_parser = clap::value_parser!(u16).range(1..=FIRST_PORT_MAX))]
    pub(crate) zookeeper_port: u16,

    /// Where Kafka clients find the first node; the others follow
    #[arg(long, value_name = "PORT", default_value_t = 9092, value_parser = clap::value_parser!(u16).range(1..=FIRST_PORT_MAX))]
    pub(crate) kafka_port: u16,

    /// Sets one key of every node
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = parse_override)]
    pub(crate) overrides: Vec<(String, String)>,
}

impl Cli {
    /// What to do; without a command be a node with defaults.
    pub(crate) fn task(self) -> Task {
        match self.command {
            Some(Command::Serve(serve)) => Task::Serve(serve),
            Some(Command::Dev(dev)) => Task::Dev(dev),
            None => Task::Serve(Serve::default()),
        }
    }
}

fn parse_node(text: &str) -> Result<Address, String> {
    parse_address(text)
        .ok_or_else(|| "it should be in the form host:port, where that node has a Kafka listener".to_owned())
}

/// Splits at the first `=`. An empty value is kept: it takes a ZooKeeper key back to its default.
fn parse_override(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("it should be in the form key=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_a_node_with_defaults() {
        let Task::Serve(serve) = Cli::parse_from(["zoolog"]).task() else { panic!("it serves") };
        assert!(serve.files.is_empty() && serve.overrides.is_empty() && serve.join.is_empty());
    }

    #[test]
    fn nodes_to_join_are_a_list() {
        let task = Cli::parse_from(["zoolog", "serve", "--join", "a:1,[::1]:2", "--join", "b:3"]).task();
        let Task::Serve(serve) = task else { panic!("it serves") };
        let joined: Vec<String> = serve.join.iter().map(ToString::to_string).collect();
        assert_eq!(joined, ["a:1", "[::1]:2", "b:3"]);
        assert!(Cli::try_parse_from(["zoolog", "serve", "--join", "a"]).is_err());
    }

    #[test]
    fn a_cluster_for_trying_out_has_three_nodes() {
        let Task::Dev(dev) = Cli::parse_from(["zoolog", "dev"]).task() else { panic!("it is dev") };
        assert_eq!((dev.nodes, dev.zookeeper_port, dev.kafka_port), (3, 2181, 9092));
        for wrong in [["--nodes", "0"], ["--nodes", "10"], ["--kafka-port", "65535"]] {
            assert!(Cli::try_parse_from(["zoolog", "dev"].iter().chain(&wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn overrides_split_at_the_first_equals_sign() {
        let parse = |text: &str| parse_override(text).ok();
        let pair = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        assert_eq!(parse("superDigest=super:x="), pair("superDigest", "super:x="));
        assert_eq!(parse(" a = b "), pair("a", "b"));
        assert_eq!(parse("secureClientPort="), pair("secureClientPort", ""));
        assert_eq!(parse("a"), None);
        assert_eq!(parse("=b"), None);
    }
}
