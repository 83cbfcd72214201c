//! Crashes, damage and failing disks.
use crate::common::{Bench, batch, batch_at, contents};
use base::World;
use log::{Batch, Log, LogConfig, LogError, Origin, ReadLimits};
use proptest::prelude::*;
use std::sync::atomic::Ordering;

/// The first field of a batch.
const BASE_OFFSET_BYTES: usize = 8;

fn bench(segment_bytes: u64) -> Bench {
    let mut bench = Bench::without_tail();
    bench.config = LogConfig { segment_bytes, ..bench.config };
    bench
}

fn fill(log: &Log, count: i64) {
    for value in 0..count {
        let epoch = (value / 7) as i32;
        log.append(
            batch_at(crate::common::NOW + value, &[&format!("value {value}"), "x"]),
            epoch,
            Origin::Client,
        )
        .expect("append");
    }
}

/// Every way to find a batch agrees with reading from the start, and times agree with offsets.
fn check_indexes(log: &Log) {
    let all = contents(log, log.log_start_offset());
    let limits = ReadLimits { max_bytes: 1, at_least_one: true, until: i64::MAX };
    for (offset, _) in &all {
        let data = log.read(*offset, limits).expect("read");
        let batch = Batch::parse_one(&data.into_bytes()).expect("whole");
        assert!(batch.header().base_offset <= *offset && batch.header().last_offset() >= *offset);
        let timestamp = batch.header().max_timestamp;
        let found = log.offset_for_timestamp(timestamp).expect("by time").expect("found");
        assert_eq!((found.timestamp, found.offset), (timestamp, batch.header().base_offset));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_torn_tail_is_cut_at_a_batch(count in 1..60i64, segment_bytes in 150..3000u64, cut in 1..400u64, garbage in prop::collection::vec(any::<u8>(), 0..100), flushed in 0..120i64) {
        let bench = bench(segment_bytes);
        let log = bench.open();
        fill(&log, count);
        let before = contents(&log, 0);
        let last = *log.segment_offsets().last().expect("a segment");
        drop(log);
        let path = bench.log_path().join(format!("{last:020}.log"));
        let length = std::fs::metadata(&path).expect("the file").len();
        let kept = length.saturating_sub(cut);
        let mut content = std::fs::read(&path).expect("the file");
        content.truncate(kept as usize);
        content.extend_from_slice(&garbage);
        std::fs::write(&path, content).expect("torn");
        // Only what lies behind the recovery point may be torn.
        let recovery_point = flushed.min(last);
        let log = bench.open_with(false, recovery_point);
        let after = contents(&log, 0);
        prop_assert_eq!(&after[..], &before[..after.len()], "what is left is a prefix");
        prop_assert_eq!(log.log_end_offset(), after.len() as i64);
        let lost = before.len() - after.len();
        prop_assert!((lost as u64 / 2) <= cut / 70 + 1, "only torn batches go");
        check_indexes(&log);
        let ends = log.leader_epochs();
        prop_assert!(ends.iter().all(|epoch| epoch.start_offset < log.log_end_offset().max(1)));
        let next = log.append(batch(&["next"]), 100, Origin::Client).expect("append").first_offset;
        prop_assert_eq!(next, after.len() as i64);
    }

    #[test]
    fn any_damage_leaves_a_prefix(count in 5..40i64, segment_bytes in 200..2000u64, at in any::<prop::sample::Index>(), bit in 0..8u8, lost_indexes: bool) {
        let bench = bench(segment_bytes);
        let log = bench.open();
        fill(&log, count);
        let before = contents(&log, 0);
        let segments = log.segment_offsets();
        drop(log);
        let victim = segments[at.index(segments.len())];
        let path = bench.log_path().join(format!("{victim:020}.log"));
        let mut content = std::fs::read(&path).expect("the file");
        let mut position = at.index(content.len());
        let mut start = 0;
        for found in Batch::iter(content.clone().into()).map_while(Result::ok) {
            // The base offset is outside of the CRC, and one that is too large looks like a hole that compaction left.
            if (start..start + BASE_OFFSET_BYTES).contains(&position) {
                position += BASE_OFFSET_BYTES;
            }
            start += found.size();
        }
        content[position] ^= 1 << bit;
        std::fs::write(&path, content).expect("damaged");
        if lost_indexes {
            std::fs::remove_file(bench.log_path().join(format!("{victim:020}.index"))).expect("the index");
        }
        let log = bench.open_with(false, 0);
        let after: Vec<_> = contents(&log, 0);
        prop_assert!(after.len() <= before.len());
        let values = |list: &[(i64, String)]| list.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
        prop_assert_eq!(values(&after), values(&before[..after.len()]));
    }
}

/// Does something to a log of many segments in a process that dies after so many changes to its files, for every such number. Whatever
/// it had come to, the next start finds the beginning of what was there, without a hole.
fn at_every_death(prepare: impl Fn(&Bench), does: impl Fn(&Bench) -> Result<(), LogError>) {
    for changes in 0.. {
        let bench = bench(600);
        let log = bench.open();
        fill(&log, 40);
        assert!(log.segment_offsets().len() > 5, "the test needs segments");
        let before = contents(&log, 0);
        log.flush().expect("flush");
        drop(log);
        prepare(&bench);
        bench.faults.dies_after.set(changes.into()).expect("set once");
        let done = does(&bench).is_ok();
        let healthy = Bench { world: World::system(), ..bench };
        let after = contents(&healthy.open(), 0);
        assert!(!after.is_empty() && after.len() <= before.len(), "after {changes} changes");
        assert_eq!(after, before[..after.len()], "after {changes} changes");
        if done {
            assert!(changes > 5 && after.len() < before.len());
            return;
        }
    }
}

#[test]
fn a_death_while_damage_is_cut_off_leaves_no_hole() {
    let damage = |bench: &Bench| {
        let offsets = bench.open().segment_offsets();
        let path = bench.log_path().join(format!("{:020}.log", offsets[1]));
        let mut content = std::fs::read(&path).expect("the file");
        let last = content.len() - 1;
        content[last] ^= 1;
        std::fs::write(&path, content).expect("damaged");
    };
    at_every_death(damage, |bench| bench.try_open(false, 0).map(drop));
}

#[test]
fn a_death_during_a_truncation_leaves_no_hole() {
    at_every_death(|_| (), |bench| bench.try_open(false, 0)?.truncate_to(7).map(drop));
}

#[test]
fn what_a_dead_process_had_not_flushed_is_flushed_before_it_is_served_if_every_record_is_to_be() {
    let mut bench = bench(100_000);
    fill(&bench.open(), 3);
    assert_eq!(bench.open().flushed_offset(), 0, "by default the system flushes when it likes");
    bench.config.flush_messages = 1;
    let log = bench.open();
    assert_eq!((log.flushed_offset(), log.log_end_offset()), (6, 6));
}

#[test]
fn what_is_taken_back_is_durably_gone() {
    let bench = bench(100_000);
    let log = bench.open();
    fill(&log, 10);
    log.flush().expect("flush");
    let syncs = || bench.faults.syncs.load(Ordering::Relaxed);
    let before = syncs();
    log.truncate_to(7).expect("truncated");
    assert!(syncs() > before, "the cut is not durable");
    drop(log);
    // A torn batch that recovery cuts off could come back behind what is appended next.
    let path = bench.log_path().join("00000000000000000000.log");
    let mut content = std::fs::read(&path).expect("the file");
    content.extend_from_slice(&[7; 30]);
    std::fs::write(&path, content).expect("torn");
    let before = syncs();
    let _log = bench.open();
    assert!(syncs() > before, "the cut is not durable");
}

#[test]
fn lost_or_damaged_indexes_are_rebuilt_even_after_a_clean_shutdown() {
    let bench = bench(1000);
    let log = bench.open();
    fill(&log, 60);
    let (before, segments) = (contents(&log, 0), log.segment_offsets());
    log.close().expect("close");
    let index = |base: i64, suffix: &str| bench.log_path().join(format!("{base:020}{suffix}"));
    let good = std::fs::read(index(segments[1], ".index")).expect("the index");
    assert!(good.len() >= 16, "the test needs entries");
    std::fs::remove_file(index(segments[0], ".timeindex")).expect("removed");
    std::fs::write(index(segments[1], ".index"), &good[..good.len() - 3]).expect("torn");
    let log = bench.open_with(true, 0);
    assert_eq!(contents(&log, 0), before);
    check_indexes(&log);
    drop(log);
    assert_eq!(std::fs::read(index(segments[1], ".index")).expect("the index"), good);
}

#[test]
fn a_failed_write_takes_the_log_offline_and_leaves_no_trace() {
    let bench = bench(10_000);
    let log = bench.open();
    fill(&log, 5);
    let before = contents(&log, 0);
    bench.faults.torn_bytes.store(70, Ordering::Relaxed);
    bench.faults.fail_writes.store(true, Ordering::Relaxed);
    let error = log.append(batch(&["lost"]), 0, Origin::Client).expect_err("the disk fails");
    assert!(matches!(error, LogError::Io { .. }) && error.is_storage_failure(), "{error}");
    bench.faults.fail_writes.store(false, Ordering::Relaxed);
    let later = log.append(batch(&["later"]), 0, Origin::Client).expect_err("offline");
    assert!(matches!(later, LogError::Offline { .. }));
    assert!(matches!(
        log.read(0, ReadLimits { max_bytes: 1, at_least_one: true, until: 1 }),
        Err(LogError::Offline { .. })
    ));
    assert!(matches!(log.flush(), Err(LogError::Offline { .. })));
    assert!(matches!(log.close(), Err(LogError::Offline { .. })));
    assert!(log.offline_reason().is_some_and(|reason| reason.contains("injected fault")));
    drop(log);
    let log = bench.open();
    assert_eq!(contents(&log, 0), before, "the torn batch is cut off");
}

#[test]
fn a_failed_flush_takes_the_log_offline() {
    let bench = bench(10_000);
    let log = bench.open();
    fill(&log, 3);
    log.flush().expect("flush");
    fill(&log, 1);
    bench.faults.fail_syncs.store(true, Ordering::Relaxed);
    assert!(matches!(log.flush(), Err(LogError::Io { .. })));
    assert_eq!(log.flushed_offset(), 6, "nothing is claimed that was not flushed");
    bench.faults.fail_syncs.store(false, Ordering::Relaxed);
    assert!(matches!(log.flush(), Err(LogError::Offline { .. })), "a second flush could lie");
}

#[test]
fn one_flush_covers_everything_appended_before_it() {
    let bench = bench(10_000);
    let log = bench.open();
    log.flush().expect("flush");
    let append = || log.append(batch(&["value"]), 0, Origin::Client).expect("append");
    append();
    log.flush().expect("the new file's name is synced here");
    let before = bench.faults.syncs.load(Ordering::Relaxed);
    for _ in 0..20 {
        append();
    }
    log.flush().expect("flush");
    assert_eq!(bench.faults.syncs.load(Ordering::Relaxed) - before, 1);
    log.flush().expect("nothing to do");
    assert_eq!(bench.faults.syncs.load(Ordering::Relaxed) - before, 1);
}

#[test]
fn preallocated_space_is_not_taken_for_data() {
    for clean in [true, false] {
        let mut bench = bench(4096);
        bench.config.preallocate = true;
        let log = bench.open();
        fill(&log, 10);
        let before = contents(&log, 0);
        let path = bench.log_path().join("00000000000000000000.log");
        assert_eq!(std::fs::metadata(&path).expect("the file").len(), 4096);
        if clean {
            log.close().expect("close");
            assert!(std::fs::metadata(&path).expect("the file").len() < 4096);
        }
        drop(log);
        let log = bench.open_with(clean, 0);
        assert_eq!(contents(&log, 0), before);
    }
}

/// The file's length changes only when the zeros are used up, which is what makes flushes cheap.
#[test]
fn zeros_are_written_ahead_and_not_taken_for_data() {
    for clean in [true, false] {
        let mut bench = bench(100_000);
        bench.config.zero_fill_bytes = 8192;
        let log = bench.open();
        let path = bench.log_path().join("00000000000000000000.log");
        let length = || std::fs::metadata(&path).expect("the file").len();
        let mut lengths = Vec::new();
        for _ in 0..3 * 8192 / 100 {
            fill(&log, 1);
            assert!(length() >= log.size(), "{} {}", length(), log.size());
            lengths.push(length());
        }
        let appends = lengths.len();
        lengths.dedup();
        assert!((2..appends / 10).contains(&lengths.len()), "{lengths:?}");
        let content = std::fs::read(&path).expect("the file");
        assert!(content[log.size() as usize..].iter().all(|byte| *byte == 0));
        // What is cut makes room for zeros, too.
        log.truncate_to(log.log_end_offset() - 1).expect("truncate");
        fill(&log, 1);
        let before = contents(&log, 0);
        let size = log.size();
        if clean {
            log.close().expect("close");
            assert_eq!(length(), size);
        }
        drop(log);
        let log = bench.open_with(clean, 0);
        assert_eq!((contents(&log, 0), log.size()), (before, size));
        fill(&log, 1);
        assert!(length() > log.size());
    }
}

#[test]
fn a_segment_is_not_filled_beyond_its_size() {
    let mut bench = bench(1_000);
    bench.config.zero_fill_bytes = 8192;
    let log = bench.open();
    fill(&log, 100);
    for entry in std::fs::read_dir(bench.log_path()).expect("the folder") {
        let entry = entry.expect("an entry");
        if entry.path().extension().is_some_and(|ending| ending == "log") {
            assert!(entry.metadata().expect("its length").len() <= 1_000, "{entry:?}");
        }
    }
}

#[test]
fn epochs_survive_a_crash_wherever_the_last_flush_was() {
    for flushed_after in [0, 13, 29, 40] {
        let bench = bench(400);
        let log = bench.open();
        fill(&log, flushed_after);
        let recovery_point = log.flush().expect("flush");
        for epoch in 10..20 {
            log.append(batch(&["a", "b"]), epoch, Origin::Client).expect("append");
        }
        let before = log.leader_epochs();
        drop(log);
        let log = bench.open_with(false, recovery_point);
        assert_eq!(log.leader_epochs(), before, "flushed after {flushed_after}");
    }
}

#[test]
fn leftovers_of_a_crash_are_removed() {
    let bench = bench(1000);
    let log = bench.open();
    fill(&log, 20);
    let before = contents(&log, 0);
    log.close().expect("close");
    for name in [
        "00000000000000000000.log.deleted",
        "00000000000000000000.log.cleaned",
        "00000000000000000000.index.swap",
        "00000000000000009999.index",
        "leader-epoch-checkpoint.tmp",
    ] {
        std::fs::write(bench.log_path().join(name), b"x").expect("a leftover");
    }
    std::fs::write(bench.log_path().join("00000000000000000007-0000000001.checkpoint"), b"x")
        .expect("not ours");
    let log = bench.open_with(true, 0);
    assert_eq!(contents(&log, 0), before);
    let strange =
        |name: &&String| ["deleted", "cleaned", "swap", "tmp"].iter().any(|end| name.ends_with(end));
    assert_eq!(bench.files().iter().find(strange), None);
    assert!(!bench.files().contains(&"00000000000000009999.index".to_owned()));
    assert!(bench.files().iter().any(|name| name.ends_with(".checkpoint")), "files of others stay");
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_was_opened_after_a_crash_holds_one_file_per_segment() {
    let bench = bench(300);
    let log = bench.open();
    fill(&log, 30);
    drop(log);
    let log = bench.open_with(false, 0);
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("the open files");
    let held = descriptors
        .filter_map(|entry| std::fs::read_link(entry.expect("an entry").path()).ok())
        .filter(|target| target.starts_with(bench.log_path()))
        .count();
    assert_eq!(held, log.segment_offsets().len());
    check_indexes(&log);
}
