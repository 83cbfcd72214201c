//! Large fetches, which are sent from the segments' files: what arrives is what lies there, however slowly it is read.
use crate::node::Node;
use crate::wire::{Client, ask, batch};
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic};
use kafka_wire::messages::{FetchRequest, FetchResponse};
use kafka_wire::{ApiKey, ErrorCode, Response, Str};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;

const PARTITIONS: i32 = 3;
const BATCHES: usize = 30;

/// All partitions of the topic from these offsets on.
fn fetch(offsets: &[i64]) -> FetchRequest {
    let partitions = (0..).zip(offsets).map(|(partition, offset)| FetchPartition {
        partition,
        fetch_offset: *offset,
        partition_max_bytes: 700_000,
        ..Default::default()
    });
    FetchRequest {
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![FetchTopic {
            topic: Str::from_static("t"),
            partitions: partitions.collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A topic with several segments in each partition; batches are small and large.
async fn fill(client: &mut Client) {
    client.create_topic_with("t", PARTITIONS, &[("segment.bytes", "1048576")]).await;
    for partition in 0..PARTITIONS {
        for index in 0..BATCHES {
            let value = format!("{index}-").repeat([10, 45_000, 100_000, 500][index % 4]);
            let produced = client.produce("t", partition, batch(&[&value, "end"])).await;
            assert_eq!(produced.error_code, ErrorCode::NONE);
        }
    }
}

/// The bytes of all segments of a partition, in their order, and how many segments there are.
fn segments(folder: &Path, partition: i32) -> (Vec<u8>, usize) {
    let entries = std::fs::read_dir(folder.join(format!("t-{partition}"))).expect("the partition's folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let bytes = paths.iter().map(|path| std::fs::read(path).expect("a segment"));
    (bytes.collect::<Vec<_>>().concat(), paths.len())
}

/// Takes a response's batches: adds their bytes, and moves the offsets behind them.
fn take(response: &FetchResponse, got: &mut [Vec<u8>], offsets: &mut [i64]) {
    for partition in &response.responses[0].partitions {
        let index = partition.partition_index as usize;
        assert_eq!(partition.error_code, ErrorCode::NONE);
        let bytes = partition.records.as_ref().map(kafka_wire::Records::to_bytes).unwrap_or_default();
        for batch in log::Batch::iter(bytes.clone()) {
            offsets[index] = batch.expect("whole batches").header().next_offset();
        }
        got[index].extend_from_slice(&bytes);
    }
}

#[tokio::test]
async fn large_fetches_bring_the_bytes_of_the_segments() {
    let node = Node::start().await;
    let mut client = node.client().await;
    fill(&mut client).await;
    let mut got = vec![Vec::new(); PARTITIONS as usize];
    let mut offsets = vec![0; PARTITIONS as usize];
    let end = 2 * BATCHES as i64;
    let mut largest = 0;
    while offsets.iter().any(|offset| *offset < end) {
        let before: usize = got.iter().map(Vec::len).sum();
        let response = ask!(client, Fetch 11, fetch(&offsets));
        take(&response, &mut got, &mut offsets);
        largest = largest.max(got.iter().map(Vec::len).sum::<usize>() - before);
    }
    assert!(largest > 500_000, "several partitions in one answer, and not from memory");
    for partition in 0..PARTITIONS {
        let (bytes, count) = segments(node.folder.path(), partition);
        assert!(count > 2, "several segments");
        assert!(got[partition as usize] == bytes, "partition {partition}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_slow_reader_gets_all_of_a_large_fetch() {
    let node = Node::start().await;
    let mut client = node.client().await;
    fill(&mut client).await;
    let offsets = [0; PARTITIONS as usize];
    let quick = ask!(client, Fetch 11, fetch(&offsets));
    client.send(11, &fetch(&offsets).into()).await;
    let size = client.stream.read_i32().await.expect("a size") as usize;
    let mut frame = Vec::with_capacity(size);
    let mut room = vec![0; 20_000];
    while frame.len() < size {
        let most = room.len().min(size - frame.len());
        let count = client.stream.read(&mut room[..most]).await.expect("read");
        assert_ne!(count, 0, "the connection ended after {} bytes", frame.len());
        frame.extend_from_slice(&room[..count]);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (_, slow) = kafka_wire::decode_response(ApiKey::Fetch, 11, frame.into()).expect("a response");
    assert_eq!(slow, Response::from(quick));
    node.stop().await;
}
