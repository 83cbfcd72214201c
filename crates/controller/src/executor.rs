//! Carries out the controller's duties as znode transactions: few large ones where duties are independent of each other, so that the
//! loss of a broker with thousands of leaderships is a matter of a handful of flushes.
//!
//! Invariant: everything goes through [`Guarded`], so that a controller that lost its place changes nothing.
use crate::duties::{Duty, create};
use crate::election::NextState;
use crate::guarded::{Done, Guarded, WRITES_MAX};
use crate::layout;
use crate::reassignment::{Assignment, Completion};
use crate::view::ClusterView;
use ensemble::{CoordinatorError, Write};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What the controller needs to write.
pub(crate) struct Executor<'a> {
    pub(crate) guarded: Guarded,
    pub(crate) new_id: &'a (dyn Fn() -> Uuid + Send + Sync),
}

impl Executor<'_> {
    /// Does all duties, states of partitions first. What meets another write is left to the next picture.
    pub(crate) async fn execute(
        &self,
        view: &ClusterView,
        duties: &[Duty],
    ) -> Result<Done, CoordinatorError> {
        let states = duties.iter().filter_map(|duty| match duty {
            Duty::Write(state) => Some(state),
            _ => None,
        });
        if self.write_states(view, states).await? == Done::Deposed {
            return Ok(Done::Deposed);
        }
        for duty in duties {
            let done = match duty {
                Duty::Write(_) => continue,
                Duty::GiveId { topic } => self.give_id(topic).await?,
                Duty::Delete { topic } => self.delete(view, topic).await?,
                Duty::RefuseDeletion { topic } => {
                    tracing::warn!(%topic, "the topic must not be deleted (delete.topic.enable, or it is the znode log)");
                    self.guarded.together(vec![delete(layout::delete_topic_path(topic))]).await?
                }
                Duty::AssignZnodes { replicas } => self.assign_znodes(replicas).await?,
                Duty::StartReassignments { topic, targets } => self.start(topic, targets).await?,
                Duty::CompleteReassignments { topic, completions } => {
                    self.complete(view, topic, completions).await?
                }
                Duty::FinishRequest { path } => {
                    self.guarded.together(vec![delete((*path).to_owned())]).await?
                }
            };
            if done == Done::Deposed {
                return Ok(Done::Deposed);
            }
        }
        Ok(Done::Settled)
    }

    /// Writes states of partitions: first those that change a leader, because clients wait for them.
    pub(crate) async fn write_states<'s>(
        &self,
        view: &ClusterView,
        states: impl Iterator<Item = &'s NextState>,
    ) -> Result<Done, CoordinatorError> {
        let (mut elections, mut others) = (Vec::new(), Vec::new());
        let mut new: BTreeMap<&str, Vec<&NextState>> = BTreeMap::new();
        for next in states {
            if next.version < 0 {
                new.entry(&next.topic).or_default().push(next);
                continue;
            }
            let present = view.partition(&next.topic, next.partition);
            let same_leader = present.is_some_and(|partition| partition.leader == next.state.leader);
            if same_leader { &mut others } else { &mut elections }.push(set(next));
        }
        elections.append(&mut others);
        if self.guarded.as_of(view).each(elections).await? == Done::Deposed {
            return Ok(Done::Deposed);
        }
        for (topic, states) in new {
            if self.create_states(topic, &states).await? == Done::Deposed {
                return Ok(Done::Deposed);
            }
        }
        Ok(Done::Settled)
    }

    /// Writes the first states of partitions, with the znodes that they lie in.
    async fn create_states(&self, topic: &str, states: &[&NextState]) -> Result<Done, CoordinatorError> {
        let coordinator = &self.guarded.coordinator;
        let parent = layout::partitions_path(topic);
        let present = coordinator.children(&parent).await?;
        let mut writes = Vec::new();
        if present.is_none() {
            writes.push(create(parent, None));
        }
        let present = present.unwrap_or_default();
        for next in states {
            let path = layout::state_path(topic, next.partition);
            if present.binary_search(&next.partition.to_string()).is_err() {
                writes.push(create(layout::partition_path(topic, next.partition), None));
                writes.push(create(path, Some(layout::encode(&next.state))));
            } else if coordinator.get(&path).await?.is_some() {
                // A state that is there and makes no sense is written over.
                writes.push(set(next));
            } else {
                writes.push(create(path, Some(layout::encode(&next.state))));
            }
            if writes.len() >= WRITES_MAX {
                let done = self.guarded.together(std::mem::take(&mut writes)).await?;
                if done != Done::Settled {
                    return Ok(done);
                }
            }
        }
        self.guarded.together(writes).await
    }

    async fn give_id(&self, topic: &str) -> Result<Done, CoordinatorError> {
        let id = layout::encode_id((self.new_id)());
        self.guarded
            .rewrite_assignment(topic, |assignment| {
                assignment.topic_id = Some(id);
                Some(Vec::new())
            })
            .await
    }

    async fn assign_znodes(&self, replicas: &[i32]) -> Result<Done, CoordinatorError> {
        self.guarded
            .rewrite_assignment(ensemble::ZNODES_TOPIC, |assignment| {
                assignment.partitions.insert(0, replicas.to_vec());
                Some(Vec::new())
            })
            .await
    }

    async fn start(&self, topic: &str, targets: &BTreeMap<i32, Vec<i32>>) -> Result<Done, CoordinatorError> {
        self.guarded
            .rewrite_assignment(topic, |assignment| {
                for (index, target) in targets {
                    let origin = Assignment::of(assignment, *index).origin();
                    Assignment::towards(&origin, target).put_into(assignment, *index);
                }
                Some(Vec::new())
            })
            .await
    }

    async fn complete(
        &self,
        view: &ClusterView,
        topic: &str,
        completions: &[Completion],
    ) -> Result<Done, CoordinatorError> {
        for chunk in completions.chunks(WRITES_MAX) {
            let done = self
                .guarded
                .as_of(view)
                .rewrite_assignment(topic, |assignment| {
                    let mut writes = Vec::new();
                    for completion in chunk {
                        if Assignment::of(assignment, completion.partition) != completion.from {
                            continue;
                        }
                        let replicas = completion.replicas.clone();
                        let complete = Assignment { replicas, ..Assignment::default() };
                        complete.put_into(assignment, completion.partition);
                        writes.push(Write::Set {
                            path: layout::state_path(topic, completion.partition),
                            data: Some(layout::encode(&completion.state)),
                            version: completion.version,
                        });
                    }
                    (!writes.is_empty()).then_some(writes)
                })
                .await?;
            if done != Done::Settled {
                return Ok(done);
            }
        }
        tracing::info!(topic, partitions = completions.len(), "partitions have their new replicas");
        Ok(Done::Settled)
    }

    /// Removes a topic's znodes, children first, then its settings and the request itself.
    async fn delete(&self, view: &ClusterView, topic: &str) -> Result<Done, CoordinatorError> {
        let coordinator = &self.guarded.coordinator;
        let mut paths = Vec::new();
        if view.topic(topic).is_some() || coordinator.get(&layout::topic_path(topic)).await?.is_some() {
            self.collect(layout::topic_path(topic), &mut paths).await?;
        }
        let config = layout::config_path(&format!("topics/{topic}"));
        if coordinator.get(&config).await?.is_some() {
            paths.push(config);
        }
        paths.push(layout::delete_topic_path(topic));
        for chunk in paths.chunks(WRITES_MAX) {
            let done = self.guarded.together(chunk.iter().cloned().map(delete).collect()).await?;
            if done != Done::Settled {
                return Ok(done);
            }
        }
        Ok(Done::Settled)
    }

    /// All znodes of a subtree, each behind its children.
    async fn collect(&self, root: String, paths: &mut Vec<String>) -> Result<(), CoordinatorError> {
        let mut open = vec![root];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            for child in self.guarded.coordinator.children(&path).await?.unwrap_or_default() {
                open.push(format!("{path}/{child}"));
            }
            found.push(path);
        }
        paths.extend(found.into_iter().rev());
        Ok(())
    }
}

/// The write of a state that is there already.
pub(crate) fn set(next: &NextState) -> Write {
    Write::Set {
        path: layout::state_path(&next.topic, next.partition),
        data: Some(layout::encode(&next.state)),
        version: next.version,
    }
}

pub(crate) fn delete(path: String) -> Write {
    Write::Delete { path, version: -1 }
}
