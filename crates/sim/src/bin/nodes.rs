//! The gate `cargo xtask sim --nodes`: whole nodes in virtual worlds, one seed after another. Prints the first seed, and for a seed that
//! breaks a law what happened and the one command that replays it. With planted bugs it is the other way round: each must be caught.
//!
//! Every seed runs in a process of its own, because hash tables take their order from random keys and runtimes theirs from counters of the
//! process; this binary answers for the machine's randomness itself (see [`getrandom`]), so that a seed always runs the same.
use clap::Parser;
use sim::nodes::{Mutant, Options, panics, run};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many seeds a planted bug is given unless told.
const MUTANT_SEEDS: u64 = 10_000;

/// The command line.
#[derive(Parser)]
#[command(name = "cargo xtask sim --nodes", about = "Run whole nodes under faults, in virtual worlds")]
struct Arguments {
    /// How many seeds; 1 unless told, 10,000 for each planted bug
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; a fresh one unless told
    #[arg(long)]
    seed: Option<u64>,
    /// How many nodes there are; by the seed unless told
    #[arg(long)]
    count: Option<usize>,
    /// Whether the nodes have a broker; by the seed unless told
    #[arg(long)]
    brokers: Option<bool>,
    /// Plant this bug, and demand that it is caught
    #[arg(long, value_parser = mutant)]
    mutant: Option<Mutant>,
    /// Plant every bug in turn, and demand that each is caught
    #[arg(long)]
    mutants: bool,
    /// How many seeds run at a time; as many as there are cores unless told
    #[arg(long)]
    jobs: Option<usize>,
    /// Print every event of the run; for one seed
    #[arg(long)]
    loud: bool,
    /// Run the seed in this very process
    #[arg(long, hide = true)]
    here: bool,
}

