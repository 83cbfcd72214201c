//! Many seeds of the storm, and planted bugs that it must find. `cargo xtask sim` sets what the environment says here:
//!
//! `QUORUM_SEEDS` how many seeds, `QUORUM_SEED` the first one, `QUORUM_THREADS` how many at a time, `QUORUM_TRACE` prints
//! every step, `QUORUM_MUTANT` plants one bug instead of each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};

use quorum::Config;

use crate::storm;

const DEFAULT_SEEDS: u64 = 300;

/// What storms must bring about, or they prove nothing.
const MUST_HAPPEN: [&str; 13] = [
    "entries committed",
    "leaders",
    "leaderships lost",
    "truncations",
    "divergences",
    "snapshots installed",
    "repairs",
    "voters added",
    "voters removed",
    "voters updated",
    "epochs ended",
    "votes refused",
    "failed flushes",
];

/// How often what happened.
type Seen = BTreeMap<&'static str, u64>;

/// A seed that broke a promise.
#[derive(Debug)]
struct Broken {
    seed: u64,
    how: String,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn threads() -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    number("QUORUM_THREADS").and_then(|threads| usize::try_from(threads).ok()).unwrap_or_else(cores).max(1)
}

/// Runs `count` seeds from `first` on; ends at the first one that breaks a promise.
fn run_seeds(first: u64, count: u64, configure: impl Fn(&mut Config) + Sync) -> (Seen, Option<Broken>) {
    let (next, seen, broken) = (AtomicU64::new(0), Mutex::new(Seen::new()), Mutex::new(None::<Broken>));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            let seed = first.wrapping_add(at);
            match run_seed(seed, &configure) {
                Ok(one) => {
                    let mut seen = seen.lock().expect("nobody panics while holding it");
                    for (what, count) in one {
                        *seen.entry(what).or_default() += count;
                    }
                }
                Err(how) => {
                    next.store(count, Ordering::Relaxed);
                    let mut broken = broken.lock().expect("nobody panics while holding it");
                    if broken.as_ref().is_none_or(|known| seed < known.seed) {
                        *broken = Some(Broken { seed, how });
                    }
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(work);
        }
    });
    let reason = "the threads have ended";
    (seen.into_inner().expect(reason), broken.into_inner().expect(reason))
}

thread_local! {
    /// What the last panic of this thread said, while it runs seeds.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn run_seed(seed: u64, configure: &impl Fn(&mut Config)) -> Result<Seen, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let quiet = PANIC.with_borrow_mut(|text| text.as_mut().map(|text| *text = panic.to_string()));
            if quiet.is_none() {
                loud(panic);
            }
        }));
    });
    PANIC.set(Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(|| storm::run(seed, configure)));
    let said = PANIC.take().unwrap_or_default();
    outcome.map_err(|_| said).map(|mut cluster| {
        cluster.seen.insert("entries committed", cluster.oracle.committed.len() as u64);
        cluster.seen
    })
}

#[test]
fn a_storm_breaks_no_promise_and_ends_in_progress() {
    let first = number("QUORUM_SEED").unwrap_or(0);
    let count = number("QUORUM_SEEDS").unwrap_or(DEFAULT_SEEDS);
    let (seen, broken) = run_seeds(first, count, |_| {});
    if let Some(Broken { seed, how }) = broken {
        panic!("seed {seed} broke a promise: {how}\nreplay: cargo xtask sim --seeds 1 --seed {seed} --loud");
    }
    println!("{count} seeds from {first} are clean; in them happened {seen:#?}");
    let happened = |what: &&str| seen.get(what).is_some_and(|count| *count > 0);
    let missing: Vec<&str> = MUST_HAPPEN.into_iter().filter(|what| !happened(what)).collect();
    assert!(count < DEFAULT_SEEDS || missing.is_empty(), "the storms never brought about {missing:?}");
}

#[cfg(feature = "mutants")]
#[test]
fn every_planted_bug_is_found() {
    let first = number("QUORUM_SEED").unwrap_or(0);
    let count = number("QUORUM_SEEDS").unwrap_or(10_000);
    let only = std::env::var("QUORUM_MUTANT").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let mut missed = Vec::new();
    let mut planted = 0;
    for mutant in quorum::Mutant::ALL.into_iter().filter(|mutant| wanted(mutant.name())) {
        planted += 1;
        let plant = |config: &mut Config| config.mutant = Some(mutant);
        match run_seeds(first, count, plant).1 {
            Some(Broken { seed, how }) => {
                let how = how.lines().nth(1).unwrap_or_default();
                println!("{:<28} found by seed {seed}: {how}", mutant.name());
            }
            None => {
                println!("{:<28} NOT FOUND in {count} seeds from {first}", mutant.name());
                missed.push(mutant.name());
            }
        }
    }
    assert!(planted > 0, "there is no such bug to plant: {only:?}");
    assert!(missed.is_empty(), "not found: {missed:?}");
}
