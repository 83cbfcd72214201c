//! `cargo xtask guard`: counts the instructions of the server's hot paths (crates/guard) under callgrind and compares them with
//! crates/guard/baseline.txt.
//!
//! Invariants: instructions are compared, never times, so a busy machine changes nothing; a path without a baseline, a baseline without a
//! path and a machine without valgrind are errors, so that nothing is left out in silence.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// By how many per cent a count may differ from its baseline: more is an error, less is news.
const TOLERANCE_PERCENT: u64 = 10;
/// The function of crates/guard inside of which callgrind counts.
const COUNTED: &str = "guard_counted";
/// What the baseline file begins with.
const ABOUT: &str = "# Instructions per operation. `cargo xtask guard` compares with them, `cargo xtask guard --accept` writes them.";

/// The arguments of `cargo xtask guard`.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Take the counts as the new baseline
    #[arg(long)]
    accept: bool,
    /// Count just these paths
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
}

/// The counts of a commit and what they were counted with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Baseline {
    /// The compiler and the machine's kind: another one gives other counts for the same code.
    counted_with: String,
    /// Paths with their instructions per operation.
    counts: Vec<(String, u64)>,
}

/// What a count says beside its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Worse,
    Better,
    /// There is no baseline.
    New,
}

/// Counts, and compares or accepts; an error if a path takes too many instructions more than it did.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    if !process::succeeds(Command::new("valgrind").arg("--version")) {
        bail!(
            "valgrind is needed to count instructions and is not there; install the package `valgrind`, for instance with \
             `apt-get install valgrind`"
        );
    }
    let mut build = Command::new("cargo");
    process::run(build.current_dir(root).args(["build", "--release", "--locked", "--package", "guard"]))?;
    let program = target(root).join("release").join("guard");
    let names = process::output(&mut Command::new(&program))?;
    let names: Vec<&str> = names.lines().collect();
    if let Some(unknown) = arguments.paths.iter().find(|path| !names.contains(&path.as_str())) {
        bail!("there is no path `{unknown}`; the paths are: {}", names.join(", "));
    }
    let is_wanted =
        |name: &str| arguments.paths.is_empty() || arguments.paths.iter().any(|path| path == name);
    let mut counts = Vec::new();
    for name in names.iter().copied().filter(|name| is_wanted(name)) {
        let count = count(root, &program, name).with_context(|| format!("counting {name}"))?;
        counts.push((name.to_owned(), count));
    }
    let file = root.join("crates").join("guard").join("baseline.txt");
    // Without a baseline every path is new.
    let baseline = Baseline::parse(&fs::read_to_string(&file).unwrap_or_default())?;
    print!("{}", table(&baseline, &counts));
    let counted_with = compiler()?;
    if arguments.accept {
        let accepted = baseline.with(&names, counts, counted_with);
        fs::write(&file, accepted.to_string()).context("cannot write the baseline")?;
        println!("these are the counts to compare with from now on; commit crates/guard/baseline.txt");
        return Ok(());
    }
    judge(&baseline, &names, &counts, &counted_with)
}

/// Where cargo builds.
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Runs one path under callgrind; its instructions per operation. The profile stays behind for `callgrind_annotate`.
fn count(root: &Path, program: &Path, name: &str) -> Result<u64> {
    let folder = target(root).join("guard");
    let data = folder.join(name);
    if data.exists() {
        fs::remove_dir_all(&data).context("cannot remove the data of an earlier run")?;
    }
    fs::create_dir_all(&data).context("cannot create a folder for the data")?;
    let profile = folder.join(format!("{name}.callgrind"));
    let mut command = Command::new("valgrind");
    // The size of the environment decides where the stack lies, and its variables what the C library does.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.args(["--quiet", "--tool=callgrind", "--collect-atstart=no"]);
    command.arg(format!("--toggle-collect={COUNTED}"));
    command.arg(format!("--callgrind-out-file={}", profile.display()));
    command.arg(program).arg(name).arg(&data);
    let operations = process::output(&mut command)?;
    let operations: u64 = operations.trim().parse().context("crates/guard must print how many operations")?;
    fs::remove_dir_all(&data).context("cannot remove the data")?;
    let profile = fs::read_to_string(&profile).context("cannot read callgrind's profile")?;
    per_operation(instructions(&profile)?, operations)
}

/// How many instructions a profile of callgrind counts in all.
fn instructions(profile: &str) -> Result<u64> {
    let field = |name: &str| profile.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match field("events:") {
        Some("Ir") => {}
        events => bail!("callgrind counted {events:?}, not just instructions (Ir)"),
    }
    let total = field("summary:").or_else(|| field("totals:")).context("the profile has no sum")?;
    total.parse().with_context(|| format!("the profile's sum {total:?} is no number"))
}

