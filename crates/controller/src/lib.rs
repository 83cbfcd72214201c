//! Owns Kafka's znode layout, decides leaders and publishes an immutable [`view::ClusterView`].
//!
//! `layout` is every path and payload; `follower` turns znodes into the view; `election` and `reassignment` judge partitions, `duties` says
//! what the controller has to write, `executor` writes it, `guarded` under which condition; `registration` is what a node writes of itself
//! and `live` one session of it all; `isr` is what the leaders of partitions write themselves; `admin` is what Kafka's administrative
//! requests come down to; `config` knows every setting.
//!
//! This crate knows nothing of segments or sockets, and of coordination only the client API ([`ensemble::Coordinator`]).
pub mod admin;
pub mod config;
mod controller;
mod duties;
mod election;
mod executor;
mod follower;
mod guarded;
mod isr;
pub mod layout;
mod live;
mod reassignment;
mod registration;
pub mod view;

pub use controller::{Connecting, Connector, Controller, ControllerOptions};
pub use isr::{IsrChange, IsrError};
pub use view::ClusterView;
