//! Owns the rules of paths (`PathUtils.validatePath`) and the names of the nodes that the server keeps.

use crate::error::TreeError;

/// The root.
pub(crate) const ROOT: &str = "/";
/// The server's own subtree.
pub(crate) const ZOOKEEPER: &str = "/zookeeper";
/// Where quotas are kept.
pub(crate) const QUOTA: &str = "/zookeeper/quota";
/// Where the ensemble's configuration is kept.
pub(crate) const CONFIG: &str = "/zookeeper/config";

/// Whether the node is part of every tree: it can't be deleted, and its creation isn't counted by its parent.
pub(crate) fn is_reserved(path: &str) -> bool {
    matches!(path, ROOT | ZOOKEEPER | QUOTA | CONFIG)
}

/// Checks a final path: absolute, without empty, `.` or `..` segments, without the characters that ZooKeeper refuses.
pub(crate) fn validate(path: &str) -> Result<(), TreeError> {
    let Some(segments) = path.strip_prefix('/') else {
        return Err(TreeError::BadArguments);
    };
    if segments.is_empty() {
        return Ok(());
    }
    let (mut is_printable_ascii, mut start) = (true, 0);
    for (at, byte) in segments.bytes().enumerate() {
        if byte == b'/' {
            check_segment(&segments.as_bytes()[start..at])?;
            start = at + 1;
        }
        is_printable_ascii &= (0x20..0x7f).contains(&byte);
    }
    check_segment(&segments.as_bytes()[start..])?;
    // Nearly all paths are; only the others have to be decoded.
    if !is_printable_ascii && path.chars().any(is_refused) {
        return Err(TreeError::BadArguments);
    }
    Ok(())
}

fn check_segment(segment: &[u8]) -> Result<(), TreeError> {
    if matches!(segment, b"" | b"." | b"..") { Err(TreeError::BadArguments) } else { Ok(()) }
}

/// The characters that a path can't have. Those beyond U+FFFF are surrogates to Java, hence refused.
fn is_refused(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'.. )
}

/// Splits a path at its last slash into the parent's path (the root as [`ROOT`]) and the name. None if there is no
/// slash or there is a NUL, which ZooKeeper refuses before anything else.
pub(crate) fn split_parent(path: &str) -> Option<(&str, &str)> {
    if path.contains('\0') {
        return None;
    }
    let (parent, name) = path.rsplit_once('/')?;
    Some((if parent.is_empty() { ROOT } else { parent }, name))
}

/// Whether `path` is `ancestor` or below it.
pub(crate) fn is_within(path: &str, ancestor: &str) -> bool {
    match path.strip_prefix(ancestor) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || ancestor == ROOT,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zk_3_31_path_characters_and_segments() {
        for good in [
            "/",
            "/a",
            "/a/b",
            "/a b",
            "/...",
            "/.a",
            "/a.",
            "/..a",
            "/zoë",
            "/\u{d7ff}",
            "/\u{f900}",
            "/\u{ffef}",
        ] {
            assert_eq!(validate(good), Ok(()), "{good:?}");
        }
        for bad in [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/a/.",
            "/a/..",
            "/./a",
            "/../a",
            "/a/./b",
            "/\0",
            "/a\u{1}",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{ffff}",
            "/😀",
        ] {
            assert_eq!(validate(bad), Err(TreeError::BadArguments), "{bad:?}");
        }
    }

    #[test]
    fn parents() {
        assert_eq!(split_parent("/a"), Some(("/", "a")));
        assert_eq!(split_parent("/a/b"), Some(("/a", "b")));
        assert_eq!(split_parent("/"), Some(("/", "")));
        assert_eq!(split_parent("a"), None);
        assert_eq!(split_parent("/a\0"), None);
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/"));
        assert!(!is_within("/ab", "/a"));
    }
}
