//! Compaction: of every key, only the latest record stays, at its own offset.
//!
//! A cleaning reads the keys of the dirty part into a map, then rewrites all segments before its end, several small ones
//! into one, and swaps the results in. What it keeps: tombstones until their delete horizon (KIP-534), control records,
//! and the last batch of every active producer even if nothing is left in it. Never touched: the active segment,
//! anything at or behind the last stable offset, and records younger than `min.compaction.lag.ms`.
//!
//! Crash safety: results are written as `.cleaned`, which a restart throws away; made durable; renamed to `.swap`, from
//! which on a restart completes the swap.
use crate::batch::Batch;
use crate::builder::BatchBuilder;
use crate::compression::{Codec, Compression};
use crate::config::LogConfig;
use crate::error::LogError;
use crate::header::{BatchHeader, CONTROL_BIT, LOG_APPEND_TIME_BIT, TRANSACTIONAL_BIT};
use crate::offset_map::OffsetMap;
use crate::partition_log::{Log, Writer};
use crate::records::{RecordView, Scratch};
use crate::scan::Step;
use crate::segment::{CLEANED_SUFFIX, FileKind, SWAP_SUFFIX, Segment, with_suffix};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of rewritten batches that are written together.
const WRITE_BYTES: usize = 1 << 20;

/// What a log has for compaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cleanable {
    /// The first offset that compaction has not seen.
    pub first_dirty: i64,
    /// The first offset that it must not touch yet.
    pub first_uncleanable: i64,
    /// Bytes before `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes between the two offsets.
    pub cleanable_bytes: u64,
    /// Whether `max.compaction.lag.ms` has passed for something of it.
    pub overdue: bool,
}

impl Cleanable {
    /// The share of dirty bytes, from 0 to 1.
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether `min.cleanable.dirty.ratio` or `max.compaction.lag.ms` asks for a cleaning.
    pub fn is_due(&self, config: &LogConfig) -> bool {
        self.cleanable_bytes > 0 && (self.overdue || self.ratio() > config.min_cleanable_dirty_ratio)
    }
}

/// What a cleaning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// Where the next cleaning begins, for the checkpoint [`crate::Checkpoint::Cleaner`].
    pub first_dirty: i64,
    /// Bytes of the rewritten segments before.
    pub bytes_before: u64,
    /// Bytes of the results.
    pub bytes_after: u64,
    /// Records that were removed.
    pub records_removed: u64,
}

/// What decides over a record while segments are rewritten.
struct Judge {
    map: OffsetMap,
    now_ms: i64,
    delete_retention_ms: i64,
    /// Last data offset of every active producer.
    producers: HashMap<i64, i64>,
    removed: u64,
}

impl Log {
    /// What there is to compact. `checkpoint` is where the last cleaning ended.
    pub fn cleanable(&self, checkpoint: Option<i64>) -> Result<Cleanable, LogError> {
        self.check_open()?;
        let config = self.config();
        let stable = self.last_stable_offset();
        let now = self.world.clock.wall_ms();
        let segments: Vec<Arc<Segment>> = self.segments.read().values().cloned().collect();
        let active = segments.last().map_or(0, |segment| segment.base_offset);
        let start = self.log_start_offset();
        // A checkpoint outside of the log is from before a truncation or deletion.
        let first_dirty = checkpoint.filter(|offset| (start..=active).contains(offset)).unwrap_or(start);
        let mut first_uncleanable = active.min(stable);
        let mut cleanable =
            Cleanable { first_dirty, first_uncleanable, clean_bytes: 0, cleanable_bytes: 0, overdue: false };
        for (position, segment) in segments.iter().enumerate() {
            let end = segments.get(position + 1).map_or(i64::MAX, |next| next.base_offset);
            if end <= first_dirty {
                cleanable.clean_bytes += segment.size();
                continue;
            }
            let lag = config.min_compaction_lag_ms;
            if lag > 0 && segment.max_timestamp()?.timestamp > now.saturating_sub(lag) {
                first_uncleanable = first_uncleanable.min(segment.base_offset);
            }
            if segment.base_offset >= first_uncleanable {
                break;
            }
            cleanable.cleanable_bytes += segment.size();
            let oldest = segment.first_timestamp()?;
            cleanable.overdue |= config.max_compaction_lag_ms < i64::MAX
                && oldest.is_some_and(|oldest| oldest < now.saturating_sub(config.max_compaction_lag_ms));
        }
        cleanable.first_uncleanable = first_uncleanable.max(first_dirty);
        Ok(cleanable)
    }