fn per_operation(instructions: u64, operations: u64) -> Result<u64> {
    match instructions.checked_div(operations) {
        Some(0) => bail!("callgrind counted nothing; does crates/guard still have the function {COUNTED}?"),
        Some(count) => Ok(count),
        None => bail!("crates/guard did no operation"),
    }
}

/// The compiler's version and the kind of machine.
fn compiler() -> Result<String> {
    let about = process::output(Command::new("rustc").arg("-vV"))?;
    let field = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    Ok(format!("rustc {}, {}", field("release: "), field("host: ")))
}

impl Verdict {
    fn of(baseline: Option<u64>, count: u64) -> Verdict {
        let Some(baseline) = baseline else { return Verdict::New };
        let (count, full) = (u128::from(count) * 100, u128::from(baseline));
        if count > full * u128::from(100 + TOLERANCE_PERCENT) {
            Verdict::Worse
        } else if count < full * u128::from(100 - TOLERANCE_PERCENT) {
            Verdict::Better
        } else {
            Verdict::Same
        }
    }

    fn words(self) -> &'static str {
        match self {
            Verdict::Same => "",
            Verdict::Worse => "  WORSE",
            Verdict::Better => "  better",
            Verdict::New => "  NEW",
        }
    }
}

impl Baseline {
    /// Reads the file; an empty text is a baseline of nothing.
    fn parse(text: &str) -> Result<Baseline> {
        let mut baseline = Baseline::default();
        for line in text.lines().filter(|line| !line.trim().is_empty() && *line != ABOUT) {
            if let Some(about) = line.strip_prefix("# ") {
                baseline.counted_with = about.to_owned();
                continue;
            }
            let parts =
                line.split_once(' ').and_then(|(name, count)| Some((name, count.trim().parse().ok()?)));
            let (name, count) =
                parts.with_context(|| format!("the baseline's line {line:?} is no path and count"))?;
            baseline.counts.push((name.to_owned(), count));
        }
        Ok(baseline)
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.counts.iter().find(|(path, _)| path == name).map(|(_, count)| *count)
    }

    /// The baseline of these paths with new counts of some of them.
    fn with(&self, names: &[&str], counts: Vec<(String, u64)>, counted_with: String) -> Baseline {
        let fresh = Baseline { counted_with, counts };
        let counts = names.iter().filter_map(|name| {
            let count = fresh.count(name).or_else(|| self.count(name))?;
            Some(((*name).to_owned(), count))
        });
        Baseline { counts: counts.collect(), counted_with: fresh.counted_with }
    }
}

impl std::fmt::Display for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{ABOUT}\n# {}", self.counted_with)?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{name} {count}"))
    }
}

/// The counts beside their baselines.
fn table(baseline: &Baseline, counts: &[(String, u64)]) -> String {
    let mut text = format!("{:16} {:>12} {:>12} {:>7}\n", "path", "baseline", "now", "ratio");
    for (name, count) in counts {
        let before = baseline.count(name);
        let shown = before.map_or_else(|| "-".to_owned(), |before| before.to_string());
        let ratio = before.map_or_else(|| "-".to_owned(), |before| ratio(before, *count));
        let words = Verdict::of(before, *count).words();
        writeln!(text, "{name:16} {shown:>12} {count:>12} {ratio:>7}{words}")
            .expect("writing to a string cannot fail");
    }
    text
}

fn ratio(before: u64, now: u64) -> String {
    format!("{:.3}", now as f64 / before as f64)
}

