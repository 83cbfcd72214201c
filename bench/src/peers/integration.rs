//! From a znode's change to the Kafka consumer of `__znodes`: what no peer has.
use super::figures::{Figure, P50_US, P99_US, P999_US};
use super::server::{Cluster, Kind};
use super::workload::{Plan, Workload};
use super::zk::load::histogram;
use super::zk::session::{Session, set};
use crate::consumer::Consumer;
use anyhow::Result;

const TOPIC: &str = "__znodes";
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
    let mut consumer = Consumer::at_the_end(cluster.kafka()[0], TOPIC)?;
    session.create(&path, &DATA)?;
    consumer.send()?;
    until(&mut consumer, &path)?;
    let change = set(&path, &DATA);
    let mut latency_us = histogram()?;
    let begun = crate::now_us(cluster.clock());
    let mut now = begun;
    while now - begun < plan.seconds.as_micros() as u64 {
        consumer.send()?;
        let changed = crate::now_us(cluster.clock());
        session.send(&change)?;
        until(&mut consumer, &path)?;
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

/// Reads what comes until a record of that znode is there; the last fetch is on its way already.
fn until(consumer: &mut Consumer, path: &str) -> Result<()> {
    loop {
        let records = consumer.receive()?;
        if records.windows(path.len()).any(|window| window == path.as_bytes()) {
            return Ok(());
        }
        consumer.send()?;
    }
}
