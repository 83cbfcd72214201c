//! The rooms of ARCHITECTURE.md: a crate depends only on crates of lower rows, and the pure ones on nothing that acts.

use super::{File, Violation};

/// Every crate of `crates/` with its row. Crates of one row don't know each other; the last row is
/// for development, and nothing depends on it.
const ROWS: [(&str, u8); 17] = [
    ("base", 0),
    ("jute", 0),
    ("kafka-wire", 0),
    ("log", 1),
    ("peers", 1),
    ("quorum", 1),
    ("tree", 1),
    ("ensemble", 2),
    ("controller", 3),
    ("broker", 4),
    ("admin", 5),
    ("kafka", 5),
    ("streams", 5),
    ("zookeeper", 5),
    ("zoolog", 6),
    ("guard", 7),
    ("sim", 7),
];

/// Crates that are pure functions of their input: no disk, network, clock, threads or randomness.
const PURE: [&str; 4] = ["jute", "kafka-wire", "quorum", "tree"];

/// Packages that act, which a pure crate must not use outside its tests.
const ACTING: [&str; 7] = ["base", "getrandom", "libc", "mimalloc", "rand", "tokio", "tracing-subscriber"];

/// Names of the standard library that act. Of `std::net` only sockets do; addresses are values.
const ACTING_PATHS: [&str; 10] = [
    "std::env",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::std",
];

fn row(name: &str) -> Option<u8> {
    ROWS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, row)| *row)
}

/// Whose manifest or source `path` is, if it lies in a crate.
fn owner(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files {
        let Some(name) = owner(&file.path) else { continue };
        if file.path == format!("crates/{name}/Cargo.toml") {
            manifest(name, file, &mut violations);
        }
        if PURE.contains(&name) && file.path.contains("/src/") && file.path.ends_with(".rs") {
            pure_source(file, &mut violations);
        }
    }
    violations
}

/// Checks the dependency tables of one manifest.
fn manifest(name: &str, file: &File, violations: &mut Vec<Violation>) {
    let mut report = |line, message| violations.push(Violation { path: file.path.clone(), line, message });
    let Some(own) = row(name) else {
        return report(1, format!("crate `{name}` has no row; give it one in xtask/src/tidy/rows.rs"));
    };
    let mut table = "";
    for (index, text) in file.text.lines().enumerate() {
        let text = text.trim();
        if text.starts_with('[') {
            table = text;
            continue;
        }
        if !table.contains("dependencies") || text.starts_with('#') {
            continue;
        }
        let dependency: String =
            text.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
        if let Some(other) = row(&dependency)
            && other >= own
        {
            report(
                index + 1,
                format!(
                    "`{name}` (row {own}) depends on `{dependency}` (row {other}); only lower rows are allowed"
                ),
            );
        }
        if PURE.contains(&name) && !table.contains("dev-") && ACTING.contains(&dependency.as_str()) {
            report(index + 1, format!("`{name}` is pure and must not depend on `{dependency}`"));
        }
    }
}

/// Checks that a pure crate's code, tests aside, names nothing that acts.
fn pure_source(file: &File, violations: &mut Vec<Violation>) {
    let code = super::mask::code_outside_tests(file);
    for (index, line) in code.lines().enumerate() {
        for path in ACTING_PATHS {
            if line.contains(path) {
                let message = format!("a pure crate must not use `{path}`");
                violations.push(Violation { path: file.path.clone(), line: index + 1, message });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&[file]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_on_a_higher_row_is_caught() {
        let lines = found(
            "crates/log/Cargo.toml",
            "[dependencies]\nbase.workspace = true\nbroker.workspace = true\n",
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("crates/log/Cargo.toml:3: `log` (row 1) depends on `broker`"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_dependency_within_a_row_is_caught_in_every_kind_of_table() {
        for table in
            ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies", "build-dependencies"]
        {
            let lines =
                found("crates/kafka/Cargo.toml", &format!("[{table}]\nzookeeper = {{ workspace = true }}\n"));
            assert_eq!(lines.len(), 1, "{table}: {lines:?}");
        }
    }

    #[test]
    fn lower_rows_and_outside_crates_are_allowed() {
        let text =
            "[package]\nname = \"kafka\"\n[dependencies]\nlog.workspace = true\nbytes.workspace = true\n";
        assert_eq!(found("crates/kafka/Cargo.toml", text), Vec::<String>::new());
    }

    #[test]
    fn a_crate_without_a_row_is_caught() {
        assert_eq!(found("crates/utils/Cargo.toml", "[package]\n").len(), 1);
    }

    #[test]
    fn a_pure_crate_that_depends_on_something_that_acts_is_caught() {
        assert_eq!(found("crates/tree/Cargo.toml", "[dependencies]\ntokio.workspace = true\n").len(), 1);
        assert_eq!(found("crates/tree/Cargo.toml", "[dev-dependencies]\ntokio.workspace = true\n").len(), 0);
    }

    #[test]
    fn a_pure_crate_that_reads_the_clock_or_disk_is_caught() {
        let lines =
            found("crates/quorum/src/lib.rs", "//! Pure.\nuse std::fs::File;\n// std::fs in words is fine\n");
        assert_eq!(lines, ["crates/quorum/src/lib.rs:2: a pure crate must not use `std::fs`"]);
        let address = "//! Pure.\nuse std::net::{IpAddr, Ipv4Addr};\nuse std::net::TcpStream;\n";
        assert_eq!(found("crates/tree/src/lib.rs", address).len(), 1);
        let tested = "//! Pure.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(found("crates/quorum/src/lib.rs", tested), Vec::<String>::new());
    }
}
