//! Compaction keeps the latest record of every key at its offset, and what must outlive it.
use crate::common::{Bench, NOW};
use log::{
    Batch, BatchBuilder, Cleaned, CleanupPolicy, Codec, Compression, Log, LogConfig, Origin, ReadLimits,
    Scratch,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const DEDUPE_BYTES: u64 = 1 << 20;

fn bench(segment_bytes: u64) -> Bench {
    let base = Bench::without_tail();
    let config = LogConfig {
        segment_bytes,
        cleanup: CleanupPolicy { delete: false, compact: true },
        delete_retention_ms: 1000,
        min_cleanable_dirty_ratio: 0.01,
        ..base.config.clone()
    };
    Bench { config, ..base }
}

fn put_all(log: &Log, codec: Codec, pairs: &[(u8, Option<u8>)]) {
    let mut builder = BatchBuilder::new(0).compression(Compression::new(codec));
    for (key, value) in pairs {
        let value = value.map(|value| [value; 20]);
        builder.append(NOW, Some(&[*key]), value.as_ref().map(|value| &value[..]), &[]).expect("a record");
    }
    let end =
        log.append(builder.build().expect("a batch"), 0, Origin::Client).expect("append").log_end_offset;
    log.advance_high_watermark(end);
}

fn put(log: &Log, key: u8, value: Option<u8>) {
    put_all(log, Codec::None, &[(key, value)]);
}

fn clean(log: &Log) -> Cleaned {
    let dirty = log.cleanable(None).expect("cleanable");
    log.clean(&dirty, DEDUPE_BYTES).expect("clean")
}

/// (offset, key, value) of all records.
fn records(log: &Log) -> Vec<(i64, u8, Option<u8>)> {
    let mut found = Vec::new();
    for batch in batches(log) {
        for record in batch.records(&mut Scratch::new()).expect("records") {
            let record = record.expect("a record");
            found.push((
                record.offset,
                record.key.map_or(0, |key| key[0]),
                record.value.map(|value| value[0]),
            ));
        }
    }
    found
}

fn batches(log: &Log) -> Vec<Batch> {
    let mut all = Vec::new();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let limits = ReadLimits { max_bytes: 1 << 20, at_least_one: true, until: i64::MAX };
        let data = log.read(offset, limits).expect("read").into_bytes();
        let Some(last) = Batch::iter(data.clone()).filter_map(Result::ok).last() else { break };
        offset = last.header().next_offset();
        all.extend(Batch::iter(data).filter_map(Result::ok));
    }
    all
}

#[test]
fn kafka_2_21_the_latest_record_of_a_key_stays_at_its_offset() {
    let bench = bench(250);
    let log = bench.open();
    for round in 0..10 {
        put(&log, 1, Some(round));
        put(&log, 2, Some(round));
    }
    let active = *log.segment_offsets().last().expect("a segment");
    let (end, before) = (log.log_end_offset(), log.size());
    let cleaned = clean(&log);
    assert_eq!(cleaned.first_dirty, active);
    assert!(cleaned.bytes_after < cleaned.bytes_before && log.size() < before);
    let left = records(&log);
    let kept: Vec<i64> = left.iter().map(|(offset, ..)| *offset).filter(|offset| *offset < active).collect();
    assert_eq!(kept, [active - 2, active - 1], "one record per key before the active segment");
    assert!(
        left.iter().all(|(offset, _, value)| i64::from(value.unwrap_or(0)) == offset / 2),
        "offsets are kept"
    );
    assert_eq!(log.log_end_offset(), end);
    drop(log);
    let log = bench.open_with(true, 0);
    assert_eq!(records(&log), left, "and after a restart");
    assert_eq!(log.log_end_offset(), end);
}

#[test]
fn kafka_2_21_tombstones_stay_until_their_horizon() {
    let bench = bench(150);
    let log = bench.open();
    put(&log, 1, Some(1));
    put(&log, 1, None);
    put(&log, 2, Some(2));
    put(&log, 3, Some(3));
    put(&log, 3, Some(3));
    clean(&log);
    let tombstone = |log: &Log| records(log).contains(&(1, 1, None));
    assert!(tombstone(&log) && !records(&log).contains(&(0, 1, Some(1))));
    let horizon = batches(&log).iter().find_map(|batch| batch.header().delete_horizon_ms());
    assert_eq!(horizon, Some(NOW + 1000), "the first cleaning sets it (KIP-534)");
    bench.advance(999);
    clean(&log);
    assert!(tombstone(&log));
    bench.advance(1);
    clean(&log);
    assert!(!tombstone(&log));
    assert!(records(&log).contains(&(2, 2, Some(2))));
}

