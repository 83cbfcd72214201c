//! What no tracked file says: paths of somebody's machine, and hosts of package registries.

use super::{File, Violation};

/// The only tracked files that name registries by right: Cargo writes them.
const EXEMPT: &str = "Cargo.lock";

/// Folders that exist on one machine only. Split, so that this file passes its own rule.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tmp/", "target"),
];

/// Hosts of package registries; the clients know them, and a company's machines use others.
const REGISTRY_HOSTS: [&str; 10] = [
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("crates.io", "-index"),
    concat!("//crates", ".io"),
    concat!("maven", ".org"),
    concat!("maven.apache", ".org/maven2"),
    concat!("npmjs", ".org"),
    concat!("proxy.golang", ".org"),
];

pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.path.rsplit('/').next() != Some(EXEMPT)) {
        for (index, line) in file.text.lines().enumerate() {
            let mut report =
                |message| violations.push(Violation { path: file.path.clone(), line: index + 1, message });
            for path in MACHINE_PATHS {
                if starts_a_path(line, path) {
                    report(format!("`{path}` is a path of one machine"));
                }
            }
            for host in REGISTRY_HOSTS {
                if line.contains(host) {
                    report(format!("`{host}` is a registry's host; leave it to the package client"));
                }
            }
        }
    }
    violations
}

/// True if `path` stands in `line` as the beginning of an absolute path.
fn starts_a_path(line: &str, path: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')' | '$' | '*');
    line.match_indices(path).any(|(at, _)| !line[..at].chars().next_back().is_some_and(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&[File { path: path.to_owned(), text: text.to_owned() }]).len()
    }

    #[test]
    fn every_machine_path_is_caught() {
        for path in MACHINE_PATHS {
            assert_eq!(found("README.md", &format!("see {path}main\n")), 1, "{path}");
            assert_eq!(found("README.md", &format!("see target{path}main\n")), 0, "{path}");
        }
    }

    #[test]
    fn every_registry_host_is_caught() {
        for host in REGISTRY_HOSTS {
            assert!(found("compat/pip.conf", &format!("index = https:{host}/simple\n")) >= 1, "{host}");
        }
    }

    #[test]
    fn lock_files_may_name_their_registry() {
        for path in ["Cargo.lock", "fuzz/Cargo.lock"] {
            assert_eq!(found(path, &format!("source = {}\n", REGISTRY_HOSTS[4])), 0);
        }
        assert_eq!(found("Cargo.lock.txt", &format!("source = {}\n", REGISTRY_HOSTS[4])), 1);
    }
}
