//! Retention, deletion, truncation, epochs, offsets by time.
use crate::common::{Bench, NOW, batch, batch_at, compressed, contents};
use log::{CleanupPolicy, Codec, Compression, Log, LogConfig, LogError, Origin};

fn bench(config: LogConfig) -> Bench {
    Bench { config: LogConfig { segment_bytes: 200, ..config }, ..Bench::new() }
}

/// One batch per millisecond from `NOW` on.
fn fill(log: &Log, count: i64) {
    for value in 0..count {
        log.append(batch_at(NOW + value, &[&value.to_string()]), 0, Origin::Client).expect("append");
    }
    log.advance_high_watermark(count);
}

fn count_deleted(bench: &Bench) -> usize {
    bench.files().iter().filter(|name| name.ends_with(".deleted")).count()
}

#[test]
fn retention_by_size_removes_the_oldest() {
    let config = Bench::new().config;
    let bench = bench(LogConfig { retention_bytes: 500, ..config });
    let log = bench.open();
    fill(&log, 20);
    let size = log.size();
    assert!(log.enforce_retention().expect("retention") > 0);
    assert!(log.size() >= 500 && log.size() < size);
    assert_eq!(log.log_start_offset(), log.segment_offsets()[0]);
    assert!(matches!(log.read(0, limits()), Err(LogError::OffsetOutOfRange { .. })));
    let left = contents(&log, log.log_start_offset());
    assert_eq!(left.last().map(|(offset, _)| *offset), Some(19));
}

fn limits() -> log::ReadLimits {
    log::ReadLimits { max_bytes: 1 << 20, at_least_one: true, until: i64::MAX }
}

#[test]
fn kafka_2_36_retention_goes_by_record_time_and_takes_the_active_segment() {
    let config = Bench::new().config;
    let bench = bench(LogConfig { retention_ms: 1000, ..config });
    let log = bench.open();
    fill(&log, 10);
    assert_eq!(log.enforce_retention().expect("retention"), 0);
    log.append(batch_at(NOW - 5000, &["old"]), 0, Origin::Client).expect("append");
    bench.advance(2000);
    log.advance_high_watermark(11);
    assert!(log.enforce_retention().expect("retention") > 0);
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size()), (11, 11, 0));
    assert_eq!(log.append(batch(&["next"]), 0, Origin::Client).expect("append").first_offset, 11);
    // The files stay for file.delete.delay.ms under another name.
    assert!(count_deleted(&bench) > 0);
    log.remove_doomed_files().expect("not due");
    assert!(count_deleted(&bench) > 0);
    bench.advance(1000);
    log.remove_doomed_files().expect("due");
    assert_eq!(count_deleted(&bench), 0);
}

#[test]
fn kafka_2_21_retention_spares_what_is_not_committed_and_compacted_topics() {
    let config = Bench::new().config;
    let mut bench = bench(LogConfig { retention_ms: 1000, ..config });
    let log = bench.open();
    fill(&log, 10);
    bench.advance(5000);
    drop(log);
    // After a restart the high watermark is only known to be 0.
    let log = bench.open();
    assert_eq!(log.high_watermark(), 0);
    assert_eq!(log.enforce_retention().expect("retention"), 0);
    drop(log);
    bench.config.cleanup = CleanupPolicy { delete: false, compact: true };
    let log = bench.open();
    log.advance_high_watermark(10);
    assert_eq!(log.enforce_retention().expect("retention"), 0);
}

#[test]
fn kafka_2_21_delete_records_moves_the_log_start() {
    let bench = bench(Bench::new().config);
    let log = bench.open();
    fill(&log, 10);
    let segments = log.segment_offsets();
    assert_eq!(log.delete_records_before(5).expect("delete"), 5);
    assert!(matches!(log.read(4, limits()), Err(LogError::OffsetOutOfRange { offset: 4, start: 5, .. })));
    assert_eq!(contents(&log, 5).len(), 5);
    assert!(log.segment_offsets()[0] <= 5 && log.segment_offsets().len() < segments.len());
    assert!(matches!(log.delete_records_before(11), Err(LogError::OffsetOutOfRange { .. })));
    assert_eq!(log.delete_records_before(3).expect("a lower offset is ignored"), 5);
    assert_eq!(log.delete_records_before(10).expect("everything"), 10);
    log.close().expect("close");
    // The start offset is the owner's to checkpoint; the folder alone knows the first segment.
    let log = bench.open_with(true, 0);
    assert!(log.log_start_offset() <= 10 && log.log_end_offset() == 10);
}

