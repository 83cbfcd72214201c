//! What producers, consumers and groups have in common: one request at a time, metadata, and nodes that come and go.
//!
//! Invariant: at most one request is under way; an answer on a connection that was given up is never looked at.
use super::committer::Committer;
use super::consumer::Consumer;
use super::producer::Producer;
use super::{PARTITIONS, TOPIC, Tally};
use crate::nodes::dice::Dice;
use crate::nodes::network::{Network, Parcel};
use bytes::Bytes;
use kafka_wire::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::metadata::MetadataRequestTopic;
use kafka_wire::messages::{CreateTopicsRequest, MetadataRequest, MetadataResponse};
use kafka_wire::{ApiKey, ErrorCode, Request, RequestHeader, Response, Str, decode_response};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of the first client of Kafka; those below are ZooKeeper's.
pub(in crate::nodes) const FIRST_CLIENT: usize = 100;
/// How long a client waits for an answer.
const PATIENCE_MS: u64 = 1_500;
/// How long it waits after an error.
const BACKOFF_MS: u64 = 30;
const METADATA_VERSION: i16 = 9;
const CREATE_VERSION: i16 = 6;
/// The topic's creation may take so long.
const CREATE_TIMEOUT_MS: i32 = 500;

/// A request with its version.
pub(super) type Ask = (Request, i16);

/// What an agent is for.
pub(super) enum Role {
    Producer(Producer),
    Consumer(Consumer),
    Committer(Committer),
}

struct Flight {
    api: ApiKey,
    version: i16,
    sent_ms: u64,
}

/// A client.
pub(in crate::nodes) struct Agent {
    id: usize,
    network: Arc<Network>,
    dice: Dice,
    nodes: usize,
    durable: bool,
    connection: u64,
    node: usize,
    flight: Option<Flight>,
    wait_until_ms: u64,
    /// Who leads which partition; empty if that is to be asked.
    leaders: BTreeMap<i32, usize>,
    /// The newest epoch of each partition's leader that it heard of.
    epochs: BTreeMap<i32, i32>,
    role: Role,
}

impl Agent {
    /// A producer. `durable` asks the topic to flush every append, because the machines may lose their power.
    pub(in crate::nodes) fn producer(
        id: usize,
        network: Arc<Network>,
        dice: Dice,
        nodes: usize,
        durable: bool,
    ) -> Agent {
        Agent::new(id, network, dice, nodes, durable, Role::Producer(Producer::new(id)))
    }

    /// A consumer from the beginning.
    pub(in crate::nodes) fn consumer(id: usize, network: Arc<Network>, dice: Dice, nodes: usize) -> Agent {
        Agent::new(id, network, dice, nodes, false, Role::Consumer(Consumer::default()))
    }

    /// A consumer group's commits.
    pub(in crate::nodes) fn committer(id: usize, network: Arc<Network>, dice: Dice, nodes: usize) -> Agent {
        Agent::new(id, network, dice, nodes, false, Role::Committer(Committer::new(id)))
    }

    fn new(id: usize, network: Arc<Network>, dice: Dice, nodes: usize, durable: bool, role: Role) -> Agent {
        Agent {
            id: FIRST_CLIENT + id,
            network,
            dice,
            nodes,
            durable,
            connection: 0,
            node: 0,
            flight: None,
            wait_until_ms: 0,
            leaders: BTreeMap::new(),
            epochs: BTreeMap::new(),
            role,
        }
    }

    /// No new records are produced any more.
    pub(in crate::nodes) fn rest(&mut self) {
        match &mut self.role {
            Role::Producer(producer) => producer.rest(),
            Role::Committer(committer) => committer.rest(),
            Role::Consumer(_) => {}
        }
    }

    /// Whether it has nothing unfinished: no batch without its acknowledgement, no record that is committed and not consumed.
    pub(in crate::nodes) fn is_done(&self, ends: &BTreeMap<i32, i64>) -> bool {
        match &self.role {
            Role::Producer(producer) => producer.is_idle(),
            Role::Consumer(consumer) => consumer.is_at(ends),
            Role::Committer(committer) => committer.is_done(),
        }
    }

    /// How many batches were acknowledged, or read.
    pub(in crate::nodes) fn progress(&self) -> u64 {
        match &self.role {
            Role::Producer(producer) => producer.acknowledged(),
            Role::Consumer(consumer) => consumer.consumed(),
            Role::Committer(committer) => committer.acknowledged(),
        }
    }

    /// Lets the client do what its time has come for.
    pub(in crate::nodes) fn tick(&mut self, now_ms: u64, tally: &mut Tally) {
        if let Some(flight) = &self.flight {
            if now_ms > flight.sent_ms + PATIENCE_MS {
                self.lose(now_ms);
            }
            return;
        }
        if now_ms < self.wait_until_ms {
            return;
        }
        let any = self.dice.index(self.nodes);
        if self.leaders.is_empty() {
            if let Role::Consumer(consumer) = &mut self.role {
                consumer.forget_shown();
            }
            return self.send(any, metadata(), now_ms);
        }
        let asked = match &mut self.role {
            Role::Producer(producer) => producer.next(&mut self.dice, &self.leaders, now_ms, tally),
            Role::Consumer(consumer) => consumer.next(&self.leaders, &self.epochs),
            Role::Committer(committer) => committer.next(&mut self.dice, now_ms),
        };
        match asked {
            Some((node, ask)) => self.send(node.unwrap_or(any), ask, now_ms),
            None => self.wait_until_ms = now_ms + BACKOFF_MS,
        }
    }

