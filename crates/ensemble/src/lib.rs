//! Drives quorum, log and tree together: the order of writes, their commit, sessions, watches, snapshots.
//!
//! The walk of a write: [`Session::submit`] -> `sequencer` (tree.prepare, the next zxid, one batch) -> `writer` (one write, one flush) -> `consensus`
//! (high watermark) -> `applier` (tree.apply, watch events, the answer). ARCHITECTURE.md tells it in full.
//!
//! This crate knows no topic but `__znodes` and no socket. Whoever serves a protocol hands in a [`Subscriber`] and gets events and
//! answers in the order of the log.
mod applier;
mod asks;
mod background;
mod census;
mod client;
mod config;
mod consensus;
mod control;
mod coordinator;
mod core;
mod ensemble;
mod fetched;
mod forwarder;
mod forwards;
mod install;
mod links;
mod mutant;
mod outcome;
mod pace;
mod records;
mod sequencer;
mod serve;
mod sessions;
mod snapshot;
mod start;
mod subscriber;
mod topic;
mod upcoming;
mod vote_file;
mod watches;
mod wire;
mod writer;
mod znode_log;

pub use census::Census;
pub use client::EmbeddedClient;
pub use config::{ClusterConfig, ConfiguredVoter, EnsembleConfig};
pub use coordinator::{Answer, Coordinator, CoordinatorError, Write, Written};
pub use ensemble::{ConnectError, ConnectParams, Connected, Ensemble, Mode, ReadView, Session, Status};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use outcome::{Completion, OpResult, Outcome, Refusal};
pub use start::{RunningEnsemble, StartError};
pub use subscriber::{Closed, Subscriber, WatchEvent};
pub use topic::{ZNODES_TOPIC, ZnodeProduceError, ZnodeProduced, ZnodeRead, ZnodeReadError, ZnodeTopic};
pub use watches::{WatchKind, WatcherId, WatcherType, Watches};
