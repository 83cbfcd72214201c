//! Which names a topic may have (`org.apache.kafka.common.internals.Topic`).
use super::AdminError;

/// The longest topic name: with a partition number behind it, it must fit a folder's name.
const NAME_BYTES_MAX: usize = 249;

/// Refuses a name that no topic may have.
pub fn validate_topic_name(name: &str) -> Result<(), AdminError> {
    let refuse = |why: String| Err(AdminError::InvalidTopicName(why));
    if name.is_empty() {
        return refuse("Topic name is invalid: the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return refuse("Topic name is invalid: '.' or '..' is not allowed".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return refuse(format!(
            "Topic name is invalid: the length of '{name}' is longer than the max allowed length {NAME_BYTES_MAX}"
        ));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return refuse(format!(
            "Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}

/// Names that differ only in `.` and `_` collide in metrics, so Kafka allows only one of them.
pub(crate) fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        for good in ["a", "a.b-c_D9", "__consumer_offsets", &"x".repeat(249)] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(250)] {
            assert!(validate_topic_name(bad).is_err(), "{bad}");
        }
    }
}
