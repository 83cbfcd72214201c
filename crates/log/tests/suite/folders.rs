//! Data folders: lock, checkpoints, names, deletion.
use crate::common::{Bench, batch, contents};
use log::{Checkpoint, LogDir, LogDirError, Origin, TopicPartition};

#[test]
fn a_data_folder_has_one_owner() {
    let bench = Bench::new();
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("the folder opens");
    let second = LogDir::open(bench.world.clone(), bench.dir.path()).expect_err("it is in use");
    assert!(matches!(second, LogDirError::Locked { .. }));
    assert!(second.to_string().contains("in use by another process"), "{second}");
    drop(dir);
    LogDir::open(bench.world.clone(), bench.dir.path()).expect("the folder is free again");
}

#[test]
fn a_clean_shutdown_counts_once() {
    let bench = Bench::new();
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("opens");
    assert!(!dir.was_clean());
    dir.mark_clean().expect("marked");
    drop(dir);
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("opens");
    assert!(dir.was_clean());
    drop(dir);
    assert!(!LogDir::open(bench.world.clone(), bench.dir.path()).expect("opens").was_clean());
}

#[test]
fn checkpoints_have_the_format_of_kafka() {
    let bench = Bench::new();
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("opens");
    assert!(dir.read_checkpoint(Checkpoint::Cleaner).expect("missing").is_empty());
    let offsets = [(TopicPartition::new("b", 10), 7), (TopicPartition::new("a.b_c-d", 2), 1 << 40)].into();
    dir.write_checkpoint(Checkpoint::HighWatermark, &offsets).expect("written");
    let path = bench.dir.path().join("replication-offset-checkpoint");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "0\n2\na.b_c-d 2 1099511627776\nb 10 7\n");
    assert_eq!(dir.read_checkpoint(Checkpoint::HighWatermark).expect("read"), offsets);
    for bad in ["1\n0\n", "0\n2\na 0 1\n", "0\n1\na b c\n", "0\n1\na 0 1 2\n", "x"] {
        std::fs::write(&path, bad).expect("written");
        assert!(dir.read_checkpoint(Checkpoint::HighWatermark).is_err(), "{bad:?}");
    }
    std::fs::write(&path, "").expect("written");
    assert!(dir.read_checkpoint(Checkpoint::HighWatermark).expect("empty, as Kafka creates it").is_empty());
}

#[test]
fn folders_are_found_by_name() {
    let bench = Bench::new();
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("opens");
    for name in [
        "events-0",
        "with-dash.and_dot-12",
        "events-0.0123456789abcdef0123456789abcdef-delete",
        "snapshot",
        "x-",
        "-1",
        "a-1x",
    ] {
        std::fs::create_dir(bench.dir.path().join(name)).expect("a folder");
    }
    std::fs::write(bench.dir.path().join("file-0"), b"").expect("a file");
    let id = uuid::Uuid::from_u128(0x1234);
    dir.write_partition_metadata(&bench.log_path(), id).expect("metadata");
    let logs = dir.logs().expect("scanned");
    let names: Vec<_> = logs.iter().map(|found| (found.partition.to_string(), found.topic_id)).collect();
    assert_eq!(names, [("events-0".to_owned(), Some(id)), ("with-dash.and_dot-12".to_owned(), None)]);
    assert_eq!(dir.doomed_folders().expect("scanned").len(), 1);
    let text = std::fs::read_to_string(bench.log_path().join("partition.metadata")).expect("the file");
    assert_eq!(text, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAASNA");
}

#[test]
fn a_deleted_topic_does_not_come_back() {
    let bench = Bench::new();
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("opens");
    let log = bench.open();
    log.append(batch(&["a"]), 0, Origin::Client).expect("append");
    log.close().expect("close");
    let doomed = dir.doom_folder(log.dir(), log.partition()).expect("renamed");
    assert!(dir.logs().expect("scanned").is_empty());
    assert_eq!(dir.doomed_folders().expect("scanned"), std::slice::from_ref(&doomed));
    // The topic may be created again at once.
    let log = bench.open();
    assert!(contents(&log, 0).is_empty());
    dir.remove_folder(&doomed).expect("removed");
    dir.remove_folder(&doomed).expect("gone already");
    assert!(dir.doomed_folders().expect("scanned").is_empty());
    let long = TopicPartition::new("t".repeat(249), 7);
    std::fs::create_dir(dir.partition_dir(&long)).expect("a folder");
    let doomed = dir.doom_folder(&dir.partition_dir(&long), &long).expect("renamed");
    assert_eq!(doomed.file_name().map(|name| name.len()), Some(255));
}

#[test]
fn identity_is_given_once_and_kept() {
    let bench = Bench::new();
    let dir = LogDir::open(bench.world.clone(), bench.dir.path()).expect("opens");
    assert_eq!(dir.meta().expect("new"), None);
    let nameless = dir.identify(4, None).expect("new");
    assert_eq!(nameless.cluster_id, None);
    let meta = dir.identify(4, Some("cluster-a")).expect("the cluster is known now");
    assert_eq!(meta.directory_id, nameless.directory_id);
    assert_eq!(dir.identify(4, None).expect("it stays"), meta);
    assert_eq!(dir.identify(4, Some("cluster-a")).expect("again"), meta);
    assert!(dir.identify(4, Some("cluster-b")).expect_err("foreign").to_string().contains("cluster-a"));
    let path = bench.dir.path().join("meta.properties");
    std::fs::write(&path, "#\nbroker.id=3\ncluster.id=x\nversion=0\nextra=1\n").expect("version 0");
    let old = dir.meta().expect("read").expect("there");
    assert_eq!((old.node_id, old.directory_id), (Some(3), None));
    let upgraded = dir.identify(3, Some("x")).expect("upgraded");
    assert!(upgraded.directory_id.is_some());
    assert!(std::fs::read_to_string(&path).expect("the file").contains("extra=1\nnode.id=3\nversion=1\n"));
    std::fs::write(&path, "version=9\n").expect("unknown");
    assert!(dir.meta().is_err());
}
