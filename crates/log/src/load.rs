//! Opening a partition's folder: leftovers of a crash, recovery of the unflushed tail, producers, epochs; and closing it.
//!
//! After a clean shutdown the files are trusted. After any other stop, every batch of the segments from the recovery
//! point on is checked, the log is cut behind the last good one, and the indexes of those segments are rebuilt.
use crate::epochs::LeaderEpochs;
use crate::error::LogError;
use crate::partition_log::{Log, LogOptions, Writer};
use crate::producer::Producers;
use crate::producer_snapshot;
use crate::scan::{HeaderScan, Step};
use crate::segment::{CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, SWAP_SUFFIX, Segment, with_suffix};
use crate::tail::TailCache;
use base::{OpenMode, World};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The file with the leader epochs.
pub(crate) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";
/// The largest producer snapshot that is read: over 6 million producers.
const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;
/// The largest epoch file that is read.
const EPOCHS_BYTES_MAX: u64 = 16 << 20;

impl Log {
    /// Opens or creates a partition's folder. That a new folder is there is the caller's to make durable, once for many of them.
    pub fn open(options: LogOptions) -> Result<Log, LogError> {
        let LogOptions { world, dir, .. } = &options;
        world.disk.create_dir_all(dir).map_err(|error| LogError::io("creating", dir, error))?;
        let stored_epochs = load_epochs(world, dir)?;
        let mut loader =
            Loader { options: &options, segments: BTreeMap::new(), epochs: stored_epochs.clone() };
        loader.finish_swaps()?;
        let snapshots = loader.find_files()?;
        loader.recover()?;
        let (segments, mut epochs) = (loader.segments, loader.epochs);
        let active = segments.last_key_value().map(|(_, segment)| segment.clone());
        let mut log_end = match &active {
            Some(active) => active.next_offset()?,
            None => options.log_start_offset.max(0),
        };
        let first = segments.first_key_value().map_or(log_end, |(base, _)| *base);
        let log_start = options.log_start_offset.max(first);
        let mut segments = segments;
        if log_start > log_end {
            // What was deleted up to the start offset is all that there was.
            for (base, _) in std::mem::take(&mut segments) {
                remove_segment_files(world, dir, base)?;
            }
            log_end = log_start;
        }
        // What only falls off at the ends falls off again at every start until something else is saved, so it is not worth a flush.
        let epochs_changed = epochs != stored_epochs;
        epochs.truncate_from_end(log_end);
        epochs.truncate_from_start(log_start);
        let flushed = if options.clean_shutdown { log_end } else { options.recovery_point.min(log_end) };
        let log = Log {
            dir: dir.clone(),
            partition: options.partition.clone(),
            writer: Mutex::new(Writer {
                producers: Producers::default(),
                snapshots,
                jitter_ms: 0,
                doomed: VecDeque::new(),
                truncations: 0,
            }),
            flushing: Mutex::new(()),
            cleaning: Mutex::new(()),
            segments: RwLock::new(segments),
            epochs: RwLock::new(epochs),
            epochs_unsaved: AtomicBool::new(false),
            tail: Mutex::new(TailCache::new(options.tail.clone(), log_end)),
            log_start: AtomicI64::new(log_start),
            log_end: AtomicI64::new(log_end),
            flushed: AtomicI64::new(flushed.max(0)),
            high_watermark: AtomicI64::new(options.high_watermark.clamp(log_start, log_end)),
            first_unstable: AtomicI64::new(i64::MAX),
            flushed_at_ms: AtomicU64::new(world.clock.monotonic_ms()),
            dir_changed: AtomicBool::new(true),
            offline: OnceLock::new(),
            closed: AtomicBool::new(false),
            config: RwLock::new(Arc::new(options.config)),
            world: options.world,
        };
        log.finish_opening(epochs_changed)?;
        if log.config().flush_messages < i64::MAX {
            // What the process before had not flushed when it ended will be served, and a producer that asks again gets its answer for it.
            log.flush()?;
        }
        Ok(log)
    }

