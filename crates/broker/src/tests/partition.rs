//! One partition through the broker's API: what is accepted, what is refused and with which code, what is read back.
use super::{Node, Setup, WALL_START_MS, batch, batch_at, builder};
use crate::requests::{
    Acks, DeleteRecords, EpochEndRequest, Isolation, ListOffset, ListedOffset, ProducePartition,
    ProduceRequest, TopicKey,
};
use crate::{ErrorCode, ProducedPartition};
use bytes::{Bytes, BytesMut};
use controller::view::PartitionView;
use log::{BatchBuilder, Codec, Compression};

/// Byte positions in a batch's header.
const CRC: usize = 17;
const BASE_OFFSET: usize = 0;

fn changed(batch: &Bytes, position: usize, change: impl FnOnce(&mut [u8])) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    change(&mut bytes[position..]);
    bytes.freeze()
}

#[tokio::test]
async fn records_get_offsets_one_after_another() {
    let node = Node::with_topic(&[]).await;
    for (expected, acks) in [(0, Acks::All), (2, Acks::Leader), (4, Acks::None)] {
        let reply = node.produce_to("t", 0, acks, batch(&["a", "b"])).await;
        assert_eq!((reply.error, reply.base_offset), (ErrorCode::NONE, expected));
        assert_eq!((reply.log_append_time_ms, reply.log_start_offset), (-1, 0));
    }
}

#[tokio::test]
async fn kafka_2_7_one_batch_per_partition_and_its_errors() {
    let node = Node::with_topic(&[("max.message.bytes", "1000")]).await;
    let good = batch(&["a"]);
    let twice = [&good[..], &good[..]].concat();
    let control = builder(WALL_START_MS, &["a"]).control().build().expect("small").to_bytes();
    let cases = [
        (Bytes::new(), ErrorCode::INVALID_RECORD),
        (Bytes::from(twice), ErrorCode::INVALID_RECORD),
        (control, ErrorCode::INVALID_RECORD),
        (changed(&good, CRC, |bytes| bytes[0] ^= 1), ErrorCode::CORRUPT_MESSAGE),
        (batch(&[&"x".repeat(2000)]), ErrorCode::MESSAGE_TOO_LARGE),
        (batch_at(WALL_START_MS + 3_700_000, &["late"]), ErrorCode::INVALID_TIMESTAMP),
    ];
    for (records, error) in cases {
        let reply = node.produce(records).await;
        assert_eq!((reply.error, reply.base_offset), (error, -1), "{:?}", reply.message);
        assert!(reply.message.is_some());
    }
    assert_eq!(node.produce(good).await.base_offset, 0, "nothing of it was written");
}

