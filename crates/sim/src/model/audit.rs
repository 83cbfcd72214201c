//! Proof, state by state, of the model's shortcuts. Invariant: what is taken for the same acts the same.

use quorum::message::{BeginQuorumEpochRequest, EndQuorumEpochRequest, FetchRequest, Request, VoteRequest};
use quorum::{Action, Event, LogOffset, Millis, Quorum, Renamed};

use super::clock::{self, NOW};
use super::log::View;
use super::network::{Packet, new_number};
use super::node::{self, Node};
use super::oracle::{Law, Violation};
use super::state::State;
use super::world::World;

/// The number of the request that a probe makes.
const PROBE: u64 = 1 << 50;
/// What every new number of the core becomes before a comparison.
const NEW: u64 = 1 << 51;

impl World {
    /// Drops requests that nobody waits for and that can't have an effect any more.
    pub(crate) fn drop_inert(&self, state: &mut State) -> Result<(), Violation> {
        let nodes = state.nodes.clone();
        let mut outcome = Ok(());
        state.network.retain(|packet| {
            let Packet::Request { to, request, .. } = &**packet else { return true };
            if packet.is_awaited() {
                return true;
            }
            let Some(node) = nodes.get(State::place(*to)) else { return false };
            let inert = is_inert(node, request);
            if inert && self.bounds().audit && outcome.is_ok() {
                outcome = audit_inert(node, request);
            }
            !inert
        });
        outcome
    }

    /// Checks that the core acts after `canonicalize` as it would have acted before it, whatever comes next, but for
    /// when its timers go off.
    pub(crate) fn audit_renaming(
        &self,
        node: &Node,
        before: Quorum,
        now: Millis,
        renamed: &Renamed,
    ) -> Result<(), Violation> {
        let class = |moment, now: Millis| clock::due(clock::canonical(moment, now));
        if class(before.next_tick(), now) != clock::due(node.quorum.next_tick()) {
            let how = format!("{} is due at another time once it is canonical", node.id());
            return Err(Violation::new(Law::Contract, how));
        }
        for event in self.probes(node, renamed) {
            let (old_event, new_event) = event;
            let view = View { log: &node.disk.log, flushed: node.disk.log.flushed };
            let old = before.clone().step(old_event, &view, now);
            let new = node.quorum.clone().step(new_event.clone(), &view, NOW);
            let (old, new) = (comparable(old, renamed, true), comparable(new, renamed, false));
            if old != new {
                let how = format!(
                    "{} acts otherwise once it is canonical: {new_event:?}: {old:?} / {new:?}",
                    node.id()
                );
                return Err(Violation::new(Law::Contract, how));
            }
        }
        Ok(())
    }

    /// Events to compare with, each as the old and as the canonical core gets it.
    fn probes(&self, node: &Node, renamed: &Renamed) -> Vec<(Event, Event)> {
        let epoch = node.quorum.epoch();
        let end = node.disk.log.end_offset();
        let last = LogOffset::new(end, node.disk.log.epoch_before(end));
        let mut probes = vec![Event::Flushed, Event::Appended { voters: Vec::new() }, Event::Resign];
        for other in (1..=self.bounds().nodes()).filter(|other| *other != node.id()) {
            for epoch in [epoch, epoch + 1] {
                let candidate = node::replica(other);
                let voter = node::replica(node.id());
                let requests = [true, false]
                    .map(|pre_vote| Request::Vote(VoteRequest { voter, epoch, candidate, last, pre_vote }));
                let requests = requests.into_iter().chain([
                    Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
                        voter,
                        leader_id: other,
                        leader_epoch: epoch,
                    }),
                    Request::EndQuorumEpoch(EndQuorumEpochRequest {
                        leader_id: other,
                        leader_epoch: epoch,
                        preferred_successors: vec![voter],
                    }),
                    Request::Fetch(FetchRequest {
                        replica: candidate,
                        current_leader_epoch: epoch,
                        fetch_offset: last.offset,
                        last_fetched_epoch: last.epoch,
                        high_watermark: node.quorum.high_watermark(),
                        max_wait_ms: 400,
                        max_bytes: 1,
                    }),
                ]);
                probes.extend(requests.map(|request| Event::Request { correlation: PROBE, request }));
            }
        }
        let mut pairs: Vec<_> = probes.into_iter().map(|event| (event.clone(), event)).collect();
        for (old, new) in &renamed.requests {
            for peer in 1..=self.bounds().nodes() {
                for refused in [true, false] {
                    pairs.push((
                        super::turn::failed(peer, *old, refused),
                        super::turn::failed(peer, *new, refused),
                    ));
                }
            }
        }
        pairs
    }
}

/// Whether a request that nobody waits for is refused by `node` now and for ever, without any effect: the disk holds
/// what fences it.
fn is_inert(node: &Node, request: &Request) -> bool {
    let durable = node.durable_epoch();
    let has_voted = node.disk.vote.is_some_and(|vote| vote.voted_for.is_some());
    let may_lead = matches!(
        node.quorum.role(),
        quorum::RoleName::Leader | quorum::RoleName::Candidate | quorum::RoleName::Prospective
    );
    match request {
        Request::Vote(vote) if vote.pre_vote => vote.epoch <= durable,
        Request::Vote(vote) => vote.epoch < durable || (vote.epoch == durable && has_voted),
        Request::BeginQuorumEpoch(begin) => begin.leader_epoch < durable,
        Request::EndQuorumEpoch(end) => end.leader_epoch < durable,
        Request::Fetch(fetch) => {
            fetch.current_leader_epoch < durable || (fetch.current_leader_epoch == durable && !may_lead)
        }
        _ => false,
    }
}

fn audit_inert(node: &Node, request: &Request) -> Result<(), Violation> {
    let view = View { log: &node.disk.log, flushed: node.disk.log.flushed };
    let mut quorum = node.quorum.clone();
    let event = Event::Request { correlation: PROBE, request: request.clone() };
    let actions = quorum.step(event, &view, NOW);
    quorum.canonicalize(NOW, |moment| clock::canonical(moment, NOW));
    let only_answer = actions.iter().all(|action| match action {
        Action::Reply { correlation, .. } => *correlation == PROBE,
        Action::SetTimer(_) => true,
        _ => false,
    });
    if only_answer && quorum == node.quorum {
        return Ok(());
    }
    let how = format!("{} still acts on {request:?}: {actions:?}", node.id());
    Err(Violation::new(Law::Contract, how))
}

/// Actions without what may differ: timers, and the numbers of requests.
fn comparable(actions: Vec<Action>, renamed: &Renamed, old: bool) -> Vec<Action> {
    let actions = actions.into_iter().filter(|action| !matches!(action, Action::SetTimer(_)));
    let actions = actions.map(|action| match action {
        Action::Send { to, request, .. } => Action::Send { to, correlation: NEW, request },
        Action::Reply { correlation, response } => {
            let canonical = if old { new_number(correlation, &renamed.unanswered) } else { None };
            Action::Reply { correlation: canonical.unwrap_or(correlation), response }
        }
        action => action,
    });
    actions.collect()
}
