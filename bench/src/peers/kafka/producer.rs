//! A producer: one connection to one node, and requests that are encoded once and go round.
//!
//! Invariants: a request is on its way at most once at a time; answers come in order, without errors, for exactly the partitions asked
//! for, and with base offsets that follow what this producer wrote before.
use super::client::{Client, frame};
use super::cursor::Cursor;
use super::link::Link;
use super::payload::Template;
use super::topic::Topic;
use anyhow::{Context, Result, ensure};
use kafka_wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use kafka_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::{ApiKey, Bytes, Decoder, ErrorCode, Message, RequestHeader};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// The first version whose topics have ids instead of names; the answers of older ones look different.
const PRODUCE_WITH_IDS: i16 = 13;
const TIMEOUT_MS: i32 = 30_000;
/// Requests on their way at the same time, as Kafka's producer has it.
pub(super) const IN_FLIGHT: usize = 5;
/// The size in front of a frame.
const PREFIX_BYTES: usize = 4;
/// Where fields of a batch's header are.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;

/// How a producer behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// 1, or -1 for all.
    pub(super) acks: i16,
    /// Batches, each for a partition of its own, in one request at most.
    pub(super) batches: usize,
    /// Whether it has a producer id, so that its batches have sequence numbers.
    pub(super) idempotent: bool,
    /// Whether nobody else writes to its partitions.
    pub(super) alone: bool,
    /// Requests that may be on their way.
    pub(super) in_flight: usize,
}

/// A request that is sent again and again.
struct Request {
    frame: Vec<u8>,
    batches: Vec<Place>,
}

/// A batch in a frame.
struct Place {
    partition: usize,
    at: usize,
    size: usize,
}

/// What a producer knows of a partition.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Records that were acknowledged.
    written: u64,
    /// The least base offset that the next answer may name.
    offset: i64,
    sequence: i32,
}

/// A producer.
pub(super) struct Producer {
    pub(super) link: Link,
    manner: Manner,
    records_per_batch: usize,
    requests: Vec<Request>,
    /// The request to send next.
    next: usize,
    /// Requests that wait for their turn on the socket; of the first one, `written` bytes are gone.
    queue: VecDeque<usize>,
    written: usize,
    /// Requests without an answer, with the time that counts as theirs.
    unanswered: VecDeque<(usize, u64)>,
    partitions: Vec<Progress>,
    /// Records that the server has acknowledged.
    pub(super) acknowledged: u64,
    /// Bytes of batches that it has acknowledged.
    pub(super) bytes: u64,
}

impl Producer {
    /// A producer for some partitions of a topic, which the node at `address` leads.
    pub(super) fn new(
        address: SocketAddr,
        topic: &Topic,
        partitions: &[i32],
        template: &Template,
        manner: Manner,
    ) -> Result<Producer> {
        let mut client = Client::open(address)?;
        let version = client.version::<ProduceRequest>(ApiKey::Produce)?;
        ensure!(version >= PRODUCE_WITH_IDS, "the server has no Produce {PRODUCE_WITH_IDS}");
        let mut batch = template.batch.to_bytes();
        if manner.idempotent {
            batch = identified(&mut client, &batch)?;
        }
        ensure!(!partitions.is_empty(), "a producer has partitions");
        // So many that the first is answered before it goes out again.
        let rounds = (manner.in_flight + 1).div_ceil(partitions.len().div_ceil(manner.batches));
        let groups = std::iter::repeat_n(partitions, rounds).flat_map(|all| all.chunks(manner.batches));
        let requests = groups
            .enumerate()
            .map(|(number, group)| Request::new(version, number, topic, group, &batch, manner.acks));
        Ok(Producer {
            link: Link::open(address)?,
            manner,
            records_per_batch: template.records,
            requests: requests.collect::<Result<_>>()?,
            next: 0,
            queue: VecDeque::new(),
            written: 0,
            unanswered: VecDeque::new(),
            partitions: vec![Progress::default(); topic.leaders.len()],
            acknowledged: 0,
            bytes: 0,
        })
    }

    /// Whether another request may be sent.
    pub(super) fn is_free(&self) -> bool {
        self.unanswered.len() < self.manner.in_flight
    }