#[test]
fn kafka_2_21_the_last_batch_of_a_producer_stays_though_empty() {
    let bench = bench(200);
    let log = bench.open();
    let send = |producer: i64, sequence| {
        let mut builder = BatchBuilder::new(0).producer(producer, 0, sequence);
        builder.append(NOW, Some(b"k"), Some(&[sequence as u8; 20]), &[]).expect("a record");
        let end =
            log.append(builder.build().expect("a batch"), 0, Origin::Client).expect("append").log_end_offset;
        log.advance_high_watermark(end);
    };
    send(7, 0);
    send(7, 1);
    for sequence in 0..6 {
        send(8, sequence);
    }
    clean(&log);
    let of_7: Vec<_> = batches(&log).into_iter().filter(|batch| batch.header().producer_id == 7).collect();
    assert_eq!(of_7.len(), 1);
    let header = of_7[0].header();
    assert_eq!((header.base_offset, header.record_count, header.last_sequence()), (1, 0, 1));
    assert!(of_7[0].crc_is_valid());
    // Without snapshots, the state comes from the log alone.
    let before = log.producer(7).expect("known").last_sequence();
    drop(log);
    for name in bench.files().iter().filter(|name| name.ends_with(".snapshot")) {
        std::fs::remove_file(bench.log_path().join(name)).expect("removed");
    }
    let log = bench.open();
    assert_eq!(log.producer(7).expect("known").last_sequence(), before);
}

#[test]
fn small_segments_are_merged() {
    let mut bench = bench(150);
    let log = bench.open();
    for round in 0..30 {
        put(&log, round % 3, Some(round));
    }
    let many = log.segment_offsets().len();
    bench.config.segment_bytes = 10_000;
    log.set_config(bench.config.clone());
    clean(&log);
    assert_eq!(log.segment_offsets().len(), 2, "of {many}");
    let left = records(&log);
    bench.advance(1000);
    log.remove_doomed_files().expect("due");
    drop(log);
    assert_eq!(records(&bench.open()), left);
}

#[test]
fn control_records_stay() {
    let bench = bench(200);
    let log = bench.open();
    let mut control = BatchBuilder::new(0).control();
    control.append(NOW, Some(&[0, 0, 0, 2]), Some(b"leader change"), &[]).expect("a record");
    log.append(control.build().expect("a batch"), 0, Origin::Coordinator).expect("append");
    for value in 0..10 {
        put(&log, 1, Some(value));
    }
    clean(&log);
    assert!(batches(&log)[0].header().is_control());
}

#[test]
fn what_is_due_for_cleaning() {
    let mut bench = bench(150);
    bench.config.min_cleanable_dirty_ratio = 0.5;
    let log = bench.open();
    put(&log, 1, Some(1));
    let dirty = log.cleanable(None).expect("cleanable");
    assert!(!dirty.is_due(&bench.config), "the active segment alone");
    for value in 0..10 {
        put(&log, 1, Some(value));
    }
    let dirty = log.cleanable(None).expect("cleanable");
    assert!(dirty.is_due(&bench.config) && dirty.ratio() > 0.99);
    let cleaned = log.clean(&dirty, DEDUPE_BYTES).expect("clean");
    let clean = log.cleanable(Some(cleaned.first_dirty)).expect("cleanable");
    assert!(!clean.is_due(&bench.config));
    assert_eq!(clean.cleanable_bytes, 0);
    // Lags: the young are spared, the old are overdue.
    put(&log, 2, Some(1));
    put(&log, 2, Some(2));
    put(&log, 2, Some(3));
    let lag = LogConfig { min_compaction_lag_ms: 1000, ..bench.config.clone() };
    log.set_config(lag);
    assert_eq!(log.cleanable(Some(cleaned.first_dirty)).expect("cleanable").cleanable_bytes, 0);
    bench.advance(1001);
    assert!(log.cleanable(Some(cleaned.first_dirty)).expect("cleanable").cleanable_bytes > 0);
    let config =
        LogConfig { min_cleanable_dirty_ratio: 1.0, max_compaction_lag_ms: 1000, ..bench.config.clone() };
    log.set_config(config.clone());
    assert!(log.cleanable(Some(cleaned.first_dirty)).expect("cleanable").is_due(&config));
    // Nothing behind the last stable offset.
    let uncommitted = self::bench(150);
    let log = uncommitted.open();
    for _ in 0..5 {
        log.append(crate::common::batch(&["v"]), 0, Origin::Client).expect("append");
    }
    assert_eq!(log.cleanable(None).expect("cleanable").cleanable_bytes, 0);
}

