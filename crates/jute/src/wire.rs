//! Owns the primitive encodings of jute: big-endian integers, length-prefixed buffers and strings (-1 is null), counted
//! vectors. Invariants: decoding allocates nothing that the remaining bytes could not hold and never reads past them;
//! buffers and strings are slices of the frame.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::text::Text;

/// Why bytes are no record. A ZooKeeper server answers such a request with -5 (marshalling error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record needs more bytes than there are.
    #[error("the record is truncated: {needed} bytes needed, {remaining} left")]
    Truncated {
        /// Bytes needed for the next field.
        needed: usize,
        /// Bytes left.
        remaining: usize,
    },
    /// A length or count below -1.
    #[error("length {0} is negative")]
    NegativeLength(i32),
    /// A count of elements that the remaining bytes can't hold.
    #[error("count {count} is larger than the remaining {remaining} bytes can hold")]
    HugeCount {
        /// Elements announced.
        count: usize,
        /// Bytes left.
        remaining: usize,
    },
    /// A string that is null where one is needed.
    #[error("a required string is null")]
    NullString,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// An operation that a multi can't hold.
    #[error("operation {0} cannot be part of a multi")]
    BadMultiOp(i32),
    /// A create flag in a multi that is none of the seven modes.
    #[error("create flag {0} is unknown")]
    BadCreateFlag(i32),
    /// Reading and writing operations in one multi.
    #[error("a multi mixes reading and writing operations")]
    MixedMulti,
    /// An opcode that no client may send.
    #[error("operation {0} is unknown")]
    UnknownOperation(i32),
}

/// A type that has an encoding.
pub trait Wire: Sized {
    /// The fewest bytes that a value takes.
    const SIZE_MIN: usize;

    /// Takes one value from the front of `input`.
    ///
    /// # Errors
    /// Any [`DecodeError`]; `input` is then at an unspecified place.
    fn decode(input: &mut Bytes) -> Result<Self, DecodeError>;

    /// Appends the value to `out`.
    fn encode(&self, out: &mut BytesMut);
}

fn need(input: &Bytes, needed: usize) -> Result<(), DecodeError> {
    if input.remaining() < needed {
        return Err(DecodeError::Truncated { needed, remaining: input.remaining() });
    }
    Ok(())
}

impl Wire for i32 {
    const SIZE_MIN: usize = 4;

    fn decode(input: &mut Bytes) -> Result<i32, DecodeError> {
        need(input, 4)?;
        Ok(input.get_i32())
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_i32(*self);
    }
}

impl Wire for i64 {
    const SIZE_MIN: usize = 8;

    fn decode(input: &mut Bytes) -> Result<i64, DecodeError> {
        need(input, 8)?;
        Ok(input.get_i64())
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_i64(*self);
    }
}

/// One byte; whatever is not 0 is true, as in Java's `DataInput`.
impl Wire for bool {
    const SIZE_MIN: usize = 1;

    fn decode(input: &mut Bytes) -> Result<bool, DecodeError> {
        need(input, 1)?;
        Ok(input.get_u8() != 0)
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }
}

/// Reads a length or a count: none for -1.
fn length(input: &mut Bytes) -> Result<Option<usize>, DecodeError> {
    match i32::decode(input)? {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| DecodeError::NegativeLength(length)),
    }
}

/// Writes the length or count of something that is in memory and belongs into a frame of at most 2^31 bytes.
fn put_length(length: usize, out: &mut BytesMut) {
    out.put_i32(i32::try_from(length).expect("a frame, and so each part of it, is shorter than 2 GiB"));
}

/// A buffer, borrowed from the frame. Null differs from empty.
impl Wire for Option<Bytes> {
    const SIZE_MIN: usize = 4;

    fn decode(input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        match length(input)? {
            None => Ok(None),
            Some(length) => {
                need(input, length)?;
                Ok(Some(input.split_to(length)))
            }
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        put_buffer(self.as_deref(), out);
    }
}

/// Appends a buffer, as [`Wire`] for `Option<Bytes>` does, for callers that have a slice.
pub fn put_buffer(data: Option<&[u8]>, out: &mut BytesMut) {
    match data {
        None => out.put_i32(-1),
        Some(data) => {
            put_length(data.len(), out);
            out.put_slice(data);
        }
    }
}

/// Appends a string, as [`Wire`] for `Text` does, for callers that have a slice.
pub fn put_text(text: &str, out: &mut BytesMut) {
    put_buffer(Some(text.as_bytes()), out);
}

/// Appends the count that opens a vector, for callers that write the elements themselves.
pub fn put_count(count: usize, out: &mut BytesMut) {
    put_length(count, out);
}

/// A string that may be null.
impl Wire for Option<Text> {
    const SIZE_MIN: usize = 4;

    fn decode(input: &mut Bytes) -> Result<Option<Text>, DecodeError> {
        match Option::<Bytes>::decode(input)? {
            None => Ok(None),
            Some(bytes) => Text::from_utf8(bytes).map(Some).ok_or(DecodeError::NotUtf8),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        put_buffer(self.as_ref().map(|text| text.as_bytes()), out);
    }
}

/// A string that must not be null.
impl Wire for Text {
    const SIZE_MIN: usize = 4;

    fn decode(input: &mut Bytes) -> Result<Text, DecodeError> {
        Option::<Text>::decode(input)?.ok_or(DecodeError::NullString)
    }

    fn encode(&self, out: &mut BytesMut) {
        put_text(self, out);
    }
}

/// A vector. Null reads as empty, because no request tells the two apart.
impl<T: Wire> Wire for Vec<T> {
    const SIZE_MIN: usize = 4;

    fn decode(input: &mut Bytes) -> Result<Vec<T>, DecodeError> {
        let count = length(input)?.unwrap_or(0);
        if count > input.remaining() / T::SIZE_MIN.max(1) {
            return Err(DecodeError::HugeCount { count, remaining: input.remaining() });
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode(input)?);
        }
        Ok(elements)
    }

    fn encode(&self, out: &mut BytesMut) {
        put_length(self.len(), out);
        for element in self {
            element.encode(out);
        }
    }
}

/// Appends one frame: four bytes of length, then what `body` writes.
pub fn put_frame(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    body(out);
    let length = i32::try_from(out.len() - start - 4).expect("a frame is shorter than 2 GiB");
    if let Some(prefix) = out.get_mut(start..start + 4) {
        prefix.copy_from_slice(&length.to_be_bytes());
    }
}

/// Declares records: structs whose encoding is that of their fields in order.
macro_rules! records {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::wire::Wire for $name {
            const SIZE_MIN: usize = 0 $(+ <$type as $crate::wire::Wire>::SIZE_MIN)*;

            fn decode(input: &mut bytes::Bytes) -> Result<$name, $crate::wire::DecodeError> {
                Ok($name { $($field: $crate::wire::Wire::decode(input)?,)* })
            }

            fn encode(&self, out: &mut bytes::BytesMut) {
                $($crate::wire::Wire::encode(&self.$field, out);)*
            }
        }
    )*};
}

pub(crate) use records;
