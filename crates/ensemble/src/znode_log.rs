//! The second seam: the log of znode transactions, as the ensemble uses it. Embedded, it is a partition log with snapshots beside it.
//!
//! Invariants: the log never starts behind the newest snapshot's end, so that head and tail always join; only whole segments
//! below the oldest kept snapshot are removed; readers below the log's start are served from that snapshot; a node that must start
//! over takes one with `snapCount` offsets of the log behind it, so that every replica holds that much of the change feed.
use crate::control;
use crate::records::SnapshotRecord;
use crate::snapshot::{self, SnapshotFile, SnapshotWriter, Summary};
use base::{Disk, World};
use bytes::Bytes;
use log::{
    Batch, CleanupPolicy, Log, LogConfig, LogError, LogOptions, ReadLimits, TailBudget, TopicPartition,
};
use parking_lot::{Mutex, RwLock};
use quorum::{LogOffset, LogView, VoterSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of the tail is kept in memory for readers: a few thousand transactions. Whoever is further behind reads the page cache.
const TAIL_CACHE_BYTES: u64 = 1 << 20;
/// How much of the log's file is filled with zeros ahead, so that most flushes only write over what is there.
const ZERO_FILL_BYTES: u64 = 1 << 20;
/// A snapshot that was read this short a time ago is still being read, by a joining node or by a consumer of the head.
const SNAPSHOT_READ_MS: u64 = 10_000;
/// How many snapshots are kept beyond the configured number because they are being read.
const SNAPSHOTS_SPARED_MAX: usize = 3;
/// How much is read at once to find the voter sets at start.
const SCAN_BYTES: usize = 4 << 20;
/// The file that says that flushed entries were lost.
const DAMAGE_MARK: &str = ".zoolog_damaged";
/// The file that notes up to where the log was flushed.
const FLUSHED_MARK: &str = ".zoolog_flushed";
/// It holds one number.
const FLUSHED_MARK_BYTES_MAX: u64 = 64;
/// How much of what is flushed the system keeps in its memory, for replicas and consumers that are a little behind. The tree holds the
/// content, so that more would only take memory from the partitions; and new pages for every write cost more than writing into them.
const PAGE_CACHE_BYTES: u64 = 16 << 20;
/// The folder of the topic's only partition.
const FOLDER: &str = "__znodes-0";

/// What the tree is restored from.
pub(crate) enum Restoring {
    /// A snapshot begins; what came before it was of a damaged one.
    Anew,
    Record(SnapshotRecord),
}

/// The log and its snapshots.
pub(crate) struct ZnodeLog {
    world: World,
    dir: PathBuf,
    log: Log,
    /// Oldest first.
    snapshots: RwLock<Vec<Arc<SnapshotFile>>>,
    /// Held while the flushed offset is noted.
    noting: Mutex<()>,
    /// How many offsets of the log a node that starts over is to have behind its snapshot.
    history: i64,
    /// Bytes that the log held at the start and that were appended since.
    appended: AtomicU64,
}

impl ZnodeLog {
    /// Opens the log below `dir` and hands the newest whole snapshot to `restore`. A damaged snapshot is set aside: the log tells again what
    /// followed an older one.
    pub(crate) fn open(
        world: World,
        dir: &Path,
        segment_bytes: u32,
        history: u64,
        restore: impl FnMut(Restoring) -> io::Result<()>,
    ) -> io::Result<ZnodeLog> {
        let (parent, dir) = (dir, dir.join(FOLDER));
        world.disk.create_dir_all(&dir)?;
        // Each time, because whoever made it may have been killed before this.
        world.disk.sync_dir(parent)?;
        let Found { whole: snapshots, damaged } = find_snapshots(&*world.disk, &dir, restore)?;
        let end = snapshots.last().map_or(LogOffset::default(), |snapshot| snapshot.end);
        let log = Log::open(LogOptions {
            world: world.clone(),
            dir: dir.clone(),
            partition: TopicPartition::new(crate::ZNODES_TOPIC, 0),
            config: log_config(segment_bytes),
            // Even after a clean stop everything behind the newest snapshot is checked, because a disk can lose bits at rest.
            clean_shutdown: false,
            recovery_point: end.offset,
            log_start_offset: 0,
            high_watermark: 0,
            tail: TailBudget::new(TAIL_CACHE_BYTES, TAIL_CACHE_BYTES),
        })
        .map_err(io::Error::other)?;
        let recovered = log.log_end_offset();
        if recovered < end.offset {
            log.truncate_fully_and_start_at(end.offset).map_err(io::Error::other)?;
        }
        if log.log_start_offset() > end.offset {
            let message = format!(
                "__znodes starts at offset {} but its newest whole snapshot ends at {}; the part between is missing. If the other nodes \
                 have it, give this one an empty data folder",
                log.log_start_offset(),
                end.offset
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        log.flush().map_err(io::Error::other)?;
        let appended = AtomicU64::new(log.size());
        let history = i64::try_from(history).unwrap_or(i64::MAX);
        let snapshots = RwLock::new(snapshots);
        let znode_log = ZnodeLog { world, dir, log, snapshots, noting: Mutex::new(()), history, appended };
        // What a snapshot covers was flushed before the snapshot was, so that even a damaged one tells how far the log went.
        let covered = damaged.iter().filter_map(|path| snapshot::end_of(path)).map(|end| end.offset);
        znode_log.look_for_damage(recovered, covered.fold(end.offset, i64::max))?;
        for path in damaged {
            snapshot::set_aside(&*znode_log.world.disk, &path)?;
        }
        Ok(znode_log)
    }

    /// Recovery cuts the log at the first batch that it can't read. If that lies below what is known to have been flushed, it was no
    /// torn write: acknowledged entries are gone, and the quorum must know.
    /// A log that ends below its newest snapshot lost flushed entries too, and nobody knows what was behind the snapshot. (A crash between
    /// receiving a snapshot and starting over from it looks the same; then everything is fetched again, which does no harm.)
    fn look_for_damage(&self, recovered: i64, snapshot_end: i64) -> io::Result<()> {
        let flushed = self.noted_flushed()?.unwrap_or(0).max(snapshot_end);
        if recovered < flushed {
            tracing::error!(
                end = recovered,
                flushed,
                "__znodes lost entries that were flushed; the disk is damaged"
            );
            self.note_damage()?;
            self.note_flushed()?;
        }
        Ok(())
    }

    fn noted_flushed(&self) -> io::Result<Option<i64>> {
        let mark = self.dir.join(FLUSHED_MARK);
        if !self.world.disk.exists(&mark) {
            return Ok(None);
        }
        let content = self.world.disk.read_file(&mark, FLUSHED_MARK_BYTES_MAX)?;
        let noted = std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok());
        let unreadable =
            || io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no offset", mark.display()));
        noted.map(Some).ok_or_else(unreadable)
    }

    /// Notes durably what is flushed, by which the next start tells damage from a torn write. Called now and then: what was
    /// flushed since the last time looks like a torn write if it is damaged.
    pub(crate) fn note_flushed(&self) -> io::Result<()> {
        // Two writers would take away each other's file, and an older offset must not follow one that a truncation has lowered.
        let _alone = self.noting.lock();
        let content = self.flushed().to_string();
        self.world.disk.write_file_atomic(&self.dir.join(FLUSHED_MARK), content.as_bytes())
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends batches that carry their offsets; not flushed yet.
    pub(crate) fn append(&self, batches: &[Batch]) -> Result<(), LogError> {
        self.log.append_with_offsets(batches)?;
        let bytes: usize = batches.iter().map(Batch::size).sum();
        self.appended.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// A count of bytes that grows with every append, by which a snapshot's worth is judged.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    /// Makes durable what is appended.
    pub(crate) fn flush(&self) -> Result<(), LogError> {
        self.log.flush().map(|_| ())
    }

    /// Removes everything at and behind `offset`, durably.
    pub(crate) fn truncate_to(&self, offset: i64) -> io::Result<()> {
        self.log.truncate_to(offset).map_err(io::Error::other)?;
        self.log.flush().map_err(io::Error::other)?;
        self.note_flushed()
    }

    /// Every voter set that the tail holds, with the offset of its record, in order.
    pub(crate) fn voter_sets(&self) -> io::Result<Vec<(i64, VoterSet)>> {
        let mut found = Vec::new();
        let end = self.end();
        let mut offset =
            self.newest_snapshot().map_or(0, |snapshot| snapshot.offset).max(self.log.log_start_offset());
        while offset < end {
            let content = self.read_whole(offset, end, SCAN_BYTES).map_err(io::Error::other)?;
            let from = offset;
            for batch in Batch::iter(content).map_while(Result::ok) {
                offset = batch.header().next_offset();
                if batch.header().is_control() {
                    found.extend(control::voters(&batch));
                }
            }
            if offset == from {
                return Err(io::Error::other(format!("nothing can be read at offset {offset} of __znodes")));
            }
        }
        Ok(found)
    }

    /// Reads a piece of a snapshot; `None` if it is not kept any more.
    pub(crate) fn read_snapshot(
        &self,
        id: LogOffset,
        position: u64,
        bytes: u32,
    ) -> io::Result<Option<Bytes>> {
        let snapshot = self.snapshots.read().iter().find(|file| file.end == id).cloned();
        let now = self.world.clock.monotonic_ms();
        snapshot.map(|snapshot| snapshot.piece(position, bytes, now)).transpose()
    }

    /// Lets a received snapshot take the place of the log: the log is empty and begins at its end.
    pub(crate) fn start_over(&self, snapshot: SnapshotFile) -> io::Result<()> {
        self.log.truncate_fully_and_start_at(snapshot.end.offset).map_err(io::Error::other)?;
        self.log.flush().map_err(io::Error::other)?;
        self.note_flushed()?;
        let path = snapshot.path.clone();
        let replaced = std::mem::replace(&mut *self.snapshots.write(), vec![Arc::new(snapshot)]);
        // A snapshot that was received anew stands where the old one of its name stood.
        for old in replaced.iter().filter(|old| old.path != path) {
            self.world.disk.remove_file(&old.path)?;
        }
        Ok(())
    }

    /// Notes that entries that were flushed are lost, until [`ZnodeLog::forget_damage`]; survives restarts.
    fn note_damage(&self) -> io::Result<()> {
        self.world.disk.write_file_atomic(&self.dir.join(DAMAGE_MARK), b"")
    }

    /// Whether entries that were flushed were lost and not fetched again yet.
    pub(crate) fn is_damaged(&self) -> bool {
        self.world.disk.exists(&self.dir.join(DAMAGE_MARK))
    }

    /// Everything committed is here again.
    pub(crate) fn forget_damage(&self) -> io::Result<()> {
        let mark = self.dir.join(DAMAGE_MARK);
        if self.world.disk.exists(&mark) {
            self.world.disk.remove_file(&mark)?;
            self.world.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Where the next batch goes.
    pub(crate) fn end(&self) -> i64 {
        self.log.log_end_offset()
    }

    /// Everything below this offset survives a crash.
    pub(crate) fn flushed(&self) -> i64 {
        self.log.flushed_offset()
    }

    /// Lets go of batches that are in memory for readers at the tail since longer than this.
    pub(crate) fn forget_tail(&self, age_ms: u64) {
        self.log.expire_memory(age_ms);
    }

    /// Notes what is committed.
    pub(crate) fn set_high_watermark(&self, offset: i64) {
        self.log.advance_high_watermark(offset);
    }

    /// Completes the files, so that the next start can trust them.
    pub(crate) fn close(&self) -> Result<(), LogError> {
        self.log.close()
    }

    /// Bytes on the disk.
    pub(crate) fn size(&self) -> u64 {
        let snapshots: u64 = self.snapshots.read().iter().map(|snapshot| snapshot.size).sum();
        self.log.size() + snapshots
    }

    /// Reads batches of the tail from `from` on, none at or behind `to`.
    pub(crate) fn read_tail(&self, from: i64, to: i64, max_bytes: usize) -> Result<Vec<Bytes>, LogError> {
        let limits = ReadLimits { max_bytes, at_least_one: true, until: to };
        Ok(self.log.read(from, limits)?.chunks)
    }

    /// The same in one piece: a chunk of the memory's may be no more than a batch's header.
    pub(crate) fn read_whole(&self, from: i64, to: i64, max_bytes: usize) -> Result<Bytes, LogError> {
        let limits = ReadLimits { max_bytes, at_least_one: true, until: to };
        Ok(self.log.read(from, limits)?.into_bytes())
    }

    /// Reads head, then tail: batches from the one that holds `offset` on, none at or behind `until`.
    pub(crate) fn read(
        &self,
        offset: i64,
        until: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> io::Result<Vec<Bytes>> {
        let start = self.log.log_start_offset();
        let mut from = offset;
        if offset < start {
            let head = self.snapshots.read().iter().find(|snapshot| snapshot.end.offset >= start).cloned();
            let head = head.ok_or_else(|| io::Error::other("the head of __znodes is missing"))?;
            let now = self.world.clock.monotonic_ms();
            if let Some(bytes) = head.read(offset, max_bytes, at_least_one, now)? {
                return Ok(vec![bytes]);
            }
            from = head.end.offset;
        }
        let limits = ReadLimits { max_bytes, at_least_one, until };
        self.log.read(from, limits).map(|data| data.chunks).map_err(io::Error::other)
    }

    /// The first offset that a reader can ask for. A head begins at 0, because it holds the oldest live znodes.
    pub(crate) fn first_offset(&self) -> i64 {
        if self.snapshots.read().is_empty() { self.log.log_start_offset() } else { 0 }
    }

    /// The first record at or after a time, by reading from the head on: (offset, timestamp).
    pub(crate) fn offset_for_timestamp(&self, timestamp_ms: i64) -> io::Result<Option<(i64, i64)>> {
        let found = self.log.offset_for_timestamp(timestamp_ms).map_err(io::Error::other)?;
        Ok(found.map(|found| (found.offset, found.timestamp)))
    }

    /// The newest snapshot.
    pub(crate) fn newest_snapshot_file(&self) -> Option<Arc<SnapshotFile>> {
        self.snapshots.read().last().cloned()
    }

    /// The newest snapshot's end.
    pub(crate) fn newest_snapshot(&self) -> Option<LogOffset> {
        self.snapshots.read().last().map(|snapshot| snapshot.end)
    }

    /// Begins to write a snapshot as of `end`.
    pub(crate) fn begin_snapshot(&self, end: i64, summary: &Summary) -> io::Result<SnapshotWriter<'_>> {
        let epoch = self.log.epoch_at(end - 1).or(self.newest_snapshot().map(|snapshot| snapshot.epoch));
        let end = LogOffset::new(end, epoch.unwrap_or_default());
        SnapshotWriter::create(&*self.world.disk, &self.dir, end, summary)
    }

    /// Adds a finished snapshot, keeps the newest `kept` and what is being read, and removes the tail's segments that the oldest of
    /// these covers.
    pub(crate) fn add_snapshot(&self, file: SnapshotFile, kept: usize) -> io::Result<()> {
        let mut removed = Vec::new();
        let oldest = {
            let mut snapshots = self.snapshots.write();
            snapshots.push(Arc::new(file));
            let surplus = snapshots.len().saturating_sub(kept.max(1));
            let removable = surplus.saturating_sub(SNAPSHOTS_SPARED_MAX);
            let now = self.world.clock.monotonic_ms();
            let read = snapshots[removable..surplus]
                .iter()
                .position(|file| file.was_read_within(SNAPSHOT_READ_MS, now));
            removed.extend(snapshots.drain(..read.map_or(surplus, |spared| removable + spared)));
            snapshots.first().map_or(0, |snapshot| snapshot.end.offset)
        };
        let bases = self.log.segment_offsets();
        // The active segment stays; a segment may go when the next one begins at or below the oldest head's end.
        let start = bases.into_iter().rev().find(|base| *base <= oldest).unwrap_or(0);
        if start > self.log.log_start_offset() {
            self.log.delete_records_before(start).map_err(io::Error::other)?;
        }
        // Readers that hold a removed snapshot go on with its open file.
        for snapshot in removed {
            self.world.disk.remove_file(&snapshot.path)?;
        }
        Ok(())
    }

    /// Removes files whose delay has passed.
    pub(crate) fn remove_doomed_files(&self) -> Result<(), LogError> {
        self.log.remove_doomed_files()
    }
}

/// The snapshots of a folder.
struct Found {
    /// Oldest first.
    whole: Vec<Arc<SnapshotFile>>,
    damaged: Vec<PathBuf>,
}

/// Looks at the snapshots of a folder and restores the newest whole one. A snapshot is whole once it has its name; one that can't be read
/// is no longer what the disk had flushed.
fn find_snapshots(
    disk: &dyn Disk,
    dir: &Path,
    mut restore: impl FnMut(Restoring) -> io::Result<()>,
) -> io::Result<Found> {
    let mut found = Found { whole: Vec::new(), damaged: Vec::new() };
    for path in snapshot::list(disk, dir)? {
        let loaded = match found.whole.is_empty() {
            true => restore(Restoring::Anew)
                .and_then(|()| SnapshotFile::load(disk, &path, |record| restore(Restoring::Record(record)))),
            false => SnapshotFile::load(disk, &path, |_| Ok(())),
        };
        match loaded {
            Ok(snapshot) => found.whole.push(Arc::new(snapshot)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(%error, "a snapshot of __znodes is damaged; the disk loses data");
                found.damaged.push(path);
            }
            Err(error) => return Err(error),
        }
    }
    if found.whole.is_empty() {
        restore(Restoring::Anew)?;
    }
    found.whole.reverse();
    Ok(found)
}

/// Nothing removes records of this topic but snapshots, and only the writer decides when to flush.
fn log_config(segment_bytes: u32) -> LogConfig {
    LogConfig {
        segment_bytes: u64::from(segment_bytes),
        segment_ms: i64::MAX,
        retention_ms: -1,
        retention_bytes: -1,
        cleanup: CleanupPolicy { delete: false, compact: false },
        max_message_bytes: u64::from(i32::MAX as u32),
        page_cache_bytes: PAGE_CACHE_BYTES,
        zero_fill_bytes: ZERO_FILL_BYTES,
        ..LogConfig::default()
    }
}

impl LogView for ZnodeLog {
    fn start(&self) -> LogOffset {
        let offset = self.log.log_start_offset();
        if offset == 0 {
            return LogOffset::new(0, 0);
        }
        // A log that began at a snapshot doesn't hold the entry before its first one, but the snapshot tells that entry's epoch.
        let at_snapshot =
            || self.snapshots.read().iter().find(|file| file.end.offset == offset).map(|file| file.end.epoch);
        let epoch = self.log.epoch_at(offset - 1).or_else(at_snapshot).or(self.log.epoch_at(offset));
        LogOffset::new(offset, epoch.unwrap_or(0))
    }

    fn end(&self) -> LogOffset {
        let offset = self.log.log_end_offset();
        let epoch = self.log.latest_epoch().or(self.newest_snapshot().map(|snapshot| snapshot.epoch));
        LogOffset::new(offset, epoch.unwrap_or(0))
    }

    fn flushed(&self) -> i64 {
        self.log.flushed_offset()
    }

    fn snapshot(&self) -> Option<LogOffset> {
        self.newest_snapshot()
    }

    fn replica_snapshot(&self) -> Option<LogOffset> {
        let (start, latest) = (self.log.log_start_offset(), self.end().saturating_sub(self.history));
        let snapshots = self.snapshots.read();
        // After damage the log begins behind the newest snapshot, and older ones don't join it.
        let mut joined = snapshots.iter().map(|file| file.end).filter(|end| end.offset >= start);
        let oldest = joined.clone().next();
        // A replica of a log that goes back to its beginning needs no snapshot, and would miss what lies before a young one.
        joined.rfind(|end| end.offset <= latest).or(oldest.filter(|_| start > 0))
    }

    fn snapshot_size(&self, snapshot: LogOffset) -> Option<u64> {
        self.snapshots.read().iter().find(|file| file.end == snapshot).map(|file| file.size)
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> LogOffset {
        match self.log.end_offset_for_epoch(epoch) {
            (found, offset) if found >= 0 => LogOffset::new(offset, found),
            _ => LogView::start(self),
        }
    }
}
