//! An idempotent producer with acks=all: one batch at a time, sent again with the same sequence until it is acknowledged.
//!
//! Invariant: a batch is never given up, so that its fate is known at the end.
use super::agent::Ask;
use super::{PARTITIONS, TOPIC, Tally};
use crate::nodes::dice::Dice;
use bytes::Bytes;
use kafka_wire::messages::produce::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::{InitProducerIdRequest, ProduceRequest};
use kafka_wire::{ErrorCode, Request, Response, Str};
use log::{BatchBuilder, RecordHeader};
use std::collections::BTreeMap;

const PRODUCE_VERSION: i16 = 9;
const INIT_VERSION: i16 = 4;
/// `acks=all`.
const ACKS_ALL: i16 = -1;
/// How long the leader may wait for the others.
const TIMEOUT_MS: i32 = 1_000;
/// Errors after which the batch is sent again. A gap in the sequence is one of them because a leader that was deposed and has not heard of
/// it yet may lack what its successor acknowledged; if anything were lost, no other leader would take the batch.
const RETRIED: [ErrorCode; 8] = [
    ErrorCode::NOT_LEADER_OR_FOLLOWER,
    ErrorCode::LEADER_NOT_AVAILABLE,
    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode::REQUEST_TIMED_OUT,
    ErrorCode::NOT_ENOUGH_REPLICAS,
    ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ErrorCode::KAFKA_STORAGE_ERROR,
    ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
];

/// A batch that is not acknowledged.
struct Batch {
    partition: i32,
    records: Vec<Bytes>,
    bytes: Bytes,
}

/// The producer.
pub(super) struct Producer {
    name: usize,
    identity: Option<(i64, i16)>,
    sequences: BTreeMap<i32, i32>,
    batch: Option<Batch>,
    next_ms: u64,
    rests: bool,
    acknowledged: u64,
}

impl Producer {
    pub(super) fn new(name: usize) -> Producer {
        Producer {
            name,
            identity: None,
            sequences: BTreeMap::new(),
            batch: None,
            next_ms: 0,
            rests: false,
            acknowledged: 0,
        }
    }

    pub(super) fn rest(&mut self) {
        self.rests = true;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.batch.is_none()
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// What to send next, and to which node if that matters.
    pub(super) fn next(
        &mut self,
        dice: &mut Dice,
        leaders: &BTreeMap<i32, usize>,
        now_ms: u64,
        tally: &mut Tally,
    ) -> Option<(Option<usize>, Ask)> {
        let Some(identity) = self.identity else {
            let request = InitProducerIdRequest { transaction_timeout_ms: 60_000, ..Default::default() };
            return Some((None, (Request::InitProducerId(request), INIT_VERSION)));
        };
        if self.batch.is_none() {
            if self.rests || now_ms < self.next_ms {
                return None;
            }
            self.next_ms = now_ms + dice.below(60);
            let partition = dice.index(PARTITIONS as usize) as i32;
            let records = (0..dice.between(1, 3)).map(|_| tally.data()).collect();
            self.batch = Some(self.build(identity, partition, records));
        }
        let batch = self.batch.as_ref()?;
        let leader = leaders.get(&batch.partition).copied()?;
        let partition = PartitionProduceData { index: batch.partition, records: Some(batch.bytes.clone()) };
        let topic = TopicProduceData {
            name: Str::from(TOPIC),
            partition_data: vec![partition],
            ..Default::default()
        };
        let request = ProduceRequest {
            acks: ACKS_ALL,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![topic],
            ..Default::default()
        };
        Some((Some(leader), (Request::Produce(request), PRODUCE_VERSION)))
    }

    fn build(&self, (id, epoch): (i64, i16), partition: i32, records: Vec<Bytes>) -> Batch {
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        let mut builder = BatchBuilder::new(0).producer(id, epoch, sequence);
        let no_headers: [RecordHeader<'_>; 0] = [];
        for record in &records {
            let appended = builder.append(1_700_000_000_000, None, Some(record), &no_headers);
            appended.expect("small records fit a batch");
        }
        let bytes = builder.build().expect("small records fit a batch").to_bytes();
        Batch { partition, records, bytes }
    }

    /// Takes an answer; false if the metadata is to be asked anew.
    pub(super) fn hear(&mut self, response: Response, tally: &mut Tally) -> Result<bool, String> {
        let produced = match response {
            Response::InitProducerId(given) => {
                if given.error_code == ErrorCode::NONE {
                    self.identity = Some((given.producer_id, given.producer_epoch));
                }
                return Ok(given.error_code == ErrorCode::NONE);
            }
            Response::Produce(produced) => produced,
            response => return Err(format!("producer {} got {response:?}", self.name)),
        };
        let answer = produced.responses.iter().flat_map(|topic| &topic.partition_responses).next();
        let answer = answer.ok_or_else(|| format!("producer {} got an answer about nothing", self.name))?;
        let error = answer.error_code;
        if RETRIED.contains(&error) {
            return Ok(false);
        }
        let Some(batch) = self.batch.take() else { return Ok(true) };
        let place = match error {
            ErrorCode::NONE => Some(answer.base_offset),
            ErrorCode::DUPLICATE_SEQUENCE_NUMBER => None,
            error => {
                return Err(format!(
                    "producer {} is refused with {error:?} at sequence {:?} of partition {}",
                    self.name,
                    self.sequences.get(&batch.partition),
                    batch.partition
                ));
            }
        };
        *self.sequences.entry(batch.partition).or_insert(0) += batch.records.len() as i32;
        self.acknowledged += 1;
        tally.acknowledged.push((batch.partition, place, batch.records));
        Ok(true)
    }
}
