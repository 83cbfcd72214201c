//! What the tests of this crate share: a world with a clock by hand and a disk that can fail, and small batches.

use base::disk::Entry;
use base::{Clock, Disk, File, OpenMode, SystemDisk, World};
use log::{
    Batch, BatchBuilder, Compression, Log, LogConfig, LogOptions, Scratch, TailBudget, TopicPartition,
};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A clock that only moves when it is told to.
pub(crate) struct ManualClock(pub(crate) AtomicI64);

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_ms() * 1000
    }
}

/// What a disk is told to refuse, and what it has done.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) fail_writes: AtomicBool,
    pub(crate) fail_syncs: AtomicBool,
    /// Let this many bytes of the next failing write through.
    pub(crate) torn_bytes: AtomicU64,
    /// Do none of the changes that come after so many: to lengths and names of files. Unlimited if it was never set.
    pub(crate) dies_after: OnceLock<AtomicI64>,
    pub(crate) vectored_writes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) reads: AtomicU64,
    /// Bytes that need not be cached any more.
    pub(crate) forgotten: AtomicU64,
}

impl Faults {
    /// Does a change to a file's length or name, unless the process would have died before.
    fn change(&self, does: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.dies_after.get().is_some_and(|left| left.fetch_sub(1, Ordering::Relaxed) <= 0) {
            true => Err(refused()),
            false => does(),
        }
    }
}

/// The machine's disk with faults on demand.
pub(crate) struct FaultyDisk(pub(crate) Arc<Faults>);

struct FaultyFile {
    file: Arc<dyn File>,
    faults: Arc<Faults>,
}

fn refused() -> io::Error {
    io::Error::other("injected fault")
}

impl File for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.reads.fetch_add(1, Ordering::Relaxed);
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        if self.faults.fail_writes.load(Ordering::Relaxed) {
            return Err(refused());
        }
        self.file.write_all_at(buffer, offset)
    }

    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.faults.vectored_writes.fetch_add(1, Ordering::Relaxed);
        if self.faults.fail_writes.load(Ordering::Relaxed) {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let torn = (self.faults.torn_bytes.load(Ordering::Relaxed) as usize).min(all.len());
            self.file.write_all_at(&all[..torn], offset)?;
            return Err(refused());
        }
        self.file.write_all_vectored_at(slices, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::Relaxed);
        if self.faults.fail_syncs.load(Ordering::Relaxed) { Err(refused()) } else { self.file.sync_data() }
    }

    fn forget(&self, offset: u64, length: u64) {
        self.faults.forgotten.fetch_add(length, Ordering::Relaxed);
        self.file.forget(offset, length);
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.faults.change(|| self.file.set_len(length))
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode != OpenMode::Read && self.0.fail_writes.load(Ordering::Relaxed) {
            return Err(refused());
        }
        Ok(Arc::new(FaultyFile { file: SystemDisk.open(path, mode)?, faults: self.0.clone() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemDisk.create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        SystemDisk.read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.0.fail_writes.load(Ordering::Relaxed) {
            return Err(refused());
        }
        self.0.change(|| SystemDisk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.change(|| SystemDisk.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        SystemDisk.exists(path)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        SystemDisk.modified_ms(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        SystemDisk.lock(path)
    }
}

/// A folder of its own, a clock by hand, a disk with faults.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) world: World,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) config: LogConfig,
    pub(crate) tail: Arc<TailBudget>,
}

/// The time at which every test starts.
pub(crate) const NOW: i64 = 1_700_000_000_000;

impl Bench {
    pub(crate) fn new() -> Bench {
        let clock = Arc::new(ManualClock(AtomicI64::new(NOW)));
        let faults = Arc::new(Faults::default());
        let world =
            World { clock: clock.clone(), disk: Arc::new(FaultyDisk(faults.clone())), ..World::system() };
        let config =
            LogConfig { index_interval_bytes: 200, file_delete_delay_ms: 1000, ..LogConfig::default() };
        let dir = tempfile::tempdir().expect("a temporary folder");
        Bench { dir, world, clock, faults, config, tail: TailBudget::new(1 << 20, 1 << 20) }
    }

    /// No batch is served from memory.
    pub(crate) fn without_tail() -> Bench {
        Bench { tail: TailBudget::new(0, 0), ..Bench::new() }
    }

    pub(crate) fn log_path(&self) -> std::path::PathBuf {
        self.dir.path().join("events-0")
    }

    pub(crate) fn open_with(&self, clean_shutdown: bool, recovery_point: i64) -> Log {
        self.try_open(clean_shutdown, recovery_point).expect("the log opens")
    }

    pub(crate) fn try_open(&self, clean_shutdown: bool, recovery_point: i64) -> Result<Log, log::LogError> {
        Log::open(LogOptions {
            world: self.world.clone(),
            dir: self.log_path(),
            partition: TopicPartition::new("events", 0),
            config: self.config.clone(),
            clean_shutdown,
            recovery_point,
            log_start_offset: 0,
            high_watermark: 0,
            tail: self.tail.clone(),
        })
    }

    pub(crate) fn open(&self) -> Log {
        self.open_with(false, 0)
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.log_path()).expect("the folder");
        let mut names: Vec<String> =
            names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// A batch as a producer sends it: base offset 0, one record per value.
pub(crate) fn batch(values: &[&str]) -> Batch {
    batch_at(NOW, values)
}

pub(crate) fn batch_at(timestamp: i64, values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(0);
    for (index, value) in values.iter().enumerate() {
        let key = format!("k{index}");
        builder.append(timestamp, Some(key.as_bytes()), Some(value.as_bytes()), &[]).expect("a record");
    }
    builder.build().expect("a batch")
}

pub(crate) fn compressed(compression: Compression, values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(0).compression(compression);
    for value in values {
        builder.append(NOW, Some(b"key"), Some(value.as_bytes()), &[]).expect("a record");
    }
    builder.build().expect("a batch")
}

/// A batch of a producer.
pub(crate) fn sequenced(producer_id: i64, epoch: i16, sequence: i32, count: usize) -> Batch {
    let mut builder = BatchBuilder::new(0).producer(producer_id, epoch, sequence);
    for _ in 0..count {
        builder.append(NOW, Some(b"k"), Some(b"v"), &[]).expect("a record");
    }
    builder.build().expect("a batch")
}

/// Every record of a log from an offset on, as (offset, value).
pub(crate) fn contents(log: &Log, from: i64) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut offset = from;
    while offset < log.log_end_offset() {
        let limits = log::ReadLimits { max_bytes: 1 << 20, at_least_one: true, until: i64::MAX };
        let data = log.read(offset, limits).expect("a read");
        let mut progress = false;
        for batch in Batch::iter(data.into_bytes()) {
            let Ok(batch) = batch else { break };
            let mut scratch = Scratch::new();
            for record in batch.records(&mut scratch).expect("records") {
                let record = record.expect("a record");
                if record.offset >= offset {
                    let value = String::from_utf8_lossy(record.value.unwrap_or(b"(null)")).into_owned();
                    found.push((record.offset, value));
                }
            }
            offset = batch.header().next_offset();
            progress = true;
        }
        if !progress {
            break;
        }
    }
    found
}
