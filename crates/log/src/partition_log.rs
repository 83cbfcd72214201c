//! One partition's log: its segments, its offsets, and appending.
//!
//! Offsets: `log start <= high watermark <= log end` and `flushed <= log end`. They are four things: what is still
//! there, what the owner has declared committed, what is appended, and what survives a crash.
//!
//! Locks, in the order they may be taken: cleaning, writer (appends, truncation, deletion), flush, segments, then the short ones
//! (tail, epochs, config). Readers take none of the first two.
use crate::batch::Batch;
use crate::checkpoint::TopicPartition;
use crate::config::{LogConfig, TimestampType};
use crate::epochs::{EpochStart, LeaderEpochs};
use crate::error::LogError;
use crate::header::NO_TIMESTAMP;
use crate::producer::{Origin, ProducerEntry, Producers};
use crate::segment::{FileKind, SEGMENT_SIZE_MIN, Segment};
use crate::tail::{TailBudget, TailCache};
use base::{OpenMode, World};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What a log is opened with.
pub struct LogOptions {
    /// Clock, disk and randomness.
    pub world: World,
    /// The partition's folder; it is created if need be.
    pub dir: PathBuf,
    /// The partition, for messages and the files that name it.
    pub partition: TopicPartition,
    /// The settings.
    pub config: LogConfig,
    /// Whether the last process closed the log properly, so that nothing needs to be checked.
    pub clean_shutdown: bool,
    /// Everything below this offset was flushed (`recovery-point-offset-checkpoint`); 0 if unknown.
    pub recovery_point: i64,
    /// The checkpointed log start offset; 0 if unknown.
    pub log_start_offset: i64,
    /// The checkpointed high watermark; 0 if unknown.
    pub high_watermark: i64,
    /// Memory for cached batches, shared by the logs of a process.
    pub tail: Arc<TailBudget>,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record; for a repeated batch that of the original.
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Log end offset behind the append.
    pub log_end_offset: i64,
    /// The time given to all records, or -1 where they keep their own.
    pub log_append_time: i64,
    /// Log start offset.
    pub log_start_offset: i64,
    /// Whether the batch was there already (idempotence); nothing was written.
    pub duplicate: bool,
    /// Whether a new segment was begun, so that flushing the old one is due ([`Log::flush_rolled`]).
    pub rolled: bool,
}

/// State that only the holder of the append lock changes.
pub(crate) struct Writer {
    pub(crate) producers: Producers,
    /// Offsets of the producer snapshots in the folder.
    pub(crate) snapshots: BTreeSet<i64>,
    /// Taken off `segment.ms` for the active segment.
    pub(crate) jitter_ms: i64,
    /// Files under the suffix `.deleted`, with the monotonic time from which they may be removed.
    pub(crate) doomed: VecDeque<(u64, PathBuf)>,
    /// How often the end was taken back; a compaction that began before must not be put in place.
    pub(crate) truncations: u64,
}

/// A partition's log.
pub struct Log {
    pub(crate) world: World,
    pub(crate) dir: PathBuf,
    pub(crate) partition: TopicPartition,
    pub(crate) config: RwLock<Arc<LogConfig>>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) flushing: Mutex<()>,
    /// Held by the one compaction of this log.
    pub(crate) cleaning: Mutex<()>,
    pub(crate) segments: RwLock<BTreeMap<i64, Arc<Segment>>>,
    pub(crate) epochs: RwLock<LeaderEpochs>,
    /// Whether epochs were begun that their file does not name yet. A flush writes them before it moves the recovery point, and what
    /// lies behind that is read again after a crash, so that no election has to wait for the medium.
    pub(crate) epochs_unsaved: AtomicBool,
    pub(crate) tail: Mutex<TailCache>,
    pub(crate) log_start: AtomicI64,
    pub(crate) log_end: AtomicI64,
    pub(crate) flushed: AtomicI64,
    pub(crate) high_watermark: AtomicI64,
    /// First offset of an open transaction; the largest number if there is none.
    pub(crate) first_unstable: AtomicI64,
    /// Monotonic time of the last flush, in milliseconds.
    pub(crate) flushed_at_ms: std::sync::atomic::AtomicU64,
    /// Whether files were created or removed since the folder was last synced.
    pub(crate) dir_changed: AtomicBool,
    pub(crate) offline: OnceLock<String>,
    pub(crate) closed: AtomicBool,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("log_start", &self.log_start_offset())
            .field("high_watermark", &self.high_watermark())
            .field("flushed", &self.flushed_offset())
            .field("log_end", &self.log_end_offset())
            .finish_non_exhaustive()
    }
}

