//! Following views and keeping logs: folders, restarts, settings, checkpoints.
use super::{Node, Setup, WALL_START_MS, batch, batch_at, builder};
use crate::ErrorCode;
use crate::requests::{Acks, Isolation, ListOffset, TopicKey};
use log::{Checkpoint, LogDir};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

fn latest(node: &Node, topic: &str) -> i64 {
    let wanted = ListOffset { topic: topic.into(), partition: 0, current_leader_epoch: -1, timestamp: -1 };
    node.broker.list_offsets(Isolation::ReadUncommitted, &[wanted])[0].offset
}

fn earliest(node: &Node, topic: &str) -> i64 {
    let wanted = ListOffset { topic: topic.into(), partition: 0, current_leader_epoch: -1, timestamp: -2 };
    node.broker.list_offsets(Isolation::ReadUncommitted, &[wanted])[0].offset
}

#[tokio::test]
async fn partitions_come_and_go_with_the_view() {
    let node = Setup::new(&[]).start().await;
    node.cluster.put("t", 1, &[]);
    node.settle().await;
    assert_eq!(node.produce(batch(&["a"])).await.error, ErrorCode::NONE);
    assert_eq!(node.folders("t-"), ["t-0"]);
    node.cluster.put("t", 3, &[]);
    node.settle().await;
    assert_eq!(node.folders("t-"), ["t-0", "t-1", "t-2"]);
    assert_eq!(latest(&node, "t"), 1, "the first partition stays");
    node.cluster.remove("t");
    node.settle().await;
    let left = node.folders("t-");
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|name| name.ends_with("-delete")), "{left:?}");
    assert_eq!(node.produce(batch(&["b"])).await.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test(start_paused = true)]
async fn deleted_folders_are_removed_after_the_delay() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 1, &[("file.delete.delay.ms", "1000")]);
    let node = setup.start().await;
    node.cluster.remove("t");
    node.settle().await;
    assert_eq!(node.folders("t-").len(), 1);
    while !node.folders("t-").is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_topic_created_again_under_its_name_starts_empty() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["old"])).await;
    node.cluster.recreate("t", 1);
    node.settle().await;
    assert_eq!(latest(&node, "t"), 0);
    assert_eq!(node.produce(batch(&["new"])).await.base_offset, 0);
    let old = TopicKey::Id(super::topic_id("t", 0));
    assert_eq!(node.broker.offsets(&old, 0), Err(ErrorCode::UNKNOWN_TOPIC_ID));
}

async fn restart(setup: &Setup, node: Node, clean: bool) -> Node {
    for dir in node.broker.shutdown().await {
        if clean {
            dir.mark_clean().expect("the disk works");
        }
    }
    drop(node);
    setup.start().await
}

#[tokio::test]
async fn records_survive_a_clean_and_an_unclean_stop() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 2, &[]);
    let mut node = setup.start().await;
    for round in 0..3 {
        assert_eq!(node.produce(batch(&["a", "b"])).await.base_offset, 2 * round);
        node = restart(&setup, node, round % 2 == 0).await;
        assert_eq!(latest(&node, "t"), 2 * round + 2);
    }
}

#[tokio::test]
async fn kafka_2_15_repeated_batches_are_recognized_after_a_restart() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 1, &[]);
    let mut node = setup.start().await;
    let sequenced =
        |sequence| builder(WALL_START_MS, &["a"]).producer(9, 0, sequence).build().expect("small").to_bytes();
    for sequence in 0..6 {
        assert_eq!(node.produce(sequenced(sequence)).await.base_offset, i64::from(sequence));
    }
    for clean in [true, false] {
        node = restart(&setup, node, clean).await;
        // Kafka's snapshots hold the last batch of a producer, so that one is known whatever else is read again.
        assert_eq!(node.produce(sequenced(5)).await.base_offset, 5);
        let forgotten = node.produce(sequenced(0)).await;
        assert_eq!(forgotten.error, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "45, never 46");
    }
    assert_eq!(node.produce(sequenced(6)).await.base_offset, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn flush_messages_makes_each_append_durable_before_it_is_answered() {
    let setup = Setup::new(&[("log.flush.offset.checkpoint.interval.ms", "10")]);
    setup.cluster.put("t", 1, &[("flush.messages", "1")]);
    let node = setup.start().await;
    node.produce(batch(&["a"])).await;
    assert_eq!(node.broker.partition_for_test("t", 0).log().flushed_offset(), 1);
}

#[tokio::test]
async fn a_folder_of_an_earlier_topic_is_set_aside_not_deleted() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 1, &[]);
    let node = setup.start().await;
    node.produce(batch(&["precious"])).await;
    node.broker.shutdown().await;
    drop(node);
    setup.cluster.recreate("t", 1);
    let node = setup.start().await;
    assert_eq!(latest(&node, "t"), 0);
    let names = node.folders("t-");
    assert_eq!(names.len(), 2);
    assert!(names.iter().any(|name| name.ends_with("-stray")), "{names:?}");
}

#[tokio::test]
async fn a_folder_without_a_topic_is_set_aside_and_stays_so() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 1, &[]);
    setup.cluster.put("u", 1, &[]);
    let node = setup.start().await;
    node.broker.shutdown().await;
    drop(node);
    setup.cluster.remove("u");
    for _ in 0..2 {
        let node = setup.start().await;
        let names = node.folders("u-");
        assert_eq!(names.len(), 1);
        assert!(names[0].ends_with("-stray"));
        assert_eq!(node.folders("t-"), ["t-0"]);
        node.broker.shutdown().await;
    }
}

