//! From a znode's change to the Kafka consumer of `__znodes`: what no peer has.
use super::figures::{Figure, P50_US, P99_US, P999_US};
use super::server::{Cluster, Kind};
use super::workload::{Plan, Workload};
use super::zk::load::histogram;
use super::zk::session::{Session, set};
use crate::connection::{Connection, header};
use anyhow::{Context as _, Result, ensure};
use kafka_wire::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use kafka_wire::{ApiKey, Bytes, ErrorCode, encode_request};
use log::Batch;
use std::net::SocketAddr;

const TOPIC: &str = "__znodes";
/// The last version that names topics and has no tagged fields.
const FETCH_VERSION: i16 = 11;
const FETCH_BYTES_MAX: i32 = 1 << 20;
/// Longer than any change takes; a consumer that has waited so long in vain asks again.
const FETCH_WAIT_MS: i32 = 500;
const DATA: [u8; 100] = [b'x'; 100];

pub(super) fn workloads(quick: bool) -> Vec<Workload> {
    let nodes: &[usize] = if quick { &[1] } else { &[1, 3] };
    let workload = |nodes: &usize| {
        let name = format!("integration/znode-to-consumer/{}", if *nodes == 1 { "1node" } else { "3nodes" });
        Workload::new(name, Kind::Zoolog, *nodes, changes)
    };
    nodes.iter().map(workload).collect()
}

/// A client sets a znode, and waits until the consumer that waits at the end of `__znodes` has the record.
fn changes(cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
    let path = format!("/t{:05}", plan.turn);
    let mut session = Session::open(cluster.zookeeper()[0])?;
    let mut consumer = Consumer::at_the_end(cluster.kafka()[0])?;
    session.create(&path, &DATA)?;
    consumer.until(&path)?;
    let change = set(&path, &DATA);
    let mut latency_us = histogram()?;
    let begun = crate::now_us(cluster.clock());
    let mut now = begun;
    while now - begun < plan.seconds.as_micros() as u64 {
        consumer.ask()?;
        let changed = crate::now_us(cluster.clock());
        session.send(&change)?;
        consumer.until(&path)?;
        now = crate::now_us(cluster.clock());
        latency_us.saturating_record(now - changed);
        session.receive(change.op_code())?;
    }
    session.delete(&path)?;
    let latency = |quantile| latency_us.value_at_quantile(quantile) as f64;
    Ok(vec![
        Figure::lower(P50_US, latency(0.5)),
        Figure::lower(P99_US, latency(0.99)),
        Figure::lower(P999_US, latency(0.999)),
    ])
}

/// A consumer of the topic's one partition.
struct Consumer {
    connection: Connection,
    offset: i64,
    asked: bool,
}

impl Consumer {
    fn at_the_end(address: SocketAddr) -> Result<Consumer> {
        let mut consumer = Consumer { connection: Connection::open(address)?, offset: 0, asked: false };
        consumer.ask()?;
        let (_, high_watermark) = consumer.answer()?;
        consumer.offset = high_watermark;
        Ok(consumer)
    }

    /// Asks for what follows, which the broker answers once there is something.
    fn ask(&mut self) -> Result<()> {
        let partition = FetchPartition {
            partition: 0,
            fetch_offset: self.offset,
            partition_max_bytes: FETCH_BYTES_MAX,
            ..FetchPartition::default()
        };
        let topic = FetchTopic { topic: TOPIC.into(), partitions: vec![partition], ..FetchTopic::default() };
        let request = FetchRequest {
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES_MAX,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        self.connection.send(&encode_request(&header(ApiKey::Fetch, FETCH_VERSION), &request)?)?;
        self.asked = true;
        Ok(())
    }

    /// Fetches until a record of that znode has come.
    fn until(&mut self, path: &str) -> Result<()> {
        loop {
            if !self.asked {
                self.ask()?;
            }
            let (records, _) = self.answer()?;
            let mut found = false;
            for batch in Batch::iter(records) {
                // The last one may be cut off.
                let Ok(batch) = batch else { break };
                self.offset = batch.header().next_offset();
                let bytes = batch.to_bytes();
                found |= bytes.windows(path.len()).any(|window| window == path.as_bytes());
            }
            if found {
                return Ok(());
            }
        }
    }

    /// The records of an answer, and the high watermark.
    fn answer(&mut self) -> Result<(Bytes, i64)> {
        self.asked = false;
        let mut response: FetchResponse = self.connection.receive(ApiKey::Fetch, FETCH_VERSION)?;
        let topic = response.responses.first_mut().context("an answer for the topic")?;
        let partition = topic.partitions.first_mut().context("an answer for the partition")?;
        ensure!(partition.error_code == ErrorCode::NONE, "fetching: {:?}", partition.error_code);
        let records = partition.records.take().map(|records| records.to_bytes()).unwrap_or_default();
        Ok((records, partition.high_watermark))
    }
}
