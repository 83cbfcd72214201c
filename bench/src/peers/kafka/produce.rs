//! Producing at full speed: a few producers, each with as many requests on their way as Kafka's has.
//!
//! What is measured begins once every partition has a batch, and how long that takes is a figure of its own. A partition's first batch costs
//! Kafka up to a hundred times what the next ones do: its two index files of 10 MiB are mapped, and touching a mapped file for the first time
//! reads as much around the place as the disk's read-ahead says (3 to 5 ms of processor time each where that is 8 MiB). Producers pay that once
//! per segment, of 1 GiB; a turn of two seconds over 100 or 2,000 new partitions would measure nothing else.
use super::consume::Nothing;
use super::meter::{self, Meter};
use super::payload::{Payload, Template};
use super::producer::{IN_FLIGHT, Manner, Producer};
use super::topic::Topic;
use super::traffic::{Traffic, Watch};
use crate::peers::figures::Figure;
use crate::peers::server::Cluster;
use crate::peers::workload::Plan;
use anyhow::{Result, ensure};
use base::SystemClock;
use hdrhistogram::Histogram;
use std::time::Duration;

/// What all nodes together may write in one turn: the page cache takes it, so that no turn pays for the disk of the one before.
const WRITTEN_MAX: u64 = 2 << 30;
/// The time until every partition has its first batch.
const BEGIN_MS: &str = "ms to the first batches";
/// Without any answer for so long, the run has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A load of producers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Produce {
    pub(super) payload: Payload,
    /// Bytes of a batch on the wire, about.
    pub(super) batch_bytes: usize,
    pub(super) partitions: usize,
    /// Batches in one request at most, each for another partition.
    pub(super) batches: usize,
    pub(super) producers: usize,
    /// 1, or -1 for all.
    pub(super) acks: i16,
    pub(super) idempotent: bool,
}

impl Produce {
    /// One turn.
    pub(super) fn run(&self, cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
        let topic = Topic::create(cluster, &format!("produce-{}", plan.turn), self.partitions)?;
        let template = Template::with_bytes(cluster.clock(), self.payload, self.batch_bytes)?;
        let mut traffic = Traffic::new(self.producers(cluster, &topic, &template)?, Vec::new());
        let begun = crate::now_us(cluster.clock());
        begin(cluster, &mut traffic)?;
        let took = crate::now_us(cluster.clock()) - begun;
        let (before, bytes_max) =
            (traffic.acknowledged(), traffic.bytes() + WRITTEN_MAX / cluster.kafka().len() as u64);
        let mut watch = Acks { clock: cluster.clock(), latencies: meter::histogram()? };
        let meter = Meter::start(cluster)?;
        pump(cluster, &mut traffic, &mut watch, |traffic| {
            meter.elapsed(cluster) < plan.seconds && traffic.bytes() < bytes_max
        })?;
        let latencies = watch.latencies;
        let mut figures = meter.throughput(cluster, traffic.acknowledged() - before)?;
        figures.extend(meter::percentiles(&latencies)?);
        if self.partitions > 1 {
            figures.push(Figure::lower(BEGIN_MS, took as f64 / 1e3));
        }
        drop(traffic);
        topic.delete(cluster)?;
        Ok(figures)
    }

    /// Each producer has a connection to every node that leads something.
    pub(super) fn producers(
        &self,
        cluster: &Cluster,
        topic: &Topic,
        template: &Template,
    ) -> Result<Vec<Producer>> {
        let manner = Manner {
            acks: self.acks,
            batches: self.batches,
            idempotent: self.idempotent,
            alone: self.producers == 1,
            in_flight: IN_FLIGHT,
        };
        let mut producers = Vec::new();
        for _ in 0..self.producers {
            for (node, address) in cluster.kafka().iter().enumerate() {
                let led: Vec<i32> = topic.led_by(node).collect();
                if !led.is_empty() {
                    producers.push(Producer::new(*address, topic, &led, template, manner)?);
                }
            }
        }
        Ok(producers)
    }
}

/// Gives every partition its first batches.
pub(super) fn begin(cluster: &Cluster, traffic: &mut Traffic) -> Result<()> {
    pump(cluster, traffic, &mut Nothing, |traffic| !traffic.producers.iter().all(Producer::has_begun))
}

/// Keeps all producers busy while `more` says so, then waits for the answers to everything that was sent.
pub(super) fn pump(
    cluster: &Cluster,
    traffic: &mut Traffic,
    watch: &mut impl Watch,
    mut more: impl FnMut(&Traffic) -> bool,
) -> Result<()> {
    let mut sending = true;
    let mut acknowledged = (0, crate::now_us(cluster.clock()));
    loop {
        sending = sending && more(traffic);
        if !sending && traffic.producers.iter().all(Producer::is_done) {
            return Ok(());
        }
        let now = crate::now_us(cluster.clock());
        if sending {
            for producer in &mut traffic.producers {
                while producer.is_free() {
                    producer.send(now)?;
                }
            }
        }
        traffic.turn(PATIENCE, watch)?;
        if traffic.acknowledged() > acknowledged.0 {
            acknowledged = (traffic.acknowledged(), now);
        }
        ensure!(now - acknowledged.1 < PATIENCE.as_micros() as u64, "no write is acknowledged any more");
    }
}

/// Notes how long acknowledgements took.
pub(super) struct Acks<'a> {
    pub(super) clock: &'a SystemClock,
    pub(super) latencies: Histogram<u64>,
}

impl Watch for Acks<'_> {
    fn acknowledged(&mut self, at: u64) {
        self.latencies.saturating_record(crate::now_us(self.clock) - at);
    }

    fn consumed(&mut self, _partition: usize, _offset: i64) {}
}
