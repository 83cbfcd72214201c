//! What the controller has to write, judged from a picture alone: leaders and in-sync sets of partitions, ids for topics written by
//! hand, the end of topics that are to be deleted, reassignments, and requests that were written as znodes.
//!
//! Invariant: pure. The same picture gives the same duties, and a picture in which all are done gives none.
use crate::election::{Electorate, NextState};
use crate::layout::{self, TopicAssignment};
use crate::reassignment::{Completion, RequestStep, completion, request_step};
use crate::view::{ClusterView, TopicView};
use bytes::Bytes;
use ensemble::Write;
use std::collections::{BTreeMap, BTreeSet};
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
    /// The partition's state needs to be written.
    Write(NextState),
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
    /// Brokers have registered that the znode log is not assigned to yet.
    AssignZnodes {
        /// All who have it.
        replicas: Vec<i32>,
    },
    /// Partitions are to get other replicas.
    StartReassignments {
        /// The topic.
        topic: Arc<str>,
        /// The replicas that each partition is to end with.
        targets: BTreeMap<i32, Vec<i32>>,
    },
    /// Partitions have their new replicas in sync.
    CompleteReassignments {
        /// The topic.
        topic: Arc<str>,
        /// The partitions.
        completions: Vec<Completion>,
    },
    /// A request that was written as a znode is fulfilled.
    FinishRequest {
        /// The znode.
        path: &'static str,
    },
}

/// Which topics may have changed since duties were judged last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Any.
    All,
    /// These.
    Topics(BTreeSet<Arc<str>>),
}

impl Scope {
    /// None.
    pub(crate) fn nothing() -> Scope {
        Scope::Topics(BTreeSet::new())
    }

    /// Adds a topic.
    pub(crate) fn add(&mut self, topic: &str) {
        if let Scope::Topics(topics) = self
            && !topics.contains(topic)
        {
            topics.insert(topic.into());
        }
    }
}

/// Everything to do in this picture for the topics in scope, and what concerns no single topic.
pub(crate) fn duties(view: &ClusterView, leaving: &BTreeSet<i32>, scope: &Scope) -> Vec<Duty> {
    let electorate = Electorate { view, leaving };
    let mut duties = Vec::new();
    for topic in &view.deleting {
        let may_go = &**topic != ensemble::ZNODES_TOPIC && view.broker_config.topics.delete_enable;
        let topic = topic.clone();
        duties.push(if may_go { Duty::Delete { topic } } else { Duty::RefuseDeletion { topic } });
    }
    assign_znodes(view, &mut duties);
    match scope {
        Scope::All => view.topics.values().for_each(|topic| of_topic(&electorate, topic, &mut duties)),
        Scope::Topics(names) => names
            .iter()
            .filter_map(|name| view.topic(name))
            .for_each(|topic| of_topic(&electorate, topic, &mut duties)),
    }
    of_requests(&electorate, &mut duties);
    duties
}

fn of_topic(electorate: &Electorate<'_>, topic: &TopicView, duties: &mut Vec<Duty>) {
    if electorate.view.deleting.contains(&topic.name) {
        return;
    }
    if topic.id == Uuid::nil() {
        duties.push(Duty::GiveId { topic: topic.name.clone() });
        return;
    }
    let mut completions = Vec::new();
    for (index, partition) in (0..).zip(&topic.partitions) {
        if let Some(completion) = completion(electorate, index, partition) {
            completions.push(completion);
        } else if let Some(state) = electorate.next_state(topic, partition) {
            let (topic, version) = (topic.name.clone(), partition.partition_epoch);
            duties.push(Duty::Write(NextState { topic, partition: index, version, state }));
        }
    }
    if !completions.is_empty() {
        duties.push(Duty::CompleteReassignments { topic: topic.name.clone(), completions });
    }
}

/// The znode log is assigned to every broker that ever registered.
fn assign_znodes(view: &ClusterView, duties: &mut Vec<Duty>) {
    let Some(partition) = view.partition(ensemble::ZNODES_TOPIC, 0) else { return };
    let new: Vec<i32> = view.brokers.keys().filter(|id| !partition.replicas.contains(id)).copied().collect();
    if !new.is_empty() {
        let replicas = partition.replicas.iter().copied().chain(new).collect();
        duties.push(Duty::AssignZnodes { replicas });
    }
}

fn of_requests(electorate: &Electorate<'_>, duties: &mut Vec<Duty>) {
    let view = electorate.view;
    if let Some(request) = &view.preferred_election {
        let elections: Vec<Duty> = request
            .iter()
            .filter(|named| !view.deleting.contains(named.topic.as_str()))
            .filter_map(|named| {
                let topic = view.topic(&named.topic)?.name.clone();
                let partition = view.partition(&named.topic, named.partition)?;
                let state = electorate.preferred(partition).ok()?;
                let version = partition.partition_epoch;
                Some(Duty::Write(NextState { topic, partition: named.partition, version, state }))
            })
            .collect();
        if elections.is_empty() {
            duties.push(Duty::FinishRequest { path: layout::PREFERRED_ELECTION });
        }
        duties.extend(elections);
    }
    if let Some(request) = &view.reassignment_request {
        match request_step(view, request) {
            RequestStep::Start(starts) => duties.extend(
                starts.into_iter().map(|(topic, targets)| Duty::StartReassignments { topic, targets }),
            ),
            RequestStep::Wait => {}
            RequestStep::Finish => duties.push(Duty::FinishRequest { path: layout::REASSIGN_PARTITIONS }),
        }
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

#[cfg(test)]
mod tests;