fn mutant(name: &str) -> Result<Mutant, String> {
    let names: Vec<&str> = Mutant::ALL.into_iter().map(Mutant::name).collect();
    Mutant::of_name(name).ok_or_else(|| format!("there are {}", names.join(", ")))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.here {
        return run_here(&arguments);
    }
    let first = arguments.seed.unwrap_or_else(fresh_seed);
    println!("seeds from {first}");
    let outcome = match (arguments.mutants, arguments.mutant) {
        (true, _) => Mutant::ALL.into_iter().map(|mutant| hunt(&arguments, first, mutant)).collect(),
        (false, Some(mutant)) => hunt(&arguments, first, mutant).map(|caught| vec![caught]),
        (false, None) => sweep(&arguments, first).map(|clean| vec![clean]),
    };
    match outcome {
        Ok(good) if good.iter().all(|good| *good) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("a seed cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all seeds; whether all were clean.
fn sweep(arguments: &Arguments, first: u64) -> io::Result<bool> {
    let seeds = arguments.seeds.unwrap_or(1);
    let mut failed = 0;
    each_seed(arguments, first, seeds, None, |seed, end| {
        match end {
            End::Clean(said) if seeds == 1 => print!("{said}"),
            End::Clean(_) => {}
            End::Broken(said) => {
                failed += 1;
                println!("{said}\nseed {seed} failed; replay: {}\n", replay(arguments, seed, None));
            }
        }
        true
    })?;
    println!("{seeds} seeds, {failed} failed");
    Ok(failed == 0)
}

/// Runs seeds until one shows a planted bug; whether one did.
fn hunt(arguments: &Arguments, first: u64, mutant: Mutant) -> io::Result<bool> {
    let seeds = arguments.seeds.unwrap_or(MUTANT_SEEDS);
    let mut caught = false;
    each_seed(arguments, first, seeds, Some(mutant), |seed, end| {
        match end {
            End::Clean(said) if arguments.loud => print!("{said}"),
            End::Clean(_) => {}
            End::Broken(said) => {
                caught = true;
                let replay = replay(arguments, seed, Some(mutant));
                let count = seed.wrapping_sub(first) + 1;
                println!("{} caught at seed {count}: {}\n    {replay}", mutant.name(), said.trim_end());
            }
        }
        !caught
    })?;
    if !caught {
        println!("{} was not caught within {seeds} seeds", mutant.name());
    }
    Ok(caught)
}

/// How a seed ended, with what it said.
enum End {
    Clean(String),
    Broken(String),
}

/// Runs seeds, some at a time, and hands their ends out in order until `take` has had enough.
fn each_seed(
    arguments: &Arguments,
    first: u64,
    seeds: u64,
    mutant: Option<Mutant>,
    mut take: impl FnMut(u64, End) -> bool,
) -> io::Result<()> {
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut running: VecDeque<(u64, Child)> = VecDeque::new();
    let mut next = 0;
    let mut wants_more = true;
    while (wants_more && next < seeds) || !running.is_empty() {
        while wants_more && next < seeds && running.len() < jobs.max(1) {
            let seed = first.wrapping_add(next);
            running.push_back((seed, start(arguments, seed, mutant)?));
            next += 1;
        }
        let Some((seed, child)) = running.pop_front() else { break };
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if wants_more {
            let end = match output.status.success() {
                true => End::Clean(said),
                false => End::Broken(said + &String::from_utf8_lossy(&output.stderr)),
            };
            wants_more = take(seed, end);
        }
    }
    Ok(())
}

fn start(arguments: &Arguments, seed: u64, mutant: Option<Mutant>) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--here").args(words(arguments, seed, mutant));
    if arguments.loud {
        command.arg("--loud");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn replay(arguments: &Arguments, seed: u64, mutant: Option<Mutant>) -> String {
    format!("cargo xtask sim --nodes --loud --seeds 1 {}", words(arguments, seed, mutant).join(" "))
}

/// What makes a run what it is.
fn words(arguments: &Arguments, seed: u64, mutant: Option<Mutant>) -> Vec<String> {
    let mut words = vec!["--seed".to_owned(), seed.to_string()];
    if let Some(count) = arguments.count {
        words.extend(["--count".to_owned(), count.to_string()]);
    }
    if let Some(brokers) = arguments.brokers {
        words.extend(["--brokers".to_owned(), brokers.to_string()]);
    }
    if let Some(mutant) = mutant {
        words.extend(["--mutant".to_owned(), mutant.name().to_owned()]);
    }
    words
}

fn run_here(arguments: &Arguments) -> ExitCode {
    let seed = arguments.seed.unwrap_or_default();
    STREAM.store(seed, Relaxed);
    panics::keep();
    let options = Options {
        nodes: arguments.count,
        brokers: arguments.brokers,
        mutant: arguments.mutant,
        loud: arguments.loud,
    };
    let outcome = std::panic::catch_unwind(|| run(seed, &options))
        .unwrap_or_else(|_| Err(format!("the simulation panicked: {}", panics::taken().unwrap_or_default())));
    match outcome {
        Ok(clean) => {
            println!(
                "seed {seed}: trace {:016x}, {} events, {} writes",
                clean.trace, clean.events, clean.writes
            );
            ExitCode::SUCCESS
        }
        Err(broken) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// A seed that nobody chose.
fn fresh_seed() -> u64 {
    let mut bytes = [0; 8];
    let device = std::fs::File::open("/dev/urandom");
    match device.and_then(|mut device| device.read_exact(&mut bytes)) {
        Ok(()) => u64::from_le_bytes(bytes) >> 16,
        Err(_) => u64::from(std::process::id()),
    }
}

/// Where the machine's randomness is up to.
static STREAM: AtomicU64 = AtomicU64::new(0);

/// Stands in front of the C library's function of this name: the standard library and everything else take their random keys from here.
///
/// # Safety
/// `buffer` must be writable for `length` bytes, as the C library asks it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for at in 0..length {
        let mut word = STREAM.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        // SAFETY: the caller says that so many bytes may be written.
        unsafe { buffer.add(at).write((word >> 40) as u8) };
    }
    length as isize
}
