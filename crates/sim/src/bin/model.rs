//! The gate `cargo xtask model`: exhausts the configurations of `sim::model`, and shows that planted bugs are caught.
//! Ends with an error if a law is broken, if a search is not exhausted, or if a planted bug gets through.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use sim::model::{Bounds, Mutant, Outcome, Search, Sight, caught_by, full, large, search, slice};

/// More transitions than any configuration has; a search that needs more isn't exhaustive, and fails.
const LIMIT: usize = 200_000_000;

/// The command line.
#[derive(Parser)]
#[command(name = "cargo xtask model", about = "Exhaust small clusters that run the real consensus core")]
struct Arguments {
    /// Run just the configurations whose names contain this
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Run the small configurations that the tests of this crate run
    #[arg(long, conflicts_with = "large")]
    slice: bool,
    /// Run large configurations too, each of which takes a minute or two
    #[arg(long)]
    large: bool,
    /// Plant bugs instead, and demand that each is caught
    #[arg(long)]
    mutants: bool,
    /// Print the names and stop
    #[arg(long)]
    list: bool,
    /// How many threads search; as many as there are cores unless told
    #[arg(long)]
    threads: Option<usize>,
    /// Give up a search after so many transitions
    #[arg(long, default_value_t = LIMIT)]
    limit: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|words| name.contains(words));
    let threads =
        arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut failures = 0;
    let begun = now();
    if arguments.mutants {
        for mutant in Mutant::ALL.into_iter().filter(|mutant| wanted(mutant.name())) {
            println!("{}", mutant.name());
            // One thread, so that the trace is the shortest one.
            let run = || search(caught_by(mutant), Search::Breadth, 1, arguments.limit);
            failures += usize::from(!arguments.list && !mutant_is_caught(mutant, run));
        }
    } else {
        let mut plan = if arguments.slice { slice() } else { full() };
        if arguments.large {
            plan.extend(large());
        }
        for bounds in plan.into_iter().filter(|bounds| wanted(bounds.name)) {
            println!("{}\n    {}", bounds.name, describe(&bounds));
            let run = || search(bounds, Search::Depth, threads, arguments.limit);
            failures += usize::from(!arguments.list && !is_clean(run));
        }
    }
    if !arguments.list {
        println!("{failures} failed, {:.0} s", begun.elapsed().as_secs_f64());
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The wall clock of this tool; what it checks runs on a clock of the model.
#[expect(clippy::disallowed_methods, reason = "a tool that times its searches is not simulated")]
fn now() -> Instant {
    Instant::now()
}

fn is_clean(run: impl FnOnce() -> Outcome) -> bool {
    let begun = now();
    let outcome = run();
    print_counts(&outcome, begun.elapsed());
    for (law, trace) in &outcome.broken {
        println!("    BROKEN: {}", law.name());
        trace.iter().for_each(|line| println!("        {line}"));
    }
    for sight in &outcome.missed {
        println!("    NEVER SEEN: {}", sight.name());
    }
    if outcome.broken.is_empty() && !outcome.exhausted {
        println!("    NOT EXHAUSTED");
    }
    outcome.is_clean()
}

fn mutant_is_caught(mutant: Mutant, run: impl FnOnce() -> Outcome) -> bool {
    let begun = now();
    let outcome = run();
    for (law, trace) in &outcome.broken {
        let steps = trace.len();
        println!("    caught: {}, {steps} steps, {} states", law.name(), outcome.states);
    }
    if outcome.broken.is_empty() {
        print_counts(&outcome, begun.elapsed());
        println!("    NOT CAUGHT: {}", mutant.name());
    }
    !outcome.broken.is_empty()
}

fn print_counts(outcome: &Outcome, took: Duration) {
    println!(
        "    {} states, {} transitions, at most {} deep, {:.1} s{}",
        outcome.states,
        outcome.transitions,
        outcome.depth,
        took.as_secs_f64(),
        if outcome.exhausted { ", exhausted" } else { "" }
    );
    let seen = Sight::ALL.into_iter().filter(|sight| outcome.seen.count(*sight) > 0);
    let seen: Vec<String> =
        seen.map(|sight| format!("{} {}", outcome.seen.count(sight), sight.name())).collect();
    println!("    seen: {}", seen.join(", "));
}

fn describe(bounds: &Bounds) -> String {
    let mut words = vec![format!("{} voters", bounds.voters)];
    if bounds.observers > 0 {
        words.push(format!("{} observers", bounds.observers));
    }
    words.push(format!("from {:?}, up to epoch {}", bounds.begin, bounds.epochs));
    let counts = [
        (bounds.writes, "writes"),
        (bounds.crashes, "crashes"),
        (bounds.losses, "losses"),
        (bounds.repeats, "repeats"),
        (bounds.resigns, "resignations"),
        (bounds.timeouts.unwrap_or(0), "timeouts"),
    ];
    words
        .extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    words.extend(bounds.changes.iter().map(|change| format!("{change:?}")));
    words.push(format!("pre-votes {:?}", bounds.pre_votes));
    let flags = [
        (bounds.instant_answers, "empty answers instant"),
        (bounds.quick_flush, "flushes instant after the last crash"),
        (bounds.audit, "audited"),
    ];
    words.extend(flags.iter().filter(|(set, _)| *set).map(|(_, what)| (*what).to_owned()));
    words.join(", ")
}
