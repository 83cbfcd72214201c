//! The batch that everything of Kafka is measured with.
use crate::world::WALL_MS;
use anyhow::Result;
use bytes::Bytes;
use log::BatchBuilder;

/// Records of a batch.
const RECORDS: usize = 16;
/// Bytes of a record's value.
const VALUE_BYTES: usize = 100;

/// A producer's batch, uncompressed.
pub(crate) fn sample() -> Result<Bytes> {
    let mut builder = BatchBuilder::new(0);
    for record in 0..RECORDS {
        let value: Vec<u8> = (0..VALUE_BYTES).map(|at| (at * 31 + record * 7) as u8).collect();
        builder.append(WALL_MS, None, Some(&value), &[])?;
    }
    Ok(builder.build()?.to_bytes())
}
