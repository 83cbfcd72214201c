//! When a node serves: it gives a ZooKeeper client a session, and tells a Kafka client of all brokers.
use super::server::{Cluster, Kind};
use super::zk::session::Session;
use crate::connection::Connection;
use anyhow::{Result, ensure};
use kafka_wire::ApiKey;
use kafka_wire::messages::metadata::{MetadataRequest, MetadataResponse};
use std::net::SocketAddr;
use std::time::Duration;

const PATIENCE_US: u64 = 90_000_000;
const PAUSE: Duration = Duration::from_millis(20);
/// A version that all servers have and that has no tagged fields.
const METADATA_VERSION: i16 = 5;

/// Waits until `node` serves, in a cluster of which `running` nodes run.
pub(super) fn wait(cluster: &mut Cluster, node: usize, running: usize) -> Result<()> {
    let (zookeeper, kafka) = (cluster.zookeeper()[node], cluster.kafka()[node]);
    let begun = crate::now_us(cluster.clock());
    loop {
        cluster.check()?;
        let serves = match cluster.kind() {
            Kind::Zoolog => zookeeper_serves(zookeeper).and_then(|()| kafka_serves(kafka, running)),
            Kind::ZooKeeper => zookeeper_serves(zookeeper),
            Kind::Kafka => kafka_serves(kafka, running),
        };
        match serves {
            Ok(()) => return Ok(()),
            Err(error) if crate::now_us(cluster.clock()) - begun > PATIENCE_US => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn zookeeper_serves(address: SocketAddr) -> Result<()> {
    Session::try_open(address)?.close()
}

fn kafka_serves(address: SocketAddr, brokers: usize) -> Result<()> {
    let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    let mut connection = Connection::open(address)?;
    let response: MetadataResponse = connection.ask(ApiKey::Metadata, METADATA_VERSION, &request)?;
    ensure!(response.brokers.len() == brokers, "{} of {brokers} brokers are there", response.brokers.len());
    Ok(())
}