    /// Compacts up to `dirty.first_uncleanable`, or as far as `dedupe_bytes` of memory reach. Appends and reads go on
    /// meanwhile; a truncation or deletion of the segments at hand makes it give up without a change.
    pub fn clean(&self, dirty: &Cleanable, dedupe_bytes: u64) -> Result<Cleaned, LogError> {
        let _cleaning = self.cleaning.lock();
        self.check_open()?;
        let config = self.config();
        let truncations = self.writer.lock().truncations;
        let mut judge = Judge {
            map: self.build_map(dirty, dedupe_bytes)?,
            now_ms: self.world.clock.wall_ms(),
            delete_retention_ms: config.delete_retention_ms,
            producers: self.active_producers(),
            removed: 0,
        };
        let end = judge.map.latest() + 1;
        let mut cleaned =
            Cleaned { first_dirty: dirty.first_dirty, bytes_before: 0, bytes_after: 0, records_removed: 0 };
        if end <= dirty.first_dirty {
            return Ok(cleaned);
        }
        for group in self.group_segments(end, &config) {
            cleaned.bytes_before += group.iter().map(|segment| segment.size()).sum::<u64>();
            let Some(size) = self.clean_group(&group, &mut judge, &config, truncations)? else {
                return Ok(cleaned);
            };
            cleaned.bytes_after += size;
        }
        cleaned.first_dirty = end;
        cleaned.records_removed = judge.removed;
        Ok(cleaned)
    }

    fn active_producers(&self) -> HashMap<i64, i64> {
        let writer = self.writer.lock();
        let entries = writer.producers.entries().iter();
        entries.filter_map(|(id, entry)| Some((*id, entry.batches.back()?.last_offset))).collect()
    }

    /// Reads the keys of the dirty part.
    fn build_map(&self, dirty: &Cleanable, dedupe_bytes: u64) -> Result<OffsetMap, LogError> {
        let mut map = OffsetMap::new(dedupe_bytes);
        for segment in self.segments_from(dirty.first_dirty) {
            if segment.base_offset >= dirty.first_uncleanable {
                break;
            }
            let mut scan = segment.batches();
            while let Step::Found((position, batch)) =
                scan.step().map_err(|error| segment.io("reading", error))?
            {
                let header = batch.header();
                if header.last_offset() < dirty.first_dirty {
                    continue;
                }
                if header.base_offset >= dirty.first_uncleanable {
                    return Ok(map);
                }
                if !header.is_control()
                    && !map_batch(&mut map, &segment, position, &batch, dirty.first_dirty)?
                {
                    return Ok(map);
                }
                map.set_latest(header.last_offset());
            }
        }
        Ok(map)
    }

    /// Segments that lie wholly before `end` or begin there, in groups that fit a segment of the current settings.
    fn group_segments(&self, end: i64, config: &LogConfig) -> Vec<Vec<Arc<Segment>>> {
        let segments: Vec<Arc<Segment>> = self.segments.read().values().cloned().collect();
        let candidates = segments.len().saturating_sub(1);
        let mut groups: Vec<Vec<Arc<Segment>>> = Vec::new();
        let mut size = 0;
        for (position, segment) in segments.iter().take(candidates).enumerate() {
            if segment.base_offset >= end {
                break;
            }
            let last = segments[position + 1].base_offset - 1;
            size += segment.size();
            match groups.last_mut() {
                Some(group) if size <= config.segment_bytes && group[0].covers(last) => {
                    group.push(segment.clone())
                }
                _ => {
                    size = segment.size();
                    groups.push(vec![segment.clone()]);
                }
            }
        }
        groups
    }

