//! The process: command line, configuration, one node (or the processes of several), signals, exit code.
//!
//! The allocator is the system's: with mimalloc an idle node took three times the memory and a million znodes a tenth more, at the
//! same speed.
//!
//! Invariants: exit code 0 means a clean stop; every failure is one line on the standard error that says what to do.
mod advertised;
mod banner;
mod cli;
mod config;
mod dev;
mod folders;
mod machine;
mod membership;
mod node;
mod signals;
mod strangers;

use base::World;
use clap::Parser;
use cli::{Cli, Serve, Task};
use node::Node;
use signals::Signals;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How long a clean stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// The exit code of a node that could not start or had to stop.
const FAILED: u8 = 1;
/// The exit code of a wrong command line, clap's own.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match cli.log_level.parse::<Targets>() {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("zoolog: --log-level {}: {error}", cli.log_level);
            return ExitCode::from(USAGE);
        }
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(filter).with(lines).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the threads of the node cannot be started: {error}")),
    };
    let code = runtime.block_on(run(cli));
    // What still runs has been told to stop or must not be waited for.
    runtime.shutdown_background();
    code
}

/// Prints the one line that says why the process ends.
fn fail(reason: &str) -> ExitCode {
    eprintln!("zoolog: {reason}");
    ExitCode::from(FAILED)
}

async fn run(cli: Cli) -> ExitCode {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("signals cannot be received: {error}")),
    };
    let log_level = cli.log_level.clone();
    match cli.task() {
        Task::Serve(serve) => be_a_node(&serve, &mut signals).await,
        Task::Dev(dev) => dev::run(&dev, &log_level, &mut signals).await,
    }
}

async fn be_a_node(serve: &Serve, signals: &mut Signals) -> ExitCode {
    let world = World::system();
    let config = match config::load(&*world.disk, &serve.files, &serve.overrides, &serve.join) {
        Ok(config) => config,
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return fail(&lines.join("\nzoolog: "));
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = machine::raise_open_files() {
        tracing::warn!(%error, "the limit of open files cannot be raised; many connections or partitions may reach it");
    }
    let begun_ms = world.clock.monotonic_ms();
    let node = tokio::select! {
        node = Node::start(world.clone(), config) => node,
        request = signals.next() => {
            tracing::info!("{} before the node was ready", request.name);
            return ExitCode::from(request.exit_code);
        }
    };
    let node = match node {
        Ok(node) => node,
        Err(error) => return fail(&error.to_string()),
    };
    tracing::info!(took_ms = world.clock.monotonic_ms() - begun_ms, "the node serves");
    if let Err(error) = banner::print(&mut std::io::stdout(), node.places()) {
        tracing::debug!(%error, "nobody reads the standard output");
    }
    serve_until_stopped(node, signals).await
}

/// Runs the node until a signal or a failure ends it.
async fn serve_until_stopped(node: Node, signals: &mut Signals) -> ExitCode {
    let request = tokio::select! {
        request = signals.next() => request,
        reason = node.failed() => {
            tracing::error!(reason, "the node cannot go on");
            return fail(&format!("the node had to stop: {reason}"));
        }
    };
    tracing::info!("{}: the node stops; a second signal ends it at once", request.name);
    // A task of its own, so that the limit and the second signal hold even if a thread of the stop hangs.
    let stopping = tokio::spawn(node.stop());
    tokio::select! {
        stopped = tokio::time::timeout(STOP_PATIENCE, stopping) => match stopped.map(flatten) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(reason)) => fail(&format!("the node did not stop cleanly: {reason}; the next start recovers")),
            Err(_) => fail(&format!("the node did not stop within {STOP_PATIENCE:?}; the next start recovers")),
        },
        again = signals.next() => {
            tracing::warn!("{} again: the node ends at once; the next start recovers", again.name);
            ExitCode::from(again.exit_code)
        }
    }
}

/// A stop that panicked is one that failed.
fn flatten(ended: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), String> {
    ended.unwrap_or_else(|error| Err(error.to_string()))
}
