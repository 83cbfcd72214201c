//! Writes a data folder with one log of everything that the format has, for Apache's DumpLogSegments to judge.
//!
//! `sample_folder DIR` makes `DIR/sample-0`: all codecs, two producers, several segments and epochs, tombstones,
//! control records, and a compaction over half of it.
use base::World;
use log::{
    BatchBuilder, CleanupPolicy, Codec, Compression, Log, LogConfig, LogDir, LogOptions, Origin,
    RecordHeader, TailBudget, TopicPartition,
};
use std::error::Error;
use std::path::PathBuf;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(std::env::args().nth(1).ok_or("usage: sample_folder DIR")?);
    let world = World::system();
    let dir = LogDir::open(world.clone(), &path)?;
    dir.identify(0, Some("4L6g3nShT-eMCtK--X86sw"))?;
    let partition = TopicPartition::new("sample", 0);
    let log = Log::open(LogOptions {
        world: world.clone(),
        dir: dir.partition_dir(&partition),
        partition: partition.clone(),
        config: LogConfig {
            segment_bytes: 16 << 10,
            index_interval_bytes: 512,
            cleanup: CleanupPolicy { delete: false, compact: true },
            ..LogConfig::default()
        },
        clean_shutdown: dir.was_clean(),
        recovery_point: 0,
        log_start_offset: 0,
        high_watermark: 0,
        tail: TailBudget::new(1 << 20, 1 << 20),
    })?;
    dir.write_partition_metadata(log.dir(), uuid::Uuid::from_u128(0xfeed))?;
    fill(&log, &world)?;
    log.clean(&log.cleanable(None)?, 1 << 20)?;
    fill(&log, &world)?;
    log.close()?;
    dir.mark_clean()?;
    Ok(())
}

fn fill(log: &Log, world: &World) -> Result<(), Box<dyn Error>> {
    let epoch = log.latest_epoch().unwrap_or(0);
    let mut sequence = log.producer(7).map_or(0, |entry| entry.last_sequence() + 1);
    for round in 0..200i64 {
        let codec = CODECS[(round % 5) as usize];
        let mut builder = BatchBuilder::new(0).compression(Compression::new(codec));
        if round % 3 == 0 {
            builder = builder.producer(7, 0, sequence);
            sequence += 4;
        }
        for record in 0..4i64 {
            let key = format!("key-{}", (round * 7 + record) % 50);
            let value = format!("value {record} of round {round}, padded {}", "to some length ".repeat(5));
            let value = (round % 11 != 0).then_some(value.as_bytes());
            let headers = [
                RecordHeader { key: b"trace", value: Some(b"on") },
                RecordHeader { key: b"empty", value: None },
            ];
            builder.append(world.clock.wall_ms() + round, Some(key.as_bytes()), value, &headers)?;
        }
        log.append(builder.build()?, epoch + (round / 60) as i32, Origin::Client)?;
    }
    let mut control = BatchBuilder::new(0).control();
    // A snapshot header control record (type 3) with an empty value of version 0.
    control.append(
        world.clock.wall_ms(),
        Some(&[0, 0, 0, 3]),
        Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        &[],
    )?;
    log.append(control.build()?, log.latest_epoch().unwrap_or(0), Origin::Coordinator)?;
    log.advance_high_watermark(log.log_end_offset());
    Ok(())
}
