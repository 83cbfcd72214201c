//! A consumer: one connection to one node, and a fetch session (KIP-227) over partitions that the node leads.
//!
//! Invariants: at most one fetch is on its way; batches arrive without a gap and each is the one that was produced, by size and count.
use super::client::{Client, frame};
use super::cursor::Cursor;
use super::link::Link;
use super::payload::Template;
use super::topic::Topic;
use anyhow::{Context, Result, ensure};
use kafka_wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::{ApiKey, ErrorCode, Uuid};
use std::net::SocketAddr;

/// The first version whose topics have ids instead of names; the answers of older ones look different.
const FETCH_WITH_IDS: i16 = 13;
/// The defaults of Kafka's consumer: `fetch.max.wait.ms`, `fetch.max.bytes`, `max.partition.fetch.bytes`.
const MAX_WAIT_MS: i32 = 500;
const MAX_BYTES: i32 = 50 << 20;
const PARTITION_MAX_BYTES: i32 = 1 << 20;
const HEADER_BYTES: usize = 61;

/// Bytes in front of those that a batch's length field counts.
const LENGTH_OVERHEAD: usize = 12;
const RECORD_COUNT_AT: usize = 57;

/// A partition that is consumed.
struct Position {
    offset: i64,
    /// Whether the session has to be told of the offset.
    moved: bool,
    /// Whether this consumer reads the partition at all.
    wanted: bool,
}

impl Position {
    fn rewind(&mut self) {
        self.offset = 0;
        self.moved = self.wanted;
    }
}

/// A consumer.
pub(super) struct Consumer {
    pub(super) link: Link,
    version: i16,
    topic_id: Uuid,
    positions: Vec<Position>,
    session: i32,
    epoch: i32,
    asked: i32,
    outbox: Vec<u8>,
    written: usize,
    batch_bytes: usize,
    batch_records: usize,
    /// Records of one pass over the partitions, after which it begins anew; what is left of this pass.
    pass: Option<(u64, u64)>,
    /// Records that have arrived.
    pub(super) records: u64,
    /// Bytes of batches that have arrived.
    pub(super) bytes: u64,
}

impl Consumer {
    /// A consumer from the beginning of some partitions, which the node at `address` leads and which hold copies of `template`.
    pub(super) fn new(
        address: SocketAddr,
        topic: &Topic,
        partitions: &[i32],
        template: &Template,
    ) -> Result<Consumer> {
        let client = Client::open(address)?;
        let version = client.version::<FetchRequest>(ApiKey::Fetch)?;
        ensure!(version >= FETCH_WITH_IDS, "the server has no Fetch {FETCH_WITH_IDS}");
        let positions = (0..).zip(&topic.leaders).map(|(index, _)| {
            let wanted = partitions.contains(&index);
            Position { offset: 0, moved: wanted, wanted }
        });
        Ok(Consumer {
            link: Link::open(address)?,
            version,
            topic_id: topic.id,
            positions: positions.collect(),
            session: 0,
            epoch: 0,
            asked: 0,
            outbox: Vec::new(),
            written: 0,
            batch_bytes: template.batch.size(),
            batch_records: template.records,
            pass: None,
            records: 0,
            bytes: 0,
        })
    }

    /// Lets it begin anew whenever it has read so many records, which are all that there are.
    pub(super) fn again_after(mut self, records: u64) -> Consumer {
        self.pass = Some((records, records));
        self
    }

    /// Asks for what follows, and waits for it if there is nothing yet.
    pub(super) fn fetch(&mut self) -> Result<()> {
        let moved = self.positions.iter_mut().zip(0..).filter(|(position, _)| position.moved);
        let partitions: Vec<FetchPartition> = moved
            .map(|(position, partition)| {
                position.moved = false;
                FetchPartition {
                    partition,
                    fetch_offset: position.offset,
                    partition_max_bytes: PARTITION_MAX_BYTES,
                    ..FetchPartition::default()
                }
            })
            .collect();
        let topic = FetchTopic { topic_id: self.topic_id, partitions, ..FetchTopic::default() };
        let request = FetchRequest {
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: MAX_BYTES,
            session_id: self.session,
            session_epoch: self.epoch,
            topics: if topic.partitions.is_empty() { Vec::new() } else { vec![topic] },
            ..FetchRequest::default()
        };
        self.asked = self.asked.wrapping_add(1);
        self.outbox = frame(ApiKey::Fetch, self.version, self.asked, &request)?;
        self.written = 0;
        self.flush()
    }

