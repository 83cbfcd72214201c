//! What a read takes, and where it lies: the same batches whether they come from memory, from a read, or from a lent file.

use crate::common::{Bench, batch};
use base::SystemDisk;
use log::{Batch, Lending, LentData, Log, LogConfig, Origin, ReadLimits, TailBudget};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const ALL: ReadLimits = ReadLimits { max_bytes: 10 << 20, at_least_one: true, until: i64::MAX };

/// A folder on the machine's disk, with segments of a few batches.
fn bench(tail: u64) -> Bench {
    let mut bench = Bench::new();
    bench.world.disk = Arc::new(SystemDisk);
    bench.config = LogConfig {
        segment_bytes: 100_000,
        index_interval_bytes: 5000,
        file_delete_delay_ms: 0,
        ..bench.config
    };
    bench.tail = TailBudget::new(tail, tail);
    bench
}

/// Batches of many sizes, small ones and such that are never kept in memory.
fn fill(log: &Log, count: usize) {
    for index in 0..count {
        let size = [40, 700, 3000, 20_000, 1500][index % 5] + index;
        let value = "x".repeat(size);
        let values = vec![value.as_str(); 1 + index % 3];
        log.append(batch(&values), 1, Origin::Client).expect("append");
    }
}

/// The batches of all segments: base offset, last offset, bytes; a list for each segment.
fn written(log: &Log) -> Vec<Vec<(i64, i64, Vec<u8>)>> {
    let segments = log.segment_offsets().into_iter().map(|base| {
        let bytes = std::fs::read(log.dir().join(format!("{base:020}.log"))).expect("a segment");
        let batches = Batch::iter(bytes.into()).map(|batch| {
            let batch = batch.expect("whole");
            (batch.header().base_offset, batch.header().last_offset(), batch.to_bytes().to_vec())
        });
        batches.collect()
    });
    segments.collect()
}

/// What a read has to give: whole batches of one segment, and the offset to go on with.
fn expected(written: &[Vec<(i64, i64, Vec<u8>)>], offset: i64, limits: ReadLimits) -> (Vec<u8>, Option<i64>) {
    let holds = |segment: &&Vec<(i64, i64, Vec<u8>)>| segment.last().is_some_and(|last| last.1 >= offset);
    let segment = written.iter().find(holds).expect("an offset of the log");
    let (mut bytes, mut next) = (Vec::new(), None);
    for (_, last, batch) in segment.iter().filter(|(_, last, _)| *last >= offset) {
        let fits = bytes.len() + batch.len() <= limits.max_bytes || (bytes.is_empty() && limits.at_least_one);
        if !fits || *last >= limits.until {
            break;
        }
        bytes.extend_from_slice(batch);
        next = Some(last + 1);
    }
    (bytes, next)
}

fn bytes_of(lent: &LentData) -> Vec<u8> {
    let mut bytes = vec![0; lent.size];
    let file = File::from(lent.file.as_fd().try_clone_to_owned().expect("a descriptor"));
    file.read_exact_at(&mut bytes, lent.position).expect("the range is in the file");
    bytes
}

#[test]
fn memory_files_and_lent_files_give_the_same_whole_batches() {
    for tail in [0, 8000, 1 << 20] {
        let bench = bench(tail);
        let log = bench.open();
        fill(&log, 60);
        let written = written(&log);
        assert!(written.len() > 3, "several segments");
        let (end, mut lent_ones) = (log.log_end_offset(), 0);
        for offset in 0..end {
            for max_bytes in [0, 1, 800, 20_000, 70_000, 10 << 20] {
                for (at_least_one, until) in [
                    (true, i64::MAX),
                    (false, i64::MAX),
                    (true, end - 7),
                    (true, offset + 1),
                    (true, offset + 9),
                ] {
                    let limits = ReadLimits { max_bytes, at_least_one, until };
                    let (bytes, next) =
                        expected(&written, offset, ReadLimits { until: until.min(end), ..limits });
                    let read = log.read(offset, limits).expect("read");
                    let what = format!("tail {tail}, offset {offset}, {limits:?}");
                    assert_eq!((read.size, read.next_offset), (bytes.len(), next), "{what}");
                    assert!(read.into_bytes() == bytes, "{what}");
                    match log.lend(offset, limits).expect("lent") {
                        Lending::Copied(data) => {
                            assert!(data.size < 16 << 10, "{what}");
                            assert_eq!(data.next_offset, next, "{what}");
                            assert!(data.into_bytes() == bytes, "{what}");
                        }
                        Lending::Lent(lent) => {
                            lent_ones += 1;
                            assert_eq!(Some(lent.next_offset), next, "{what}");
                            assert!(bytes_of(&lent) == bytes, "{what}");
                        }
                    }
                }
            }
        }
        assert!(lent_ones > 100);
    }
}

#[test]
fn a_lent_file_knows_that_it_was_cut_and_outlives_everything_else() {
    for tail in [0, 1 << 20] {
        let mut bench = bench(tail);
        bench.config.retention_bytes = 100_000;
        let log = bench.open();
        fill(&log, 40);
        let lend = |offset| match log.lend(offset, ALL).expect("lent") {
            Lending::Lent(lent) => lent,
            Lending::Copied(_) => panic!("there is a lot behind offset {offset}"),
        };
        let end = log.log_end_offset();
        let (oldest, active) = (lend(0), lend(*log.segment_offsets().last().expect("a segment")));
        let before = (bytes_of(&oldest), bytes_of(&active));
        fill(&log, 10);
        log.advance_high_watermark(log.log_end_offset());
        log.enforce_retention().expect("retention");
        log.remove_doomed_files().expect("removal");
        assert!(log.log_start_offset() > 0);
        assert!(oldest.file.is_intact() && active.file.is_intact(), "only a cut takes something away");
        assert!((bytes_of(&oldest), bytes_of(&active)) == before);

        log.truncate_to(end - 1).expect("cut");
        fill(&log, 1);
        assert!(oldest.file.is_intact(), "a removed file is what it was");
        assert!(!active.file.is_intact(), "other batches lie where these lay");
        assert!(lend(log.log_start_offset()).file.is_intact());
    }
}

#[test]
fn what_was_removed_or_is_old_is_no_longer_held() {
    let mut bench = bench(1 << 20);
    bench.config.retention_bytes = 1;
    let log = bench.open();
    fill(&log, 40);
    let used = bench.tail.used();
    log.advance_high_watermark(log.log_end_offset());
    log.enforce_retention().expect("retention");
    assert!(bench.tail.used() < used / 2, "the cache held on to removed segments");
    log.expire_memory(0);
    bench.advance(1);
    log.expire_memory(0);
    assert_eq!(bench.tail.used(), 0);
}

#[test]
fn a_disk_without_files_of_the_machine_lends_nothing() {
    let bench = Bench::without_tail();
    let log = bench.open();
    fill(&log, 20);
    let read = log.read(0, ALL).expect("read");
    match log.lend(0, ALL).expect("read") {
        Lending::Copied(data) => assert_eq!(data, read),
        Lending::Lent(_) => panic!("this disk's files are its own"),
    }
}
