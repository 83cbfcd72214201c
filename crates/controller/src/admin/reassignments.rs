//! Starting, cancelling and listing reassignments of partitions (KIP-455), from any node: a reassignment is what the topic's
//! assignment says, and the controller completes it.
use super::AdminError;
use crate::controller::Controller;
use crate::guarded::{Done, Guarded};
use crate::layout::{self, TopicAssignment};
use crate::reassignment::{Assignment, check_target};
use crate::view::{ClusterView, PartitionView, TopicView};
use ensemble::{Coordinator, CoordinatorError, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a change of an assignment that met another one is judged anew.
const ATTEMPTS_MAX: usize = 5;

/// What a partition is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedReassignment {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The replicas that it is to have, the preferred leader first; `None` cancels the reassignment that is under way.
    pub replicas: Option<Vec<i32>>,
}

/// The outcome for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassignmentResult {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Whether the assignment says now what was asked for.
    pub result: Result<(), AdminError>,
}

/// A partition whose replicas are being moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingReassignment {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// All its replicas, old and new.
    pub replicas: Vec<i32>,
    /// The new ones.
    pub adding: Vec<i32>,
    /// The ones that go.
    pub removing: Vec<i32>,
}

impl Controller {
    /// Starts or cancels reassignments. Without `may_change_factor` a partition keeps its number of replicas (KIP-860). Answers once
    /// the local picture shows them; the moving itself goes on.
    pub async fn alter_partition_reassignments(
        &self,
        wanted: Vec<WantedReassignment>,
        may_change_factor: bool,
        timeout_ms: u64,
    ) -> Result<Vec<ReassignmentResult>, AdminError> {
        let mut topics: BTreeMap<Arc<str>, Vec<&WantedReassignment>> = BTreeMap::new();
        for one in &wanted {
            topics.entry(one.topic.clone()).or_default().push(one);
        }
        let mut results: BTreeMap<(Arc<str>, i32), Result<(), AdminError>> = BTreeMap::new();
        let mut written: Vec<(Arc<str>, i32, Assignment)> = Vec::new();
        for (topic, wanted) in topics {
            for (partition, result) in self.reassign_topic(&topic, &wanted, may_change_factor).await? {
                let result = result.map(|next| written.push((topic.clone(), partition, next)));
                results.insert((topic.clone(), partition), result);
            }
        }
        let shows = |view: &Arc<ClusterView>| {
            written.iter().all(|(topic, index, next)| {
                view.partition(topic, *index).is_none_or(|partition| next.is_shown_by(partition))
            })
        };
        if let Err(late) = self.wait_until(timeout_ms, shows).await {
            let view = self.view();
            for (topic, index, next) in written {
                if view.partition(&topic, index).is_some_and(|partition| !next.is_shown_by(partition)) {
                    results.insert((topic, index), Err(late.clone()));
                }
            }
        }
        let result_of = |one: WantedReassignment| {
            let result = results.get(&(one.topic.clone(), one.partition)).cloned();
            let result =
                result.unwrap_or(Err(AdminError::UnknownPartition(one.topic.to_string(), one.partition)));
            ReassignmentResult { topic: one.topic, partition: one.partition, result }
        };
        Ok(wanted.into_iter().map(result_of).collect())
    }

    /// The reassignments under way, of these partitions or of all.
    pub fn list_partition_reassignments(
        &self,
        partitions: Option<&[(Arc<str>, Vec<i32>)]>,
    ) -> Vec<OngoingReassignment> {
        let view = self.view();
        let ongoing = |topic: &TopicView, index: i32, partition: &PartitionView| OngoingReassignment {
            topic: topic.name.clone(),
            partition: index,
            replicas: partition.replicas.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
        };
        let mut found = Vec::new();
        match partitions {
            None => {
                for topic in view.topics.values() {
                    let moving =
                        (0..).zip(&topic.partitions).filter(|(_, partition)| partition.is_reassigning());
                    found.extend(moving.map(|(index, partition)| ongoing(topic, index, partition)));
                }
            }
            Some(named) => {
                for (name, indexes) in named {
                    let Some(topic) = view.topic(name) else { continue };
                    let named = indexes.iter().filter_map(|index| Some((*index, topic.partition(*index)?)));
                    let moving = named.filter(|(_, partition)| partition.is_reassigning());
                    found.extend(moving.map(|(index, partition)| ongoing(topic, index, partition)));
                }
            }
        }
        found
    }

