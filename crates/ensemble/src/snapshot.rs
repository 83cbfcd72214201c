//! Snapshots: the compacted head of `__znodes` as of an offset, a file of ordinary record batches.
//!
//! Invariants: a file under its final name is whole (it is written beside, flushed, then renamed) and says in its first batch
//! how many records it holds; its records lie in offset order, so that it can be served as the head of the topic; a
//! znode or session occurs once, at the offset of its last change.
use crate::control;
use crate::records::{HeaderText, SnapshotRecord, append_node, append_session, decode_snapshot_record};
use base::{Disk, File, OpenMode};
use bytes::{Bytes, BytesMut};
use log::header::HEADER_SIZE;
use log::{Batch, BatchBuilder, BatchHeader, RecordHeader, Scratch};
use quorum::{ControlRecord, LogOffset, VoterSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tree::{Image, Zxid};

/// The ending of snapshot files, KRaft's.
const SUFFIX: &str = ".checkpoint";
/// The ending while one is being written.
const PART_SUFFIX: &str = ".checkpoint.part";
/// What is added to the name of a snapshot that is damaged.
const DAMAGED_SUFFIX: &str = ".damaged";
/// A batch of a snapshot is closed at this size, which is also how finely the head can be read.
const BATCH_BYTES: usize = 64 << 10;
/// How many bytes are read at once when a snapshot is loaded.
const LOAD_BYTES: usize = 4 << 20;
/// A batch of a snapshot can't be larger than its last record allows: the largest znode and some headers.
const BATCH_BYTES_MAX: usize = 256 << 20;
/// Control record type of the first batch (`SnapshotHeader`).
const SNAPSHOT_HEADER: i16 = 3;

/// Where a batch of the file lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    last_offset: i64,
    position: u64,
    size: u32,
}

/// What the first batch of a snapshot says of the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How many znodes and sessions there are.
    pub(crate) records: u64,
    /// The last transaction that is in it.
    pub(crate) last_zxid: Zxid,
    /// When it was begun, milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// The voter set as of its end, with the offset of its record, if the log had one by then.
    pub(crate) voters: Option<(i64, VoterSet)>,
}

/// A whole snapshot that can be read.
pub(crate) struct SnapshotFile {
    /// As of where: the first offset that is not in it, and the epoch of the entry before.
    pub(crate) end: LogOffset,
    /// The file's path.
    pub(crate) path: PathBuf,
    /// The last transaction that is in it.
    pub(crate) last_zxid: Zxid,
    /// The voter set as of its end, with the offset of its record.
    pub(crate) voters: Option<(i64, VoterSet)>,
    /// Its size in bytes.
    pub(crate) size: u64,
    file: Arc<dyn File>,
    places: Vec<Place>,
    /// When it was last read by others, in the clock's milliseconds; 0 for never.
    read_ms: AtomicU64,
}

impl SnapshotFile {
    /// Opens a snapshot, checks all of it, and hands every record to `visit`.
    pub(crate) fn load(
        disk: &dyn Disk,
        path: &Path,
        visit: impl FnMut(SnapshotRecord) -> io::Result<()>,
    ) -> io::Result<SnapshotFile> {
        let end = end_of(path).ok_or_else(|| invalid(path, "its name is no snapshot's"))?;
        SnapshotFile::load_as(disk, path, end, visit)
    }

    /// The same for a file whose name doesn't tell its end.
    fn load_as(
        disk: &dyn Disk,
        path: &Path,
        end: LogOffset,
        mut visit: impl FnMut(SnapshotRecord) -> io::Result<()>,
    ) -> io::Result<SnapshotFile> {
        let file = disk.open(path, OpenMode::Read)?;
        let size = file.length()?;
        let mut snapshot = SnapshotFile {
            end,
            path: path.to_owned(),
            last_zxid: Zxid::NONE,
            voters: None,
            size,
            file,
            places: Vec::new(),
            read_ms: AtomicU64::new(0),
        };
        let mut scratch = Scratch::new();
        let mut declared = None;
        let mut found = 0_u64;
        snapshot.scan(|batch| {
            if batch.header().is_control() {
                declared = Some(
                    declared_summary(batch, &mut scratch)
                        .ok_or_else(|| invalid(path, "its header is damaged"))?,
                );
                return Ok(());
            }
            for record in batch.records(&mut scratch).map_err(|fault| invalid(path, &fault.to_string()))? {
                let record = record.map_err(|fault| invalid(path, &fault.to_string()))?;
                found += 1;
                visit(decode_snapshot_record(&record).map_err(|fault| invalid(path, &fault.to_string()))?)?;
            }
            Ok(())
        })?;
        match declared {
            Some(summary) if summary.records == found => {
                snapshot.last_zxid = summary.last_zxid;
                snapshot.voters = summary.voters;
                Ok(snapshot)
            }
            _ => Err(invalid(path, &format!("it holds {found} records, its header says {declared:?}"))),
        }
    }

