//! Fetching: limits, long polls, what wakes them, and sessions over real partitions.
use super::{Node, Setup, batch};
use crate::requests::{
    Acks, DeleteRecords, FetchPartition, FetchReply, FetchRequest, FetchedPartition, Isolation, TopicKey,
};
use crate::{Broker, ErrorCode};
use controller::view::PartitionView;
use log::Batch;
use std::sync::Arc;
use std::time::Duration;

fn partition(topic: &str, partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        topic: TopicKey::Name(topic.into()),
        partition,
        current_leader_epoch: -1,
        fetch_offset,
        last_fetched_epoch: -1,
        log_start_offset: -1,
        max_bytes: 1 << 20,
    }
}

fn request(partitions: Vec<FetchPartition>) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 50 << 20,
        isolation: Isolation::ReadUncommitted,
        allows_zstd: true,
        allows_follower: true,
        takes_files: false,
        rack_id: "".into(),
        replica: None,
        session_id: 0,
        session_epoch: -1,
        by_id: false,
        partitions,
        forgotten: Vec::new(),
    }
}

async fn fetch_one(node: &Node, offset: i64) -> FetchedPartition {
    node.broker.fetch(request(vec![partition("t", 0, offset)])).await.partitions.remove(0)
}

/// Offsets of the batches in a reply.
fn batches(fetched: &FetchedPartition) -> Vec<(i64, i64)> {
    Batch::iter(fetched.records.to_bytes())
        .map_while(Result::ok)
        .map(|batch| (batch.header().base_offset, batch.header().last_offset()))
        .collect()
}

fn poll(broker: &Arc<Broker>, request: FetchRequest) -> tokio::task::JoinHandle<(FetchReply, Duration)> {
    let broker = broker.clone();
    tokio::spawn(async move {
        let begun = tokio::time::Instant::now();
        let reply = broker.fetch(request).await;
        (reply, begun.elapsed())
    })
}

/// Lets everything that can run run, without time passing.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn kafka_2_10_the_whole_batch_that_holds_the_offset_comes() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a", "b", "c"])).await;
    node.produce(batch(&["d"])).await;
    let fetched = fetch_one(&node, 1).await;
    assert_eq!(batches(&fetched), [(0, 2), (3, 3)]);
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset, fetched.log_start_offset), (4, 4, 0));
    assert_eq!(batches(&fetch_one(&node, 4).await), []);
    assert_eq!(fetch_one(&node, 5).await.error, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(fetch_one(&node, -1).await.error, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[tokio::test]
async fn kafka_2_10_only_the_first_non_empty_partition_may_exceed_the_limit() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 3, &[]);
    let node = setup.start().await;
    for index in [1, 2] {
        node.produce_to("t", index, Acks::All, batch(&["x", "y"])).await;
    }
    let mut tiny = request((0..3).map(|index| partition("t", index, 0)).collect());
    tiny.max_bytes = 10;
    let reply = node.broker.fetch(tiny).await;
    let sizes: Vec<usize> = reply.partitions.iter().map(|fetched| batches(fetched).len()).collect();
    assert_eq!(sizes, [0, 1, 0]);
    assert_eq!(reply.partitions[2].high_watermark, 2, "the others still tell their offsets");
}

#[tokio::test]
async fn kafka_2_30_the_aborted_list_is_null_or_empty_by_isolation() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a"])).await;
    assert_eq!(fetch_one(&node, 0).await.aborted, None);
    let mut committed = request(vec![partition("t", 0, 0)]);
    committed.isolation = Isolation::ReadCommitted;
    let fetched = node.broker.fetch(committed).await.partitions.remove(0);
    assert_eq!((fetched.aborted, fetched.last_stable_offset), (Some(Vec::new()), 1));
}

#[tokio::test]
async fn kafka_2_17_a_diverging_epoch_is_told_instead_of_records() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a", "b"])).await;
    let with_epoch = async |epoch, offset| {
        let mut wanted = partition("t", 0, offset);
        wanted.last_fetched_epoch = epoch;
        let mut request = request(vec![wanted]);
        request.max_wait_ms = 60_000;
        node.broker.fetch(request).await.partitions.remove(0)
    };
    let diverged = with_epoch(0, 5).await;
    assert_eq!(
        (diverged.error, diverged.diverging, batches(&diverged).len()),
        (ErrorCode::NONE, Some((0, 2)), 0)
    );
    let agreed = with_epoch(0, 1).await;
    assert_eq!((agreed.diverging, batches(&agreed)), (None, vec![(0, 1)]));
}

