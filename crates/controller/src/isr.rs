//! Changes of in-sync replicas by the leaders of partitions: compare-and-set of the state's znode, as ZooKeeper-mode Kafka does it
//! (`ReplicationUtils.updateLeaderAndIsr`), from any node.
//!
//! Invariants: a change takes effect only on the very state that the leader judged, because the partition epoch is the znode's
//! version; leader and leader epoch are never touched here; changes are independent, so one that fails takes no other with it.
use crate::controller::Controller;
use crate::layout::{self, PartitionState};
use crate::view::ClusterView;
use ensemble::{Coordinator, CoordinatorError, Write, Written};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;
use tree::Stat;

/// How many changes go into one transaction at most.
const CHANGES_PER_WRITE: usize = 100;
/// How many transactions are under way at once at most.
const WRITES_IN_FLIGHT: usize = 8;

/// A change that the leader of a partition asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The epoch in which this broker leads.
    pub leader_epoch: i32,
    /// The partition epoch of the state that the change was judged on.
    pub partition_epoch: i32,
    /// The in-sync replicas from now on, the leader among them.
    pub isr: Vec<i32>,
    /// The broker epochs that followers fetched with, as far as they named any: whom the leader judged (KIP-903).
    pub broker_epochs: BTreeMap<i32, i64>,
    /// Whether to write the state even if it says the same already, so that no attempt on the state before takes effect any more.
    pub settles: bool,
    /// Whether the leader has recovered from its unclean election (KIP-704). False leaves the mark as it is.
    pub recovered: bool,
}

/// Why a change of in-sync replicas was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsrError {
    /// The broker leads the partition no more, or in a later epoch only.
    #[error("the broker does not lead the partition in this epoch any more")]
    Fenced,
    /// The partition's state changed meanwhile, or a replica in the change is not alive or is another incarnation: the next picture shows
    /// what to judge anew.
    #[error(
        "the partition's state has changed, or a replica that is to be in sync is not alive, or has registered anew"
    )]
    Conflict,
    /// Coordination can't be reached at the moment; whether the change was made is unknown.
    #[error("coordination is not available; whether the change was made is unknown")]
    Unavailable,
}

/// A change that passed the checks, with the payload to write.
struct Checked {
    /// Its place in the request.
    place: usize,
    path: String,
    data: bytes::Bytes,
    version: i32,
}

type Results = Vec<(usize, Result<i32, IsrError>)>;

impl Controller {
    /// Changes the in-sync replicas of partitions that this broker leads. Gives each its new partition epoch, in the order of the
    /// changes; a change that says what is there already succeeds with the present one.
    pub async fn alter_isr(&self, changes: Vec<IsrChange>) -> Vec<Result<i32, IsrError>> {
        let mut results = vec![Err(IsrError::Unavailable); changes.len()];
        let Ok(coordinator) = self.coordinator() else { return results };
        let view = self.view();
        let changes: Arc<[IsrChange]> = changes.into();
        let mut checked = Vec::new();
        for (place, change) in changes.iter().enumerate() {
            match prepare(&*coordinator, &view, self.node_id(), place, change).await {
                Ok(Prepared::Write(write)) => checked.push(write),
                Ok(Prepared::IsSo(epoch)) => results[place] = Ok(epoch),
                Err(error) => results[place] = Err(error),
            }
        }
        let mut waiting = checked.into_iter().peekable();
        let mut under_way: JoinSet<Results> = JoinSet::new();
        loop {
            while under_way.len() < WRITES_IN_FLIGHT && waiting.peek().is_some() {
                let chunk: Vec<Checked> = waiting.by_ref().take(CHANGES_PER_WRITE).collect();
                let writer = Writer {
                    coordinator: coordinator.clone(),
                    node_id: self.node_id(),
                    registrations: view.registrations,
                    changes: changes.clone(),
                };
                under_way.spawn(async move { writer.write_together(chunk).await });
            }
            match under_way.join_next().await {
                Some(Ok(done)) => done.into_iter().for_each(|(place, result)| results[place] = result),
                // The changes of a task that panicked or was aborted stay unknown.
                Some(Err(_)) => {}
                None => return results,
            }
        }
    }
}

enum Prepared {
    Write(Checked),
    /// The state is as wanted already; its partition epoch.
    IsSo(i32),
}

