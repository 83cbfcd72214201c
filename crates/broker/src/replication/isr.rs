//! Changes of in-sync replicas on their way from the leaders of this node to whoever keeps them.
//!
//! Proposals that come together travel together. Each partition hears the outcome of its own; what nobody knows the outcome of is
//! tried again. Invariant: one request at a time, so that a partition's attempts never overtake each other.
use crate::partitions::Partitions;
use controller::{IsrChange, IsrError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The outcomes, in the order of the changes: the new partition epoch, or why not.
pub type AlteredIsr<'a> = Pin<Box<dyn Future<Output = Vec<Result<i32, IsrError>>> + Send + 'a>>;

/// Who keeps the in-sync replicas: the controller's znodes.
pub trait InSyncReplicas: Send + Sync + 'static {
    /// Changes the in-sync replicas of partitions that this broker leads, by compare-and-set on the partition epoch.
    fn alter(&self, changes: Vec<IsrChange>) -> AlteredIsr<'_>;
}

/// The most changes of one request.
const CHANGES_MAX: usize = 1_000;
/// How long to wait before changes of unknown outcome are tried again, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// The least time between two looks for replicas that lag.
const LAG_CHECK_MS_MIN: u64 = 10;

/// Carries proposals until the future is dropped.
pub(crate) async fn carry_proposals(partitions: Arc<Partitions>, keeper: Arc<dyn InSyncReplicas>) {
    let neighbours = partitions.neighbours().clone();
    let mut pause = RETRY_MIN;
    loop {
        let names = neighbours.proposing().await;
        let mut proposals: Vec<_> = names
            .into_iter()
            .filter_map(|(topic, index)| partitions.get(&topic, index))
            .filter_map(|partition| partition.proposal().map(|change| (partition, change)))
            .collect();
        let mut uncertain = false;
        while !proposals.is_empty() {
            let later = proposals.split_off(proposals.len().min(CHANGES_MAX));
            let changes = proposals.iter().map(|(_, change)| change.clone()).collect();
            let mut outcomes = keeper.alter(changes).await.into_iter();
            for (partition, change) in proposals {
                let outcome = outcomes.next().unwrap_or(Err(IsrError::Unavailable));
                uncertain |= outcome == Err(IsrError::Unavailable);
                partition.note_outcome(&change, outcome);
            }
            proposals = later;
        }
        if uncertain {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        } else {
            pause = RETRY_MIN;
        }
    }
}

/// Looks for replicas that lag, twice per `replica.lag.time.max.ms`, until the future is dropped.
pub(crate) async fn watch_lag(partitions: Arc<Partitions>) {
    loop {
        let interval = (partitions.neighbours().lag_max_ms() / 2).max(LAG_CHECK_MS_MIN);
        tokio::time::sleep(Duration::from_millis(interval)).await;
        partitions.each_partition(|partition| partition.check_lag());
    }
}
