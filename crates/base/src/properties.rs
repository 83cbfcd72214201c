//! Java property files (`server.properties`, `zoo.cfg`, `meta.properties`), read and written as java.util.Properties does.
//!
//! Invariants: entries keep the order and the line number of the file, so that a message about a value can say where it
//! stands; for a key that occurs twice the last value counts; no input makes the parser panic or hold more than a small
//! multiple of [`FILE_BYTES_MAX`]. Two differences from Java: a file that is valid UTF-8 is read as UTF-8 and not as
//! Latin-1, and a lone backslash at the end of the file makes no entry with an empty key.
use std::fmt::Write as _;
use std::io::{self, Read};

/// The largest property file that is read. Real ones have a few kilobytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// One `key=value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, with escapes resolved.
    pub key: String,
    /// The value, with escapes resolved; empty if the line has only a key.
    pub value: String,
    /// The line that the entry starts at, from 1; 0 for an entry that is from no file.
    pub line: u32,
}

/// An ordered list of properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<Property>,
}

/// Why a property file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesError {
    /// The file could not be read at all.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is larger than [`FILE_BYTES_MAX`].
    #[error("is larger than {FILE_BYTES_MAX} bytes, which no property file should be")]
    TooLarge,
    /// A `\u` is not followed by four hexadecimal digits.
    #[error("line {line}: `\\u` needs four hexadecimal digits after it; write `\\\\u` for a plain backslash")]
    BadUnicodeEscape {
        /// The line that the entry starts at, from 1.
        line: u32,
    },
    /// `\u` escapes name half of a surrogate pair.
    #[error("line {line}: the `\\u` escapes are half of a surrogate pair, which is no character")]
    LoneSurrogate {
        /// The line that the entry starts at, from 1.
        line: u32,
    },
}

impl Properties {
    /// A list without entries.
    pub fn new() -> Properties {
        Properties::default()
    }

    /// Reads a whole property file of at most [`FILE_BYTES_MAX`] bytes.
    pub fn read(source: &mut dyn Read) -> Result<Properties, PropertiesError> {
        let mut bytes = Vec::new();
        source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Properties::parse(&bytes)
    }

    /// Parses the content of a property file.
    pub fn parse(bytes: &[u8]) -> Result<Properties, PropertiesError> {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(PropertiesError::TooLarge);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().copied().map(char::from).collect(),
        };
        let mut entries = Vec::new();
        for logical in logical_lines(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
            entries.push(logical.into_property()?);
        }
        Ok(Properties { entries })
    }

    /// The value that counts for `key`: the last one.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// The entry that counts for `key`: the last one.
    pub fn entry(&self, key: &str) -> Option<&Property> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// Adds an entry that is from no file, for example from the command line. It wins over earlier ones.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.entries.push(Property { key: key.into(), value: value.into(), line: 0 });
    }

    /// Every entry in order, including those that a later one overrides.
    pub fn entries(&self) -> &[Property] {
        &self.entries
    }

    /// The entries that count, in order: of each key only the last.
    pub fn effective(&self) -> impl Iterator<Item = &Property> {
        let last = self.last_positions();
        self.entries
            .iter()
            .enumerate()
            .filter(move |(at, entry)| last.get(entry.key.as_str()) == Some(at))
            .map(|(_, e)| e)
    }

    /// The entries that a later entry of the same key overrides, in order, for a warning.
    pub fn overridden(&self) -> impl Iterator<Item = &Property> {
        let last = self.last_positions();
        self.entries
            .iter()
            .enumerate()
            .filter(move |(at, entry)| last.get(entry.key.as_str()) != Some(at))
            .map(|(_, e)| e)
    }

    fn last_positions(&self) -> std::collections::HashMap<&str, usize> {
        self.entries.iter().enumerate().map(|(at, entry)| (entry.key.as_str(), at)).collect()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries as the text of a property file, one line each, escaped so that [`Properties::parse`] and Java read
    /// back the same. Characters outside ASCII are written as `\uXXXX`, which both read alike.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            write_escaped(&mut text, &entry.key, true);
            text.push('=');
            write_escaped(&mut text, &entry.value, false);
            text.push('\n');
        }
        text
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Properties {
        let mut properties = Properties::new();
        for (key, value) in pairs {
            properties.push(key, value);
        }
        properties
    }
}

