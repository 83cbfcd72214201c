//! Who leads a partition and who is in sync, judged from a picture alone.
//!
//! Invariants: pure. The in-sync set is never emptied, because only its members can lead without loss. A broker that came back is
//! another incarnation: what it acknowledged before may be gone with its disk, so while members are left that never went away, it leaves
//! the in-sync set and neither leads nor counts until it has caught up.
use crate::layout::PartitionState;
use crate::view::{ClusterView, PartitionView, TopicView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What elections are judged from.
#[derive(Clone, Copy)]
pub(crate) struct Electorate<'a> {
    pub(crate) view: &'a ClusterView,
    /// Live brokers that are about to stop: they lead only what nobody else can.
    pub(crate) leaving: &'a BTreeSet<i32>,
}

/// A state to be written, with the version of the present one (-1: none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextState {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) version: i32,
    pub(crate) state: PartitionState,
}

/// Whether the state that is there says the same.
fn says(state: &PartitionState, partition: &PartitionView) -> bool {
    state.leader == partition.leader
        && state.leader_epoch == partition.leader_epoch
        && state.isr == partition.isr
}

/// Why a requested election has nothing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoElection {
    /// The partition is led as wanted already.
    NotNeeded,
    /// No replica can be elected.
    NoCandidate,
}

/// What a broker that is about to stop leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Departure {
    /// Leaderships that move and in-sync sets that it leaves.
    pub(crate) states: Vec<NextState>,
    /// Replicated partitions that nobody else can lead.
    pub(crate) remaining: Vec<(Arc<str>, i32)>,
}