#[tokio::test]
async fn partitions_are_spread_over_the_folders() {
    let mut setup = Setup::new(&[]);
    setup.folders = 3;
    setup.cluster.put("t", 6, &[]);
    let node = setup.start().await;
    let counts = |node: &Node| -> Vec<usize> {
        node.broker.describe_log_dirs(&|_, _| true).iter().map(|folder| folder.replicas.len()).collect()
    };
    assert_eq!(counts(&node), [2, 2, 2]);
    node.cluster.put("u", 3, &[]);
    node.settle().await;
    assert_eq!(counts(&node), [3, 3, 3]);
    let node = restart(&setup, node, true).await;
    assert_eq!(counts(&node), [3, 3, 3], "each is found where it was");
    let described = node.broker.describe_log_dirs(&|topic, partition| topic == "u" && partition == 1);
    let all: Vec<(&str, i32)> = described
        .iter()
        .flat_map(|folder| &folder.replicas)
        .map(|replica| (&*replica.topic, replica.partition))
        .collect();
    assert_eq!(all, [("u", 1)]);
    let paths: HashSet<&str> = described.iter().map(|folder| folder.path.as_str()).collect();
    assert_eq!(paths.len(), 3);
}

#[tokio::test]
async fn a_changed_setting_holds_for_the_next_batch() {
    let node = Node::with_topic(&[]).await;
    node.cluster.put("t", 1, &[("max.message.bytes", "100")]);
    node.settle().await;
    assert_eq!(node.produce(batch(&[&"x".repeat(200)])).await.error, ErrorCode::MESSAGE_TOO_LARGE);
    node.cluster.put("t", 1, &[]);
    node.settle().await;
    assert_eq!(node.produce(batch(&[&"x".repeat(200)])).await.error, ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn kafka_2_36_old_dated_records_vanish_at_the_next_check() {
    let setup =
        Setup::new(&[("log.initial.task.delay.ms", "1000"), ("log.retention.check.interval.ms", "5000")]);
    setup.cluster.put("t", 1, &[("retention.ms", "60000")]);
    let node = setup.start().await;
    node.produce(batch_at(WALL_START_MS - 3_600_000, &["old"])).await;
    while earliest(&node, "t") == 0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!((earliest(&node, "t"), latest(&node, "t")), (1, 1), "the active segment was not spared");
}

#[tokio::test(start_paused = true)]
async fn flush_ms_is_honoured_without_further_settings() {
    let setup = Setup::new(&[("log.flush.offset.checkpoint.interval.ms", "50")]);
    setup.cluster.put("t", 1, &[("flush.ms", "20")]);
    let node = setup.start().await;
    node.produce(batch(&["a"])).await;
    let path = node.folder.path().join("data0").join(Checkpoint::RecoveryPoint.file_name());
    while !std::fs::read_to_string(&path).is_ok_and(|text| text.lines().any(|line| line == "t 0 1")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_log_start_is_remembered_across_a_crash() {
    let setup = Setup::new(&[("log.flush.start.offset.checkpoint.interval.ms", "10")]);
    setup.cluster.put("t", 1, &[]);
    let node = setup.start().await;
    node.produce(batch(&["a", "b", "c"])).await;
    let delete = crate::DeleteRecords { topic: "t".into(), partition: 0, offset: 2 };
    node.broker.delete_records(vec![delete], 1_000).await;
    let path = node.folder.path().join("data0").join(Checkpoint::LogStart.file_name());
    while !std::fs::read_to_string(&path).is_ok_and(|text| text.lines().any(|line| line == "t 0 2")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let node = restart(&setup, node, false).await;
    assert_eq!((earliest(&node, "t"), latest(&node, "t")), (2, 3));
}

#[tokio::test]
async fn a_partition_that_cannot_be_opened_is_offline_and_the_rest_serves() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 2, &[]);
    let node = setup.start().await;
    node.produce(batch(&["a"])).await;
    node.broker.shutdown().await;
    let dir = node.folder.path().join("data0").join("t-0");
    drop(node);
    std::fs::write(dir.join("partition.metadata"), "nonsense").expect("the disk works");
    std::fs::remove_dir_all(&dir).expect("the disk works");
    std::fs::write(&dir, "a file where the folder should be").expect("the disk works");
    let node = setup.start().await;
    assert_eq!(node.produce(batch(&["b"])).await.error, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(node.produce_to("t", 1, Acks::All, batch(&["b"])).await.error, ErrorCode::NONE);
    assert_eq!(node.broker.partition_counts(), (1, 1));
}

#[tokio::test]
async fn a_stop_says_which_folders_are_clean() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 1, &[]);
    let node = setup.start().await;
    let clean: Vec<Arc<LogDir>> = node.broker.shutdown().await;
    assert_eq!(clean.len(), 1);
    assert_eq!(node.produce(batch(&["late"])).await.error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

#[tokio::test(start_paused = true)]
async fn kafka_2_21_compaction_keeps_the_latest_of_every_key_at_its_offset() {
    let setup = Setup::new(&[("log.cleaner.backoff.ms", "100")]);
    let settings = [
        ("cleanup.policy", "compact"),
        ("internal.segment.bytes", "400"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    setup.cluster.put("t", 1, &settings);
    let node = setup.start().await;
    for round in 0..20 {
        node.produce(batch(&[&format!("value {round}"), &format!("other {round}")])).await;
    }
    let path = node.folder.path().join("data0").join(Checkpoint::Cleaner.file_name());
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The newest batches are in memory as they came; the files show what compaction left.
    let node = restart(&setup, node, true).await;
    let partition = node.broker.partition_for_test("t", 0);
    let mut offsets = Vec::new();
    partition.scan(|offset, _, _| offsets.push(offset)).expect("it can be read");
    assert!(offsets.len() < 40, "{offsets:?}");
    assert_eq!(offsets[offsets.len() - 2..], [38, 39]);
    assert_eq!(latest(&node, "t"), 40);
}
