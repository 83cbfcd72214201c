//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! `test` is the one command that decides whether a commit is good; CI calls exactly it. Everything that it needs beyond
//! Rust, Python, a JDK and Maven it installs under `target/compat`, through those tools' ordinary clients.

mod bench;
mod chaos;
mod compat;
mod guard;
mod model;
mod plan;
mod process;
mod sim;
mod tidy;
mod toolbox;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line of `cargo xtask`.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// One subcommand each.
#[derive(Subcommand)]
enum Command {
    /// Run every check of the project, or the named steps
    Test {
        /// Run just this step; may be given several times
        #[arg(long = "only", value_name = "STEP")]
        only: Vec<String>,
        /// Print the names of the steps and stop
        #[arg(long)]
        list: bool,
    },
    /// Check the rules on source files that compilers don't know
    Tidy,
    /// Measure the server beside Apache ZooKeeper and Apache Kafka, and write BENCHMARKS.md and bench/plots
    Bench {
        /// Write both again from the figures of earlier runs, without measuring
        #[arg(long)]
        report: bool,
        /// Arguments for the measuring program, such as --quick, --list or --only SUBSTRING
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure what a node costs and write bench/RESULTS.md
    Cost {
        /// Arguments for the measuring program, such as --znodes 100000
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Exhaust small clusters that run the real consensus core: every state within the bounds is visited
    Model {
        /// Arguments for the checker, such as --large, --mutants or --only WORDS; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the consensus core, or whole nodes, through storms, one seed after another
    Sim(sim::Arguments),
    /// Count the instructions of the server's hot paths and compare them with crates/guard/baseline.txt
    Guard(guard::Arguments),
    /// Strike three nodes under the load of real clients, repair them, and judge what the clients were told
    Chaos {
        /// Arguments for the run, such as --rounds 100, --seed N or --fault NAME; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure what a cluster of three nodes costs and how long its outages are, and write them to bench/RESULTS.md
    Reach {
        /// Arguments for the measuring program, such as --only failover; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run one outside suite of compat/ against the built server
    Compat {
        /// The suite's folder below compat/
        suite: String,
        /// Arguments for pytest
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        pytest: Vec<String>,
    },
}

/// The root of the checkout: the folder above this package.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the checkout").to_path_buf()
}

fn main() -> ExitCode {
    let root = root();
    let outcome = match Arguments::parse().command {
        Command::Test { only, list } => plan::run(&root, &only, list),
        Command::Tidy => tidy::run(&root),
        Command::Bench { report: true, .. } => bench::report(&root),
        Command::Bench { arguments, .. } => bench::peers(&root, &arguments),
        Command::Cost { arguments } => bench::cost(&root, &arguments),
        Command::Model { arguments } => model::run(&root, &arguments),
        Command::Sim(arguments) => sim::run(&root, &arguments),
        Command::Guard(arguments) => guard::run(&root, &arguments),
        Command::Chaos { arguments } => chaos::run(&root, &arguments),
        Command::Reach { arguments } => chaos::reach(&root, &arguments),
        Command::Compat { suite, pytest } => compat::run_one(&root, &suite, &pytest),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
