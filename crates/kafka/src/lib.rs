//! Door 9092: frames, versions and one file per Kafka API.
//!
//! The way of a request: `ports` lets the connection in, `connection` reads a frame (within `budget`), `api` decodes it; `exchange` has it
//! answered by the ensemble (`quorum` says which those are) or by the handler of its API, which translates it for `broker` or
//! `controller` and their answer back; `connection` writes the response as it was encoded, records in place.
//!
//! A node is opened in two phases: [`open`] answers the other nodes and holds clients, [`OpenDoor::serve`] lets clients in. It is closed in
//! the reverse order.
//!
//! This crate knows nothing of znode paths or ZooKeeper sessions, and keeps no state of the domain.
mod api;
mod budget;
mod connection;
mod door;
mod entrance;
mod errors;
mod exchange;
mod in_process;
mod limits;
mod outgoing;
mod ports;
mod quorum;

pub use door::{DoorStats, Node, OpenDoor, PeerGate, RunningDoor, open};
pub use in_process::{InProcess, InProcessConnection};
pub use ports::{BindError, BoundListener, bind};
