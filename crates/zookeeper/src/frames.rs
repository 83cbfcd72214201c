//! Cuts the byte stream of a connection into frames: a four-byte big-endian length, then that many bytes.
//!
//! Invariants: a length is judged before anything is allocated for it; memory grows with bytes that have arrived, not with lengths
//! that were claimed; an idle connection holds no buffer.
use bytes::{Buf, Bytes, BytesMut};

/// How much is asked of the socket at once when no long frame is under way.
const READ_CHUNK_BYTES: usize = 8 * 1024;
/// The most that is reserved ahead for a frame whose length is known but whose bytes have not arrived.
const READ_AHEAD_BYTES: usize = 256 * 1024;
/// The length prefix.
const LENGTH_BYTES: usize = 4;

/// A length prefix that no request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes was announced, allowed are 0 to {max} (jute.maxbuffer)")]
pub(crate) struct BadLength {
    /// The length as sent.
    pub(crate) length: i32,
    /// The configured limit.
    pub(crate) max: u32,
}

/// The inbound half of a connection.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: BytesMut,
    max: u32,
}

impl Frames {
    /// No bytes yet; frames may have up to `max` bytes.
    pub(crate) fn new(max: u32) -> Frames {
        Frames { buffer: BytesMut::new(), max }
    }

    /// Changes how many bytes a frame may have from now on.
    pub(crate) fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// Where the next bytes from the socket go: at least one byte of room.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let missing = match self.announced() {
            Some(length) => {
                let whole = LENGTH_BYTES.saturating_add(usize::try_from(length).unwrap_or(0));
                whole.saturating_sub(self.buffer.len()).min(READ_AHEAD_BYTES)
            }
            None => 0,
        };
        self.buffer.reserve(missing.max(READ_CHUNK_BYTES));
        &mut self.buffer
    }

    /// The first four bytes if they have arrived; on a fresh connection they may be a word (reference 3.23).
    pub(crate) fn first_four(&self) -> Option<[u8; LENGTH_BYTES]> {
        self.buffer.first_chunk::<LENGTH_BYTES>().copied()
    }

    /// The next whole frame, without its length; `None` if it has not arrived in full.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, BadLength> {
        let Some(length) = self.announced() else { return Ok(None) };
        let size = u32::try_from(length).ok().filter(|size| *size <= self.max);
        let size = size.ok_or(BadLength { length, max: self.max })? as usize;
        if self.buffer.len() - LENGTH_BYTES < size {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(size).freeze()))
    }

    /// Bytes that arrived and are not yet part of a returned frame.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Gives the memory back while nothing is buffered, so that idle connections are cheap.
    pub(crate) fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    fn announced(&self) -> Option<i32> {
        self.first_four().map(i32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> Frames {
        let mut frames = Frames::new(1000);
        frames.room().extend_from_slice(bytes);
        frames
    }

    #[test]
    fn frames_come_out_as_they_arrive() {
        let mut frames = frames(&[0, 0, 0, 2, 7]);
        assert_eq!(frames.next_frame(), Ok(None));
        frames.room().extend_from_slice(&[8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::from_static(&[7, 8]))));
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::new())));
        assert_eq!(frames.next_frame(), Ok(None));
        assert_eq!(frames.buffered(), &[0, 0]);
    }

    #[test]
    fn negative_and_huge_lengths_are_refused_before_their_bytes() {
        for length in [-1, i32::MIN, 1001, i32::MAX] {
            let mut frames = frames(&length.to_be_bytes());
            assert_eq!(frames.next_frame(), Err(BadLength { length, max: 1000 }));
        }
        assert_eq!(frames(&1000i32.to_be_bytes()).next_frame(), Ok(None));
    }

    #[test]
    fn memory_follows_arrived_bytes_not_claims() {
        let mut frames = Frames::new(i32::MAX as u32);
        frames.room().extend_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(frames.next_frame(), Ok(None));
        assert!(frames.room().capacity() <= 2 * READ_AHEAD_BYTES);
    }

    #[test]
    fn an_idle_connection_holds_no_buffer() {
        let mut frames = frames(&[0, 0, 0, 1, 9]);
        let frame = frames.next_frame();
        assert_eq!(frame, Ok(Some(Bytes::from_static(&[9]))));
        frames.shrink();
        assert_eq!(frames.buffer.capacity(), 0);
    }
}
