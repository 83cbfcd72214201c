//! Moving the replicas of partitions (KIP-455), judged from a picture alone.
//!
//! A partition that is being moved has all its replicas, old and new, in its assignment; `adding` and `removing` tell which. Once every
//! replica that is to stay is in sync, the others go, and the leadership with them if one of them had it.
//!
//! Invariant: pure; and a partition that is being moved never has fewer in-sync replicas on record than can take over from it.
use crate::admin::AdminError;
use crate::election::Electorate;
use crate::layout::{PartitionState, TopicAssignment, WantedReplicas};
use crate::view::{ClusterView, PartitionView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most replicas that one partition can be given.
const REPLICAS_MAX: usize = 1_000;

/// An assignment of one partition, as `/brokers/topics/T` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) replicas: Vec<i32>,
    pub(crate) adding: Vec<i32>,
    pub(crate) removing: Vec<i32>,
}

impl Assignment {
    /// The assignment that leads to `target`. Replicas that an earlier reassignment was adding and this one does not want go at once.
    pub(crate) fn towards(origin: &[i32], target: &[i32]) -> Assignment {
        let without = |ids: &[i32], others: &[i32]| -> Vec<i32> {
            ids.iter().filter(|id| !others.contains(id)).copied().collect()
        };
        let removing = without(origin, target);
        Assignment {
            replicas: target.iter().chain(&removing).copied().collect(),
            adding: without(target, origin),
            removing,
        }
    }

    /// Whether the partition has this assignment, or the one that it leads to.
    pub(crate) fn is_shown_by(&self, partition: &PartitionView) -> bool {
        let is_now = partition.replicas == self.replicas
            && partition.adding == self.adding
            && partition.removing == self.removing;
        let stays = self.replicas.iter().filter(|id| !self.removing.contains(id));
        is_now || (!partition.is_reassigning() && stays.eq(&partition.replicas))
    }

    /// The replicas before the reassignment that is under way.
    pub(crate) fn origin(&self) -> Vec<i32> {
        self.replicas.iter().filter(|id| !self.adding.contains(id)).copied().collect()
    }

    /// A partition's assignment in a topic's.
    pub(crate) fn of(topic: &TopicAssignment, partition: i32) -> Assignment {
        let of = |map: &BTreeMap<i32, Vec<i32>>| map.get(&partition).cloned().unwrap_or_default();
        Assignment {
            replicas: of(&topic.partitions),
            adding: of(&topic.adding_replicas),
            removing: of(&topic.removing_replicas),
        }
    }

    /// Makes this the partition's assignment in a topic's.
    pub(crate) fn put_into(self, topic: &mut TopicAssignment, partition: i32) {
        let put = |map: &mut BTreeMap<i32, Vec<i32>>, ids: Vec<i32>| {
            if ids.is_empty() {
                map.remove(&partition);
            } else {
                map.insert(partition, ids);
            }
        };
        put(&mut topic.partitions, self.replicas);
        put(&mut topic.adding_replicas, self.adding);
        put(&mut topic.removing_replicas, self.removing);
    }
}

/// A partition whose reassignment is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) partition: i32,
    /// The assignment that was judged; another one means that the reassignment was changed meanwhile.
    pub(crate) from: Assignment,
    /// The replicas that stay.
    pub(crate) replicas: Vec<i32>,
    /// The version of the partition's state.
    pub(crate) version: i32,
    /// The state to write.
    pub(crate) state: PartitionState,
}

/// What the request under `/admin/reassign_partitions` needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestStep {
    /// These reassignments have to be started: targets by topic and partition.
    Start(BTreeMap<Arc<str>, BTreeMap<i32, Vec<i32>>>),
    /// Some are under way.
    Wait,
    /// Nothing is left of it.
    Finish,
}

/// Whether the replicas make a target: live and different brokers, at least one.
pub(crate) fn check_target(view: &ClusterView, target: &[i32]) -> Result<(), AdminError> {
    let refuse = |why: String| Err(AdminError::InvalidReplicaAssignment(why));
    if target.is_empty() {
        return refuse("The assignment has an empty list of replicas.".to_owned());
    }
    if target.len() > REPLICAS_MAX {
        return refuse(format!("The assignment has more than {REPLICAS_MAX} replicas."));
    }
    if let Some(negative) = target.iter().find(|id| **id < 0) {
        return refuse(format!("The assignment has the invalid broker id {negative}."));
    }
    if BTreeSet::from_iter(target).len() != target.len() {
        return refuse(format!("The assignment {target:?} names a broker twice."));
    }
    match target.iter().find(|id| !view.brokers.contains_key(id)) {
        Some(absent) => {
            refuse(format!("The assignment {target:?} names broker {absent}, which is not alive."))
        }
        None => Ok(()),
    }
}

/// Whether the reassignment of a partition is complete, and what that makes of it.
pub(crate) fn completion(
    electorate: &Electorate<'_>,
    index: i32,
    partition: &PartitionView,
) -> Option<Completion> {
    let target = partition.target_replicas();
    let is_in_sync = |id: &i32| partition.isr.contains(id);
    if !partition.is_reassigning() || partition.partition_epoch < 0 || !target.iter().all(is_in_sync) {
        return None;
    }
    let only_target = PartitionView {
        replicas: target.clone(),
        isr: partition.isr.iter().filter(|id| target.contains(id)).copied().collect(),
        ..partition.clone()
    };
    let state = electorate.state_among_members(&only_target)?;
    Some(Completion {
        partition: index,
        from: Assignment {
            replicas: partition.replicas.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
        },
        replicas: target,
        version: partition.partition_epoch,
        state,
    })
}

/// Judges a request that was written under `/admin/reassign_partitions`. What it asks for and can't be is left out.
pub(crate) fn request_step(view: &ClusterView, request: &[WantedReplicas]) -> RequestStep {
    let mut starts: BTreeMap<Arc<str>, BTreeMap<i32, Vec<i32>>> = BTreeMap::new();
    let mut under_way = false;
    for wanted in request {
        let Some(topic) = view.topic(&wanted.topic).filter(|topic| !view.deleting.contains(&topic.name))
        else {
            continue;
        };
        let Some(partition) = topic.partition(wanted.partition) else { continue };
        if partition.target_replicas() == wanted.replicas {
            under_way |= partition.is_reassigning();
        } else if &*topic.name != ensemble::ZNODES_TOPIC && check_target(view, &wanted.replicas).is_ok() {
            starts.entry(topic.name.clone()).or_default().insert(wanted.partition, wanted.replicas.clone());
        }
    }
    match (starts.is_empty(), under_way) {
        (false, _) => RequestStep::Start(starts),
        (true, true) => RequestStep::Wait,
        (true, false) => RequestStep::Finish,
    }
}
