//! Consumer groups: the classic protocol's state machine, committed offsets, and their records in `__consumer_offsets`.
pub mod api;
mod coordinator;
mod group;
mod member;
mod offsets;
mod rebalance;
mod records;
mod shard;
#[cfg(test)]
mod tests;

pub use coordinator::{Groups, OFFSETS_TOPIC};
pub use member::Protocol;
