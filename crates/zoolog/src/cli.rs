//! The command line: what can be asked for, and the texts of `--help`.
//!
//! Invariant: nothing here reads a file or knows a key; a wrong use ends with exit code 2 before anything is touched.
use clap::{Args, Parser, Subcommand};
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

Exit codes: 0 after a clean stop (SIGTERM, SIGINT), 1 if the node could not start or had to stop, 2 for a wrong command line.

Example:
  zoolog serve zoo.cfg server.properties --override log.dirs=/var/lib/zoolog --override num.partitions=3";

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
}

impl Cli {
    /// The arguments of `serve`, those of a node with defaults if no command was given.
    pub(crate) fn serve(self) -> Serve {
        match self.command {
            Some(Command::Serve(serve)) => serve,
            None => Serve::default(),
        }
    }
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
        let serve = Cli::parse_from(["zoolog"]).serve();
        assert!(serve.files.is_empty() && serve.overrides.is_empty());
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
