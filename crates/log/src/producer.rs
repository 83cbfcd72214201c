//! What a partition knows of its producers: sequences for idempotence (KIP-98) and open transactions.
//!
//! Invariant: the state is a function of the log alone (up to expiry), so a follower or a restarted node that replays
//! the same batches judges the next batch as the old leader would have.
use crate::batch::Batch;
use crate::error::LogError;
use crate::header::{BatchHeader, NO_PRODUCER_EPOCH, NO_SEQUENCE, NO_TIMESTAMP, increment_sequence};
use crate::records::{Records, Scratch};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Batches per producer that a repeated send is recognized from.
pub const BATCHES_KEPT: usize = 5;
/// The coordinator epoch of a producer without a transaction marker.
const NO_COORDINATOR_EPOCH: i32 = -1;

/// Who asks for an append; it decides how much of a producer's state is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer: epoch and sequence are checked.
    Client,
    /// A coordinator of this node (offset commits, transaction markers): only the epoch is checked.
    Coordinator,
}

/// A batch that a repeated send is recognized from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMemory {
    /// Sequence of the last record.
    pub last_sequence: i32,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Last offset minus first offset.
    pub offset_delta: i32,
    /// The batch's largest timestamp.
    pub timestamp: i64,
}

impl BatchMemory {
    /// Sequence of the first record.
    pub fn first_sequence(&self) -> i32 {
        increment_sequence(self.last_sequence, -self.offset_delta)
    }

    /// Offset of the first record.
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// The state of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Newest epoch seen.
    pub epoch: i16,
    /// Epoch of the transaction coordinator that wrote the last marker, or -1.
    pub coordinator_epoch: i32,
    /// Largest timestamp of the last batch; expiry counts from it.
    pub last_timestamp: i64,
    /// First offset of the open transaction.
    pub transaction_first_offset: Option<i64>,
    /// The last batches of the epoch, oldest first, at most [`BATCHES_KEPT`].
    pub batches: VecDeque<BatchMemory>,
}

impl ProducerEntry {
    fn new(epoch: i16) -> ProducerEntry {
        ProducerEntry {
            epoch,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: NO_TIMESTAMP,
            transaction_first_offset: None,
            batches: VecDeque::new(),
        }
    }

    /// Sequence of the last record, or -1.
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }

    /// The kept batch that `header` repeats.
    fn duplicate(&self, header: &BatchHeader) -> Option<BatchMemory> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let same = |batch: &&BatchMemory| {
            batch.first_sequence() == header.base_sequence && batch.last_sequence == header.last_sequence()
        };
        self.batches.iter().find(same).copied()
    }

    fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        self.transaction_first_offset.is_none() && now_ms.saturating_sub(self.last_timestamp) >= expiration_ms
    }
}

/// A transaction whose outcome readers of committed data may not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OpenTransaction {
    producer_id: i64,
    /// Offset of the marker once there is one.
    marker: Option<i64>,
}

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    entries: HashMap<i64, ProducerEntry>,
    /// Transactions by first offset: undecided ones, and decided ones whose marker isn't below the high watermark.
    transactions: BTreeMap<i64, OpenTransaction>,
}

