//! A set of record batches as it travels: a list of shared chunks that are never joined.

use std::fmt;

use bytes::Bytes;

/// Record batches in wire order, as shared chunks. The log hands over its slices, the encoder splices them into the
/// frame, nobody copies. Chunk borders carry no meaning: two sets with equal bytes are equal.
#[derive(Clone, Default)]
pub struct Records {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Records {
    /// A set without any batch.
    pub const EMPTY: Records = Records { first: Bytes::new(), rest: Vec::new() };

    /// Adds a chunk behind the others; an empty one is dropped.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.push(chunk);
        }
    }

    /// Length of all chunks together, in bytes.
    pub fn len(&self) -> usize {
        self.chunks().map(Bytes::len).sum()
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The chunks in wire order, none of them empty.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).filter(|chunk| !chunk.is_empty()).chain(&self.rest)
    }

    /// All bytes in one piece: shared when there is only one chunk, as after decoding, else a copy.
    pub fn to_bytes(&self) -> Bytes {
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
        Records { first: chunk, rest: Vec::new() }
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
        self.len() == other.len() && self.chunks().flatten().eq(other.chunks().flatten())
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes in {} chunks)", self.len(), self.chunks().count())
    }
}
