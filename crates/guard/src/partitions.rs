//! Produce and fetch from frame to frame, through the door of Kafka.
use crate::batches;
use crate::client::Client;
use crate::counting::Rounds;
use crate::node::Brokerage;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kafka_wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use kafka_wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::{ApiKey, ErrorCode, Message, RequestHeader, Response, decode_response, encode_request};
use std::path::Path;
use uuid::Uuid;

/// Partitions of the topic; a fetch names all of them.
const PARTITIONS: i32 = 10;
/// Produce requests of a round, as many as Kafka's producer has on their way.
const IN_FLIGHT: usize = 5;
const PRODUCES: Rounds = Rounds { warm: 20, counted: 100 };
const FETCHES: Rounds = Rounds { warm: 20, counted: 200 };
const TIMEOUT_MS: i32 = 30_000;
const FETCH_BYTES_MAX: i32 = 1 << 20;

/// A node with a topic, and a client of it.
struct Setting {
    node: Brokerage,
    client: Client,
    topic_id: Uuid,
}

impl Setting {
    fn new(folder: &Path) -> Result<Setting> {
        let node = Brokerage::start(folder)?;
        let mut client = node.runtime.block_on(Client::connect(node.address))?;
        let topic = CreatableTopic {
            name: "guard".into(),
            num_partitions: PARTITIONS,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, ..Default::default() };
        let request = frame(ApiKey::CreateTopics, &request)?;
        let mut answers = node.runtime.block_on(async {
            client.send(&request).await?;
            client.receive(1).await
        })?;
        let answer = answers.pop().context("an answer")?;
        let Response::CreateTopics(response) = read::<CreateTopicsRequest>(ApiKey::CreateTopics, answer)?
        else {
            anyhow::bail!("no answer to CreateTopics");
        };
        let created = response.topics.first().context("an answer for the topic")?;
        ensure!(created.error_code == ErrorCode::NONE, "creating the topic: {:?}", created.error_code);
        Ok(Setting { topic_id: created.topic_id, node, client })
    }

    fn produce_frame(&self, partition: i32) -> Result<Vec<u8>> {
        let data = PartitionProduceData { index: partition, records: Some(batches::sample()?) };
        let topic = TopicProduceData {
            topic_id: self.topic_id,
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: 1,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        frame(ApiKey::Produce, &request)
    }

    /// A fetch of every partition from its start, outside of a session.
    fn fetch_frame(&self) -> Result<Vec<u8>> {
        let partitions = (0..PARTITIONS).map(|partition| FetchPartition {
            partition,
            fetch_offset: 0,
            partition_max_bytes: FETCH_BYTES_MAX,
            ..FetchPartition::default()
        });
        let topic =
            FetchTopic { topic_id: self.topic_id, partitions: partitions.collect(), ..FetchTopic::default() };
        let request = FetchRequest {
            max_wait_ms: TIMEOUT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES_MAX,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        frame(ApiKey::Fetch, &request)
    }

    /// In each round sends these requests, so many, and has the node answer them.
    fn run(
        &mut self,
        rounds: &Rounds,
        requests: &[u8],
        count: usize,
        check: impl Fn(Bytes) -> Result<()>,
    ) -> Result<()> {
        let runtime = &self.node.runtime;
        rounds.run(
            &mut self.client,
            |client, _| runtime.block_on(client.send(requests)),
            |client, ()| runtime.block_on(client.receive(count)),
            |_, answers| answers?.into_iter().try_for_each(&check),
        )
    }
}

/// A batch from a client's frame to the log, and the answer.
pub(crate) fn produce(folder: &Path) -> Result<u64> {
    let mut setting = Setting::new(folder)?;
    let requests = setting.produce_frame(0)?.repeat(IN_FLIGHT);
    setting.run(&PRODUCES, &requests, IN_FLIGHT, produced)?;
    Ok((PRODUCES.counted * IN_FLIGHT) as u64)
}

/// The newest batches of several partitions to a consumer.
pub(crate) fn fetch(folder: &Path) -> Result<u64> {
    let mut setting = Setting::new(folder)?;
    for partition in 0..PARTITIONS {
        let request = setting.produce_frame(partition)?;
        setting.run(&Rounds { warm: 1, counted: 0 }, &request, 1, produced)?;
    }
    let request = setting.fetch_frame()?;
    let bytes = batches::sample()?.len() * PARTITIONS.unsigned_abs() as usize;
    setting.run(&FETCHES, &request, 1, |answer| fetched(answer, bytes))?;
    Ok(FETCHES.counted as u64)
}

fn produced(answer: Bytes) -> Result<()> {
    let Response::Produce(response) = read::<ProduceRequest>(ApiKey::Produce, answer)? else {
        anyhow::bail!("no answer to Produce");
    };
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let mut errors = partitions.map(|partition| partition.error_code);
    let error = errors.next().context("an answer for the partition")?;
    ensure!(error == ErrorCode::NONE, "producing: {error:?}");
    Ok(())
}

fn fetched(answer: Bytes, bytes: usize) -> Result<()> {
    let Response::Fetch(response) = read::<FetchRequest>(ApiKey::Fetch, answer)? else {
        anyhow::bail!("no answer to Fetch");
    };
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let found: usize = partitions.filter_map(|partition| partition.records.as_ref()).map(|it| it.len()).sum();
    ensure!(found == bytes, "{found} bytes of records came, not {bytes}");
    Ok(())
}

/// A request in its newest version.
fn frame<M: Message>(api: ApiKey, request: &M) -> Result<Vec<u8>> {
    let version = M::VERSIONS.max;
    let header = RequestHeader { api, version, correlation_id: 1, client_id: Some("guard".into()) };
    Ok(encode_request(&header, request)?.concat())
}

/// The answer to a request that [`frame`] made.
fn read<M: Message>(api: ApiKey, answer: Bytes) -> Result<Response> {
    Ok(decode_response(api, M::VERSIONS.max, answer)?.1)
}
