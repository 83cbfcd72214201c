//! What a server costs before it does anything much: start, idle memory, memory under load, and what 2,000 partitions add.
use super::client::Client;
use super::consume::Consume;
use super::meter::Meter;
use super::topic::{Topic, first, request_creation};
use super::write::Write;
use crate::peers::figures::{Figure, RSS_MIB, RSS_PEAK_MIB, TOOK_MS};
use crate::peers::server::Cluster;
use crate::peers::workload::Plan;
use anyhow::{Result, ensure};
use std::time::Duration;

/// The time until a topic's partitions all take writes.
pub(super) const CREATE_MS: &str = "ms to create";
/// Processor time of all nodes while nobody asks for anything, as a part of one processor.
pub(super) const IDLE_CPU: &str = "idle CPU %";

const MIB: f64 = 1_048_576.0;
const PAUSE: Duration = Duration::from_millis(2);
const START_PATIENCE_US: u64 = 90_000_000;
/// What a server does behind a start or a creation has ended after this.
const SETTLE: Duration = Duration::from_secs(3);
/// Processor time is counted in ticks of 10 ms, so that an idle server is watched for longer than a turn takes.
const IDLE_TURNS: u32 = 3;
/// Memory grows to what a load needs only after a while.
const LOAD_TURNS: u32 = 5;

/// From the start of the processes to the first acknowledged write, to a topic that is created for it.
pub(super) fn start(cluster: &mut Cluster, _plan: &Plan) -> Result<Vec<Figure>> {
    cluster.spawn()?;
    loop {
        let now = crate::now_us(cluster.clock());
        match first_write(cluster) {
            Ok(()) => break,
            Err(error) if now - cluster.spawned_us() > START_PATIENCE_US => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
        cluster.check()?;
    }
    let took = crate::now_us(cluster.clock()) - cluster.spawned_us();
    Ok(vec![Figure::lower(TOOK_MS, took as f64 / 1e3)])
}

fn first_write(cluster: &Cluster) -> Result<()> {
    const NAME: &str = "start";
    let write = Write::new(cluster, NAME)?;
    let mut leader = match write.find_leader(cluster, 0) {
        Ok(leader) => leader,
        Err(_) => {
            let mut client = Client::open_within(first(cluster)?, SETTLE)?;
            request_creation(&mut client, cluster.kafka().len(), NAME, 1)?;
            write.find_leader(cluster, 0)?
        }
    };
    write.send(&mut leader).map(drop)
}

/// Memory after one topic and one write, when all is quiet.
pub(super) fn idle(cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
    let topic = Topic::create(cluster, "idle", 1)?;
    let write = Write::to(cluster, &topic)?;
    write.send(&mut write.find_leader(cluster, 0)?)?;
    std::thread::sleep(SETTLE);
    let meter = Meter::start(cluster)?;
    std::thread::sleep(plan.seconds * IDLE_TURNS);
    let cpu = percent(&meter, cluster)?;
    cluster.check()?;
    Ok(vec![rss(cluster)?, Figure::lower(IDLE_CPU, cpu)])
}

/// Memory at the end of a load of producers and consumers.
pub(super) fn loaded(load: &Consume, cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
    let topic = Topic::create(cluster, "loaded", load.produce.partitions)?;
    let (mut traffic, ahead) = load.traffic(cluster, &topic)?;
    load.follow(cluster, &mut traffic, ahead, plan.seconds * LOAD_TURNS)?;
    cluster.check()?;
    let peak = cluster.usage()?.rss_peak as f64 / MIB;
    Ok(vec![rss(cluster)?, Figure::lower(RSS_PEAK_MIB, peak)])
}

/// How long many partitions take to come, and what they cost while nobody uses them.
pub(super) fn partitions(count: usize, cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
    let begun = crate::now_us(cluster.clock());
    let topic = Topic::create(cluster, &format!("many-{}", plan.turn), count)?;
    let took = crate::now_us(cluster.clock()) - begun;
    ensure!(topic.leaders.len() == count, "the topic has {} partitions", topic.leaders.len());
    std::thread::sleep(SETTLE);
    let meter = Meter::start(cluster)?;
    std::thread::sleep(plan.seconds * IDLE_TURNS);
    let cpu = percent(&meter, cluster)?;
    cluster.check()?;
    let figures =
        vec![Figure::lower(CREATE_MS, took as f64 / 1e3), Figure::lower(IDLE_CPU, cpu), rss(cluster)?];
    topic.delete(cluster)?;
    Ok(figures)
}

fn percent(meter: &Meter, cluster: &Cluster) -> Result<f64> {
    Ok(meter.cpu(cluster)?.as_secs_f64() / meter.elapsed(cluster).as_secs_f64() * 100.0)
}

fn rss(cluster: &Cluster) -> Result<Figure> {
    Ok(Figure::lower(RSS_MIB, cluster.usage()?.rss as f64 / MIB))
}
