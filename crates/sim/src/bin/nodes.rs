//! The gate `cargo xtask sim --nodes`: whole nodes in virtual worlds, one seed after another. Prints the first seed, and for a seed that
//! breaks a law what happened and the one command that replays it.
//!
//! Every seed runs in a process of its own, because hash tables take their order from random keys and runtimes theirs from counters of the
//! process; this binary answers for the machine's randomness itself (see [`getrandom`]), so that a seed always runs the same.
use clap::Parser;
use sim::nodes::{Options, panics, run};
use std::io::Read;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The command line.
#[derive(Parser)]
#[command(name = "cargo xtask sim --nodes", about = "Run whole nodes under faults, in virtual worlds")]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed; a fresh one unless told
    #[arg(long)]
    seed: Option<u64>,
    /// How many nodes there are; by the seed unless told
    #[arg(long)]
    count: Option<usize>,
    /// Whether the nodes have a broker; by the seed unless told
    #[arg(long)]
    brokers: Option<bool>,
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.here {
        return run_here(&arguments);
    }
    let first = arguments.seed.unwrap_or_else(fresh_seed);
    println!("seeds from {first}");
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut running: Vec<(u64, Child)> = Vec::new();
    let mut next = 0;
    let mut failed = 0;
    while next < arguments.seeds || !running.is_empty() {
        while next < arguments.seeds && running.len() < jobs.max(1) {
            let seed = first.wrapping_add(next);
            match start(&arguments, seed) {
                Ok(child) => running.push((seed, child)),
                Err(error) => return fail(&format!("a seed cannot be run: {error}")),
            }
            next += 1;
        }
        let (seed, child) = running.remove(0);
        match child.wait_with_output() {
            Ok(output) if output.status.success() => {
                if arguments.seeds == 1 {
                    print!("{}", String::from_utf8_lossy(&output.stdout));
                }
            }
            Ok(output) => {
                failed += 1;
                print!("{}", String::from_utf8_lossy(&output.stdout));
                println!("{}", String::from_utf8_lossy(&output.stderr));
                println!("seed {seed} failed; replay: {}", replay(&arguments, seed));
            }
            Err(error) => return fail(&format!("a seed cannot be run: {error}")),
        }
    }
    println!("{} seeds, {failed} failed", arguments.seeds);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}

fn start(arguments: &Arguments, seed: u64) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--here", "--seed", &seed.to_string()]);
    if let Some(count) = arguments.count {
        command.args(["--count", &count.to_string()]);
    }
    if let Some(brokers) = arguments.brokers {
        command.args(["--brokers", &brokers.to_string()]);
    }
    if arguments.loud {
        command.arg("--loud");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn replay(arguments: &Arguments, seed: u64) -> String {
    let count = arguments.count.map_or(String::new(), |count| format!(" --count {count}"));
    let brokers = arguments.brokers.map_or(String::new(), |brokers| format!(" --brokers {brokers}"));
    format!("cargo xtask sim --nodes --seeds 1 --seed {seed}{count}{brokers} --loud")
}

fn run_here(arguments: &Arguments) -> ExitCode {
    let seed = arguments.seed.unwrap_or_default();
    STREAM.store(seed, Relaxed);
    panics::keep();
    let options = Options { nodes: arguments.count, brokers: arguments.brokers, loud: arguments.loud };
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
