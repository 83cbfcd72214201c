//! Drives the quorum: hands it events, and carries out its actions in their order.
//!
//! Invariant: one lock spans a step and all its actions, so that the log view of the next step shows what the actions did.
use crate::core::Core;
use crate::vote_file;
use log::{Batch, BatchBuilder, RecordHeader};
use quorum::{Action, ControlRecord, Event, Millis, Quorum};
use std::collections::VecDeque;
use std::path::PathBuf;

/// The quorum and what its actions need.
pub(crate) struct Consensus {
    pub(crate) quorum: Quorum,
    pub(crate) vote_path: PathBuf,
    /// The epoch that this node leads, if it does.
    pub(crate) leading: Option<i32>,
}

impl Core {
    /// Lets the quorum take an event and does what it asks, until it asks for nothing more.
    pub(crate) fn step(&self, event: Event) -> Result<(), String> {
        let mut guard = self.consensus.lock();
        let Some(consensus) = guard.as_mut() else { return Ok(()) };
        self.step_locked(consensus, event)
    }

    pub(crate) fn step_locked(&self, consensus: &mut Consensus, event: Event) -> Result<(), String> {
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
        &self,
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
                Action::AppendControl { epoch, records } => {
                    let batch =
                        control_batch(self.znode_log.end(), epoch, &records, self.world.clock.wall_ms())?;
                    self.znode_log.append(&[batch]).map_err(|error| error.to_string())?;
                    events.push_back(Event::Appended { voters: voter_sets(self.znode_log.end(), records) });
                    self.work.notify_one();
                }
                Action::HighWatermark(offset) => {
                    self.znode_log.set_high_watermark(offset);
                    self.committed.send_replace(offset);
                }
                Action::BecameLeader { epoch, start_offset } => {
                    consensus.leading = Some(epoch);
                    *self.taking_over.lock() = Some((epoch, start_offset));
                }
                Action::LostLeadership { .. } => {
                    consensus.leading = None;
                    *self.taking_over.lock() = None;
                    self.stop_leading();
                }
                Action::LeaderChanged { leader, epoch } => {
                    tracing::info!(?leader, epoch, "the quorum's leader changed");
                }
                Action::SetTimer(deadline) => {
                    self.tick_at.send_replace(deadline.0);
                }
                Action::ShutdownComplete | Action::Repaired => {}
                Action::Fatal(reason) => return Err(reason.to_string()),
                Action::Send { to, .. } => {
                    // With one voter the quorum has nobody to talk to; the peers' connections come with the cluster.
                    return Err(format!("the quorum wants to talk to {to:?}, but this node has no peers"));
                }
                Action::Reply { .. }
                | Action::AppendFetched { .. }
                | Action::TruncateTo { .. }
                | Action::AppendSnapshot(_)
                | Action::InstallSnapshot(_) => {
                    return Err("the quorum of one was asked to follow another node".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Appends batches that were sequenced in `epoch`, unless that leadership is over; those who wait have been told then.
    pub(crate) fn append(&self, epoch: i32, batches: &[Batch]) -> Result<(), String> {
        let mut guard = self.consensus.lock();
        let Some(consensus) = guard.as_mut() else { return Ok(()) };
        if consensus.leading != Some(epoch) {
            return Ok(());
        }
        self.znode_log.append(batches).map_err(|error| error.to_string())?;
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
