//! A topic of one run: made for it, spread over the nodes, and deleted behind it.
use super::client::Client;
use crate::peers::server::Cluster;
use anyhow::{Context, Result, ensure};
use kafka_wire::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use kafka_wire::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use kafka_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use kafka_wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use kafka_wire::{ApiKey, ErrorCode, Str, Uuid};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Between two questions whether something has happened; longer for what takes longer, so that the questions cost little.
const PAUSE_US: u64 = 5_000;
const PAUSES: u64 = 20;
const PATIENCE_US: u64 = 120_000_000;
const TIMEOUT_MS: i32 = 60_000;
/// Of ListOffsets: the end of the log.
const LATEST: i64 = -1;
/// What a run wrote leaves the disk soon after it, so that the next one finds the page cache as this one did.
const DELETE_DELAY_MS: &str = "1000";

/// A topic that takes writes.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Str,
    pub(super) id: Uuid,
    /// The node that leads each partition, counted from 0.
    pub(super) leaders: Vec<usize>,
}

impl Topic {
    /// Makes a topic with a replica of each partition on every node and waits until all partitions take writes.
    pub(super) fn create(cluster: &Cluster, name: &str, partitions: usize) -> Result<Topic> {
        let mut client = Client::open(first(cluster)?)?;
        request_creation(&mut client, cluster.kafka().len(), name, partitions)?;
        Topic::wait(cluster, name, partitions)
    }

    /// Waits until every partition has all its replicas in sync and its leader answers for it.
    fn wait(cluster: &Cluster, name: &str, partitions: usize) -> Result<Topic> {
        let mut client = Client::open(first(cluster)?)?;
        let begun = crate::now_us(cluster.clock());
        let topic = loop {
            let description = describe(&mut client, name)?;
            if let Some(topic) = Topic::complete(cluster, description, partitions) {
                break topic;
            }
            let waited = crate::now_us(cluster.clock()) - begun;
            ensure!(waited < PATIENCE_US, "the topic {name} is not complete");
            std::thread::sleep(pause(waited));
        };
        for (node, address) in cluster.kafka().iter().enumerate() {
            let mut leader = Client::open(*address)?;
            while !topic.leads(&mut leader, node)? {
                let waited = crate::now_us(cluster.clock()) - begun;
                ensure!(waited < PATIENCE_US, "the topic {name} does not take writes");
                std::thread::sleep(pause(waited));
            }
        }
        Ok(topic)
    }

    /// The topic, if all its replicas are in sync.
    fn complete(cluster: &Cluster, description: Description, partitions: usize) -> Option<Topic> {
        let metadata = &description.topic;
        if metadata.error_code != ErrorCode::NONE || metadata.partitions.len() != partitions {
            return None;
        }
        let mut leaders = vec![None; partitions];
        for partition in &metadata.partitions {
            if partition.error_code != ErrorCode::NONE || partition.isr_nodes.len() != cluster.kafka().len() {
                return None;
            }
            let index = usize::try_from(partition.partition_index).ok()?;
            *leaders.get_mut(index)? = description.node(cluster, partition.leader_id);
        }
        let leaders = leaders.into_iter().collect::<Option<_>>()?;
        Some(Topic { name: metadata.name.as_ref()?.detached(), id: metadata.topic_id, leaders })
    }

    /// Whether a node answers as leader of all partitions that it leads.
    fn leads(&self, client: &mut Client, node: usize) -> Result<bool> {
        let partitions: Vec<ListOffsetsPartition> = self
            .led_by(node)
            .map(|index| ListOffsetsPartition {
                partition_index: index,
                timestamp: LATEST,
                ..ListOffsetsPartition::default()
            })
            .collect();
        if partitions.is_empty() {
            return Ok(true);
        }
        let topic = ListOffsetsTopic { name: self.name.clone(), partitions };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let response: ListOffsetsResponse = client.ask(ApiKey::ListOffsets, &request)?;
        let mut answered = response.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(answered.all(|partition| partition.error_code == ErrorCode::NONE))
    }

    /// The partitions that a node leads.
    pub(super) fn led_by(&self, node: usize) -> impl Iterator<Item = i32> {
        self.leaders.iter().zip(0..).filter(move |(leader, _)| **leader == node).map(|(_, index)| index)
    }

    /// Deletes the topic and waits until no node knows it.
    pub(super) fn delete(self, cluster: &Cluster) -> Result<()> {
        let mut client = Client::open(first(cluster)?)?;
        let state = DeleteTopicState { name: Some(self.name.clone()), ..DeleteTopicState::default() };
        let request =
            DeleteTopicsRequest { topics: vec![state], topic_names: Vec::new(), timeout_ms: TIMEOUT_MS };
        let response: DeleteTopicsResponse = client.ask(ApiKey::DeleteTopics, &request)?;
        let error = response.responses.first().context("an answer for the topic")?.error_code;
        ensure!(error == ErrorCode::NONE, "deleting {}: {error:?}", self.name.as_str());
        let begun = crate::now_us(cluster.clock());
        while describe(&mut client, self.name.as_str())?.topic.error_code == ErrorCode::NONE {
            let waited = crate::now_us(cluster.clock()) - begun;
            ensure!(waited < PATIENCE_US, "the topic {} does not go", self.name.as_str());
            std::thread::sleep(pause(waited));
        }
        Ok(())
    }
}

/// How long to wait for what has not happened in `waited` microseconds.
fn pause(waited: u64) -> Duration {
    Duration::from_micros((waited / PAUSES).max(PAUSE_US))
}

/// The address of the first node.
pub(super) fn first(cluster: &Cluster) -> Result<SocketAddr> {
    cluster.kafka().first().copied().context("a cluster has nodes")
}

/// Asks for a topic; it may not take writes yet when this returns.
pub(super) fn request_creation(
    client: &mut Client,
    replicas: usize,
    name: &str,
    partitions: usize,
) -> Result<()> {
    let delay =
        CreatableTopicConfig { name: "file.delete.delay.ms".into(), value: Some(DELETE_DELAY_MS.into()) };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: i32::try_from(partitions)?,
        replication_factor: i16::try_from(replicas)?,
        configs: vec![delay],
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, ..Default::default() };
    let response: CreateTopicsResponse = client.ask(ApiKey::CreateTopics, &request)?;
    let topic = response.topics.first().context("an answer for the topic")?;
    ensure!(
        topic.error_code == ErrorCode::NONE,
        "creating {name}: {:?} {:?}",
        topic.error_code,
        topic.error_message
    );
    Ok(())
}

/// What a node knows of a topic.
pub(super) struct Description {
    pub(super) topic: MetadataResponseTopic,
    /// The port of each broker, by its id.
    ports: HashMap<i32, i32>,
}

impl Description {
    /// The node that a broker id stands for, counted from 0.
    pub(super) fn node(&self, cluster: &Cluster, broker: i32) -> Option<usize> {
        node_at(cluster, *self.ports.get(&broker)?)
    }
}

/// The node with a port.
pub(super) fn node_at(cluster: &Cluster, port: i32) -> Option<usize> {
    cluster.kafka().iter().position(|address| i32::from(address.port()) == port)
}

/// Asks a node for what it knows of a topic.
pub(super) fn describe(client: &mut Client, name: &str) -> Result<Description> {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let response: MetadataResponse = client.ask(ApiKey::Metadata, &request)?;
    let ports = response.brokers.iter().map(|broker| (broker.node_id, broker.port)).collect();
    let topic = response.topics.into_iter().next().context("an answer for the topic")?;
    Ok(Description { topic, ports })
}
