//! Measures the server from outside, as its users meet it.
//!
//! `cost` is what one node costs (bench/RESULTS.md); `peers` puts it beside Apache ZooKeeper and Apache Kafka in one run on one machine
//! (BENCHMARKS.md); `report` writes that page again from the figures of earlier runs. Invariants: every figure is of release binaries;
//! nothing here fails because a figure is bad, it only says what was measured beside what is asked for.
mod connection;
mod consumer;
mod cost;
mod machine;
mod peers;

use anyhow::Result;
use base::{Clock, SystemClock};
use clap::{Parser, Subcommand};

/// The command line.
#[derive(Parser)]
#[command(about = "Measures the server")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// One subcommand each.
#[derive(Subcommand)]
enum Command {
    /// What a node costs: start, memory, writes per flush, a million znodes
    Cost(cost::Arguments),
    /// The server beside Apache ZooKeeper and Apache Kafka
    Peers(peers::Arguments),
    /// Write BENCHMARKS.md and the plots again from the figures of earlier runs
    Report(peers::ReportArguments),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Cost(arguments) => cost::run(arguments),
        Command::Peers(arguments) => peers::run(&arguments),
        Command::Report(arguments) => peers::report_again(&arguments),
    }
}

/// Microseconds on the clock.
fn now_us(clock: &SystemClock) -> u64 {
    clock.monotonic_us()
}
