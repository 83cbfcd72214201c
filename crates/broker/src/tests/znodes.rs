//! The topic `__znodes` through the broker's API, with a feed made of batches in memory.
use super::{Node, Setup, WALL_START_MS, batch, builder};
use crate::ErrorCode;
use crate::requests::{Acks, FetchPartition, FetchRequest, Isolation, ListOffset, TopicKey};
use crate::znodes::{ZNODES_TOPIC, ZnodeFeed, ZnodeFeedError, ZnodeProduced, ZnodeRecords};
use bytes::Bytes;
use log::{Batch, BatchBuilder};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A tree that takes everything but paths below `/closed`.
struct Feed {
    batches: Mutex<Vec<Batch>>,
    high_watermark: watch::Sender<i64>,
    principals: Mutex<Vec<String>>,
}

impl Feed {
    fn new() -> Arc<Feed> {
        let high_watermark = watch::channel(0).0;
        Arc::new(Feed { batches: Mutex::default(), high_watermark, principals: Mutex::default() })
    }

    fn write(&self, records: &[(Arc<str>, Option<Bytes>)]) -> i64 {
        let mut batches = self.batches.lock();
        let base = batches.last().map_or(0, |last| last.header().next_offset());
        let mut builder = BatchBuilder::new(base).leader_epoch(1);
        for (path, value) in records {
            builder.append(WALL_START_MS, Some(path.as_bytes()), value.as_deref(), &[]).expect("small");
        }
        let batch = builder.build().expect("small");
        let end = batch.header().next_offset();
        batches.push(batch);
        drop(batches);
        self.high_watermark.send_replace(end);
        base
    }
}

impl ZnodeFeed for Feed {
    fn read(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Vec<Bytes>, ZnodeFeedError> {
        if offset < 0 || offset > self.high_watermark() {
            return Err(ZnodeFeedError::OutOfRange);
        }
        let batches = self.batches.lock();
        let mut left = max_bytes;
        let mut chunks = Vec::new();
        for batch in batches.iter().filter(|batch| batch.header().next_offset() > offset) {
            if batch.size() > left && !(at_least_one && chunks.is_empty()) {
                break;
            }
            left = left.saturating_sub(batch.size());
            chunks.push(batch.to_bytes());
        }
        Ok(chunks)
    }

    fn high_watermark(&self) -> i64 {
        *self.high_watermark.borrow()
    }

    fn log_start(&self) -> i64 {
        0
    }

    fn leader_epoch(&self) -> i32 {
        1
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        if epoch >= 1 { (1, self.high_watermark()) } else { (-1, -1) }
    }

    fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<(i64, i64)>, ZnodeFeedError> {
        Ok((timestamp <= WALL_START_MS && self.high_watermark() > 0).then_some((0, WALL_START_MS)))
    }

    fn size(&self) -> u64 {
        self.batches.lock().iter().map(|batch| batch.size() as u64).sum()
    }

    fn subscribe(&self) -> watch::Receiver<i64> {
        self.high_watermark.subscribe()
    }

    fn produce<'a>(&'a self, records: ZnodeRecords, principal: &'a str) -> ZnodeProduced<'a> {
        Box::pin(async move {
            self.principals.lock().push(principal.to_owned());
            match records.iter().position(|(path, _)| path.starts_with("/closed")) {
                Some(index) => Err(ZnodeFeedError::Refused { index, message: "no such parent".to_owned() }),
                None => Ok(self.write(&records)),
            }
        })
    }
}

async fn node() -> (Node, Arc<Feed>) {
    let feed = Feed::new();
    let mut setup = Setup::new(&[]);
    setup.znodes = Some(feed.clone());
    (setup.start().await, feed)
}

fn keyed(records: &[(&[u8], Option<&[u8]>)]) -> Bytes {
    let mut builder = BatchBuilder::new(0);
    for (key, value) in records {
        builder.append(WALL_START_MS, Some(key), *value, &[]).expect("small");
    }
    builder.build().expect("small").to_bytes()
}

fn fetch(topic: TopicKey, offset: i64, max_wait_ms: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation: Isolation::ReadUncommitted,
        allows_zstd: true,
        allows_follower: true,
        takes_files: false,
        rack_id: "".into(),
        replica: None,
        session_id: 0,
        session_epoch: -1,
        by_id: matches!(topic, TopicKey::Id(_)),
        partitions: vec![FetchPartition {
            topic,
            partition: 0,
            current_leader_epoch: -1,
            fetch_offset: offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            max_bytes: 1 << 20,
        }],
        forgotten: Vec::new(),
    }
}

