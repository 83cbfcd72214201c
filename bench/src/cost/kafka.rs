//! Produces and fetches over one connection, with batches that are built once and sent again and again.
use crate::connection::{Connection, header};
use crate::consumer::Consumer;
use anyhow::{Context, Result, bail, ensure};
use base::SystemClock;
use kafka_wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use kafka_wire::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_wire::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use kafka_wire::{ApiKey, Bytes, ErrorCode, encode_request};
use log::{Batch, BatchBuilder};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CREATE_TOPICS_VERSION: i16 = 4;
const FIND_COORDINATOR_VERSION: i16 = 2;
const PRODUCE_VERSION: i16 = 8;
const TIMEOUT_MS: i32 = 30_000;
/// Produce requests on their way at the same time, as Kafka's producer has it.
const IN_FLIGHT: usize = 5;
/// The coordinator's topic may be created by the first request for it.
const COORDINATOR_TRIES: usize = 100;
const COORDINATOR_PAUSE: Duration = Duration::from_millis(100);

/// What was sent or fetched, and how long it took.
pub(crate) struct Moved {
    pub(crate) bytes: usize,
    pub(crate) records: usize,
    pub(crate) took_us: u64,
}

/// Creates a topic.
pub(crate) fn create_topic(address: SocketAddr, name: &str, partitions: i32) -> Result<()> {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, ..Default::default() };
    let mut connection = Connection::open(address)?;
    let response: CreateTopicsResponse =
        connection.ask(ApiKey::CreateTopics, CREATE_TOPICS_VERSION, &request)?;
    let error = response.topics.first().context("an answer for the topic")?.error_code;
    ensure!(error == ErrorCode::NONE, "creating {name}: {error:?}");
    Ok(())
}

/// Lets the node create `__consumer_offsets`, as the first consumer of a group does.
pub(crate) fn create_offsets_topic(address: SocketAddr) -> Result<()> {
    let request = FindCoordinatorRequest { key: "bench".into(), ..Default::default() };
    let mut connection = Connection::open(address)?;
    for _ in 0..COORDINATOR_TRIES {
        let response: FindCoordinatorResponse =
            connection.ask(ApiKey::FindCoordinator, FIND_COORDINATOR_VERSION, &request)?;
        if response.error_code == ErrorCode::NONE {
            return Ok(());
        }
        std::thread::sleep(COORDINATOR_PAUSE);
    }
    bail!("the group coordinator does not become available")
}

/// A batch that is produced over and over.
pub(crate) struct Load {
    topic: String,
    batch: Batch,
    records: usize,
}

impl Load {
    /// Records of `record_bytes` that cannot be compressed to nothing, as many as fit into `batch_bytes`.
    pub(crate) fn new(topic: &str, record_bytes: usize, batch_bytes: usize) -> Result<Load> {
        let mut builder = BatchBuilder::new(0);
        let mut records = 0;
        while builder.size() + record_bytes + 16 < batch_bytes {
            let value: Vec<u8> = (0..record_bytes).map(|at| (at * 31 + records * 7) as u8).collect();
            builder.append(0, None, Some(&value), &[])?;
            records += 1;
        }
        Ok(Load { topic: topic.to_owned(), batch: builder.build()?, records })
    }

    fn frame(&self) -> Result<Vec<Bytes>> {
        let data = PartitionProduceData { index: 0, records: Some(self.batch.to_bytes()) };
        let topic = TopicProduceData {
            name: self.topic.as_str().into(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: 1,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        Ok(encode_request(&header(ApiKey::Produce, PRODUCE_VERSION), &request)?)
    }

    /// Produces about `bytes`.
    pub(crate) fn produce(&self, clock: &SystemClock, address: SocketAddr, bytes: usize) -> Result<Moved> {
        let mut connection = Connection::open(address)?;
        let frame = self.frame()?;
        let size: usize = frame.iter().map(Bytes::len).sum();
        let count = bytes.div_ceil(size);
        let begun = crate::now_us(clock);
        let mut unanswered = 0;
        for sent in 0..count {
            connection.send(&frame)?;
            unanswered += 1;
            while unanswered >= IN_FLIGHT || (sent + 1 == count && unanswered > 0) {
                let response: ProduceResponse = connection.receive(ApiKey::Produce, PRODUCE_VERSION)?;
                let topic = response.responses.first().context("an answer for the topic")?;
                let error =
                    topic.partition_responses.first().context("an answer for the partition")?.error_code;
                ensure!(error == ErrorCode::NONE, "producing: {error:?}");
                unanswered -= 1;
            }
        }
        Ok(Moved {
            bytes: count * size,
            records: count * self.records,
            took_us: crate::now_us(clock) - begun,
        })
    }

    /// A consumer at the tail.
    pub(crate) fn consumer(&self, address: SocketAddr) -> Result<Consumer> {
        Consumer::at_the_end(address, &self.topic)
    }

    /// Produces a batch, fetches it with a consumer that waits at the tail, and so on; `count` times.
    pub(crate) fn produce_and_fetch(
        &self,
        clock: &SystemClock,
        address: SocketAddr,
        consumer: &mut Consumer,
        count: usize,
    ) -> Result<Moved> {
        let mut producer = Connection::open(address)?;
        let frame = self.frame()?;
        let begun = crate::now_us(clock);
        let mut bytes = 0;
        for _ in 0..count {
            consumer.send()?;
            producer.send(&frame)?;
            bytes += consumer.receive()?.len();
            produced(&mut producer)?;
        }
        Ok(Moved { bytes, records: count * self.records, took_us: crate::now_us(clock) - begun })
    }

    /// Fetches from the tail what another connection produces at the same time.
    pub(crate) fn follow(
        &self,
        clock: &SystemClock,
        address: SocketAddr,
        consumer: &mut Consumer,
        bytes: usize,
    ) -> Result<Moved> {
        let done = AtomicBool::new(false);
        let begun = crate::now_us(clock);
        let fetched = std::thread::scope(|scope| {
            let producing = scope.spawn(|| {
                let produced = self.produce(clock, address, bytes);
                done.store(true, Ordering::Release);
                produced
            });
            let mut fetched = 0;
            loop {
                let was_done = done.load(Ordering::Acquire);
                let got = consumer.fetch()?.len();
                fetched += got;
                if got == 0 && was_done {
                    break;
                }
            }
            producing.join().map_err(|_| anyhow::anyhow!("the producer panicked"))??;
            Ok::<usize, anyhow::Error>(fetched)
        })?;
        let records = fetched / self.batch.to_bytes().len() * self.records;
        Ok(Moved { bytes: fetched, records, took_us: crate::now_us(clock) - begun })
    }
}

/// Reads the answer to a produce request.
fn produced(connection: &mut Connection) -> Result<()> {
    let response: ProduceResponse = connection.receive(ApiKey::Produce, PRODUCE_VERSION)?;
    let topic = response.responses.first().context("an answer for the topic")?;
    let error = topic.partition_responses.first().context("an answer for the partition")?.error_code;
    ensure!(error == ErrorCode::NONE, "producing: {error:?}");
    Ok(())
}
