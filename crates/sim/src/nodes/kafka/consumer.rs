//! A consumer that reads every partition from its beginning, at the leader.
//!
//! Invariants: its position never goes back, and no leader says that it is out of range; what it was shown stays as it was. It says which
//! epoch it takes the leader to be of (KIP-320): one that was deposed and has not heard of it yet may lack what its successor has shown.
use super::agent::Ask;
use super::{PARTITIONS, TOPIC, Tally};
use bytes::Bytes;
use kafka_wire::messages::FetchRequest;
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use kafka_wire::{ErrorCode, Request, Response, Str};
use log::{Batch, Scratch};
use std::collections::BTreeMap;

const FETCH_VERSION: i16 = 12;
/// How long a leader may wait for something new.
const WAIT_MS: i32 = 50;
const MAX_BYTES: i32 = 1 << 16;
/// The epoch that says that there is no fetch session.
const NO_SESSION: i32 = -1;
/// A position beyond what anybody consumed means this.
const FAULTS: [ErrorCode; 2] = [ErrorCode::OFFSET_OUT_OF_RANGE, ErrorCode::CORRUPT_MESSAGE];

/// The consumer.
#[derive(Default)]
pub(super) struct Consumer {
    positions: BTreeMap<i32, i64>,
    turn: i32,
    consumed: u64,
    /// The high watermark that each partition's leader showed last, and who that was in which run.
    shown: BTreeMap<i32, ((usize, u64), i64)>,
    asked: usize,
}

impl Consumer {
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    pub(super) fn is_at(&self, ends: &BTreeMap<i32, i64>) -> bool {
        ends.iter().all(|(partition, end)| self.position(*partition) == *end)
    }

    fn position(&self, partition: i32) -> i64 {
        self.positions.get(&partition).copied().unwrap_or(0)
    }

    /// The connection is another one, or the leader: its successor, or its next run, may know of less for a while.
    pub(super) fn forget_shown(&mut self) {
        self.shown.clear();
    }

    /// What to ask of whom; `epochs` are those of the leaders.
    pub(super) fn next(
        &mut self,
        leaders: &BTreeMap<i32, usize>,
        epochs: &BTreeMap<i32, i32>,
    ) -> Option<(Option<usize>, Ask)> {
        self.turn = (self.turn + 1) % PARTITIONS;
        let leader = leaders.get(&self.turn).copied()?;
        self.asked = leader;
        let partition = FetchPartition {
            partition: self.turn,
            current_leader_epoch: epochs.get(&self.turn).copied()?,
            fetch_offset: self.position(self.turn),
            partition_max_bytes: MAX_BYTES,
            ..Default::default()
        };
        let topic = FetchTopic { topic: Str::from(TOPIC), partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: MAX_BYTES,
            session_epoch: NO_SESSION,
            topics: vec![topic],
            ..Default::default()
        };
        Some((Some(leader), (Request::Fetch(request), FETCH_VERSION)))
    }

    /// Takes an answer; false if the metadata is to be asked anew.
    pub(super) fn hear(&mut self, response: Response, run: u64, tally: &mut Tally) -> Result<bool, String> {
        let Response::Fetch(fetched) = response else {
            return Err(format!("a consumer got {response:?}"));
        };
        let mut went_well = fetched.error_code == ErrorCode::NONE;
        for partition in fetched.responses.into_iter().flat_map(|topic| topic.partitions) {
            went_well &= partition.error_code == ErrorCode::NONE;
            if FAULTS.contains(&partition.error_code) {
                return Err(format!(
                    "a consumer at {}/{} is refused with {:?}, high watermark {}",
                    partition.partition_index,
                    self.position(partition.partition_index),
                    partition.error_code,
                    partition.high_watermark
                ));
            }
            if partition.error_code == ErrorCode::NONE {
                self.consume(partition, run, tally)?;
            }
        }
        Ok(went_well)
    }

    fn consume(&mut self, fetched: PartitionData, run: u64, tally: &mut Tally) -> Result<(), String> {
        let partition = fetched.partition_index;
        let by = (self.asked, run);
        let before = self.shown.insert(partition, (by, fetched.high_watermark));
        if let Some((other, high_watermark)) = before
            && other == by
            && fetched.high_watermark < high_watermark
            && fetched.high_watermark < self.position(partition)
        {
            return Err(format!(
                "node {} showed a high watermark of {high_watermark} for {partition}, then one of {}",
                self.asked, fetched.high_watermark
            ));
        }
        let mut position = self.position(partition);
        let bytes = fetched.records.map(|records| records.to_bytes()).unwrap_or_default();
        // The last batch may be cut off.
        for batch in Batch::iter(bytes).map_while(Result::ok) {
            let mut scratch = Scratch::new();
            let records =
                batch.records(&mut scratch).map_err(|error| format!("a consumed batch: {error}"))?;
            for record in records {
                let record = record.map_err(|error| format!("a consumed record: {error}"))?;
                if record.offset < position {
                    continue;
                }
                if record.offset >= fetched.high_watermark {
                    return Err(format!(
                        "{partition}/{} was shown above the high watermark {}",
                        record.offset, fetched.high_watermark
                    ));
                }
                position = record.offset + 1;
                self.consumed += 1;
                tally.show(
                    partition,
                    record.offset,
                    Bytes::copy_from_slice(record.value.unwrap_or_default()),
                )?;
            }
        }
        self.positions.insert(partition, position);
        Ok(())
    }
}
