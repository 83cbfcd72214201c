//! Tests of the property file parser; the expectations were taken from java.util.Properties.
use super::*;

fn pairs(text: &str) -> Vec<(String, String)> {
    let properties = Properties::parse(text.as_bytes()).expect("the text is well-formed");
    properties.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}

fn check(text: &str, expect: &[(&str, &str)]) {
    let expect: Vec<_> = expect.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    assert_eq!(pairs(text), expect, "of {text:?}");
}

#[test]
fn properties_separators() {
    check("a=1\nb:2\nc 3\nd\t4\ne\u{c}5\n", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")]);
    check("a = 1\nb  :  2\nc   3", &[("a", "1"), ("b", "2"), ("c", "3")]);
    check("a==1\nb=:2\nc : = 3", &[("a", "=1"), ("b", ":2"), ("c", "= 3")]);
    check("alone\nempty=\nspace   \n", &[("alone", ""), ("empty", ""), ("space", "")]);
    check("=value\n:\n", &[("", "value"), ("", "")]);
    check("listeners=PLAINTEXT://:9092,SSL://h:1", &[("listeners", "PLAINTEXT://:9092,SSL://h:1")]);
}

#[test]
fn properties_values_keep_trailing_blanks() {
    check("a = b \t\n", &[("a", "b \t")]);
}

#[test]
fn properties_comments_and_blank_lines() {
    check(
        "# one\n! two\n   # three\n\t\n\u{c}\na=1 # not a comment\nb=!2",
        &[("a", "1 # not a comment"), ("b", "!2")],
    );
    check("# a comment is not continued \\\na=1", &[("a", "1")]);
}

#[test]
fn properties_line_ends() {
    check("a=1\rb=2\r\nc=3\n\rd=4", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    check("", &[]);
}

#[test]
fn properties_continuation() {
    check("fruits = apple, banana, \\\n         pear\nb=2", &[("fruits", "apple, banana, pear"), ("b", "2")]);
    check("a=1\\\r\n  2\\\r3", &[("a", "123")]);
    check("ke\\\n   y = v", &[("key", "v")]);
    check("a=1\\\\\nb=2", &[("a", "1\\"), ("b", "2")]);
    check("a=1\\\\\\\nb=2", &[("a", "1\\b=2")]);
    check("a=1\\\n# not a comment", &[("a", "1# not a comment")]);
    check("a=1\\\n\nb=2", &[("a", "1"), ("b", "2")]);
    check("a=1\\\n   \nb=2", &[("a", "1"), ("b", "2")]);
    check("a=1\\", &[("a", "1")]);
    check("\\\n\\\n", &[]);
    check("\\\na=1", &[("a", "1")]);
    check("\\\n# a comment\na=1", &[("a", "1")]);
}

#[test]
fn properties_escapes() {
    check(r"a\=b=c\td\ne\rf\fg\\h\qi", &[("a=b", "c\td\ne\rf\u{c}g\\hqi")]);
    check(r"a\:b\ c : d", &[("a:b c", "d")]);
    check(r"\#a=\ b", &[("#a", " b")]);
    check(r"path=C:\\data\new", &[("path", "C:\\data\new")]);
    check("u=\\u0041\\u00e9\\uD83D\\uDE00", &[("u", "Aé😀")]);
}

#[test]
fn properties_bad_escapes_name_the_line() {
    let error = Properties::parse(b"a=1\n\nb=\\u12g4").expect_err("g is no digit");
    assert!(matches!(error, PropertiesError::BadUnicodeEscape { line: 3 }), "{error}");
    assert!(Properties::parse(b"a=\\u12").is_err());
    for lone in ["a=\\uD83D", "a=\\uDE00", "a=\\uD83D\\u0041"] {
        let error = Properties::parse(lone.as_bytes()).expect_err("half a pair");
        assert!(matches!(error, PropertiesError::LoneSurrogate { line: 1 }), "{error}");
    }
}

#[test]
fn properties_duplicates_the_last_one_wins() {
    let mut properties = Properties::parse(b"a=1\nb=2\na=3\n").expect("well-formed");
    assert_eq!(properties.get("a"), Some("3"));
    assert_eq!(properties.get("c"), None);
    assert_eq!(properties.entry("a").map(|entry| entry.line), Some(3));
    let effective: Vec<_> = properties.effective().map(|e| (e.key.as_str(), e.value.as_str())).collect();
    assert_eq!(effective, [("b", "2"), ("a", "3")]);
    let overridden: Vec<_> = properties.overridden().map(|e| (e.key.as_str(), e.line)).collect();
    assert_eq!(overridden, [("a", 1)]);
    properties.push("b", "4");
    assert_eq!(properties.get("b"), Some("4"));
    assert_eq!(properties.entry("b").map(|entry| entry.line), Some(0));
}

#[test]
fn properties_line_numbers_are_of_the_first_line() {
    let properties = Properties::parse(b"# c\r\na=1\\\r\n 2\r\n\r\nb=3").expect("well-formed");
    let lines: Vec<_> = properties.entries().iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [2, 5]);
}

#[test]
fn properties_utf8_or_latin1() {
    check("dir=/daten/größe", &[("dir", "/daten/größe")]);
    let latin1 = Properties::parse(b"dir=gr\xf6\xdfe").expect("every byte is a Latin-1 character");
    assert_eq!(latin1.get("dir"), Some("größe"));
    check("\u{feff}a=1", &[("a", "1")]);
}

#[test]
fn properties_size_is_bounded() {
    let large = vec![b'a'; FILE_BYTES_MAX as usize + 1];
    assert!(matches!(Properties::parse(&large), Err(PropertiesError::TooLarge)));
    let mut endless = std::io::repeat(b'#');
    assert!(matches!(Properties::read(&mut endless), Err(PropertiesError::TooLarge)));
    let mut small = &b"a=1"[..];
    assert_eq!(Properties::read(&mut small).expect("well-formed").get("a"), Some("1"));
}

#[test]
fn properties_written_text_reads_back_the_same() {
    let original: Properties = [
        ("plain", "value"),
        ("with space", " leading and  inner "),
        ("a=b:c#d!e", "=:#!"),
        ("back\\slash", "C:\\dir\\"),
        ("", ""),
        ("tabs", "\t\n\r\u{c}"),
        ("größe", "ä😀\u{7f}"),
    ]
    .into_iter()
    .collect();
    let text = original.to_text();
    assert!(text.is_ascii());
    let read = Properties::parse(text.as_bytes()).expect("what we write is well-formed");
    let pairs =
        |p: &Properties| p.entries().iter().map(|e| (e.key.clone(), e.value.clone())).collect::<Vec<_>>();
    assert_eq!(pairs(&read), pairs(&original));
}

#[test]
fn properties_any_bytes_are_survived() {
    let alphabet = b"a=: \\\n\r#!u0\xc3\xa4\t";
    let mut state: u32 = 1;
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..24)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                alphabet[(state >> 16) as usize % alphabet.len()]
            })
            .collect();
        if let Ok(properties) = Properties::parse(&bytes) {
            let again =
                Properties::parse(properties.to_text().as_bytes()).expect("what we write is well-formed");
            assert_eq!(again.entries().len(), properties.entries().len(), "of {bytes:?}");
        }
    }
}
