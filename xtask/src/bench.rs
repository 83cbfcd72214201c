//! `cargo xtask bench` and `cargo xtask cost`: build the server as users run it and let bench/ measure it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{compat, process, toolbox};

/// The profiles of bench/pom.xml: Apache's servers.
const JAR_SETS: [&str; 2] = ["zookeeper-3.9.5", "kafka-4.3.1"];

/// Measures the server beside Apache's and writes BENCHMARKS.md and bench/plots.
pub(crate) fn peers(root: &Path, arguments: &[String]) -> Result<()> {
    let jars = folder(root).join("jars");
    toolbox::copy_jars(&root.join("bench").join("pom.xml"), &JAR_SETS, &jars)?;
    compat::build_server(root)?;
    let mut command = bench(root, "peers");
    command.arg("--binary").arg(compat::server(root)).arg("--jars").arg(jars);
    process::run(report_paths(root, &mut command).args(arguments))
}

/// Writes BENCHMARKS.md and bench/plots again from the figures of earlier runs.
pub(crate) fn report(root: &Path) -> Result<()> {
    process::run(report_paths(root, &mut bench(root, "report")))
}

/// Measures what one node costs and writes bench/RESULTS.md, unless `arguments` say otherwise.
pub(crate) fn cost(root: &Path, arguments: &[String]) -> Result<()> {
    compat::build_server(root)?;
    let mut command = bench(root, "cost");
    command.arg("--binary").arg(compat::server(root));
    process::run(command.arg("--out").arg(root.join("bench").join("RESULTS.md")).args(arguments))
}

/// What a measurement fetches and leaves behind.
fn folder(root: &Path) -> PathBuf {
    root.join("target").join("bench")
}

fn bench(root: &Path, subcommand: &str) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["run", "--release", "--locked", "--package", "bench", "--", subcommand]);
    command
}

fn report_paths<'a>(root: &Path, command: &'a mut Command) -> &'a mut Command {
    command.arg("--figures").arg(folder(root).join("figures.json")).arg("--root").arg(root)
}
