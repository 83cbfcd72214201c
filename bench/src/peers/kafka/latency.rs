//! End-to-end latency: from the moment at which a record should be sent until a consumer at the tail has it.
//!
//! An open loop: every millisecond a batch is due, whether or not the server has answered the ones before, and its time is the moment at
//! which it was due. So small are the batches of producers without linger.
use super::consumer::Consumer;
use super::meter::{self, Meter};
use super::payload::{Payload, Template};
use super::producer::{Manner, Producer};
use super::topic::Topic;
use super::traffic::{Traffic, Watch};
use crate::peers::figures::Figure;
use crate::peers::server::Cluster;
use crate::peers::workload::Plan;
use anyhow::{Context, Result, ensure};
use base::SystemClock;
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::Duration;

/// Between two batches.
const CADENCE_US: u64 = 1_000;
/// The beginning of a turn, which is not recorded: connections and fetch sessions are new.
const SETTLE_US: u64 = 500_000;
/// Requests of a producer that may be on their way. What is due beyond that waits, and its time goes on.
const IN_FLIGHT: usize = 32;
/// How long the last records may take to arrive.
const PATIENCE_US: u64 = 30_000_000;

/// A rate of records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) payload: Payload,
    pub(super) per_second: u64,
    /// Partitions, each with a producer of its own; batches are due at one after the other.
    pub(super) partitions: usize,
    /// 1, or -1 for all.
    pub(super) acks: i16,
}

impl Latency {
    /// One turn.
    pub(super) fn run(&self, cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
        let topic = Topic::create(cluster, &format!("latency-{}", plan.turn), self.partitions)?;
        let records = usize::try_from(self.per_second * CADENCE_US / 1_000_000)?;
        let template = Template::with_records(cluster.clock(), self.payload, records)?;
        let mut traffic = self.traffic(cluster, &topic, &template)?;
        let meter = Meter::start(cluster)?;
        let begun = crate::now_us(cluster.clock());
        let mut arrivals = Arrivals {
            clock: cluster.clock(),
            from: begun + SETTLE_US,
            batch_records: records as i64,
            due: vec![Vec::new(); self.partitions],
            latencies: meter::histogram()?,
        };
        let mut schedule = Schedule { next: begun, end: begun + SETTLE_US + plan.seconds.as_micros() as u64 };
        self.drive(cluster, &mut traffic, &mut schedule, &mut arrivals)?;
        let latencies = arrivals.latencies;
        let mut figures = meter::percentiles(&latencies)?;
        figures.extend(meter.throughput(cluster, traffic.consumed())?);
        drop(traffic);
        topic.delete(cluster)?;
        Ok(figures)
    }

    /// A producer for each partition, and one reader of all.
    fn traffic(&self, cluster: &Cluster, topic: &Topic, template: &Template) -> Result<Traffic> {
        let manner =
            Manner { acks: self.acks, batches: 1, idempotent: false, alone: true, in_flight: IN_FLIGHT };
        let producer = |(partition, leader): (i32, &usize)| {
            let address = cluster.kafka().get(*leader).context("a leader is a node")?;
            Producer::new(*address, topic, &[partition], template, manner)
        };
        let producers = (0..).zip(&topic.leaders).map(producer).collect::<Result<_>>()?;
        let mut consumers = Vec::new();
        for (node, address) in cluster.kafka().iter().enumerate() {
            let led: Vec<i32> = topic.led_by(node).collect();
            if !led.is_empty() {
                consumers.push(Consumer::new(*address, topic, &led, template)?);
            }
        }
        Ok(Traffic::new(producers, consumers))
    }

    fn drive(
        &self,
        cluster: &Cluster,
        traffic: &mut Traffic,
        schedule: &mut Schedule,
        arrivals: &mut Arrivals<'_>,
    ) -> Result<()> {
        let mut waiting: Vec<VecDeque<u64>> = vec![VecDeque::new(); self.partitions];
        let mut turn = 0;
        let mut sent = 0;
        traffic.consume()?;
        loop {
            let now = crate::now_us(cluster.clock());
            while let Some(due) = schedule.take(now) {
                waiting[turn].push_back(due);
                turn = (turn + 1) % self.partitions;
            }
            for ((producer, waiting), due) in
                traffic.producers.iter_mut().zip(&mut waiting).zip(&mut arrivals.due)
            {
                while let Some(at) = waiting.pop_front_if(|_| producer.is_free()) {
                    due.push(at);
                    sent += producer.send(at)? as u64;
                }
            }
            let over = schedule.is_over();
            if over && waiting.iter().all(VecDeque::is_empty) && traffic.consumed() == sent {
                return Ok(());
            }
            ensure!(now < schedule.end + PATIENCE_US, "of {sent} records {} arrived", traffic.consumed());
            let wait =
                if over { PATIENCE_US } else { schedule.next.saturating_sub(crate::now_us(cluster.clock())) };
            traffic.turn(Duration::from_micros(wait), arrivals)?;
        }
    }
}

/// When batches are due.
struct Schedule {
    next: u64,
    end: u64,
}

impl Schedule {
    /// The time of the next batch, if it is due.
    fn take(&mut self, now: u64) -> Option<u64> {
        let due = (self.next <= now && !self.is_over()).then_some(self.next)?;
        self.next += CADENCE_US;
        Some(due)
    }

    fn is_over(&self) -> bool {
        self.next >= self.end
    }
}

/// Measures each batch when it arrives.
struct Arrivals<'a> {
    clock: &'a SystemClock,
    /// Only batches that were due from here on are recorded.
    from: u64,
    batch_records: i64,
    /// By partition and number of the batch in it.
    due: Vec<Vec<u64>>,
    latencies: Histogram<u64>,
}

impl Watch for Arrivals<'_> {
    fn acknowledged(&mut self, _at: u64) {}

    fn consumed(&mut self, partition: usize, offset: i64) {
        let number = usize::try_from(offset / self.batch_records).ok();
        let due = number.and_then(|number| self.due.get(partition)?.get(number));
        if let Some(due) = due.filter(|due| **due >= self.from) {
            self.latencies.saturating_record(crate::now_us(self.clock) - due);
        }
    }
}
