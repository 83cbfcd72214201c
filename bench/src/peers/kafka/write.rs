//! One write that waits until it is acknowledged, by whoever leads the partition at that moment.
use super::client::Client;
use super::payload::{LARGE, Payload, Template};
use super::topic::{Topic, describe};
use crate::peers::server::Cluster;
use anyhow::{Context, Result, ensure};
use kafka_wire::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use kafka_wire::{ApiKey, Bytes, ErrorCode, Str, Uuid};
use log::Codec;
use std::time::Duration;

const TIMEOUT_MS: i32 = 30_000;
/// A node that does not answer for so long is given up. One that has ended refuses at once.
const PATIENCE: Duration = Duration::from_secs(10);
const ALL: i16 = -1;

/// A record to write to the first partition of a topic.
pub(super) struct Write {
    name: Str,
    records: Bytes,
}

/// Where a partition is led.
pub(super) struct Leader {
    pub(super) node: usize,
    topic_id: Uuid,
    client: Client,
}

impl Write {
    pub(super) fn new(cluster: &Cluster, topic: &str) -> Result<Write> {
        let payload = Payload { record_bytes: LARGE, codec: Codec::None };
        let template = Template::with_records(cluster.clock(), payload, 1)?;
        Ok(Write { name: topic.into(), records: template.batch.to_bytes() })
    }

    /// A record for a topic that exists.
    pub(super) fn to(cluster: &Cluster, topic: &Topic) -> Result<Write> {
        Write::new(cluster, topic.name.as_str())
    }

    /// Asks a node who leads, and connects to that one.
    pub(super) fn find_leader(&self, cluster: &Cluster, ask: usize) -> Result<Leader> {
        let addresses = cluster.kafka();
        let mut client = Client::open_within(addresses[ask], PATIENCE)?;
        let description = describe(&mut client, self.name.as_str())?;
        let partition = description.topic.partitions.first().context("the topic has a partition")?;
        let node = description.node(cluster, partition.leader_id).context("the partition has no leader")?;
        let client = Client::open_within(addresses[node], PATIENCE)?;
        Ok(Leader { node, topic_id: description.topic.topic_id, client })
    }

    /// Writes with acks=all; the offset that the record got.
    pub(super) fn send(&self, leader: &mut Leader) -> Result<i64> {
        let data = PartitionProduceData { index: 0, records: Some(self.records.clone()) };
        let topic = TopicProduceData {
            name: self.name.clone(),
            topic_id: leader.topic_id,
            partition_data: vec![data],
        };
        let request = ProduceRequest {
            acks: ALL,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let response: ProduceResponse = leader.client.ask(ApiKey::Produce, &request)?;
        let topic = response.responses.first().context("an answer for the topic")?;
        let partition = topic.partition_responses.first().context("an answer for the partition")?;
        ensure!(partition.error_code == ErrorCode::NONE, "writing: {:?}", partition.error_code);
        Ok(partition.base_offset)
    }
}
