//! Writes one message as a list of chunks: small fields are gathered, large byte fields and record sets are spliced in
//! between without a copy, or named where they lie in a file.

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::{Field, Shape};
use crate::table::Row;
use crate::{EncodeError, Piece, Records};

/// From this length on, in bytes, a chunk is spliced; below it copying is cheaper than one more entry of the vectored
/// write.
const SPLICE_FROM: usize = 1024;

/// Room that a new encoder starts with, in bytes: enough for most responses without records.
const START_CAPACITY: usize = 256;

/// The output of encoding: gathered bytes, and spliced pieces with the position in them where each belongs.
#[derive(Debug)]
pub struct Encoder {
    buf: BytesMut,
    splices: Vec<(usize, Piece)>,
    spliced: usize,
    shape: Shape,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// An encoder without output.
    pub fn new() -> Encoder {
        Encoder {
            buf: BytesMut::with_capacity(START_CAPACITY),
            splices: Vec::new(),
            spliced: 0,
            shape: Shape::default(),
        }
    }

    /// Length of the output so far, in bytes, spliced chunks included.
    pub fn len(&self) -> usize {
        self.buf.len() + self.spliced
    }

    /// Whether there is no output yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends encoding. The chunks in wire order, none of them empty.
    ///
    /// # Errors
    /// [`EncodeError::InFile`] if records lie in a file: see [`Encoder::finish_pieces`].
    pub fn finish(self) -> Result<Vec<Bytes>, EncodeError> {
        self.finish_pieces().into_iter().map(Piece::into_memory).collect()
    }

    /// Ends encoding. The pieces in wire order, none of them empty.
    pub fn finish_pieces(self) -> Vec<Piece> {
        let gathered = self.buf.freeze();
        let mut pieces = Vec::with_capacity(self.splices.len() * 2 + 1);
        let mut from = 0;
        for (at, piece) in self.splices {
            if at > from {
                pieces.push(gathered.slice(from..at).into());
            }
            pieces.push(piece);
            from = at;
        }
        if from < gathered.len() {
            pieces.push(gathered.slice(from..).into());
        }
        pieces
    }

    /// Makes the output a frame: the first four bytes, which the caller left for it, take the frame's size.
    pub(crate) fn into_frame(mut self) -> Result<Encoder, EncodeError> {
        let len = self.len().saturating_sub(4);
        let size = i32::try_from(len).map_err(|_| EncodeError::TooLong { len })?;
        if let Some(prefix) = self.buf.first_chunk_mut::<4>() {
            *prefix = size.to_be_bytes();
        }
        Ok(self)
    }

    /// Sets the shape that the following fields are written in.
    pub(crate) fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// Writes a field if it is a plain field of this version.
    ///
    /// # Errors
    /// [`EncodeError::FieldNotInVersion`] if the version has no place for a value that differs from the default, unless
    /// the row says that the value may be dropped.
    #[inline]
    pub(crate) fn field<F: Field + PartialEq>(&mut self, value: &F, row: &Row<F>) -> Result<(), EncodeError> {
        let version = self.shape.version;
        if row.is_plain(version) {
            return value.write(self, row.null.contains(version));
        }
        if row.ignorable || row.is_tagged(version) || *value == (row.default)() {
            return Ok(());
        }
        Err(EncodeError::FieldNotInVersion { field: row.name, version })
    }

    /// Writes a tagged field if this version has it and the value is not the default. True if it was written.
    pub(crate) fn tagged<F: Field + PartialEq>(
        &mut self,
        value: &F,
        row: &Row<F>,
        tag: u32,
    ) -> Result<bool, EncodeError> {
        if !row.is_tagged(self.shape.version) || *value == (row.default)() {
            return Ok(false);
        }
        self.uvarint(tag);
        let (start, spliced) = (self.buf.len(), self.splices.len());
        let before = self.len();
        value.write(self, row.null.contains(self.shape.version))?;
        self.insert_size(start, spliced, self.len() - before)?;
        Ok(true)
    }

    /// Inserts `size` as a variable-length integer at `start`, moving everything written since then: the gathered bytes
    /// and the splices from number `spliced` on.
    fn insert_size(&mut self, start: usize, spliced: usize, size: usize) -> Result<(), EncodeError> {
        let size32 = u32::try_from(size).map_err(|_| EncodeError::TooLong { len: size })?;
        let end = self.buf.len();
        self.uvarint(size32);
        let width = self.buf.len() - end;
        if let Some(moved) = self.buf.get_mut(start..) {
            moved.rotate_right(width);
        }
        for (at, _) in self.splices.iter_mut().skip(spliced) {
            *at += width;
        }
        Ok(())
    }

    /// Writes the tagged section that ends every structure of a flexible version. `fields` writes the fields in the
    /// order of their tags and returns how many there are; no structure has more than 127, so the count is one byte.
    pub(crate) fn tagged_section(
        &mut self,
        fields: impl FnOnce(&mut Encoder) -> Result<u8, EncodeError>,
    ) -> Result<(), EncodeError> {
        if !self.shape.flexible {
            return Ok(());
        }
        let at = self.buf.len();
        self.buf.put_u8(0);
        let count = fields(self)?;
        if let Some(place) = self.buf.get_mut(at) {
            *place = count;
        }
        Ok(())
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
    }

    /// Appends a chunk: spliced if it is large, copied if it is small.
    pub(crate) fn put_chunk(&mut self, chunk: &Bytes) {
        if chunk.len() < SPLICE_FROM {
            self.buf.put_slice(chunk);
        } else {
            self.spliced += chunk.len();
            self.splices.push((self.buf.len(), Piece::Memory(chunk.clone())));
        }
    }

    /// Appends every chunk of a record set, or the range of the file that it is.
    pub(crate) fn put_records(&mut self, records: &Records) {
        if let Some(range) = records.file().filter(|range| range.len > 0) {
            self.spliced += range.len;
            self.splices.push((self.buf.len(), Piece::File(range.clone())));
        }
        for chunk in records.chunks() {
            self.put_chunk(chunk);
        }
    }

    /// Writes an unsigned variable-length integer.
    pub(crate) fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buf.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.buf.put_u8(value as u8);
    }

    /// Writes a string's length in the current shape; `None` stands for null.
    pub(crate) fn string_length(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let length = match len {
            None => -1,
            Some(len) => i16::try_from(len).map_err(|_| EncodeError::StringTooLong { len })?,
        };
        if self.shape.flexible {
            self.uvarint((i32::from(length) + 1) as u32);
        } else {
            self.buf.put_i16(length);
        }
        Ok(())
    }

    /// Writes the length of an array or byte field in the current shape; `None` stands for null.
    pub(crate) fn length(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let length = match len {
            None => -1,
            Some(len) => i32::try_from(len).map_err(|_| EncodeError::TooLong { len })?,
        };
        if self.shape.flexible {
            self.uvarint((length as u32).wrapping_add(1));
        } else {
            self.buf.put_i32(length);
        }
        Ok(())
    }

    /// The error for a null that the version does not allow.
    pub(crate) fn null_error(&self) -> EncodeError {
        EncodeError::Null { version: self.shape.version }
    }
}
