//! What a Rust file looks like: a header, a bounded length, no unfinished or silenced code, no `unwrap` on the way.

use super::mask::{code, code_outside_tests, is_test_file};
use super::{File, Violation};

/// The longest file of ordinary code, in lines: one noun per file.
const LINES_MAX: usize = 800;

/// The longest file of tests, in lines. Cases are lists, and a list is not harder to read for being long.
const TEST_LINES_MAX: usize = 1600;

/// Marks of unfinished or silenced code, looked for in code with comments and strings blanked out.
const BANNED_CODE: [(&str, &str); 6] = [
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("#[ignore", "make the test run, or remove it"),
    ("allow(dead_code", "remove what nothing uses"),
    ("allow(unused", "remove what nothing uses"),
    ("dbg!", "remove it"),
];

/// Marks in comments; looked for as whole words in the raw text.
const BANNED_WORDS: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];

pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let mut report = |line: usize, message: String| {
            violations.push(Violation { path: file.path.clone(), line, message })
        };
        if !file.text.starts_with("//!") {
            report(1, "a file opens with a `//!` header that says what it owns".to_owned());
        }
        let limit = if is_test_file(&file.path) { TEST_LINES_MAX } else { LINES_MAX };
        let lines = file.text.lines().count();
        if lines > limit {
            report(limit + 1, format!("{lines} lines are more than {limit}: is this still one noun?"));
        }
        for (index, line) in code(&file.text).lines().enumerate() {
            for (mark, advice) in BANNED_CODE {
                if has_word(line, mark) {
                    report(index + 1, format!("`{mark}`: {advice}"));
                }
            }
        }
        for (index, line) in file.text.lines().enumerate() {
            for word in BANNED_WORDS {
                if has_word(line, word) {
                    report(index + 1, format!("`{word}`: finish it, or file an issue"));
                }
            }
        }
        if file.path.starts_with("crates/") && file.path.contains("/src/") {
            for (index, line) in code_outside_tests(file).lines().enumerate() {
                if line.contains(".unwrap()") {
                    report(
                        index + 1,
                        "`unwrap` outside tests: return an error, or `expect` with the reason".to_owned(),
                    );
                }
            }
        }
    }
    violations
}

/// True if `line` holds `mark` with no letter, digit or underscore before or after it.
fn has_word(line: &str, mark: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + mark.len()..].chars().next();
        let closed = mark.ends_with(|c: char| !in_word(c)) || !after.is_some_and(in_word);
        !before.is_some_and(in_word) && (closed || mark.contains('('))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&[file]).iter().map(ToString::to_string).collect()
    }

    fn caught(path: &str, text: &str, part: &str) {
        let lines = found(path, text);
        assert_eq!(lines.len(), 1, "{text:?} gave {lines:?}");
        assert!(lines[0].contains(part), "{lines:?}");
    }

    #[test]
    fn a_file_without_a_header_is_caught() {
        caught("crates/log/src/a.rs", "use std::fs;\n", "a.rs:1: a file opens with");
    }

    #[test]
    fn a_long_file_is_caught_and_tests_may_be_longer() {
        let lines = |count: usize| format!("//! A header.\n{}", "\n".repeat(count - 1));
        assert_eq!(found("crates/log/src/a.rs", &lines(LINES_MAX)), Vec::<String>::new());
        caught("crates/log/src/a.rs", &lines(LINES_MAX + 1), "801 lines are more than 800");
        assert_eq!(found("crates/log/tests/a.rs", &lines(LINES_MAX + 1)), Vec::<String>::new());
        caught("crates/log/src/tests.rs", &lines(TEST_LINES_MAX + 1), "1601 lines are more than 1600");
    }

    #[test]
    fn unfinished_and_silenced_code_is_caught() {
        let lines = [
            "fn f() { todo!() }",
            "fn f() { unimplemented!(\"later\") }",
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "#[allow(dead_code)]",
            "#![allow(unused_variables)]",
            "fn f() { dbg!(1); }",
        ];
        for line in lines {
            caught("crates/log/tests/a.rs", &format!("//! A header.\n{line}\n"), "a.rs:2: `");
        }
    }

    #[test]
    fn marks_in_comments_are_caught_and_words_that_hold_them_are_not() {
        for word in BANNED_WORDS {
            caught("xtask/src/a.rs", &format!("//! A header.\n// {word}: later\n"), "file an issue");
            assert_eq!(
                found("xtask/src/a.rs", &format!("//! A header.\n// MY{word}S\n")),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn names_in_strings_are_not_code() {
        let text = "//! A header.\nfn f() -> &'static str { \"todo!() and .unwrap()\" }\n";
        assert_eq!(found("crates/log/src/a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn unwrap_is_caught_in_a_crate_and_not_in_its_tests() {
        caught("crates/log/src/a.rs", "//! A header.\nfn f() { g().unwrap(); }\n", "a.rs:2: `unwrap`");
        let tested = "//! A header.\n#[cfg(test)]\nmod tests {\n    fn f() { g().unwrap(); }\n}\n";
        assert_eq!(found("crates/log/src/a.rs", tested), Vec::<String>::new());
        let after = "//! A header.\n#[cfg(test)]\nmod tests {}\nfn f() { g().unwrap(); }\n";
        caught("crates/log/src/a.rs", after, "a.rs:4: `unwrap`");
        assert_eq!(
            found("crates/log/src/tests.rs", "//! A header.\nfn f() { g().unwrap(); }\n"),
            Vec::<String>::new()
        );
    }
}