    /// Hears an answer; none means that the socket was closed.
    pub(in crate::nodes) fn hear(
        &mut self,
        (connection, run): (u64, u64),
        frame: Option<Bytes>,
        now_ms: u64,
        tally: &mut Tally,
    ) -> Result<(), String> {
        if connection != self.connection {
            return Ok(());
        }
        let Some(frame) = frame else {
            self.lose(now_ms);
            return Ok(());
        };
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let decoded = decode_response(flight.api, flight.version, frame);
        let (_, response) =
            decoded.map_err(|error| format!("a response to {:?} is none: {error}", flight.api))?;
        self.network.note(format_args!("kafka client {}: {}", self.id, shown(&response)));
        let went_well = match response {
            Response::Metadata(metadata) => self.learn(&metadata, now_ms),
            // Whether it worked shows in the metadata.
            Response::CreateTopics(_) => false,
            response => match &mut self.role {
                Role::Producer(producer) => producer.hear(response, tally)?,
                Role::Consumer(consumer) => consumer.hear(response, run, tally)?,
                Role::Committer(committer) => committer.hear(response)?,
            },
        };
        if !went_well {
            self.leaders.clear();
            self.wait_until_ms = self.wait_until_ms.max(now_ms + BACKOFF_MS);
        }
        Ok(())
    }

    /// Takes the partitions' leaders from the metadata, or creates the topic. As Kafka's clients do (`Metadata.updateLatestMetadata`), a
    /// consumer takes no leader of an older epoch than it heard of: a node that is cut off may still tell of one. Producers do, because a
    /// deposed leader must not acknowledge anything.
    fn learn(&mut self, metadata: &MetadataResponse, now_ms: u64) -> bool {
        let topic = metadata.topics.first();
        if topic.is_none_or(|topic| topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) {
            if matches!(self.role, Role::Producer(_)) && metadata.brokers.len() >= self.nodes.min(3) {
                let (node, request) = (self.dice.index(self.nodes), create(self.nodes, self.durable));
                self.send(node, request, now_ms);
            } else {
                self.wait_until_ms = now_ms + BACKOFF_MS;
            }
            return true;
        }
        let partitions = topic.map_or(&[][..], |topic| &topic.partitions);
        let consumes = matches!(self.role, Role::Consumer(_));
        self.leaders.clear();
        for partition in partitions {
            let (index, epoch) = (partition.partition_index, partition.leader_epoch);
            let newest = self.epochs.entry(index).or_insert(epoch);
            *newest = epoch.max(*newest);
            if let Ok(leader) = usize::try_from(partition.leader_id)
                && (epoch == *newest || !consumes)
            {
                self.leaders.insert(index, leader);
            }
        }
        // All partitions must be led, so that nobody waits for one that isn't.
        self.leaders.len() == PARTITIONS as usize
    }

    fn send(&mut self, node: usize, (request, version): Ask, now_ms: u64) {
        if node != self.node {
            self.connection += 1;
            self.node = node;
        }
        let header = RequestHeader {
            api: request.api(),
            version,
            correlation_id: 0,
            client_id: Some(Str::from(format!("client{}", self.id))),
        };
        let chunks = request.to_frame(&header).expect("the simulator builds requests that can be encoded");
        let frame = Bytes::from(chunks.concat()).slice(4..);
        self.flight = Some(Flight { api: header.api, version, sent_ms: now_ms });
        let (client, connection) = (self.id, self.connection);
        self.network.carry(Parcel::KafkaRequest { node, client, connection, frame });
    }

    fn lose(&mut self, now_ms: u64) {
        self.flight = None;
        self.connection += 1;
        self.leaders.clear();
        if let Role::Committer(committer) = &mut self.role {
            committer.forget_coordinator();
        }
        self.wait_until_ms = now_ms + BACKOFF_MS;
    }
}

/// A response as the trace shows it; records would be too long.
fn shown(response: &Response) -> String {
    match response {
        Response::Fetch(fetch) => {
            let partitions = fetch.responses.iter().flat_map(|topic| &topic.partitions);
            let shown: Vec<String> = partitions
                .map(|one| {
                    let bytes = one.records.as_ref().map_or(0, |records| records.len());
                    format!(
                        "{} {:?} hw {} {bytes} bytes",
                        one.partition_index, one.error_code, one.high_watermark
                    )
                })
                .collect();
            format!("fetched {:?} {}", fetch.error_code, shown.join(", "))
        }
        response => format!("{response:?}"),
    }
}

fn metadata() -> Ask {
    let topic = MetadataRequestTopic { name: Some(Str::from(TOPIC)), ..Default::default() };
    let request =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: false, ..Default::default() };
    (Request::Metadata(request), METADATA_VERSION)
}

fn create(nodes: usize, durable: bool) -> Ask {
    let replicas = nodes.min(3);
    let config = |name: &str, value: &str| CreatableTopicConfig {
        name: Str::from(name),
        value: Some(Str::from(value)),
    };
    let mut configs = vec![config("min.insync.replicas", if replicas > 1 { "2" } else { "1" })];
    if durable {
        configs.push(config("flush.messages", "1"));
    }
    let topic = CreatableTopic {
        name: Str::from(TOPIC),
        num_partitions: PARTITIONS,
        replication_factor: replicas as i16,
        configs,
        ..Default::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: CREATE_TIMEOUT_MS, ..Default::default() };
    (Request::CreateTopics(request), CREATE_VERSION)
}
