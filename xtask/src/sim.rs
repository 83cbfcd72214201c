//! `cargo xtask sim`: storms over the consensus core, or over whole nodes, one seed after another; and planted bugs that
//! the storms must find. Invariants: the first seed is printed, and a seed that fails comes with the command that replays
//! it; what runs is built in the profile of checkers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// How many fresh seeds of the core `cargo xtask test` runs.
const SEEDS_OF_THE_PLAN: u64 = 2_000;
/// Within so many seeds from 0 on every bug that is planted in the core is found.
const SEEDS_FOR_MUTANTS: u64 = 1_000;

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
    /// Plant bugs, and demand that each is found
    #[arg(long)]
    mutants: bool,
    /// Plant just the bug of this name
    #[arg(long, value_name = "NAME", requires = "mutants")]
    only: Option<String>,
    /// Run whole nodes instead of the core alone
    #[arg(long)]
    nodes: bool,
    /// How many nodes there are; by the seed unless told
    #[arg(long, requires = "nodes")]
    count: Option<usize>,
}

impl Arguments {
    /// What `cargo xtask test` runs: fresh seeds, and every planted bug of the core.
    pub(crate) fn slices() -> [Self; 2] {
        [
            Self { seeds: Some(SEEDS_OF_THE_PLAN), ..Self::default() },
            Self { seeds: Some(SEEDS_FOR_MUTANTS), mutants: true, ..Self::default() },
        ]
    }
}

/// Runs what the arguments say; an error if a seed breaks a promise or a planted bug is not found.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    match (arguments.nodes, arguments.mutants) {
        (false, false) => storms(root, arguments),
        (false, true) => core_mutants(root, arguments),
        (true, false) => nodes(root, arguments),
        (true, true) => bail!("bugs are planted in the core; leave --nodes out"),
    }
}

fn storms(root: &Path, arguments: &Arguments) -> Result<()> {
    let first = arguments.seed.unwrap_or_else(fresh_seed);
    println!("storms over the core: seeds from {first}");
    let mut command = core(root, arguments, "a_storm_breaks_no_promise", &[]);
    command.env("QUORUM_SEED", first.to_string());
    command.env("QUORUM_SEEDS", arguments.seeds.unwrap_or(SEEDS_OF_THE_PLAN).to_string());
    if arguments.loud {
        command.env("QUORUM_TRACE", "1");
    }
    process::run(&mut command)
}

fn core_mutants(root: &Path, arguments: &Arguments) -> Result<()> {
    let mut command = core(root, arguments, "every_planted_bug_is_found", &["--features", "mutants"]);
    command.env("QUORUM_SEED", arguments.seed.unwrap_or(0).to_string());
    command.env("QUORUM_SEEDS", arguments.seeds.unwrap_or(10_000).to_string());
    if let Some(name) = &arguments.only {
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
    if arguments.loud {
        command.arg("--loud");
    }
    process::run(&mut command)
}

/// A seed that nobody chose; short enough to be typed.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 24
}
