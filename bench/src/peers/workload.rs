//! A workload: a name, the cluster that it wants, and the function that drives one cluster and returns figures.
//!
//! The same function runs against ours and against the peer's cluster, turn by turn; it must leave the cluster fit for the next turn
//! (unless the workload asks for a fresh cluster per turn), and must fail if an answer is not what it should be.
use super::figures::Figure;
use super::server::{Cluster, Kind, Variant};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Turns of each side, unless the workload says otherwise.
pub(crate) const ROUNDS: usize = 3;

/// What a workload is told of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How long to measure, for workloads whose length can be chosen.
    pub(crate) seconds: Duration,
    /// Operations per second of an open loop: half of what the peer reached in the workload that `half_of` names.
    pub(crate) rate: Option<f64>,
    /// Different in every turn on a cluster, warm-ups included, so that names made of it are new.
    pub(crate) turn: usize,
}

/// In which state a workload wants its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Running and warmed up by the same workload; shared with other workloads.
    Warm,
    /// Started anew for each turn, and ready.
    Fresh,
    /// Prepared for each turn and not started: the workload calls [`Cluster::spawn`] itself.
    Prepared,
}

/// What the project wants of a figure: the ratio of ours to the peer's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Goal {
    /// The row of the reach that it belongs to.
    pub(crate) row: Cow<'static, str>,
    /// The name of the figure.
    pub(crate) figure: Cow<'static, str>,
    /// At least this for a figure of which more is better, at most this for the others.
    pub(crate) ratio: f64,
}

/// Drives one cluster for one turn.
pub(crate) type Run = Box<dyn Fn(&mut Cluster, &Plan) -> Result<Vec<Figure>>>;

/// One workload.
pub(crate) struct Workload {
    /// Such as `zk/create/100B/32x32/1node`; the parts before the second `/` are its group in the report.
    pub(crate) name: String,
    /// Whom ours is compared with; [`Kind::Zoolog`] if nobody else can do it.
    pub(crate) peer: Kind,
    pub(crate) nodes: usize,
    pub(crate) variant: Variant,
    pub(crate) state: State,
    pub(crate) rounds: usize,
    /// The workload half of whose rate ([`super::figures::PER_SECOND`], the peer's) is the rate of this one.
    pub(crate) half_of: Option<String>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) run: Run,
}

impl Workload {
    /// A workload on warm clusters with default settings, [`ROUNDS`] turns each.
    pub(crate) fn new(
        name: impl Into<String>,
        peer: Kind,
        nodes: usize,
        run: impl Fn(&mut Cluster, &Plan) -> Result<Vec<Figure>> + 'static,
    ) -> Workload {
        Workload {
            name: name.into(),
            peer,
            nodes,
            variant: Variant::default(),
            state: State::Warm,
            rounds: ROUNDS,
            half_of: None,
            goals: Vec::new(),
            run: Box::new(run),
        }
    }

    pub(crate) fn variant(mut self, variant: Variant) -> Workload {
        self.variant = variant;
        self
    }

    pub(crate) fn state(mut self, state: State) -> Workload {
        self.state = state;
        self
    }

    pub(crate) fn rounds(mut self, rounds: usize) -> Workload {
        self.rounds = rounds;
        self
    }

    pub(crate) fn half_of(mut self, name: impl Into<String>) -> Workload {
        self.half_of = Some(name.into());
        self
    }

    /// Adds a goal: see [`Goal`].
    pub(crate) fn goal(mut self, row: &'static str, figure: &'static str, ratio: f64) -> Workload {
        self.goals.push(Goal { row: Cow::Borrowed(row), figure: Cow::Borrowed(figure), ratio });
        self
    }
}
