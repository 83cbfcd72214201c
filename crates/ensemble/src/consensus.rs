//! Drives the quorum: hands it events, and carries out its actions in their order.
//!
//! Invariant: one lock spans a step and all its actions, so that the log view of the next step shows what the actions did.
use crate::core::Core;
use crate::install::Receiver;
use crate::links::Links;
use crate::pace::Pace;
use crate::{control, vote_file};
use kafka_wire::Records;
use log::{Batch, BatchBuilder, RecordHeader};
use quorum::message::Response;
use quorum::{Action, ControlRecord, Event, Millis, Quorum};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The quorum and what its actions need.
pub(crate) struct Consensus {
    pub(crate) quorum: Quorum,
    pub(crate) vote_path: PathBuf,
    /// The epoch that this node leads, if it does.
    pub(crate) leading: Option<i32>,
    /// The other nodes: where they are.
    pub(crate) links: Links,
    /// Who waits for the answers to requests of other nodes, by the core's number.
    pub(crate) replies: HashMap<u64, oneshot::Sender<Response>>,
    pub(crate) next_correlation: u64,
    /// What the response that is being handled carries.
    pub(crate) received: Received,
    /// The snapshot that is being fetched.
    pub(crate) receiver: Option<Receiver>,
    /// Told when the core needs this node no more after `Event::Shutdown`.
    pub(crate) shutdown: Option<oneshot::Sender<()>>,
}

/// The bytes of a response: entries of the log, or a piece of a snapshot.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) batches: Vec<Batch>,
    pub(crate) piece: Records,
}

impl Core {
    /// Lets the quorum take an event and does what it asks, until it asks for nothing more.
    pub(crate) fn step(self: &Arc<Self>, event: Event) -> Result<(), String> {
        let mut guard = self.consensus.lock();
        let Some(consensus) = guard.as_mut() else { return Ok(()) };
        self.step_locked(consensus, event)
    }