#[tokio::test]
async fn a_batch_is_one_transaction_and_its_offset_the_zxid() {
    let (node, feed) = node().await;
    feed.write(&[("/before".into(), None)]);
    let records = keyed(&[(b"/a", Some(b"1")), (b"/b", None)]);
    let reply = node.produce_to(ZNODES_TOPIC, 0, Acks::All, records).await;
    assert_eq!((reply.error, reply.base_offset), (ErrorCode::NONE, 1));
    assert_eq!(*feed.principals.lock(), ["User:ANONYMOUS"]);
    let batches = feed.batches.lock();
    assert_eq!((batches.len(), batches[1].header().record_count), (2, 2));
}

#[tokio::test]
async fn what_the_tree_refuses_is_refused_as_a_whole_with_a_message() {
    let (node, feed) = node().await;
    let reply =
        node.produce_to(ZNODES_TOPIC, 0, Acks::All, keyed(&[(b"/a", None), (b"/closed/x", None)])).await;
    assert_eq!(reply.error, ErrorCode::INVALID_RECORD);
    assert_eq!(reply.record_errors, [(1, "no such parent".to_owned())]);
    let bad = keyed(&[(b"/a", None), (b"session:0x1", None), (b"\xff", None)]);
    let reply = node.produce_to(ZNODES_TOPIC, 0, Acks::All, bad).await;
    assert_eq!(reply.error, ErrorCode::INVALID_RECORD);
    assert_eq!(reply.record_errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    let mut keyless = builder(WALL_START_MS, &[]);
    keyless.append(WALL_START_MS, None, Some(b"x"), &[]).expect("small");
    let reply = node.produce_to(ZNODES_TOPIC, 0, Acks::All, keyless.build().expect("small").to_bytes()).await;
    assert_eq!(reply.error, ErrorCode::INVALID_RECORD);
    assert_eq!(feed.batches.lock().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn consumers_read_it_and_wait_for_it_like_any_topic() {
    let (node, feed) = node().await;
    feed.write(&[("/a".into(), Some(Bytes::from_static(b"1")))]);
    node.cluster.put(ZNODES_TOPIC, 1, &[]);
    node.settle().await;
    assert_eq!(node.folders("__znodes").len(), 0, "its folder is not the broker's to make");
    let id = node.cluster.views.borrow().topics[ZNODES_TOPIC].id;
    for topic in [TopicKey::Name(ZNODES_TOPIC.into()), TopicKey::Id(id)] {
        assert_eq!(node.broker.current_leader(&topic, 0), Some((0, 1)));
        let fetched = node.broker.fetch(fetch(topic, 0, 0)).await.partitions.remove(0);
        assert_eq!(
            (fetched.error, fetched.high_watermark, fetched.records.is_empty()),
            (ErrorCode::NONE, 1, false)
        );
    }
    let broker = node.broker.clone();
    let waiting = tokio::spawn(async move {
        broker.fetch(fetch(TopicKey::Name(ZNODES_TOPIC.into()), 1, 60_000)).await.partitions.remove(0)
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!waiting.is_finished());
    feed.write(&[("/b".into(), None)]);
    let fetched = waiting.await.expect("it ends");
    assert_eq!((fetched.high_watermark, fetched.records.is_empty()), (2, false));
    let beyond =
        node.broker.fetch(fetch(TopicKey::Name(ZNODES_TOPIC.into()), 9, 0)).await.partitions.remove(0);
    assert_eq!(beyond.error, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[tokio::test]
async fn its_offsets_can_be_listed_and_its_size_described() {
    let (node, feed) = node().await;
    feed.write(&[("/a".into(), None), ("/b".into(), None)]);
    let list = |timestamp| {
        let wanted =
            ListOffset { topic: ZNODES_TOPIC.into(), partition: 0, current_leader_epoch: -1, timestamp };
        let listed = node.broker.list_offsets(Isolation::ReadUncommitted, &[wanted])[0];
        assert_eq!(listed.error, ErrorCode::NONE);
        listed.offset
    };
    assert_eq!([-1, -2, -3, WALL_START_MS, WALL_START_MS + 1].map(list), [2, 0, 1, 0, -1]);
    let described = node.broker.describe_log_dirs(&|_, _| true);
    assert_eq!(&*described[0].replicas[0].topic, ZNODES_TOPIC);
    let delete = crate::DeleteRecords { topic: ZNODES_TOPIC.into(), partition: 0, offset: 1 };
    assert_eq!(node.broker.delete_records(vec![delete], 1_000).await[0].error, ErrorCode::POLICY_VIOLATION);
    let other = node.produce_to(ZNODES_TOPIC, 1, Acks::All, batch(&["a"])).await;
    assert_eq!(other.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}
