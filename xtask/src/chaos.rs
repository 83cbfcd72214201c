//! `cargo xtask chaos` and `cargo xtask reach`: programs of compat/ that start clusters of the built server.

use std::path::Path;

use anyhow::Result;

use crate::{compat, process, toolbox};

/// How many rounds `cargo xtask test` plays; each time with a seed of its own, which is printed.
pub(crate) const ROUNDS_OF_THE_PLAN: u32 = 3;

/// Plays rounds of faults; an error if anything acknowledged is lost or any other promise is broken.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    program(root, "chaos", arguments)
}

/// Measures a cluster and writes the section of bench/RESULTS.md, unless `arguments` say otherwise.
pub(crate) fn reach(root: &Path, arguments: &[String]) -> Result<()> {
    program(root, "reach", arguments)
}

/// Builds the server unless `ZOOLOG_BIN` names one, and runs one program of compat/.
fn program(root: &Path, module: &str, arguments: &[String]) -> Result<()> {
    if std::env::var_os("ZOOLOG_BIN").is_none() {
        compat::build_server(root)?;
    }
    let mut command = compat::python(root, &toolbox::python(root)?);
    command.args(["-m", module]).args(arguments);
    process::run(&mut command)
}
