//! A slice of the gate `cargo xtask sim --nodes`: fresh seeds of whole nodes, and a seed that runs the same twice.
use std::process::{Command, Output};

fn nodes(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nodes"))
        .args(arguments)
        .output()
        .expect("the binary was built with this test")
}

#[test]
fn fresh_seeds_are_clean() {
    let output = nodes(&["--seeds", "30"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_seed_runs_the_same_twice() {
    for seed in ["1", "2", "3"] {
        let run = || {
            let output = nodes(&["--seed", seed, "--brokers", "true", "--loud"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            output.stdout
        };
        let (first, second) = (run(), run());
        let same = first == second;
        assert!(same, "seed {seed} went two ways: {}", difference(&first, &second));
    }
}

/// The first line that differs.
fn difference(first: &[u8], second: &[u8]) -> String {
    let (first, second) = (String::from_utf8_lossy(first), String::from_utf8_lossy(second));
    let mut lines = first.lines().zip(second.lines());
    lines.find(|(one, other)| one != other).map_or(String::new(), |(one, other)| format!("{one}\n{other}"))
}
