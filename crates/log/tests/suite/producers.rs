//! Idempotent producers: sequences, repeated batches, epochs, snapshots.
use crate::common::{Bench, sequenced};
use log::{Log, LogConfig, LogError, Origin};

fn send(log: &Log, epoch: i16, sequence: i32, count: usize) -> Result<(i64, bool), LogError> {
    let info = log.append(sequenced(1, epoch, sequence, count), 0, Origin::Client)?;
    Ok((info.first_offset, info.duplicate))
}

fn out_of_order(result: Result<(i64, bool), LogError>) -> bool {
    matches!(result, Err(LogError::OutOfOrderSequence { .. }))
}

#[test]
fn kafka_2_15_sequences_are_last_plus_one() {
    let bench = Bench::new();
    let log = bench.open();
    assert_eq!(send(&log, 0, 0, 3).expect("first"), (0, false));
    assert_eq!(send(&log, 0, 3, 1).expect("next"), (3, false));
    assert!(out_of_order(send(&log, 0, 5, 1)));
    assert!(out_of_order(send(&log, 0, 2, 1)), "overlaps, but repeats no batch");
    assert_eq!(log.log_end_offset(), 4);
}

#[test]
fn kafka_2_15_sequences_wrap() {
    let bench = Bench::new();
    let log = bench.open();
    send(&log, 0, i32::MAX - 1, 1).expect("an unknown producer may start anywhere");
    assert_eq!(send(&log, 0, i32::MAX, 2).expect("wraps inside of a batch"), (1, false));
    assert_eq!(log.producer(1).expect("known").last_sequence(), 0);
    assert_eq!(send(&log, 0, i32::MAX, 2).expect("repeated"), (1, true));
    assert_eq!(send(&log, 0, 1, 1).expect("next"), (3, false));
}

#[test]
fn kafka_2_15_a_new_epoch_starts_at_0() {
    let bench = Bench::new();
    let log = bench.open();
    send(&log, 0, 0, 2).expect("first");
    assert!(out_of_order(send(&log, 1, 2, 1)));
    assert_eq!(send(&log, 1, 0, 1).expect("new epoch"), (2, false));
    let old = send(&log, 0, 2, 1);
    assert!(matches!(old, Err(LogError::InvalidProducerEpoch { got: 0, current: 1, .. })));
}

#[test]
fn kafka_2_15_the_last_five_batches_are_recognized() {
    let bench = Bench::new();
    let log = bench.open();
    for sequence in 0..6 {
        send(&log, 0, sequence, 1).expect("in order");
    }
    for sequence in 1..6 {
        assert_eq!(send(&log, 0, sequence, 1).expect("repeated"), (i64::from(sequence), true));
    }
    assert!(out_of_order(send(&log, 0, 0, 1)), "an older repetition is 45, never 46");
    assert_eq!(log.log_end_offset(), 6);
    // A node that replays the log, as after a crash or as a new leader, recognizes the same.
    drop(log);
    let log = bench.open();
    assert_eq!(send(&log, 0, 3, 1).expect("repeated"), (3, true));
    assert_eq!(send(&log, 0, 6, 1).expect("next"), (6, false));
}

#[test]
fn kafka_2_15_a_follower_knows_what_its_leader_knew() {
    let home = Bench::new();
    let leader = home.open();
    let bench = Bench::new();
    let follower = bench.open();
    for sequence in 0..4 {
        send(&leader, 0, sequence, 1).expect("in order");
    }
    let limits = log::ReadLimits { max_bytes: 1 << 20, at_least_one: true, until: i64::MAX };
    let bytes = leader.read(0, limits).expect("read").into_bytes();
    let batches: Vec<_> = log::Batch::iter(bytes).map(|batch| batch.expect("whole")).collect();
    follower.append_with_offsets(&batches).expect("copied");
    assert_eq!(follower.producers(), leader.producers());
    assert_eq!(send(&follower, 0, 2, 1).expect("repeated"), (2, true));
}

#[test]
fn coordinators_are_checked_for_epochs_only() {
    let bench = Bench::new();
    let log = bench.open();
    let append = |epoch, sequence| log.append(sequenced(1, epoch, sequence, 1), 0, Origin::Coordinator);
    append(3, 0).expect("first");
    append(3, 7).expect("any sequence");
    assert!(matches!(append(2, 8), Err(LogError::InvalidProducerEpoch { .. })));
}