#[tokio::test(start_paused = true)]
async fn kafka_2_11_a_poll_ends_when_the_time_is_up_or_the_bytes_are_there() {
    let node = Node::with_topic(&[]).await;
    let mut empty = request(vec![partition("t", 0, 0)]);
    empty.max_wait_ms = 500;
    let (reply, took) = poll(&node.broker, empty.clone()).await.expect("it ends");
    assert_eq!((batches(&reply.partitions[0]).len(), took), (0, Duration::from_millis(500)));
    empty.max_wait_ms = 60_000;
    let waiting = poll(&node.broker, empty.clone());
    pause().await;
    node.produce(batch(&["a"])).await;
    let (reply, took) = waiting.await.expect("it ends");
    assert_eq!(batches(&reply.partitions[0]), [(0, 0)]);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn kafka_2_11_min_bytes_are_gathered_over_partitions_and_appends() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 2, &[]);
    let node = setup.start().await;
    let size = batch(&["a"]).len() as i32;
    let mut wants_three = request((0..2).map(|index| partition("t", index, 0)).collect());
    wants_three.max_wait_ms = 60_000;
    wants_three.min_bytes = 3 * size;
    let waiting = poll(&node.broker, wants_three.clone());
    for index in [0, 1] {
        pause().await;
        node.produce_to("t", index, Acks::All, batch(&["a"])).await;
        assert!(!waiting.is_finished());
    }
    pause().await;
    node.produce_to("t", 0, Acks::All, batch(&["a"])).await;
    let (reply, took) = waiting.await.expect("it ends");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(batches(&reply.partitions[0]), [(0, 0), (1, 1)]);
    assert_eq!(batches(&reply.partitions[1]), [(0, 0)]);
    wants_three.min_bytes = 100 * size;
    wants_three.max_wait_ms = 300;
    let (reply, took) = poll(&node.broker, wants_three).await.expect("it ends");
    assert_eq!((reply.partitions.len(), took), (2, Duration::from_millis(300)));
    assert_eq!(batches(&reply.partitions[0]).len(), 2, "what there is comes when the time is up");
}

