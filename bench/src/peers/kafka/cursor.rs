//! Reads the fields of an answer where it lies, for the hot loops; everything else is decoded by `kafka-wire`.
//!
//! Invariant: nothing is allocated, and an answer that ends too early is an error.
use anyhow::{Context, Result, ensure};

/// A position in an answer of a flexible version: compact lengths and tagged fields.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).context("an answer ends in a field")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().context("an answer ends in a number")?;
        self.rest = rest;
        Ok(*taken)
    }

    /// An `INT16`.
    pub(super) fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    /// An `INT32`.
    pub(super) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// An `INT64`.
    pub(super) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Result<usize> {
        let mut value = 0usize;
        for shift in (0..u32::BITS).step_by(7) {
            let [byte] = self.array::<1>()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        anyhow::bail!("a length of more than 32 bits")
    }

    /// The length of a compact array, string or byte field; null counts as empty.
    pub(super) fn length(&mut self) -> Result<usize> {
        Ok(self.varint()?.saturating_sub(1))
    }

    /// A compact string or byte field; null counts as empty.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// Steps over tagged fields.
    pub(super) fn tags(&mut self) -> Result<()> {
        for _ in 0..self.varint()? {
            let _tag = self.varint()?;
            let size = self.varint()?;
            self.take(size)?;
        }
        Ok(())
    }

    /// Fails if something is left.
    pub(super) fn finish(self) -> Result<()> {
        ensure!(self.rest.is_empty(), "{} bytes are left behind an answer", self.rest.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_tags_are_read_and_short_answers_are_refused() {
        let mut cursor = Cursor::new(&[0, 7, 3, b'a', b'b', 1, 5, 2, 9, 9, 0x81, 0x01]);
        assert_eq!(cursor.i16().expect("two bytes"), 7);
        assert_eq!(cursor.bytes().expect("a field"), b"ab");
        cursor.tags().expect("one tagged field");
        assert_eq!(cursor.length().expect("129 stands for 128"), 128);
        assert!(cursor.i32().is_err());
        cursor.finish().expect("nothing is left");
        assert!(Cursor::new(&[4, b'a']).bytes().is_err());
        assert!(Cursor::new(&[1]).finish().is_err());
    }
}
