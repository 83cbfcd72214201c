//! Where errors of the domain become Kafka's codes, and codes become what an old version of an API can carry.
use controller::admin::AdminError;
use kafka_wire::{ApiKey, ErrorCode, Str};

/// A code as clients of this version know it: KAFKA_STORAGE_ERROR is newer than Fetch v5 and Produce v3, whose clients look for
/// another leader instead.
pub(crate) fn for_version(error: ErrorCode, api: ApiKey, version: i16) -> ErrorCode {
    let knows_storage_error = match api {
        ApiKey::Fetch => version > 5,
        ApiKey::Produce => version > 3,
        _ => true,
    };
    match error {
        ErrorCode::KAFKA_STORAGE_ERROR if !knows_storage_error => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        other => other,
    }
}

/// A failure as responses carry it: code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<Str>,
}

impl Failure {
    /// A failure with a text of its own.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { code, message: Some(text(message.into())) }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Failure {
        Failure { code, message: Some(Str::from_static(code.message())) }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Failure {
        Failure { code: code(&error), message: Some(text(error.to_string())) }
    }
}

/// Kafka's code for a refusal of the controller.
pub(crate) fn code(error: &AdminError) -> ErrorCode {
    ErrorCode(error.code())
}

/// The longest text that a response carries, in bytes; the protocol allows 32767.
const TEXT_BYTES_MAX: usize = 4096;

/// A text short enough for a response.
pub(crate) fn text(mut text: String) -> Str {
    if text.len() > TEXT_BYTES_MAX {
        let mut end = TEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    Str::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_get_codes_that_they_know() {
        let storage = ErrorCode::KAFKA_STORAGE_ERROR;
        assert_eq!(for_version(storage, ApiKey::Fetch, 5), ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(for_version(storage, ApiKey::Fetch, 6), storage);
        assert_eq!(for_version(storage, ApiKey::Produce, 3), ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(for_version(storage, ApiKey::Produce, 4), storage);
        assert_eq!(for_version(storage, ApiKey::ListOffsets, 1), storage);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let long = text("ü".repeat(5000));
        assert!(long.len() <= TEXT_BYTES_MAX && long.chars().all(|c| c == 'ü'));
    }
}
