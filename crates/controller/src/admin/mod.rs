//! Kafka's administrative requests, as writes of znodes.
//!
//! Invariant: a request is answered once the local picture shows what it did, so that the client's next request sees it.
mod assignment;
mod configs;
mod names;
mod producer_ids;
mod topics;

pub use configs::{ConfigChanges, ConfigResource};
pub use names::validate_topic_name;
pub use topics::{CreatedTopic, NewTopic};

use crate::config::ConfigError;
use ensemble::CoordinatorError;

/// Why an administrative request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// There is such a topic.
    #[error("Topic '{0}' already exists.")]
    TopicExists(String),
    /// There is no such topic.
    #[error("This server does not host the topic '{0}'.")]
    UnknownTopic(String),
    /// There is no topic with this id.
    #[error("This server does not host a topic with id {0}.")]
    UnknownTopicId(uuid::Uuid),
    /// The name is not allowed.
    #[error("{0}")]
    InvalidTopicName(String),
    /// The number of partitions is not allowed.
    #[error("{0}")]
    InvalidPartitions(String),
    /// There are not enough brokers, or the number makes no sense.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// The assignment given by hand makes no sense.
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// A setting is not allowed.
    #[error(transparent)]
    InvalidConfig(#[from] ConfigError),
    /// The request contradicts itself, or asks for what this server never does.
    #[error("{0}")]
    InvalidRequest(String),
    /// Deletion is switched off.
    #[error("Topic deletion is disabled.")]
    TopicDeletionDisabled,
    /// The change was written, but the picture does not show it yet.
    #[error("the change was written, but was not visible everywhere within {0} ms")]
    RequestTimedOut(u64),
    /// The tree can't be written at the moment.
    #[error("coordination is not available: {0}")]
    Unavailable(String),
}

impl AdminError {
    /// Kafka's error code.
    pub fn code(&self) -> i16 {
        match self {
            AdminError::TopicExists(_) => 36,
            AdminError::UnknownTopic(_) => 3,
            AdminError::UnknownTopicId(_) => 100,
            AdminError::InvalidTopicName(_) => 17,
            AdminError::InvalidPartitions(_) => 37,
            AdminError::InvalidReplicationFactor(_) => 38,
            AdminError::InvalidReplicaAssignment(_) => 39,
            AdminError::InvalidConfig(error) => error.code(),
            AdminError::InvalidRequest(_) => 42,
            AdminError::TopicDeletionDisabled => 73,
            AdminError::RequestTimedOut(_) => 7,
            AdminError::Unavailable(_) => 41,
        }
    }
}

impl From<CoordinatorError> for AdminError {
    fn from(error: CoordinatorError) -> AdminError {
        AdminError::Unavailable(error.to_string())
    }
}
