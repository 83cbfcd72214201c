//! A segment: a `.log` file of batches with its two indexes, for the offsets from its base to the next segment's.
//!
//! Invariant: `size` bytes of the file are whole batches in offset order; readers never look behind `size`, which is
//! published after the bytes are written. Appending needs the log's append lock; reading needs none.
use crate::batch::Batch;
use crate::config::LogConfig;
use crate::error::LogError;
use crate::header::{BatchHeader, HEADER_SIZE};
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::read::LentFile;
use crate::scan::{BatchScan, HeaderScan, Located, Step};
use base::{Disk, File, OpenMode, World};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Suffix of files that wait for their removal.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
/// Suffix of a compaction's result before it is complete.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// Suffix of a complete result that is being put in place.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

/// The kinds of files of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    /// Aborted transactions; written once transactions are served.
    TransactionIndex,
    /// The producers as of the base offset.
    Producers,
}

impl FileKind {
    pub(crate) const ALL: [FileKind; 5] = [
        FileKind::Log,
        FileKind::OffsetIndex,
        FileKind::TimeIndex,
        FileKind::TransactionIndex,
        FileKind::Producers,
    ];

    pub(crate) fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => ".log",
            FileKind::OffsetIndex => ".index",
            FileKind::TimeIndex => ".timeindex",
            FileKind::TransactionIndex => ".txnindex",
            FileKind::Producers => ".snapshot",
        }
    }

    /// The kind and base offset of a file name without further suffix.
    pub(crate) fn parse(name: &str) -> Option<(FileKind, i64)> {
        let (digits, _) = name.split_at_checked(20)?;
        let kind = FileKind::ALL.into_iter().find(|kind| name[20..] == *kind.suffix())?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        Some((kind, digits.parse().ok()?))
    }

    /// The file's path in a partition's folder.
    pub(crate) fn path(self, dir: &Path, base_offset: i64) -> PathBuf {
        dir.join(format!("{base_offset:020}{}", self.suffix()))
    }
}

/// A path with a suffix added to its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The largest timestamp of a segment, and the last offset of the first batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxTimestamp {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
}

struct Times {
    /// `None` until it was looked up in an old segment.
    max: Option<MaxTimestamp>,
    /// Largest timestamp of the first batch, from which the segment's age counts.
    first: Option<i64>,
}

/// A segment of a log.
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    pub(crate) offset_index: Index<OffsetEntry>,
    pub(crate) time_index: Index<TimeEntry>,
    path: PathBuf,
    file: Arc<dyn File>,
    size: AtomicU64,
    /// How often the file was cut, so that nobody sends what was found in it before that.
    cuts: Arc<AtomicU64>,
    /// Up to where the file holds zeros for what is appended next; at or below `size` if it holds none.
    zeroed: AtomicU64,
    bytes_since_index: AtomicU64,
    times: Mutex<Times>,
    created_ms: i64,
    /// Whether everything, indexes included, is on the medium.
    synced: AtomicBool,
    /// The system was told that the file's content below this position is not needed in memory.
    forgotten: AtomicU64,
}

/// How much is let go of at once: often enough that new bytes find memory that was just let go, seldom enough to cost next to nothing.
const FORGET_BYTES: u64 = 4 << 20;

impl Segment {
    /// Opens a segment's files, or creates them. `suffix` is that of a compaction's result, else empty.
    pub(crate) fn open(
        world: &World,
        dir: &Path,
        base_offset: i64,
        suffix: &str,
    ) -> Result<Segment, LogError> {
        let disk: &Arc<dyn Disk> = &world.disk;
        let path = with_suffix(&FileKind::Log.path(dir, base_offset), suffix);
        let index = |kind: FileKind| with_suffix(&kind.path(dir, base_offset), suffix);
        let file =
            disk.open(&path, OpenMode::ReadWrite).map_err(|error| LogError::io("opening", &path, error))?;
        let size = file.length().map_err(|error| LogError::io("opening", &path, error))?;
        Ok(Segment {
            base_offset,
            offset_index: Index::new(disk.clone(), index(FileKind::OffsetIndex)),
            time_index: Index::new(disk.clone(), index(FileKind::TimeIndex)),
            path,
            file,
            size: AtomicU64::new(size),
            cuts: Arc::default(),
            zeroed: AtomicU64::new(0),
            bytes_since_index: AtomicU64::new(0),
            times: Mutex::new(Times { max: None, first: None }),
            created_ms: world.clock.wall_ms(),
            synced: AtomicBool::new(false),
            forgotten: AtomicU64::new(0),
        })
    }