impl Electorate<'_> {
    fn is_live(&self, id: i32) -> bool {
        self.view.brokers.contains_key(&id)
    }

    /// Whether the broker lives in the incarnation that the state was written for.
    fn is_steady(&self, id: i32, partition: &PartitionView) -> bool {
        self.view.brokers.get(&id).is_some_and(|broker| broker.epoch < partition.state_zxid)
    }

    fn state(&self, leader: i32, leader_epoch: i32, isr: Vec<i32>, recovering: bool) -> PartitionState {
        PartitionState {
            controller_epoch: self.view.controller_epoch,
            leader,
            version: 1,
            leader_epoch,
            isr,
            leader_recovery_state: i8::from(recovering),
        }
    }

    /// The first of `ids` that stays, else the first.
    fn pick(&self, ids: &[i32]) -> Option<i32> {
        ids.iter().find(|id| !self.leaving.contains(id)).or(ids.first()).copied()
    }

    /// The members of the in-sync set that can stay in it, in its order.
    fn members(&self, partition: &PartitionView) -> Vec<i32> {
        let live: Vec<i32> = partition.isr.iter().filter(|id| self.is_live(**id)).copied().collect();
        let steady: Vec<i32> = live.iter().filter(|id| self.is_steady(**id, partition)).copied().collect();
        let members = if steady.is_empty() { live } else { steady };
        let assigned: Vec<i32> =
            members.iter().filter(|id| partition.replicas.contains(id)).copied().collect();
        if assigned.is_empty() { members } else { assigned }
    }

    /// The state that a partition should have instead of its present one.
    pub(crate) fn next_state(&self, topic: &TopicView, partition: &PartitionView) -> Option<PartitionState> {
        if partition.partition_epoch < 0 {
            let isr: Vec<i32> = partition.replicas.iter().filter(|id| self.is_live(**id)).copied().collect();
            let leader = self.pick(&isr)?;
            return Some(self.state(leader, 0, isr, false));
        }
        if &*topic.name == ensemble::ZNODES_TOPIC {
            return self.next_state_of_znodes(partition);
        }
        if let Some(state) = self.state_among_members(partition) {
            return (!says(&state, partition)).then_some(state);
        }
        let epoch = partition.leader_epoch.saturating_add(1);
        if topic.config.unclean_leader_election_enable
            && let Some(leader) = self.any_replica(partition)
        {
            // The new leader may lack what was acknowledged; it says so until it has recovered (KIP-704).
            return Some(self.state(leader, epoch, vec![leader], true));
        }
        // The last in-sync replicas stay on record: only they can be elected without loss.
        (partition.leader != -1).then(|| self.state(-1, epoch, partition.isr.clone(), partition.recovering))
    }

    /// The state in which a member leads: the present leader if it can, else another one in a new epoch.
    pub(crate) fn state_among_members(&self, partition: &PartitionView) -> Option<PartitionState> {
        let mut members = self.members(partition);
        let leads_on = self.is_steady(partition.leader, partition);
        if leads_on && members.is_empty() {
            members.push(partition.leader);
        }
        if leads_on && members.contains(&partition.leader) {
            let (leader, epoch) = (partition.leader, partition.leader_epoch);
            return Some(self.state(leader, epoch, members, partition.recovering));
        }
        let leader = self.candidate(partition, &members)?;
        let epoch = partition.leader_epoch.saturating_add(1);
        Some(self.state(leader, epoch, members, partition.recovering))
    }

    /// Who of the members is to lead, in the order of the assignment.
    fn candidate(&self, partition: &PartitionView, members: &[i32]) -> Option<i32> {
        let ordered: Vec<i32> =
            partition.replicas.iter().filter(|id| members.contains(id)).copied().collect();
        self.pick(&ordered).or_else(|| self.pick(members))
    }

    fn any_replica(&self, partition: &PartitionView) -> Option<i32> {
        let live: Vec<i32> = partition.replicas.iter().filter(|id| self.is_live(**id)).copied().collect();
        self.pick(&live)
    }

    /// The znode log is replicated by consensus, so that every live broker has it.
    fn next_state_of_znodes(&self, partition: &PartitionView) -> Option<PartitionState> {
        let here = |id: &&i32| self.is_live(**id) && !self.leaving.contains(id);
        let live: Vec<i32> = partition.replicas.iter().filter(here).copied().collect();
        if self.is_steady(partition.leader, partition) && live.contains(&partition.leader) {
            let differs = live != partition.isr;
            return differs.then(|| self.state(partition.leader, partition.leader_epoch, live, false));
        }
        let steady = live.iter().find(|id| self.is_steady(**id, partition));
        let leader = *steady.or(live.first())?;
        Some(self.state(leader, partition.leader_epoch.saturating_add(1), live, false))
    }

    /// The election of the preferred leader.
    pub(crate) fn preferred(&self, partition: &PartitionView) -> Result<PartitionState, NoElection> {
        let preferred = *partition.replicas.first().ok_or(NoElection::NoCandidate)?;
        if partition.leader == preferred {
            return Err(NoElection::NotNeeded);
        }
        let members = self.members(partition);
        let may_lead = members.contains(&preferred)
            && self.is_steady(preferred, partition)
            && !self.leaving.contains(&preferred);
        if !may_lead {
            return Err(NoElection::NoCandidate);
        }
        Ok(self.state(preferred, partition.leader_epoch.saturating_add(1), members, partition.recovering))
    }

    /// The election of a leader for a partition without one, of an out-of-sync replica if there is no other.
    pub(crate) fn unclean(&self, partition: &PartitionView) -> Result<PartitionState, NoElection> {
        if partition.leader != -1 {
            return Err(NoElection::NotNeeded);
        }
        let epoch = partition.leader_epoch.saturating_add(1);
        let members = self.members(partition);
        if let Some(leader) = self.candidate(partition, &members) {
            return Ok(self.state(leader, epoch, members, partition.recovering));
        }
        let leader = self.any_replica(partition).ok_or(NoElection::NoCandidate)?;
        Ok(self.state(leader, epoch, vec![leader], true))
    }

    /// The preferred elections that are due because a broker leads too few of the partitions that prefer it
    /// (`leader.imbalance.per.broker.percentage`).
    pub(crate) fn imbalanced(&self, percentage: i32) -> Vec<NextState> {
        let mut preferring: BTreeMap<i32, (usize, Vec<NextState>)> = BTreeMap::new();
        let mut away: BTreeMap<i32, usize> = BTreeMap::new();
        for topic in self.view.topics.values().filter(|topic| !self.view.deleting.contains(&topic.name)) {
            for (index, partition) in (0..).zip(&topic.partitions) {
                let Some(preferred) = partition.replicas.first().copied() else { continue };
                let (count, states) = preferring.entry(preferred).or_default();
                *count += 1;
                if partition.leader != preferred {
                    *away.entry(preferred).or_default() += 1;
                }
                if let (false, Ok(state)) = (partition.is_reassigning(), self.preferred(partition)) {
                    states.push(NextState {
                        topic: topic.name.clone(),
                        partition: index,
                        version: partition.partition_epoch,
                        state,
                    });
                }
            }
        }
        let is_due = |id: &i32, count: usize| {
            let away = away.get(id).copied().unwrap_or(0);
            away as u64 * 100 > count as u64 * u64::from(percentage.max(0).unsigned_abs())
        };
        preferring
            .into_iter()
            .filter(|(id, (count, _))| is_due(id, *count))
            .flat_map(|(_, (_, states))| states)
            .collect()
    }

    /// What has to be written before `broker` stops.
    pub(crate) fn departure(&self, broker: i32) -> Departure {
        let mut departure = Departure::default();
        for topic in self.view.topics.values().filter(|topic| !self.view.deleting.contains(&topic.name)) {
            for (index, partition) in (0..).zip(&topic.partitions) {
                if partition.partition_epoch < 0 {
                    continue;
                }
                let others: Vec<i32> =
                    self.members(partition).into_iter().filter(|id| *id != broker).collect();
                let steady: Vec<i32> = others
                    .iter()
                    .filter(|id| self.is_steady(**id, partition) && !self.leaving.contains(id))
                    .copied()
                    .collect();
                let state = if partition.leader == broker {
                    match self.candidate(partition, &steady) {
                        Some(leader) => {
                            let epoch = partition.leader_epoch.saturating_add(1);
                            self.state(leader, epoch, others, partition.recovering)
                        }
                        None => {
                            if partition.replicas.len() > 1 && &*topic.name != ensemble::ZNODES_TOPIC {
                                departure.remaining.push((topic.name.clone(), index));
                            }
                            continue;
                        }
                    }
                } else if partition.isr.contains(&broker) && !others.is_empty() {
                    self.state(partition.leader, partition.leader_epoch, others, partition.recovering)
                } else {
                    continue;
                };
                departure.states.push(NextState {
                    topic: topic.name.clone(),
                    partition: index,
                    version: partition.partition_epoch,
                    state,
                });
            }
        }
        departure
    }
}