impl Log {
    /// The partition's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The settings as they are now.
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.read().clone()
    }

    /// Swaps the settings; they apply from the next operation on.
    pub fn set_config(&self, config: LogConfig) {
        *self.config.write() = Arc::new(config);
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start.load(Ordering::Acquire)
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end.load(Ordering::Acquire)
    }

    /// Everything below this offset survives a crash: the recovery point.
    pub fn flushed_offset(&self) -> i64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// Everything below this offset is committed, as the owner has said.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// Raises the high watermark, at most to the log end; lower values are ignored. Returns the one that holds now.
    pub fn advance_high_watermark(&self, offset: i64) -> i64 {
        let offset = offset.min(self.log_end_offset());
        let now = self.high_watermark.fetch_max(offset, Ordering::AcqRel).max(offset);
        if self.first_unstable.load(Ordering::Acquire) != i64::MAX {
            self.update_first_unstable(&mut self.writer.lock());
        }
        now
    }

    /// Where readers of committed data must stop: the first offset of a transaction that is undecided, or whose marker is
    /// not below the high watermark; else the high watermark.
    pub fn last_stable_offset(&self) -> i64 {
        self.high_watermark().min(self.first_unstable.load(Ordering::Acquire))
    }

    pub(crate) fn update_first_unstable(&self, writer: &mut Writer) {
        let first = writer.producers.first_unstable_offset(self.high_watermark());
        self.first_unstable.store(first.unwrap_or(i64::MAX), Ordering::Release);
    }

    /// Total size of the segments in bytes.
    pub fn size(&self) -> u64 {
        self.segments.read().values().map(|segment| segment.size()).sum()
    }

    /// Base offsets of the segments, oldest first.
    pub fn segment_offsets(&self) -> Vec<i64> {
        self.segments.read().keys().copied().collect()
    }

    /// A producer's state.
    pub fn producer(&self, producer_id: i64) -> Option<ProducerEntry> {
        self.writer.lock().producers.entries().get(&producer_id).cloned()
    }

    /// All producers with state, ordered by id.
    pub fn producers(&self) -> Vec<(i64, ProducerEntry)> {
        let writer = self.writer.lock();
        let mut all: Vec<_> =
            writer.producers.entries().iter().map(|(id, entry)| (*id, entry.clone())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// The leader epochs with their start offsets, oldest first.
    pub fn leader_epochs(&self) -> Vec<EpochStart> {
        self.epochs.read().entries().to_vec()
    }

    /// The epoch of the last batch, if any was appended with one.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.read().latest().map(|entry| entry.epoch)
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        self.epochs.read().epoch_at(offset)
    }

    /// The largest known epoch up to `epoch` and the offset behind its last record, or (-1, -1) (OffsetForLeaderEpoch).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        self.epochs.read().end_offset_for(epoch, self.log_end_offset())
    }

    /// Notes that a leader epoch starts at the log end, before its first batch, as a new leader does. It is durable with the next flush.
    pub fn start_epoch(&self, epoch: i32) -> Result<(), LogError> {
        let _writer = self.writer.lock();
        self.check_open()?;
        self.assign_epoch(epoch, self.log_end_offset());
        Ok(())
    }

    pub(crate) fn assign_epoch(&self, epoch: i32, start_offset: i64) {
        if self.epochs.read().latest().is_some_and(|last| last.epoch == epoch) {
            return;
        }
        if self.epochs.write().assign(epoch, start_offset) {
            self.epochs_unsaved.store(true, Ordering::Release);
        }
    }

    /// Writes epochs that were begun since they were last written.
    pub(crate) fn save_begun_epochs(&self) -> Result<(), LogError> {
        if !self.epochs_unsaved.load(Ordering::Acquire) {
            return Ok(());
        }
        self.save_epochs(&self.epochs.write())
    }

    pub(crate) fn save_epochs(&self, epochs: &LeaderEpochs) -> Result<(), LogError> {
        let path = self.dir.join(crate::load::EPOCHS_FILE);
        self.world
            .disk
            .write_file_atomic(&path, epochs.encode().as_bytes())
            .map_err(|error| self.fail(LogError::io("writing", &path, error)))?;
        self.epochs_unsaved.store(false, Ordering::Release);
        Ok(())
    }

    /// Why the log refuses everything, if it does.
    pub fn offline_reason(&self) -> Option<&str> {
        self.offline.get().map(String::as_str)
    }

    pub(crate) fn check_open(&self) -> Result<(), LogError> {
        if let Some(reason) = self.offline.get() {
            return Err(LogError::Offline { path: self.dir.clone(), reason: reason.clone() });
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(LogError::Closed { path: self.dir.clone() });
        }
        Ok(())
    }

    /// Takes the log offline if `error` means that the disk failed.
    pub(crate) fn fail(&self, error: LogError) -> LogError {
        if matches!(error, LogError::Io { .. }) && self.offline.set(error.to_string()).is_ok() {
            tracing::error!(partition = %self.partition, error = %error, "log goes offline");
        }
        error
    }

    /// The segment that is appended to.
    pub(crate) fn active(&self) -> Arc<Segment> {
        let segments = self.segments.read();
        let (_, segment) = segments.last_key_value().expect("a log always has a segment");
        segment.clone()
    }

    /// Appends a validated batch as the partition's leader: it gets the next offset and `leader_epoch`, and with
    /// `message.timestamp.type=LogAppendTime` the time.
    ///
    /// Costs one vectored write; the body is not copied. A repeated batch of a producer returns where it already is.
    pub fn append(&self, batch: Batch, leader_epoch: i32, origin: Origin) -> Result<AppendInfo, LogError> {
        self.append_all(vec![batch], leader_epoch, origin)
    }

    /// Appends several batches as the leader, with one vectored write as long as they fit a segment. Either all are
    /// accepted or none; if one is a repetition, nothing is written. Sequences are judged against what the log held
    /// before, so a client's batches come one at a time.
    pub fn append_all(
        &self,
        mut batches: Vec<Batch>,
        leader_epoch: i32,
        origin: Origin,
    ) -> Result<AppendInfo, LogError> {
        let config = self.config();
        let mut writer = self.writer.lock();
        self.check_open()?;
        let start = self.log_end_offset();
        let mut offset = start;
        let mut log_append_time = NO_TIMESTAMP;
        for batch in &mut batches {
            if let Some(original) = writer.producers.check(batch.header(), offset, origin)? {
                return Ok(AppendInfo {
                    first_offset: original.first_offset(),
                    last_offset: original.last_offset,
                    log_end_offset: start,
                    log_append_time: match config.timestamp_type {
                        TimestampType::LogAppendTime => original.timestamp,
                        TimestampType::CreateTime => NO_TIMESTAMP,
                    },
                    log_start_offset: self.log_start_offset(),
                    duplicate: true,
                    rolled: false,
                });
            }
            batch.set_base_offset(offset);
            batch.set_leader_epoch(leader_epoch);
            if config.timestamp_type == TimestampType::LogAppendTime && !batch.header().is_control() {
                log_append_time = self.world.clock.wall_ms();
                batch.set_append_time(log_append_time);
            }
            offset = batch.header().next_offset();
        }
        let rolled = self.write(&mut writer, &config, &batches)?;
        let info = self.info(start, log_append_time, rolled);
        drop(writer);
        self.flush_after_append(&config)?;
        Ok(info)
    }

    /// Appends batches that carry their offsets and epochs: a follower's copy, or entries of the znode log. Offsets must
    /// grow and start at or behind the log end. One vectored write for all that fit the active segment.
    pub fn append_with_offsets(&self, batches: &[Batch]) -> Result<AppendInfo, LogError> {
        let config = self.config();
        let mut writer = self.writer.lock();
        self.check_open()?;
        let start = batches.first().map_or(self.log_end_offset(), |batch| batch.header().base_offset);
        let mut end = self.log_end_offset();
        for batch in batches {
            let header = batch.header();
            if header.base_offset < end || header.last_offset_delta < 0 {
                return Err(LogError::UnexpectedOffset { offset: header.base_offset, end });
            }
            if !batch.crc_is_valid() {
                let reason = format!("the CRC of the batch at offset {} is wrong", header.base_offset);
                return Err(LogError::corrupt(&self.dir, 0, reason));
            }
            end = header.next_offset();
        }
        let rolled = self.write(&mut writer, &config, batches)?;
        let info = self.info(start, NO_TIMESTAMP, rolled);
        drop(writer);
        self.flush_after_append(&config)?;
        Ok(info)
    }

    /// What an append did whose last batch is the newest; the append lock is held.
    fn info(&self, first_offset: i64, log_append_time: i64, rolled: bool) -> AppendInfo {
        let log_end_offset = self.log_end_offset();
        AppendInfo {
            first_offset,
            last_offset: log_end_offset - 1,
            log_end_offset,
            log_append_time,
            log_start_offset: self.log_start_offset(),
            duplicate: false,
            rolled,
        }
    }

    /// Writes batches with final offsets; true if a segment was begun.
    fn write(&self, writer: &mut Writer, config: &LogConfig, batches: &[Batch]) -> Result<bool, LogError> {
        let limit = config.segment_bytes.clamp(SEGMENT_SIZE_MIN, i32::MAX as u64);
        if let Some(batch) = batches.iter().find(|batch| batch.size() as u64 > limit) {
            return Err(LogError::TooLarge { size: batch.size() as u64, limit });
        }
        let mut rest = batches;
        let mut rolled = false;
        while let Some(first) = rest.first() {
            let mut active = self.active();
            if self.must_roll(&active, writer, config, first)? {
                active = self.roll_to(writer, config, first.header().base_offset)?;
                rolled = true;
            }
            let (group, later) = rest.split_at(fitting(&active, rest, limit));
            self.write_group(writer, config, &active, group)?;
            rest = later;
        }
        Ok(rolled)
    }

    fn write_group(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        active: &Arc<Segment>,
        group: &[Batch],
    ) -> Result<(), LogError> {
        for batch in group {
            self.assign_epoch(batch.header().partition_leader_epoch, batch.header().base_offset);
        }
        let mut position = active.size();
        let bytes = group.iter().map(|batch| batch.size() as u64).sum();
        active
            .append(group, config.index_interval_bytes)
            .and_then(|()| active.zero_fill(bytes, config))
            .map_err(|error| self.fail(error))?;
        let now = self.world.clock.monotonic_ms();
        let mut tail = self.tail.lock();
        for batch in group {
            writer.producers.apply(batch);
            tail.push(batch, active, position, now);
            position += batch.size() as u64;
        }
        if let Some(last) = group.last() {
            // Published before the end, so that no reader of committed data gets ahead.
            self.update_first_unstable(writer);
            self.log_end.store(last.header().next_offset(), Ordering::Release);
        }
        Ok(())
    }

    fn must_roll(
        &self,
        active: &Segment,
        writer: &Writer,
        config: &LogConfig,
        next: &Batch,
    ) -> Result<bool, LogError> {
        let size = active.size();
        if !active.covers(next.header().last_offset()) {
            return Ok(true);
        }
        if size == 0 {
            return Ok(false);
        }
        if size + next.size() as u64 > config.segment_bytes {
            return Ok(true);
        }
        // As in Kafka, a segment's age is measured in record time where records have one.
        let age = match active.first_timestamp()? {
            Some(first) => next.header().max_timestamp.saturating_sub(first),
            None => self.world.clock.wall_ms().saturating_sub(active.created_ms()),
        };
        if age > config.segment_age_max_ms().saturating_sub(writer.jitter_ms) {
            return Ok(true);
        }
        active.index_is_full(config.segment_index_bytes)
    }

    /// Closes the active segment and begins one at `base_offset`, which is at or behind the log end.
    pub(crate) fn roll_to(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        base_offset: i64,
    ) -> Result<Arc<Segment>, LogError> {
        let result = self.try_roll_to(writer, config, base_offset);
        result.map_err(|error| self.fail(error))
    }

    fn try_roll_to(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        base_offset: i64,
    ) -> Result<Arc<Segment>, LogError> {
        let old = self.active();
        if old.size() > 0 {
            old.seal()?;
            self.write_producer_snapshot(writer, self.log_end_offset())?;
        }
        let fresh = self.create_segment(config, base_offset)?;
        {
            let mut segments = self.segments.write();
            if old.size() == 0 {
                // An empty segment would keep its base offset for good, so it makes room.
                segments.remove(&old.base_offset);
            }
            segments.insert(base_offset, fresh.clone());
        }
        if old.size() == 0 {
            self.doom_segment(writer, &old, config)?;
        }
        writer.jitter_ms = self.draw_jitter(config);
        Ok(fresh)
    }

    pub(crate) fn create_segment(
        &self,
        config: &LogConfig,
        base_offset: i64,
    ) -> Result<Arc<Segment>, LogError> {
        let preallocate = config.preallocate.then_some(config.segment_bytes);
        let segment = Segment::create(&self.world, &self.dir, base_offset, "", preallocate)?;
        self.dir_changed.store(true, Ordering::Release);
        Ok(Arc::new(segment))
    }

    /// A share of `segment.jitter.ms`, so that partitions created together don't roll together.
    pub(crate) fn draw_jitter(&self, config: &LogConfig) -> i64 {
        let most = config.segment_jitter_ms.min(config.segment_ms).max(0) as u64;
        if most == 0 { 0 } else { (self.world.random.u64() % most) as i64 }
    }

    /// Begins a new segment at the log end, unless the active one is empty.
    pub fn roll(&self) -> Result<(), LogError> {
        let config = self.config();
        let mut writer = self.writer.lock();
        self.check_open()?;
        if self.active().size() > 0 {
            self.roll_to(&mut writer, &config, self.log_end_offset())?;
        }
        Ok(())
    }

    /// Writes the producers as of `offset`, which is the log end. It is made durable with the next flush; a torn one is
    /// noticed by its CRC.
    pub(crate) fn write_producer_snapshot(&self, writer: &mut Writer, offset: i64) -> Result<(), LogError> {
        let path = FileKind::Producers.path(&self.dir, offset);
        let content = crate::producer_snapshot::encode(writer.producers.entries());
        let write = |error| LogError::io("writing", &path, error);
        let file = self.world.disk.open(&path, OpenMode::Truncate).map_err(write)?;
        file.write_all_at(&content, 0).map_err(write)?;
        writer.snapshots.insert(offset);
        self.dir_changed.store(true, Ordering::Release);
        Ok(())
    }
}

/// How many of `batches`, at least one, one write may put into the segment.
fn fitting(segment: &Segment, batches: &[Batch], limit: u64) -> usize {
    let mut size = segment.size();
    let fits = |batch: &&Batch| {
        size += batch.size() as u64;
        size <= limit && segment.covers(batch.header().last_offset())
    };
    batches.iter().take_while(fits).count().max(1)
}
