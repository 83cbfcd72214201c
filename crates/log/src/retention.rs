//! Removing old data: by age, by size, and below the log start offset.
//!
//! Files are renamed to `.deleted` at once and removed after `file.delete.delay.ms`; readers that still hold a segment
//! read on from the open file.
use crate::config::LogConfig;
use crate::error::LogError;
use crate::partition_log::{Log, Writer};
use crate::segment::{DELETED_SUFFIX, FileKind, Segment, with_suffix};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Log {
    /// Renames a segment's files for removal.
    pub(crate) fn doom_segment(
        &self,
        writer: &mut Writer,
        segment: &Segment,
        config: &LogConfig,
    ) -> Result<(), LogError> {
        segment.hold_indexes()?;
        // What the cache holds of it would keep the file's space taken.
        self.tail.lock().forget_through(segment.base_offset);
        let due = self.world.clock.monotonic_ms().saturating_add(config.file_delete_delay_ms.max(0) as u64);
        for kind in FileKind::ALL {
            let path = kind.path(&self.dir, segment.base_offset);
            let keeps = kind == FileKind::Producers && segment.base_offset == self.log_end_offset();
            if keeps || !self.world.disk.exists(&path) {
                continue;
            }
            let doomed = with_suffix(&path, DELETED_SUFFIX);
            self.world.disk.rename(&path, &doomed).map_err(|error| LogError::io("renaming", &path, error))?;
            writer.doomed.push_back((due, doomed));
            if kind == FileKind::Producers {
                writer.snapshots.remove(&segment.base_offset);
            }
        }
        self.dir_changed.store(true, Ordering::Release);
        Ok(())
    }

    /// Removes files whose delay has passed.
    pub fn remove_doomed_files(&self) -> Result<(), LogError> {
        let now = self.world.clock.monotonic_ms();
        let mut writer = self.writer.lock();
        self.check_open()?;
        while let Some((due, path)) = writer.doomed.front() {
            if *due > now {
                break;
            }
            self.remove_file(path).map_err(|error| self.fail(error))?;
            writer.doomed.pop_front();
        }
        Ok(())
    }

    /// Raises the log start offset (DeleteRecords): what lies below is not readable any more. Segments below it are
    /// removed at once. The offset may not exceed the high watermark.
    pub fn delete_records_before(&self, offset: i64) -> Result<i64, LogError> {
        let config = self.config();
        let mut writer = self.writer.lock();
        self.check_open()?;
        let (start, end) = (self.log_start_offset(), self.high_watermark());
        if offset > end {
            return Err(LogError::OffsetOutOfRange { offset, start, end });
        }
        self.raise_log_start(offset)?;
        self.remove_segments(&mut writer, &config, self.below_log_start())?;
        Ok(self.log_start_offset())
    }

    fn raise_log_start(&self, offset: i64) -> Result<(), LogError> {
        if offset <= self.log_start.fetch_max(offset, Ordering::AcqRel) {
            return Ok(());
        }
        let mut epochs = self.epochs.write();
        if epochs.truncate_from_start(offset) { self.save_epochs(&epochs) } else { Ok(()) }
    }

    /// How many of the oldest segments end at or below the log start.
    fn below_log_start(&self) -> usize {
        let segments = self.segments.read();
        let start = self.log_start_offset();
        segments.keys().skip(1).take_while(|base| **base <= start).count()
    }

    /// Applies `retention.ms`, `retention.bytes` and the log start offset. Returns the number of removed segments.
    ///
    /// Age goes by record timestamp, and the active segment is not spared (it is closed first); only data below the high
    /// watermark is removed.
    pub fn enforce_retention(&self) -> Result<usize, LogError> {
        let config = self.config();
        let mut writer = self.writer.lock();
        self.check_open()?;
        let mut count = self.below_log_start();
        if config.cleanup.delete {
            count = count.max(self.expired(&config)?).max(self.oversized(&config));
        }
        let segments = self.segments.read().len();
        if count == segments {
            self.roll_to(&mut writer, &config, self.log_end_offset())?;
        }
        self.remove_segments(&mut writer, &config, count)?;
        Ok(count)
    }

    /// Segments with the offset behind them, oldest first, as far as they may be removed at all.
    fn removable(&self) -> Vec<(Arc<Segment>, i64)> {
        let segments = self.segments.read();
        let high_watermark = self.high_watermark();
        let ends = segments.keys().skip(1).copied().chain([self.log_end_offset()]);
        let pairs = segments.values().cloned().zip(ends);
        // An empty segment at the log end has nothing to remove.
        let log_end = self.log_end_offset();
        let vacant = |segment: &Segment| segment.size() == 0 && segment.base_offset == log_end;
        pairs.take_while(|(segment, end)| *end <= high_watermark && !vacant(segment)).collect()
    }

    fn expired(&self, config: &LogConfig) -> Result<usize, LogError> {
        if config.retention_ms < 0 {
            return Ok(0);
        }
        let now = self.world.clock.wall_ms();
        let mut count = 0;
        for (segment, _) in self.removable() {
            let mut newest = segment.max_timestamp()?.timestamp;
            if newest < 0 {
                newest = self
                    .world
                    .disk
                    .modified_ms(segment.path())
                    .map_err(|error| segment.io("reading", error))?;
            }
            if now.saturating_sub(newest) <= config.retention_ms {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    fn oversized(&self, config: &LogConfig) -> usize {
        let Ok(limit) = u64::try_from(config.retention_bytes) else { return 0 };
        let mut excess = self.size().saturating_sub(limit);
        let mut count = 0;
        for (segment, _) in self.removable() {
            if segment.size() > excess {
                break;
            }
            excess -= segment.size();
            count += 1;
        }
        count
    }

    /// Removes the `count` oldest segments; the active one is never among them.
    fn remove_segments(&self, writer: &mut Writer, config: &LogConfig, count: usize) -> Result<(), LogError> {
        if count == 0 {
            return Ok(());
        }
        // The start moves first: who doesn't find a segment any more then knows that its offsets are gone.
        let first_kept = {
            let segments = self.segments.read();
            segments.keys().nth(count.min(segments.len() - 1)).copied()
        };
        let Some(first_kept) = first_kept else { return Ok(()) };
        self.raise_log_start(first_kept)?;
        let removed = {
            let mut segments = self.segments.write();
            let kept = segments.split_off(&first_kept);
            std::mem::replace(&mut *segments, kept)
        };
        for segment in removed.values() {
            self.doom_segment(writer, segment, config).map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    /// Forgets idle producers and gives back the memory of cached batches older than `cache_age_ms`.
    pub fn expire_memory(&self, cache_age_ms: u64) {
        let expiration = self.config().producer_id_expiration_ms;
        self.writer.lock().producers.expire(self.world.clock.wall_ms(), expiration);
        let now = self.world.clock.monotonic_ms();
        self.tail.lock().expire(now.saturating_sub(cache_age_ms));
    }
}
