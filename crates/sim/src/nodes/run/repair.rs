//! Disks that lose what they had flushed, and what an operator does about it.
//!
//! Invariants: one node at a time lacks what it had flushed, from the moment of its loss until it has everything again: more than that no
//! replication covers. While brokers may still count its replicas as in sync, nothing else happens to the nodes, as an operator sees to
//! it who replaces a disk: what it had may be in sync by name only. A node whose disk stays damaged gets another one in the end.
use super::super::damage::{self, ZNODES};
use super::super::disk::Medium;
use super::super::kafka::TOPIC;
use super::super::process::Process;
use super::super::zk::Ledger;
use super::{COMPARE_MS, Machine, Simulation};
use std::collections::BTreeSet;
use uuid::Uuid;

/// How many nodes there must be, so that a majority can do without one.
const NODES_MIN: usize = 3;
/// How many replicas must have a partition's records without the node.
const IN_SYNC_MIN: usize = 2;

/// What is to be done to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    Rot,
    Empty,
}

/// The node that lacks what it had flushed, until it has everything again.
pub(super) struct Frail {
    node: usize,
    /// The states of partitions that have counted it as in sync ever since.
    exposed: BTreeSet<String>,
    /// Its disk as it was, until it starts again.
    before: Option<Before>,
}

/// A disk before harm came to it.
struct Before {
    medium: Medium,
    directory: Option<Uuid>,
}

impl Frail {
    /// Whether a node's disk holds damage.
    pub(super) fn is_rotten_at(&self, node: usize, machine: &Machine) -> bool {
        self.node == node && damage::is_rotten(&machine.medium.lock(), TOPIC)
    }
}

/// When a node's present process registered its broker, if it has.
fn registered_at(ledger: &Ledger, node: usize, machine: &Machine) -> Option<i64> {
    machine.process.as_ref()?;
    let id = format!("/brokers/ids/{node}");
    ledger.at(&id, i64::MAX)?;
    ledger.changes(&id, machine.started_at_zxid, i64::MAX).last()
}

impl Simulation {
    /// Whether a replica that lacks something may count as in sync.
    pub(super) fn is_exposed(&self) -> bool {
        self.frail.as_ref().is_some_and(|frail| !frail.exposed.is_empty())
    }

    /// Harms the disk that is to be harmed, if the others can do without it, and looks after the one that was.
    pub(super) fn look_after_disks(&mut self) {
        if self.frail.is_none()
            && self.trouble
            && self.operator.is_idle()
            && let Some((harm, node)) = self.harm.filter(|(_, node)| self.can_do_without(*node))
        {
            self.harm = None;
            self.network.note(format_args!("the disk of node {node}: {harm:?}"));
            match harm {
                Harm::Empty => self.empty(node),
                Harm::Rot => self.rot(node),
            }
        }
        self.undo_harm_to_the_last_copy();
        let Some(frail) = &mut self.frail else { return };
        let node = frail.node;
        if !frail.exposed.is_empty() {
            let registered = registered_at(&self.ledger, node, &self.machines[node]);
            // A state that was written since the node registered again vouches for what it is now.
            let is_outdated = |path: &str| {
                registered.is_none_or(|zxid| self.ledger.changes(path, zxid, i64::MAX).next().is_none())
            };
            let counts = |path: &str, isr: &[i32]| isr.contains(&(node as i32)) && is_outdated(path);
            let exposed = self.ledger.in_sync().filter(|(path, isr)| counts(path, isr)).map(|(path, _)| path);
            let exposed: BTreeSet<&str> = exposed.collect();
            frail.exposed.retain(|path| exposed.contains(path.as_str()));
        }
        if self.now_ms.is_multiple_of(COMPARE_MS) {
            self.look_after_frail(node);
        }
    }

    /// A change of in-sync replicas that the dead process sent may be committed only now. If it leaves the node's as the only copy, then
    /// the others could not do without it, and nothing would be proven by what is lost.
    fn undo_harm_to_the_last_copy(&mut self) {
        let Some(frail) = &mut self.frail else { return };
        let node = frail.node;
        if self.machines[node].process.is_some() {
            frail.before = None;
        }
        let is_last = self.ledger.in_sync().any(|(_, isr)| isr == [node as i32]);
        let Some(before) = frail.before.take_if(|_| is_last) else { return };
        self.network.note(format_args!("node {node} has the last copy; its disk is as it was"));
        self.machines[node].medium.lock().become_again(before.medium);
        self.machines[node].directory = before.directory;
        self.frail = None;
    }

