//! Owns quotas: `/zookeeper/quota<path>/zookeeper_limits` limits the subtree at `path`, `zookeeper_stats` beside it
//! counts it (`Quotas`, `StatsTrack`). Invariants: from the creation of a stats node on, its counts are those of its
//! subtree less deeper quotas' changes, whether quotas are enforced or not, as long as the limits node stays; the root
//! and `/zookeeper` have no quota.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::TreeError;
use crate::path;
use crate::pending::{DataState, NodeState, Pending};
use crate::tree::Tree;

const LIMITS_SUFFIX: &str = "/zookeeper_limits";
const STATS_SUFFIX: &str = "/zookeeper_stats";
const COUNT: &str = "count";
const COUNT_HARD: &str = "countHardLimit";
const BYTES: &str = "bytes";
const BYTES_HARD: &str = "byteHardLimit";

/// Whether the node limits a subtree.
pub(crate) fn is_limits(path: &str) -> bool {
    counted_by(path, LIMITS_SUFFIX).is_some()
}

/// The subtree that a `zookeeper_stats` node counts.
pub(crate) fn counted_by_stats(path: &str) -> Option<&str> {
    counted_by(path, STATS_SUFFIX)
}

fn counted_by<'a>(path: &'a str, suffix: &str) -> Option<&'a str> {
    let top = path.strip_prefix(path::QUOTA)?.strip_suffix(suffix)?;
    (top.starts_with('/') && !path::is_within(top, path::ZOOKEEPER)).then_some(top)
}

/// The path of the `zookeeper_stats` node of a subtree.
pub(crate) fn stats_path(top: &str) -> Arc<str> {
    format!("{}{top}{STATS_SUFFIX}", path::QUOTA).into()
}

/// The deepest subtree with limits that holds the node.
pub(crate) fn top_with_limits<'a>(tree: &Tree, pending: &Pending, path: &'a str) -> Option<&'a str> {
    if !pending.may_have_quota(tree) || path::is_within(path, path::ZOOKEEPER) {
        return None;
    }
    let mut top = path;
    let mut limits = String::with_capacity(path::QUOTA.len() + path.len() + LIMITS_SUFFIX.len());
    while top.len() > 1 {
        limits.clear();
        limits.extend([path::QUOTA, top, LIMITS_SUFFIX]);
        if pending.exists(tree, &limits) {
            return Some(top);
        }
        top = top.rsplit_once('/')?.0;
    }
    None
}

/// How much a transaction adds to a subtree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: i64,
    pub(crate) count: i64,
}

/// Refuses a write that would exceed a hard limit (`ZooKeeperServer.checkQuota`). `already` is what earlier ops of the
/// same multi add and the stats node doesn't show yet.
pub(crate) fn check(
    tree: &Tree,
    pending: &Pending,
    top: &str,
    already: Usage,
    change: Usage,
) -> Result<(), TreeError> {
    let limits_path = format!("{}{top}{LIMITS_SUFFIX}", path::QUOTA);
    let Some(limits) = track_at(tree, pending, &limits_path) else {
        return Ok(());
    };
    let Some(used) = track_at(tree, pending, &stats_path(top)) else {
        return Ok(());
    };
    let exceeds = |hard: &str, soft: &str, already: i64, change: i64| {
        let limit = limits.value(hard);
        change != 0 && limit > -1 && used.value(soft) + already + change > limit
    };
    if exceeds(COUNT_HARD, COUNT, already.count, change.count)
        || exceeds(BYTES_HARD, BYTES, already.bytes, change.bytes)
    {
        return Err(TreeError::QuotaExceeded);
    }
    Ok(())
}

/// The data of a stats node after a change of its subtree; none if there is no such node.
pub(crate) fn updated(tree: &Tree, pending: &Pending, stats: &str, change: Usage) -> Option<Bytes> {
    let mut track = track_at(tree, pending, stats)?;
    track.set(COUNT, track.value(COUNT).saturating_add(change.count));
    track.set(BYTES, track.value(BYTES).saturating_add(change.bytes));
    Some(track.to_bytes())
}