#[test]
fn a_reader_of_a_removed_segment_reads_on() {
    let base = Bench::without_tail();
    let bench = Bench { config: LogConfig { segment_bytes: 200, ..base.config.clone() }, ..base };
    let log = bench.open();
    fill(&log, 10);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut gone = 0;
            for round in 0..2000 {
                match log.read(round % 10, limits()) {
                    Ok(_) => {}
                    Err(LogError::OffsetOutOfRange { .. }) => gone += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            gone
        });
        for offset in 1..=9 {
            log.delete_records_before(offset).expect("delete");
        }
        reader.join().expect("the reader");
    });
    assert_eq!(
        bench.files().iter().filter(|name| name.ends_with(".index")).count(),
        log.segment_offsets().len()
    );
}

#[test]
fn kafka_2_17_epochs_end_where_the_next_begins() {
    let bench = bench(Bench::new().config);
    let log = bench.open();
    assert_eq!(log.end_offset_for_epoch(0), (-1, -1));
    for epoch in [1, 1, 2, 5] {
        log.append(batch(&["a", "b"]), epoch, Origin::Client).expect("append");
    }
    assert_eq!(log.end_offset_for_epoch(0), (0, 0), "below all known ones");
    assert_eq!(log.end_offset_for_epoch(1), (1, 4));
    assert_eq!(log.end_offset_for_epoch(2), (2, 6));
    assert_eq!(log.end_offset_for_epoch(4), (2, 6), "the largest known below");
    assert_eq!(log.end_offset_for_epoch(5), (5, 8));
    assert_eq!(log.end_offset_for_epoch(6), (-1, -1), "above all known ones");
    assert_eq!(log.end_offset_for_epoch(-1), (-1, -1));
    assert_eq!((log.epoch_at(3), log.epoch_at(5)), (Some(1), Some(2)));
    log.start_epoch(7).expect("a new leader");
    assert_eq!(log.end_offset_for_epoch(5), (5, 8));
    log.flush().expect("flush");
    let file = std::fs::read_to_string(bench.log_path().join("leader-epoch-checkpoint")).expect("the file");
    assert_eq!(file, "0\n4\n1 0\n2 4\n5 6\n7 8\n");
    assert_eq!(log.truncate_to(8).expect("nothing to truncate"), 8);
    assert_eq!(log.latest_epoch(), Some(5), "an epoch without records goes with the records behind the end");
}

#[test]
fn kafka_2_17_truncation_takes_epochs_along() {
    let bench = bench(Bench::new().config);
    let log = bench.open();
    for epoch in 0..10 {
        log.append(batch(&["a", "b"]), epoch, Origin::Client).expect("append");
    }
    log.advance_high_watermark(20);
    log.flush().expect("flush");
    assert_eq!(log.truncate_to(7).expect("truncate"), 6, "a batch goes as a whole");
    assert_eq!((log.log_end_offset(), log.high_watermark(), log.flushed_offset()), (6, 6, 6));
    assert_eq!(log.latest_epoch(), Some(2));
    assert_eq!(contents(&log, 0).len(), 6);
    assert_eq!(log.append(batch(&["c"]), 11, Origin::Client).expect("append").first_offset, 6);
    assert_eq!(log.truncate_to(100).expect("nothing to do"), 7);
    drop(log);
    let log = bench.open();
    assert_eq!((contents(&log, 0).len(), log.latest_epoch()), (7, Some(11)));
    log.truncate_fully_and_start_at(500).expect("start over");
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.high_watermark()), (500, 500, 500));
    assert_eq!(log.leader_epochs(), []);
    assert_eq!(log.append(batch(&["d"]), 12, Origin::Client).expect("append").first_offset, 500);
    log.truncate_to(0).expect("below the start");
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 0));
}