impl Producers {
    /// Judges a batch before it is appended at `offset`. `Some` is the earlier append that it repeats.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        offset: i64,
        origin: Origin,
    ) -> Result<Option<BatchMemory>, LogError> {
        let Some(entry) = self.entries.get(&header.producer_id).filter(|_| header.has_producer_id()) else {
            // A producer that the partition doesn't know may start anywhere: retention may have taken its past.
            return Ok(None);
        };
        if origin == Origin::Client
            && let Some(batch) = entry.duplicate(header)
        {
            return Ok(Some(batch));
        }
        if header.producer_epoch < entry.epoch {
            return Err(LogError::InvalidProducerEpoch {
                producer_id: header.producer_id,
                got: header.producer_epoch,
                current: entry.epoch,
            });
        }
        if origin == Origin::Client && !header.is_control() {
            check_sequence(entry, header, offset)?;
        }
        Ok(None)
    }

    /// Takes an appended batch into account; its offsets are final.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        let header = batch.header();
        if !header.has_producer_id() {
            return;
        }
        if header.is_control() {
            let mut scratch = Scratch::new();
            let first = Records::new(batch, &mut scratch).ok().and_then(|mut records| records.next()?.ok());
            if let Some((coordinator_epoch, timestamp)) =
                first.and_then(|record| Some((marker_epoch(record.key?, record.value?)?, record.timestamp)))
            {
                self.end_transaction(header, coordinator_epoch, timestamp);
            }
        } else {
            self.add_batch(header);
        }
    }

    fn add_batch(&mut self, header: &BatchHeader) {
        let entry = self
            .entries
            .entry(header.producer_id)
            .or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        entry.set_epoch(header.producer_epoch);
        if entry.batches.len() == BATCHES_KEPT {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMemory {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        entry.last_timestamp = header.max_timestamp;
        if header.is_transactional() && entry.transaction_first_offset.is_none() {
            entry.transaction_first_offset = Some(header.base_offset);
            let open = OpenTransaction { producer_id: header.producer_id, marker: None };
            self.transactions.insert(header.base_offset, open);
        }
    }

    fn end_transaction(&mut self, header: &BatchHeader, coordinator_epoch: i32, timestamp: i64) {
        let entry = self
            .entries
            .entry(header.producer_id)
            .or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        entry.set_epoch(header.producer_epoch);
        entry.coordinator_epoch = coordinator_epoch;
        entry.last_timestamp = timestamp;
        if let Some(first) = entry.transaction_first_offset.take()
            && let Some(open) = self.transactions.get_mut(&first)
        {
            open.marker = Some(header.base_offset);
        }
    }

    /// The first offset that a reader of committed data must not pass while the high watermark is `high_watermark`.
    pub(crate) fn first_unstable_offset(&mut self, high_watermark: i64) -> Option<i64> {
        if self.transactions.is_empty() {
            return None;
        }
        self.transactions.retain(|_, open| open.marker.is_none_or(|marker| marker >= high_watermark));
        self.transactions.first_key_value().map(|(first, _)| *first)
    }

    /// Forgets producers that have been idle for `expiration_ms`.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.entries.retain(|_, entry| !entry.is_expired(now_ms, expiration_ms));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.transactions.clear();
    }

    /// All producers.
    pub(crate) fn entries(&self) -> &HashMap<i64, ProducerEntry> {
        &self.entries
    }

    /// Takes over a producer from a snapshot.
    pub(crate) fn restore(&mut self, producer_id: i64, entry: ProducerEntry) {
        if let Some(first) = entry.transaction_first_offset {
            self.transactions.insert(first, OpenTransaction { producer_id, marker: None });
        }
        self.entries.insert(producer_id, entry);
    }
}

fn check_sequence(entry: &ProducerEntry, header: &BatchHeader, offset: i64) -> Result<(), LogError> {
    let last = if header.producer_epoch == entry.epoch { entry.last_sequence() } else { NO_SEQUENCE };
    if entry.epoch == NO_PRODUCER_EPOCH {
        return Ok(());
    }
    let expected = if last == NO_SEQUENCE { 0 } else { increment_sequence(last, 1) };
    if header.base_sequence == expected {
        return Ok(());
    }
    let (producer_id, got) = (header.producer_id, header.base_sequence);
    Err(LogError::OutOfOrderSequence { producer_id, offset, got, expected })
}

/// The coordinator epoch of a transaction marker; `None` if the control record is something else.
fn marker_epoch(key: &[u8], value: &[u8]) -> Option<i32> {
    // Key: version, type (0 abort, 1 commit). Value: version, coordinator epoch.
    let kind = i16::from_be_bytes(*key.get(2..)?.first_chunk()?);
    (kind == 0 || kind == 1).then_some(())?;
    Some(i32::from_be_bytes(*value.get(2..)?.first_chunk()?))
}
