//! What a node answers to the other nodes of the ensemble, and to tools that ask about the quorum.
//!
//! Invariants: a request of another cluster is refused before it reaches the core; the bytes of an answer are those of the
//! leadership that the answer speaks of; forwarded writes are judged in the order in which they come.
use crate::asks::{self, Ask, Origin, Verdict};
use crate::consensus::Consensus;
use crate::core::{Core, expired};
use crate::ensemble::Ensemble;
use crate::mutant::Mutant;
use crate::outcome::{OpResult, Refusal};
use crate::sequencer::{Asker, Sequencer};
use crate::sessions::Owner;
use crate::subscriber::Closed;
use crate::wire;
use kafka_wire::messages::forwarded::{ForwardedAsks, ForwardedVerdicts};
use kafka_wire::messages::{EnvelopeRequest, EnvelopeResponse};
use kafka_wire::{ErrorCode, Records, Request, Response};
use quorum::message as core_message;
use quorum::{Event, Millis, VoterSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tree::{PasswordDigest, SessionId};

/// The version of what an Envelope holds.
const VERSION: i16 = 0;

impl Ensemble {
    /// Answers a request of another node, or of a tool about the quorum: Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch of the znode log by a
    /// replica, FetchSnapshot, DescribeQuorum, Add-, Remove- and UpdateRaftVoter, Envelope. Works before the node serves clients.
    pub async fn serve_peer(&self, request: Request, version: i16) -> Response {
        match request {
            Request::Envelope(envelope) => Response::Envelope(serve_envelope(&self.core, envelope).await),
            request => serve_quorum(&self.core, request, version).await,
        }
    }

    /// The quorum's leader, as far as this node knows.
    pub fn leader(&self) -> Option<i32> {
        self.core.consensus.lock().as_ref()?.quorum.leader()
    }

    /// Says which cluster this is, once that is known; requests of nodes of another one are refused from now on.
    pub fn belongs_to(&self, cluster_id: &str) {
        *self.core.cluster_id.write() = Some(cluster_id.to_owned());
    }
}

impl Core {
    /// Whether a request's sender may belong to this cluster.
    fn is_of_this_cluster(&self, named: Option<&str>) -> bool {
        match (named, self.cluster_id.read().as_deref()) {
            (Some(named), Some(own)) => named == own,
            _ => true,
        }
    }
}

async fn serve_quorum(core: &Arc<Core>, request: Request, version: i16) -> Response {
    let refuse = wire::Refuser::of(&request);
    let leader = wire::leader_named_in(&request);
    let Some((cluster, request)) = wire::parse_request(request) else {
        return refuse.with(ErrorCode::INVALID_REQUEST);
    };
    if !core.is_of_this_cluster(cluster.as_deref()) {
        return refuse.with(ErrorCode::INCONSISTENT_CLUSTER_ID);
    }
    if leader.is_some()
        && let Some(consensus) = core.consensus.lock().as_mut()
    {
        consensus.links.learn(leader);
    }
    let room = match &request {
        core_message::Request::Fetch(fetch) => fetch.max_bytes,
        _ => 0,
    };
    let Some(waiting) = hand_over(core, request) else {
        return refuse.with(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    };
    // The sender goes when the node stops, or starts over.
    let Ok(response) = waiting.await else { return refuse.with(ErrorCode::NOT_LEADER_OR_FOLLOWER) };
    let records = match read_for(core, &response, room) {
        Ok(records) => records,
        Err(error) => {
            tracing::error!(%error, "__znodes can't be read for another node");
            return refuse.with(ErrorCode::KAFKA_STORAGE_ERROR);
        }
    };
    let Some(records) = records else { return refuse.with(ErrorCode::NOT_LEADER_OR_FOLLOWER) };
    let voters =
        core.consensus.lock().as_ref().map_or_else(VoterSet::default, |it| it.quorum.voters().clone());
    let ago = core.world.clock.wall_ms() - core.world.clock.monotonic_ms() as i64;
    wire::response(version, response, records, &voters, |at: Millis| ago + at.0 as i64)
}

/// Hands a request to the quorum; its answer comes through what this returns.
fn hand_over(
    core: &Arc<Core>,
    request: core_message::Request,
) -> Option<oneshot::Receiver<core_message::Response>> {
    let mut guard = core.consensus.lock();
    let consensus = guard.as_mut().filter(|_| !core.stopped())?;
    let (send, answer) = oneshot::channel();
    let correlation = consensus.next_correlation;
    consensus.next_correlation += 1;
    forget_the_gone(consensus);
    consensus.replies.insert(correlation, send);
    if let Err(error) = core.step_locked(consensus, Event::Request { correlation, request }) {
        drop(guard);
        core.fail(error);
        return None;
    }
    Some(answer)
}

/// Drops those whose connections have ended meanwhile, so that they can't pile up.
fn forget_the_gone(consensus: &mut Consensus) {
    const OFTEN: u64 = 1_024;
    if consensus.next_correlation.is_multiple_of(OFTEN) {
        consensus.replies.retain(|_, waiting| !waiting.is_closed());
    }
}

/// Reads the bytes that an answer names; `None` if the leadership that it speaks of is over by now.
fn read_for(core: &Core, response: &core_message::Response, room: u32) -> Result<Option<Records>, String> {
    let mut records = Records::EMPTY;
    let epoch = match response {
        core_message::Response::Fetch(fetch) => {
            let Some(range) = fetch.records else { return Ok(Some(records)) };
            let chunks = core.znode_log.read_tail(range.base_offset, range.end_offset, room as usize);
            match chunks {
                Ok(chunks) => chunks.into_iter().for_each(|chunk| records.push(chunk)),
                Err(_) if !still_leads(core, fetch.leader.epoch) => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
            fetch.leader.epoch
        }
        core_message::Response::FetchSnapshot(fetch) if fetch.bytes > 0 => {
            let piece = core.znode_log.read_snapshot(fetch.snapshot_id, fetch.position, fetch.bytes);
            let Some(piece) = piece.map_err(|error| error.to_string())? else { return Ok(None) };
            records.push(piece);
            fetch.leader.epoch
        }
        _ => return Ok(Some(records)),
    };
    // The log is truncated only after a leadership has ended, so that what was read before is of it.
    Ok(still_leads(core, epoch).then_some(records))
}

fn still_leads(core: &Core, epoch: i32) -> bool {
    core.consensus.lock().as_ref().is_some_and(|consensus| consensus.leading == Some(epoch))
}

async fn serve_envelope(core: &Arc<Core>, envelope: EnvelopeRequest) -> EnvelopeResponse {
    let refuse = |error| EnvelopeResponse { error_code: error, ..Default::default() };
    let Ok((_, forwarded)) = kafka_wire::decode_prefixed::<ForwardedAsks>(envelope.request_data) else {
        return refuse(ErrorCode::INVALID_REQUEST);
    };
    if !core.is_of_this_cluster(forwarded.cluster_id.as_deref()) {
        return refuse(ErrorCode::INCONSISTENT_CLUSTER_ID);
    }
    let judged = match until_leading(core, forwarded.leader_epoch).await {
        true => judge_all(core, forwarded),
        false => Err(ErrorCode::NOT_CONTROLLER),
    };
    let verdicts = match judged {
        Ok(verdicts) => verdicts,
        Err(error) => return refuse(error),
    };
    let message = ForwardedVerdicts {
        error_code: ErrorCode::NONE,
        verdicts: verdicts.iter().map(asks::encode_verdict).collect(),
    };
    match kafka_wire::encode_prefixed(&message, VERSION) {
        Ok(data) => EnvelopeResponse { response_data: Some(data), error_code: ErrorCode::NONE },
        Err(_) => refuse(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

/// Waits until this node leads in the epoch and takes writes; a node that was just elected needs a moment.
async fn until_leading(core: &Core, epoch: i32) -> bool {
    let patience = Duration::from_millis(core.config.cluster.request_timeout_ms / 2);
    let mut leading = core.leading.subscribe();
    let mut stopping = core.stopping.subscribe();
    tokio::select! {
        led = tokio::time::timeout(patience, leading.wait_for(|leading| leading.is_some_and(|it| it >= epoch))) => {
            matches!(led, Ok(Ok(it)) if *it == Some(epoch))
        }
        _ = stopping.wait_for(|stopping| *stopping) => false,
    }
}

/// Judges everything in an envelope, in its order.
fn judge_all(core: &Arc<Core>, forwarded: ForwardedAsks) -> Result<Vec<Verdict>, ErrorCode> {
    let owner = Owner { node: forwarded.node_id, incarnation: forwarded.incarnation };
    let now = core.world.clock.monotonic_ms();
    let asks: Option<Vec<Ask>> = forwarded.asks.into_iter().map(asks::decode_ask).collect();
    let asks = asks.ok_or(ErrorCode::INVALID_REQUEST)?;
    let mut sequencer = core.sequencer.lock();
    if sequencer.epoch() != Some(forwarded.leader_epoch) {
        return Err(ErrorCode::NOT_CONTROLLER);
    }
    {
        let mut sessions = core.sessions.lock();
        for session in forwarded.heard_of {
            sessions.heard_of(SessionId(session), owner, now);
        }
    }
    let mut verdicts = Vec::with_capacity(asks.len());
    let mut failure = None;
    for (number, ask) in (forwarded.first_seq..).zip(asks) {
        let origin = Origin { node: owner.node, incarnation: owner.incarnation, number };
        if !sequencer.is_first_sight(origin) {
            verdicts.push(Verdict::Seen { position: sequencer.next_offset() });
            continue;
        }
        match judge(core, &mut sequencer, owner, origin, ask, now) {
            Ok(verdict) => verdicts.push(verdict),
            Err(reason) => {
                failure = Some(reason);
                break;
            }
        }
    }
    drop(sequencer);
    core.work.notify_one();
    match failure {
        None => Ok(verdicts),
        Some(reason) => {
            core.fail(reason);
            Err(ErrorCode::UNKNOWN_SERVER_ERROR)
        }
    }
}

fn judge(
    core: &Core,
    sequencer: &mut Sequencer,
    owner: Owner,
    origin: Origin,
    ask: Ask,
    now: u64,
) -> Result<Verdict, String> {
    let position = sequencer.next_offset();
    match ask {
        Ask::Sync => Ok(Verdict::Answer { position, result: Ok(Vec::new()) }),
        Ask::Attach { session, password_sha256 } => {
            let result = attach(core, sequencer, session, &password_sha256, owner, now);
            let position = if core.planted(Mutant::StaleReadAfterMove) { 0 } else { position };
            Ok(Verdict::Answer { position, result })
        }
        Ask::Write { session, auth, request } => {
            if let Some(session) = session
                && !core.sessions.lock().claim(session, owner)
            {
                return Ok(Verdict::Answer { position, result: Err(Refusal::SessionMoved) });
            }
            if let tree::Request::CloseSession { id } = &request {
                core.sessions.lock().mark_closing(*id);
            }
            let time_ms = core.world.clock.wall_ms();
            let asker = Asker { session, auth: &auth, time_ms, options: &core.config.tree };
            let shared = core.shared.read();
            let verdict = sequencer.submit_forwarded(&shared.tree, &asker, &request, origin)?;
            match verdict {
                Verdict::Answer { result, .. } if core.planted(Mutant::ErrorBeforeCommitted) => {
                    Ok(Verdict::Answer { position: 0, result })
                }
                verdict => Ok(verdict),
            }
        }
    }
}

/// Lets a session go over to a connection of another node; one of this node loses it.
fn attach(
    core: &Core,
    sequencer: &Sequencer,
    session: SessionId,
    password_sha256: &PasswordDigest,
    owner: Owner,
    now: u64,
) -> Result<Vec<OpResult>, Refusal> {
    let shared = core.shared.read();
    if !sequencer.session_open(&shared.tree, session) {
        return Err(expired());
    }
    match shared.tree.session(session) {
        Some(known) if known.password_sha256 == *password_sha256 => {}
        Some(_) => return Err(expired()),
        // Its beginning is committed and not applied here yet: the client tries again.
        None => return Err(Refusal::NotServing),
    }
    let lost = core.sessions.lock().attach_elsewhere(session, owner, now);
    if let Some(lost) = lost {
        core.watches.lock().forget(lost.watcher);
        lost.subscriber.closed(Closed::Moved);
    }
    Ok(Vec::new())
}
