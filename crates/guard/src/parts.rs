//! Single parts of the way of a produced and a fetched batch: the codec, the check, the log.
use crate::batches;
use crate::counting::Rounds;
use crate::world::{self, WALL_MS};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kafka_wire::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use kafka_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::{ApiKey, Message, Records, Request, RequestHeader, Response, encode_request, read_request};
use log::{Batch, Log, LogConfig, LogOptions, Origin, Rules, TailBudget, TopicPartition, validate};
use std::path::Path;
use uuid::Uuid;

/// How often each part is gone.
const ROUNDS: Rounds = Rounds { warm: 100, counted: 1_000 };
/// Partitions of a fetch response.
const PARTITIONS: i32 = 10;
/// Memory for the newest batches.
const TAIL_BYTES: u64 = 1 << 20;

/// A produce request's frame to the batch that may be appended.
pub(crate) fn decode_produce(_: &Path) -> Result<u64> {
    let partition = PartitionProduceData { index: 0, records: Some(batches::sample()?) };
    let topic = TopicProduceData {
        topic_id: Uuid::from_u128(1),
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    let request =
        ProduceRequest { acks: 1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    let header = RequestHeader {
        api: ApiKey::Produce,
        version: ProduceRequest::VERSIONS.max,
        correlation_id: 1,
        client_id: Some("guard".into()),
    };
    let frame = Bytes::from(encode_request(&header, &request)?.concat()).slice(4..);
    let rules = Rules::new(&LogConfig::default(), WALL_MS);
    ROUNDS.run(
        &mut (),
        |(), _| Ok(frame.clone()),
        |(), frame| decode_and_validate(frame, &rules),
        |(), batch| batch.map(drop),
    )?;
    Ok(ROUNDS.counted as u64)
}

fn decode_and_validate(frame: Bytes, rules: &Rules) -> Result<Batch> {
    let (header, mut decoder) = read_request(frame)?;
    let request = Request::decode(header.api, header.version, &mut decoder)?;
    let Request::Produce(request) = request else { anyhow::bail!("no produce request") };
    let partition = request.topic_data.first().and_then(|topic| topic.partition_data.first());
    let records = partition.and_then(|partition| partition.records.as_ref()).context("records")?;
    Ok(validate(records, rules)?)
}

/// A batch to the partition's log.
pub(crate) fn append(folder: &Path) -> Result<u64> {
    let (world, clock) = world::world();
    clock.stop();
    let log = Log::open(LogOptions {
        world,
        dir: folder.join("guard-0"),
        partition: TopicPartition::new("guard", 0),
        config: LogConfig::default(),
        clean_shutdown: true,
        recovery_point: 0,
        log_start_offset: 0,
        high_watermark: 0,
        tail: TailBudget::new(TAIL_BYTES, TAIL_BYTES),
    })?;
    let rules = Rules::new(&LogConfig::default(), WALL_MS);
    let batch = validate(&batches::sample()?, &rules)?;
    ROUNDS.run(
        &mut (),
        |(), _| Ok(batch.clone()),
        |(), batch| log.append(batch, 0, Origin::Client),
        |(), info| {
            ensure!(!info?.duplicate, "the batch was taken for a repetition");
            Ok(())
        },
    )?;
    Ok(ROUNDS.counted as u64)
}

/// A fetch response with records of several partitions to its frame.
pub(crate) fn encode_fetch(_: &Path) -> Result<u64> {
    let batch = Batch::parse_one(&batches::sample()?)?;
    let head = Bytes::copy_from_slice(batch.head());
    let partitions = (0..PARTITIONS).map(|partition_index| PartitionData {
        partition_index,
        high_watermark: 16,
        last_stable_offset: 16,
        log_start_offset: 0,
        records: Some([head.clone(), batch.body().clone()].into_iter().collect::<Records>()),
        ..PartitionData::default()
    });
    let topic = FetchableTopicResponse {
        topic_id: Uuid::from_u128(1),
        partitions: partitions.collect(),
        ..FetchableTopicResponse::default()
    };
    let response = Response::from(FetchResponse { responses: vec![topic], ..FetchResponse::default() });
    let version = FetchResponse::VERSIONS.max;
    ROUNDS.run(
        &mut (),
        |(), _| Ok(response.clone()),
        |(), response| response.to_pieces(version, 1).map(|pieces| pieces.len()),
        |(), chunks| {
            ensure!(chunks? > 0, "an empty frame");
            Ok(())
        },
    )?;
    Ok(ROUNDS.counted as u64)
}