#[tokio::test]
async fn kafka_2_7_zstd_needs_a_new_version() {
    let node = Node::with_topic(&[]).await;
    let zstd = builder(WALL_START_MS, &["a"]).compression(Compression::new(Codec::Zstd));
    let request = |records| ProduceRequest {
        acks: Acks::All,
        timeout_ms: 1_000,
        allows_zstd: false,
        principal: "User:ANONYMOUS".into(),
        partitions: vec![ProducePartition { topic: TopicKey::Name("t".into()), partition: 0, records }],
    };
    let reply = node.broker.produce(request(zstd.build().expect("small").to_bytes())).await;
    assert_eq!(reply[0].error, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    let lz4 = builder(WALL_START_MS, &["a"]).compression(Compression::new(Codec::Lz4));
    let reply = node.broker.produce(request(lz4.build().expect("small").to_bytes())).await;
    assert_eq!(reply[0].error, ErrorCode::NONE);
}

#[tokio::test]
async fn kafka_2_9_a_null_key_in_a_compacted_topic_names_the_record() {
    let node = Node::with_topic(&[("cleanup.policy", "compact")]).await;
    let mut builder = builder(WALL_START_MS, &["a"]);
    builder.append(WALL_START_MS, None, Some(b"b"), &[]).expect("small");
    let reply = node.produce(builder.build().expect("small").to_bytes()).await;
    assert_eq!(reply.error, ErrorCode::INVALID_RECORD);
    assert_eq!(reply.record_errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn kafka_2_27_a_base_offset_is_not_the_clients_to_choose() {
    let node = Node::with_topic(&[]).await;
    let shifted = changed(&batch(&["a"]), BASE_OFFSET, |bytes| bytes[7] = 5);
    assert_eq!(node.produce(shifted).await.error, ErrorCode::INVALID_RECORD);
}

#[tokio::test]
async fn kafka_2_8_log_append_time_is_the_brokers() {
    let node = Node::with_topic(&[("message.timestamp.type", "LogAppendTime")]).await;
    let reply = node.produce(batch_at(5, &["a"])).await;
    assert!(reply.log_append_time_ms >= WALL_START_MS);
    let listed = list(&node, -3, -1);
    assert_eq!((listed.timestamp, listed.offset), (reply.log_append_time_ms, 0));
}

#[tokio::test]
async fn unknown_and_foreign_partitions_have_their_codes() {
    let node = Node::with_topic(&[]).await;
    let elsewhere = PartitionView {
        replicas: vec![7],
        adding: Vec::new(),
        removing: Vec::new(),
        leader: 7,
        leader_epoch: 3,
        isr: vec![7],
        partition_epoch: 0,
        state_zxid: 0,
        recovering: false,
    };
    node.cluster.put_led("elsewhere", vec![elsewhere], &[]);
    node.cluster.put("__consumer_offsets", 1, &[]);
    node.settle().await;
    for (topic, partition, error) in [
        ("nothing", 0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("t", 1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("elsewhere", 0, ErrorCode::NOT_LEADER_OR_FOLLOWER),
        ("__consumer_offsets", 0, ErrorCode::INVALID_TOPIC_EXCEPTION),
    ] {
        assert_eq!(node.produce_to(topic, partition, Acks::All, batch(&["a"])).await.error, error, "{topic}");
    }
}

fn sequenced(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    builder(WALL_START_MS, values).producer(id, epoch, sequence).build().expect("small").to_bytes()
}

#[tokio::test]
async fn kafka_2_15_repeated_batches_get_their_original_offset_and_gaps_are_45() {
    let node = Node::with_topic(&[]).await;
    let outcome = |reply: ProducedPartition| (reply.error, reply.base_offset);
    assert_eq!(outcome(node.produce(sequenced(9, 0, 0, &["a", "b"])).await), (ErrorCode::NONE, 0));
    assert_eq!(outcome(node.produce(sequenced(9, 0, 2, &["c"])).await), (ErrorCode::NONE, 2));
    assert_eq!(outcome(node.produce(sequenced(9, 0, 0, &["a", "b"])).await), (ErrorCode::NONE, 0));
    let gap = node.produce(sequenced(9, 0, 5, &["x"])).await;
    assert_eq!(outcome(gap), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1));
    assert_eq!(outcome(node.produce(sequenced(9, 1, 0, &["d"])).await), (ErrorCode::NONE, 3));
}

#[tokio::test]
async fn kafka_2_16_an_old_producer_epoch_is_47() {
    let node = Node::with_topic(&[]).await;
    node.produce(sequenced(9, 3, 0, &["a"])).await;
    assert_eq!(node.produce(sequenced(9, 2, 1, &["b"])).await.error, ErrorCode::INVALID_PRODUCER_EPOCH);
}

#[tokio::test]
async fn kafka_2_31_transactional_batches_are_refused_while_there_are_no_transactions() {
    let node = Node::with_topic(&[]).await;
    let batch = builder(WALL_START_MS, &["a"]).producer(1, 0, 0).transactional().build().expect("small");
    assert_eq!(node.produce(batch.to_bytes()).await.error, ErrorCode::INVALID_TXN_STATE);
}

fn list_in(node: &Node, timestamp: i64, current_leader_epoch: i32, isolation: Isolation) -> ListedOffset {
    let wanted = ListOffset { topic: "t".into(), partition: 0, current_leader_epoch, timestamp };
    node.broker.list_offsets(isolation, &[wanted])[0]
}

fn list(node: &Node, timestamp: i64, current_leader_epoch: i32) -> ListedOffset {
    list_in(node, timestamp, current_leader_epoch, Isolation::ReadUncommitted)
}

#[tokio::test]
async fn kafka_2_19_list_offsets_by_time_and_by_name() {
    let node = Node::with_topic(&[]).await;
    assert_eq!(
        (list(&node, -3, -1).offset, list(&node, -3, -1).timestamp),
        (-1, -1),
        "an empty log has no newest"
    );
    for (time, value) in [(1_000, "a"), (3_000, "b"), (2_000, "c")] {
        node.produce(batch_at(WALL_START_MS + time, &[value])).await;
    }
    let found = |timestamp| {
        let listed = list(&node, timestamp, -1);
        assert_eq!(listed.error, ErrorCode::NONE);
        (listed.offset, listed.timestamp, listed.leader_epoch)
    };
    assert_eq!(found(-1), (3, -1, 0));
    assert_eq!(list_in(&node, -1, -1, Isolation::ReadCommitted).offset, 3, "no transaction is open");
    assert_eq!(found(-2), (0, -1, 0));
    assert_eq!(found(-4), (0, -1, 0));
    assert_eq!(found(-3), (1, WALL_START_MS + 3_000, 0));
    assert_eq!(found(-5), (-1, -1, -1));
    assert_eq!(found(WALL_START_MS + 1_500), (1, WALL_START_MS + 3_000, 0));
    assert_eq!(found(WALL_START_MS + 9_000), (-1, -1, -1));
    let twice = [-1, -2].map(|timestamp| ListOffset {
        topic: "t".into(),
        partition: 0,
        current_leader_epoch: -1,
        timestamp,
    });
    let errors = node.broker.list_offsets(Isolation::ReadUncommitted, &twice).map_errors();
    assert_eq!(errors, [ErrorCode::INVALID_REQUEST, ErrorCode::INVALID_REQUEST]);
}

trait MapErrors {
    fn map_errors(&self) -> Vec<ErrorCode>;
}

impl MapErrors for Vec<ListedOffset> {
    fn map_errors(&self) -> Vec<ErrorCode> {
        self.iter().map(|listed| listed.error).collect()
    }
}

fn led(leader: i32, leader_epoch: i32, isr: &[i32], replicas: &[i32]) -> PartitionView {
    PartitionView {
        replicas: replicas.to_vec(),
        adding: Vec::new(),
        removing: Vec::new(),
        leader,
        leader_epoch,
        isr: isr.to_vec(),
        partition_epoch: leader_epoch,
        state_zxid: 0,
        recovering: false,
    }
}

async fn lead(node: &Node, view: PartitionView, settings: &[(&str, &str)]) {
    node.cluster.put_led("t", vec![view], settings);
    node.settle().await;
}

#[tokio::test]
async fn kafka_2_17_leader_epochs_of_the_client_are_checked() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a", "b"])).await;
    lead(&node, led(0, 4, &[0], &[0]), &[]).await;
    node.produce(batch(&["c"])).await;
    assert_eq!(list(&node, -1, 3).error, ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(list(&node, -1, 5).error, ErrorCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!((list(&node, -1, 4).error, list(&node, -1, 4).leader_epoch), (ErrorCode::NONE, 4));
    assert_eq!(list(&node, -2, -1).leader_epoch, 0, "the first record is of the first epoch");
    let end = |leader_epoch| {
        let wanted =
            EpochEndRequest { topic: "t".into(), partition: 0, current_leader_epoch: -1, leader_epoch };
        let end = node.broker.epoch_ends(&[wanted])[0];
        (end.error, end.leader_epoch, end.end_offset)
    };
    assert_eq!(end(0), (ErrorCode::NONE, 0, 2));
    assert_eq!(end(3), (ErrorCode::NONE, 0, 2), "the largest epoch that is not above");
    assert_eq!(end(4), (ErrorCode::NONE, 4, 3));
    lead(&node, led(7, 5, &[7], &[0, 7]), &[]).await;
    let reply = node.produce(batch(&["d"])).await;
    assert_eq!((reply.error, reply.current_leader), (ErrorCode::NOT_LEADER_OR_FOLLOWER, Some((7, 5))));
}

#[tokio::test(start_paused = true)]
async fn kafka_2_20_acks_all_waits_for_the_isr_and_needs_enough_of_it() {
    let node = Node::with_topic(&[]).await;
    let two = [("min.insync.replicas", "2")];
    node.cluster.put("t", 1, &two);
    node.settle().await;
    assert_eq!(node.produce(batch(&["a"])).await.error, ErrorCode::NONE, "no more than there are replicas");
    lead(&node, led(0, 1, &[0], &[0, 1]), &two).await;
    assert_eq!(node.produce(batch(&["b"])).await.error, ErrorCode::NOT_ENOUGH_REPLICAS);
    let weak = node.produce_to("t", 0, Acks::Leader, batch(&["b"])).await;
    assert_eq!(weak.error, ErrorCode::NONE, "acks=1 does not ask");
    assert_eq!(
        node.broker.offsets(&TopicKey::Name("t".into()), 0),
        Ok((1, 0)),
        "the high watermark stays put"
    );
    lead(&node, led(0, 1, &[0, 1], &[0, 1]), &two).await;
    let unanswered = node.produce(batch(&["c"])).await;
    assert_eq!(unanswered.error, ErrorCode::REQUEST_TIMED_OUT, "the follower has not fetched it");
    // The ISR shrinks while a request waits: what it waited for is committed by the rest, but that is too few.
    let broker = node.broker.clone();
    let waiting = tokio::spawn(async move {
        let request = ProduceRequest {
            acks: Acks::All,
            timeout_ms: 60_000,
            allows_zstd: true,
            principal: "User:ANONYMOUS".into(),
            partitions: vec![ProducePartition {
                topic: TopicKey::Name("t".into()),
                partition: 0,
                records: batch(&["d"]),
            }],
        };
        broker.produce(request).await.remove(0)
    });
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    lead(&node, led(0, 1, &[0], &[0, 1]), &[("min.insync.replicas", "1")]).await;
    let reply = waiting.await.expect("it is answered");
    assert_eq!((reply.error, reply.base_offset), (ErrorCode::NONE, 3));
}

#[tokio::test]
async fn kafka_2_19_latest_is_78_just_after_an_election() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a"])).await;
    lead(&node, led(0, 1, &[0, 1], &[0, 1]), &[]).await;
    node.produce_to("t", 0, Acks::Leader, batch(&["b"])).await;
    lead(&node, led(0, 2, &[0, 1], &[0, 1]), &[]).await;
    assert_eq!(list(&node, -1, -1).error, ErrorCode::OFFSET_NOT_AVAILABLE);
    assert_eq!(list(&node, -2, -1).error, ErrorCode::NONE);
    lead(&node, led(0, 2, &[0], &[0, 1]), &[]).await;
    assert_eq!((list(&node, -1, -1).error, list(&node, -1, -1).offset), (ErrorCode::NONE, 2));
}

#[tokio::test(start_paused = true)]
async fn waiting_producers_are_sent_to_the_new_leader() {
    let node = Node::with_topic(&[]).await;
    lead(&node, led(0, 1, &[0, 1], &[0, 1]), &[]).await;
    let waiting = async { node.produce_to("t", 0, Acks::All, batch(&["a"])).await };
    let change = async {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        lead(&node, led(1, 2, &[1], &[0, 1]), &[]).await;
    };
    let (reply, ()) = tokio::join!(waiting, change);
    assert_eq!(reply.error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

#[tokio::test]
async fn kafka_2_21_delete_records_moves_the_start() {
    let node = Node::with_topic(&[]).await;
    node.produce(batch(&["a", "b", "c"])).await;
    let delete = async |offset| {
        let wanted = DeleteRecords { topic: "t".into(), partition: 0, offset };
        let deleted = node.broker.delete_records(vec![wanted], 1_000).await[0];
        (deleted.error, deleted.low_watermark)
    };
    assert_eq!(delete(4).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete(-2).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete(2).await, (ErrorCode::NONE, 2));
    assert_eq!(list(&node, -2, -1).offset, 2);
    assert_eq!(delete(1).await, (ErrorCode::NONE, 2), "it never goes back");
    assert_eq!(delete(-1).await, (ErrorCode::NONE, 3));
    node.cluster.put("t", 1, &[("cleanup.policy", "compact")]);
    node.settle().await;
    assert_eq!(delete(3).await, (ErrorCode::POLICY_VIOLATION, -1));
}

#[tokio::test]
async fn topics_with_their_own_compression_store_it() {
    let node = Node::with_topic(&[("compression.type", "gzip")]).await;
    let mut big = BatchBuilder::new(0);
    for _ in 0..100 {
        big.append(WALL_START_MS, None, Some(&[b'x'; 1000]), &[]).expect("small");
    }
    node.produce(big.build().expect("fits").to_bytes()).await;
    let folders = node.broker.describe_log_dirs(&|topic, _| topic == "t");
    assert!(folders[0].replicas[0].size < 10_000, "100 kB of one letter were compressed");
}

#[tokio::test]
async fn a_failing_disk_takes_its_partition_offline_and_no_other() {
    let setup = Setup::new(&[]);
    setup.cluster.put("t", 2, &[]);
    let node = setup.start().await;
    node.produce(batch(&["a"])).await;
    *node.broken.lock() = Some("t-0/00000000000000000000.log".to_owned());
    let refused = node.produce(batch(&["b"])).await;
    assert_eq!(refused.error, ErrorCode::KAFKA_STORAGE_ERROR, "{:?}", refused.message);
    *node.broken.lock() = None;
    assert_eq!(
        node.produce(batch(&["b"])).await.error,
        ErrorCode::KAFKA_STORAGE_ERROR,
        "until it is opened again"
    );
    assert_eq!(list(&node, -1, -1).error, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(node.produce_to("t", 1, Acks::All, batch(&["b"])).await.error, ErrorCode::NONE);
    assert_eq!(node.broker.partition_counts(), (1, 1));
    let clean = node.broker.shutdown().await;
    assert!(clean.is_empty(), "a folder with a failed log is not clean");
    drop((clean, node));
    let node = setup.start().await;
    assert_eq!(node.produce(batch(&["b"])).await.base_offset, 1, "what was acknowledged is there");
}
