//! Partitions and their replication, delayed fetches, producer ids and group coordination: Kafka's broker without its sockets.
//!
//! The door `kafka` calls a [`Broker`] with requests in domain terms and gets replies in the same; versions, frames and
//! authorization are the door's. Nothing here knows znode paths: what exists comes from the controller's view, and the
//! znode log is one more source of records behind [`znodes::ZnodeFeed`].
mod broker;
mod fetch;
pub mod groups;
mod internal_topics;
pub mod mutants;
mod partition;
mod partitions;
mod producer_ids;
mod replication;
mod requests;
mod source;
mod suppliers;
#[cfg(test)]
mod tests;
mod waiters;
pub mod znodes;

pub use broker::{Broker, BrokerOptions, StartError};
pub use internal_topics::{Created, InternalTopics, NewTopic};
pub use kafka_wire::{ErrorCode, Records};
pub use producer_ids::{InitProducerId, ProducerIdBlock, ProducerIdBlocks, ProducerIdentity};
pub use replication::{AlteredIsr, InSyncReplicas};
pub use requests::{
    Acks, DeleteRecords, DeletedRecords, EpochEnd, EpochEndRequest, FetchPartition, FetchReply, FetchRequest,
    FetchedPartition, Isolation, ListOffset, ListedOffset, LogDirDescription, ProducePartition,
    ProduceRequest, ProducedPartition, Replica, ReplicaSize, TopicKey,
};
