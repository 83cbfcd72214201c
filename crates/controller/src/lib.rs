//! Owns Kafka's znode layout, decides leaders and publishes an immutable ClusterView.

pub mod config;
