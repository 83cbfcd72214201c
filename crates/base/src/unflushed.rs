//! Which part of a file was written since its last flush, so that a large flush can go to the medium piece by piece.
//!
//! A flush of hundreds of megabytes in one go fills the medium's queue, and whoever flushes a few bytes of another file meanwhile, as a log
//! does for every write that it acknowledges, waits behind all of it.
//!
//! It is a hint: what it leaves out is flushed all the same, only not in pieces.
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// One piece; another file's flush waits for about as much.
const PIECE_BYTES: u64 = 1 << 20;
/// What is flushed in one go: as little as this holds nobody up for long, and pieces cost system calls.
const WHOLE_BYTES_MAX: u64 = 4 * PIECE_BYTES;

/// The range that all writes since the last flush lie in.
#[derive(Debug)]
pub(crate) struct Unflushed {
    from: AtomicU64,
    to: AtomicU64,
}

impl Default for Unflushed {
    fn default() -> Unflushed {
        Unflushed { from: AtomicU64::new(u64::MAX), to: AtomicU64::new(0) }
    }
}

impl Unflushed {
    /// Notes a write.
    pub(crate) fn note(&self, offset: u64, length: usize) {
        self.from.fetch_min(offset, Ordering::Relaxed);
        self.to.fetch_max(offset.saturating_add(length as u64), Ordering::Relaxed);
    }

    /// The pieces in which to write back what was noted, none if it is little; forgets it.
    pub(crate) fn take(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let from = self.from.swap(u64::MAX, Ordering::Relaxed);
        let to = self.to.swap(0, Ordering::Relaxed);
        let is_large = to.saturating_sub(from) > WHOLE_BYTES_MAX;
        let starts = if is_large { from..to } else { 0..0 };
        starts
            .step_by(PIECE_BYTES as usize)
            .map(move |start| start..to.min(start.saturating_add(PIECE_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_what_was_written_and_nothing_twice() {
        let unflushed = Unflushed::default();
        unflushed.note(9 * PIECE_BYTES, 5);
        unflushed.note(700, 100);
        let pieces: Vec<Range<u64>> = unflushed.take().collect();
        assert_eq!((pieces[0].start, pieces[pieces.len() - 1].end), (700, 9 * PIECE_BYTES + 5));
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(pieces.iter().all(|piece| piece.end - piece.start <= PIECE_BYTES));
        assert_eq!(unflushed.take().count(), 0, "it was taken");
    }

    #[test]
    fn little_is_flushed_in_one_go() {
        let unflushed = Unflushed::default();
        assert_eq!(unflushed.take().count(), 0);
        unflushed.note(1 << 40, WHOLE_BYTES_MAX as usize);
        assert_eq!(unflushed.take().count(), 0);
    }
}
