//! What validating and appending cost per record on this machine, without the network.
//!
//! `append_cost DIR [SECONDS]` appends batches of several shapes and prints nanoseconds per record and MB/s.
use base::World;
use bytes::Bytes;
use log::{
    BatchBuilder, Codec, Compression, Log, LogConfig, LogOptions, Origin, ReadLimits, Rules, TailBudget,
    TopicPartition, validate,
};
use std::error::Error;
use std::path::PathBuf;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: append_cost DIR [SECONDS]")?);
    let seconds: u64 = std::env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    println!("{:28} {:>14} {:>14} {:>12}", "batch", "validate ns/rec", "append ns/rec", "append MB/s");
    for (count, size) in [(1, 100), (160, 100), (1000, 100), (16, 1024), (1000, 1024)] {
        for codec in CODECS {
            measure(&dir, seconds, count, size, codec)?;
        }
    }
    Ok(())
}

fn measure(
    dir: &std::path::Path,
    seconds: u64,
    count: usize,
    size: usize,
    codec: Codec,
) -> Result<(), Box<dyn Error>> {
    let world = World::system();
    let now = world.clock.wall_ms();
    let mut builder = BatchBuilder::new(0).compression(Compression::new(codec));
    for record in 0..count {
        // Half of every value repeats, so that codecs have something to do and something to find.
        let value: Vec<u8> =
            (0..size).map(|at| if at % 2 == 0 { b'x' } else { (at * 31 + record * 17) as u8 }).collect();
        builder.append(now, None, Some(&value), &[])?;
    }
    let bytes: Bytes = builder.build()?.to_bytes();
    let rules = Rules::new(&LogConfig { max_message_bytes: 16 << 20, ..LogConfig::default() }, now);
    let folder = dir.join("cost-0");
    let log = Log::open(LogOptions {
        world: world.clone(),
        dir: folder.clone(),
        partition: TopicPartition::new("cost", 0),
        config: LogConfig::default(),
        clean_shutdown: false,
        recovery_point: 0,
        log_start_offset: 0,
        high_watermark: 0,
        tail: TailBudget::new(8 << 20, 8 << 20),
    })?;
    let clock = &world.clock;
    let (mut rounds, started) = (0u64, clock.monotonic_us());
    while clock.monotonic_us() - started < seconds * 1_000_000 / 2 {
        validate(&bytes, &rules)?;
        rounds += 1;
    }
    let validating = per_record(clock.monotonic_us() - started, rounds, count);
    let (mut rounds, started) = (0u64, clock.monotonic_us());
    while clock.monotonic_us() - started < seconds * 1_000_000 / 2 {
        let batch = validate(&bytes, &rules)?;
        let end = log.append(batch, 0, Origin::Client)?.log_end_offset;
        log.advance_high_watermark(end);
        log.read(end - 1, ReadLimits { max_bytes: 1 << 20, at_least_one: true, until: end })?;
        rounds += 1;
    }
    let took = clock.monotonic_us() - started;
    let label = format!("{count} x {size} B {codec:?}");
    let rate = rounds * bytes.len() as u64 / took.max(1);
    println!("{label:28} {validating:>14.1} {:>14.1} {rate:>12}", per_record(took, rounds, count));
    drop(log);
    world.disk.remove_dir_all(&folder)?;
    Ok(())
}

fn per_record(us: u64, rounds: u64, count: usize) -> f64 {
    us as f64 * 1000.0 / (rounds.max(1) as f64 * count as f64)
}
