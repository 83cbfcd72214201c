//! The settings of one log, typed. Defaults are those of Kafka's topic settings.
use crate::compression::Compression;

/// What happens to old data (`cleanup.policy`). Neither flag: everything is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Whole segments are removed by age and size.
    pub delete: bool,
    /// The latest record of every key is kept.
    pub compact: bool,
}

/// Whose clock a record's timestamp comes from (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's at the time of the append.
    LogAppendTime,
}

/// Settings of a log. They can be swapped while the log is open. A limit of -1 means none where Kafka says so.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it grows beyond this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed when it is this old.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: up to this much is taken off `segment_ms`, at random per segment.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a segment is closed when an index would grow beyond this.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: bytes of log per index entry.
    pub index_interval_bytes: u64,
    /// `retention.ms`; -1 is no limit.
    pub retention_ms: i64,
    /// `retention.bytes`; -1 is no limit.
    pub retention_bytes: i64,
    /// `flush.messages`: a flush is due after this many records.
    pub flush_messages: i64,
    /// `flush.ms`: a flush is due this long after the last one.
    pub flush_ms: i64,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// `delete.retention.ms`: how long tombstones and markers outlive the first cleaning.
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`: how long a removed file stays under the name `.deleted`.
    pub file_delete_delay_ms: i64,
    /// `max.message.bytes`: the largest batch.
    pub max_message_bytes: u64,
    /// `compression.type` and its level; `None` keeps what the producer chose.
    pub compression: Option<Compression>,
    /// `min.compaction.lag.ms`: younger records are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: older records make the log due for compaction.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `preallocate`: a new segment's file takes its full size at once.
    pub preallocate: bool,
    /// How many bytes of zeros are written behind the batches of the active segment, again and again as they are used up; 0 for none.
    /// For a log that is flushed all the time: flushing what takes the place of zeros is several times cheaper than flushing a file
    /// that has grown, or one whose space is reserved only (`preallocate`).
    pub zero_fill_bytes: u64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `producer.id.expiration.ms`: an idle producer id is forgotten after this.
    pub producer_id_expiration_ms: i64,
    /// How many flushed bytes of a segment the system's memory is left with. For a log whose content is in memory in another form
    /// anyway; `u64::MAX` leaves it to the system, as readers that catch up need it.
    pub page_cache_bytes: u64,
}

impl LogConfig {
    /// How old a segment may become: `segment.ms`, and in a compacted log `max.compaction.lag.ms`, because only closed
    /// segments are compacted.
    pub(crate) fn segment_age_max_ms(&self) -> i64 {
        match self.cleanup.compact && self.max_compaction_lag_ms > 0 {
            true => self.segment_ms.min(self.max_compaction_lag_ms),
            false => self.segment_ms,
        }
    }
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            cleanup: CleanupPolicy { delete: true, compact: false },
            delete_retention_ms: DAY_MS,
            file_delete_delay_ms: 60_000,
            max_message_bytes: 1_048_588,
            compression: None,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            preallocate: false,
            zero_fill_bytes: 0,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: HOUR_MS,
            producer_id_expiration_ms: DAY_MS,
            page_cache_bytes: u64::MAX,
        }
    }
}
