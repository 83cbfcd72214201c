//! The outside suites: every folder of compat/ with tests in it, run by pytest against the built server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, toolbox};

/// The names of the suites in the order in which they run: cheap ones first.
pub(crate) fn suites(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join("compat")).context("cannot list compat/")? {
        let path = entry.context("cannot list compat/")?.path();
        let has_tests = path.is_dir()
            && std::fs::read_dir(&path)
                .context("cannot list a suite")?
                .filter_map(Result::ok)
                .any(|file| file.file_name().to_string_lossy().starts_with("test_"));
        if let (true, Some(name)) = (has_tests, path.file_name()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The suites that also face a cluster of three nodes, where every topic has three copies.
pub(crate) const CLUSTERED: [&str; 3] = ["kafka-python", "kazoo", "librdkafka"];

/// Tells a suite to face a cluster of so many nodes.
const NODES: (&str, &str) = ("ZOOLOG_NODES", "3");

/// Builds the server as users run it.
pub(crate) fn build_server(root: &Path) -> Result<()> {
    process::run(Command::new("cargo").current_dir(root).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "zoolog",
    ]))
}

/// Where `build_server` puts the binary.
pub(crate) fn server(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("release").join("zoolog")
}

/// The interpreter of `venv` in compat/, told where the server is unless the caller's environment says so.
pub(crate) fn python(root: &Path, venv: &Path) -> Command {
    let mut command = Command::new(venv.join("bin").join("python"));
    command.current_dir(root.join("compat"));
    if std::env::var_os("ZOOLOG_BIN").is_none() {
        command.env("ZOOLOG_BIN", server(root));
    }
    command
}

/// Runs one suite against a cluster.
pub(crate) fn run_clustered(root: &Path, suite: &str) -> Result<()> {
    process::run(prepare(root, suite, &[])?.env(NODES.0, NODES.1))
}

/// Runs one suite; `ZOOLOG_BIN` names another binary, `ZOOLOG_ZK` and `ZOOLOG_KAFKA` a server that already runs.
pub(crate) fn run_suite(root: &Path, suite: &str, pytest: &[String]) -> Result<()> {
    process::run(&mut prepare(root, suite, pytest)?)
}

/// The command that runs one suite, with everything installed that it needs.
fn prepare(root: &Path, suite: &str, pytest: &[String]) -> Result<Command> {
    let folder = root.join("compat").join(suite);
    if !folder.is_dir() {
        bail!("compat/ has no suite `{suite}`; it has: {}", suites(root)?.join(", "));
    }
    let venv = toolbox::python(root)?;
    toolbox::jars(root)?;
    let mut command = python(root, &venv);
    command.args(["-m", "pytest", suite]).args(pytest);
    Ok(command)
}

/// `cargo xtask compat SUITE`: builds what the suite faces unless the caller names it, then runs the suite.
pub(crate) fn run_one(root: &Path, suite: &str, pytest: &[String]) -> Result<()> {
    let chosen = ["ZOOLOG_BIN", "ZOOLOG_ZK", "ZOOLOG_KAFKA"];
    if chosen.iter().all(|name| std::env::var_os(name).is_none()) {
        build_server(root)?;
    }
    run_suite(root, suite, pytest)
}
