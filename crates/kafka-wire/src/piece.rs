//! What a response frame is made of: bytes in memory, and ranges of files that nobody has read.
//!
//! Only whoever writes to a socket can do something with a range, so ranges are only in answers that were asked for with them.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;

use crate::EncodeError;

/// An open file that holds record batches. It stays open, and so readable, for as long as a range of it is on its way, even if it was
/// removed meanwhile.
pub trait BatchFile: AsFd + Send + Sync {
    /// Whether all that was there when the range was made is there still. What was cut off may have been replaced by other batches, so
    /// a range of a file that is not intact must not be sent.
    fn is_intact(&self) -> bool;
}

/// Record batches where they lie in a file.
#[derive(Clone)]
pub struct FileRange {
    /// The file.
    pub file: Arc<dyn BatchFile>,
    /// Where the range begins.
    pub position: u64,
    /// Its length in bytes.
    pub len: usize,
}

impl PartialEq for FileRange {
    fn eq(&self, other: &FileRange) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && (self.position, self.len) == (other.position, other.len)
    }
}

impl Eq for FileRange {}

impl fmt::Debug for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRange({} bytes from {})", self.len, self.position)
    }
}

/// A piece of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes in memory.
    Memory(Bytes),
    /// Bytes of a file.
    File(FileRange),
}

impl Piece {
    /// The bytes.
    ///
    /// # Errors
    /// [`EncodeError::InFile`] if they are not in memory.
    pub fn into_memory(self) -> Result<Bytes, EncodeError> {
        match self {
            Piece::Memory(bytes) => Ok(bytes),
            Piece::File(range) => Err(EncodeError::InFile { len: range.len }),
        }
    }

    /// Bytes of memory that the piece takes.
    pub fn memory(&self) -> usize {
        match self {
            Piece::Memory(bytes) => bytes.len(),
            Piece::File(_) => 0,
        }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Piece {
        Piece::Memory(bytes)
    }
}
