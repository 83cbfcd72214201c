//! The `.snapshot` files of a partition: its producers as of an offset, in Kafka's format (ProducerSnapshot version 1).
//!
//! Layout: version (2 bytes), CRC-32C (4) of everything behind it, count (4), then fixed entries of 46 bytes. Only the
//! last batch of a producer is in it. A file with a wrong CRC is ignored: the log itself has everything.
use crate::header::NO_SEQUENCE;
use crate::producer::{BatchMemory, ProducerEntry};
use std::collections::HashMap;

const VERSION: i16 = 1;
/// Bytes in front of what the CRC covers.
const PREFIX_SIZE: usize = 6;
const ENTRY_SIZE: usize = 46;

/// Encodes all producers, ordered by id.
pub(crate) fn encode(producers: &HashMap<i64, ProducerEntry>) -> Vec<u8> {
    let mut ids: Vec<i64> = producers.keys().copied().collect();
    ids.sort_unstable();
    let mut body = Vec::with_capacity(4 + ids.len() * ENTRY_SIZE);
    body.extend_from_slice(&(ids.len() as u32).to_be_bytes());
    for id in ids {
        let entry = &producers[&id];
        let last = entry.batches.back();
        body.extend_from_slice(&id.to_be_bytes());
        body.extend_from_slice(&entry.epoch.to_be_bytes());
        body.extend_from_slice(&last.map_or(NO_SEQUENCE, |batch| batch.last_sequence).to_be_bytes());
        body.extend_from_slice(&last.map_or(-1, |batch| batch.last_offset).to_be_bytes());
        body.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
        body.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        body.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        body.extend_from_slice(&entry.transaction_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let mut file = Vec::with_capacity(PREFIX_SIZE + body.len());
    file.extend_from_slice(&VERSION.to_be_bytes());
    file.extend_from_slice(&crc_fast::crc32_iscsi(&body).to_be_bytes());
    file.extend_from_slice(&body);
    file
}

/// Decodes a file.
pub(crate) fn decode(file: &[u8]) -> Result<Vec<(i64, ProducerEntry)>, String> {
    let (prefix, body) = file.split_at_checked(PREFIX_SIZE).ok_or("the file is too short")?;
    let mut prefix = Fields(prefix);
    let version = i16::from_be_bytes(prefix.take()?);
    if version != VERSION {
        return Err(format!("version {version} is unknown"));
    }
    let crc = u32::from_be_bytes(prefix.take()?);
    if crc != crc_fast::crc32_iscsi(body) {
        return Err("the CRC does not fit the content".to_owned());
    }
    let mut fields = Fields(body);
    let count = u32::from_be_bytes(fields.take()?) as usize;
    if fields.0.len() != count.saturating_mul(ENTRY_SIZE) {
        return Err(format!("{count} producers don't fit {} bytes", fields.0.len()));
    }
    (0..count).map(|_| decode_entry(&mut fields)).collect()
}

fn decode_entry(fields: &mut Fields<'_>) -> Result<(i64, ProducerEntry), String> {
    let id = i64::from_be_bytes(fields.take()?);
    let epoch = i16::from_be_bytes(fields.take()?);
    let last_sequence = i32::from_be_bytes(fields.take()?);
    let last_offset = i64::from_be_bytes(fields.take()?);
    let offset_delta = i32::from_be_bytes(fields.take()?);
    let timestamp = i64::from_be_bytes(fields.take()?);
    let coordinator_epoch = i32::from_be_bytes(fields.take()?);
    let first = i64::from_be_bytes(fields.take()?);
    let batch = BatchMemory { last_sequence, last_offset, offset_delta, timestamp };
    let entry = ProducerEntry {
        epoch,
        coordinator_epoch,
        last_timestamp: timestamp,
        transaction_first_offset: (first >= 0).then_some(first),
        batches: (last_offset >= 0).then_some(batch).into_iter().collect(),
    };
    Ok((id, entry))
}

/// Takes fixed-size fields off a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (field, rest) = self.0.split_first_chunk().ok_or("the file ends early")?;
        self.0 = rest;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_wrote_is_read_and_written_back() {
        let file = include_bytes!("../tests/data/codecs-0/00000000000000000050.snapshot");
        let entries: HashMap<i64, ProducerEntry> = decode(file).expect("readable").into_iter().collect();
        assert_eq!(entries.len(), 10);
        assert!(
            entries
                .values()
                .all(|entry| entry.last_sequence() == 4 && entry.transaction_first_offset.is_none())
        );
        assert_eq!(encode(&entries), file);
        for length in 0..file.len() {
            assert!(decode(&file[..length]).is_err());
        }
    }
}
