//! `cargo xtask sim`: storms over the consensus core, or over whole nodes, one seed after another; and planted bugs that
//! the storms must find. Invariants: the first seed is printed, and a seed that fails comes with the command that replays
//! it; what runs is built in the profile of checkers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// How many fresh seeds of the core `cargo xtask test` runs, and within how many seeds it finds every planted bug.
const CORE_SLICES: (u64, u64) = (2_000, 1_000);
/// The same for whole nodes.
const NODE_SLICES: (u64, u64) = (100, 2_000);
/// How many seeds each planted bug is given unless told.
const SEEDS_FOR_MUTANTS: u64 = 10_000;

/// The arguments of `cargo xtask sim`.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// How many seeds; for planted bugs, within how many each must be found
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; a fresh one unless told, 0 for planted bugs
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds run at a time; as many as there are cores unless told
    #[arg(long)]
    threads: Option<usize>,
    /// Print everything that happens; for one seed
    #[arg(long)]
    loud: bool,
    /// Plant every bug in turn, in the core or with --nodes in whole nodes, and demand that each is found
    #[arg(long)]
    mutants: bool,
    /// Plant just the bug of this name
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// Run whole nodes instead of the core alone
    #[arg(long)]
    nodes: bool,
    /// How many nodes there are; by the seed unless told
    #[arg(long, requires = "nodes")]
    count: Option<usize>,
    /// Whether the nodes have a broker; by the seed unless told
    #[arg(long, requires = "nodes")]
    brokers: Option<bool>,
}

impl Arguments {
    /// What `cargo xtask test` runs of the core, or of whole nodes: fresh seeds, and the planted bugs, each within so
    /// many seeds that are known to find it.
    pub(crate) fn slices(nodes: bool) -> [Self; 2] {
        let (fresh, mutants) = if nodes { NODE_SLICES } else { CORE_SLICES };
        [
            Self { seeds: Some(fresh), nodes, ..Self::default() },
            Self { seeds: Some(mutants), seed: Some(0), mutants: true, nodes, ..Self::default() },
        ]
    }

    fn plants(&self) -> bool {
        self.mutants || self.mutant.is_some()
    }
}

/// Runs what the arguments say; an error if a seed breaks a promise or a planted bug is not found.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    if arguments.nodes {
        return nodes(root, arguments);
    }
    if arguments.plants() { core_mutants(root, arguments) } else { storms(root, arguments) }
}

fn storms(root: &Path, arguments: &Arguments) -> Result<()> {
    let first = arguments.seed.unwrap_or_else(fresh_seed);
    println!("storms over the core: seeds from {first}");
    let mut command = core(root, arguments, "a_storm_breaks_no_promise", &[]);
    command.env("QUORUM_SEED", first.to_string());
    command.env("QUORUM_SEEDS", arguments.seeds.unwrap_or(CORE_SLICES.0).to_string());
    if arguments.loud {
        command.env("QUORUM_TRACE", "1");
    }
    process::run(&mut command)
}

fn core_mutants(root: &Path, arguments: &Arguments) -> Result<()> {
    let mut command = core(root, arguments, "every_planted_bug_is_found", &["--features", "mutants"]);
    command.env("QUORUM_SEED", arguments.seed.unwrap_or(0).to_string());
    command.env("QUORUM_SEEDS", arguments.seeds.unwrap_or(SEEDS_FOR_MUTANTS).to_string());
    if let Some(name) = &arguments.mutant {
        command.env("QUORUM_MUTANT", name);
    }
    process::run(&mut command)
}

/// One test of the core, built for speed.
fn core(root: &Path, arguments: &Arguments, test: &str, features: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).args([
        "test",
        "--quiet",
        "--locked",
        "--profile",
        "sim",
        "--package",
        "quorum",
    ]);
    command.args(features).args(["--test", "it", "--", "--nocapture", test]);
    if let Some(threads) = arguments.threads {
        command.env("QUORUM_THREADS", threads.to_string());
    }
    command
}

fn nodes(root: &Path, arguments: &Arguments) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["run", "--quiet", "--locked", "--profile", "sim"]);
    command.args(["--package", "sim", "--bin", "nodes", "--"]);
    let numbers = [
        ("--seeds", arguments.seeds),
        ("--seed", arguments.seed),
        ("--jobs", arguments.threads.map(|threads| threads as u64)),
        ("--count", arguments.count.map(|count| count as u64)),
    ];
    for (flag, number) in numbers {
        if let Some(number) = number {
            command.args([flag, &number.to_string()]);
        }
    }
    if let Some(brokers) = arguments.brokers {
        command.args(["--brokers", &brokers.to_string()]);
    }
    if let Some(name) = &arguments.mutant {
        command.args(["--mutant", name]);
    }
    for (flag, set) in [("--loud", arguments.loud), ("--mutants", arguments.mutants)] {
        if set {
            command.arg(flag);
        }
    }
    process::run(&mut command)
}

/// A seed that nobody chose; short enough to be typed.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 24
}
