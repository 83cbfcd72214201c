//! Files and folders behind a trait, so that tests can make a disk fail and a simulator can own it.
//!
//! Reads and writes are positioned: a [`File`] has no cursor and can be shared by readers and one writer.
use crate::unflushed::Unflushed;
use std::ffi::CString;
use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most slices that one vectored write passes to the kernel (Linux' UIO_MAXIOV).
const IO_SLICES_MAX: usize = 1024;

/// A file that is larger than this is removed in steps of as much: a file system that frees hundreds of megabytes at once, and may have to
/// tell the medium, holds up everybody's flushes until it is through.
const REMOVE_BYTES: u64 = 16 << 20;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing or new file, for reading and writing; existing content stays.
    ReadWrite,
    /// A new file, for reading and writing; an existing one is emptied.
    Truncate,
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 means the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Appends up to `length` bytes at `offset` to `buffer`, and says how many; 0 means the end of the file.
    fn append_to(&self, buffer: &mut Vec<u8>, length: usize, offset: u64) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(start + length, 0);
        let read = self.read_at(&mut buffer[start..], offset);
        buffer.truncate(start + read.as_ref().map_or(0, |count| *count));
        read
    }
    /// Writes all of `buffer` at `offset`.
    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all slices one after another from `offset` on, in as few system calls as possible.
    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Returns once the content (not the times) is on the medium: fdatasync. Much content goes there in pieces, so that flushes of other
    /// files come in between.
    fn sync_data(&self) -> io::Result<()>;
    /// Says that nobody is expected to read these bytes soon, so that the system may use the memory that caches them for something
    /// else. A hint: it changes no content, what is not on the medium stays in memory, and a failure means nothing.
    fn forget(&self, _offset: u64, _length: u64) {}
    /// Cuts or extends the file to `length` bytes.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// The file of the machine that this is, if it is one: for system calls that move its bytes elsewhere.
    fn system_file(&self) -> Option<&Arc<fs::File>> {
        None
    }

    /// Fills `buffer` from `offset`; a file that ends before is an `UnexpectedEof` error.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a folder entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The entry's full path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// How large a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that this process can still fill.
    pub usable: u64,
}

/// A file system.
pub trait Disk: Send + Sync {
    /// Opens or creates a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Creates a folder and its missing parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a folder, sorted by path.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Atomically renames a file or folder, replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Who has it open may find a large one cut.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with everything in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes created, renamed and removed entries of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether something exists at the path.
    fn exists(&self, path: &Path) -> bool;
    /// The time of last modification in milliseconds since the Unix epoch.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
    /// Takes an exclusive lock on a file, creating it if needed. `WouldBlock` means that another process holds it.
    /// The lock lasts as long as the returned value, and no longer than the process.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// The size of the file system that a path is on. `Unsupported` if this disk has none.
    fn space(&self, _path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads a whole file of at most `max` bytes; a longer one is an `InvalidData` error.
    fn read_file(&self, path: &Path, max: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let length = file.length()?;
        if length > max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} has {length} bytes, more than the {max} that it may have", path.display()),
            ));
        }
        let mut content = vec![0; length as usize];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Replaces a file's content so that after a crash either the old or the new content is there, whole.
    fn write_file_atomic(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let file = self.open(&temporary, OpenMode::Truncate)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }
}

/// The machine's file system.
#[derive(Debug)]
pub struct SystemDisk;

struct SystemFile {
    file: Arc<fs::File>,
    unflushed: Unflushed,
}

impl SystemFile {
    fn new(file: fs::File) -> SystemFile {
        SystemFile { file: Arc::new(file), unflushed: Unflushed::default() }
    }
}

/// Hands a range of a file to the medium and waits for it. Nothing is durable by that, and a failure shows again when the file is flushed.
#[cfg(target_os = "linux")]
fn write_back(file: &fs::File, range: Range<u64>) {
    let (Ok(offset), Ok(length)) =
        (libc::off64_t::try_from(range.start), libc::off64_t::try_from(range.end - range.start))
    else {
        return;
    };
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open as long as `file` is borrowed; the call takes no memory of this process.
    let _unheeded = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) };
}

#[cfg(not(target_os = "linux"))]
fn write_back(_: &fs::File, _: Range<u64>) {}

/// Removes a file whose size makes it worth to free its space in steps. Its name goes first, so that nobody finds a part of it.
fn remove_large(path: &Path, length: u64) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    fs::remove_file(path)?;
    let mut left = length;
    while left > 0 {
        left = left.saturating_sub(REMOVE_BYTES);
        // The name is gone, which is what was asked for; the rest goes with the descriptor.
        if file.set_len(left).and_then(|()| file.sync_data()).is_err() {
            break;
        }
    }
    Ok(())
}

/// Removes a folder's large files, at any depth.
fn remove_large_below(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        let kind = entry?;
        if kind.is_dir() {
            remove_large_below(&path)?;
        } else if kind.is_file()
            && let Some(length) = large(&path)?
        {
            remove_large(&path, length)?;
        }
    }
    Ok(())
}

