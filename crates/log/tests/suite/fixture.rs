//! Files of a real Kafka: read, recovered and rewritten to the same bytes. See tests/data/README.md.
use crate::common::{Bench, contents};
use log::{LogConfig, LogDir};
use std::path::{Path, PathBuf};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn bench() -> Bench {
    let mut bench = Bench::without_tail();
    bench.config = LogConfig {
        index_interval_bytes: 100,
        // The records are as old as the fixture.
        producer_id_expiration_ms: i64::MAX,
        ..bench.config
    };
    std::fs::create_dir(bench.log_path()).expect("a folder");
    for entry in std::fs::read_dir(data().join("codecs-0")).expect("the fixture") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), bench.log_path().join(entry.file_name())).expect("a copy");
    }
    bench
}

fn expected() -> Vec<(i64, String)> {
    let mut values = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for round in 1..=2 {
            for value in 1..=5 {
                let text =
                    format!("{codec} round {round} value {value} {codec} {codec} {codec} {codec} {codec}");
                values.push((values.len() as i64, text));
            }
        }
    }
    values
}

fn same_file(bench: &Bench, name: &str) {
    let ours = std::fs::read(bench.log_path().join(name)).expect("our file");
    let theirs = std::fs::read(data().join("codecs-0").join(name)).expect("their file");
    assert_eq!(ours, theirs, "{name} differs from what Kafka wrote");
}

#[test]
fn a_folder_of_kafka_is_read_in_all_codecs() {
    let bench = bench();
    let log = bench.open_with(true, 0);
    assert_eq!(contents(&log, 0), expected());
    assert_eq!(log.producers().len(), 10);
    assert_eq!(log.leader_epochs().len(), 1);
}

#[test]
fn rebuilt_indexes_and_snapshots_equal_those_of_kafka() {
    let bench = bench();
    for name in
        ["00000000000000000000.index", "00000000000000000000.timeindex", "00000000000000000050.snapshot"]
    {
        std::fs::remove_file(bench.log_path().join(name)).expect("the file");
    }
    let log = bench.open_with(false, 0);
    assert_eq!(contents(&log, 0), expected());
    log.close().expect("close");
    for name in [
        "00000000000000000000.log",
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
        "00000000000000000050.snapshot",
        "leader-epoch-checkpoint",
    ] {
        same_file(&bench, name);
    }
}

#[test]
fn meta_properties_of_kafka_is_understood() {
    let bench = Bench::new();
    std::fs::copy(data().join("meta.properties"), bench.dir.path().join("meta.properties")).expect("a copy");
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("the folder opens");
    let meta = dir.meta().expect("meta").expect("the file is there");
    assert_eq!(meta.node_id, Some(1));
    assert!(meta.directory_id.is_some());
    let cluster = meta.cluster_id.clone().expect("a cluster id");
    assert_eq!(dir.identify(1, Some(&cluster)).expect("ours"), meta);
    let error = dir.identify(2, Some(&cluster)).expect_err("another node's folder");
    assert!(error.to_string().contains("belongs to node 1"), "{error}");
}
