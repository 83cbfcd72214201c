//! Reads one message out of a frame: bounded, borrowed, never panicking.
//!
//! Nesting is bounded by the tables themselves, since no Kafka structure contains itself. Memory is bounded twice: an
//! array is given room only after its count was checked against the bytes that its elements need at least, and all
//! arrays of a message together may take at most [`Decoder::memory_limit`].

use bytes::Bytes;

use crate::field::{Field, Shape};
use crate::table::Row;
use crate::{DecodeError, Str};

/// Longest string that the protocol allows, in bytes.
pub(crate) const MAX_STRING: usize = i16::MAX as usize;

/// Memory that the arrays of a message may take however short the message is, in bytes.
const FREE_MEMORY: usize = 16 << 20;

/// Memory that the arrays of a message may take per byte of input. Real messages need up to 6: short names in small
/// structures. Only bytes made up to hurt (millions of empty structures) need more.
const MEMORY_PER_BYTE: usize = 8;

/// A position in the bytes of a message, with the shape (version, flexible or not) that the message is read in.
#[derive(Debug, Clone)]
pub struct Decoder {
    buf: Bytes,
    pos: usize,
    shape: Shape,
    memory_limit: usize,
    memory_left: usize,
}

impl Decoder {
    /// A decoder at the start of `buf`.
    pub fn new(buf: Bytes) -> Decoder {
        let memory_limit = Decoder::memory_limit(buf.len());
        Decoder { buf, pos: 0, shape: Shape::default(), memory_limit, memory_left: memory_limit }
    }

    /// How much memory, in bytes, the arrays of a message of `len` bytes may take.
    pub const fn memory_limit(len: usize) -> usize {
        len.saturating_mul(MEMORY_PER_BYTE).saturating_add(FREE_MEMORY)
    }

    /// Bytes that are not read yet.
    pub fn remaining(&self) -> usize {
        self.buf.len() - self.pos
    }

    /// Offset of the next byte in the input.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// Ends decoding.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if input is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { at: self.pos, left }),
        }
    }

    /// Sets the shape that the following fields are read in.
    pub(crate) fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// Reads a field that is no tagged field into `slot`; a field that the version lacks keeps its default.
    #[inline]
    pub(crate) fn field<F: Field>(&mut self, slot: &mut F, row: &Row<F>) -> Result<(), DecodeError> {
        if row.is_plain(self.shape.version) {
            *slot = F::read(self, row.null.contains(self.shape.version))?;
        }
        Ok(())
    }

    /// Reads the tagged field `tag` into `slot`. False if the version does not know the tag.
    pub(crate) fn tagged<F: Field>(&mut self, slot: &mut F, row: &Row<F>) -> Result<bool, DecodeError> {
        if !row.is_tagged(self.shape.version) {
            return Ok(false);
        }
        *slot = F::read(self, row.null.contains(self.shape.version))?;
        Ok(true)
    }

    /// Reads the tagged section that ends every structure of a flexible version. `known` reads the field of a tag that
    /// the structure knows and answers false for others, which are skipped.
    pub(crate) fn tagged_section(
        &mut self,
        mut known: impl FnMut(&mut Decoder, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.shape.flexible {
            return Ok(());
        }
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            self.check(size)?;
            let end = self.pos + size;
            if !known(self, tag)? {
                self.pos = end;
            }
            if self.pos != end {
                return Err(DecodeError::TagSize { tag, at: self.pos, end });
            }
        }
        Ok(())
    }

    /// Errors unless `wanted` more bytes are there.
    fn check(&self, wanted: usize) -> Result<(), DecodeError> {
        match self.remaining() {
            left if wanted <= left => Ok(()),
            left => Err(DecodeError::Truncated { at: self.pos, wanted, left }),
        }
    }

    /// Takes the next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.buf.get(self.pos..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => {
                self.pos += N;
                Ok(*bytes)
            }
            None => Err(DecodeError::Truncated { at: self.pos, wanted: N, left: self.remaining() }),
        }
    }

    /// Takes the next `len` bytes, sharing the frame's memory.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        self.check(len)?;
        let bytes = self.buf.slice(self.pos..self.pos + len);
        self.pos += len;
        Ok(bytes)
    }

    /// Takes a string of `len` bytes.
    pub(crate) fn string(&mut self, len: usize) -> Result<Str, DecodeError> {
        let at = self.pos;
        if len > MAX_STRING {
            return Err(DecodeError::StringTooLong { at, len });
        }
        Str::from_utf8(self.bytes(len)?).ok_or(DecodeError::NotUtf8 { at })
    }

    /// Reads an unsigned variable-length integer of at most 32 bits.
    pub(crate) fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let at = self.pos;
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong { at })
    }

    /// Reads a length in compact form. `None` stands for null.
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        // The wire has length + 1 with 0 for null; like Kafka, take what would be a negative length for null too.
        let length = self.uvarint()?.wrapping_sub(1) as i32;
        Ok(usize::try_from(length).ok())
    }

    /// Reads a string's length in the current shape. Null, and every negative length, is `None`.
    pub(crate) fn string_length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.shape.flexible {
            return self.compact_length();
        }
        Ok(usize::try_from(i16::from_be_bytes(self.array()?)).ok())
    }

    /// Reads the length of an array or byte field in the current shape. Null, and every negative length, is `None`.
    pub(crate) fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.shape.flexible {
            return self.compact_length();
        }
        Ok(usize::try_from(i32::from_be_bytes(self.array()?)).ok())
    }

    /// The error for a null that is not allowed, at the current position.
    pub(crate) fn null_error(&self) -> DecodeError {
        DecodeError::Null { at: self.pos }
    }

    /// An empty vector with room for `count` elements, once the remaining input and the message's memory allow them.
    pub(crate) fn vec_for<F: Field>(&mut self, count: usize) -> Result<Vec<F>, DecodeError> {
        self.check(count.saturating_mul(F::min_size(self.shape).max(1)))?;
        let memory = count.saturating_mul(size_of::<F>());
        match self.memory_left.checked_sub(memory) {
            Some(left) => self.memory_left = left,
            None => return Err(DecodeError::TooMuchMemory { limit: self.memory_limit }),
        }
        Ok(Vec::with_capacity(count))
    }
}
