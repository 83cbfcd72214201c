//! What of the log the tree of this node follows next, decoded: from what was just fetched if it is still in memory, else from the log.
//!
//! Invariants: entries are committed, follow one another, and are given until they are applied; one that a snapshot passed over meanwhile is
//! dropped; nothing with a wrong checksum or offset is ever given.
use crate::control;
use crate::core::Core;
use crate::records::{Entry, decode_txn};
use log::{Batch, Scratch};
use quorum::VoterSet;
use std::collections::VecDeque;

/// How many bytes of the log are read at once.
const READ_BYTES: usize = 4 << 20;
/// How many batches are taken at once from what was fetched.
const TAKEN_MAX: usize = 4_096;

/// What one batch of the log holds.
pub(crate) struct Logged {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) epoch: i32,
    pub(crate) content: Content,
}

/// A transaction, or the quorum's own records with the voter set among them.
pub(crate) enum Content {
    Entry(Entry),
    Control(Option<(i64, VoterSet)>),
}

/// What is decoded and not applied yet.
pub(crate) struct Upcoming {
    scratch: Scratch,
    decoded: VecDeque<Logged>,
}

impl Upcoming {
    pub(crate) fn new() -> Upcoming {
        Upcoming { scratch: Scratch::new(), decoded: VecDeque::new() }
    }

    /// The batch that begins at `from`, if it is decoded.
    pub(crate) fn at(&self, from: i64) -> Option<&Logged> {
        self.decoded.front().filter(|logged| logged.start == from)
    }

    /// The first batch was applied.
    pub(crate) fn advance(&mut self) {
        self.decoded.pop_front();
    }

    /// Decodes batches from `from` on, none at or behind `to`, unless the batch at `from` is there already.
    pub(crate) fn fill(&mut self, core: &Core, from: i64, to: i64) -> Result<(), String> {
        if self.at(from).is_some() {
            return Ok(());
        }
        self.decoded.clear();
        let (fetched, gap_end) = {
            let mut fetched = core.fetched.lock();
            (fetched.take(from, to, TAKEN_MAX), fetched.begins_at())
        };
        if fetched.is_empty() {
            let until = gap_end.filter(|end| *end > from).map_or(to, |end| end.min(to));
            return self.read(core, from, until);
        }
        fetched.iter().try_for_each(|batch| self.decode(batch))
    }

    /// Reads what the log holds between two offsets, as much as one read gives.
    fn read(&mut self, core: &Core, from: i64, to: i64) -> Result<(), String> {
        let content = core.znode_log.read_whole(from, to, READ_BYTES).map_err(|error| error.to_string())?;
        let mut end = from;
        for batch in Batch::iter(content) {
            let batch = match batch {
                Ok(batch) => batch,
                // A read ends anywhere in a batch; the next one begins with that batch.
                Err(_) if end > from => break,
                Err(error) => return Err(format!("__znodes at offset {end}: {error}")),
            };
            if batch.header().base_offset >= to {
                break;
            }
            // A disk can lose bits while the node runs, too. The next start cuts the log here and fetches it again.
            if !batch.crc_is_valid() || batch.header().base_offset != end {
                return Err(format!(
                    "__znodes is damaged at offset {end}: the batch there has a wrong checksum or another offset"
                ));
            }
            end = batch.header().next_offset();
            self.decode(&batch)?;
        }
        match end > from {
            true => Ok(()),
            false => Err(format!("__znodes ends at offset {from}, although it is committed up to {to}")),
        }
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), String> {
        let content = match decode_txn(batch, &mut self.scratch).map_err(|fault| fault.to_string())? {
            Some(entry) => Content::Entry(entry),
            None => Content::Control(control::voters(batch)),
        };
        let header = batch.header();
        self.decoded.push_back(Logged {
            start: header.base_offset,
            end: header.next_offset(),
            epoch: header.partition_leader_epoch,
            content,
        });
        Ok(())
    }
}
