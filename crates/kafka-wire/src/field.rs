//! How each type of a message table reads and writes itself.

use bytes::Bytes;
use uuid::Uuid;

use crate::{DecodeError, Decoder, EncodeError, Encoder, ErrorCode, Records, Str};

/// In which form a message is written: its version, and whether that version is a flexible one (compact lengths and
/// tagged fields, KIP-482).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// The message's version.
    pub version: i16,
    /// Whether the version is flexible.
    pub flexible: bool,
}

/// A type that a row of a message table can have. The tables generate it for structures.
pub trait Field: Sized {
    /// The fewest bytes that a value takes in this shape. Bounds the count of an array before it is allocated.
    fn min_size(shape: Shape) -> usize;

    /// Reads a value; `nullable` says whether this version allows null, which only matters to `Option`.
    ///
    /// # Errors
    /// If the bytes are no value of this type.
    fn read(d: &mut Decoder, nullable: bool) -> Result<Self, DecodeError>;

    /// Writes the value; `nullable` as in [`Field::read`].
    ///
    /// # Errors
    /// If the value does not fit the version.
    fn write(&self, e: &mut Encoder, nullable: bool) -> Result<(), EncodeError>;

    /// Reads a value that may be null. Structures have a byte in front that is negative for null; types with
    /// a length override this.
    ///
    /// # Errors
    /// If the bytes are no value of this type.
    fn read_nullable(d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        if i8::from_be_bytes(d.array()?) < 0 { Ok(None) } else { Self::read(d, false).map(Some) }
    }

    /// Writes a value that may be null, in the form of [`Field::read_nullable`].
    ///
    /// # Errors
    /// If the value does not fit the version.
    fn write_nullable(value: Option<&Self>, e: &mut Encoder) -> Result<(), EncodeError> {
        match value {
            Some(value) => {
                e.put(&[1]);
                value.write(e, false)
            }
            None => {
                e.put(&(-1i8).to_be_bytes());
                Ok(())
            }
        }
    }

    /// A pseudo-random value that the current version can carry.
    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, nullable: bool) -> Self;
}

impl<T: Field> Field for Option<T> {
    fn min_size(_: Shape) -> usize {
        1
    }

    fn read(d: &mut Decoder, nullable: bool) -> Result<Self, DecodeError> {
        if nullable { T::read_nullable(d) } else { T::read(d, false).map(Some) }
    }

    fn write(&self, e: &mut Encoder, nullable: bool) -> Result<(), EncodeError> {
        match self {
            value if nullable => T::write_nullable(value.as_ref(), e),
            Some(value) => value.write(e, false),
            None => Err(e.null_error()),
        }
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, nullable: bool) -> Self {
        if nullable && s.one_in(4) { None } else { Some(T::sample(s, false)) }
    }
}

impl<T: Field> Field for Vec<T> {
    fn min_size(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 4 }
    }

    fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
        Self::read_nullable(d)?.ok_or_else(|| d.null_error())
    }

    fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), e)
    }

    fn read_nullable(d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        let Some(count) = d.length()? else { return Ok(None) };
        let mut items = d.vec_for(count)?;
        for _ in 0..count {
            items.push(T::read(d, false)?);
        }
        Ok(Some(items))
    }

    fn write_nullable(value: Option<&Self>, e: &mut Encoder) -> Result<(), EncodeError> {
        e.length(value.map(Vec::len))?;
        value.into_iter().flatten().try_for_each(|item| item.write(e, false))
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
        (0..s.array_len()).map(|_| T::sample(s, false)).collect()
    }
}

/// Implements [`Field`] for the numbers, which are big-endian on the wire.
macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Field for $number {
            fn min_size(_: Shape) -> usize {
                size_of::<$number>()
            }
            #[inline]
            fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
                Ok(<$number>::from_be_bytes(d.array()?))
            }
            #[inline]
            fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
                e.put(&self.to_be_bytes());
                Ok(())
            }
            #[cfg(test)]
            fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
                s.number() as $number
            }
        }
    )+};
}

numbers!(i8, i16, u16, i32, i64);

impl Field for bool {
    fn min_size(_: Shape) -> usize {
        1
    }

    /// Every byte but 0 is true, as in Kafka.
    fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
        Ok(d.array()? != [0])
    }

    fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
        e.put(&[u8::from(*self)]);
        Ok(())
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
        s.one_in(2)
    }
}

impl Field for ErrorCode {
    fn min_size(_: Shape) -> usize {
        2
    }

    fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
        i16::read(d, false).map(ErrorCode)
    }

    fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
        self.0.write(e, false)
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
        ErrorCode(i16::sample(s, false))
    }
}

impl Field for Uuid {
    fn min_size(_: Shape) -> usize {
        16
    }

    fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
        Ok(Uuid::from_bytes(d.array()?))
    }

    fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
        e.put(self.as_bytes());
        Ok(())
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
        Uuid::from_u64_pair(s.bits(), s.bits())
    }
}

impl Field for Str {
    fn min_size(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 2 }
    }

    fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
        Self::read_nullable(d)?.ok_or_else(|| d.null_error())
    }

    fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), e)
    }

    fn read_nullable(d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        d.string_length()?.map(|len| d.string(len)).transpose()
    }

    fn write_nullable(value: Option<&Self>, e: &mut Encoder) -> Result<(), EncodeError> {
        e.string_length(value.map(|text| text.len()))?;
        e.put(value.map_or("", Str::as_str).as_bytes());
        Ok(())
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
        s.text()
    }
}

impl Field for Bytes {
    fn min_size(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 4 }
    }

    fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
        Self::read_nullable(d)?.ok_or_else(|| d.null_error())
    }

    fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), e)
    }

    fn read_nullable(d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        d.length()?.map(|len| d.bytes(len)).transpose()
    }

    fn write_nullable(value: Option<&Self>, e: &mut Encoder) -> Result<(), EncodeError> {
        e.length(value.map(Bytes::len))?;
        if let Some(bytes) = value {
            e.put_chunk(bytes);
        }
        Ok(())
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
        s.blob()
    }
}

impl Field for Records {
    fn min_size(shape: Shape) -> usize {
        Bytes::min_size(shape)
    }

    fn read(d: &mut Decoder, _: bool) -> Result<Self, DecodeError> {
        Bytes::read(d, false).map(Records::from)
    }

    fn write(&self, e: &mut Encoder, _: bool) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), e)
    }

    fn read_nullable(d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        Ok(Bytes::read_nullable(d)?.map(Records::from))
    }

    fn write_nullable(value: Option<&Self>, e: &mut Encoder) -> Result<(), EncodeError> {
        e.length(value.map(Records::len))?;
        if let Some(records) = value {
            e.put_records(records);
        }
        Ok(())
    }

    #[cfg(test)]
    fn sample(s: &mut crate::sample::Sampler, _: bool) -> Self {
        (0..s.array_len()).map(|_| s.blob()).collect()
    }
}
