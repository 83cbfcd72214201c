//! Cuts the byte stream of a connection into frames: a four-byte big-endian size, then that many bytes.
//!
//! Invariants: a size is judged before anything is allocated for it; memory grows with the bytes that have arrived, not with the size
//! that was claimed, beyond what the owner gives up front; each frame has memory of its own, so that whoever keeps a piece of it keeps no
//! other frame alive; an idle connection holds no buffer. With the end of a frame the beginning of the next one is read, so that frames
//! that are sent one behind the other take one read each.
use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;

/// How much is asked of the socket at once while no large frame is under way.
const CHUNK_BYTES: usize = 8 * 1024;
/// How much of what follows a frame is asked for together with its end: enough to know the next one's size, little enough to be moved.
const AHEAD_BYTES: usize = 512;
/// The size in front of each frame.
const PREFIX_BYTES: usize = 4;

/// A size that no frame may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {size} bytes was announced, allowed are 0 to {max}")]
pub struct BadSize {
    /// The size as sent.
    pub size: i32,
    /// The limit.
    pub max: usize,
}

/// The inbound half of a connection.
#[derive(Debug)]
pub struct Frames {
    /// Bytes that arrived and belong to no frame yet.
    chunk: BytesMut,
    /// The frame whose size is known and whose end has not arrived.
    partial: Option<Partial>,
    max: usize,
    /// Up to this size a frame gets its whole memory at once, so that its bytes are never moved.
    upfront: usize,
}

#[derive(Debug)]
struct Partial {
    /// What has arrived of the frame, and then of what follows it.
    bytes: BytesMut,
    size: usize,
}

impl Partial {
    /// Up to `upfront` bytes get their memory now.
    fn new(begin: &[u8], size: usize, upfront: usize) -> Partial {
        let mut bytes = BytesMut::with_capacity((size + ahead(size)).min(upfront));
        bytes.extend_from_slice(begin);
        Partial { bytes, size }
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() >= self.size
    }

    /// The whole frame, and what follows it.
    fn split(mut self) -> (Bytes, BytesMut) {
        let next = BytesMut::from(self.bytes.get(self.size..).unwrap_or_default());
        self.bytes.truncate(self.size);
        // A small frame doesn't keep the room of what was read with it.
        let frame =
            if self.size < CHUNK_BYTES { Bytes::copy_from_slice(&self.bytes) } else { self.bytes.freeze() };
        (frame, next)
    }
}

/// How much may be read behind a frame of so many bytes: behind small ones a chunk, which holds many of them.
fn ahead(size: usize) -> usize {
    CHUNK_BYTES.saturating_sub(size).max(AHEAD_BYTES)
}

impl Frames {
    /// No bytes yet; frames may have up to `max` bytes. A frame of up to `upfront` bytes gets its whole memory as soon as its size is
    /// known, a larger one as its bytes arrive.
    pub fn new(max: usize, upfront: usize) -> Frames {
        Frames { chunk: BytesMut::new(), partial: None, max, upfront }
    }

