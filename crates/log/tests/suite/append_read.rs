//! A log from the outside: append, read, roll, reopen.

use crate::common::{Bench, NOW, batch, batch_at, contents};
use log::{LogConfig, LogError, Origin, ReadLimits};
use std::sync::atomic::Ordering;

const ALL: ReadLimits = ReadLimits { max_bytes: 1 << 20, at_least_one: true, until: i64::MAX };

#[test]
fn appended_batches_are_read_back_with_their_offsets() {
    for bench in [Bench::new(), Bench::without_tail()] {
        let log = bench.open();
        let first = log.append(batch(&["a", "b"]), 3, Origin::Client).expect("append");
        assert_eq!((first.first_offset, first.last_offset), (0, 1));
        let second = log.append(batch(&["c"]), 3, Origin::Client).expect("append");
        assert_eq!((second.first_offset, second.last_offset), (2, 2));
        let expected = [(0, "a"), (1, "b"), (2, "c")].map(|(offset, value)| (offset, value.to_owned()));
        assert_eq!(contents(&log, 0), expected);
        assert_eq!(log.latest_epoch(), Some(3));
    }
}

#[test]
fn a_group_of_batches_is_one_write() {
    let bench = Bench::new();
    let log = bench.open();
    let mut group = Vec::new();
    for offset in 0..50 {
        let mut batch = batch(&["value"]);
        batch.set_base_offset(offset);
        batch.set_leader_epoch(1);
        group.push(batch);
    }
    log.append_with_offsets(&group).expect("append");
    assert_eq!(bench.faults.vectored_writes.load(Ordering::Relaxed), 1);
    assert_eq!(log.log_end_offset(), 50);
    assert_eq!(contents(&log, 0).len(), 50);
    let back = log.append_with_offsets(&group[..1]);
    assert!(matches!(back, Err(LogError::UnexpectedOffset { offset: 0, end: 50 })));
}

#[test]
fn the_tail_is_read_from_memory() {
    let bench = Bench::new();
    let log = bench.open();
    log.append(batch(&["a"]), 0, Origin::Client).expect("append");
    let before = bench.faults.reads.load(Ordering::Relaxed);
    assert!(log.read(0, ALL).expect("read").size > 0);
    assert_eq!(bench.faults.reads.load(Ordering::Relaxed), before);
}

#[test]
fn kafka_2_10_the_first_batch_may_exceed_max_bytes() {
    for bench in [Bench::new(), Bench::without_tail()] {
        let log = bench.open();
        let size =
            log.append(batch(&["a", "b", "c"]), 0, Origin::Client).map(|_| batch(&["a", "b", "c"]).size());
        let size = size.expect("append");
        log.append(batch(&["d"]), 0, Origin::Client).expect("append");
        let one = log.read(2, ReadLimits { max_bytes: 1, ..ALL }).expect("read");
        assert_eq!((one.size, one.base_offset()), (size, Some(0)), "the whole batch that holds offset 2");
        let none = log.read(2, ReadLimits { max_bytes: 1, at_least_one: false, ..ALL }).expect("read");
        assert_eq!(none.size, 0);
    }
}

#[test]
fn kafka_2_30_a_read_stays_in_its_segment() {
    for mut bench in [Bench::new(), Bench::without_tail()] {
        bench.config = LogConfig { segment_bytes: 200, ..bench.config };
        let log = bench.open();
        for value in 0..10 {
            log.append(batch(&[&format!("value-{value}")]), 0, Origin::Client).expect("append");
        }
        assert!(log.segment_offsets().len() > 2);
        let second = log.segment_offsets()[1];
        let data = log.read(0, ALL).expect("read").into_bytes();
        let last = log::Batch::iter(data).last().expect("a batch").expect("whole");
        assert_eq!(last.header().next_offset(), second);
        assert_eq!(contents(&log, 0).len(), 10);
    }
}

#[test]
fn reads_stop_below_the_bound() {
    for bench in [Bench::new(), Bench::without_tail()] {
        let log = bench.open();
        for value in ["a", "b", "c"] {
            log.append(batch(&[value]), 0, Origin::Client).expect("append");
        }
        let bounded = |until| log.read(0, ReadLimits { until, ..ALL }).expect("read").into_bytes();
        let count = |until| log::Batch::iter(bounded(until)).count();
        assert_eq!((count(0), count(1), count(2), count(3), count(9)), (0, 1, 2, 3, 3));
        assert!(log.read(3, ALL).expect("read at the end").chunks.is_empty());
        assert!(matches!(log.read(4, ALL), Err(LogError::OffsetOutOfRange { offset: 4, start: 0, end: 3 })));
        assert!(matches!(log.read(-1, ALL), Err(LogError::OffsetOutOfRange { .. })));
    }
}

#[test]
fn the_three_ends_are_three_things() {
    let bench = Bench::new();
    let log = bench.open();
    log.append(batch(&["a", "b"]), 0, Origin::Client).expect("append");
    assert_eq!((log.log_end_offset(), log.flushed_offset(), log.high_watermark()), (2, 0, 0));
    assert_eq!(log.flush().expect("flush"), 2);
    assert_eq!((log.flushed_offset(), log.high_watermark()), (2, 0));
    assert_eq!(log.advance_high_watermark(7), 2);
    assert_eq!(log.advance_high_watermark(1), 2);
}

