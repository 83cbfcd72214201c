//! Writes that hold only as long as the controller is the one they were judged under.
//!
//! Invariant: every transaction begins with a check of /controller_epoch, as Kafka's controller does it, so that a controller that
//! lost its place changes nothing, and a request that was judged under another controller is judged anew. States of partitions are
//! written only if no broker has registered since they were judged: a state that is newer than a registration vouches for that incarnation.
use crate::layout::{self, TopicAssignment};
use crate::view::ClusterView;
use ensemble::{Coordinator, CoordinatorError, Write};
use std::sync::Arc;
use tokio::task::JoinSet;

/// How many writes go into one transaction at most.
pub(crate) const WRITES_MAX: usize = 500;
/// How many transactions are under way at once at most.
const WRITES_IN_FLIGHT: usize = 4;

/// A session with the version of /controller_epoch that its writes depend on.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) coordinator: Arc<dyn Coordinator>,
    pub(crate) epoch_version: i32,
    /// The version of /brokers/ids that its writes depend on; -1 if they depend on none.
    pub(crate) registrations: i32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was written.
    Settled,
    /// Somebody changed the znodes meanwhile; the next picture decides anew.
    Conflict,
    /// Another controller was elected.
    Deposed,
}

impl Guarded {
    /// The guard for a node that is not the controller itself; `None` if there never was one.
    pub(crate) async fn by_present_controller(
        coordinator: Arc<dyn Coordinator>,
    ) -> Result<Option<Guarded>, CoordinatorError> {
        let found = coordinator.get(layout::CONTROLLER_EPOCH).await?;
        Ok(found.map(|(_, stat)| Guarded { coordinator, epoch_version: stat.version, registrations: -1 }))
    }

    /// For writes that were judged by this picture of the brokers.
    pub(crate) fn as_of(&self, view: &ClusterView) -> Guarded {
        Guarded { registrations: view.registrations, ..self.clone() }
    }

    /// Writes all or nothing.
    pub(crate) async fn together(&self, writes: Vec<Write>) -> Result<Done, CoordinatorError> {
        Ok(match self.attempt(writes).await? {
            Attempt::Written => Done::Settled,
            Attempt::Refused(_) | Attempt::Outdated => Done::Conflict,
            Attempt::Deposed => Done::Deposed,
        })
    }

    /// Writes what can be written: the writes are independent of each other. Conflicts are left to the next picture.
    pub(crate) async fn each(&self, writes: Vec<Write>) -> Result<Done, CoordinatorError> {
        let mut waiting = writes.into_iter().peekable();
        let mut under_way: JoinSet<Result<Done, CoordinatorError>> = JoinSet::new();
        let mut worst = Done::Settled;
        loop {
            while under_way.len() < WRITES_IN_FLIGHT && worst != Done::Deposed && waiting.peek().is_some() {
                let chunk: Vec<Write> = waiting.by_ref().take(WRITES_MAX).collect();
                let guarded = self.clone();
                under_way.spawn(async move { guarded.each_of_chunk(chunk).await });
            }
            match under_way.join_next().await {
                Some(Ok(done)) => match done? {
                    Done::Settled => {}
                    Done::Conflict if worst == Done::Settled => worst = Done::Conflict,
                    Done::Conflict => {}
                    Done::Deposed => worst = Done::Deposed,
                },
                Some(Err(_)) => return Err(CoordinatorError::ConnectionLost),
                None => return Ok(worst),
            }
        }
    }

    /// Writes a chunk in one transaction, again without whatever is refused.
    async fn each_of_chunk(&self, mut chunk: Vec<Write>) -> Result<Done, CoordinatorError> {
        let mut done = Done::Settled;
        while !chunk.is_empty() {
            match self.attempt(chunk.clone()).await? {
                Attempt::Written => return Ok(done),
                Attempt::Deposed => return Ok(Done::Deposed),
                Attempt::Refused(index) if index < chunk.len() => {
                    chunk.remove(index);
                    done = Done::Conflict;
                }
                Attempt::Refused(_) | Attempt::Outdated => return Ok(Done::Conflict),
            }
        }
        Ok(done)
    }

    /// Changes a topic's assignment by compare-and-set. `change` gives what has to be written together with it, or `None` if there
    /// is nothing to change.
    pub(crate) async fn rewrite_assignment(
        &self,
        topic: &str,
        change: impl FnOnce(&mut TopicAssignment) -> Option<Vec<Write>> + Send,
    ) -> Result<Done, CoordinatorError> {
        let path = layout::topic_path(topic);
        let Some((Some(data), stat)) = self.coordinator.get(&path).await? else { return Ok(Done::Conflict) };
        let Ok(mut assignment) = layout::decode::<TopicAssignment>("topic assignment", &path, &data) else {
            return Ok(Done::Conflict);
        };
        let Some(others) = change(&mut assignment) else { return Ok(Done::Settled) };
        assignment.version = 3;
        let write = Write::Set { path, data: Some(layout::encode(&assignment)), version: stat.version };
        self.together(std::iter::once(write).chain(others).collect()).await
    }

    async fn attempt(&self, writes: Vec<Write>) -> Result<Attempt, CoordinatorError> {
        if writes.is_empty() {
            return Ok(Attempt::Written);
        }
        let check = |path: &str, version| Write::Check { path: path.to_owned(), version };
        let mut guards = vec![check(layout::CONTROLLER_EPOCH, self.epoch_version)];
        if self.registrations >= 0 {
            guards.push(check(layout::BROKER_IDS, self.registrations));
        }
        let guard_count = guards.len();
        match self.coordinator.multi(guards.into_iter().chain(writes).collect()).await {
            Ok(_) => Ok(Attempt::Written),
            Err(CoordinatorError::Refused { index: 0, .. }) => Ok(Attempt::Deposed),
            Err(CoordinatorError::Refused { index, .. }) if index < guard_count => Ok(Attempt::Outdated),
            Err(CoordinatorError::Refused { path, index, error }) => {
                tracing::info!(path, %error, "a write of Kafka's metadata met another one");
                Ok(Attempt::Refused(index - guard_count))
            }
            Err(error) => Err(error),
        }
    }
}

enum Attempt {
    Written,
    /// The write of this index was refused, so nothing was written.
    Refused(usize),
    /// Brokers have registered since the picture that the writes were judged by.
    Outdated,
    Deposed,
}