    fn look_after_frail(&mut self, node: usize) {
        let is_rotten = damage::is_rotten(&self.machines[node].medium.lock(), TOPIC);
        if is_rotten && !self.trouble && self.can_do_without(node) {
            self.empty(node);
        } else if !is_rotten && self.is_whole(node) {
            self.network.note(format_args!("node {node} is whole again"));
            self.frail = None;
        }
    }

    /// A process has ended by itself; if its disk is the reason, it may get another one.
    pub(super) fn gave_up(&mut self, node: usize) {
        let machine = &self.machines[node];
        let is_rotten = self.frail.as_ref().is_some_and(|frail| frail.is_rotten_at(node, machine));
        if is_rotten && self.dice.chance(300) && self.can_do_without(node) {
            self.empty(node);
        }
    }

    /// Whether what a node has can be had from the others, and they can tell its next disk from this one.
    fn can_do_without(&self, node: usize) -> bool {
        let known = match self.ledger.voters().get(&(node as i32)) {
            // Whoever was made a voter by an operator would have to be replaced by one, too.
            Some(directory) => self.machines[node].directory == Some(*directory) && self.is_to_vote(node),
            None => true,
        };
        // Who has not heard which disk a voter has would take another one for it.
        let has_heard = |(other, machine): (usize, &Machine)| {
            let topic = machine.process.as_ref().and_then(Process::topic);
            other == node || topic.is_some_and(|topic| topic.high_watermark() >= self.ledger.voters_end())
        };
        let known = known && self.machines.iter().enumerate().all(has_heard);
        let brokers_can = || {
            let mut isrs = self.ledger.in_sync();
            self.is_calm(node)
                && isrs.all(|(_, isr)| {
                    let others = isr.iter().filter(|id| **id != node as i32).count();
                    others >= IN_SYNC_MIN || !isr.contains(&(node as i32))
                })
        };
        let voters = self.ledger.voters().len();
        self.machines.len() >= NODES_MIN
            && voters >= NODES_MIN
            && known
            && (self.plan.agents.is_none() || brokers_can())
    }

    /// Whether all other nodes are well. A broker that is still registered by its last run is not: it may be the controller, and if
    /// another one takes over only once the node is back, nobody has seen that it was gone, and it stays in sync by name.
    fn is_calm(&self, node: usize) -> bool {
        let is_well = |(other, machine): (usize, &Machine)| {
            machine.process.as_ref().is_some_and(Process::serves)
                && registered_at(&self.ledger, other, machine).is_some()
                && machine.paused_until_ms.is_none()
                && !machine.medium.lock().trouble().is_any()
        };
        let mut others = self.machines.iter().enumerate().filter(|(other, _)| *other != node);
        self.cuts.is_empty() && others.all(is_well)
    }

    /// Whether a node has everything that was ever committed, as a voter if it is to be one.
    fn is_whole(&self, node: usize) -> bool {
        let machine = &self.machines[node];
        let (Some(process), Some(frail)) = (&machine.process, &self.frail) else { return false };
        let votes = self.ledger.voters().get(&(node as i32)).copied();
        let is_level = process.topic().is_some_and(|topic| topic.high_watermark() == self.ledger.end());
        frail.exposed.is_empty()
            && is_level
            && (votes == machine.directory || (votes.is_none() && !self.is_to_vote(node)))
            && !machine.rots_at_end
            && !damage::is_noted(&machine.medium.lock())
    }

    /// Whether a node is configured as a voter.
    fn is_to_vote(&self, node: usize) -> bool {
        node < self.machines.len() - (self.machines.len() + 1) % 2
    }

    /// From now on a node lacks something; its replicas, too, if `with_partitions`.
    fn becomes_frail(&mut self, node: usize, with_partitions: bool) {
        let counts = |isr: &[i32]| isr.contains(&(node as i32));
        let exposed = self.ledger.in_sync().filter(|(_, isr)| with_partitions && counts(isr));
        let exposed = exposed.map(|(path, _)| path.to_owned()).collect();
        let machine = &self.machines[node];
        let before = machine
            .process
            .is_none()
            .then(|| Before { medium: machine.medium.lock().clone(), directory: machine.directory });
        self.frail = Some(Frail { node, exposed, before });
    }