/// An error if the counts are not to be accepted without a word; says if the baseline lags behind.
fn judge(baseline: &Baseline, names: &[&str], counts: &[(String, u64)], counted_with: &str) -> Result<()> {
    let of = |wanted: Verdict| -> Vec<&str> {
        let is_wanted = |(name, count): &&(String, u64)| Verdict::of(baseline.count(name), *count) == wanted;
        counts.iter().filter(is_wanted).map(|(name, _)| name.as_str()).collect()
    };
    let better = of(Verdict::Better);
    if !better.is_empty() {
        println!(
            "more than {TOLERANCE_PERCENT} % fewer instructions: {}; `cargo xtask guard --accept` keeps them from coming back",
            better.join(", ")
        );
    }
    let gone = baseline.counts.iter().map(|(name, _)| name.as_str()).filter(|name| !names.contains(name));
    let faults = [
        (format!("more than {TOLERANCE_PERCENT} % more instructions"), of(Verdict::Worse)),
        ("without a baseline".to_owned(), of(Verdict::New)),
        ("in the baseline, but no path".to_owned(), gone.collect()),
    ];
    let faults: Vec<String> = faults
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    let mut other = String::new();
    if !baseline.counted_with.is_empty() && baseline.counted_with != counted_with {
        other = format!(" (the baseline was counted with {}, this is {counted_with})", baseline.counted_with);
    }
    bail!(
        "{}{other}; if that is how it is to be, `cargo xtask guard --accept` writes the new baseline",
        faults.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\npid: 7\ncmd:  guard create\npart: 1\n\n\
        desc: I1 cache: \ndesc: Trigger: Program termination\n\npositions: line\nevents: Ir\nsummary: 3200640\n\n\
        ob=(1) /lib/ld.so\nfn=(1) start\n12 3\ncalls=1 0\n12 9\n\ntotals: 3200640\n";

    fn counts(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn baseline(pairs: &[(&str, u64)]) -> Baseline {
        Baseline { counted_with: "rustc 1, here".to_owned(), counts: counts(pairs) }
    }

    #[test]
    fn a_profile_tells_its_instructions() {
        assert_eq!(instructions(PROFILE).expect("a sum"), 3_200_640);
        assert_eq!(per_operation(3_200_640, 3_200).expect("some"), 1_000);
        let older = PROFILE.replace("summary: 3200640\n", "");
        assert_eq!(instructions(&older).expect("a sum at the end"), 3_200_640);
    }

    #[test]
    fn a_profile_that_counted_nothing_or_something_else_is_an_error() {
        assert!(instructions("").is_err());
        assert!(instructions(&PROFILE.replace("events: Ir", "events: Ir Dr")).is_err());
        assert!(instructions(&PROFILE.replace("3200640", "many")).is_err());
        assert!(per_operation(0, 3_200).is_err());
        assert!(per_operation(3_200, 0).is_err());
    }

    #[test]
    fn a_tenth_more_is_allowed_and_not_one_instruction_beyond() {
        assert_eq!(Verdict::of(Some(1_000), 1_100), Verdict::Same);
        assert_eq!(Verdict::of(Some(1_000), 1_101), Verdict::Worse);
        assert_eq!(Verdict::of(Some(1_000), 900), Verdict::Same);
        assert_eq!(Verdict::of(Some(1_000), 899), Verdict::Better);
        assert_eq!(Verdict::of(Some(u64::MAX), u64::MAX), Verdict::Same);
        assert_eq!(Verdict::of(None, 1), Verdict::New);
    }

    #[test]
    fn only_what_got_worse_or_is_unknown_fails() {
        let before = baseline(&[("create", 1_000), ("get", 1_000)]);
        let names = ["create", "get"];
        let judged =
            |now: &[(&str, u64)], names: &[&str]| judge(&before, names, &counts(now), "rustc 1, here");
        assert!(judged(&[("create", 1_099), ("get", 500)], &names).is_ok());
        let worse =
            judged(&[("create", 1_101), ("get", 500)], &names).expect_err("create got worse").to_string();
        assert!(worse.contains("more instructions: create;") && worse.contains("--accept"), "{worse}");
        assert!(!worse.contains("counted with"), "{worse}");
        let new = judged(&[("watch", 1)], &["create", "get", "watch"]).expect_err("no baseline").to_string();
        assert!(new.contains("without a baseline: watch"), "{new}");
        let gone = judged(&[("get", 1_000)], &["get"]).expect_err("a stale line").to_string();
        assert!(gone.contains("but no path: create"), "{gone}");
    }

    #[test]
    fn another_compiler_is_named_as_a_possible_cause() {
        let now = counts(&[("create", 2_000)]);
        let error =
            judge(&baseline(&[("create", 1_000)]), &["create"], &now, "rustc 2, here").expect_err("worse");
        assert!(error.to_string().contains("counted with rustc 1, here, this is rustc 2, here"), "{error}");
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let written = baseline(&[("create", 1_000), ("get", 7)]);
        assert_eq!(Baseline::parse(&written.to_string()).expect("our own"), written);
        assert_eq!(Baseline::parse("").expect("nothing yet"), Baseline::default());
        assert!(Baseline::parse("create many\n").is_err());
    }

    #[test]
    fn accepting_some_keeps_the_others_and_drops_what_is_gone() {
        let before = baseline(&[("create", 1_000), ("get", 7), ("old", 1)]);
        let accepted =
            before.with(&["get", "create", "watch"], counts(&[("create", 900)]), "rustc 2, here".to_owned());
        assert_eq!(accepted.counts, counts(&[("get", 7), ("create", 900)]));
        assert_eq!(accepted.counted_with, "rustc 2, here");
    }

    #[test]
    fn the_checked_in_baseline_can_be_read() {
        let file = crate::root().join("crates").join("guard").join("baseline.txt");
        let text = fs::read_to_string(file).expect("the baseline");
        let baseline = Baseline::parse(&text).expect("paths and counts");
        assert!(!baseline.counts.is_empty() && baseline.counts.iter().all(|(_, count)| *count > 0));
    }
}
