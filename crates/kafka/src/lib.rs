//! Door 9092: frames, versions and one file per Kafka API.
//!
//! The way of a request: `door` admits the connection, `connection` reads a frame (within `budget`), `api` decodes it and
//! hands it to the handler of its API, which translates it for `broker` or `controller` and their answer back; `connection`
//! writes the response as it was encoded, records in place.
//!
//! This crate knows nothing of znode paths or ZooKeeper sessions, and keeps no state of the domain.
mod api;
mod budget;
mod connection;
mod door;
mod errors;
mod limits;

pub use door::{BindError, BoundListener, DoorStats, Node, RunningDoor, bind, serve};
