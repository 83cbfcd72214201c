//! Runs workloads turn by turn: ours, the peer's, ours, the peer's.
//!
//! Workloads that follow each other and want the same warm clusters share them. Both sides are warmed up by the workload itself before
//! its turns count, the peer for longer, because its code is compiled while it runs. A workload that fails is reported and left out;
//! the clusters that it may have spoiled are not used again.
use super::figures::{Figure, PER_SECOND};
use super::server::{Cluster, Context, Kind, Variant};
use super::store::{Record, Store};
use super::workload::{Plan, State, Workload};
use anyhow::{Context as _, Result};
use base::Clock;
use std::time::Duration;

/// Background work of the last turn (a snapshot, a collection of garbage) shouldn't count for the next.
const SETTLE: Duration = Duration::from_millis(200);

/// How long things take.
struct Lengths {
    turn: Duration,
    /// The peer's warm-up by the first workload of a cluster, and by the later ones.
    peer_first: Duration,
    peer_later: Duration,
    ours: Duration,
}

const FULL: Lengths = Lengths {
    turn: Duration::from_secs(2),
    peer_first: Duration::from_secs(12),
    peer_later: Duration::from_secs(2),
    ours: Duration::from_secs(1),
};
const QUICK: Lengths = Lengths {
    turn: Duration::from_millis(1_500),
    peer_first: Duration::from_secs(10),
    peer_later: Duration::from_secs(1),
    ours: Duration::from_millis(500),
};

/// The clusters that workloads share.
struct Pair {
    key: (Kind, usize, Variant),
    ours: Cluster,
    theirs: Option<Cluster>,
    warmed: bool,
}

impl Pair {
    fn start(context: &Context, workload: &Workload) -> Result<Pair> {
        let ours = Cluster::start(context, Kind::Zoolog, workload.nodes, workload.variant)?;
        let theirs = has_peer(workload)
            .then(|| Cluster::start(context, workload.peer, workload.nodes, workload.variant))
            .transpose()?;
        Ok(Pair { key: key(workload), ours, theirs, warmed: false })
    }
}

fn key(workload: &Workload) -> (Kind, usize, Variant) {
    (workload.peer, workload.nodes, workload.variant)
}

fn has_peer(workload: &Workload) -> bool {
    workload.peer != Kind::Zoolog
}

/// Runs workloads and keeps their figures.
pub(crate) struct Alternation<'a> {
    context: &'a Context,
    quick: bool,
    pair: Option<Pair>,
    turns: usize,
}

impl<'a> Alternation<'a> {
    pub(crate) fn new(context: &'a Context, quick: bool) -> Alternation<'a> {
        Alternation { context, quick, pair: None, turns: 0 }
    }

    fn lengths(&self) -> &'static Lengths {
        if self.quick { &QUICK } else { &FULL }
    }

    /// Measures one workload and puts its figures into the store.
    pub(crate) fn measure(&mut self, workload: &Workload, store: &mut Store) -> Result<()> {
        let rate = match &workload.half_of {
            None => None,
            Some(other) => {
                let whole = store.peer_median(other, PER_SECOND);
                Some(whole.with_context(|| format!("{other} is not measured yet"))? / 2.0)
            }
        };
        let mut record = Record::new(workload, self.quick, self.context.clock.wall_ms());
        match workload.state {
            State::Warm => self.warm(workload, rate, &mut record)?,
            State::Fresh | State::Prepared => self.fresh(workload, rate, &mut record)?,
        }
        store.put(record);
        Ok(())
    }

    fn warm(&mut self, workload: &Workload, rate: Option<f64>, record: &mut Record) -> Result<()> {
        let lengths = self.lengths();
        // The pair comes back only after a success.
        let pair = self.pair.take().filter(|pair| pair.key == key(workload));
        let mut pair = match pair {
            Some(pair) => pair,
            None => Pair::start(self.context, workload)?,
        };
        self.turn(workload, &mut pair.ours, lengths.ours, rate).context("warming up ours")?;
        if let Some(theirs) = &mut pair.theirs {
            let length = if pair.warmed { lengths.peer_later } else { lengths.peer_first };
            self.turn(workload, theirs, length, rate).context("warming up the peer")?;
        }
        pair.warmed = true;
        for _ in 0..workload.rounds {
            record.ours.push(self.shown_turn(workload, &mut pair.ours, rate)?);
            if let Some(theirs) = &mut pair.theirs {
                record.theirs.push(self.shown_turn(workload, theirs, rate)?);
            }
        }
        self.pair = Some(pair);
        Ok(())
    }

    fn fresh(&mut self, workload: &Workload, rate: Option<f64>, record: &mut Record) -> Result<()> {
        // Other clusters would share memory and processors with those that are looked at.
        self.pair = None;
        for _ in 0..workload.rounds {
            record.ours.push(self.fresh_turn(workload, Kind::Zoolog, rate)?);
            if has_peer(workload) {
                record.theirs.push(self.fresh_turn(workload, workload.peer, rate)?);
            }
        }
        Ok(())
    }

    fn fresh_turn(&mut self, workload: &Workload, kind: Kind, rate: Option<f64>) -> Result<Vec<Figure>> {
        let start = if workload.state == State::Fresh { Cluster::start } else { Cluster::prepare };
        let mut cluster = start(self.context, kind, workload.nodes, workload.variant)?;
        self.shown_turn(workload, &mut cluster, rate)
    }

    fn shown_turn(
        &mut self,
        workload: &Workload,
        cluster: &mut Cluster,
        rate: Option<f64>,
    ) -> Result<Vec<Figure>> {
        // What the last turn left to the system to write would be written in this one, and its server would pay for the other's files.
        rustix::fs::sync();
        std::thread::sleep(SETTLE);
        let figures = self.turn(workload, cluster, self.lengths().turn, rate)?;
        let shown: Vec<String> =
            figures.iter().map(|figure| format!("{} {:.1}", figure.name, figure.value)).collect();
        eprintln!("  {:?}: {}", cluster.kind(), shown.join(", "));
        Ok(figures)
    }

    fn turn(
        &mut self,
        workload: &Workload,
        cluster: &mut Cluster,
        seconds: Duration,
        rate: Option<f64>,
    ) -> Result<Vec<Figure>> {
        self.turns += 1;
        let plan = Plan { seconds, rate, turn: self.turns };
        let figures = (workload.run)(cluster, &plan).with_context(|| format!("{:?}", cluster.kind()))?;
        cluster.check()?;
        Ok(figures)
    }
}
