//! Why a configuration is refused.

/// A refusal of a configuration, with the key, the value and what is allowed.
///
/// The texts follow those of Kafka, because people and tools search for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The value is not of the key's type or not among the allowed ones.
    #[error("Invalid value {value} for configuration {key}: {allowed}")]
    InvalidValue {
        /// The key.
        key: String,
        /// The value as it was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The resource has no such key.
    #[error("Unknown {scope} config name: {key}")]
    UnknownKey {
        /// `topic` or `group`.
        scope: &'static str,
        /// The key.
        key: String,
    },
    /// Each value is fine, but not together with another one.
    #[error("{0}")]
    Conflict(String),
    /// Kafka allows it, but this server does not do it, so it does not accept it.
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    NotSupported {
        /// The key.
        key: String,
        /// The value as it was given.
        value: String,
        /// What is missing.
        reason: &'static str,
    },
    /// An append to or subtract from a key that is no list.
    #[error("Can't {operation} to key {key} because its type is not LIST.")]
    NotAList {
        /// `APPEND` or `SUBTRACT`.
        operation: &'static str,
        /// The key.
        key: String,
    },
    /// A value is needed.
    #[error("Null value not supported for : {key}")]
    NullValue {
        /// The key.
        key: String,
    },
    /// A request names a key twice.
    #[error("Error due to duplicate config keys: {key}")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The value is longer than a stored configuration may be.
    #[error("The value of configuration {key} has {bytes} bytes; at most {bytes_max} are stored")]
    TooLong {
        /// The key.
        key: String,
        /// The length of the value.
        bytes: usize,
        /// The most that is stored.
        bytes_max: usize,
    },
    /// The broker key is read at start only.
    #[error("Cannot update these configs dynamically: [{key}]")]
    NotDynamic {
        /// The key.
        key: String,
    },
    /// The security key belongs to a listener.
    #[error(
        "These security configs can be dynamically updated only per-listener using the listener prefix: [{key}]"
    )]
    NeedsListenerPrefix {
        /// The key.
        key: String,
    },
    /// The broker key cannot be a default of all brokers.
    #[error("Cannot update these configs at default cluster level, broker id must be specified: [{key}]")]
    PerBrokerOnly {
        /// The key.
        key: String,
    },
    /// The broker refuses a dynamic update; the text is that of the refusal.
    #[error("{0}")]
    DynamicUpdate(Box<ConfigError>),
}

/// Kafka's INVALID_CONFIG.
const INVALID_CONFIG: i16 = 40;
/// Kafka's INVALID_REQUEST.
const INVALID_REQUEST: i16 = 42;

impl ConfigError {
    /// The error code of the Kafka protocol: 40 INVALID_CONFIG for topics and groups, 42 INVALID_REQUEST for malformed
    /// requests and for every refused broker update (KAFKA-13609 says why Kafka keeps that).
    pub fn code(&self) -> i16 {
        match self {
            ConfigError::InvalidValue { .. }
            | ConfigError::UnknownKey { .. }
            | ConfigError::Conflict(_)
            | ConfigError::NotSupported { .. }
            | ConfigError::NotAList { .. }
            | ConfigError::TooLong { .. } => INVALID_CONFIG,
            ConfigError::NullValue { .. }
            | ConfigError::DuplicateKey { .. }
            | ConfigError::NotDynamic { .. }
            | ConfigError::NeedsListenerPrefix { .. }
            | ConfigError::PerBrokerOnly { .. }
            | ConfigError::DynamicUpdate(_) => INVALID_REQUEST,
        }
    }

    /// The key that the refusal is about, if it is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            ConfigError::InvalidValue { key, .. }
            | ConfigError::UnknownKey { key, .. }
            | ConfigError::NotSupported { key, .. }
            | ConfigError::NotAList { key, .. }
            | ConfigError::NullValue { key }
            | ConfigError::DuplicateKey { key }
            | ConfigError::TooLong { key, .. }
            | ConfigError::NotDynamic { key }
            | ConfigError::NeedsListenerPrefix { key }
            | ConfigError::PerBrokerOnly { key } => Some(key),
            ConfigError::DynamicUpdate(inner) => inner.key(),
            ConfigError::Conflict(_) => None,
        }
    }

    pub(super) fn invalid(key: &str, value: impl Into<String>, allowed: impl Into<String>) -> ConfigError {
        ConfigError::InvalidValue { key: key.to_owned(), value: value.into(), allowed: allowed.into() }
    }
}