    fn finish_opening(&self, epochs_changed: bool) -> Result<(), LogError> {
        let config = self.config();
        if self.segments.read().is_empty() {
            let fresh = self.create_segment(&config, self.log_end_offset())?;
            self.segments.write().insert(fresh.base_offset, fresh);
        }
        // Appending compares with the largest timestamp so far.
        self.active().max_timestamp()?;
        if epochs_changed {
            self.save_epochs(&self.epochs.read())?;
        }
        let mut writer = self.writer.lock();
        writer.jitter_ms = self.draw_jitter(&config);
        self.load_producers(&mut writer)?;
        // A node may open ten thousand logs at its start; most of them will be idle.
        self.segments.read().values().try_for_each(|segment| segment.release_indexes())
    }

    /// Rebuilds the producers from the newest good snapshot and the batches behind it. Also used after a truncation.
    pub(crate) fn load_producers(&self, writer: &mut Writer) -> Result<(), LogError> {
        let (log_start, log_end) = (self.log_start_offset(), self.log_end_offset());
        writer.producers.clear();
        let expiration = self.config().producer_id_expiration_ms;
        let mut from = log_start;
        for offset in std::mem::take(&mut writer.snapshots).into_iter().rev() {
            let path = FileKind::Producers.path(&self.dir, offset);
            if offset > log_end {
                self.remove_file(&path)?;
                continue;
            }
            writer.snapshots.insert(offset);
            if from > log_start || offset <= log_start {
                continue;
            }
            match self
                .world
                .disk
                .read_file(&path, SNAPSHOT_BYTES_MAX)
                .map_err(|error| error.to_string())
                .and_then(|content| producer_snapshot::decode(&content))
            {
                Ok(entries) => {
                    for (id, entry) in entries {
                        writer.producers.restore(id, entry);
                    }
                    from = offset;
                }
                Err(reason) => {
                    tracing::warn!(file = %path.display(), reason, "ignoring a producer snapshot");
                    writer.snapshots.remove(&offset);
                    self.remove_file(&path)?;
                }
            }
        }
        self.replay_producers(writer, from, log_end)?;
        self.remove_stray_snapshots(writer)?;
        writer.producers.expire(self.world.clock.wall_ms(), expiration);
        self.update_first_unstable(writer);
        Ok(())
    }

    /// Of the snapshots that were written at a shutdown, only the newest is of use; those of segments stay with them.
    fn remove_stray_snapshots(&self, writer: &mut Writer) -> Result<(), LogError> {
        let newest = writer.snapshots.last().copied();
        let segments = self.segments.read();
        let (kept, stray) = std::mem::take(&mut writer.snapshots)
            .into_iter()
            .partition(|offset| Some(*offset) == newest || segments.contains_key(offset));
        writer.snapshots = kept;
        let stray: BTreeSet<i64> = stray;
        stray.iter().try_for_each(|offset| self.remove_file(&FileKind::Producers.path(&self.dir, *offset)))
    }

    fn replay_producers(&self, writer: &mut Writer, from: i64, log_end: i64) -> Result<(), LogError> {
        if from >= log_end {
            return Ok(());
        }
        for segment in self.segments_from(from) {
            let mut scan = segment.headers_from(from.max(segment.base_offset))?;
            while let Step::Found(found) = scan.step().map_err(|error| segment.io("reading", error))? {
                if found.header.last_offset() < from || !found.header.has_producer_id() {
                    continue;
                }
                let bytes = segment.read(found.position, found.header.size())?;
                match crate::batch::Batch::parse_one(&bytes) {
                    Ok(batch) => writer.producers.apply(&batch),
                    Err(fault) => return Err(LogError::corrupt(segment.path(), found.position, fault)),
                }
            }
        }
        Ok(())
    }

    pub(crate) fn remove_file(&self, path: &Path) -> Result<(), LogError> {
        remove_file(&self.world, path)
    }

