//! A Kafka consumer of a topic's one partition, which waits at the tail. Invariant: the offset is behind the last whole batch that came.
use crate::connection::{Connection, header};
use anyhow::{Context, Result, ensure};
use kafka_wire::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use kafka_wire::{ApiKey, Bytes, ErrorCode, encode_request};
use log::Batch;
use std::net::SocketAddr;

/// The last version that names topics and has no tagged fields.
const FETCH_VERSION: i16 = 11;
const FETCH_BYTES_MAX: i32 = 1 << 20;
/// How long the broker holds an answer back while there is nothing.
const FETCH_WAIT_MS: i32 = 100;

/// The consumer.
pub(crate) struct Consumer {
    connection: Connection,
    topic: String,
    offset: i64,
}

impl Consumer {
    /// A consumer whose next fetch is at the high watermark.
    pub(crate) fn at_the_end(address: SocketAddr, topic: &str) -> Result<Consumer> {
        let mut consumer =
            Consumer { connection: Connection::open(address)?, topic: topic.to_owned(), offset: 0 };
        consumer.send()?;
        let (_, high_watermark) = consumer.answer()?;
        consumer.offset = high_watermark;
        Ok(consumer)
    }

    /// Fetches once; the records that came.
    pub(crate) fn fetch(&mut self) -> Result<Bytes> {
        self.send()?;
        self.receive()
    }

    /// Asks for what follows, waiting for it if there is nothing yet.
    pub(crate) fn send(&mut self) -> Result<()> {
        let partition = FetchPartition {
            partition: 0,
            fetch_offset: self.offset,
            partition_max_bytes: FETCH_BYTES_MAX,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: self.topic.as_str().into(),
            partitions: vec![partition],
            ..FetchTopic::default()
        };
        let request = FetchRequest {
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES_MAX,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        self.connection.send(&encode_request(&header(ApiKey::Fetch, FETCH_VERSION), &request)?)
    }

    /// Reads the answer to [`Consumer::send`]; the records that came.
    pub(crate) fn receive(&mut self) -> Result<Bytes> {
        let (records, _) = self.answer()?;
        // The last batch may be cut off.
        for batch in Batch::iter(records.clone()).map_while(Result::ok) {
            self.offset = batch.header().next_offset();
        }
        Ok(records)
    }

    /// The records of an answer and the high watermark.
    fn answer(&mut self) -> Result<(Bytes, i64)> {
        let mut response: FetchResponse = self.connection.receive(ApiKey::Fetch, FETCH_VERSION)?;
        let topic = response.responses.first_mut().context("an answer for the topic")?;
        let partition = topic.partitions.first_mut().context("an answer for the partition")?;
        ensure!(partition.error_code == ErrorCode::NONE, "fetching: {:?}", partition.error_code);
        let records = partition.records.take().map(|records| records.to_bytes()).unwrap_or_default();
        Ok((records, partition.high_watermark))
    }
}