#[test]
fn snapshots_carry_producers_over_a_clean_restart() {
    let bench = Bench::new();
    let log = bench.open();
    send(&log, 4, 0, 3).expect("first");
    send(&log, 4, 3, 2).expect("second");
    log.close().expect("close");
    assert!(bench.files().contains(&"00000000000000000005.snapshot".to_owned()));
    let log = bench.open_with(true, 0);
    let entry = log.producer(1).expect("known");
    assert_eq!((entry.epoch, entry.last_sequence(), entry.batches.len()), (4, 4, 1));
    assert_eq!(send(&log, 4, 3, 2).expect("repeated"), (3, true));
    assert_eq!(send(&log, 4, 5, 1).expect("next"), (5, false));
}

#[test]
fn a_torn_snapshot_is_replaced_by_a_replay() {
    let bench = Bench::new();
    let log = bench.open();
    send(&log, 0, 0, 3).expect("first");
    log.close().expect("close");
    let path = bench.log_path().join("00000000000000000003.snapshot");
    let content = std::fs::read(&path).expect("the snapshot");
    std::fs::write(&path, &content[..content.len() - 5]).expect("torn");
    let log = bench.open_with(true, 0);
    assert_eq!(log.producer(1).expect("known").last_sequence(), 2);
    assert!(!path.exists());
}

#[test]
fn idle_producers_are_forgotten() {
    let mut bench = Bench::new();
    bench.config = LogConfig { producer_id_expiration_ms: 1000, ..bench.config };
    let log = bench.open();
    send(&log, 0, 0, 1).expect("first");
    bench.advance(999);
    log.expire_memory(u64::MAX);
    assert!(log.producer(1).is_some());
    bench.advance(1);
    log.expire_memory(u64::MAX);
    assert!(log.producer(1).is_none());
    send(&log, 0, 9, 1).expect("an unknown producer may start anywhere");
}

#[test]
fn truncation_takes_sequences_back() {
    let mut bench = Bench::new();
    bench.config = LogConfig { segment_bytes: 200, ..bench.config };
    let log = bench.open();
    for sequence in 0..10 {
        send(&log, 0, sequence, 1).expect("in order");
    }
    assert!(log.segment_offsets().len() > 3);
    log.truncate_to(4).expect("truncate");
    assert_eq!(log.producer(1).expect("known").last_sequence(), 3);
    assert_eq!(send(&log, 0, 4, 1).expect("next"), (4, false));
}

#[test]
fn kafka_2_14_the_last_stable_offset_waits_for_the_marker() {
    let bench = Bench::new();
    let log = bench.open();
    let mut open = log::BatchBuilder::new(0).producer(1, 0, 0).transactional();
    open.append(crate::common::NOW, Some(b"k"), Some(b"v"), &[]).expect("a record");
    log.append(open.build().expect("a batch"), 0, Origin::Client).expect("append");
    log.append(sequenced(2, 0, 0, 1), 0, Origin::Client).expect("append");
    log.advance_high_watermark(2);
    assert_eq!(log.last_stable_offset(), 0);
    // The open transaction survives a restart.
    log.close().expect("close");
    let log = bench.open_with(true, 0);
    log.advance_high_watermark(2);
    assert_eq!(log.last_stable_offset(), 0);
    let mut marker = log::BatchBuilder::new(0).producer(1, 0, -1).transactional().control();
    marker.append(crate::common::NOW, Some(&[0, 0, 0, 1]), Some(&[0, 0, 0, 0, 0, 9]), &[]).expect("a marker");
    log.append(marker.build().expect("a batch"), 0, Origin::Coordinator).expect("append");
    assert_eq!(log.last_stable_offset(), 0, "a marker counts only below the high watermark");
    log.advance_high_watermark(3);
    assert_eq!(log.last_stable_offset(), 3);
    assert_eq!(log.producer(1).expect("known").coordinator_epoch, 9);
}

#[test]
fn snapshots_of_old_shutdowns_do_not_pile_up() {
    let bench = Bench::new();
    for sequence in 0..5 {
        let log = bench.open_with(sequence > 0, 0);
        send(&log, 0, sequence, 1).expect("in order");
        log.close().expect("close");
    }
    let log = bench.open_with(true, 0);
    assert_eq!(log.producer(1).expect("known").last_sequence(), 4);
    let snapshots: Vec<_> = bench.files().into_iter().filter(|name| name.ends_with(".snapshot")).collect();
    assert_eq!(snapshots, ["00000000000000000005.snapshot"]);
}
