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

/// Runs one suite; `ZOOLOG_BIN` names another binary, `ZOOLOG_ZK` and `ZOOLOG_KAFKA` a server that already runs.
pub(crate) fn run_suite(root: &Path, suite: &str, pytest: &[String]) -> Result<()> {
    let folder = root.join("compat").join(suite);
    if !folder.is_dir() {
        bail!("compat/ has no suite `{suite}`; it has: {}", suites(root)?.join(", "));
    }
    let venv = toolbox::python(root)?;
    toolbox::jars(root)?;
    let mut command = Command::new(venv.join("bin").join("python"));
    command.current_dir(root.join("compat")).args(["-m", "pytest", suite]).args(pytest);
    if std::env::var_os("ZOOLOG_BIN").is_none() {
        command.env("ZOOLOG_BIN", server(root));
    }
    process::run(&mut command)
}

/// `cargo xtask compat SUITE`: builds what the suite faces unless the caller names it, then runs the suite.
pub(crate) fn run_one(root: &Path, suite: &str, pytest: &[String]) -> Result<()> {
    let chosen = ["ZOOLOG_BIN", "ZOOLOG_ZK", "ZOOLOG_KAFKA"];
    if chosen.iter().all(|name| std::env::var_os(name).is_none()) {
        build_server(root)?;
    }
    run_suite(root, suite, pytest)
}
