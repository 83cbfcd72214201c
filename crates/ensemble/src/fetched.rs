//! What this node fetched of `__znodes` and has not applied yet, kept so that a follower doesn't read from its log what it has just written there.
//!
//! Invariants: every batch kept is in the log as it is here, with a CRC that was found right; offsets rise; no more than
//! [`KEPT_BYTES_MAX`] are kept. What is not here is read from the log, so that leaving something out is never wrong.
use log::Batch;
use std::collections::VecDeque;

/// How much is kept: several fetches. A node that is further behind reads its log.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Batches that were appended and wait to be applied.
#[derive(Default)]
pub(crate) struct Fetched {
    /// In the order of their offsets; a batch for which there was no room is missing.
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Fetched {
    /// Keeps batches that were appended to the log, as far as there is room.
    pub(crate) fn keep(&mut self, batches: Vec<Batch>) {
        for batch in batches {
            if self.bytes + batch.size() > KEPT_BYTES_MAX {
                return;
            }
            self.bytes += batch.size();
            self.batches.push_back(batch);
        }
    }

    /// Takes at most `max` batches that follow one another from `from` on and end at or below `to`; what lies below `from` is dropped.
    pub(crate) fn take(&mut self, from: i64, to: i64, max: usize) -> Vec<Batch> {
        let mut next = from;
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(batch) = self.batches.front()
        {
            let header = batch.header();
            let (base, end) = (header.base_offset, header.next_offset());
            if base > next || end > to {
                break;
            }
            self.bytes -= batch.size();
            let batch = self.batches.pop_front();
            if base == next {
                next = end;
                taken.extend(batch);
            }
        }
        taken
    }

    /// Where the first kept batch begins: what lies below is only in the log.
    pub(crate) fn begins_at(&self) -> Option<i64> {
        self.batches.front().map(|batch| batch.header().base_offset)
    }

    /// The log has lost or replaced something.
    pub(crate) fn forget(&mut self) {
        *self = Fetched::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{BatchBuilder, RecordHeader};

    fn batch(base: i64, size: usize) -> Batch {
        let mut builder = BatchBuilder::new(base);
        let no_headers: [RecordHeader<'_>; 0] = [];
        builder.append(1, None, Some(&vec![7; size]), &no_headers).expect("it has room");
        builder.build().expect("it has a record")
    }

    fn bases(batches: &[Batch]) -> Vec<i64> {
        batches.iter().map(|batch| batch.header().base_offset).collect()
    }

    #[test]
    fn what_was_kept_is_given_once_in_order_and_not_beyond_the_limit() {
        let mut fetched = Fetched::default();
        fetched.keep((3..9).map(|base| batch(base, 10)).collect());
        assert!(fetched.take(2, 9, 100).is_empty(), "offset 2 is only in the log");
        assert_eq!(fetched.begins_at(), Some(3));
        assert_eq!(
            bases(&fetched.take(4, 7, 100)),
            [4, 5, 6],
            "3 was applied from the log, 7 is not committed"
        );
        assert_eq!(bases(&fetched.take(7, 9, 1)), [7]);
        assert_eq!(bases(&fetched.take(8, 9, 1)), [8]);
        assert_eq!(fetched.bytes, 0);
    }

    #[test]
    fn a_gap_ends_what_is_taken() {
        let mut fetched = Fetched::default();
        fetched.keep(vec![batch(0, 10), batch(1, 10), batch(5, 10)]);
        assert_eq!(bases(&fetched.take(0, 9, 100)), [0, 1]);
        assert!(fetched.take(2, 9, 100).is_empty());
        assert_eq!(fetched.begins_at(), Some(5));
        assert_eq!(bases(&fetched.take(5, 9, 100)), [5]);
    }

    #[test]
    fn what_has_no_room_is_left_to_the_log() {
        let mut fetched = Fetched::default();
        let count = 20;
        fetched.keep((0..count).map(|base| batch(base, 1 << 20)).collect());
        assert!(fetched.bytes <= KEPT_BYTES_MAX, "{} bytes are kept", fetched.bytes);
        let taken = fetched.take(0, count, 100).len() as i64;
        assert!(taken > 0 && taken < count, "{taken} of {count} were kept");
        assert_eq!(fetched.bytes, 0);
        fetched.keep(vec![batch(count, 10)]);
        fetched.forget();
        assert!(fetched.take(count, count + 1, 100).is_empty());
        assert_eq!(fetched.bytes, 0);
    }
}