    /// Rewrites a group into one segment and swaps it in; `None` if the group changed meanwhile.
    fn clean_group(
        &self,
        group: &[Arc<Segment>],
        judge: &mut Judge,
        config: &LogConfig,
        truncations: u64,
    ) -> Result<Option<u64>, LogError> {
        let base = group[0].base_offset;
        let result = Segment::create(&self.world, &self.dir, base, CLEANED_SUFFIX, None)?;
        let mut pending = Vec::new();
        let mut pending_bytes = 0;
        for segment in group {
            let mut scan = segment.batches();
            while let Step::Found((position, batch)) =
                scan.step().map_err(|error| segment.io("reading", error))?
            {
                let Some(kept) = judge.filter(segment, position, batch)? else { continue };
                pending_bytes += kept.size();
                pending.push(kept);
                if pending_bytes >= WRITE_BYTES {
                    result.append(&pending, config.index_interval_bytes)?;
                    pending.clear();
                    pending_bytes = 0;
                }
            }
        }
        if !pending.is_empty() {
            result.append(&pending, config.index_interval_bytes)?;
        }
        result.seal()?;
        result.sync(true)?;
        let mut writer = self.writer.lock();
        if writer.truncations != truncations || !self.still_has(group) {
            for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
                self.remove_file(&with_suffix(&kind.path(&self.dir, base), CLEANED_SUFFIX))?;
            }
            return Ok(None);
        }
        let size = result.size();
        drop(result);
        self.swap(&mut writer, group, config).map_err(|error| self.fail(error))?;
        Ok(Some(size))
    }

    fn still_has(&self, group: &[Arc<Segment>]) -> bool {
        let segments = self.segments.read();
        group.iter().all(|segment| {
            segments.get(&segment.base_offset).is_some_and(|current| Arc::ptr_eq(current, segment))
        })
    }

    /// Puts the result for `group` in its place.
    fn swap(&self, writer: &mut Writer, group: &[Arc<Segment>], config: &LogConfig) -> Result<(), LogError> {
        let base = group[0].base_offset;
        let rename = |kind: FileKind, from: &str, to: &str| {
            let path = kind.path(&self.dir, base);
            let source = with_suffix(&path, from);
            let renamed = self.world.disk.rename(&source, &with_suffix(&path, to));
            renamed.map_err(|error| LogError::io("renaming", &source, error))
        };
        let sync_dir = || {
            self.world.disk.sync_dir(&self.dir).map_err(|error| LogError::io("flushing", &self.dir, error))
        };
        // The log file last: with it under the name .swap, a restart takes the result for whole.
        let kinds = [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log];
        sync_dir()?;
        kinds.into_iter().try_for_each(|kind| rename(kind, CLEANED_SUFFIX, SWAP_SUFFIX))?;
        sync_dir()?;
        let keep_producers = writer.snapshots.contains(&base);
        let snapshot = FileKind::Producers.path(&self.dir, base);
        let kept = with_suffix(&snapshot, SWAP_SUFFIX);
        if keep_producers {
            self.world
                .disk
                .rename(&snapshot, &kept)
                .map_err(|error| LogError::io("renaming", &snapshot, error))?;
        }
        for segment in group {
            self.doom_segment(writer, segment, config)?;
        }
        if keep_producers {
            self.world
                .disk
                .rename(&kept, &snapshot)
                .map_err(|error| LogError::io("renaming", &kept, error))?;
            writer.snapshots.insert(base);
        }
        kinds.into_iter().try_for_each(|kind| rename(kind, SWAP_SUFFIX, ""))?;
        sync_dir()?;
        let fresh = Arc::new(Segment::open(&self.world, &self.dir, base, "")?);
        let mut segments = self.segments.write();
        for segment in group {
            segments.remove(&segment.base_offset);
        }
        segments.insert(base, fresh);
        Ok(())
    }
}

