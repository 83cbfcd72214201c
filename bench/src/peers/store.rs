//! The raw figures of all runs, in a JSON file, so that a run of some workloads adds to earlier ones and the report can be written again.
use super::figures::Figure;
use super::server::{Kind, Variant};
use super::workload::{Goal, Workload};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What was measured of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) peer: Kind,
    pub(crate) nodes: usize,
    pub(crate) variant: Variant,
    pub(crate) goals: Vec<Goal>,
    /// Whether it was measured in a short run.
    pub(crate) quick: bool,
    /// Whether the system wrote all that it held back before each turn; figures that don't say so are older than that rule.
    #[serde(default)]
    pub(crate) synced: bool,
    /// Milliseconds since 1970.
    pub(crate) measured_ms: i64,
    /// The turns of ours, each with its figures.
    pub(crate) ours: Vec<Vec<Figure>>,
    /// The turns of the peer; none if there is no peer.
    pub(crate) theirs: Vec<Vec<Figure>>,
}

impl Record {
    /// Nothing measured yet.
    pub(crate) fn new(workload: &Workload, quick: bool, measured_ms: i64) -> Record {
        Record {
            name: workload.name.clone(),
            peer: workload.peer,
            nodes: workload.nodes,
            variant: workload.variant,
            goals: workload.goals.clone(),
            quick,
            synced: true,
            measured_ms,
            ours: Vec::new(),
            theirs: Vec::new(),
        }
    }
}

/// All records, in the order in which they were first measured, and what they were measured on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Store {
    /// The machine, in a sentence.
    pub(crate) machine: String,
    /// The versions of everything, a line each.
    pub(crate) versions: Vec<String>,
    pub(crate) records: Vec<Record>,
}

impl Store {
    /// Reads the file; an empty store if there is none.
    pub(crate) fn read(path: &Path) -> Result<Store> {
        match fs::read(path) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Store::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        fs::write(path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Puts a record in the place of an earlier one of the same workload.
    pub(crate) fn put(&mut self, record: Record) {
        match self.records.iter_mut().find(|earlier| earlier.name == record.name) {
            Some(earlier) => *earlier = record,
            None => self.records.push(record),
        }
    }

    /// Forgets a workload: what it measured earlier is no longer true.
    pub(crate) fn remove(&mut self, name: &str) {
        self.records.retain(|record| record.name != name);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.name == name)
    }

    /// The median of a figure over the peer's turns.
    pub(crate) fn peer_median(&self, name: &str, figure: &str) -> Option<f64> {
        median(values(&self.get(name)?.theirs, figure))
    }
}

/// A figure in every turn that has it.
pub(crate) fn values(turns: &[Vec<Figure>], name: &str) -> Vec<f64> {
    turns.iter().flatten().filter(|figure| figure.name == name).map(|figure| figure.value).collect()
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values[low] + values[high]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_store_survives_its_file_and_a_record_replaces_the_earlier_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below").join("figures.json");
        let workload = Workload::new("zk/a", Kind::ZooKeeper, 1, |_, _| Ok(Vec::new())).goal("row", "x", 2.0);
        let mut store = Store::read(&path).expect("an empty store");
        store.put(Record::new(&workload, true, 1));
        let mut record = Record::new(&workload, false, 2);
        record.theirs = vec![vec![Figure::higher("x", 1.0)], vec![Figure::higher("x", 3.0)]];
        store.put(record);
        store.write(&path).expect("written");
        let store = Store::read(&path).expect("read");
        assert_eq!(store.records.len(), 1);
        assert_eq!(store.records[0].goals[0].ratio, 2.0);
        assert_eq!(store.peer_median("zk/a", "x"), Some(2.0));
        assert_eq!(store.peer_median("zk/a", "y"), None);
    }
}
