//! A state of the search, and what can happen in it. Invariant: states that will behave alike are equal, as far as the
//! model knows.

use super::clock::Span;
use super::network::{Asker, Network};
use super::node::Node;
use super::oracle::{History, Violation};
use super::shared::Shared;

/// A request that a node has taken and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiting {
    /// The node that has to answer.
    pub(crate) at: i32,
    /// Its number for the request.
    pub(crate) number: u64,
    /// Who waits; nobody when the asker has given up, or is an operator.
    pub(crate) asker: Option<Asker>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    pub(crate) writes: u8,
    pub(crate) crashes: u8,
    pub(crate) losses: u8,
    pub(crate) repeats: u8,
    pub(crate) resigns: u8,
    pub(crate) timeouts: Option<u8>,
    /// One bit for each change of the voters.
    pub(crate) changes: u8,
}

/// One state of the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) nodes: Vec<Shared<Node>>,
    pub(crate) network: Network,
    /// In order.
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) history: Shared<History>,
    pub(crate) left: Left,
    /// Set by the action that broke a law; nothing happens after it.
    pub(crate) violation: Option<Violation>,
}

impl State {
    /// The nodes in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.iter().map(|node| &**node)
    }

    /// What was committed, and who led.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Which law was broken, if an action broke one.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The place of node `id` in `nodes`.
    pub(crate) fn place(id: i32) -> usize {
        usize::try_from(id - 1).expect("node ids begin at 1")
    }
}

/// What can happen next. Places are those in the state that it happens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A packet arrives; of a fetch response the first `batches` batches.
    Deliver {
        /// The place of the packet in the network.
        packet: usize,
        /// How many batches it brings.
        batches: usize,
    },
    /// A packet arrives and will arrive again.
    Repeat {
        /// The place of the packet in the network.
        packet: usize,
    },
    /// The asker learns that no answer comes.
    Fail {
        /// The place of the packet in the network.
        packet: usize,
        /// The other side's host refused the connection.
        refused: bool,
        /// The request is not lost; it will arrive late.
        late: bool,
    },
    /// The asker gives up a request that the other side holds back.
    GiveUp {
        /// The place among those that wait.
        waiting: usize,
    },
    /// A timer goes off.
    Tick {
        /// Where.
        node: i32,
        /// How far the clock has got.
        span: Span,
    },
    /// A flush ends.
    Flush {
        /// Where.
        node: i32,
        /// How many batches it covers; those that were appended after it began aren't flushed.
        batches: usize,
    },
    /// A client's entry is appended.
    Write {
        /// Where.
        node: i32,
    },
    /// An operator asks for a change of the voters.
    Change {
        /// Whom.
        node: i32,
        /// The place among the changes of the bounds.
        change: usize,
    },
    /// The process dies and starts again.
    Crash {
        /// Where.
        node: i32,
        /// How many of the batches that weren't flushed survive.
        kept: usize,
    },
}

/// Something that happens, perhaps not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// What.
    pub step: Step,
    /// The process dies after so many of the step's actions, and starts again with so many of its unflushed batches.
    pub dies: Option<(usize, usize)>,
}
