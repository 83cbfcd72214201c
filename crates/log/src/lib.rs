//! Record batches, segments, indexes, recovery, compaction and retention, in Kafka's on-disk format (record batch v2).
//!
//! A [`Log`] is one partition folder. A [`LogDir`] is one entry of `log.dirs`: its lock, its `meta.properties` and its
//! checkpoints. Everything of a partition that must survive is in its folder; nothing here knows topics' settings
//! beyond [`LogConfig`], other nodes, or the network.
//!
//! Cost of a record on its way in, uncompressed: one pass for the CRC (hardware) and one for the structure, no
//! allocation and no copy; the body of a batch is the slice of the frame that it arrived in until it is on the disk.
pub mod batch;
pub mod builder;
pub mod compression;
pub mod config;
pub mod error;
pub mod header;
pub mod records;
pub mod validate;
mod varint;

pub use batch::{Batch, BatchIter};
pub use builder::BatchBuilder;
pub use compression::{Codec, Compression};
pub use config::{CleanupPolicy, LogConfig, TimestampType};
pub use error::LogError;
pub use header::{BatchHeader, HeaderFault};
pub use records::{RecordFault, RecordHeader, RecordView, Records, Scratch};
pub use validate::{BatchError, RecordError, Rules, validate};