/// Judges a change against the local tree.
async fn prepare(
    coordinator: &dyn Coordinator,
    view: &ClusterView,
    node_id: i32,
    place: usize,
    change: &IsrChange,
) -> Result<Prepared, IsrError> {
    let path = layout::state_path(&change.topic, change.partition);
    let (state, stat) = read_state(coordinator, &path).await?.ok_or(IsrError::Fenced)?;
    if state.leader != node_id || state.leader_epoch > change.leader_epoch {
        return Err(IsrError::Fenced);
    }
    if stat.version != change.partition_epoch || state.leader_epoch != change.leader_epoch {
        return Err(IsrError::Conflict);
    }
    // Writing the state vouches for the incarnations of now, so they must be the ones that were judged.
    let is_eligible = |id: &i32| match (view.brokers.get(id), change.broker_epochs.get(id)) {
        (None, _) => state.isr.contains(id),
        (Some(broker), Some(judged)) => broker.epoch == *judged,
        (Some(broker), None) => !state.isr.contains(id) || broker.epoch < stat.mzxid.0,
    };
    let mut others = change.isr.iter().filter(|id| **id != node_id);
    if !change.isr.contains(&node_id) || !others.all(is_eligible) {
        return Err(IsrError::Conflict);
    }
    let recovery = if change.recovered { 0 } else { state.leader_recovery_state };
    if !change.settles && state.isr == change.isr && state.leader_recovery_state == recovery {
        return Ok(Prepared::IsSo(stat.version));
    }
    let next = PartitionState { isr: change.isr.clone(), leader_recovery_state: recovery, ..state };
    Ok(Prepared::Write(Checked { place, path, data: layout::encode(&next), version: stat.version }))
}

async fn read_state(
    coordinator: &dyn Coordinator,
    path: &str,
) -> Result<Option<(PartitionState, Stat)>, IsrError> {
    let found = coordinator.get(path).await.map_err(|_| IsrError::Unavailable)?;
    let Some((data, stat)) = found else { return Ok(None) };
    // A state that makes no sense is the controller's to write over.
    let state = layout::decode("partition state", path, &data.unwrap_or_default());
    state.map(|state| Some((state, stat))).map_err(|_| IsrError::Conflict)
}

/// What a writing task needs of the request, independent of it.
struct Writer {
    coordinator: Arc<dyn Coordinator>,
    node_id: i32,
    /// The version of /brokers/ids that the changes were judged by.
    registrations: i32,
    changes: Arc<[IsrChange]>,
}

impl Writer {
    /// Writes changes in one transaction; if one of them is refused, each in its own.
    async fn write_together(&self, chunk: Vec<Checked>) -> Results {
        match self.coordinator.multi(self.guarded(&chunk)).await {
            Ok((_, written)) => {
                let written = written.iter().skip(1).map(epoch_of);
                chunk.iter().map(|checked| checked.place).zip(written).collect()
            }
            Err(CoordinatorError::Refused { .. }) => {
                let mut results = Vec::with_capacity(chunk.len());
                for checked in &chunk {
                    let result = match chunk.len() {
                        1 => Err(self.reason(checked).await),
                        _ => self.write_one(checked).await,
                    };
                    results.push((checked.place, result));
                }
                results
            }
            Err(_) => chunk.iter().map(|checked| (checked.place, Err(IsrError::Unavailable))).collect(),
        }
    }

    /// The writes of changes, if no broker has registered since they were judged.
    fn guarded(&self, changes: &[Checked]) -> Vec<Write> {
        let check = Write::Check { path: layout::BROKER_IDS.to_owned(), version: self.registrations };
        std::iter::once(check).chain(changes.iter().map(write_of)).collect()
    }

    async fn write_one(&self, checked: &Checked) -> Result<i32, IsrError> {
        match self.coordinator.multi(self.guarded(std::slice::from_ref(checked))).await {
            Ok((_, written)) => written.get(1).map_or(Err(IsrError::Unavailable), epoch_of),
            Err(CoordinatorError::Refused { .. }) => Err(self.reason(checked).await),
            Err(_) => Err(IsrError::Unavailable),
        }
    }

    /// Why the tree refused a change, as far as this node can see. The refusal may come from a state that has not arrived here
    /// yet; then it is a conflict, and the state that arrives tells the rest.
    async fn reason(&self, checked: &Checked) -> IsrError {
        match read_state(&*self.coordinator, &checked.path).await {
            Ok(None) => IsrError::Fenced,
            Ok(Some((state, _))) => {
                let epoch = self.changes.get(checked.place).map_or(-1, |change| change.leader_epoch);
                let leads = state.leader == self.node_id && state.leader_epoch <= epoch;
                if leads { IsrError::Conflict } else { IsrError::Fenced }
            }
            Err(error) => error,
        }
    }
}

fn write_of(checked: &Checked) -> Write {
    Write::Set { path: checked.path.clone(), data: Some(checked.data.clone()), version: checked.version }
}

fn epoch_of(written: &Written) -> Result<i32, IsrError> {
    match written {
        Written::Set(stat) => Ok(stat.version),
        _ => Err(IsrError::Unavailable),
    }
}
