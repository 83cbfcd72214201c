//! The rules on tracked files that no compiler knows: what may depend on what, what a file looks like, what stays out.
//!
//! A rule is a pure function from files to violations, so that its test can plant one. `run` applies all of them to the
//! tracked files of the checkout; an ordinary test of this package does the same.

mod mask;
mod rows;
mod source;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// One tracked text file.
pub(crate) struct File {
    /// The path below the root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One broken rule, at a place that an editor can open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Applies every rule to `files`.
fn check(files: &[File]) -> Vec<Violation> {
    let mut violations = rows::check(files);
    violations.extend(source::check(files));
    violations.extend(text::check(files));
    violations
}

/// The tracked text files of the checkout at `root`; files deleted in the work tree are left out.
fn tracked(root: &Path) -> Result<Vec<File>> {
    let list = process::output(Command::new("git").current_dir(root).args(["ls-files", "-z"]))?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

/// `cargo xtask tidy`: prints every violation; an error if there is one.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = tracked(root)?;
    let violations = check(&files);
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy found {} in {} files", violations.len(), files.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_tidy() {
        let files = tracked(&crate::root()).expect("git lists the files");
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy/mod.rs"), "git listed the checkout");
        let violations = check(&files);
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{}", lines.join("\n"));
    }
}
