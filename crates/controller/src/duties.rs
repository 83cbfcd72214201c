//! What the controller has to write, judged from a picture alone: leaders for partitions without one, ids for topics written by
//! hand, and the end of topics that are to be deleted.
//!
//! Invariant: pure. The same picture gives the same duties, and a picture in which all are done gives none.
use crate::layout::{self, PartitionState, TopicAssignment};
use crate::view::{ClusterView, PartitionView, TopicView};
use bytes::Bytes;
use ensemble::Write;
use std::collections::BTreeMap;
use std::sync::Arc;
use tree::CreateMode;
use uuid::Uuid;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// The topic was written without an id.
    GiveId {
        /// The topic.
        topic: Arc<str>,
    },
    /// The topic's partitions need their states written, each with its new leader.
    Elect {
        /// The topic.
        topic: Arc<str>,
        /// Partition, the version of its present state (-1: none), and the state to write.
        states: Vec<(i32, i32, PartitionState)>,
    },
    /// The topic, or a request to delete a topic that is not there, is to go.
    Delete {
        /// The topic.
        topic: Arc<str>,
    },
    /// Deletion is switched off, or the topic must stay: only the request goes.
    RefuseDeletion {
        /// The topic.
        topic: Arc<str>,
    },
}

/// Everything to do in this picture.
pub(crate) fn duties(view: &ClusterView) -> Vec<Duty> {
    let mut duties = Vec::new();
    for topic in &view.deleting {
        let may_go = &**topic != ensemble::ZNODES_TOPIC && view.broker_config.topics.delete_enable;
        let topic = topic.clone();
        duties.push(if may_go { Duty::Delete { topic } } else { Duty::RefuseDeletion { topic } });
    }
    for topic in view.topics.values().filter(|topic| !view.deleting.contains(&topic.name)) {
        if topic.id == Uuid::nil() {
            duties.push(Duty::GiveId { topic: topic.name.clone() });
        } else if let Some(duty) = elect(view, topic) {
            duties.push(duty);
        }
    }
    duties
}

fn elect(view: &ClusterView, topic: &TopicView) -> Option<Duty> {
    let states: Vec<_> = (0..)
        .zip(&topic.partitions)
        .filter_map(|(index, partition)| {
            let state = next_state(view, topic, partition)?;
            Some((index, partition.partition_epoch, state))
        })
        .collect();
    if states.is_empty() {
        return None;
    }
    Some(Duty::Elect { topic: topic.name.clone(), states })
}

/// The state that a partition should have instead of its present one.
fn next_state(view: &ClusterView, topic: &TopicView, partition: &PartitionView) -> Option<PartitionState> {
    let live = |id: &&i32| view.brokers.contains_key(id);
    if partition.partition_epoch < 0 {
        let isr: Vec<i32> = partition.replicas.iter().filter(live).copied().collect();
        let leader = *isr.first()?;
        return Some(state(view, leader, 0, isr, 0));
    }
    let leader_since = view.brokers.get(&partition.leader).map(|broker| broker.epoch);
    match leader_since {
        // The leadership was given to this very incarnation of the broker.
        Some(registered) if partition.state_zxid > registered => return None,
        _ => {}
    }
    let in_sync = |id: &&i32| partition.isr.contains(id);
    let candidate = partition.replicas.iter().filter(live).find(in_sync).copied();
    if let Some(leader) = candidate {
        let isr = partition.isr.iter().filter(live).copied().collect();
        return Some(state(view, leader, partition.leader_epoch + 1, isr, 0));
    }
    if topic.config.unclean_leader_election_enable
        && let Some(leader) = partition.replicas.iter().find(live).copied()
    {
        // The new leader may lack what was acknowledged; it says so until it has recovered (KIP-704).
        return Some(state(view, leader, partition.leader_epoch + 1, vec![leader], 1));
    }
    // The last in-sync replicas stay on record: only they can be elected without loss.
    (partition.leader != -1).then(|| state(view, -1, partition.leader_epoch + 1, partition.isr.clone(), 0))
}

fn state(view: &ClusterView, leader: i32, leader_epoch: i32, isr: Vec<i32>, recovery: i8) -> PartitionState {
    PartitionState {
        controller_epoch: view.controller_epoch,
        leader,
        version: 1,
        leader_epoch,
        isr,
        leader_recovery_state: recovery,
    }
}

/// The payload of a topic's assignment znode.
pub(crate) fn assignment_data(id: Uuid, partitions: BTreeMap<i32, Vec<i32>>) -> Bytes {
    layout::encode(&TopicAssignment::new(id, partitions))
}

/// A persistent znode that anyone may use.
pub(crate) fn create(path: String, data: Option<Bytes>) -> Write {
    Write::Create { path, data, mode: CreateMode::Persistent, acl: None }
}