    /// Reads all batches in order, checking lengths and CRCs, and notes where each lies.
    fn scan(&mut self, mut visit: impl FnMut(&Batch) -> io::Result<()>) -> io::Result<()> {
        let mut position = 0;
        let mut buffer = BytesMut::new();
        let mut filled_to = 0;
        while position < self.size {
            let needed = match buffer.first_chunk::<HEADER_SIZE>() {
                Some(head) => BatchHeader::parse_head(head)
                    .map_err(|fault| invalid(&self.path, &fault.to_string()))?
                    .size(),
                None => HEADER_SIZE,
            };
            if needed > BATCH_BYTES_MAX {
                return Err(invalid(&self.path, "a batch is larger than any can be"));
            }
            if buffer.len() < needed {
                let more = LOAD_BYTES.max(needed - buffer.len()).min((self.size - filled_to) as usize);
                if more == 0 {
                    return Err(invalid(&self.path, "it ends in the middle of a batch"));
                }
                let start = buffer.len();
                buffer.resize(start + more, 0);
                self.file.read_exact_at(&mut buffer[start..], filled_to)?;
                filled_to += more as u64;
                continue;
            }
            let bytes: Bytes = buffer.split_to(needed).freeze();
            let batch = Batch::parse_one(&bytes).map_err(|fault| invalid(&self.path, &fault.to_string()))?;
            if !batch.crc_is_valid() {
                return Err(invalid(&self.path, &format!("the batch at byte {position} has a wrong CRC")));
            }
            visit(&batch)?;
            let place = Place { last_offset: batch.header().last_offset(), position, size: needed as u32 };
            self.places.push(place);
            position += needed as u64;
        }
        Ok(())
    }

    /// Whether someone reads it, as far as its last read tells.
    pub(crate) fn was_read_within(&self, span_ms: u64, now_ms: u64) -> bool {
        let read_ms = self.read_ms.load(Ordering::Relaxed);
        read_ms > 0 && now_ms.saturating_sub(read_ms) <= span_ms
    }

    /// A piece of the file.
    pub(crate) fn piece(&self, position: u64, bytes: u32, now_ms: u64) -> io::Result<Bytes> {
        self.read_ms.store(now_ms.max(1), Ordering::Relaxed);
        let length = u64::from(bytes).min(self.size.saturating_sub(position));
        let mut content = BytesMut::zeroed(length as usize);
        self.file.read_exact_at(&mut content, position)?;
        Ok(content.freeze())
    }

    /// Whole batches from the one that holds the first record at or after `offset` on; `None` at the end of the head.
    pub(crate) fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
        now_ms: u64,
    ) -> io::Result<Option<Bytes>> {
        self.read_ms.store(now_ms.max(1), Ordering::Relaxed);
        let first = self.places.partition_point(|place| place.last_offset < offset);
        let Some(start) = self.places.get(first) else { return Ok(None) };
        let mut length = 0;
        for (index, place) in self.places[first..].iter().enumerate() {
            let grown = length + place.size as usize;
            if grown > max_bytes && !(index == 0 && at_least_one) {
                break;
            }
            length = grown;
        }
        let mut content = BytesMut::zeroed(length);
        self.file.read_exact_at(&mut content, start.position)?;
        Ok(Some(content.freeze()))
    }
}