#[test]
fn a_truncation_meanwhile_wins() {
    let bench = bench(150);
    let log = bench.open();
    for value in 0..10 {
        put(&log, 1, Some(value));
    }
    let dirty = log.cleanable(None).expect("cleanable");
    log.truncate_fully_and_start_at(3).expect("start over");
    let cleaned = log.clean(&dirty, DEDUPE_BYTES).expect("nothing is left to clean");
    assert_eq!(cleaned.bytes_after, 0);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (3, 3));
}

#[test]
fn a_crash_at_any_rename_of_the_swap_loses_nothing() {
    // The steps of a swap, as they would lie on the disk when the process stops after each.
    for stop in 0..4 {
        let bench = bench(150);
        let log = bench.open();
        for round in 0..12 {
            put(&log, round % 3, Some(round));
        }
        let before = latest(&records(&log));
        let sources: Vec<i64> = {
            let all = log.segment_offsets();
            all[..all.len() - 1].to_vec()
        };
        log.flush().expect("flush");
        let copy = tempfile::tempdir().expect("a folder");
        for name in bench.files() {
            std::fs::copy(bench.log_path().join(&name), copy.path().join(&name)).expect("a copy");
        }
        let mut wide = bench.config.clone();
        wide.segment_bytes = 10_000;
        log.set_config(wide);
        clean(&log);
        let end = log.log_end_offset();
        drop(log);
        let result = std::fs::read(bench.log_path().join("00000000000000000000.log")).expect("the result");
        let result_index =
            std::fs::read(bench.log_path().join("00000000000000000000.index")).expect("its index");
        std::fs::remove_dir_all(bench.log_path()).expect("removed");
        std::fs::create_dir(bench.log_path()).expect("a folder");
        for entry in std::fs::read_dir(copy.path()).expect("the copy") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), bench.log_path().join(entry.file_name())).expect("a copy");
        }
        let at = |name: &str| bench.log_path().join(name);
        let suffix = if stop == 0 { "cleaned" } else { "swap" };
        std::fs::write(at(&format!("00000000000000000000.log.{suffix}")), &result).expect("written");
        std::fs::write(at(&format!("00000000000000000000.index.{suffix}")), &result_index).expect("written");
        if stop >= 2 {
            for base in &sources[..if stop == 2 { 1 } else { sources.len() }] {
                let name = format!("{base:020}.log");
                std::fs::rename(at(&name), at(&format!("{name}.deleted"))).expect("renamed");
            }
        }
        let log = bench.open_with(false, end);
        assert_eq!(latest(&records(&log)), before, "stop {stop}");
        assert_eq!(log.log_end_offset(), end);
        if stop > 0 {
            assert_eq!(log.segment_offsets().len(), 2, "the swap was completed");
        }
    }
}

fn latest(records: &[(i64, u8, Option<u8>)]) -> BTreeMap<u8, (i64, Option<u8>)> {
    records.iter().map(|(offset, key, value)| (*key, (*offset, *value))).collect()
}

#[test]
fn a_failing_disk_during_compaction_leaves_the_log_as_it_was() {
    let bench = bench(150);
    let log = bench.open();
    for round in 0..12 {
        put(&log, round % 3, Some(round));
    }
    let before = records(&log);
    let dirty = log.cleanable(None).expect("cleanable");
    bench.faults.fail_writes.store(true, Ordering::Relaxed);
    assert!(log.clean(&dirty, DEDUPE_BYTES).is_err());
    bench.faults.fail_writes.store(false, Ordering::Relaxed);
    drop(log);
    assert_eq!(records(&bench.open()), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn compaction_never_changes_what_is_latest(
        writes in prop::collection::vec(prop::collection::vec((0..6u8, prop::option::of(any::<u8>())), 1..5), 1..40),
        codec in prop::sample::select(&[Codec::None, Codec::Lz4, Codec::Snappy][..]),
        segment_bytes in 220..800u64,
        dedupe_bytes in prop::sample::select(&[128u64, 256, 1 << 20][..]),
        rounds in 1..4,
    ) {
        let bench = bench(segment_bytes);
        let log = bench.open();
        let mut first_dirty = None;
        let share = writes.len().div_ceil(rounds as usize);
        for part in writes.chunks(share) {
            for pairs in part {
                put_all(&log, codec, pairs);
            }
            let before = latest(&records(&log));
            let (start, end) = (log.log_start_offset(), log.log_end_offset());
            let dirty = log.cleanable(first_dirty).expect("cleanable");
            let cleaned = log.clean(&dirty, dedupe_bytes).expect("clean");
            prop_assert!(cleaned.first_dirty <= dirty.first_uncleanable);
            first_dirty = Some(cleaned.first_dirty);
            let after = records(&log);
            prop_assert_eq!(latest(&after), before);
            prop_assert!(after.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, end));
            bench.advance(10);
        }
        let before = records(&log);
        drop(log);
        let log = bench.open();
        prop_assert_eq!(records(&log), before);
    }
}