    pub(crate) fn step_locked(
        self: &Arc<Self>,
        consensus: &mut Consensus,
        event: Event,
    ) -> Result<(), String> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = Millis(self.world.clock.monotonic_ms());
            let actions = consensus.quorum.step(event, &self.znode_log, now);
            self.carry_out(consensus, actions, &mut events)?;
        }
        Ok(())
    }

    /// Carries out the actions of one step; what they lead to is added to `events`.
    pub(crate) fn carry_out(
        self: &Arc<Self>,
        consensus: &mut Consensus,
        actions: Vec<Action>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), String> {
        for action in actions {
            match action {
                Action::PersistVote(vote) => vote_file::store(&*self.world.disk, &consensus.vote_path, &vote)
                    .map_err(|error| {
                        format!("storing the vote in {}: {error}", consensus.vote_path.display())
                    })?,
                Action::AppendControl { epoch, records } => self.append_control(epoch, records, events)?,
                Action::AppendFetched { .. } => self.append_fetched(consensus, events)?,
                Action::TruncateTo { offset } => {
                    self.fetched.lock().forget();
                    self.znode_log.truncate_to(offset).map_err(|error| error.to_string())?;
                    events.push_back(Event::Truncated);
                }
                Action::AppendSnapshot(piece) => {
                    let bytes = std::mem::take(&mut consensus.received.piece);
                    self.receive_snapshot(consensus, piece, &bytes)?;
                }
                Action::InstallSnapshot(id) => self.install_snapshot(consensus, id)?,
                Action::HighWatermark(offset) => {
                    self.znode_log.set_high_watermark(offset);
                    self.committed.send_replace(offset);
                }
                Action::BecameLeader { epoch, start_offset } => {
                    consensus.leading = Some(epoch);
                    *self.pace.lock() = Pace::default();
                    *self.taking_over.lock() = Some((epoch, start_offset));
                }
                Action::LostLeadership { .. } => {
                    consensus.leading = None;
                    *self.taking_over.lock() = None;
                    self.stop_leading();
                }
                Action::LeaderChanged { leader, epoch } => {
                    consensus.links.leader_known(leader);
                    self.leader_changed(leader, epoch);
                }
                Action::SetTimer(deadline) => {
                    self.tick_at.send_replace(deadline.0);
                }
                Action::ShutdownComplete => {
                    if let Some(shutdown) = consensus.shutdown.take() {
                        // Whoever asked may have lost its patience.
                        let _gone = shutdown.send(());
                    }
                }
                Action::Repaired => {
                    self.znode_log.forget_damage().map_err(|error| error.to_string())?;
                }
                Action::Fatal(reason) => return Err(reason.to_string()),
                Action::Send { to, correlation, request } => {
                    self.send(consensus, to, correlation, request, events);
                }
                Action::Reply { correlation, response } => {
                    if let Some(waiting) = consensus.replies.remove(&correlation) {
                        // The peer's connection may have ended.
                        let _gone = waiting.send(response);
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends the quorum's own records. What clients' writes wait in the queue has offsets already and goes first.
    fn append_control(
        self: &Arc<Self>,
        epoch: i32,
        records: Vec<ControlRecord>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), String> {
        let mut sequencer = self.sequencer.lock();
        if let Some((_, batches)) = sequencer.take_queue() {
            self.znode_log.append(&batches).map_err(|error| error.to_string())?;
        }
        let batch = control_batch(self.znode_log.end(), epoch, &records, self.world.clock.wall_ms())?;
        self.znode_log.append(&[batch]).map_err(|error| error.to_string())?;
        sequencer.skip_to(self.znode_log.end());
        drop(sequencer);
        events.push_back(Event::Appended { voters: voter_sets(self.znode_log.end(), records) });
        self.work.notify_one();
        Ok(())
    }

    fn append_fetched(
        self: &Arc<Self>,
        consensus: &mut Consensus,
        events: &mut VecDeque<Event>,
    ) -> Result<(), String> {
        let batches = std::mem::take(&mut consensus.received.batches);
        self.znode_log.append(&batches).map_err(|error| error.to_string())?;
        #[cfg(feature = "mutants")]
        self.fire_early(&batches);
        let is_control = |batch: &&Batch| batch.header().is_control();
        let voters = batches.iter().filter(is_control).filter_map(control::voters).collect();
        self.fetched.lock().keep(batches);
        events.push_back(Event::Appended { voters });
        self.work.notify_one();
        Ok(())
    }

    /// Appends what was sequenced since the last time, unless that leadership is over; those who wait have been told then.
    pub(crate) fn append_queued(self: &Arc<Self>) -> Result<(), String> {
        let mut guard = self.consensus.lock();
        let Some(consensus) = guard.as_mut() else { return Ok(()) };
        let Some((epoch, batches)) = self.sequencer.lock().take_queue() else { return Ok(()) };
        if consensus.leading != Some(epoch) {
            return Ok(());
        }
        self.znode_log.append(&batches).map_err(|error| error.to_string())?;
        #[cfg(feature = "mutants")]
        self.fire_early(&batches);
        self.step_locked(consensus, Event::Appended { voters: Vec::new() })
    }
}

/// The voter sets among control records whose batch ends at `end`.
fn voter_sets(end: i64, records: Vec<ControlRecord>) -> Vec<(i64, quorum::VoterSet)> {
    let start = end - records.len() as i64;
    let offsets = start..;
    offsets
        .zip(records)
        .filter_map(|(offset, record)| match record {
            ControlRecord::Voters(set) => Some((offset, set)),
            ControlRecord::LeaderChange { .. } => None,
        })
        .collect()
}

/// Kafka's control batch for the quorum's records, in the schemas of KRaft.
fn control_batch(base: i64, epoch: i32, records: &[ControlRecord], now_ms: i64) -> Result<Batch, String> {
    let mut builder = BatchBuilder::new(base).leader_epoch(epoch).control();
    let no_headers: [RecordHeader<'_>; 0] = [];
    for record in records {
        let (key, value) = crate::control::encode(record);
        builder.append(now_ms, Some(&key), Some(&value), &no_headers).map_err(|error| error.to_string())?;
    }
    builder.build().map_err(|error| error.to_string())
}