/// The data of a new stats node: what the subtree holds, the changes in flight included.
pub(crate) fn counted(tree: &Tree, pending: &Pending, top: &str) -> Bytes {
    let mut usage = Usage::default();
    if let Some(id) = tree.find(top) {
        for node in tree.subtree(id) {
            usage.count += 1;
            usage.bytes += node.data_length() as i64;
        }
    }
    for (path, state) in pending.nodes_within(top) {
        let applied = tree.get(path).map(|node| node.data().map_or(0, <[u8]>::len));
        let in_flight = state.map(NodeState::data_length);
        usage.count += i64::from(in_flight.is_some()) - i64::from(applied.is_some());
        usage.bytes += in_flight.unwrap_or(0) as i64 - applied.unwrap_or(0) as i64;
    }
    let mut track = StatsTrack::default();
    track.set(COUNT, usage.count);
    track.set(BYTES, usage.bytes);
    track.to_bytes()
}

fn track_at(tree: &Tree, pending: &Pending, path: &str) -> Option<StatsTrack> {
    let state = pending.node(tree, path)?;
    Some(match &state.data {
        DataState::InFlight(data) => StatsTrack::parse(data.as_deref().unwrap_or_default()),
        DataState::Applied(_) => {
            StatsTrack::parse(tree.get(path).and_then(|node| node.data()).unwrap_or_default())
        }
    })
}

/// The text of limits and stats nodes: `count=1,bytes=2` and, for the rest, `=;key=value` (the odd `=` lets readers
/// before 3.5 skip it). What can't be read counts as absent; Apache's server fails on it.
#[derive(Debug, Default, PartialEq, Eq)]
struct StatsTrack(BTreeMap<String, i64>);

impl StatsTrack {
    fn parse(data: &[u8]) -> StatsTrack {
        let text = String::from_utf8_lossy(data);
        let pair = |text: &str| {
            let mut parts = text.split('=');
            let key = parts.next().filter(|key| !key.is_empty())?;
            let value = parts.next()?.trim().parse().ok()?;
            Some((key.to_owned(), value))
        };
        StatsTrack(text.split([',', ';']).filter_map(pair).collect())
    }

    /// The value, or -1 if it isn't there.
    fn value(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    fn set(&mut self, key: &str, value: i64) {
        self.0.insert(key.to_owned(), value);
    }

    fn to_bytes(&self) -> Bytes {
        let mut text = format!("{COUNT}={},{BYTES}={}", self.value(COUNT), self.value(BYTES));
        let mut others = self.0.iter().filter(|(key, _)| *key != COUNT && *key != BYTES).peekable();
        if others.peek().is_some() {
            text.push('=');
        }
        for (key, value) in others {
            text.push_str(&format!(";{key}={value}"));
        }
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zk_3_33_text_of_quota_nodes() {
        for text in
            ["count=-1,bytes=-1", "count=1,bytes=2=;byteHardLimit=3;countHardLimit=4", "count=5,bytes=6"]
        {
            assert_eq!(StatsTrack::parse(text.as_bytes()).to_bytes(), text);
        }
        let odd = StatsTrack::parse(b"count=x,,;bytes=7,=8,junk");
        assert_eq!((odd.value(COUNT), odd.value(BYTES)), (-1, 7));
        assert_eq!(StatsTrack::parse(b"\xff").to_bytes(), "count=-1,bytes=-1");
    }

    #[test]
    fn zk_3_33_paths_of_quota_nodes() {
        assert!(is_limits("/zookeeper/quota/a/b/zookeeper_limits"));
        assert!(!is_limits("/zookeeper/quota/zookeeper_limits"), "the root has no quota");
        assert!(!is_limits("/zookeeper/quotas/a/zookeeper_limits"));
        assert!(!is_limits("/a/zookeeper_limits"));
        assert_eq!(counted_by_stats("/zookeeper/quota/a/b/zookeeper_stats"), Some("/a/b"));
        assert_eq!(&*stats_path("/a"), "/zookeeper/quota/a/zookeeper_stats");
    }
}
