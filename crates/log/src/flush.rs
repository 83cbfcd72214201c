//! Making appended batches durable, apart from appending.
//!
//! One `fdatasync` covers everything that was appended before it began. The active segment's indexes are left out: after
//! a crash they are rebuilt, because the recovery point never passes them.
use crate::config::LogConfig;
use crate::error::LogError;
use crate::partition_log::Log;
use crate::segment::FileKind;
use base::OpenMode;
use std::sync::atomic::Ordering;

impl Log {
    /// Makes everything durable that is appended now. Returns the flushed offset.
    pub fn flush(&self) -> Result<i64, LogError> {
        self.flush_until(i64::MAX)
    }

    /// Makes all segments but the active one durable: due when an append has begun a new one.
    pub fn flush_rolled(&self) -> Result<i64, LogError> {
        self.flush_until(self.active().base_offset)
    }

    fn flush_until(&self, limit: i64) -> Result<i64, LogError> {
        let _flushing = self.flushing.lock();
        self.check_open()?;
        self.save_begun_epochs()?;
        let from = self.flushed_offset();
        let target = self.log_end_offset().min(limit);
        if target > from {
            self.sync_range(from, target).map_err(|error| self.fail(error))?;
            self.flushed.fetch_max(target, Ordering::AcqRel);
        }
        self.flushed_at_ms.store(self.world.clock.monotonic_ms(), Ordering::Release);
        Ok(self.flushed_offset())
    }

    fn sync_range(&self, from: i64, target: i64) -> Result<(), LogError> {
        let active = self.active().base_offset;
        let cached = self.config().page_cache_bytes;
        // The segment before may have been closed since its content was flushed; then its indexes are still due.
        for segment in self.segments_from(from.saturating_sub(1)) {
            if segment.base_offset < target {
                segment.sync(segment.base_offset < active)?;
                segment.forget_all_but(cached);
            }
        }
        self.sync_new_files(from)
    }

    /// Makes new files' names durable, and the producer snapshots that came with them.
    fn sync_new_files(&self, from: i64) -> Result<(), LogError> {
        if !self.dir_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let snapshots: Vec<i64> = self.segments.read().range(from..).map(|(base, _)| *base).collect();
        for offset in snapshots {
            let path = FileKind::Producers.path(&self.dir, offset);
            if self.world.disk.exists(&path) {
                self.world
                    .disk
                    .open(&path, OpenMode::ReadWrite)
                    .and_then(|file| file.sync_data())
                    .map_err(|error| LogError::io("flushing", &path, error))?;
            }
        }
        self.sync_dir()
    }

    /// Makes durable which files there are.
    pub(crate) fn sync_dir(&self) -> Result<(), LogError> {
        self.world.disk.sync_dir(&self.dir).map_err(|error| LogError::io("flushing", &self.dir, error))
    }

    /// `flush.messages`.
    pub(crate) fn flush_after_append(&self, config: &LogConfig) -> Result<(), LogError> {
        if self.log_end_offset() - self.flushed_offset() >= config.flush_messages {
            self.flush()?;
        }
        Ok(())
    }

    /// `flush.ms`: flushes if something waits and the last flush is that long ago.
    pub fn flush_if_due(&self) -> Result<(), LogError> {
        let age = self.world.clock.monotonic_ms().saturating_sub(self.flushed_at_ms.load(Ordering::Acquire));
        let due = age as i64 >= self.config().flush_ms;
        if due && self.log_end_offset() > self.flushed_offset() {
            self.flush()?;
        }
        Ok(())
    }
}
