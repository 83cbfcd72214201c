//! A small Rust lexer: source text with comments and the insides of literals blanked out, line for line.
//!
//! The rules look for names in code. Blanking keeps every newline, so a line number found in the masked text is the line
//! number in the file. Only what the rules need is understood; the compiler checks the rest.

use super::File;

/// `text` with comments, strings and character literals replaced by spaces.
pub(super) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        if end > at {
            let skipped = bytes.get(at..end).unwrap_or_default();
            masked.extend(skipped.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            masked.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&masked).into_owned()
}

/// Masked code without what compiles only for tests: whole test files, and items under `#[cfg(test)]`.
pub(super) fn code_outside_tests(file: &File) -> String {
    if is_test_file(&file.path) {
        return String::new();
    }
    let mut code = code(&file.text);
    if code.contains("#![cfg(test)]") {
        return String::new();
    }
    while let Some(start) = code.find("#[cfg(test)]") {
        let end = item_end(code.as_bytes(), start);
        let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
    }
    code
}

/// True for files that hold nothing but tests: `tests.rs`, and everything below a folder `tests` or `benches`.
pub(super) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path.split('/').any(|part| part == "tests" || part == "benches")
}

/// Where the literal or comment that starts at `at` ends; `at` itself if none starts there.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment(rest);
    }
    if rest[0] == b'"' {
        return at + 1 + quoted(&rest[1..], b'"');
    }
    if rest[0] == b'\'' {
        return at + character(rest);
    }
    if !in_word {
        for prefix in [&b"br"[..], b"cr", b"r"] {
            if let Some(length) = rest.strip_prefix(prefix).and_then(raw_string) {
                return at + prefix.len() + length;
            }
        }
    }
    at
}

/// The length of a block comment; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length up to and including the closing `quote`, which a backslash escapes.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal, or 0 if the quote opens a lifetime or label.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return 1 + quoted(&rest[1..], b'\'');
    }
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(inside), Some('\'')) => 2 + inside.len_utf8(),
        _ => 0,
    }
}

/// The length of `#"..."#` or `"..."` after a raw string's prefix.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'"'];
    closing.extend(std::iter::repeat_n(b'#', hashes));
    let body = &rest[hashes + 1..];
    let end = body.windows(closing.len()).position(|window| window == closing)?;
    Some(hashes + 1 + end + closing.len())
}

/// Where the item after the attribute at `start` ends: behind its `;`, or behind the brace that closes it.
fn item_end(code: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'[' | b'(' => brackets += 1,
            b']' | b')' => brackets = brackets.saturating_sub(1),
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' | b',' if depth == 0 && brackets == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_become_blank() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", z)"#, "f(      , z)"),
            (r###"r#"a"b"# + c"###, "         + c"),
            ("'x' + b'\\n' + 'a", "    + b     + 'a"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("\"two\nlines\"", "    \n      "),
        ];
        for (text, expected) in cases {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn items_for_tests_become_blank() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c() } }\nfn d() {}\n#[cfg(test)]\nmod e;\nfn f() {}";
        let file = File { path: "crates/log/src/lib.rs".to_owned(), text: text.to_owned() };
        let code = code_outside_tests(&file);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["fn", "a()", "{}", "fn", "d()", "{}", "fn", "f()", "{}"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }
}