#[test]
fn flush_messages_and_flush_ms_flush() {
    let mut bench = Bench::new();
    bench.config = LogConfig { flush_messages: 2, flush_ms: 500, ..bench.config };
    let log = bench.open();
    log.append(batch(&["a"]), 0, Origin::Client).expect("append");
    assert_eq!(log.flushed_offset(), 0);
    log.append(batch(&["b"]), 0, Origin::Client).expect("append");
    assert_eq!(log.flushed_offset(), 2);
    log.append(batch(&["c"]), 0, Origin::Client).expect("append");
    log.flush_if_due().expect("not due");
    assert_eq!(log.flushed_offset(), 2);
    bench.advance(500);
    log.flush_if_due().expect("flush");
    assert_eq!(log.flushed_offset(), 3);
}

#[test]
fn only_what_is_flushed_and_far_behind_the_end_is_let_go_of() {
    const MIB: u64 = 1 << 20;
    for (cached, expected) in [(MIB, 8 * MIB), (u64::MAX, 0)] {
        let mut bench = Bench::without_tail();
        bench.config = LogConfig { page_cache_bytes: cached, ..bench.config };
        let log = bench.open();
        let value = "x".repeat(MIB as usize);
        for _ in 0..10 {
            log.append(batch(&[&value]), 0, Origin::Client).expect("append");
        }
        assert_eq!(bench.faults.forgotten.load(Ordering::Relaxed), 0);
        log.flush().expect("flush");
        assert_eq!(bench.faults.forgotten.load(Ordering::Relaxed), expected);
        log.flush().expect("there is nothing to flush");
        assert_eq!(bench.faults.forgotten.load(Ordering::Relaxed), expected);
        assert!(contents(&log, 0).iter().all(|(_, content)| *content == value));
    }
}

#[test]
fn segments_roll_by_record_time() {
    let mut bench = Bench::new();
    bench.config = LogConfig { segment_ms: 1000, ..bench.config };
    let log = bench.open();
    log.append(batch_at(NOW, &["a"]), 0, Origin::Client).expect("append");
    log.append(batch_at(NOW + 1000, &["b"]), 0, Origin::Client).expect("append");
    assert_eq!(log.segment_offsets(), [0]);
    let info = log.append(batch_at(NOW + 1001, &["c"]), 0, Origin::Client).expect("append");
    assert!(info.rolled);
    assert_eq!(log.segment_offsets(), [0, 2]);
    assert_eq!(log.flush_rolled().expect("flush"), 2);
}

#[test]
fn a_batch_must_fit_a_segment() {
    let mut bench = Bench::new();
    bench.config = LogConfig { segment_bytes: 100, ..bench.config };
    let log = bench.open();
    let long = "x".repeat(100);
    let error = log.append(batch(&[&long]), 0, Origin::Client).expect_err("too large");
    assert!(matches!(error, LogError::TooLarge { limit: 100, .. }));
    log.append(batch(&["x"]), 0, Origin::Client).expect("a refusal leaves the log as it was");
}

#[test]
fn a_clean_shutdown_is_trusted_and_a_crash_recovers() {
    for clean in [true, false] {
        let mut bench = Bench::without_tail();
        bench.config = LogConfig { segment_bytes: 1000, ..bench.config };
        let log = bench.open();
        for value in 0..100 {
            log.append(batch(&[&value.to_string()]), value / 40, Origin::Client).expect("append");
        }
        let (before, epochs, segments) = (contents(&log, 0), log.leader_epochs(), log.segment_offsets());
        if clean {
            log.close().expect("close");
            assert!(matches!(log.append(batch(&["x"]), 0, Origin::Client), Err(LogError::Closed { .. })));
        }
        drop(log);
        let log = bench.open_with(clean, 0);
        assert_eq!(contents(&log, 0), before);
        assert_eq!((log.leader_epochs(), log.segment_offsets()), (epochs, segments));
        assert_eq!(log.append(batch(&["next"]), 3, Origin::Client).expect("append").first_offset, 100);
    }
}

#[test]
fn appenders_readers_and_maintenance_at_once() {
    let mut bench = Bench::new();
    bench.config =
        LogConfig { segment_bytes: 2000, retention_bytes: 8000, file_delete_delay_ms: 0, ..bench.config };
    bench.tail = log::TailBudget::new(3000, 3000);
    let log = bench.open();
    const EACH: i64 = 300;
    std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for value in 0..EACH {
                        let info =
                            log.append(batch(&[&value.to_string()]), 0, Origin::Client).expect("append");
                        assert_eq!(info.first_offset, info.last_offset);
                        log.advance_high_watermark(info.log_end_offset);
                    }
                })
            })
            .collect();
        let maintainer = scope.spawn(|| {
            while log.log_end_offset() < 3 * EACH {
                log.flush().expect("flush");
                log.enforce_retention().expect("retention");
                log.remove_doomed_files().expect("removal");
            }
        });
        let reader = scope.spawn(|| {
            let mut offset = 0;
            while offset < 3 * EACH {
                match log.read(offset, ReadLimits { until: log.high_watermark(), ..ALL }) {
                    Ok(data) => {
                        for batch in log::Batch::iter(data.into_bytes()) {
                            let batch = batch.expect("whole batches, all below one megabyte");
                            assert_eq!(batch.header().base_offset, offset);
                            assert!(batch.crc_is_valid());
                            offset = batch.header().next_offset();
                        }
                    }
                    Err(LogError::OffsetOutOfRange { start, .. }) => offset = start,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for thread in appenders.into_iter().chain([maintainer, reader]) {
            thread.join().expect("no panic");
        }
    });
    assert_eq!(log.log_end_offset(), 3 * EACH);
    let left = contents(&log, log.log_start_offset());
    drop(log);
    let log = bench.open();
    assert_eq!(contents(&log, log.log_start_offset()), left);
}
