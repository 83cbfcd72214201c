//! Kafka's half of the workload: idempotent producers with acks=all and consumers, which speak the wire's own frames to the real door,
//! and the laws by which they are judged.
mod agent;
mod committer;
mod consumer;
mod judge;
mod producer;
mod tally;

pub(super) use agent::{Agent, FIRST_CLIENT};
pub(super) use judge::judge;
pub(super) use tally::Tally;

/// The topic of the workload.
pub(super) const TOPIC: &str = "sim";
/// How many partitions it has.
pub(super) const PARTITIONS: i32 = 2;
