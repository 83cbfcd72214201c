//! The follower's half of a fetch session (KIP-227): what the leader was told, so that only what changed is said again.
//!
//! Invariants: the leader's session holds exactly `known`, unless a request was lost, after which the session begins anew; up to two
//! requests are under way, the second only to make the leader answer the first at once, and for each the positions are known that
//! it was answered by.
use kafka_wire::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A partition by topic id and number.
pub(crate) type Key = (Uuid, i32);

/// What the leader is asked for, for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) leader_epoch: i32,
    pub(crate) offset: i64,
    pub(crate) last_epoch: i32,
    pub(crate) log_start: i64,
    pub(crate) max_bytes: i32,
}

/// The session's part of a request.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) topics: Vec<FetchTopic>,
    pub(crate) forgotten: Vec<ForgottenTopic>,
}

/// A request's memory of what it replaced in the session: how its predecessor was asked.
#[derive(Debug, Default)]
pub(crate) struct Replaced(BTreeMap<Key, Option<Asked>>);

/// A session with one leader.
#[derive(Debug, Default)]
pub(crate) struct FollowerSession {
    /// The leader's name for it; 0 while there is none.
    id: i32,
    /// The epoch of the next request.
    epoch: i32,
    known: BTreeMap<Key, Asked>,
}

impl FollowerSession {
    /// Whether a request may follow another one that is under way.
    pub(crate) fn is_established(&self) -> bool {
        self.id != 0 && self.epoch > 0
    }

    /// Whether the leader was told of no partition.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Begins anew: everything has to be said again, and the leader drops the old session with the next request.
    pub(crate) fn restart(&mut self) {
        self.epoch = 0;
        self.known.clear();
    }

    /// Takes in what partitions should be asked from now on (none: not at all), and says what the leader must hear of it.
    pub(crate) fn next(&mut self, wanted: BTreeMap<Key, Option<Asked>>) -> (Delta, Replaced) {
        let mut delta = Delta { session_id: self.id, session_epoch: self.epoch, ..Delta::default() };
        let mut replaced = Replaced::default();
        for (key, asked) in wanted {
            let before = self.known.get(&key).copied();
            if before == asked {
                continue;
            }
            replaced.0.insert(key, before);
            match asked {
                Some(asked) => {
                    self.known.insert(key, asked);
                    push_topic(&mut delta.topics, key, asked);
                }
                None => {
                    self.known.remove(&key);
                    push_forgotten(&mut delta.forgotten, key);
                }
            }
        }
        if self.is_established() {
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
        (delta, replaced)
    }

    /// The leader has answered under a session id; 0 if it keeps no session for us.
    pub(crate) fn answered(&mut self, id: i32) {
        if id == 0 {
            self.id = 0;
            self.restart();
        } else if self.epoch == 0 {
            self.id = id;
            self.epoch = 1;
        }
    }

    /// How a partition was asked for in a request; `later` is what the request behind it replaced, if there is one.
    pub(crate) fn asked(&self, key: &Key, later: Option<&Replaced>) -> Option<Asked> {
        match later.and_then(|later| later.0.get(key)) {
            Some(before) => *before,
            None => self.known.get(key).copied(),
        }
    }
}

/// Keys come in order, so that a topic's partitions are neighbours.
fn push_topic(topics: &mut Vec<FetchTopic>, (topic_id, partition): Key, asked: Asked) {
    let partition = FetchPartition {
        partition,
        current_leader_epoch: asked.leader_epoch,
        fetch_offset: asked.offset,
        last_fetched_epoch: asked.last_epoch,
        log_start_offset: asked.log_start,
        partition_max_bytes: asked.max_bytes,
        ..FetchPartition::default()
    };
    match topics.last_mut().filter(|topic| topic.topic_id == topic_id) {
        Some(topic) => topic.partitions.push(partition),
        None => topics.push(FetchTopic { topic_id, partitions: vec![partition], ..FetchTopic::default() }),
    }
}

fn push_forgotten(topics: &mut Vec<ForgottenTopic>, (topic_id, partition): Key) {
    match topics.last_mut().filter(|topic| topic.topic_id == topic_id) {
        Some(topic) => topic.partitions.push(partition),
        None => {
            topics.push(ForgottenTopic { topic_id, partitions: vec![partition], ..ForgottenTopic::default() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: i32) -> Key {
        (Uuid::from_u128(7), index)
    }

    fn at(offset: i64) -> Option<Asked> {
        Some(Asked { leader_epoch: 1, offset, last_epoch: 0, log_start: 0, max_bytes: 100 })
    }

    fn said(delta: &Delta) -> (i32, i32, Vec<(i32, i64)>, Vec<i32>) {
        let topics = delta.topics.iter().flat_map(|topic| &topic.partitions);
        let forgotten = delta.forgotten.iter().flat_map(|topic| &topic.partitions);
        (
            delta.session_id,
            delta.session_epoch,
            topics.map(|partition| (partition.partition, partition.fetch_offset)).collect(),
            forgotten.copied().collect(),
        )
    }

    #[test]
    fn only_changes_are_said_once_there_is_a_session() {
        let mut session = FollowerSession::default();
        let (delta, _) = session.next([(key(0), at(0)), (key(1), at(5))].into());
        assert_eq!(said(&delta), (0, 0, vec![(0, 0), (1, 5)], vec![]));
        assert!(!session.is_established());
        session.answered(42);
        let (delta, _) = session.next([(key(0), at(3)), (key(1), at(5))].into());
        assert_eq!(said(&delta), (42, 1, vec![(0, 3)], vec![]));
        let (delta, _) = session.next([(key(1), None), (key(2), None)].into());
        assert_eq!(said(&delta), (42, 2, vec![], vec![1]));
        session.restart();
        let (delta, _) = session.next([(key(0), at(3))].into());
        assert_eq!(said(&delta), (42, 0, vec![(0, 3)], vec![]), "the old session is named, so that it ends");
        session.answered(0);
        let (delta, _) = session.next([(key(0), at(3))].into());
        assert_eq!(said(&delta), (0, 0, vec![(0, 3)], vec![]), "without a session everything is said again");
    }

    #[test]
    fn a_request_is_answered_by_the_positions_of_its_time() {
        let mut session = FollowerSession::default();
        session.next([(key(0), at(0)), (key(1), at(0))].into());
        session.answered(42);
        let (_, later) = session.next([(key(0), at(9)), (key(2), at(1))].into());
        assert_eq!(session.asked(&key(0), Some(&later)), at(0));
        assert_eq!(session.asked(&key(1), Some(&later)), at(0));
        assert_eq!(session.asked(&key(2), Some(&later)), None);
        assert_eq!(session.asked(&key(0), None), at(9));
    }
}