    /// Whether everything that was sent is answered.
    pub(super) fn is_done(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Whether each of its partitions has a batch of it that is acknowledged.
    pub(super) fn has_begun(&self) -> bool {
        let mut batches = self.requests.iter().flat_map(|request| &request.batches);
        batches.all(|batch| self.partitions[batch.partition].written > 0)
    }

    /// Sends the next request; `at` is the time that counts as its own. How many records that were.
    pub(super) fn send(&mut self, at: u64) -> Result<usize> {
        ensure!(self.is_free(), "{} requests are on their way already", self.unanswered.len());
        let number = self.next;
        self.next = (self.next + 1) % self.requests.len();
        let request = &mut self.requests[number];
        let records = request.batches.len() * self.records_per_batch;
        if self.manner.idempotent {
            request.sequence(&mut self.partitions, self.records_per_batch)?;
        }
        self.queue.push_back(number);
        self.unanswered.push_back((number, at));
        if !self.link.full {
            self.flush()?;
        }
        Ok(records)
    }

    /// Adds the records that it has written to each partition.
    pub(super) fn count_written(&self, written: &mut [u64]) {
        for (sum, progress) in written.iter_mut().zip(&self.partitions) {
            *sum += progress.written;
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.link.full = false;
        while let Some(number) = self.queue.front() {
            let frame = &self.requests[*number].frame;
            self.written += self.link.write(&frame[self.written..])?;
            if self.written < frame.len() {
                break;
            }
            self.written = 0;
            self.queue.pop_front();
        }
        Ok(())
    }

    /// Reads what has arrived; `answered` gets the time of each request that is answered.
    pub(super) fn receive(&mut self, mut answered: impl FnMut(u64)) -> Result<()> {
        self.link.fill()?;
        while let Some(at) = self.link.next_answer()? {
            let (number, sent) = self.unanswered.pop_front().context("an answer that nobody asked for")?;
            let request = &self.requests[number];
            let records = self.records_per_batch as u64;
            let (partitions, alone) = (&mut self.partitions, self.manner.alone);
            let mut count = 0;
            walk(self.link.answer(at), number, |partition, error, base_offset| {
                ensure!(error == 0, "producing: {:?}", ErrorCode(error));
                let progress = usize::try_from(partition).ok().and_then(|index| partitions.get_mut(index));
                let progress = progress.context("an answer for a partition that does not exist")?;
                ensure!(
                    if alone { base_offset == progress.offset } else { base_offset >= progress.offset },
                    "a batch got offset {base_offset} instead of {}",
                    progress.offset
                );
                progress.offset = base_offset + records as i64;
                progress.written += records;
                count += 1;
                Ok(())
            })?;
            ensure!(count == request.batches.len(), "an answer for {count} batches");
            self.acknowledged += request.batches.len() as u64 * records;
            self.bytes += request.batches.iter().map(|batch| batch.size as u64).sum::<u64>();
            answered(sent);
        }
        Ok(())
    }
}

impl Request {
    fn new(
        version: i16,
        number: usize,
        topic: &Topic,
        partitions: &[i32],
        batch: &Bytes,
        acks: i16,
    ) -> Result<Request> {
        let data = partitions
            .iter()
            .map(|index| PartitionProduceData { index: *index, records: Some(batch.clone()) })
            .collect();
        let topic = TopicProduceData { name: topic.name.clone(), topic_id: topic.id, partition_data: data };
        let request =
            ProduceRequest { acks, timeout_ms: TIMEOUT_MS, topic_data: vec![topic], ..Default::default() };
        let frame = frame(ApiKey::Produce, version, i32::try_from(number)?, &request)?;
        let batches = places(version, &frame)?;
        ensure!(batches.len() == partitions.len(), "a request has all its batches");
        Ok(Request { frame, batches })
    }

    /// Gives each batch the next sequence number of its partition, and its CRC anew.
    fn sequence(&mut self, partitions: &mut [Progress], records: usize) -> Result<()> {
        let records = i32::try_from(records)?;
        for place in &self.batches {
            let batch = &mut self.frame[place.at..][..place.size];
            let progress = &mut partitions[place.partition];
            put(batch, BASE_SEQUENCE_AT, &progress.sequence.to_be_bytes());
            seal(batch);
            // After the largest sequence number comes 0.
            progress.sequence = (progress.sequence.wrapping_add(records)) & i32::MAX;
        }
        Ok(())
    }
}

/// Finds the batches of an encoded request by decoding it, which yields slices of its memory.
fn places(version: i16, frame: &[u8]) -> Result<Vec<Place>> {
    let body = Bytes::copy_from_slice(&frame[PREFIX_BYTES..]);
    let begin = body.as_ptr() as usize;
    let mut decoder = Decoder::new(body);
    RequestHeader::decode(&mut decoder)?;
    let request = ProduceRequest::decode(&mut decoder, version)?;
    let batches = request.topic_data.into_iter().flat_map(|topic| topic.partition_data);
    batches
        .map(|data| {
            let batch = data.records.context("a batch")?;
            let at = PREFIX_BYTES + (batch.as_ptr() as usize - begin);
            Ok(Place { partition: usize::try_from(data.index)?, at, size: batch.len() })
        })
        .collect()
}

/// A batch of a producer that has asked for its id.
fn identified(client: &mut Client, batch: &Bytes) -> Result<Bytes> {
    let request = InitProducerIdRequest { transaction_timeout_ms: TIMEOUT_MS, ..Default::default() };
    let response = loop {
        let response: InitProducerIdResponse = client.ask(ApiKey::InitProducerId, &request)?;
        if !response.error_code.is_retriable() {
            break response;
        }
    };
    ensure!(response.error_code == ErrorCode::NONE, "asking for a producer id: {:?}", response.error_code);
    let mut batch = batch.to_vec();
    put(&mut batch, PRODUCER_ID_AT, &response.producer_id.to_be_bytes());
    put(&mut batch, PRODUCER_EPOCH_AT, &response.producer_epoch.to_be_bytes());
    put(&mut batch, BASE_SEQUENCE_AT, &0i32.to_be_bytes());
    seal(&mut batch);
    Ok(Bytes::from(batch))
}

fn put(batch: &mut [u8], at: usize, field: &[u8]) {
    batch[at..at + field.len()].copy_from_slice(field);
}

/// Computes the CRC anew.
fn seal(batch: &mut [u8]) {
    let crc = crc_fast::crc32_iscsi(&batch[CRC_FROM..]);
    put(batch, CRC_AT, &crc.to_be_bytes());
}

/// Walks over an answer to a produce request from version 13 on: partition, error and base offset of each.
fn walk(answer: &[u8], number: usize, mut each: impl FnMut(i32, i16, i64) -> Result<()>) -> Result<()> {
    const UUID_BYTES: usize = 16;
    let mut cursor = Cursor::new(answer);
    let answered = cursor.i32()?;
    ensure!(usize::try_from(answered) == Ok(number), "the answer to request {answered} instead of {number}");
    cursor.tags()?;
    for _ in 0..cursor.length()? {
        cursor.take(UUID_BYTES)?;
        for _ in 0..cursor.length()? {
            let (partition, error, base_offset) = (cursor.i32()?, cursor.i16()?, cursor.i64()?);
            let _append_time = cursor.i64()?;
            let _log_start = cursor.i64()?;
            ensure!(cursor.length()? == 0, "an answer has errors of single records");
            let message = cursor.bytes()?;
            ensure!(message.is_empty(), "producing: {}", String::from_utf8_lossy(message));
            cursor.tags()?;
            each(partition, error, base_offset)?;
        }
        cursor.tags()?;
    }
    let _throttle = cursor.i32()?;
    cursor.tags()?;
    cursor.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::kafka::payload::Payload;
    use base::SystemClock;
    use kafka_wire::Uuid;
    use kafka_wire::messages::produce::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
    use log::{Batch, Codec};

    #[test]
    fn sequences_are_patched_into_each_batch_with_its_crc() {
        let payload = Payload { record_bytes: 100, codec: Codec::None };
        let template = Template::with_records(&SystemClock::new(), payload, 3).expect("three records");
        let topic = Topic { name: "t".into(), id: Uuid::nil(), leaders: vec![0, 0] };
        let mut request = Request::new(13, 0, &topic, &[0, 1], &template.batch.to_bytes(), 1).expect("fits");
        let mut partitions = [5, i32::MAX].map(|sequence| Progress { sequence, ..Progress::default() });
        request.sequence(&mut partitions, template.records).expect("few records");
        for (place, sequence) in request.batches.iter().zip([5, i32::MAX]) {
            let bytes = Bytes::copy_from_slice(&request.frame[place.at..][..place.size]);
            let batch = Batch::parse_one(&bytes).expect("a batch lies there");
            assert_eq!(batch.header().base_sequence, sequence);
            assert!(batch.crc_is_valid());
        }
        assert_eq!(partitions.map(|progress| progress.sequence), [8, 2], "after the largest comes 0");
    }

    #[test]
    fn the_walk_reads_what_the_codec_writes() {
        let partitions = [(4, 70), (2, 9)].map(|(index, base_offset)| PartitionProduceResponse {
            index,
            base_offset,
            ..PartitionProduceResponse::default()
        });
        let topic = TopicProduceResponse { partition_responses: partitions.to_vec(), ..Default::default() };
        let response = ProduceResponse { responses: vec![topic], ..ProduceResponse::default() };
        let frame = kafka_wire::encode_response(ApiKey::Produce, 13, 6, &response).expect("fits").concat();
        let mut seen = Vec::new();
        let mut note = |partition, error, base_offset| {
            seen.push((partition, error, base_offset));
            Ok(())
        };
        walk(&frame[PREFIX_BYTES..], 6, &mut note).expect("a whole answer");
        assert!(walk(&frame[PREFIX_BYTES..], 7, &mut note).is_err(), "the answer to another request");
        assert_eq!(seen, [(4, 0, 70), (2, 0, 9)]);
    }
}
