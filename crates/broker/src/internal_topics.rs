//! Topics that the broker keeps its own state in, and who creates them.
use std::future::Future;
use std::pin::Pin;

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: &'static str,
    /// How many partitions it gets.
    pub partitions: i32,
    /// How many replicas each gets; fewer if there are fewer brokers is for the creator to refuse.
    pub replication_factor: i16,
    /// Its settings.
    pub configs: Vec<(&'static str, String)>,
}

/// The outcome of a creation; a topic that exists already counts as created.
pub type Created<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Who creates topics: the controller.
pub trait InternalTopics: Send + Sync + 'static {
    /// Creates the topic.
    ///
    /// # Errors
    /// Why it could not be created, for the operator.
    fn create(&self, topic: NewTopic) -> Created<'_>;
}

/// Whether clients may not produce to the topic because the broker owns its records.
pub(crate) fn is_closed_to_producers(topic: &str) -> bool {
    matches!(topic, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}
