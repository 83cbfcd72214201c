//! Record batches, segments, indexes, recovery, compaction and retention.
