//! A set of record batches as it travels: a list of shared chunks that are never joined, or a range of a file that is never read.

use std::fmt;

use bytes::Bytes;

use crate::FileRange;

/// Record batches in wire order, as shared chunks. The log hands over its slices, the encoder splices them into the
/// frame, nobody copies. Chunk borders carry no meaning: two sets with equal bytes are equal. A set that lies in a file has no chunks;
/// it is the same as another if it is the same range. Decoding never gives one.
#[derive(Clone, Default)]
pub struct Records {
    first: Bytes,
    rest: Vec<Bytes>,
    /// Then there are no chunks.
    file: Option<FileRange>,
}

impl Records {
    /// A set without any batch.
    pub const EMPTY: Records = Records { first: Bytes::new(), rest: Vec::new(), file: None };

    /// Adds a chunk behind the others; an empty one is dropped. Not for a set that lies in a file.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.file.is_none(), "a chunk cannot follow a range of a file");
        if chunk.is_empty() {
            return;
        }
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.push(chunk);
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        match &self.file {
            Some(range) => range.len,
            None => self.chunks().map(Bytes::len).sum(),
        }
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.file.as_ref().is_none_or(|range| range.len == 0)
    }

    /// Where the set lies, if that is not in memory.
    pub fn file(&self) -> Option<&FileRange> {
        self.file.as_ref()
    }

    /// The chunks in wire order, none of them empty; none of a set that lies in a file.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).filter(|chunk| !chunk.is_empty()).chain(&self.rest)
    }

    /// All bytes in one piece: shared when there is only one chunk, as after decoding, else a copy. Not for a set that lies in a file.
    pub fn to_bytes(&self) -> Bytes {
        debug_assert!(self.file.is_none(), "the bytes are not in memory");
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut all = Vec::with_capacity(self.len());
        for chunk in self.chunks() {
            all.extend_from_slice(chunk);
        }
        Bytes::from(all)
    }
}

impl From<Bytes> for Records {
    fn from(chunk: Bytes) -> Records {
        Records { first: chunk, rest: Vec::new(), file: None }
    }
}

impl From<FileRange> for Records {
    fn from(range: FileRange) -> Records {
        Records { file: Some(range), ..Records::EMPTY }
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Records {
        let mut records = Records::EMPTY;
        for chunk in chunks {
            records.push(chunk);
        }
        records
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        self.file == other.file
            && self.len() == other.len()
            && self.chunks().flatten().eq(other.chunks().flatten())
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(range) => write!(f, "Records({range:?})"),
            None => write!(f, "Records({} bytes in {} chunks)", self.len(), self.chunks().count()),
        }
    }
}
