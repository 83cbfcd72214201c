//! Carries out the controller's duties as znode transactions, each guarded by the controller's epoch.
//!
//! Invariant: every write is one multi with a check of /controller_epoch, as Kafka's controller does it, so that a controller
//! that lost its place changes nothing.
use crate::duties::{Duty, assignment_data, create};
use crate::layout::{self, PartitionState, TopicAssignment};
use crate::view::ClusterView;
use ensemble::{Coordinator, CoordinatorError, Write};
use std::sync::Arc;
use tree::TreeError;
use uuid::Uuid;

/// How many writes go into one transaction at most.
const WRITES_MAX: usize = 500;

/// What the controller needs to write.
pub(crate) struct Executor<'a> {
    pub(crate) coordinator: &'a dyn Coordinator,
    /// The version of /controller_epoch under which this controller was elected.
    pub(crate) epoch_version: i32,
    pub(crate) new_id: &'a (dyn Fn() -> Uuid + Send + Sync),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The duty is done, or somebody changed the znodes meanwhile and the next picture decides anew.
    Settled,
    /// Another controller was elected.
    Deposed,
}

impl Executor<'_> {
    /// Does one duty.
    pub(crate) async fn execute(&self, view: &ClusterView, duty: &Duty) -> Result<Done, CoordinatorError> {
        match duty {
            Duty::GiveId { topic } => self.give_id(topic).await,
            Duty::Elect { topic, states } => self.elect(topic, states).await,
            Duty::Delete { topic } => self.delete(view, topic).await,
            Duty::RefuseDeletion { topic } => {
                tracing::warn!(%topic, "the topic must not be deleted (delete.topic.enable, or it is the znode log)");
                self.write(vec![delete(layout::delete_topic_path(topic))]).await
            }
        }
    }

    async fn give_id(&self, topic: &str) -> Result<Done, CoordinatorError> {
        let path = layout::topic_path(topic);
        let Some((Some(data), stat)) = self.coordinator.get(&path).await? else { return Ok(Done::Settled) };
        let Ok(assignment) = layout::decode::<TopicAssignment>("topic assignment", &path, &data) else {
            return Ok(Done::Settled);
        };
        let mut with_id = assignment;
        with_id.version = 3;
        with_id.topic_id = Some(layout::encode_id((self.new_id)()));
        let data = Some(layout::encode(&with_id));
        self.write(vec![Write::Set { path, data, version: stat.version }]).await
    }

    async fn elect(
        &self,
        topic: &str,
        states: &[(i32, i32, PartitionState)],
    ) -> Result<Done, CoordinatorError> {
        let mut writes = Vec::new();
        self.create_if_missing(layout::partitions_path(topic), &mut writes).await?;
        for (index, version, state) in states {
            let path = layout::state_path(topic, *index);
            let data = Some(layout::encode(state));
            self.create_if_missing(layout::partition_path(topic, *index), &mut writes).await?;
            // A state that is there and makes no sense is written over.
            let exists = *version >= 0 || self.coordinator.get(&path).await?.is_some();
            writes.push(if exists {
                Write::Set { path, data, version: *version }
            } else {
                create(path, data)
            });
            if writes.len() >= WRITES_MAX && self.write(std::mem::take(&mut writes)).await? == Done::Deposed {
                return Ok(Done::Deposed);
            }
        }
        self.write(writes).await
    }

    async fn create_if_missing(&self, path: String, writes: &mut Vec<Write>) -> Result<(), CoordinatorError> {
        if self.coordinator.get(&path).await?.is_none() {
            writes.push(create(path, None));
        }
        Ok(())
    }

    /// Removes a topic's znodes, children first, then its settings and the request itself.
    async fn delete(&self, view: &ClusterView, topic: &str) -> Result<Done, CoordinatorError> {
        let mut paths = Vec::new();
        if view.topic(topic).is_some() || self.coordinator.get(&layout::topic_path(topic)).await?.is_some() {
            self.collect(layout::topic_path(topic), &mut paths).await?;
        }
        let config = layout::config_path(&format!("topics/{topic}"));
        if self.coordinator.get(&config).await?.is_some() {
            paths.push(config);
        }
        paths.push(layout::delete_topic_path(topic));
        for chunk in paths.chunks(WRITES_MAX) {
            let writes = chunk.iter().cloned().map(delete).collect();
            if self.write(writes).await? == Done::Deposed {
                return Ok(Done::Deposed);
            }
        }
        Ok(Done::Settled)
    }

    /// All znodes of a subtree, each behind its children.
    async fn collect(&self, root: String, paths: &mut Vec<String>) -> Result<(), CoordinatorError> {
        let mut open = vec![root];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            for child in self.coordinator.children(&path).await?.unwrap_or_default() {
                open.push(format!("{path}/{child}"));
            }
            found.push(path);
        }
        paths.extend(found.into_iter().rev());
        Ok(())
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Done, CoordinatorError> {
        if writes.is_empty() {
            return Ok(Done::Settled);
        }
        let guard = Write::Check { path: layout::CONTROLLER_EPOCH.to_owned(), version: self.epoch_version };
        let guarded = std::iter::once(guard).chain(writes).collect();
        match self.coordinator.multi(guarded).await {
            Ok(_) => Ok(Done::Settled),
            Err(CoordinatorError::Refused { index: 0, .. }) => Ok(Done::Deposed),
            Err(CoordinatorError::Refused { path, error, .. }) => {
                // Somebody wrote the same znodes; the next picture shows what is left to do.
                tracing::info!(path, %error, "a write of the controller met another one");
                Ok(Done::Settled)
            }
            Err(error) => Err(error),
        }
    }
}

fn delete(path: String) -> Write {
    Write::Delete { path, version: -1 }
}

/// Creates the persistent paths that Kafka's layout begins with.
pub(crate) async fn create_persistent_paths(coordinator: &dyn Coordinator) -> Result<(), CoordinatorError> {
    for path in layout::PERSISTENT_PATHS {
        create_quietly(coordinator, path, None).await?;
    }
    Ok(())
}

/// Creates a znode unless it is there.
pub(crate) async fn create_quietly(
    coordinator: &dyn Coordinator,
    path: &str,
    data: Option<bytes::Bytes>,
) -> Result<(), CoordinatorError> {
    match coordinator.multi(vec![create(path.to_owned(), data)]).await {
        Err(error) if error.refused() == Some(TreeError::NodeExists) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The znode log is a topic like any other in the tree, so that every tool sees it.
pub(crate) async fn register_znodes_topic(
    coordinator: &dyn Coordinator,
    node_id: i32,
    id: Uuid,
) -> Result<(), CoordinatorError> {
    let partitions = std::collections::BTreeMap::from([(0, vec![node_id])]);
    let data = Some(assignment_data(id, partitions));
    create_quietly(coordinator, &layout::topic_path(ensemble::ZNODES_TOPIC), data).await
}

/// A factory of random ids that Kafka doesn't reserve (`Uuid.randomUuid`: not zero or one, no leading dash).
pub(crate) fn id_factory(random: Arc<dyn base::Random>) -> impl Fn() -> Uuid + Send + Sync {
    move || loop {
        let id = Uuid::from_bytes(random.bytes16());
        if id.as_u128() > 1 && !layout::encode_id(id).starts_with('-') {
            return id;
        }
    }
}
