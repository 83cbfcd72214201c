//! Door 2181: frames, sessions' connections, reply order and four-letter words.
//!
//! [`bind`] opens the port, [`serve`] begins to serve it. Each client has one outbox (`connection`), into which the ensemble puts
//! answers and watch events in the order of the tree, and while it is not idle (`resting`) one task (`serving`). What a frame asks for is
//! judged in `request`; `reads` answers from the tree at one moment, `writes` from what became of a transaction. `words` are
//! the four-letter words, `door` holds the listener and its limits.
//!
//! Invariant: this crate knows the client protocol and nothing of topics, offsets or the log.
mod auth;
mod config;
mod connection;
mod door;
mod frames;
mod opcode;
mod opening;
mod reads;
mod reply;
mod request;
mod resting;
mod serving;
mod stats;
mod summary;
mod words;
mod writes;

pub use config::{DEFAULT_CLIENT_PORT, QuorumView, ZooKeeperConfig};
pub use door::{BindError, BoundPort, RunningDoor, VERSION, bind, serve};
pub use words::Whitelist;