    /// Flushes everything, completes the indexes and writes the producers, so that the next start can trust the files.
    /// The log refuses everything afterwards.
    pub fn close(&self) -> Result<(), LogError> {
        self.check_open()?;
        let mut writer = self.writer.lock();
        let log_end = self.log_end_offset();
        self.active().seal().map_err(|error| self.fail(error))?;
        self.write_producer_snapshot(&mut writer, log_end).map_err(|error| self.fail(error))?;
        let path = FileKind::Producers.path(&self.dir, log_end);
        self.world
            .disk
            .open(&path, OpenMode::ReadWrite)
            .and_then(|file| file.sync_data())
            .map_err(|error| self.fail(LogError::io("flushing", &path, error)))?;
        drop(writer);
        self.flush()?;
        self.active().sync(true).map_err(|error| self.fail(error))?;
        self.sync_dir().map_err(|error| self.fail(error))?;
        self.closed.store(true, Ordering::Release);
        self.tail.lock().reset(log_end);
        Ok(())
    }

    /// Closes a log whose files are about to be removed: nothing of it has to last. The log refuses everything afterwards.
    pub fn discard(&self) {
        let _writer = self.writer.lock();
        let _flushing = self.flushing.lock();
        self.closed.store(true, Ordering::Release);
        self.tail.lock().reset(self.log_end_offset());
    }
}

fn remove_file(world: &World, path: &Path) -> Result<(), LogError> {
    match world.disk.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LogError::io("removing", path, error))
        }
        _ => Ok(()),
    }
}

fn remove_segment_files(world: &World, dir: &Path, base: i64) -> Result<(), LogError> {
    FileKind::ALL.into_iter().try_for_each(|kind| remove_file(world, &kind.path(dir, base)))
}

fn load_epochs(world: &World, dir: &Path) -> Result<LeaderEpochs, LogError> {
    let path = dir.join(EPOCHS_FILE);
    if !world.disk.exists(&path) {
        return Ok(LeaderEpochs::default());
    }
    let content = world
        .disk
        .read_file(&path, EPOCHS_BYTES_MAX)
        .map_err(|error| LogError::io("reading", &path, error))?;
    let text = String::from_utf8(content).map_err(|error| LogError::bad_file(&path, error))?;
    LeaderEpochs::decode(&text).map_err(|reason| LogError::bad_file(&path, reason))
}

/// A folder that is being opened.
struct Loader<'a> {
    options: &'a LogOptions,
    segments: BTreeMap<i64, Arc<Segment>>,
    epochs: LeaderEpochs,
}

