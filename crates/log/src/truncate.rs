//! Taking back the end of a log: a follower that diverged, or one that starts over elsewhere.
//!
//! Invariant: what was taken back is durably gone before anything else is appended. If it came back behind newer batches when the
//! power goes, the log would pass for one of the newer epoch while it holds what an older leader wrote.
use crate::error::LogError;
use crate::partition_log::{Log, Writer};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Log {
    /// Removes everything at and behind `offset`; a batch that holds it goes as a whole. Returns the new log end.
    pub fn truncate_to(&self, offset: i64) -> Result<i64, LogError> {
        let mut writer = self.writer.lock();
        let _flushing = self.flushing.lock();
        self.check_open()?;
        if offset >= self.log_end_offset() {
            // A leader that appended nothing has left its epoch at the end, which the next leader does not know.
            self.forget_epochs_from(self.log_end_offset())?;
            return Ok(self.log_end_offset());
        }
        if offset <= self.log_start_offset()
            || self.segments.read().keys().next().is_none_or(|base| offset < *base)
        {
            let start = self.log_start_offset().min(offset);
            self.start_over(&mut writer, start).map_err(|error| self.fail(error))?;
            return Ok(self.log_end_offset());
        }
        self.cut(&mut writer, offset).map_err(|error| self.fail(error))?;
        Ok(self.log_end_offset())
    }

    fn cut(&self, writer: &mut Writer, offset: i64) -> Result<(), LogError> {
        writer.truncations += 1;
        let removed = {
            let mut segments = self.segments.write();
            let keep = segments.range(..=offset).next_back().map_or(offset, |(base, _)| *base);
            segments.split_off(&keep.saturating_add(1))
        };
        // The cache goes first: nobody may read there what the files don't hold.
        self.tail.lock().reset(offset);
        let config = self.config();
        // The last one goes first and their names are durably gone before the cut, so that a crash meanwhile leaves no hole.
        for segment in removed.values().rev() {
            self.doom_segment(writer, segment, &config)?;
        }
        if !removed.is_empty() {
            self.sync_dir()?;
        }
        let active = self.active();
        active.truncate_to(offset)?;
        active.sync(false)?;
        active.max_timestamp()?;
        // The log may start within the batch that went.
        self.set_end(active.next_offset()?.max(self.log_start_offset()))?;
        self.load_producers(writer)
    }

    /// Lowers the log end, and whatever can't lie behind it.
    fn set_end(&self, end: i64) -> Result<(), LogError> {
        self.log_end.store(end, Ordering::Release);
        self.flushed.fetch_min(end, Ordering::AcqRel);
        self.high_watermark.fetch_min(end, Ordering::AcqRel);
        self.tail.lock().reset(end);
        self.forget_epochs_from(end)
    }

    fn forget_epochs_from(&self, end: i64) -> Result<(), LogError> {
        let mut epochs = self.epochs.write();
        if epochs.truncate_from_end(end) { self.save_epochs(&epochs) } else { Ok(()) }
    }

    /// Removes everything and starts again at `offset`, as a follower whose position the leader no longer has.
    pub fn truncate_fully_and_start_at(&self, offset: i64) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        let _flushing = self.flushing.lock();
        self.check_open()?;
        self.start_over(&mut writer, offset).map_err(|error| self.fail(error))
    }

    fn start_over(&self, writer: &mut Writer, offset: i64) -> Result<(), LogError> {
        writer.truncations += 1;
        let config = self.config();
        self.tail.lock().reset(offset);
        let old: Vec<Arc<_>> = self.segments.read().values().cloned().collect();
        for segment in &old {
            self.doom_segment(writer, segment, &config)?;
        }
        let fresh = self.create_segment(&config, offset)?;
        self.sync_dir()?;
        *self.segments.write() = [(offset, fresh)].into();
        self.log_start.store(offset, Ordering::Release);
        self.high_watermark.store(offset, Ordering::Release);
        self.flushed.store(offset, Ordering::Release);
        self.log_end.store(offset, Ordering::Release);
        self.tail.lock().reset(offset);
        writer.producers.clear();
        self.update_first_unstable(writer);
        for snapshot in std::mem::take(&mut writer.snapshots) {
            self.remove_file(&crate::segment::FileKind::Producers.path(&self.dir, snapshot))?;
        }
        let mut epochs = self.epochs.write();
        epochs.clear();
        self.save_epochs(&epochs)
    }
}