#[tokio::test(start_paused = true)]
async fn kafka_2_11_errors_and_deletions_wake_a_poll_early() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 2, &[]);
    let node = setup.start().await;
    node.produce(batch(&["a"])).await;
    let mut idle = request(vec![partition("t", 0, 1)]);
    idle.max_wait_ms = 60_000;
    let waiting = poll(&node.broker, idle.clone());
    pause().await;
    *node.broken.lock() = Some("t-0/00000000000000000000.log".to_owned());
    node.produce(batch(&["b"])).await;
    let (reply, took) = waiting.await.expect("it ends");
    assert_eq!(reply.partitions[0].error, ErrorCode::KAFKA_STORAGE_ERROR);
    assert!(took < Duration::from_secs(1));
    *node.broken.lock() = None;
    idle.partitions = vec![partition("t", 1, 0)];
    let waiting = poll(&node.broker, idle);
    pause().await;
    node.cluster.remove("t");
    let (reply, took) = waiting.await.expect("it ends");
    assert_eq!(reply.partitions[0].error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert!(took < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn records_that_become_committed_later_wake_a_poll() {
    let node = Node::with_topic(&[]).await;
    let led = |isr: &[i32]| PartitionView {
        leader: 0,
        leader_epoch: 1,
        isr: isr.to_vec(),
        ..PartitionView::unelected(vec![0, 1])
    };
    node.cluster.put_led("t", vec![led(&[0, 1])], &[]);
    node.settle().await;
    let size = batch(&["a"]).len() as i32;
    let mut patient = request(vec![partition("t", 0, 0)]);
    patient.max_wait_ms = 60_000;
    patient.min_bytes = 2 * size;
    let waiting = poll(&node.broker, patient);
    pause().await;
    for _ in 0..2 {
        node.produce_to("t", 0, Acks::Leader, batch(&["a"])).await;
    }
    pause().await;
    assert!(!waiting.is_finished(), "the follower has not got them");
    node.cluster.put_led("t", vec![led(&[0])], &[]);
    let (reply, took) = waiting.await.expect("it ends");
    assert_eq!(batches(&reply.partitions[0]), [(0, 0), (1, 1)]);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poll_below_a_start_that_moved_hears_of_it() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a"])).await;
    let mut at_end = request(vec![partition("t", 0, 1)]);
    at_end.max_wait_ms = 60_000;
    at_end.min_bytes = 10_000;
    let waiting = poll(&node.broker, at_end);
    pause().await;
    node.produce(batch(&["b"])).await;
    let delete = DeleteRecords { topic: "t".into(), partition: 0, offset: 2 };
    node.broker.delete_records(vec![delete], 1_000).await;
    let (reply, took) = waiting.await.expect("it ends");
    assert_eq!(reply.partitions[0].error, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert!(took < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn kafka_2_11_a_segment_is_read_to_its_end_before_the_next() {
    let node = Node::with_topic(&[("internal.segment.bytes", "200")]).await;
    for value in ["a", "b", "c", "d", "e"] {
        node.produce(batch(&[value])).await;
    }
    // The tail cache knows no segments, so the logs are opened again.
    let folder = node.folder.clone();
    let cluster = node.cluster.clone();
    node.broker.shutdown().await;
    drop(node);
    let setup = Setup { cluster, folder, folders: 1, znodes: None };
    let node = setup.start().await;
    let mut greedy = request(vec![partition("t", 0, 0)]);
    greedy.min_bytes = 1 << 20;
    greedy.max_wait_ms = 60_000;
    let (reply, took) = poll(&node.broker, greedy).await.expect("it ends");
    let read = batches(&reply.partitions[0]);
    assert!(!read.is_empty() && read.len() < 5, "{read:?}");
    assert!(took < Duration::from_secs(1), "waiting would add nothing to a closed segment");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_many_partitions_reads_only_what_woke_it() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 40, &[]);
    let node = setup.start().await;
    let mut opening = request((0..40).map(|index| partition("t", index, 0)).collect());
    opening.session_epoch = 0;
    let opened = node.broker.fetch(opening).await;
    assert_eq!((opened.error, opened.partitions.len()), (ErrorCode::NONE, 40));
    let mut next = request(Vec::new());
    next.session_id = opened.session_id;
    next.session_epoch = 1;
    next.max_wait_ms = 60_000;
    let waiting = poll(&node.broker, next.clone());
    pause().await;
    node.produce_to("t", 17, Acks::All, batch(&["a"])).await;
    let (reply, _) = waiting.await.expect("it ends");
    let indexes: Vec<i32> = reply.partitions.iter().map(|fetched| fetched.partition).collect();
    assert_eq!(indexes, [17]);
    next.session_epoch = 2;
    next.max_wait_ms = 0;
    next.partitions = vec![partition("t", 17, 1)];
    assert_eq!(node.broker.fetch(next).await.partitions.len(), 0);
    assert_eq!(node.broker.fetch_session_counts(), (1, 40, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_leaves_no_registration_behind() {
    let node = Node::with_topic(&[]).await;
    let mut idle = request(vec![partition("t", 0, 0)]);
    idle.max_wait_ms = 60_000;
    let waiting = poll(&node.broker, idle);
    pause().await;
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_eq!(node.broker.partition_for_test("t", 0).waiters().count(), 0);
}

#[tokio::test]
async fn kafka_2_13_topics_are_named_by_id_too() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a"])).await;
    let id = node.cluster.views.borrow().topics["t"].id;
    let by_id = async |id| {
        let mut wanted = partition("t", 0, 0);
        wanted.topic = TopicKey::Id(id);
        let mut request = request(vec![wanted]);
        request.by_id = true;
        node.broker.fetch(request).await.partitions.remove(0)
    };
    assert_eq!(batches(&by_id(id).await), [(0, 0)]);
    assert_eq!(by_id(uuid::Uuid::from_u128(77)).await.error, ErrorCode::UNKNOWN_TOPIC_ID);
}

#[tokio::test]
async fn zstd_topics_need_a_fetch_that_knows_zstd() {
    let node = Node::with_topic(&[("compression.type", "zstd")]).await;
    node.produce(batch(&["a"])).await;
    let mut old = request(vec![partition("t", 0, 0)]);
    old.allows_zstd = false;
    let fetched = node.broker.fetch(old).await.partitions.remove(0);
    assert_eq!(fetched.error, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
}
