//! The server beside Apache ZooKeeper and Apache Kafka, measured side by side in one run on one machine.
//!
//! `server` starts clusters of all three, `workload` says what a measurement is, `alternate` runs them turn by turn, `store` keeps the raw
//! figures, `report` and `plots` write the page from them. `zk` and `kafka` are the workloads with their load generators.
mod alternate;
mod figures;
mod integration;
mod kafka;
mod launch;
mod plots;
mod process;
mod ratios;
mod ready;
mod report;
mod server;
mod store;
mod workload;
mod zk;

use alternate::Alternation;
use anyhow::{Context as _, Result, bail, ensure};
use base::SystemClock;
use server::Context;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use store::Store;
use workload::Workload;

/// What to measure, and with what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The server's binary
    #[arg(long)]
    binary: PathBuf,
    /// The folder with the jars of Apache's servers, a folder for each
    #[arg(long)]
    jars: PathBuf,
    /// The folder in which the servers' data folders are made; it decides which disk is measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Fewer workloads and shorter turns: under ten minutes
    #[arg(long)]
    quick: bool,
    /// Only workloads whose name contains this; may be given several times
    #[arg(long, value_name = "SUBSTRING")]
    only: Vec<String>,
    /// Print the names of the workloads and stop
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    out: ReportArguments,
}

/// Where figures are kept and the report goes.
#[derive(clap::Args)]
pub(crate) struct ReportArguments {
    /// The raw figures; those of a run are added to what is there
    #[arg(long)]
    figures: PathBuf,
    /// The root of the checkout, which gets BENCHMARKS.md and bench/plots
    #[arg(long)]
    root: PathBuf,
}

/// Measures and writes the report.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workloads = workloads(arguments.quick);
    if arguments.list {
        workloads.iter().for_each(|workload| println!("{}", workload.name));
        return Ok(());
    }
    // Servers run in folders of their own.
    let context = Context {
        binary: std::path::absolute(&arguments.binary)?,
        jars: std::path::absolute(&arguments.jars)?,
        folder: std::path::absolute(&arguments.folder)?,
        clock: Arc::new(SystemClock::new()),
    };
    let mut store = Store::read(&arguments.out.figures)?;
    store.machine = crate::machine::describe(&arguments.folder);
    store.versions = versions(arguments)?;
    let chosen = choose(&workloads, &arguments.only, &store);
    ensure!(!chosen.is_empty(), "no workload has one of {:?} in its name", arguments.only);
    let mut alternation = Alternation::new(&context, arguments.quick);
    let mut failed = Vec::new();
    for (number, workload) in chosen.iter().enumerate() {
        eprintln!("{}/{} {}", number + 1, chosen.len(), workload.name);
        let begun = crate::now_us(&context.clock);
        if let Err(error) = alternation.measure(workload, &mut store) {
            eprintln!("  failed: {error:#}");
            store.remove(&workload.name);
            failed.push(workload.name.as_str());
        }
        eprintln!("  {:.1} s", (crate::now_us(&context.clock) - begun) as f64 / 1e6);
        store.write(&arguments.out.figures)?;
    }
    report_again(&arguments.out)?;
    if !failed.is_empty() {
        bail!("{} workloads failed: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}

/// Writes the report and the plots from the figures that are there.
pub(crate) fn report_again(arguments: &ReportArguments) -> Result<()> {
    let store = Store::read(&arguments.figures)?;
    let page = arguments.root.join("BENCHMARKS.md");
    plots::draw(&store, &arguments.root)?;
    std::fs::write(&page, report::text(&store)).with_context(|| format!("writing {}", page.display()))
}

/// The versions of what is measured, and of what it runs on.
fn versions(arguments: &Arguments) -> Result<Vec<String>> {
    let zoolog = said(Command::new(&arguments.binary).arg("--version"))?;
    // Not every copy of the sources is a checkout.
    let commit =
        said(Command::new("git").current_dir(&arguments.out.root).args(["rev-parse", "--short", "HEAD"]));
    let java = said(Command::new("java").arg("-version"))?;
    Ok(vec![commit.map_or(zoolog.clone(), |commit| format!("{zoolog}, commit {commit}")), java])
}

/// The first line that a command prints.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}

fn workloads(quick: bool) -> Vec<Workload> {
    let mut workloads = zk::workloads(quick);
    workloads.extend(integration::workloads(quick));
    workloads.extend(kafka::workloads(quick));
    workloads
}

/// The workloads whose names contain one of `only` (all if there is none), and those whose figures they need.
fn choose<'a>(workloads: &'a [Workload], only: &[String], store: &Store) -> Vec<&'a Workload> {
    let named =
        |workload: &&Workload| only.is_empty() || only.iter().any(|part| workload.name.contains(part));
    let chosen: Vec<&Workload> = workloads.iter().filter(named).collect();
    let needed = |workload: &&Workload| {
        named(workload)
            || store.get(&workload.name).is_none()
                && chosen.iter().any(|other| other.half_of.as_ref() == Some(&workload.name))
    };
    workloads.iter().filter(needed).collect()
}