impl Loader<'_> {
    fn names(&self) -> Result<Vec<(PathBuf, String)>, LogError> {
        let dir = &self.options.dir;
        let entries =
            self.options.world.disk.read_dir(dir).map_err(|error| LogError::io("listing", dir, error))?;
        let named = |path: PathBuf| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((path, name))
        };
        Ok(entries.into_iter().filter(|entry| !entry.is_dir).filter_map(|entry| named(entry.path)).collect())
    }

    /// Removes unfinished files, and completes compactions whose result was whole when the process stopped.
    fn finish_swaps(&self) -> Result<(), LogError> {
        let (world, dir) = (&self.options.world, &self.options.dir);
        let mut results = Vec::new();
        let mut changed = false;
        for (path, name) in self.names()? {
            if name.ends_with(DELETED_SUFFIX) || name.ends_with(CLEANED_SUFFIX) || name.ends_with(".tmp") {
                remove_file(world, &path)?;
                changed = true;
            } else if let Some(inner) = name.strip_suffix(SWAP_SUFFIX) {
                match FileKind::parse(inner) {
                    Some((FileKind::Log, base)) => results.push(base),
                    // The producers' snapshot of a segment that was being replaced still holds.
                    Some((FileKind::Producers, base)) => {
                        let target = FileKind::Producers.path(dir, base);
                        world
                            .disk
                            .rename(&path, &target)
                            .map_err(|error| LogError::io("renaming", &path, error))?;
                    }
                    // Indexes are rebuilt.
                    Some(_) => remove_file(world, &path)?,
                    None => {}
                }
            }
        }
        changed |= !results.is_empty();
        for base in results {
            self.finish_swap(base)?;
        }
        if !changed {
            return Ok(());
        }
        world.disk.sync_dir(dir).map_err(|error| LogError::io("flushing", dir, error))
    }

    fn finish_swap(&self, base: i64) -> Result<(), LogError> {
        let (world, dir) = (&self.options.world, &self.options.dir);
        let target = FileKind::Log.path(dir, base);
        let source = with_suffix(&target, SWAP_SUFFIX);
        let open = |error| LogError::io("opening", &source, error);
        let file = world.disk.open(&source, OpenMode::Read).map_err(open)?;
        let mut scan = HeaderScan::new(&*file, 0, file.length().map_err(open)?);
        let mut next = base + 1;
        while let Step::Found(found) = scan.step().map_err(open)? {
            next = found.header.next_offset();
        }
        for (path, name) in self.names()? {
            if let Some((kind, other)) = FileKind::parse(&name)
                && (base..next).contains(&other)
                && (kind != FileKind::Producers || other != base)
            {
                remove_file(world, &path)?;
            }
        }
        world.disk.rename(&source, &target).map_err(|error| LogError::io("renaming", &source, error))
    }

    /// Opens the segments; removes files that belong to none. Returns the offsets of producer snapshots.
    fn find_files(&mut self) -> Result<BTreeSet<i64>, LogError> {
        let (world, dir) = (&self.options.world, &self.options.dir);
        let files: Vec<_> =
            self.names()?.into_iter().filter_map(|(_, name)| FileKind::parse(&name)).collect();
        for (kind, base) in &files {
            if *kind == FileKind::Log {
                self.segments.insert(*base, Arc::new(Segment::open(world, dir, *base, "")?));
            }
        }
        let mut snapshots = BTreeSet::new();
        for (kind, base) in &files {
            match kind {
                FileKind::Log => {}
                FileKind::Producers => {
                    snapshots.insert(*base);
                }
                _ if !self.segments.contains_key(base) => remove_file(world, &kind.path(dir, *base))?,
                _ => {}
            }
        }
        Ok(snapshots)
    }

    /// Checks what can't be trusted.
    fn recover(&mut self) -> Result<(), LogError> {
        let bases: Vec<i64> = self.segments.keys().copied().collect();
        for (position, base) in bases.iter().enumerate() {
            let segment = self.segments[base].clone();
            let unflushed = !self.options.clean_shutdown
                && bases.get(position + 1).is_none_or(|next| *next > self.options.recovery_point);
            if !unflushed && self.indexes_are_sane(&segment)? {
                continue;
            }
            let epochs = &mut self.epochs;
            let cut = segment.recover(self.options.config.index_interval_bytes, |batch| {
                let header = batch.header();
                if epochs.latest().is_none_or(|latest| header.partition_leader_epoch > latest.epoch) {
                    epochs.assign(header.partition_leader_epoch, header.base_offset);
                }
            })?;
            let later = &bases[position + 1..];
            if cut > 0 {
                self.remove_behind_damage(later)?;
                segment.cut_tail()?;
            }
            if !later.is_empty() {
                segment.seal()?;
            }
            if cut > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Nothing behind damage can be trusted: offsets would have a hole that was never compacted. The segments go before the damage does,
    /// the last one first, so that a crash meanwhile leaves the damage to be found again rather than a hole that looks like a whole log.
    fn remove_behind_damage(&mut self, bases: &[i64]) -> Result<(), LogError> {
        let LogOptions { world, dir, partition, .. } = self.options;
        for base in bases.iter().rev() {
            tracing::warn!(%partition, segment = base, "removing a segment behind damage");
            self.segments.remove(base);
            remove_segment_files(world, dir, *base)?;
        }
        if bases.is_empty() {
            return Ok(());
        }
        world.disk.sync_dir(dir).map_err(|error| LogError::io("flushing", dir, error))
    }

    fn indexes_are_sane(&self, segment: &Segment) -> Result<bool, LogError> {
        let disk = &self.options.world.disk;
        if !disk.exists(segment.offset_index.path()) || !disk.exists(segment.time_index.path()) {
            return Ok(false);
        }
        let read = |error| segment.io("reading the index of", error);
        let sane = segment.offset_index.length_is_sane().map_err(read)?
            && segment.time_index.length_is_sane().map_err(read)?;
        let last = segment.offset_index.last().map_err(read)?;
        Ok(sane && last.is_none_or(|entry| u64::from(entry.position) < segment.size()))
    }
}