#[test]
fn log_start_moves_epochs_up() {
    let bench = bench(Bench::new().config);
    let log = bench.open();
    for epoch in 0..5 {
        log.append(batch(&["a", "b"]), epoch, Origin::Client).expect("append");
    }
    log.advance_high_watermark(10);
    log.delete_records_before(5).expect("delete");
    let epochs: Vec<_> = log.leader_epochs().iter().map(|entry| (entry.epoch, entry.start_offset)).collect();
    assert_eq!(epochs, [(2, 5), (3, 6), (4, 8)]);
}

#[test]
fn kafka_2_19_offsets_by_time() {
    for tail in [Bench::new(), Bench::without_tail()] {
        let bench = Bench { config: LogConfig { segment_bytes: 400, ..tail.config.clone() }, ..tail };
        let log = bench.open();
        assert_eq!(log.offset_for_timestamp(0).expect("empty"), None);
        assert_eq!(log.max_timestamp_offset().expect("empty"), None);
        // Time goes forth and back: 0, 10, 5, 30, 20, ...
        let times = [0, 10, 5, 30, 20, 50, 40, 45, 60, 60, 55];
        for (index, time) in times.iter().enumerate() {
            let mut builder = log::BatchBuilder::new(0).compression(Compression::new(Codec::Lz4));
            builder.append(NOW + time, None, Some(b"first"), &[]).expect("a record");
            builder.append(NOW + time + 1, None, Some(b"second"), &[]).expect("a record");
            log.append(builder.build().expect("a batch"), index as i32 / 4, Origin::Client).expect("append");
        }
        for time in -1..=62 {
            let expected = times
                .iter()
                .enumerate()
                .flat_map(|(index, base)| [(index as i64 * 2, *base), (index as i64 * 2 + 1, *base + 1)])
                .find(|(_, at)| *at >= time);
            let found = log.offset_for_timestamp(NOW + time).expect("by time");
            assert_eq!(found.map(|found| (found.offset, found.timestamp - NOW)), expected, "time {time}");
        }
        let max = log.max_timestamp_offset().expect("max").expect("found");
        assert_eq!((max.offset, max.timestamp, max.leader_epoch), (17, NOW + 61, 2));
        log.close().expect("close");
        let log = bench.open_with(true, 0);
        assert_eq!(log.max_timestamp_offset().expect("max").expect("found"), max, "after a restart");
    }
}

#[test]
fn log_append_time_stamps_the_whole_batch() {
    let mut bench = Bench::new();
    bench.config.timestamp_type = log::TimestampType::LogAppendTime;
    let log = bench.open();
    bench.advance(50);
    let info = log
        .append(compressed(Compression::new(Codec::Zstd), &["a", "b"]), 0, Origin::Client)
        .expect("append");
    assert_eq!(info.log_append_time, NOW + 50);
    let found = log.offset_for_timestamp(NOW + 50).expect("by time").expect("found");
    assert_eq!((found.offset, found.timestamp), (0, NOW + 50));
    drop(log);
    assert_eq!(contents(&bench.open(), 0).len(), 2, "the corrected CRC holds");
}

#[test]
fn the_tail_cache_keeps_to_its_budget() {
    let bench = Bench { tail: log::TailBudget::new(2000, 1500), ..Bench::new() };
    let log = bench.open();
    for value in 0..100 {
        log.append(batch(&[&value.to_string()]), 0, Origin::Client).expect("append");
        assert!(bench.tail.used() <= 1500);
    }
    assert!(bench.tail.used() > 1000);
    assert_eq!(contents(&log, 0).len(), 100, "what fell out is read from the file");
    bench.advance(10);
    log.expire_memory(11);
    assert!(bench.tail.used() > 0);
    log.expire_memory(5);
    assert_eq!(bench.tail.used(), 0);
    log.append(batch(&["again"]), 0, Origin::Client).expect("append");
    assert!(bench.tail.used() > 0);
    drop(log);
    assert_eq!(bench.tail.used(), 0);
}