/// Writes one snapshot.
pub(crate) struct SnapshotWriter<'a> {
    disk: &'a dyn Disk,
    end: LogOffset,
    path: PathBuf,
    part: PathBuf,
    file: Arc<dyn File>,
    position: u64,
    places: Vec<Place>,
    builder: Option<(i64, BatchBuilder)>,
    /// The headers of one record, whose memory serves for all.
    headers: HeaderText,
    summary: Summary,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins a snapshot in `dir`, as of `end`.
    pub(crate) fn create(
        disk: &'a dyn Disk,
        dir: &Path,
        end: LogOffset,
        summary: &Summary,
    ) -> io::Result<SnapshotWriter<'a>> {
        let stem = format!("{:020}-{:010}", end.offset, end.epoch);
        let part = dir.join(format!("{stem}{PART_SUFFIX}"));
        let file = disk.open(&part, OpenMode::Truncate)?;
        let path = dir.join(format!("{stem}{SUFFIX}"));
        let mut writer = SnapshotWriter {
            disk,
            end,
            path,
            part,
            file,
            position: 0,
            places: Vec::new(),
            builder: None,
            headers: HeaderText::default(),
            summary: summary.clone(),
        };
        writer.write_header()?;
        Ok(writer)
    }

    /// The first batch: offset 0 is never a znode's, because a log begins with its first leader's control batch.
    fn write_header(&mut self) -> io::Result<()> {
        let Summary { records, last_zxid, time_ms, voters } = self.summary.clone();
        let (records, last_zxid) = (records.to_string(), last_zxid.to_string());
        let at = voters.as_ref().map(|(offset, _)| offset.to_string());
        let mut headers = vec![
            RecordHeader { key: b"records", value: Some(records.as_bytes()) },
            RecordHeader { key: b"zxid", value: Some(last_zxid.as_bytes()) },
        ];
        headers.extend(at.as_ref().map(|at| RecordHeader { key: b"voters", value: Some(at.as_bytes()) }));
        let mut key = [0; 4];
        key[2..].copy_from_slice(&SNAPSHOT_HEADER.to_be_bytes());
        // SnapshotHeaderRecord version 0: its version, the last contained timestamp, no tagged fields.
        let mut value = [0; 11];
        value[2..10].copy_from_slice(&time_ms.to_be_bytes());
        let mut builder = BatchBuilder::new(0).leader_epoch(self.end.epoch).control();
        builder.append(time_ms, Some(&key), Some(&value), &headers).map_err(io::Error::other)?;
        if let Some((_, voters)) = voters {
            let (key, value) = control::encode(&ControlRecord::Voters(voters));
            let no_headers: [RecordHeader<'_>; 0] = [];
            builder.append(time_ms, Some(&key), Some(&value), &no_headers).map_err(io::Error::other)?;
        }
        self.write(builder)
    }

    /// Adds the next record; offsets must rise.
    pub(crate) fn add(&mut self, image: &Image) -> io::Result<()> {
        let offset = image.last_offset();
        // A batch can't span more offsets than its deltas can count.
        let fits = |(base, builder): &(i64, BatchBuilder)| {
            builder.size() < BATCH_BYTES && offset - base <= i64::from(i32::MAX)
        };
        if !self.builder.as_ref().is_some_and(fits) {
            self.close_batch()?;
        }
        let epoch = self.end.epoch;
        let (_, builder) =
            self.builder.get_or_insert_with(|| (offset, BatchBuilder::new(offset).leader_epoch(epoch)));
        match image {
            Image::Node(node) => append_node(builder, &mut self.headers, node),
            Image::Session(session) => {
                append_session(builder, &mut self.headers, session, self.summary.time_ms)
            }
        }
        .map_err(io::Error::other)
    }

    fn close_batch(&mut self) -> io::Result<()> {
        match self.builder.take() {
            Some((_, builder)) => self.write(builder),
            None => Ok(()),
        }
    }

    fn write(&mut self, builder: BatchBuilder) -> io::Result<()> {
        let batch = builder.build().map_err(io::Error::other)?;
        let slices = [io::IoSlice::new(batch.head()), io::IoSlice::new(batch.body())];
        self.file.write_all_vectored_at(&slices, self.position)?;
        let size = batch.size() as u32;
        self.places.push(Place { last_offset: batch.header().last_offset(), position: self.position, size });
        self.position += u64::from(size);
        Ok(())
    }

    /// Makes the snapshot whole and durable under its final name.
    pub(crate) fn finish(mut self) -> io::Result<SnapshotFile> {
        self.close_batch()?;
        self.file.sync_data()?;
        self.disk.rename(&self.part, &self.path)?;
        if let Some(parent) = self.path.parent() {
            self.disk.sync_dir(parent)?;
        }
        Ok(SnapshotFile {
            end: self.end,
            path: self.path,
            last_zxid: self.summary.last_zxid,
            voters: self.summary.voters,
            size: self.position,
            file: self.file,
            places: self.places,
            read_ms: AtomicU64::new(0),
        })
    }
}

