//! Whole nodes in one thread: the real ensemble, controller, broker and door of Kafka, on a virtual clock, network and disk, from one seed.
//!
//! [`run`] plays a seed: nodes and clients under faults, then peace in which everything has to come back, then the laws. Whoever runs it
//! must do so in a process of its own whose random keys are the seed's, or the orders of hash tables differ from run to run; the binary
//! `nodes` does.
mod clock;
mod damage;
mod dice;
mod disk;
mod kafka;
mod mutant;
mod network;
mod node;
mod operator;
pub mod panics;
mod plan;
mod process;
mod run;
mod trace;
mod zk;

pub use mutant::Mutant;
pub use run::{Clean, Options, run};
