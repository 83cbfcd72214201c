//! Ours against the peer's: ratios turn by turn, and whether they reach a goal.
use super::figures::Better;
use super::store::{Record, median};
use super::workload::Goal;

/// One figure of one workload over all turns.
#[derive(Clone, Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) figure: &'a str,
    pub(crate) better: Better,
    /// Medians of the two sides.
    pub(crate) ours: f64,
    pub(crate) theirs: Option<f64>,
    /// Of ours to the peer's in the same turn; none without a peer, or if the peer's figure is zero.
    pub(crate) ratio: Option<Ratio>,
}

/// Ratios of all turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Ratio {
    fn of(ours: &[f64], theirs: &[f64]) -> Option<Ratio> {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        if ratios.iter().any(|ratio| !ratio.is_finite()) {
            return None;
        }
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        Some(Ratio { median: median(ratios)?, least, most })
    }

    /// How many times better ours is: the median, or its inverse where less is better.
    pub(crate) fn advantage(&self, better: Better) -> f64 {
        if better == Better::Higher { self.median } else { 1.0 / self.median.max(f64::MIN_POSITIVE) }
    }
}

/// All figures of a workload, in the order in which it gives them.
pub(crate) fn comparisons(record: &Record) -> Vec<Comparison<'_>> {
    let Some(first) = record.ours.first() else { return Vec::new() };
    let values = super::store::values;
    first
        .iter()
        .filter_map(|figure| {
            let (ours, theirs) = (values(&record.ours, &figure.name), values(&record.theirs, &figure.name));
            Some(Comparison {
                figure: &figure.name,
                better: figure.better,
                ratio: Ratio::of(&ours, &theirs),
                ours: median(ours)?,
                theirs: median(theirs),
            })
        })
        .collect()
}

/// A goal of a workload with what was measured for it.
pub(crate) struct Judged<'a> {
    pub(crate) record: &'a Record,
    pub(crate) goal: &'a Goal,
    pub(crate) better: Better,
    pub(crate) ratio: Ratio,
}

impl Judged<'_> {
    pub(crate) fn reached(&self) -> bool {
        self.share() >= 1.0
    }

    /// How much of the goal is reached: 1 is all.
    pub(crate) fn share(&self) -> f64 {
        self.ratio.advantage(self.better) / self.wanted()
    }

    /// How many times better ours should be.
    pub(crate) fn wanted(&self) -> f64 {
        if self.better == Better::Higher { self.goal.ratio } else { 1.0 / self.goal.ratio }
    }
}

/// Every goal that something was measured for.
pub(crate) fn judged(records: &[Record]) -> Vec<Judged<'_>> {
    let mut judged = Vec::new();
    for record in records {
        let comparisons = comparisons(record);
        for goal in &record.goals {
            let found = comparisons.iter().find(|comparison| comparison.figure == goal.figure);
            if let Some((better, ratio)) = found.and_then(|found| Some((found.better, found.ratio?))) {
                judged.push(Judged { record, goal, better, ratio });
            }
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::figures::Figure;
    use crate::peers::server::Kind;
    use crate::peers::workload::Workload;

    fn record() -> Record {
        let workload = Workload::new("zk/a", Kind::ZooKeeper, 1, |_, _| Ok(Vec::new()))
            .goal("fast", "speed", 2.0)
            .goal("small", "size", 1.0 / 3.0);
        let mut record = Record::new(&workload, true, 0);
        let turn = |speed, size| vec![Figure::higher("speed", speed), Figure::lower("size", size)];
        record.ours = vec![turn(30.0, 1.0), turn(50.0, 1.0), turn(10.0, 2.0)];
        record.theirs = vec![turn(10.0, 2.0), turn(20.0, 2.0), turn(10.0, 2.0)];
        record
    }

    #[test]
    fn ratios_are_of_the_same_turn() {
        let record = record();
        let comparisons = comparisons(&record);
        assert_eq!(comparisons[0].ratio, Some(Ratio { median: 2.5, least: 1.0, most: 3.0 }));
        assert_eq!((comparisons[0].ours, comparisons[0].theirs), (30.0, Some(10.0)));
    }

    #[test]
    fn goals_ask_for_more_or_for_less() {
        let records = [record()];
        let judged = judged(&records);
        assert!(judged[0].reached(), "2.5 of 2");
        assert!(!judged[1].reached(), "half instead of a third");
        assert!((judged[1].wanted() - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_peer_that_needs_nothing_gives_no_ratio() {
        let mut record = record();
        record.theirs[1][0].value = 0.0;
        assert_eq!(comparisons(&record)[0].ratio, None);
    }
}
