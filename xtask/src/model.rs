//! `cargo xtask model`: the exhaustive check of the consensus core, in the profile of checkers.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// Runs the checker; an error if a law is broken, a search is not exhausted, or a planted bug gets through.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["run", "--quiet", "--profile", "sim", "--locked"]);
    command.args(["--package", "sim", "--bin", "model", "--"]).args(arguments);
    process::run(&mut command)
}
