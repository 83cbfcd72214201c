//! The two sparse indexes of a segment: `.index` (offset to file position) and `.timeindex` (timestamp to offset).
//!
//! Kafka maps these files into memory; here new entries are collected in a small buffer, written in one piece when it
//! is full, and older ones are found by positioned reads, so that an idle partition costs no memory. Invariant: keys
//! never decrease. After an unclean stop the indexes of unflushed segments are rebuilt, so a lost buffer is harmless.
use base::{Disk, File, OpenMode};
use parking_lot::Mutex;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of entries that wait in memory before they are written.
const PENDING_BYTES: usize = 4096;
/// A search reads the rest at once when this many entries are left.
const SEARCH_BLOCK: u64 = 512;
/// The largest entry of any index, in bytes.
const ENTRY_SIZE_MAX: usize = 12;

/// An entry of fixed size with a key to search by.
pub(crate) trait IndexEntry: Copy {
    /// Encoded size in bytes.
    const SIZE: usize;
    /// The search key.
    fn key(&self) -> i64;
    /// Appends the encoded entry.
    fn encode(&self, output: &mut Vec<u8>);
    /// Decodes `SIZE` bytes.
    fn decode(bytes: &[u8]) -> Self;
}

/// Where a batch lies: its last offset, relative to the segment, and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
}

/// No batch behind `relative_offset` and before the next entry has a larger timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative_offset: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

impl IndexEntry for OffsetEntry {
    const SIZE: usize = 8;

    fn key(&self) -> i64 {
        i64::from(self.relative_offset)
    }

    fn encode(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.relative_offset.to_be_bytes());
        output.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> OffsetEntry {
        OffsetEntry { relative_offset: u32_at(bytes, 0), position: u32_at(bytes, 4) }
    }
}

impl IndexEntry for TimeEntry {
    const SIZE: usize = 12;

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn encode(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.timestamp.to_be_bytes());
        output.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> TimeEntry {
        let timestamp = bytes.first_chunk().map_or(0, |chunk| i64::from_be_bytes(*chunk));
        TimeEntry { timestamp, relative_offset: u32_at(bytes, 8) }
    }
}

struct State<E> {
    /// Opened at first use, so that old segments cost no descriptor.
    file: Option<Arc<dyn File>>,
    /// Entries in the file.
    written: u64,
    pending: Vec<u8>,
    last: Option<E>,
}

/// An index file.
pub(crate) struct Index<E> {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    state: Mutex<State<E>>,
    entry: PhantomData<E>,
}

impl<E: IndexEntry> Index<E> {
    /// An index at `path`; its file is opened or created at first use.
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Index<E> {
        let state = State { file: None, written: 0, pending: Vec::new(), last: None };
        Index { path, disk, state: Mutex::new(state), entry: PhantomData }
    }

    /// The index's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn load(&self, state: &mut State<E>) -> io::Result<Arc<dyn File>> {
        if let Some(file) = &state.file {
            return Ok(file.clone());
        }
        let file = self.disk.open(&self.path, OpenMode::ReadWrite)?;
        state.written = file.length()? / E::SIZE as u64;
        state.last = match state.written {
            0 => None,
            count => Some(read_entry(&*file, count - 1)?),
        };
        state.file = Some(file.clone());
        Ok(file)
    }

    /// Opens the file now: it will be renamed, and later openings would miss it.
    pub(crate) fn hold(&self) -> io::Result<()> {
        self.load(&mut self.state.lock()).map(drop)
    }

    /// Whether the file's length is that of whole entries.
    pub(crate) fn length_is_sane(&self) -> io::Result<bool> {
        let file = self.load(&mut self.state.lock())?;
        Ok(file.length()? % E::SIZE as u64 == 0)
    }

    /// Number of entries.
    pub(crate) fn count(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        self.load(&mut state)?;
        Ok(state.count())
    }

    /// The last entry.
    pub(crate) fn last(&self) -> io::Result<Option<E>> {
        let mut state = self.state.lock();
        self.load(&mut state)?;
        Ok(state.last)
    }

    /// Adds an entry whose key is larger than the last one's; others are left out.
    pub(crate) fn append(&self, entry: E) -> io::Result<()> {
        let mut state = self.state.lock();
        self.load(&mut state)?;
        if state.last.is_some_and(|last| last.key() >= entry.key()) {
            return Ok(());
        }
        if state.pending.len() + E::SIZE > PENDING_BYTES {
            self.write_pending(&mut state)?;
        }
        entry.encode(&mut state.pending);
        state.last = Some(entry);
        Ok(())
    }

    fn write_pending(&self, state: &mut State<E>) -> io::Result<()> {
        if state.pending.is_empty() {
            return Ok(());
        }
        let file = self.load(state)?;
        file.write_all_at(&state.pending, state.written * E::SIZE as u64)?;
        state.written = state.count();
        state.pending = Vec::new();
        Ok(())
    }

    /// Writes what waits in memory.
    pub(crate) fn write(&self) -> io::Result<()> {
        self.write_pending(&mut self.state.lock())
    }

    /// Writes what waits and makes the file durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = {
            let mut state = self.state.lock();
            self.write_pending(&mut state)?;
            self.load(&mut state)?
        };
        file.sync_data()
    }

    /// The last entry whose key is at most `key`.
    ///
    /// Meanwhile a truncation may shorten the file; then there is no answer, and a search through the log begins at the
    /// segment's start.
    pub(crate) fn floor(&self, key: i64) -> io::Result<Option<E>> {
        self.last_while(|entry| entry.key() <= key)
    }

    /// The last of the entries for which `belongs` is true, which are all up to some entry. A truncation as with [`Index::floor`].
    pub(crate) fn last_while(&self, belongs: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        match self.search(belongs) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            result => result,
        }
    }

    fn search(&self, belongs: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        let (file, written) = {
            let mut state = self.state.lock();
            let file = self.load(&mut state)?;
            if let Some(entry) = last_in(&state.pending, &belongs) {
                return Ok(Some(entry));
            }
            (file, state.written)
        };
        // Entries below `low` belong, those from `high` on don't.
        let (mut low, mut high) = (0, written);
        while high - low > SEARCH_BLOCK {
            let middle = low + (high - low) / 2;
            if belongs(&read_entry::<E>(&*file, middle)?) {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut block = vec![0; (high - low) as usize * E::SIZE];
        file.read_exact_at(&mut block, low * E::SIZE as u64)?;
        Ok(last_in(&block, &belongs))
    }

    /// Removes entries for which `keep` is false, from the end on, up to the first to keep.
    pub(crate) fn truncate_while(&self, drop_entry: impl Fn(&E) -> bool) -> io::Result<()> {
        let mut state = self.state.lock();
        self.write_pending(&mut state)?;
        let file = self.load(&mut state)?;
        while let Some(last) = state.last {
            if !drop_entry(&last) {
                break;
            }
            state.written -= 1;
            state.last = match state.written {
                0 => None,
                count => Some(read_entry(&*file, count - 1)?),
            };
        }
        file.set_len(state.written * E::SIZE as u64)
    }

    /// Removes all entries.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = self.load(&mut state)?;
        *state = State { file: Some(file.clone()), written: 0, pending: Vec::new(), last: None };
        file.set_len(0)
    }

    /// Closes the file until it is used again. Not for an index whose file may be renamed.
    pub(crate) fn release(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        self.write_pending(&mut state)?;
        state.file = None;
        Ok(())
    }
}

