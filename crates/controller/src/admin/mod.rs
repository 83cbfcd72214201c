//! Kafka's administrative requests, as writes of znodes.
//!
//! Invariant: a request is answered once the local picture shows what it did, so that the client's next request sees it.
mod assignment;
mod configs;
mod elections;
mod names;
mod producer_ids;
mod reassignments;
mod shutdown;
mod topics;

pub use configs::{ConfigChanges, ConfigResource};
pub use elections::{ElectionKind, ElectionResult};
pub use names::validate_topic_name;
pub use reassignments::{OngoingReassignment, ReassignmentResult, WantedReassignment};
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
    /// There is no such partition.
    #[error("The topic '{0}' has no partition {1}.")]
    UnknownPartition(String, i32),
    /// The partition's replicas are not being moved.
    #[error("No reassignment of the partition is in progress.")]
    NoReassignmentInProgress,
    /// The partition's replicas are being moved.
    #[error("{0}")]
    ReassignmentInProgress(String),
    /// The partition is led as wanted already.
    #[error("Leader election not needed for the partition.")]
    ElectionNotNeeded,
    /// The preferred leader is not alive or not in sync.
    #[error("The preferred leader was not available.")]
    PreferredLeaderNotAvailable,
    /// None of the partition's replicas is alive.
    #[error("Eligible topic partition leaders are not available.")]
    EligibleLeadersNotAvailable,
    /// Another broker is the controller.
    #[error("This is not the correct controller for this cluster.")]
    NotController,
    /// The broker has registered anew since.
    #[error("The broker epoch {given} is stale: broker {broker} has registered with epoch {registered}.")]
    StaleBrokerEpoch {
        /// The broker.
        broker: i32,
        /// The epoch in the request.
        given: i64,
        /// Its present epoch.
        registered: i64,
    },
    /// The broker is not registered.
    #[error("The broker {0} is not available.")]
    BrokerNotAvailable(i32),
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
            AdminError::UnknownPartition(..) => 3,
            AdminError::NoReassignmentInProgress => 85,
            AdminError::ReassignmentInProgress(_) => 60,
            AdminError::ElectionNotNeeded => 84,
            AdminError::PreferredLeaderNotAvailable => 80,
            AdminError::EligibleLeadersNotAvailable => 83,
            AdminError::NotController => 41,
            AdminError::StaleBrokerEpoch { .. } => 77,
            AdminError::BrokerNotAvailable(_) => 8,
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
