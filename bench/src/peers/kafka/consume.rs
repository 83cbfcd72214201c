//! Consuming at full speed: from the beginning of what is there already (catch-up), or behind producers (tail), by one reader or several.
//!
//! A reader has a connection to every node that leads something, as Kafka's consumer.
use super::consumer::Consumer;
use super::meter::Meter;
use super::payload::Template;
use super::produce::{PATIENCE, Produce, begin, pump};
use super::topic::Topic;
use super::traffic::{Traffic, Watch};
use crate::peers::figures::Figure;
use crate::peers::server::Cluster;
use crate::peers::workload::Plan;
use anyhow::{Result, ensure};
use std::time::Duration;

/// What is there to catch up with, on all nodes together.
const FILLED: u64 = 384 << 20;
/// How far producers may be ahead of the slowest reader at the tail.
const AHEAD_BYTES: u64 = 8 << 20;
/// What all nodes together may write in one turn at the tail.
const WRITTEN_MAX: u64 = 2 << 30;

/// A load of consumers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consume {
    /// What writes.
    pub(super) produce: Produce,
    pub(super) readers: usize,
}

impl Consume {
    /// Readers that read what is there again and again.
    pub(super) fn catch_up(&self, cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
        let topic = Topic::create(cluster, &format!("catch-up-{}", plan.turn), self.produce.partitions)?;
        let template = Template::with_bytes(cluster.clock(), self.produce.payload, self.produce.batch_bytes)?;
        let mut filling = Traffic::new(self.produce.producers(cluster, &topic, &template)?, Vec::new());
        let bytes = FILLED / cluster.kafka().len() as u64;
        pump(cluster, &mut filling, &mut Nothing, |traffic| traffic.bytes() < bytes)?;
        let written = filling.written(topic.leaders.len());
        drop(filling);
        let consumers = self.consumers(cluster, &topic, &template)?.into_iter();
        let consumers = consumers.map(|(node, consumer)| {
            let led = topic.led_by(node).filter_map(|index| written.get(index as usize));
            consumer.again_after(led.sum())
        });
        let mut traffic = Traffic::new(Vec::new(), consumers.collect());
        let meter = Meter::start(cluster)?;
        traffic.consume()?;
        while meter.elapsed(cluster) < plan.seconds {
            traffic.turn(PATIENCE, &mut Nothing)?;
        }
        let figures = meter.throughput(cluster, traffic.consumed())?;
        drop(traffic);
        topic.delete(cluster)?;
        Ok(figures)
    }

    /// Readers that get everything while it is produced. Counted is what arrives at each of them.
    pub(super) fn tail(&self, cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
        let topic = Topic::create(cluster, &format!("tail-{}", plan.turn), self.produce.partitions)?;
        let (mut traffic, ahead) = self.traffic(cluster, &topic)?;
        begin(cluster, &mut traffic)?;
        let meter = Meter::start(cluster)?;
        self.follow(cluster, &mut traffic, ahead, plan.seconds)?;
        let figures = meter.throughput(cluster, traffic.consumed())?;
        drop(traffic);
        topic.delete(cluster)?;
        Ok(figures)
    }

    /// Everything for producers with readers, and how many records the producers may be ahead.
    pub(super) fn traffic(&self, cluster: &Cluster, topic: &Topic) -> Result<(Traffic, u64)> {
        let template = Template::with_bytes(cluster.clock(), self.produce.payload, self.produce.batch_bytes)?;
        let producers = self.produce.producers(cluster, topic, &template)?;
        let consumers = self.consumers(cluster, topic, &template)?.into_iter();
        let ahead = AHEAD_BYTES / template.batch.size() as u64 * template.records as u64;
        Ok((Traffic::new(producers, consumers.map(|(_, consumer)| consumer).collect()), ahead))
    }

    /// Produces and consumes for some time, until every reader has everything.
    pub(super) fn follow(
        &self,
        cluster: &Cluster,
        traffic: &mut Traffic,
        ahead: u64,
        time: Duration,
    ) -> Result<()> {
        let bytes_max = WRITTEN_MAX / cluster.kafka().len() as u64;
        let begun = crate::now_us(cluster.clock());
        // Readers get what was written before, too.
        let mut sent = traffic.acknowledged();
        let mut moved = (0, begun);
        traffic.consume()?;
        loop {
            let now = crate::now_us(cluster.clock());
            let sending = now - begun < time.as_micros() as u64 && traffic.bytes() < bytes_max;
            let slowest = self.slowest(traffic);
            if !sending && slowest == sent && traffic.acknowledged() == sent {
                return Ok(());
            }
            if sending && sent - slowest < ahead {
                for producer in traffic.producers.iter_mut().filter(|producer| producer.is_free()) {
                    sent += producer.send(now)? as u64;
                }
            }
            traffic.turn(PATIENCE, &mut Nothing)?;
            if traffic.consumed() > moved.0 {
                moved = (traffic.consumed(), now);
            }
            ensure!(now - moved.1 < PATIENCE.as_micros() as u64, "nothing arrives any more");
        }
    }

    /// Records of the reader that has the fewest.
    fn slowest(&self, traffic: &Traffic) -> u64 {
        let per_reader = (traffic.consumers.len() / self.readers).max(1);
        let readers = traffic.consumers.chunks(per_reader);
        readers.map(|all| all.iter().map(|consumer| consumer.records).sum()).min().unwrap_or_default()
    }

    /// All connections of the first reader, then those of the next, each with its node.
    fn consumers(
        &self,
        cluster: &Cluster,
        topic: &Topic,
        template: &Template,
    ) -> Result<Vec<(usize, Consumer)>> {
        let mut consumers = Vec::new();
        for _ in 0..self.readers {
            for (node, address) in cluster.kafka().iter().enumerate() {
                let led: Vec<i32> = topic.led_by(node).collect();
                if !led.is_empty() {
                    consumers.push((node, Consumer::new(*address, topic, &led, template)?));
                }
            }
        }
        Ok(consumers)
    }
}

/// Nobody watches.
pub(super) struct Nothing;

impl Watch for Nothing {
    fn acknowledged(&mut self, _at: u64) {}

    fn consumed(&mut self, _partition: usize, _offset: i64) {}
}