/// The length of a file if it is a large one.
fn large(path: &Path) -> io::Result<Option<u64>> {
    let found = fs::symlink_metadata(path)?;
    Ok(Some(found.len()).filter(|length| found.is_file() && *length > REMOVE_BYTES))
}

impl File for SystemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    /// Without filling the memory first: catching up reads a lot.
    fn append_to(&self, buffer: &mut Vec<u8>, length: usize, offset: u64) -> io::Result<usize> {
        buffer.reserve(length);
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let room = buffer.spare_capacity_mut();
        // SAFETY: the descriptor is open as long as `self` is borrowed, and `reserve` made room for at least `length` bytes.
        let read = unsafe { libc::pread(self.file.as_raw_fd(), room.as_mut_ptr().cast(), length, offset) };
        let count = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has written so many bytes behind the old end.
        unsafe { buffer.set_len(buffer.len() + count) };
        Ok(count)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.unflushed.note(offset, buffer.len());
        self.file.write_all_at(buffer, offset)
    }

    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        self.unflushed.note(offset, slices.iter().map(|slice| slice.len()).sum());
        let mut owned: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut rest = &mut owned[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let count = rest.len().min(IO_SLICES_MAX);
            // SAFETY: an IoSlice has the layout of an iovec (std guarantees it on Unix); the slices outlive the call
            // and `count` is within `rest`.
            let written = unsafe {
                libc::pwritev(
                    self.file.as_raw_fd(),
                    rest.as_ptr().cast::<libc::iovec>(),
                    count as libc::c_int,
                    offset as libc::off_t,
                )
            };
            match written {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count if count > 0 => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count as usize);
                }
                _ => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.unflushed.take().for_each(|piece| write_back(&self.file, piece));
        self.file.sync_data()
    }

    fn forget(&self, offset: u64, length: u64) {
        let (Ok(offset), Ok(length)) = (libc::off_t::try_from(offset), libc::off_t::try_from(length)) else {
            return;
        };
        // SAFETY: the descriptor is open as long as `self` is borrowed; the call takes no memory of this process.
        let _unheeded =
            unsafe { libc::posix_fadvise(self.file.as_raw_fd(), offset, length, libc::POSIX_FADV_DONTNEED) };
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn system_file(&self) -> Option<&Arc<fs::File>> {
        Some(&self.file)
    }
}

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true).create(true).truncate(false);
            }
            OpenMode::Truncate => {
                options.write(true).create(true).truncate(true);
            }
        }
        Ok(Arc::new(SystemFile::new(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            entries.push(Entry { path: entry.path(), is_dir: entry.file_type()?.is_dir() });
        }
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match large(path)? {
            Some(length) => remove_large(path, length),
            None => fs::remove_file(path),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        remove_large_below(path)?;
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let modified = fs::metadata(path)?.modified()?;
        Ok(modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path ends with a zero byte, and the place is large enough for what the call writes.
        let outcome = unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it has written the whole structure.
        let found = unsafe { found.assume_init() };
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { total: bytes(found.f_blocks), usable: bytes(found.f_bavail) })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::from(io::ErrorKind::WouldBlock),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Box::new(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_a_size_and_a_missing_path_has_none() {
        let space = SystemDisk.space(Path::new("/")).expect("the root is there");
        assert!(space.total > 0 && space.usable <= space.total);
        assert!(SystemDisk.space(Path::new("/no such folder")).is_err());
    }

    #[test]
    fn large_files_are_gone_when_they_are_removed_and_their_space_is_free() {
        let dir = tempfile::tempdir().expect("a folder");
        let below = dir.path().join("below");
        std::fs::create_dir(&below).expect("another");
        let create = |path: &Path, length| {
            let file = SystemDisk.open(path, OpenMode::ReadWrite).expect("a file");
            file.set_len(length).expect("its length");
            file
        };
        let small = create(&dir.path().join("small"), REMOVE_BYTES);
        let large = create(&dir.path().join("large"), 3 * REMOVE_BYTES + 1);
        SystemDisk.remove_file(&dir.path().join("small")).expect("removed");
        SystemDisk.remove_file(&dir.path().join("large")).expect("removed");
        assert!(!dir.path().join("small").exists() && !dir.path().join("large").exists());
        let length = |file: &Arc<dyn File>| file.length().expect("a length");
        assert_eq!((length(&small), length(&large)), (REMOVE_BYTES, 0));
        let within = create(&below.join("large"), 2 * REMOVE_BYTES);
        SystemDisk.remove_dir_all(&below).expect("removed");
        assert!(!below.exists());
        assert_eq!(length(&within), 0);
    }

    #[test]
    fn much_that_was_written_is_there_after_a_flush_in_pieces() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let file = SystemDisk.open(&path, OpenMode::ReadWrite).expect("a file");
        let content: Vec<u8> = (0..6_000_000_u32).map(|at| (at / 7) as u8).collect();
        file.write_all_at(&content[..5_000_000], 0).expect("written");
        let rest = [IoSlice::new(&content[5_000_000..5_000_001]), IoSlice::new(&content[5_000_001..])];
        file.write_all_vectored_at(&rest, 5_000_000).expect("written");
        file.sync_data().expect("flushed");
        assert!(SystemDisk.read_file(&path, 10_000_000).expect("read") == content);
    }
}