    /// Creates the files of a new segment, whose `.log` takes `preallocate` bytes at once.
    pub(crate) fn create(
        world: &World,
        dir: &Path,
        base_offset: i64,
        suffix: &str,
        preallocate: Option<u64>,
    ) -> Result<Segment, LogError> {
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
            let path = with_suffix(&kind.path(dir, base_offset), suffix);
            world
                .disk
                .open(&path, OpenMode::Truncate)
                .map_err(|error| LogError::io("creating", &path, error))?;
        }
        let segment = Segment::open(world, dir, base_offset, suffix)?;
        segment.times.lock().max = Some(MaxTimestamp { timestamp: -1, offset: base_offset });
        if let Some(length) = preallocate {
            segment.file.set_len(length).map_err(|error| segment.io("extending", error))?;
        }
        Ok(segment)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    /// Bytes of whole batches.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The file as it is now, for others to send from. None on a disk without files of the machine. Whoever wants to send what he
    /// finds in it lends it before he looks.
    pub(crate) fn lend(&self) -> Option<LentFile> {
        Some(LentFile {
            file: self.file.system_file()?.clone(),
            cuts: self.cuts.clone(),
            cuts_then: self.cuts.load(Ordering::Acquire),
        })
    }

    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    pub(crate) fn io(&self, action: &'static str, error: std::io::Error) -> LogError {
        LogError::io(action, &self.path, error)
    }

    fn index_io(error: std::io::Error, path: &Path) -> LogError {
        LogError::io("writing", path, error)
    }

    /// Whether an offset can be written relative to the base, as indexes and batches need.
    pub(crate) fn covers(&self, offset: i64) -> bool {
        let relative = offset.checked_sub(self.base_offset);
        relative.is_some_and(|relative| (0..=i64::from(i32::MAX)).contains(&relative))
    }

    /// Appends batches with one vectored write. On an error the file may have a torn tail; the log must go offline.
    pub(crate) fn append(&self, batches: &[Batch], index_interval: u64) -> Result<(), LogError> {
        let start = self.size.load(Ordering::Relaxed);
        let mut slices = Vec::with_capacity(batches.len() * 2);
        for batch in batches {
            slices.push(IoSlice::new(batch.head()));
            slices.push(IoSlice::new(batch.body()));
        }
        self.synced.store(false, Ordering::Release);
        self.file.write_all_vectored_at(&slices, start).map_err(|error| self.io("writing", error))?;
        let mut position = start;
        for batch in batches {
            self.note_batch(batch.header(), position, index_interval)?;
            position += batch.size() as u64;
        }
        self.size.store(position, Ordering::Release);
        Ok(())
    }

    /// Fills the file with zeros for some way behind its batches, once these have reached the end of those that are there. A flush of
    /// what is then written over them finds the file's size and blocks as they were, and the file system has nothing to note.
    /// After `appended` bytes that are a good part of that way it doesn't pay: the zeros would be half of what the disk writes.
    pub(crate) fn zero_fill(&self, appended: u64, config: &LogConfig) -> Result<(), LogError> {
        let end = self.size();
        let pays = appended <= config.zero_fill_bytes / ZERO_FILL_SHARE;
        if config.zero_fill_bytes == 0 || !pays || end <= self.zeroed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let until = end.saturating_add(config.zero_fill_bytes).min(config.segment_bytes);
        let mut at = end;
        while at < until {
            let length = (until - at).min(ZEROS.len() as u64);
            let zeros = ZEROS.get(..length as usize).unwrap_or(&ZEROS);
            match self.file.write_all_at(zeros, at) {
                Ok(()) => at += length,
                // What is left of the disk is for batches; the first that doesn't fit will say so.
                Err(error) if is_about_room(&error) => break,
                Err(error) => return Err(self.io("extending", error)),
            }
        }
        self.zeroed.store(at, Ordering::Relaxed);
        Ok(())
    }

    /// Enters a batch that lies at `position` into the indexes and the times.
    pub(crate) fn note_batch(
        &self,
        header: &BatchHeader,
        position: u64,
        index_interval: u64,
    ) -> Result<(), LogError> {
        let max = {
            let mut times = self.times.lock();
            times.first.get_or_insert(header.max_timestamp);
            let found = MaxTimestamp { timestamp: header.max_timestamp, offset: header.last_offset() };
            match times.max {
                Some(max) if max.timestamp >= found.timestamp => max,
                _ => *times.max.insert(found),
            }
        };
        let since = self.bytes_since_index.load(Ordering::Relaxed);
        let mut next_since = since + header.size() as u64;
        if since > index_interval {
            let relative_offset = self.relative(header.last_offset());
            self.offset_index
                .append(OffsetEntry { relative_offset, position: position as u32 })
                .map_err(|error| Segment::index_io(error, self.offset_index.path()))?;
            self.append_time(max)?;
            next_since = header.size() as u64;
        }
        self.bytes_since_index.store(next_since, Ordering::Relaxed);
        Ok(())
    }