    /// kill -9, and another disk.
    fn empty(&mut self, node: usize) {
        self.network.note(format_args!("node {node} gets an empty disk"));
        self.end(node, false);
        self.becomes_frail(node, true);
        self.machines[node].medium.lock().replace();
        self.machines[node].directory = None;
        self.machines[node].disk_failed = false;
    }

    /// Bits are lost.
    fn rot(&mut self, node: usize) {
        match self.dice.below(if self.plan.agents.is_some() { 6 } else { 4 }) {
            0 => {
                self.becomes_frail(node, false);
                self.machines[node].disk_failed = true;
                let did = damage::rot_old_znodes(&mut self.machines[node].medium.lock(), &mut self.dice);
                self.network.note(format_args!("node {node} rots while it runs: {did:?}"));
            }
            1 => {
                let power = self.dice.chance(500);
                self.end(node, power);
                self.becomes_frail(node, power);
                self.rot_znodes(node, false);
            }
            2 => {
                let Some(process) = &self.machines[node].process else { return };
                process.stop();
                self.machines[node].rots_at_end = true;
                self.becomes_frail(node, false);
            }
            3 => {
                self.end(node, false);
                self.becomes_frail(node, false);
                let did = damage::rot_snapshot(&mut self.machines[node].medium.lock(), &mut self.dice);
                self.network.note(format_args!("node {node} rots: {did:?}"));
            }
            _ => {
                self.end(node, false);
                self.becomes_frail(node, true);
                self.rot_partition(node);
            }
        }
    }

    /// The znode log of a node that is down loses bits: of what the node has noted as flushed, or of anything if all others have
    /// all of it, byte for byte: what another leader wrote at the same offsets is nothing to get it back from. What was flushed since looks like a torn write if it is damaged, and takes all behind it along.
    /// If it was stopped properly, only what the next start reads is damaged: the rest would stay unseen until a snapshot is newer.
    pub(super) fn rot_znodes(&mut self, node: usize, was_stopped: bool) {
        let others = self.machines.iter().enumerate().filter(|(other, _)| *other != node);
        let mine = self.machines[node].medium.lock();
        let agreed = others.map(|(_, other)| damage::agreed_end(&mine, &other.medium.lock(), ZNODES));
        let agreed = agreed.min().unwrap_or(0);
        drop(mine);
        let mut medium = self.machines[node].medium.lock();
        let noted = damage::noted(&medium);
        let has_all = agreed >= damage::flushed_end(&medium, ZNODES).max(self.ledger.end());
        let below = if has_all { agreed } else { noted.max(damage::snapshot_end(&medium)) };
        let from = if was_stopped { damage::snapshot_end(&medium) + 1 } else { 0 };
        let did = damage::rot_znodes(&mut medium, &mut self.dice, from..=below);
        self.network.note(format_args!("node {node} rots: {did:?}"));
    }

    /// A partition loses bits that the other replicas have flushed, too. Not if the node was stopped properly: it would come back without
    /// looking, as Kafka's does, count as in sync with the damage, and lose all behind it when it is killed at any later time, maybe
    /// as the last in-sync replica.
    fn rot_partition(&mut self, node: usize) {
        if damage::was_stopped(&self.machines[node].medium.lock()) {
            return;
        }
        let folders = damage::folders(&self.machines[node].medium.lock(), TOPIC);
        if folders.is_empty() {
            return;
        }
        let folder = self.dice.pick(&folders).clone();
        let others = self.machines.iter().enumerate().filter(|(other, _)| *other != node);
        let mine = self.machines[node].medium.lock();
        let ends = others.filter_map(|(_, other)| {
            let medium = other.medium.lock();
            let has = damage::folders(&medium, TOPIC).contains(&folder);
            has.then(|| damage::agreed_end(&mine, &medium, &folder))
        });
        let below = ends.min().unwrap_or(0);
        drop(mine);
        let mut medium = self.machines[node].medium.lock();
        let did = damage::rot_partition(&mut medium, &mut self.dice, &folder, below);
        self.network.note(format_args!("node {node} rots: {did:?}"));
    }
}
