//! Carries what waits on this node to the quorum's leader, and tells it which sessions were heard of.
//!
//! Invariants: envelopes leave in the order of the asks and are answered in that order; at most [`IN_FLIGHT_MAX`] are under way; one that
//! got no answer is sent again, and the leader knows by the asks' numbers which it has seen.
use crate::asks::{self, Verdict};
use crate::core::Core;
use crate::forwards::Outgoing;
use kafka_wire::messages::EnvelopeRequest;
use kafka_wire::messages::forwarded::{ForwardedAsks, ForwardedVerdicts};
use kafka_wire::{Request, Response, Str};
use peers::{Address, Calling, Lane};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How many envelopes may be under way.
const IN_FLIGHT_MAX: usize = 8;
/// How many asks an envelope takes at most.
const ASKS_MAX: usize = 1_000;
/// How many bytes an envelope takes, unless one ask alone is larger: all that are under way fit what a lane may hold.
const BYTES_MAX: usize = 4 << 20;
/// The version of Envelope and of what is in it.
const VERSION: i16 = 0;

/// An envelope under way.
struct Flight {
    leader_epoch: i32,
    first: i64,
    count: usize,
    sent_ms: u64,
    calling: Calling,
}

/// Forwards until stopped.
pub(crate) async fn run(core: Arc<Core>) {
    let mut flights: VecDeque<Flight> = VecDeque::new();
    let mut pause_until = tokio::time::Instant::now();
    let mut heartbeat = tokio::time::interval(Duration::from_millis((core.config.tick_ms / 4).max(1)));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = core.stopping.subscribe();
    loop {
        if core.stopped() {
            return;
        }
        let may_send = tokio::time::Instant::now() >= pause_until;
        while may_send && flights.len() < IN_FLIGHT_MAX {
            let Some(outgoing) = core.sequencer.lock().forwards.take_unsent(ASKS_MAX, BYTES_MAX) else {
                break;
            };
            flights.extend(send(&core, outgoing));
        }
        tokio::select! {
            () = core.forward.notified() => {}
            () = tokio::time::sleep_until(pause_until), if !may_send => {}
            _ = heartbeat.tick() => {
                let following = *core.following.borrow();
                if let Some((_, leader_epoch)) = following.filter(|_| flights.len() < IN_FLIGHT_MAX) {
                    flights.extend(send(&core, Outgoing { leader_epoch, first: 0, asks: Vec::new() }));
                }
            }
            answer = next_answer(&mut flights) => {
                if let Some((flight, answer)) = answer
                    && !settle(&core, &flight, answer)
                {
                    // What was behind it on the same connection shares its fate, also behind a mere sign of life.
                    let mut sequencer = core.sequencer.lock();
                    for lost in flights.drain(..).filter(|flight| flight.count > 0) {
                        sequencer.forwards.send_again(lost.leader_epoch, lost.first);
                    }
                    drop(sequencer);
                    let backoff = Duration::from_millis(core.config.cluster.retry_backoff_ms);
                    pause_until = tokio::time::Instant::now() + backoff;
                }
            }
            _ = stopping.changed() => {}
        }
    }
}

/// The oldest envelope's answer; waits for ever while none is under way.
async fn next_answer(flights: &mut VecDeque<Flight>) -> Option<(Flight, Option<ForwardedVerdicts>)> {
    let Some(oldest) = flights.front_mut() else { return std::future::pending().await };
    let answer = (&mut oldest.calling).await;
    let flight = flights.pop_front()?;
    let verdicts = match answer {
        Ok(Response::Envelope(envelope)) if !envelope.error_code.is_error() => envelope
            .response_data
            .and_then(|data| kafka_wire::decode_prefixed::<ForwardedVerdicts>(data).ok())
            .map(|(_, verdicts)| verdicts)
            .filter(|verdicts| !verdicts.error_code.is_error() && verdicts.verdicts.len() == flight.count),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "the leader can't be asked");
            None
        }
    };
    Some((flight, verdicts))
}

/// Sends an envelope; `None` if the leader is another one by now, or its address is not known.
fn send(core: &Arc<Core>, outgoing: Outgoing) -> Option<Flight> {
    let Outgoing { leader_epoch, first, asks } = outgoing;
    let address = leader_address(core, leader_epoch);
    let (Some(peers), Some(address)) = (&core.peers, address) else {
        core.sequencer.lock().forwards.send_again(leader_epoch, first);
        return None;
    };
    let heard_of = core.sessions.lock().take_heard_of();
    let message = ForwardedAsks {
        cluster_id: core.cluster_id.read().as_deref().map(Str::from),
        node_id: core.config.node_id,
        incarnation: core.incarnation,
        leader_epoch,
        heard_of: heard_of.into_iter().map(|session| session.0).collect(),
        first_seq: first,
        asks: asks.iter().map(asks::encode_ask).collect(),
    };
    let count = asks.len();
    let data = match kafka_wire::encode_prefixed(&message, VERSION) {
        Ok(data) => data,
        Err(error) => {
            // Requests were bounded on their way in, so that only a defect gets here.
            core.fail(format!("requests to the leader can't be encoded: {error}"));
            return None;
        }
    };
    let envelope = EnvelopeRequest { request_data: data, ..Default::default() };
    let patience = Duration::from_millis(core.config.cluster.request_timeout_ms);
    let sent_ms = core.world.clock.monotonic_ms();
    let calling = peers.call(&address, Lane::Forward, VERSION, Request::Envelope(envelope), patience);
    Some(Flight { leader_epoch, first, count, sent_ms, calling })
}

fn leader_address(core: &Core, leader_epoch: i32) -> Option<Address> {
    let (leader, epoch) = (*core.following.borrow())?;
    if epoch != leader_epoch {
        return None;
    }
    core.consensus.lock().as_ref()?.node_address(core, leader)
}

/// Takes an envelope's answer; false if there is none.
fn settle(core: &Arc<Core>, flight: &Flight, answer: Option<ForwardedVerdicts>) -> bool {
    let verdicts: Option<Vec<Verdict>> =
        answer.and_then(|answer| answer.verdicts.iter().map(asks::decode_verdict).collect());
    let mut sequencer = core.sequencer.lock();
    let Some(verdicts) = verdicts else {
        if flight.count > 0 {
            sequencer.forwards.send_again(flight.leader_epoch, flight.first);
        }
        drop(sequencer);
        core.sessions.lock().forget_reports();
        return false;
    };
    core.contact_ms.fetch_max(flight.sent_ms, Ordering::Relaxed);
    sequencer.forwards.decide(flight.leader_epoch, flight.first, verdicts);
    let shared = core.shared.read();
    while let Some(due) = sequencer.forwards.pop_due(shared.applied_end) {
        crate::sequencer::complete(due.done, &core.view(&shared), due.result);
    }
    drop(shared);
    core.decided.notify_one();
    core.ask_to_serve(&mut sequencer);
    if sequencer.forwards.has_unsent() {
        core.forward.notify_one();
    }
    true
}
