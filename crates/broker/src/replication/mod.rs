//! In-sync replication of partitions between brokers (KIP-101, KIP-227, KIP-279, KIP-595's truncation on fetch).
//!
//! `neighbours` is what a leader must know of the other brokers; `isr` carries proposed in-sync replicas to whoever keeps them;
//! `fetchers` decides who fetches what from whom; `fetcher` is one conversation with one leader, `session` the follower's half of its
//! fetch session; `throttle` limits both sides.
mod fetcher;
mod fetchers;
mod isr;
mod neighbours;
mod session;
mod throttle;

pub(crate) use fetchers::Fetchers;
pub use isr::{AlteredIsr, InSyncReplicas};
pub(crate) use isr::{carry_proposals, watch_lag};
pub(crate) use neighbours::Neighbours;
