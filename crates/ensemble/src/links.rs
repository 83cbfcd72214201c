//! The quorum's requests on their way to other nodes: where a node is, which lane a request takes, what its answer means.
//!
//! Invariant: every request of the core ends in one response or one failure.
use crate::consensus::{Consensus, Received};
use crate::core::Core;
use crate::pace::Answered;
use crate::wire::{self, Answer};
use kafka_wire::{ErrorCode, Records};
use log::Batch;
use peers::{Address, CallError, Lane};
use quorum::message::{RecordRange, Request, Response};
use quorum::{Event, Failure, Peer};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The most addresses that are kept of nodes that no voter set names.
const LEARNT_MAX: usize = 64;

/// Where the other nodes are.
#[derive(Default)]
pub(crate) struct Links {
    /// Addresses that came with answers, or with a leader's first request, of leaders that no voter set names yet.
    learnt: HashMap<i32, Address>,
    /// Who said that it belongs to another cluster, since the start of this run.
    strangers: BTreeSet<Peer>,
    /// Whether this run of the node has ever had a leader: then it is in the right cluster.
    settled: bool,
}

impl Links {
    /// Somebody says where nodes listen. Anybody could name nodes that don't exist; a node that is forgotten here is named again.
    pub(crate) fn learn(&mut self, endpoints: impl IntoIterator<Item = (i32, Address)>) {
        for (node, address) in endpoints {
            if self.learnt.len() >= LEARNT_MAX {
                self.learnt.clear();
            }
            self.learnt.insert(node, address);
        }
    }

    /// A leader was found, or lost.
    pub(crate) fn leader_known(&mut self, leader: Option<i32>) {
        if leader.is_some() {
            self.settled = true;
            self.strangers.clear();
        }
    }
}

impl Consensus {
    /// Where a peer listens.
    fn address(&self, core: &Core, peer: Peer) -> Option<Address> {
        match peer {
            Peer::Bootstrap(index) => {
                core.config.cluster.bootstrap.get(usize::try_from(index).ok()?).cloned()
            }
            Peer::Node(id) => self.node_address(core, id),
        }
    }

    /// Where a node listens: as the voter set says, else as an answer or the configuration said.
    pub(crate) fn node_address(&self, core: &Core, id: i32) -> Option<Address> {
        let voter = self.quorum.voters().get(id).and_then(|voter| voter.endpoints.first());
        if let Some(endpoint) = voter {
            return Some(Address { host: endpoint.host.clone(), port: endpoint.port });
        }
        let configured = core.config.cluster.voters.iter().find(|voter| voter.id == id);
        self.links.learnt.get(&id).or(configured.map(|voter| &voter.address)).cloned()
    }
}

/// An answer, and the entries of the log that it brought.
struct Taken {
    answer: Answer,
    /// `None` if one of them is not what its sender wrote.
    batches: Option<Vec<Batch>>,
}

impl Taken {
    /// Judges the entries of an answer; those of a snapshot are judged when it is whole.
    fn of(mut answer: Answer) -> Taken {
        let batches = match answer.response {
            Response::Fetch(_) => whole_batches(&std::mem::replace(&mut answer.records, Records::EMPTY)),
            _ => Some(Vec::new()),
        };
        Taken { answer, batches }
    }
}

impl Core {
    /// Sends a request of the quorum; its end is reported to the quorum as an event.
    pub(crate) fn send(
        self: &Arc<Self>,
        consensus: &mut Consensus,
        to: Peer,
        correlation: u64,
        request: Request,
        events: &mut VecDeque<Event>,
    ) {
        let address = consensus.address(self, to);
        let (Some(peers), Some(address)) = (&self.peers, address) else {
            events.push_back(Event::RequestFailed { to, correlation, failure: Failure::Lost });
            return;
        };
        let config = &self.config.cluster;
        let (lane, patience) = match &request {
            Request::Fetch(fetch) => (Lane::ZnodeFetch, config.request_timeout_ms + fetch.max_wait_ms),
            Request::FetchSnapshot(_) => (Lane::ZnodeFetch, config.request_timeout_ms),
            _ => (Lane::Quorum, config.request_timeout_ms),
        };
        let (version, request) =
            wire::request(self.cluster_id.read().as_deref(), config.advertised.as_ref(), request);
        let calling = peers.call(&address, lane, version, request, Duration::from_millis(patience));
        let core = self.clone();
        tokio::spawn(async move {
            let answer = calling.await.map(wire::parse_response).map(|parsed| parsed.map(Taken::of));
            if let Ok(Ok(Taken { answer, batches: Some(batches) })) = &answer {
                core.make_way_for_others(answer, batches).await;
            }
            if let Err(error) = core.take_answer(to, correlation, answer) {
                core.fail(error);
            }
        });
    }