    /// Writes what is left of the fetch, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.written += self.link.write(&self.outbox[self.written..])?;
        Ok(())
    }

    /// Reads what has arrived. Whether that was the end of an answer, so that the next fetch may go out; `seen` gets partition and base
    /// offset of each batch.
    pub(super) fn receive(&mut self, mut seen: impl FnMut(usize, i64)) -> Result<bool> {
        self.link.fill()?;
        let Some(at) = self.link.next_answer()? else { return Ok(false) };
        let mut cursor = Cursor::new(self.link.answer(at));
        ensure!(cursor.i32()? == self.asked, "the answer to another fetch");
        cursor.tags()?;
        let _throttle = cursor.i32()?;
        let error = cursor.i16()?;
        ensure!(error == 0, "fetching: {:?}", ErrorCode(error));
        self.session = cursor.i32()?;
        // A server that has no room for the session wants a whole fetch every time.
        self.epoch = if self.session == 0 { 0 } else { self.epoch.checked_add(1).unwrap_or(1) };
        let expected = (self.batch_bytes, self.batch_records);
        let before = self.records;
        for _ in 0..cursor.length()? {
            const UUID_BYTES: usize = 16;
            cursor.take(UUID_BYTES)?;
            for _ in 0..cursor.length()? {
                let (index, records) = partition(&mut cursor)?;
                let position = self.positions.get_mut(index).filter(|position| position.wanted);
                let position = position.context("an answer for a partition that was not asked for")?;
                let from = position.offset;
                position.offset = advance(records, from, expected, |offset| seen(index, offset))?;
                position.moved |= position.offset != from;
                let count = (position.offset - from) as u64;
                self.records += count;
                self.bytes += count / self.batch_records as u64 * self.batch_bytes as u64;
            }
            cursor.tags()?;
        }
        cursor.tags()?;
        cursor.finish()?;
        if let Some((whole, left)) = &mut self.pass {
            *left -= self.records - before;
            if *left == 0 {
                *left = *whole;
                self.positions.iter_mut().for_each(Position::rewind);
            }
        }
        if self.session == 0 {
            self.positions.iter_mut().for_each(|position| position.moved = position.wanted);
        }
        Ok(true)
    }
}

/// One partition of an answer: its index and its records.
fn partition<'a>(cursor: &mut Cursor<'a>) -> Result<(usize, &'a [u8])> {
    let (index, error) = (cursor.i32()?, cursor.i16()?);
    ensure!(error == 0, "fetching: {:?}", ErrorCode(error));
    let _high_watermark = cursor.i64()?;
    let _last_stable_offset = cursor.i64()?;
    let _log_start_offset = cursor.i64()?;
    ensure!(cursor.length()? == 0, "an answer names aborted transactions");
    let _preferred_replica = cursor.i32()?;
    let records = cursor.bytes()?;
    cursor.tags()?;
    Ok((usize::try_from(index)?, records))
}

/// Walks over whole batches from offset `next` on, all of one size and count, and answers the offset behind the last. An answer may end
/// in the middle of a batch.
fn advance(
    mut records: &[u8],
    mut next: i64,
    expected: (usize, usize),
    mut seen: impl FnMut(i64),
) -> Result<i64> {
    while records.len() >= HEADER_BYTES {
        let mut cursor = Cursor::new(records);
        let base_offset = cursor.i64()?;
        let length = usize::try_from(cursor.i32()?)? + LENGTH_OVERHEAD;
        let count = usize::try_from(Cursor::new(&records[RECORD_COUNT_AT..]).i32()?)?;
        ensure!(
            (length, count) == expected,
            "a batch of {count} records and {length} bytes was never produced"
        );
        if records.len() < length {
            break;
        }
        ensure!(base_offset == next, "a batch at offset {base_offset} follows offset {next}");
        seen(base_offset);
        next += count as i64;
        records = &records[length..];
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offset: i64, count: i32, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&((size - LENGTH_OVERHEAD) as i32).to_be_bytes());
        bytes[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&count.to_be_bytes());
        bytes
    }

    #[test]
    fn gaps_and_foreign_batches_are_found_and_a_cut_batch_is_left() {
        let mut seen = Vec::new();
        let two = [batch(10, 5, 80), batch(15, 5, 80)].concat();
        let end = advance(&[&two[..], &batch(20, 5, 80)[..70]].concat(), 10, (80, 5), |at| seen.push(at));
        assert_eq!(end.expect("good batches"), 20);
        assert_eq!(seen, [10, 15]);
        assert!(advance(&two, 9, (80, 5), |_| ()).is_err(), "a gap");
        assert!(advance(&two, 10, (80, 6), |_| ()).is_err(), "another count");
        assert!(advance(&two, 10, (81, 5), |_| ()).is_err(), "another size");
    }
}