    /// The next whole frame, without its size; `None` if it has not arrived in full.
    ///
    /// # Errors
    /// The size that was announced is no size that a frame may have. Nothing after it can be read.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, BadSize> {
        if let Some(partial) = self.partial.take_if(|partial| partial.is_whole()) {
            let (frame, next) = partial.split();
            self.chunk = next;
            self.release_if_empty();
            return Ok(Some(frame));
        }
        if self.partial.is_some() {
            return Ok(None);
        }
        let Some(prefix) = self.chunk.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let announced = i32::from_be_bytes(*prefix);
        let size = usize::try_from(announced).ok().filter(|size| *size <= self.max);
        let size = size.ok_or(BadSize { size: announced, max: self.max })?;
        self.chunk.advance(PREFIX_BYTES);
        if let Some(whole) = self.chunk.get(..size) {
            let frame = Bytes::copy_from_slice(whole);
            self.chunk.advance(size);
            self.release_if_empty();
            return Ok(Some(frame));
        }
        self.partial = Some(Partial::new(&self.chunk, size, self.upfront));
        self.chunk = BytesMut::new();
        Ok(None)
    }

    /// The size of the frame whose end has not arrived; `None` between frames.
    pub fn partial_size(&self) -> Option<usize> {
        self.partial.as_ref().map(|partial| partial.size)
    }

    /// What has arrived of the frame whose end has not; empty between frames.
    pub fn partial_start(&self) -> &[u8] {
        let partial = self.partial.as_ref();
        partial.map_or(&[], |partial| partial.bytes.get(..partial.size).unwrap_or(&partial.bytes))
    }

    /// Whether nothing of a next frame has arrived.
    pub fn is_empty(&self) -> bool {
        self.partial.is_none() && self.chunk.is_empty()
    }

    /// Whether reading ahead has to stop until the frames that arrived are taken.
    pub fn is_full(&self) -> bool {
        self.partial.is_some() || self.chunk.len() >= CHUNK_BYTES
    }

    /// Lets `read` put more bytes behind those that arrived. It answers how many; 0 is the stream's end.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fill(
        &mut self,
        read: impl FnOnce(&mut Limit<&mut BytesMut>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match &mut self.partial {
            Some(Partial { bytes, size }) => {
                let missing = (*size + ahead(*size)).saturating_sub(bytes.len());
                if bytes.len() == bytes.capacity() {
                    // Growing by doubling: a byte is moved about once, and no more is reserved than has arrived.
                    bytes.reserve(missing.min(bytes.len().max(CHUNK_BYTES)));
                }
                let room = missing.min(bytes.capacity() - bytes.len());
                read(&mut bytes.limit(room))
            }
            None => {
                let room = CHUNK_BYTES.saturating_sub(self.chunk.len());
                self.chunk.reserve(room);
                let filled = read(&mut (&mut self.chunk).limit(room));
                self.release_if_empty();
                filled
            }
        }
    }

    fn release_if_empty(&mut self) {
        if self.chunk.is_empty() {
            self.chunk = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPFRONT_BYTES: usize = 2 << 20;

    fn frames(bytes: &[u8]) -> Frames {
        let mut frames = Frames::new(10_000_000, UPFRONT_BYTES);
        feed(&mut frames, bytes);
        frames
    }

    /// Feeds as much as there is room for; how much that was.
    fn feed(frames: &mut Frames, bytes: &[u8]) -> usize {
        frames
            .fill(|room| {
                let count = bytes.len().min(room.remaining_mut());
                room.put_slice(&bytes[..count]);
                Ok(count)
            })
            .expect("memory does not fail")
    }

    #[test]
    fn frames_are_cut_wherever_the_reads_were() {
        let stream: Vec<u8> =
            [5, 0, 3].iter().flat_map(|size| framed(&vec![*size; *size as usize])).collect();
        for step in 1..stream.len() {
            let mut frames = Frames::new(10, UPFRONT_BYTES);
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let count = feed(&mut frames, rest);
                    rest = &rest[count..];
                    while let Some(frame) = frames.next_frame().expect("good sizes") {
                        seen.push(frame.to_vec());
                    }
                }
            }
            assert_eq!(seen, [vec![5; 5], vec![], vec![3; 3]], "in steps of {step}");
            assert!(frames.is_empty());
        }
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let size = i32::try_from(body.len()).expect("short");
        [&size.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn negative_and_huge_sizes_are_refused_before_anything_is_reserved() {
        for size in [-1, i32::MIN, 10_000_001, i32::MAX] {
            let refused = frames(&size.to_be_bytes()).next_frame();
            assert_eq!(refused, Err(BadSize { size, max: 10_000_000 }));
        }
    }

    #[test]
    fn a_large_frame_is_read_into_its_final_place() {
        let body: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        let stream = framed(&body);
        let mut frames = frames(&stream);
        let mut at = CHUNK_BYTES;
        assert_eq!(frames.next_frame(), Ok(None));
        assert_eq!(frames.partial_size(), Some(body.len()));
        assert_eq!(frames.partial_start(), &body[..CHUNK_BYTES - PREFIX_BYTES]);
        let place = frames.partial.as_ref().map(|partial| partial.bytes.as_ptr());
        while at < stream.len() {
            at += feed(&mut frames, &stream[at..]);
        }
        let frame = frames.next_frame().expect("good size").expect("whole");
        assert_eq!(place, Some(frame.as_ptr()), "the bytes were never moved");
        assert!(frame == body);
        assert!(frames.is_empty());
    }

    #[test]
    fn memory_grows_with_what_arrives_and_not_with_what_is_claimed() {
        let mut frames = frames(&9_000_000i32.to_be_bytes());
        assert_eq!(frames.next_frame(), Ok(None));
        let capacity =
            |frames: &Frames| frames.partial.as_ref().map_or(0, |partial| partial.bytes.capacity());
        assert!(capacity(&frames) <= UPFRONT_BYTES);
        let piece = vec![0; 1 << 20];
        for arrived in 1..=8 {
            let mut left = piece.len();
            while left > 0 {
                left -= feed(&mut frames, &piece[..left]);
            }
            assert!(capacity(&frames) <= UPFRONT_BYTES.max(2 * (arrived << 20) + CHUNK_BYTES));
        }
    }

    #[test]
    fn a_frame_ends_where_it_ends_and_an_idle_connection_holds_nothing() {
        let mut frames = frames(&[framed(b"one"), framed(b"two"), framed(b"three")[..6].to_vec()].concat());
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::from_static(b"one"))));
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::from_static(b"two"))));
        assert_eq!(frames.next_frame(), Ok(None));
        assert_eq!(feed(&mut frames, b"ree"), 3);
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::from_static(b"three"))));
        assert!(frames.is_empty());
        assert_eq!(frames.chunk.capacity(), 0);
    }

    #[test]
    fn the_end_of_a_frame_and_the_size_of_the_next_come_with_one_read() {
        for size in [CHUNK_BYTES + 1, 20_000, UPFRONT_BYTES - AHEAD_BYTES, UPFRONT_BYTES + 1] {
            let stream = framed(&vec![7; size]).repeat(2);
            let mut frames = frames(&stream);
            assert_eq!(frames.next_frame(), Ok(None));
            let mut at = CHUNK_BYTES;
            while at < PREFIX_BYTES + size {
                at += feed(&mut frames, &stream[at..]);
            }
            assert!(frames.partial_start().len() == size, "what follows is no part of the frame");
            assert!(frames.next_frame() == Ok(Some(Bytes::from(vec![7; size]))));
            assert!(at <= PREFIX_BYTES + size + AHEAD_BYTES);
            if size <= UPFRONT_BYTES - AHEAD_BYTES {
                assert_eq!(frames.next_frame(), Ok(None));
                assert_eq!(frames.partial_size(), Some(size), "the second is known");
                assert_eq!(feed(&mut frames, &stream[at..]), stream.len() - at, "and takes one more read");
                assert!(frames.next_frame() == Ok(Some(Bytes::from(vec![7; size]))));
                assert!(frames.is_empty());
            }
        }
    }

    #[test]
    fn reading_ahead_is_bounded() {
        let mut frames = frames(&vec![0; CHUNK_BYTES * 3]);
        assert!(frames.is_full());
        assert_eq!(feed(&mut frames, b"x"), 0);
        frames.next_frame().expect("size 0");
        assert_eq!(feed(&mut frames, &[0; 100]), PREFIX_BYTES);
    }
}
