//! Sessions per second: many clients at a time that connect, open a session, close it, and connect again.
use super::link::{Link, Readiness};
use super::load::{header, histogram};
use super::session::{connect_frame, frame};
use crate::peers::figures::{Figure, P50_US, P99_US, PER_CPU_SECOND, PER_SECOND};
use crate::peers::server::{Cluster, Kind};
use crate::peers::workload::{Plan, Workload};
use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use jute::Request;
use std::net::{SocketAddr, TcpStream};

const CLIENTS: usize = 32;
/// The answers are short.
const INPUT_BYTES: usize = 1 << 10;
const PATIENCE_US: u64 = 30_000_000;
/// Where the answer to a new session has its id.
const SESSION_ID: std::ops::Range<usize> = 8..16;
const CLOSE_XID: i32 = 1;

pub(super) fn workloads() -> Vec<Workload> {
    vec![Workload::new("zk/session/32clients/1node", Kind::ZooKeeper, 1, open_and_close)]
}

/// A client, and how far its session is.
struct Client {
    link: Link,
    begun_us: u64,
    opened: bool,
}

impl Client {
    fn connect(address: SocketAddr, number: usize, now: u64, readiness: &Readiness) -> Result<Client> {
        let mut link = Link::with_room(TcpStream::connect(address)?, INPUT_BYTES)?;
        readiness.add(number, &link)?;
        link.output().extend_from_slice(&connect_frame(0, Bytes::from_static(&[0; 16])));
        link.flush(number, readiness)?;
        Ok(Client { link, begun_us: now, opened: false })
    }

    /// Takes what has arrived; whether the session is over.
    fn advance(&mut self, number: usize, readiness: &Readiness) -> Result<bool> {
        let (mut over, opened) = (false, &mut self.opened);
        self.link.receive(|answer| {
            if *opened {
                ensure!(header(answer)? == (CLOSE_XID, 0), "a session can't be closed");
                over = true;
            } else {
                let id = answer.get(SESSION_ID).context("an answer to a new session")?;
                ensure!(id.iter().any(|byte| *byte != 0), "a session is refused");
                *opened = true;
            }
            Ok(())
        })?;
        if self.opened && !over {
            self.link.output().extend_from_slice(&frame(CLOSE_XID, &Request::CloseSession));
            self.link.flush(number, readiness)?;
        }
        Ok(over)
    }
}

fn open_and_close(cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
    let address = cluster.zookeeper()[0];
    let mut readiness = Readiness::new()?;
    let mut latency_us = histogram()?;
    let before = cluster.usage()?.cpu;
    let begun = crate::now_us(cluster.clock());
    let mut clients = (0..CLIENTS)
        .map(|number| Client::connect(address, number, begun, &readiness).map(Some))
        .collect::<Result<Vec<_>>>()?;
    let (mut last, mut done) = (begun, 0_u64);
    while clients.iter().any(Option::is_some) {
        let ready: Vec<usize> = readiness.wait(PATIENCE_US)?.collect();
        if ready.is_empty() {
            bail!("no answers any more");
        }
        for number in ready {
            let Some(client) = &mut clients[number] else { continue };
            if !client.advance(number, &readiness)? {
                continue;
            }
            let now = crate::now_us(cluster.clock());
            latency_us.saturating_record(now - client.begun_us);
            (last, done) = (now, done + 1);
            if let Some(client) = clients[number].take() {
                client.link.cut()?;
            }
            if now - begun < plan.seconds.as_micros() as u64 {
                clients[number] = Some(Client::connect(address, number, now, &readiness)?);
            }
        }
    }
    let spent = cluster.usage()?.cpu - before;
    Ok(vec![
        Figure::higher(PER_SECOND, done as f64 * 1e6 / (last - begun).max(1) as f64),
        Figure::higher(PER_CPU_SECOND, done as f64 / spent.as_secs_f64().max(1e-2)),
        Figure::lower(P50_US, latency_us.value_at_quantile(0.5) as f64),
        Figure::lower(P99_US, latency_us.value_at_quantile(0.99) as f64),
    ])
}