    /// Before entries are taken in, others may have their turn.
    async fn make_way_for_others(&self, answer: &Answer, batches: &[Batch]) {
        let Response::Fetch(fetch) = &answer.response else { return };
        let (end, entries) = match range_of(batches) {
            Some(range) => (range.base_offset, range.end_offset - range.base_offset),
            None => (self.znode_log.end(), 0),
        };
        let entries = u64::try_from(entries).unwrap_or(0);
        self.make_way(Answered { end, entries, high_watermark: fetch.high_watermark }).await;
    }

    fn take_answer(
        self: &Arc<Self>,
        to: Peer,
        correlation: u64,
        answer: Result<Result<Taken, ErrorCode>, CallError>,
    ) -> Result<(), String> {
        if self.stopped() {
            return Ok(());
        }
        let mut guard = self.consensus.lock();
        let Some(consensus) = guard.as_mut() else { return Ok(()) };
        let failed = |failure| Event::RequestFailed { to, correlation, failure };
        let (mut answer, batches) = match answer {
            Ok(Ok(Taken { answer, batches: Some(batches) })) => (answer, batches),
            Ok(Ok(Taken { batches: None, .. })) => {
                tracing::warn!(?to, "a fetch of __znodes brought damaged batches; it is tried again");
                return self.step_locked(consensus, failed(Failure::Lost));
            }
            Ok(Err(error)) => {
                self.refused_as_a_whole(consensus, to, error)?;
                return self.step_locked(consensus, failed(Failure::Lost));
            }
            Err(CallError::Refused(_)) => return self.step_locked(consensus, failed(Failure::Refused)),
            Err(error) => {
                tracing::debug!(?to, %error, "a request of the quorum got no answer");
                return self.step_locked(consensus, failed(Failure::Lost));
            }
        };
        consensus.links.learn(answer.endpoints);
        if let Response::Fetch(fetch) = &mut answer.response {
            fetch.records = range_of(&batches);
        }
        consensus.received = Received { batches, piece: answer.records };
        let done =
            self.step_locked(consensus, Event::Response { from: to, correlation, response: answer.response });
        consensus.received = Received::default();
        done
    }

    /// Another node doesn't talk to this one at all.
    fn refused_as_a_whole(
        &self,
        consensus: &mut Consensus,
        peer: Peer,
        error: ErrorCode,
    ) -> Result<(), String> {
        if error != ErrorCode::INCONSISTENT_CLUSTER_ID {
            tracing::debug!(?peer, ?error, "a request of the quorum was refused");
            return Ok(());
        }
        let own = self.cluster_id.read().clone().unwrap_or_default();
        tracing::warn!(?peer, cluster = own, "another node belongs to another cluster");
        let links = &mut consensus.links;
        links.strangers.insert(peer);
        let voters = consensus.quorum.voters();
        let needed = if voters.is_empty() { 1 } else { voters.majority() };
        if links.settled || links.strangers.len() < needed {
            return Ok(());
        }
        Err(format!(
            "this node's data belongs to cluster {own}, but the others belong to another one; give it the right voters or \
             empty its data folder"
        ))
    }
}

/// The whole batches of a response, each with a right CRC; a part of one at the end is left out. `None` if anything is damaged.
fn whole_batches(records: &Records) -> Option<Vec<Batch>> {
    let mut batches = Vec::new();
    for mut batch in Batch::iter(records.to_bytes()).map_while(Result::ok) {
        // Remembered, so that the append need not compute it again.
        if !batch.check_crc() || batch.header().last_offset_delta < 0 {
            return None;
        }
        batches.push(batch);
    }
    Some(batches)
}

fn range_of(batches: &[Batch]) -> Option<RecordRange> {
    let (first, last) = (batches.first()?, batches.last()?);
    let range =
        RecordRange { base_offset: first.header().base_offset, end_offset: last.header().next_offset() };
    (range.base_offset < range.end_offset).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_anybody_names_do_not_pile_up() {
        let mut links = Links::default();
        for node in 0..10_000 {
            links.learn([(node, Address { host: "nowhere".to_owned(), port: 1 })]);
            assert!(links.learnt.len() <= LEARNT_MAX);
            assert!(links.learnt.contains_key(&node), "the newest is known");
        }
    }
}
