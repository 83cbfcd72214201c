//! Runs one hot path of the server under callgrind, which counts its instructions; `cargo xtask guard` does that for all of
//! them and compares the counts with baseline.txt.
//!
//! `guard` prints the names of the paths; `guard PATH FOLDER` runs one in an empty folder and prints how many operations were counted.
//!
//! Invariants: one thread, one seed, a clock that stands still, and hash tables that are seeded alike in every run, so that a
//! path takes the same instructions every time; whatever is not the server's work is done while nothing is counted.
mod batches;
mod client;
mod counting;
mod descriptors;
mod entropy;
mod node;
mod partitions;
mod parts;
mod world;
mod znodes;

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What the node says that is shown. There is a filter as in the binary, so that asking it costs the same.
const LOG_LEVEL: LevelFilter = LevelFilter::WARN;

/// Runs a path in this folder; how many operations were counted.
type Run = fn(&Path) -> Result<u64>;

/// Every path.
const PATHS: [(&str, Run); 9] = [
    ("decode-produce", parts::decode_produce),
    ("append", parts::append),
    ("encode-fetch", parts::encode_fetch),
    ("produce", partitions::produce),
    ("fetch", partitions::fetch),
    ("create", znodes::create),
    ("get", znodes::get),
    ("apply", znodes::apply),
    ("watch", znodes::watch),
];

fn main() -> ExitCode {
    let filter = Targets::new().with_default(LOG_LEVEL);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(lines).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {
            for (name, _) in PATHS {
                println!("{name}");
            }
        }
        [name, folder] => {
            let found = PATHS.iter().find(|(path, _)| path == name);
            let (_, run) = found.with_context(|| format!("there is no path {name}"))?;
            println!("{}", run(Path::new(folder))?);
        }
        _ => bail!("usage: guard [PATH FOLDER]"),
    }
    Ok(())
}
