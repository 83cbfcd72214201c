//! An exhaustive check of small clusters that run the real core (`quorum`), by stateright.
//!
//! [`World`] is the model: nodes with virtual disks, a network that reorders, loses and repeats, processes that die, and
//! an operator. [`Bounds`] says how much of that one run covers, [`Law`] what must hold, [`Mutant`] which bugs can be
//! planted to see that the laws catch them. The README of this crate says what a clean run proves.

mod audit;
mod bounds;
mod clock;
mod log;
mod mutant;
mod network;
mod node;
mod oracle;
mod plan;
mod run;
mod seen;
mod shared;
mod state;
mod turn;
mod world;

pub use bounds::{Begin, Bounds, Change, PreVotes};
pub use clock::Span;
pub use log::{Entry, Payload, VirtualLog};
pub use mutant::Mutant;
pub use network::{Network, Packet};
pub use node::{Disk, Node};
pub use oracle::{History, Law, Violation};
pub use plan::{caught_by, full, large, slice};
pub use run::{Outcome, Search, search};
pub use seen::{Seen, Sight};
pub use shared::Shared;
pub use state::{Happening, Left, State, Step, Waiting};
pub use world::World;