fn corrupt(segment: &Segment, position: u64, reason: impl ToString) -> LogError {
    LogError::corrupt(segment.path(), position, reason)
}

/// Enters a batch's keys; false if the map is full.
fn map_batch(
    map: &mut OffsetMap,
    segment: &Segment,
    position: u64,
    batch: &Batch,
    from: i64,
) -> Result<bool, LogError> {
    let mut scratch = Scratch::new();
    for record in batch.records(&mut scratch).map_err(|fault| corrupt(segment, position, fault))? {
        let record = record.map_err(|fault| corrupt(segment, position, fault))?;
        if record.offset >= from
            && let Some(key) = record.key
            && !map.put(key, record.offset)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Judge {
    /// What stays of a batch: all of it, a batch with fewer records, an empty one, or nothing.
    fn filter(&mut self, segment: &Segment, position: u64, batch: Batch) -> Result<Option<Batch>, LogError> {
        let header = *batch.header();
        if header.base_offset > self.map.latest() || header.is_control() {
            return Ok(Some(batch));
        }
        let mut scratch = Scratch::new();
        let mut kept = Vec::new();
        let mut tombstones = false;
        let mut seen = 0;
        for record in batch.records(&mut scratch).map_err(|fault| corrupt(segment, position, fault))? {
            let record = record.map_err(|fault| corrupt(segment, position, fault))?;
            seen += 1;
            if self.keeps(&header, &record) {
                tombstones |= record.value.is_none();
                kept.push(record);
            }
        }
        self.removed += seen - kept.len() as u64;
        if kept.is_empty() {
            return Ok(self.is_last_of_producer(&header).then(|| empty_batch(&header)));
        }
        let horizon = match header.delete_horizon_ms() {
            None if tombstones => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            horizon => horizon,
        };
        if kept.len() as u64 == seen && horizon == header.delete_horizon_ms() {
            return Ok(Some(batch.clone()));
        }
        rebuild(&header, &kept, horizon).map(Some).map_err(|error| corrupt(segment, position, error))
    }

    fn keeps(&self, header: &BatchHeader, record: &RecordView<'_>) -> bool {
        if record.offset > self.map.latest() {
            return true;
        }
        // A record without a key has no place in a compacted log; it may be from before the policy was set.
        let Some(key) = record.key else { return false };
        let latest = self.map.get(key).is_none_or(|newest| record.offset >= newest);
        let lasting =
            record.value.is_some() || header.delete_horizon_ms().is_none_or(|horizon| self.now_ms < horizon);
        latest && lasting
    }

    /// Whether the batch holds what its producer's state is restored from.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        header.has_producer_id() && self.producers.get(&header.producer_id) == Some(&header.last_offset())
    }
}

/// The batch's header without its records: offsets and sequences stay.
fn empty_batch(header: &BatchHeader) -> Batch {
    let kept_bits = LOG_APPEND_TIME_BIT | TRANSACTIONAL_BIT | CONTROL_BIT;
    let header = BatchHeader {
        attributes: header.attributes & kept_bits,
        base_timestamp: header.max_timestamp,
        record_count: 0,
        ..*header
    };
    Batch::assemble(header, Bytes::new())
}

fn rebuild(
    header: &BatchHeader,
    records: &[RecordView<'_>],
    horizon: Option<i64>,
) -> Result<Batch, crate::builder::BuildError> {
    let codec = header.codec().unwrap_or(Codec::None);
    let mut builder = BatchBuilder::new(header.base_offset)
        .leader_epoch(header.partition_leader_epoch)
        .compression(Compression::new(codec))
        .producer(header.producer_id, header.producer_epoch, header.base_sequence)
        .last_offset(header.last_offset());
    if header.is_transactional() {
        builder = builder.transactional();
    }
    if header.is_log_append_time() {
        builder = builder.append_time(header.max_timestamp);
    }
    if let Some(horizon) = horizon {
        builder = builder.delete_horizon(horizon);
    }
    for record in records {
        builder.append_view(record)?;
    }
    builder.build()
}
