//! Child processes: each one is run in the foreground with its output passed through, and a failure names the command and repeats what it
//! said last, because the end of a long log is what survives of it.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

/// How many of a failed command's last lines are repeated.
const REPEATED_LINES: usize = 30;

/// Runs `command` with its output on this terminal; an exit code other than 0 is an error that ends with the last lines it printed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = display(command);
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.with_context(|| format!("cannot start `{line}`"))?;
    let last = Mutex::new(VecDeque::with_capacity(REPEATED_LINES));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let passed: io::Result<()> = thread::scope(|scope| {
        let errors = scope.spawn(|| err.map_or(Ok(()), |err| pass(err, io::stderr(), &last)));
        let printed = out.map_or(Ok(()), |out| pass(out, io::stdout(), &last));
        printed.and(errors.join().unwrap_or(Ok(())))
    });
    let status = child.wait().with_context(|| format!("cannot wait for `{line}`"))?;
    passed.with_context(|| format!("cannot pass on what `{line}` prints"))?;
    if !status.success() {
        let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        bail!("`{line}` ended with {status}{}", repeated(&last));
    }
    Ok(())
}

/// Passes on line by line what a command prints and keeps the last lines of it.
fn pass(from: impl Read, mut to: impl Write, last: &Mutex<VecDeque<String>>) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == REPEATED_LINES {
            last.pop_front();
        }
        last.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    to.flush()
}

/// The last lines as they stand below an error, nothing if there are none.
fn repeated(last: &VecDeque<String>) -> String {
    last.iter().map(|line| format!("\n    | {line}")).collect()
}

/// Runs `command` and returns its standard output; the standard error is passed through.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = display(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something that is not UTF-8"))
}

/// True if `command` can be started and exits with 0; prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as a person would type it, for messages.
fn display(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(Command::new("git").args(["rev-parse", "--verify", "--quiet", "no-such-ref"]))
            .expect_err("git must refuse");
        assert!(format!("{error:#}").contains("git rev-parse --verify --quiet no-such-ref"), "{error:#}");
    }

    #[test]
    fn a_failing_command_is_an_error_that_ends_with_what_it_said_last() {
        let error = run(Command::new("git").arg("no-such-command")).expect_err("git must refuse");
        assert!(
            format!("{error:#}").contains("\n    | git: 'no-such-command' is not a git command"),
            "{error:#}"
        );
    }

    #[test]
    fn of_a_long_output_only_the_last_lines_are_kept() {
        let printed: String = (0..100).map(|at| format!("line {at}\n")).collect();
        let (mut passed, last) = (Vec::new(), Mutex::default());
        pass(printed.as_bytes(), &mut passed, &last).expect("nothing can fail");
        assert_eq!(passed, printed.as_bytes());
        let last = last.into_inner().expect("nobody panicked");
        assert_eq!((last.len(), last.front().map(String::as_str)), (REPEATED_LINES, Some("line 70")));
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = run(&mut Command::new("no-such-program-anywhere")).expect_err("nothing to start");
        assert!(format!("{error:#}").contains("cannot start `no-such-program-anywhere`"), "{error:#}");
        assert!(!succeeds(&mut Command::new("no-such-program-anywhere")));
    }
}
