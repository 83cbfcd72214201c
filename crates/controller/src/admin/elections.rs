//! Elections on request (KIP-460), from any node.
use super::AdminError;
use crate::controller::Controller;
use crate::election::{Electorate, NextState, NoElection};
use crate::executor::set;
use crate::guarded::{Done, Guarded};
use crate::view::ClusterView;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long one attempt waits for the tree to show what it met, in milliseconds.
const ATTEMPT_WAIT_MS: u64 = 200;

/// Which leader is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    /// The first replica of the assignment.
    Preferred,
    /// Any live replica, in sync or not, for partitions without a leader.
    Unclean,
}

/// The outcome for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionResult {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Whether it is led by a new leader now.
    pub result: Result<(), AdminError>,
}

impl Controller {
    /// Elects leaders for these partitions, or with `None` for all; then those that need no election are left out of the results.
    pub async fn elect_leaders(
        &self,
        kind: ElectionKind,
        partitions: Option<Vec<(Arc<str>, Vec<i32>)>>,
        timeout_ms: u64,
    ) -> Result<Vec<ElectionResult>, AdminError> {
        let asks_for_all = partitions.is_none();
        let mut open: BTreeSet<(Arc<str>, i32)> = match partitions {
            Some(named) => named
                .into_iter()
                .flat_map(|(topic, indexes)| indexes.into_iter().map(move |index| (topic.clone(), index)))
                .collect(),
            None => all_partitions(&self.view()),
        };
        let mut results: BTreeMap<(Arc<str>, i32), Result<(), AdminError>> = BTreeMap::new();
        let mut written: BTreeMap<(Arc<str>, i32), i32> = BTreeMap::new();
        let clock = &self.shared.options.world.clock;
        let deadline = clock.monotonic_ms().saturating_add(timeout_ms);
        loop {
            let view = self.view();
            let mut states = Vec::new();
            for key in std::mem::take(&mut open) {
                match judge(&view, kind, &key) {
                    Ok(state) => states.push(state),
                    // What an earlier attempt has written is no election that was not needed.
                    Err(AdminError::ElectionNotNeeded) if written.contains_key(&key) => {
                        results.insert(key, Ok(()));
                    }
                    Err(error) => {
                        results.insert(key, Err(error));
                    }
                }
            }
            if states.is_empty() {
                break;
            }
            self.write_elections(&view, &states).await?;
            for next in states {
                let key = (next.topic, next.partition);
                written.insert(key.clone(), next.state.leader_epoch);
                open.insert(key);
            }
            // Whether it was this election or another write: the picture shows it.
            let shows = |view: &Arc<ClusterView>| {
                open.iter().all(|key| match (view.partition(&key.0, key.1), written.get(key)) {
                    (Some(partition), Some(epoch)) => partition.leader_epoch >= *epoch,
                    _ => true,
                })
            };
            match self.wait_until(timeout_ms.min(ATTEMPT_WAIT_MS), shows).await {
                Ok(()) | Err(AdminError::RequestTimedOut(_)) => {}
                Err(error) => return Err(error),
            }
            if clock.monotonic_ms() >= deadline {
                let late = open.iter().map(|key| (key.clone(), Err(AdminError::RequestTimedOut(timeout_ms))));
                results.extend(late);
                break;
            }
        }
        let unneeded = |result: &Result<(), AdminError>| *result == Err(AdminError::ElectionNotNeeded);
        Ok(results
            .into_iter()
            .filter(|(_, result)| !(asks_for_all && unneeded(result)))
            .map(|((topic, partition), result)| ElectionResult { topic, partition, result })
            .collect())
    }

    async fn write_elections(&self, view: &ClusterView, states: &[NextState]) -> Result<Done, AdminError> {
        let none = || AdminError::Unavailable("the cluster has no controller yet".to_owned());
        let guarded = Guarded::by_present_controller(self.coordinator()?).await?.ok_or_else(none)?;
        Ok(guarded.as_of(view).each(states.iter().map(set).collect()).await?)
    }
}

fn all_partitions(view: &ClusterView) -> BTreeSet<(Arc<str>, i32)> {
    let topics = view.topics.values().filter(|topic| !view.deleting.contains(&topic.name));
    topics
        .flat_map(|topic| (0..).zip(&topic.partitions).map(|(index, _)| (topic.name.clone(), index)))
        .collect()
}

fn judge(view: &ClusterView, kind: ElectionKind, key: &(Arc<str>, i32)) -> Result<NextState, AdminError> {
    let (name, index) = key;
    let topic = view.topic(name).ok_or_else(|| AdminError::UnknownTopic(name.to_string()))?;
    let partition =
        topic.partition(*index).ok_or_else(|| AdminError::UnknownPartition(name.to_string(), *index))?;
    let leaving = BTreeSet::new();
    let electorate = Electorate { view, leaving: &leaving };
    let elected = match kind {
        ElectionKind::Preferred => electorate.preferred(partition),
        ElectionKind::Unclean => electorate.unclean(partition),
    };
    let state = elected.map_err(|error| match (error, kind) {
        (NoElection::NotNeeded, _) => AdminError::ElectionNotNeeded,
        (NoElection::NoCandidate, ElectionKind::Preferred) => AdminError::PreferredLeaderNotAvailable,
        (NoElection::NoCandidate, ElectionKind::Unclean) => AdminError::EligibleLeadersNotAvailable,
    })?;
    if partition.partition_epoch < 0 {
        return Err(AdminError::EligibleLeadersNotAvailable);
    }
    Ok(NextState { topic: topic.name.clone(), partition: *index, version: partition.partition_epoch, state })
}