/// A snapshot that comes from another node, piece by piece.
pub(crate) struct SnapshotReceiver {
    /// Which one.
    pub(crate) id: LogOffset,
    path: PathBuf,
    part: PathBuf,
    file: Arc<dyn File>,
}

impl SnapshotReceiver {
    /// Begins to receive a snapshot into `dir`.
    pub(crate) fn begin(disk: &dyn Disk, dir: &Path, id: LogOffset) -> io::Result<SnapshotReceiver> {
        let stem = format!("{:020}-{:010}", id.offset, id.epoch);
        let part = dir.join(format!("{stem}{PART_SUFFIX}"));
        let file = disk.open(&part, OpenMode::Truncate)?;
        Ok(SnapshotReceiver { id, path: dir.join(format!("{stem}{SUFFIX}")), part, file })
    }

    /// Writes a piece.
    pub(crate) fn write(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_vectored_at(&[io::IoSlice::new(bytes)], position)
    }

    /// Makes the pieces durable. Nothing has its final name yet, because the content is not judged.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Checks the whole and hands every record to `visit`.
    pub(crate) fn load(
        &self,
        disk: &dyn Disk,
        visit: impl FnMut(SnapshotRecord) -> io::Result<()>,
    ) -> io::Result<SnapshotFile> {
        SnapshotFile::load_as(disk, &self.part, self.id, visit)
    }

    /// Gives the snapshot that was found good its final name, durably.
    pub(crate) fn keep(&self, disk: &dyn Disk, loaded: SnapshotFile) -> io::Result<SnapshotFile> {
        disk.rename(&self.part, &self.path)?;
        if let Some(parent) = self.path.parent() {
            disk.sync_dir(parent)?;
        }
        Ok(SnapshotFile { path: self.path.clone(), ..loaded })
    }

    /// Removes what was received.
    pub(crate) fn discard(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.remove_file(&self.part)
    }
}

/// The whole snapshots of a folder, newest first; unfinished ones of an earlier run are removed.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in disk.read_dir(dir)? {
        let name = entry.path.to_string_lossy();
        if name.ends_with(PART_SUFFIX) {
            disk.remove_file(&entry.path)?;
        } else if end_of(&entry.path).is_some() {
            found.push(entry.path);
        }
    }
    found.reverse();
    Ok(found)
}

/// Takes a damaged snapshot's name away from it; its content stays for whoever wants to look.
pub(crate) fn set_aside(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(DAMAGED_SUFFIX);
    disk.rename(path, Path::new(&name))?;
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// The end of a snapshot as its file's name says.
pub(crate) fn end_of(path: &Path) -> Option<LogOffset> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (offset, epoch) = stem.split_once('-')?;
    if offset.len() != 20 || epoch.len() != 10 {
        return None;
    }
    Some(LogOffset::new(offset.parse().ok()?, epoch.parse().ok()?))
}

/// What a snapshot's first batch declares.
fn declared_summary(batch: &Batch, scratch: &mut Scratch) -> Option<Summary> {
    let record = batch.records(scratch).ok()?.next()?.ok()?;
    let records = std::str::from_utf8(record.header(b"records")??).ok()?.parse().ok()?;
    let zxid = std::str::from_utf8(record.header(b"zxid")??).ok()?.strip_prefix("0x")?;
    let last_zxid = Zxid(i64::from_str_radix(zxid, 16).ok()?);
    let at = match record.header(b"voters") {
        Some(at) => Some(std::str::from_utf8(at?).ok()?.parse().ok()?),
        None => None,
    };
    let time_ms = record.timestamp;
    let voters = at.and_then(|at| Some((at, control::voters(batch)?.1)));
    Some(Summary { records, last_zxid, time_ms, voters })
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("snapshot {}: {what}", path.display()))
}