    fn append_time(&self, max: MaxTimestamp) -> Result<(), LogError> {
        if max.timestamp < 0 {
            return Ok(());
        }
        self.time_index
            .append(TimeEntry { timestamp: max.timestamp, relative_offset: self.relative(max.offset) })
            .map_err(|error| Segment::index_io(error, self.time_index.path()))
    }

    fn relative(&self, offset: i64) -> u32 {
        (offset - self.base_offset).clamp(0, i64::from(i32::MAX)) as u32
    }

    /// Completes the indexes and gives back preallocated space: the segment won't be appended to for now.
    pub(crate) fn seal(&self) -> Result<(), LogError> {
        let max = self.max_timestamp()?;
        self.append_time(max)?;
        self.offset_index.write().map_err(|error| Segment::index_io(error, self.offset_index.path()))?;
        self.time_index.write().map_err(|error| Segment::index_io(error, self.time_index.path()))?;
        let size = self.size();
        if self.file.length().map_err(|error| self.io("reading", error))? > size {
            self.file.set_len(size).map_err(|error| self.io("truncating", error))?;
        }
        Ok(())
    }

    /// Makes the log file durable, and the indexes too if `sealed` (those of the active segment can be rebuilt).
    pub(crate) fn sync(&self, sealed: bool) -> Result<(), LogError> {
        if self.synced.load(Ordering::Acquire) {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| self.io("flushing", error))?;
        if sealed {
            self.offset_index
                .sync()
                .map_err(|error| LogError::io("flushing", self.offset_index.path(), error))?;
            self.time_index
                .sync()
                .map_err(|error| LogError::io("flushing", self.time_index.path(), error))?;
            self.synced.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// After a flush: lets the system use the memory of all but the last `keep` bytes for something else.
    pub(crate) fn forget_all_but(&self, keep: u64) {
        let end = self.size().saturating_sub(keep);
        // The system keeps pages in groups that lie at multiples of their size, and lets go of whole groups only.
        let end = end - end % FORGET_BYTES;
        let from = self.forgotten.load(Ordering::Relaxed);
        if end > from {
            self.file.forget(from, end - from);
            self.forgotten.store(end, Ordering::Relaxed);
        }
    }

    /// The largest timestamp; looked up once in a segment that was not written by this process.
    pub(crate) fn max_timestamp(&self) -> Result<MaxTimestamp, LogError> {
        if let Some(max) = self.times.lock().max {
            return Ok(max);
        }
        let read = |error| LogError::io("reading", self.time_index.path(), error);
        let mut max = match self.time_index.last().map_err(read)? {
            Some(entry) => MaxTimestamp {
                timestamp: entry.timestamp,
                offset: self.base_offset + i64::from(entry.relative_offset),
            },
            None => MaxTimestamp { timestamp: -1, offset: self.base_offset },
        };
        let mut scan = self.headers_from(max.offset)?;
        while let Step::Found(found) = scan.step().map_err(|error| self.io("reading", error))? {
            if found.header.max_timestamp > max.timestamp {
                max = MaxTimestamp {
                    timestamp: found.header.max_timestamp,
                    offset: found.header.last_offset(),
                };
            }
        }
        Ok(*self.times.lock().max.get_or_insert(max))
    }

    /// The time that the segment's age counts from: the first batch's largest timestamp.
    pub(crate) fn first_timestamp(&self) -> Result<Option<i64>, LogError> {
        if self.times.lock().first.is_none() {
            let mut scan = HeaderScan::new(self.file(), 0, self.size());
            if let Step::Found(found) = scan.step().map_err(|error| self.io("reading", error))? {
                self.times.lock().first = Some(found.header.max_timestamp);
            }
        }
        Ok(self.times.lock().first.filter(|first| *first >= 0))
    }

    /// Opens the index files, so that readers of a segment whose files are renamed find them.
    pub(crate) fn hold_indexes(&self) -> Result<(), LogError> {
        self.offset_index.hold().map_err(|error| LogError::io("opening", self.offset_index.path(), error))?;
        self.time_index.hold().map_err(|error| LogError::io("opening", self.time_index.path(), error))
    }

    /// Closes the index files until they are used again, so that an idle log costs one descriptor.
    pub(crate) fn release_indexes(&self) -> Result<(), LogError> {
        self.offset_index.release().map_err(|error| Segment::index_io(error, self.offset_index.path()))?;
        self.time_index.release().map_err(|error| Segment::index_io(error, self.time_index.path()))
    }

    /// Whether an index has no room for another entry.
    pub(crate) fn index_is_full(&self, index_bytes: u64) -> Result<bool, LogError> {
        let count =
            |result: std::io::Result<u64>| result.map_err(|error| self.io("reading the index of", error));
        Ok(count(self.offset_index.count())? >= index_bytes / 8
            || count(self.time_index.count())? >= index_bytes / 12)
    }

    /// Headers from the index entry at or before `offset` on.
    pub(crate) fn headers_from(&self, offset: i64) -> Result<HeaderScan<'_>, LogError> {
        let entry = self
            .offset_index
            .floor(offset - self.base_offset)
            .map_err(|error| LogError::io("reading", self.offset_index.path(), error))?;
        let size = self.size();
        let position = entry.map_or(0, |entry| u64::from(entry.position)).min(size);
        Ok(HeaderScan::new(self.file(), position, size))
    }

    /// The first batch whose last offset is at least `offset`.
    pub(crate) fn locate(&self, offset: i64) -> Result<Option<Located>, LogError> {
        let mut scan = self.headers_from(offset)?;
        loop {
            match scan.step().map_err(|error| self.io("reading", error))? {
                Step::Found(found) if found.header.last_offset() >= offset => return Ok(Some(found)),
                Step::Found(_) => {}
                Step::End => return Ok(None),
                Step::Broken(reason) => return Err(LogError::corrupt(&self.path, 0, reason)),
            }
        }
    }

    /// Where the last whole batch ends that is below the offset `until` and ends at or before the position `limit`, and the offset that
    /// reading goes on with there. `first` is a batch for which both is true. Reads what lies between two entries of the index.
    pub(crate) fn end_below(&self, first: &Located, limit: u64, until: i64) -> Result<(u64, i64), LogError> {
        let belongs = |entry: &OffsetEntry| {
            u64::from(entry.position) <= limit && self.base_offset + i64::from(entry.relative_offset) < until
        };
        let entry = self
            .offset_index
            .last_while(belongs)
            .map_err(|error| LogError::io("reading", self.offset_index.path(), error))?;
        let mut end = (first.end(), first.header.next_offset());
        let from = entry.map_or(end.0, |entry| u64::from(entry.position).max(end.0));
        let mut scan = HeaderScan::new(self.file(), from, self.size());
        // Broken batches are for whoever reads on from there.
        while let Step::Found(found) = scan.step().map_err(|error| self.io("reading", error))? {
            if found.header.last_offset() >= until || found.end() > limit {
                if found.position > end.0 {
                    end = (found.position, found.header.base_offset);
                }
                break;
            }
            end = (found.end(), found.header.next_offset());
        }
        Ok(end)
    }

    /// The offset behind the last batch.
    pub(crate) fn next_offset(&self) -> Result<i64, LogError> {
        let last = self
            .offset_index
            .last()
            .map_err(|error| LogError::io("reading", self.offset_index.path(), error))?;
        let from = last.map_or(self.base_offset, |entry| self.base_offset + i64::from(entry.relative_offset));
        let mut next = self.base_offset;
        let mut scan = self.headers_from(from)?;
        loop {
            match scan.step().map_err(|error| self.io("reading", error))? {
                Step::Found(found) => next = found.header.next_offset(),
                Step::End => return Ok(next),
                Step::Broken(reason) => return Err(LogError::corrupt(&self.path, 0, reason)),
            }
        }
    }

    /// Checks every batch, rebuilds the indexes, and takes the segment to end behind the last good batch. Returns how many bytes the file
    /// has behind that, which [`Segment::cut_tail`] removes; `visit` sees every good batch.
    pub(crate) fn recover(
        &self,
        index_interval: u64,
        mut visit: impl FnMut(&Batch),
    ) -> Result<u64, LogError> {
        let length = self.file.length().map_err(|error| self.io("reading", error))?;
        self.clear_indexes()?;
        self.bytes_since_index.store(0, Ordering::Relaxed);
        *self.times.lock() = Times { max: None, first: None };
        let mut scan = BatchScan::new(self.file(), 0, length);
        let (mut good, mut next) = (0, self.base_offset);
        loop {
            let reason = match scan.step().map_err(|error| self.io("reading", error))? {
                Step::End => break,
                Step::Broken(reason) => reason,
                Step::Found((position, batch)) => match self.judge(&batch, next) {
                    None => {
                        self.note_batch(batch.header(), position, index_interval)?;
                        visit(&batch);
                        good = position + batch.size() as u64;
                        next = batch.header().next_offset();
                        continue;
                    }
                    Some(reason) => reason,
                },
            };
            if self.is_zero_from(good, length)? {
                tracing::debug!(file = %self.path.display(), position = good, "cutting off zeros that were there to be used");
            } else {
                tracing::warn!(file = %self.path.display(), position = good, cut = length - good, reason,
                    "cutting off a damaged tail");
            }
            break;
        }
        self.size.store(good, Ordering::Release);
        self.times.lock().max.get_or_insert(MaxTimestamp { timestamp: -1, offset: self.base_offset });
        Ok(length - good)
    }

    /// Cuts off what the file has behind the segment's end, durably.
    pub(crate) fn cut_tail(&self) -> Result<(), LogError> {
        self.file.set_len(self.size()).map_err(|error| self.io("truncating", error))?;
        self.file.sync_data().map_err(|error| self.io("flushing", error))
    }

    /// Whether there are nothing but zeros from `position` to the end of the file: its space was preallocated, or filled ahead.
    fn is_zero_from(&self, mut position: u64, length: u64) -> Result<bool, LogError> {
        while position < length {
            let most = (length - position).min(ZEROS.len() as u64) as usize;
            let piece = self.read(position, most)?;
            if piece.is_empty() || piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            position += piece.len() as u64;
        }
        Ok(true)
    }

    /// Why a batch can't be part of this segment.
    fn judge(&self, batch: &Batch, next: i64) -> Option<String> {
        let header = batch.header();
        if header.base_offset < next || header.last_offset_delta < 0 || !self.covers(header.last_offset()) {
            return Some(format!("offset {} where at least {next} is due", header.base_offset));
        }
        (!batch.crc_is_valid())
            .then(|| format!("the CRC of the batch at offset {} is wrong", header.base_offset))
    }

    fn clear_indexes(&self) -> Result<(), LogError> {
        self.offset_index.clear().map_err(|error| Segment::index_io(error, self.offset_index.path()))?;
        self.time_index.clear().map_err(|error| Segment::index_io(error, self.time_index.path()))
    }

    /// Removes the batch that holds `offset` and everything behind it. Returns the new end.
    pub(crate) fn truncate_to(&self, offset: i64) -> Result<(), LogError> {
        let Some(found) = self.locate(offset)? else { return Ok(()) };
        let base = found.header.base_offset;
        let beyond = |relative: u32| self.base_offset + i64::from(relative) >= base;
        self.offset_index
            .truncate_while(|entry| {
                beyond(entry.relative_offset) || u64::from(entry.position) >= found.position
            })
            .map_err(|error| Segment::index_io(error, self.offset_index.path()))?;
        self.time_index
            .truncate_while(|entry| beyond(entry.relative_offset))
            .map_err(|error| Segment::index_io(error, self.time_index.path()))?;
        self.size.store(found.position, Ordering::Release);
        self.zeroed.store(0, Ordering::Relaxed);
        self.synced.store(false, Ordering::Release);
        self.cuts.fetch_add(1, Ordering::AcqRel);
        self.file.set_len(found.position).map_err(|error| self.io("truncating", error))?;
        self.bytes_since_index.store(0, Ordering::Relaxed);
        let mut times = self.times.lock();
        times.max = (found.position == 0).then_some(MaxTimestamp { timestamp: -1, offset: self.base_offset });
        if found.position == 0 {
            times.first = None;
        }
        Ok(())
    }

    /// Whole batches in order.
    pub(crate) fn batches(&self) -> BatchScan<'_> {
        BatchScan::new(self.file(), 0, self.size())
    }

    /// Reads up to `length` bytes from `position` on; fewer if the file ends or was cut meanwhile.
    pub(crate) fn read(&self, position: u64, length: usize) -> Result<bytes::Bytes, LogError> {
        let mut buffer = Vec::with_capacity(length);
        while buffer.len() < length {
            let (left, from) = (length - buffer.len(), position + buffer.len() as u64);
            match self.file.append_to(&mut buffer, left, from) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.io("reading", error)),
            }
        }
        Ok(buffer.into())
    }
}

fn is_about_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded
    )
}

/// What is appended at once may be this part of what is written ahead at most.
const ZERO_FILL_SHARE: u64 = 16;
/// What is written ahead, a piece at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The smallest segment that can hold a batch at all.
pub(crate) const SEGMENT_SIZE_MIN: u64 = HEADER_SIZE as u64;
