//! Watches: a thousand sessions watch one znode, somebody sets it, they all hear of it and watch again.
use super::link::{Link, Readiness};
use super::load::{header, histogram};
use super::session::{Session, frame, set};
use crate::peers::figures::{Figure, P50_US, P99_US, PER_CPU_SECOND, PER_SECOND};
use crate::peers::server::{Cluster, Kind};
use crate::peers::workload::{Plan, Workload};
use anyhow::{Result, bail, ensure};
use base::SystemClock;
use hdrhistogram::Histogram;
use jute::{PathWatchRequest, Request, xid};

const WATCHERS: usize = 1_000;
/// An answer or an event has far less.
const INPUT_BYTES: usize = 4 << 10;
const PATIENCE_US: u64 = 30_000_000;
const XID: i32 = 1;

pub(super) fn workloads() -> Vec<Workload> {
    vec![Workload::new("zk/watch/1000watchers/1node", Kind::ZooKeeper, 1, fan_out)]
}

/// The watchers' connections, and behind them the setter's.
struct Crowd<'a> {
    clock: &'a SystemClock,
    readiness: Readiness,
    links: Vec<Link>,
}

impl Crowd<'_> {
    /// Everybody watches, and has an answer.
    fn watch(&mut self, watch: &[u8]) -> Result<()> {
        for (number, link) in self.links[..WATCHERS].iter_mut().enumerate() {
            link.output().extend_from_slice(watch);
            link.flush(number, &self.readiness)?;
        }
        self.collect(WATCHERS, |frame, _| {
            ensure!(header(frame)? == (XID, 0), "a watch is refused");
            Ok(())
        })
    }

    /// Sets the znode; everybody hears of it and the setter has an answer.
    fn set(&mut self, set: &[u8], latency_us: &mut Histogram<u64>) -> Result<()> {
        let begun = crate::now_us(self.clock);
        let setter = &mut self.links[WATCHERS];
        setter.output().extend_from_slice(set);
        setter.flush(WATCHERS, &self.readiness)?;
        self.collect(WATCHERS + 1, |frame, now| {
            match header(frame)? {
                (xid::WATCH_EVENT, 0) => latency_us.saturating_record((now - begun).max(1)),
                (XID, 0) => {}
                (xid, error) => bail!("an answer to {xid} with {error}"),
            }
            Ok(())
        })
    }

    /// Takes so many frames, from wherever they come.
    fn collect(&mut self, frames: usize, mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
        let mut left = frames;
        while left > 0 {
            let ready: Vec<usize> = self.readiness.wait(PATIENCE_US)?.collect();
            ensure!(!ready.is_empty(), "{left} frames don't come");
            for number in ready {
                let now = crate::now_us(self.clock);
                self.links[number].receive(|frame| {
                    ensure!(left > 0, "more events than watches");
                    left -= 1;
                    each(frame, now)
                })?;
                self.links[number].flush(number, &self.readiness)?;
            }
        }
        Ok(())
    }
}

fn fan_out(cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
    let address = cluster.zookeeper()[0];
    let path = format!("/t{:05}", plan.turn);
    let mut session = Session::open(address)?;
    session.create(&path, b"x")?;
    let mut crowd = Crowd { clock: cluster.clock(), readiness: Readiness::new()?, links: Vec::new() };
    for (number, session) in Session::open_many(address, WATCHERS + 1)?.into_iter().enumerate() {
        let link = Link::with_room(session.into_stream(), INPUT_BYTES)?;
        crowd.readiness.add(number, &link)?;
        crowd.links.push(link);
    }
    let request = PathWatchRequest { path: path.as_str().into(), watch: true };
    let watch = frame(XID, &Request::GetData(request));
    let set = frame(XID, &set(&path, b"y"));
    let mut latency_us = histogram()?;
    let before = cluster.usage()?.cpu;
    let begun = crate::now_us(cluster.clock());
    let (mut last, mut rounds) = (begun, 0);
    while last - begun < plan.seconds.as_micros() as u64 {
        crowd.watch(&watch)?;
        crowd.set(&set, &mut latency_us)?;
        (last, rounds) = (crate::now_us(cluster.clock()), rounds + 1);
    }
    let spent = cluster.usage()?.cpu - before;
    drop(crowd);
    session.delete(&path)?;
    let events = (rounds * WATCHERS) as f64;
    Ok(vec![
        Figure::higher(PER_SECOND, events * 1e6 / (last - begun).max(1) as f64),
        Figure::higher(PER_CPU_SECOND, events / spent.as_secs_f64().max(1e-2)),
        Figure::lower(P50_US, latency_us.value_at_quantile(0.5) as f64),
        Figure::lower(P99_US, latency_us.value_at_quantile(0.99) as f64),
    ])
}
