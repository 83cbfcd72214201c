//! The committed offsets of one group, and when they expire.
//!
//! Pure bookkeeping: the store writes the records that are asked for here and applies them once they are committed.
use crate::groups::group::{Group, State};
use crate::groups::records::{GroupRecord, OffsetValue};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Topic to partition to offset.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, OffsetValue>>,
}

impl Offsets {
    /// The offset of a partition.
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&OffsetValue> {
        self.topics.get(topic)?.get(&partition)
    }

    /// Everything, ordered by topic and partition.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, &OffsetValue)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, value)| (topic, *partition, value))
        })
    }

    /// Whether nothing is committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Applies a record: an offset, or its removal.
    pub(crate) fn apply(&mut self, topic: Arc<str>, partition: i32, value: Option<OffsetValue>) {
        match value {
            Some(value) => {
                self.topics.entry(topic).or_default().insert(partition, value);
            }
            None => {
                if let Some(partitions) = self.topics.get_mut(&topic) {
                    partitions.remove(&partition);
                    if partitions.is_empty() {
                        self.topics.remove(&topic);
                    }
                }
            }
        }
    }

    /// The tombstones that remove everything.
    pub(crate) fn tombstones(&self, group_id: &Arc<str>) -> Vec<GroupRecord> {
        self.iter().map(|(topic, partition, _)| tombstone(group_id, topic, partition)).collect()
    }

    /// The tombstones of what has expired at `now` (milliseconds since the epoch), and whether that is all there is.
    /// Offsets of topics that the group consumes never expire.
    pub(crate) fn expired(&self, group: &Group, now: i64, retention_ms: i64) -> (Vec<GroupRecord>, bool) {
        let Some(basis) = ExpiryBasis::of(group) else {
            return (Vec::new(), self.is_empty());
        };
        let mut all = true;
        let mut records = Vec::new();
        for (topic, partition, value) in self.iter() {
            if !group.is_subscribed_to(topic) && basis.is_expired(value, now, retention_ms) {
                records.push(tombstone(&group.id, topic, partition));
            } else {
                all = false;
            }
        }
        (records, all)
    }
}

/// The removal of one offset.
pub(crate) fn tombstone(group_id: &Arc<str>, topic: &Arc<str>, partition: i32) -> GroupRecord {
    GroupRecord::Offset { group_id: group_id.clone(), topic: topic.clone(), partition, value: None }
}

/// From when on an offset's retention counts (KIP-211).
enum ExpiryBasis {
    /// From the time at which the group became empty, or its commit where that is unknown.
    EmptySince(Option<i64>),
    /// From its own commit.
    Commit,
}

impl ExpiryBasis {
    /// None while the group's state forbids expiry.
    fn of(group: &Group) -> Option<ExpiryBasis> {
        if group.protocol_type.is_none() {
            // Nobody ever joined: the offsets are those of a client that assigns its partitions itself.
            return Some(ExpiryBasis::Commit);
        }
        match group.state {
            State::Empty => Some(ExpiryBasis::EmptySince(group.state_since)),
            State::Stable if group.uses_consumer_protocol() && group.subscribed.is_some() => {
                Some(ExpiryBasis::Commit)
            }
            _ => None,
        }
    }

    fn is_expired(&self, value: &OffsetValue, now: i64, retention_ms: i64) -> bool {
        if let Some(at) = value.expires_at {
            return now >= at;
        }
        let since = match self {
            ExpiryBasis::EmptySince(since) => since.unwrap_or(value.committed_at),
            ExpiryBasis::Commit => value.committed_at,
        };
        now.saturating_sub(since) >= retention_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::group::Now;
    use std::collections::BTreeSet;

    const WEEK_MS: i64 = 7 * 24 * 3_600_000;

    fn value(committed_at: i64, expires_at: Option<i64>) -> OffsetValue {
        OffsetValue { offset: 1, leader_epoch: -1, metadata: "".into(), committed_at, expires_at }
    }

    fn group(state: State, protocol_type: Option<&str>) -> Group {
        let mut group = Group::new("g".into(), Now { monotonic: 0, wall: 1_000 });
        group.state = state;
        group.protocol_type = protocol_type.map(Arc::from);
        group
    }

    fn offsets(values: &[(&str, OffsetValue)]) -> Offsets {
        let mut offsets = Offsets::default();
        for (topic, value) in values {
            offsets.apply(Arc::from(*topic), 0, Some(value.clone()));
        }
        offsets
    }

    #[test]
    fn kafka_2_23_offsets_expire_a_retention_after_the_group_empties() {
        let offsets = offsets(&[("t", value(0, None))]);
        let mut empty = group(State::Empty, Some("consumer"));
        empty.subscribed = Some(BTreeSet::new());
        let (records, all) = offsets.expired(&empty, 1_000 + WEEK_MS - 1, WEEK_MS);
        assert_eq!((records.len(), all), (0, false));
        let (records, all) = offsets.expired(&empty, 1_000 + WEEK_MS, WEEK_MS);
        assert_eq!((records, all), (vec![tombstone(&"g".into(), &"t".into(), 0)], true));
    }

    #[test]
    fn offsets_without_members_ever_expire_by_their_commit() {
        let offsets = offsets(&[("old", value(0, None)), ("new", value(10, None))]);
        let (records, all) = offsets.expired(&group(State::Empty, None), WEEK_MS, WEEK_MS);
        assert_eq!((records.len(), all), (1, false));
    }

    #[test]
    fn a_stable_group_keeps_what_it_consumes() {
        let offsets = offsets(&[("consumed", value(0, None)), ("left", value(0, None))]);
        let mut stable = group(State::Stable, Some("consumer"));
        stable.subscribed = Some(BTreeSet::from(["consumed".into()]));
        let (records, all) = offsets.expired(&stable, WEEK_MS, WEEK_MS);
        assert_eq!((records, all), (vec![tombstone(&"g".into(), &"left".into(), 0)], false));
        let other = group(State::Stable, Some("connect"));
        assert_eq!(offsets.expired(&other, WEEK_MS, WEEK_MS), (vec![], false));
    }

    #[test]
    fn an_expiry_that_the_client_set_goes_before_the_retention() {
        let offsets = offsets(&[("t", value(0, Some(50)))]);
        let empty = group(State::Empty, None);
        assert_eq!(offsets.expired(&empty, 49, WEEK_MS).0.len(), 0);
        assert_eq!(offsets.expired(&empty, 50, WEEK_MS).0.len(), 1);
    }
}