    /// Writes one topic's assignment; gives what it says now of each partition.
    async fn reassign_topic(
        &self,
        topic: &Arc<str>,
        wanted: &[&WantedReassignment],
        may_change_factor: bool,
    ) -> Result<Vec<(i32, Result<Assignment, AdminError>)>, AdminError> {
        let coordinator = self.coordinator()?;
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view();
            let none = || AdminError::Unavailable("the cluster has no controller yet".to_owned());
            let guarded = Guarded::by_present_controller(coordinator.clone()).await?.ok_or_else(none)?;
            let request = request_without(&*coordinator, &view, topic, wanted).await?;
            let mut results = Vec::new();
            let done = guarded
                .rewrite_assignment(topic, |assignment| {
                    for one in wanted {
                        let judged = judge(&view, assignment, one, may_change_factor);
                        if let Ok(next) = &judged {
                            next.clone().put_into(assignment, one.partition);
                        }
                        results.push((one.partition, judged));
                    }
                    results.iter().any(|(_, judged)| judged.is_ok()).then_some(request)
                })
                .await?;
            if done == Done::Settled {
                return Ok(results);
            }
            if results.is_empty() {
                // There is no such topic, or its assignment makes no sense.
                let unknown = || Err(AdminError::UnknownTopic(topic.to_string()));
                return Ok(wanted.iter().map(|one| (one.partition, unknown())).collect());
            }
            coordinator.sync().await?;
        }
        Err(AdminError::Unavailable(format!(
            "the assignment of {topic} is being changed by others; try again"
        )))
    }
}

/// What takes these partitions out of a request under /admin/reassign_partitions, which would start its own reassignments again.
async fn request_without(
    coordinator: &dyn Coordinator,
    view: &ClusterView,
    topic: &str,
    wanted: &[&WantedReassignment],
) -> Result<Vec<Write>, CoordinatorError> {
    let path = layout::REASSIGN_PARTITIONS.to_owned();
    let Some(request) = &view.reassignment_request else { return Ok(Vec::new()) };
    let is_meant = |partition: i32| wanted.iter().any(|one| one.partition == partition);
    let (gone, kept): (Vec<_>, Vec<_>) =
        request.iter().cloned().partition(|entry| entry.topic == topic && is_meant(entry.partition));
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let Some((_, stat)) = coordinator.get(&path).await? else { return Ok(Vec::new()) };
    let version = stat.version;
    Ok(vec![if kept.is_empty() {
        Write::Delete { path, version }
    } else {
        let data = layout::encode(&layout::ReassignmentRequest { version: 1, partitions: kept });
        Write::Set { path, data: Some(data), version }
    }])
}

/// The assignment that a partition gets.
fn judge(
    view: &ClusterView,
    topic: &TopicAssignment,
    wanted: &WantedReassignment,
    may_change_factor: bool,
) -> Result<Assignment, AdminError> {
    let name = &wanted.topic;
    if !topic.partitions.contains_key(&wanted.partition) {
        return Err(AdminError::UnknownPartition(name.to_string(), wanted.partition));
    }
    if &**name == ensemble::ZNODES_TOPIC {
        return Err(AdminError::InvalidReplicaAssignment(format!(
            "The topic {name} is the znode log, which every node has."
        )));
    }
    if view.deleting.contains(name) {
        return Err(AdminError::UnknownTopic(name.to_string()));
    }
    let present = Assignment::of(topic, wanted.partition);
    let origin = present.origin();
    let Some(target) = &wanted.replicas else {
        if present.adding.is_empty() && present.removing.is_empty() {
            return Err(AdminError::NoReassignmentInProgress);
        }
        let is_in_sync = |id: &i32| {
            view.partition(name, wanted.partition).is_some_and(|partition| partition.isr.contains(id))
        };
        let is_unclean = view.topic(name).is_some_and(|topic| topic.config.unclean_leader_election_enable);
        if !is_unclean && !origin.iter().any(is_in_sync) {
            return Err(AdminError::InvalidReplicaAssignment(format!(
                "Unable to revert partition assignment for {name}-{} because it would require an unclean leader election.",
                wanted.partition
            )));
        }
        return Ok(Assignment { replicas: origin, ..Assignment::default() });
    };
    check_target(view, target)?;
    if !may_change_factor && target.len() != origin.len() {
        return Err(AdminError::InvalidReplicationFactor(format!(
            "The replication factor is changed from {} to {}.",
            origin.len(),
            target.len()
        )));
    }
    Ok(Assignment::towards(&origin, target))
}
