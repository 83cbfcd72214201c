//! `cargo xtask bench`: builds the server as users run it and lets bench/ measure it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{compat, process};

/// Measures and writes bench/RESULTS.md, unless `arguments` say otherwise.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    compat::build_server(root)?;
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["run", "--release", "--locked", "--package", "bench", "--"]);
    command.arg("--binary").arg(compat::server(root));
    command.arg("--out").arg(root.join("bench").join("RESULTS.md")).args(arguments);
    process::run(&mut command)
}