/// One entry's text after continuation lines were joined; escapes are still in it.
struct LogicalLine {
    text: String,
    line: u32,
}

impl LogicalLine {
    fn into_property(self) -> Result<Property, PropertiesError> {
        let (key, value) = split_entry(&self.text);
        Ok(Property { key: unescape(key, self.line)?, value: unescape(value, self.line)?, line: self.line })
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Joins continued lines and drops comments and blank lines.
///
/// A comment line is never continued; a continuation line that starts with `#` is text; a blank continuation line ends
/// the entry; a line of nothing but a backslash is no beginning of an entry.
fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lines = Vec::new();
    let mut open: Option<LogicalLine> = None;
    for (number, natural) in natural_lines(text).enumerate() {
        let start = natural.trim_start_matches(is_blank);
        let mut logical = match open.take() {
            Some(logical) => logical,
            None if start.is_empty() || start.starts_with(['#', '!']) => continue,
            None => LogicalLine { text: String::new(), line: u32::try_from(number + 1).unwrap_or(u32::MAX) },
        };
        let backslashes = start.len() - start.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            logical.text.push_str(&start[..start.len() - 1]);
            open = Some(logical).filter(|logical| !logical.text.is_empty());
        } else {
            logical.text.push_str(start);
            lines.push(logical);
        }
    }
    lines.extend(open);
    lines.retain(|logical| !logical.text.is_empty());
    lines
}

/// Splits at `\n`, `\r` and `\r\n`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some(end) = current.find(['\n', '\r']) else {
            rest = None;
            return Some(current);
        };
        let after = &current[end..];
        rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
        Some(&current[..end])
    })
}

/// Splits at the first `=`, `:` or white space without a backslash before it; white space around it and one `=` or `:`
/// after white space belong to the separator.
fn split_entry(text: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = text.find(|c: char| {
        let separates = !escaped && (matches!(c, '=' | ':') || is_blank(c));
        escaped = c == '\\' && !escaped;
        separates
    });
    let Some(end) = end else { return (text, "") };
    let rest = text[end..].trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&text[..end], rest.trim_start_matches(is_blank))
}

fn unescape(text: &str, line: u32) -> Result<String, PropertiesError> {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            None => {}
            Some('t') => result.push('\t'),
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('f') => result.push('\u{c}'),
            Some('u') => result.push(unicode_escape(&mut chars, line)?),
            Some(other) => result.push(other),
        }
    }
    Ok(result)
}

/// Reads the digits of a `\u` and, for the first half of a surrogate pair, the second `\u` with its digits.
fn unicode_escape(chars: &mut std::str::Chars<'_>, line: u32) -> Result<char, PropertiesError> {
    let first = hex_unit(chars, line)?;
    let mut units = vec![first];
    if (0xd800..0xdc00).contains(&first) && chars.as_str().starts_with("\\u") {
        chars.next();
        chars.next();
        units.push(hex_unit(chars, line)?);
    }
    char::decode_utf16(units).next().and_then(Result::ok).ok_or(PropertiesError::LoneSurrogate { line })
}

fn hex_unit(chars: &mut std::str::Chars<'_>, line: u32) -> Result<u16, PropertiesError> {
    let mut unit: u16 = 0;
    for _ in 0..4 {
        let digit =
            chars.next().and_then(|c| c.to_digit(16)).ok_or(PropertiesError::BadUnicodeEscape { line })?;
        unit = (unit << 4) | digit as u16;
    }
    Ok(unit)
}

fn write_escaped(text: &mut String, raw: &str, is_key: bool) {
    for (at, c) in raw.chars().enumerate() {
        match c {
            ' ' if is_key || at == 0 => text.push_str("\\ "),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\u{c}' => text.push_str("\\f"),
            '\\' | '=' | ':' | '#' | '!' => {
                text.push('\\');
                text.push(c);
            }
            ' '..='~' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(text, "\\u{unit:04X}").expect("writing to a String cannot fail");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