impl<E: IndexEntry> State<E> {
    fn count(&self) -> u64 {
        self.written + (self.pending.len() / E::SIZE) as u64
    }
}

fn read_entry<E: IndexEntry>(file: &dyn File, index: u64) -> io::Result<E> {
    let mut bytes = [0; ENTRY_SIZE_MAX];
    let bytes = &mut bytes[..E::SIZE];
    file.read_exact_at(bytes, index * E::SIZE as u64)?;
    Ok(E::decode(bytes))
}

/// The last of some encoded entries that belongs.
fn last_in<E: IndexEntry>(entries: &[u8], belongs: &impl Fn(&E) -> bool) -> Option<E> {
    let count = entries.len() / E::SIZE;
    let entry = |index: usize| E::decode(&entries[index * E::SIZE..(index + 1) * E::SIZE]);
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if belongs(&entry(middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.checked_sub(1).map(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SystemDisk;

    fn index(dir: &Path) -> Index<OffsetEntry> {
        Index::new(Arc::new(SystemDisk), dir.join("00000000000000000000.index"))
    }

    fn entry(number: u32) -> OffsetEntry {
        OffsetEntry { relative_offset: number * 10, position: number }
    }

    fn check(index: &Index<OffsetEntry>, count: u32) {
        assert_eq!(index.floor(-1).expect("a search"), None);
        for number in (0..count).step_by(7).chain([count - 1]) {
            for key in [0, 9] {
                let found = index.floor(i64::from(number * 10 + key)).expect("a search");
                assert_eq!(found, Some(entry(number)));
            }
        }
        assert_eq!(index.last().expect("an entry"), Some(entry(count - 1)));
        assert_eq!(index.count().expect("a count"), u64::from(count));
    }

    #[test]
    fn entries_are_found_in_the_file_and_in_the_buffer() {
        let dir = tempfile::tempdir().expect("a folder");
        let index = index(dir.path());
        assert_eq!(index.floor(5).expect("a search"), None);
        for number in 0..3000 {
            index.append(entry(number)).expect("appended");
        }
        check(&index, 3000);
        index.append(entry(2999)).expect("left out: the key did not grow");
        index.sync().expect("synced");
        check(&index, 3000);
        index.release().expect("closed");
        check(&index, 3000);
        assert!(index.length_is_sane().expect("a length"));
    }

    #[test]
    fn truncation_drops_entries_from_the_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let index = index(dir.path());
        for number in 0..1000 {
            index.append(entry(number)).expect("appended");
        }
        index.truncate_while(|entry| entry.relative_offset >= 6005).expect("cut");
        check(&index, 601);
        for number in 601..700 {
            index.append(entry(number)).expect("appended");
        }
        check(&index, 700);
        index.clear().expect("cleared");
        assert_eq!((index.count().expect("a count"), index.last().expect("none")), (0, None));
        index.append(entry(4)).expect("appended");
        assert_eq!(index.floor(99).expect("a search"), Some(entry(4)));
    }

    #[test]
    fn a_file_that_shrinks_under_a_search_is_no_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let index = index(dir.path());
        for number in 0..600 {
            index.append(entry(number)).expect("appended");
        }
        index.write().expect("written");
        std::fs::write(index.path(), b"").expect("emptied");
        assert_eq!(index.floor(100).expect("no error"), None);
    }
}
