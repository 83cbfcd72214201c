//! A consumer group's commits: one offset after another for each partition, and now and then a look at what the coordinator has.
//!
//! Invariants: a commit is sent again until it is acknowledged, before the next one; an offset that was acknowledged is never forgotten,
//! whoever coordinates the group by then.
use super::agent::Ask;
use super::{PARTITIONS, TOPIC};
use crate::nodes::dice::Dice;
use kafka_wire::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::offset_fetch::OffsetFetchRequestTopic;
use kafka_wire::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};
use kafka_wire::{ErrorCode, Request, Response, Str};
use std::collections::{BTreeMap, BTreeSet};

const COMMIT_VERSION: i16 = 7;
const FETCH_VERSION: i16 = 5;
const FIND_VERSION: i16 = 2;
/// Errors after which the coordinator is looked for, and the request is sent again.
const RETRIED: [ErrorCode; 6] = [
    ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode::COORDINATOR_NOT_AVAILABLE,
    ErrorCode::NOT_COORDINATOR,
    ErrorCode::REQUEST_TIMED_OUT,
    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode::KAFKA_STORAGE_ERROR,
];

/// What was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Coordinator,
    Commit(i32, i64),
    Fetch(i32),
}

/// The group's only member.
pub(super) struct Committer {
    group: String,
    coordinator: Option<usize>,
    asked: Asked,
    /// A commit that is not acknowledged yet.
    pending: Option<(i32, i64)>,
    /// The last acknowledged offset of each partition.
    committed: BTreeMap<i32, i64>,
    next_ms: u64,
    rests: bool,
    acknowledged: u64,
    /// The partitions whose offset was seen again since it rests.
    looked_at: BTreeSet<i32>,
}

impl Committer {
    pub(super) fn new(id: usize) -> Committer {
        Committer {
            group: format!("group{id}"),
            coordinator: None,
            asked: Asked::Coordinator,
            pending: None,
            committed: BTreeMap::new(),
            next_ms: 0,
            rests: false,
            acknowledged: 0,
            looked_at: BTreeSet::new(),
        }
    }

    pub(super) fn rest(&mut self) {
        self.rests = true;
    }

    /// Whether nothing is pending and every offset was seen again.
    pub(super) fn is_done(&self) -> bool {
        self.pending.is_none() && self.looked_at.len() == PARTITIONS as usize
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The connection broke: the coordinator may be another one.
    pub(super) fn forget_coordinator(&mut self) {
        self.coordinator = None;
    }

    pub(super) fn next(&mut self, dice: &mut Dice, now_ms: u64) -> Option<(Option<usize>, Ask)> {
        let Some(coordinator) = self.coordinator else {
            self.asked = Asked::Coordinator;
            let request =
                FindCoordinatorRequest { key: Str::from(self.group.as_str()), ..Default::default() };
            return Some((None, (Request::FindCoordinator(request), FIND_VERSION)));
        };
        let partition = dice.index(PARTITIONS as usize) as i32;
        if self.pending.is_none() && (self.rests || dice.chance(200)) {
            let unseen = (0..PARTITIONS).find(|one| !self.looked_at.contains(one));
            let partition = if self.rests { unseen? } else { partition };
            self.asked = Asked::Fetch(partition);
            return Some((Some(coordinator), self.fetch(partition)));
        }
        if self.pending.is_none() {
            if now_ms < self.next_ms {
                return None;
            }
            self.next_ms = now_ms + dice.below(80);
            let before = self.committed.get(&partition).copied().unwrap_or(0);
            self.pending = Some((partition, before + 1));
        }
        let (partition, offset) = self.pending?;
        self.asked = Asked::Commit(partition, offset);
        Some((Some(coordinator), self.commit(partition, offset)))
    }

    fn commit(&self, partition: i32, offset: i64) -> Ask {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: Str::from(TOPIC),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: Str::from(self.group.as_str()),
            topics: vec![topic],
            ..Default::default()
        };
        (Request::OffsetCommit(request), COMMIT_VERSION)
    }

    fn fetch(&self, partition: i32) -> Ask {
        let topic = OffsetFetchRequestTopic { name: Str::from(TOPIC), partition_indexes: vec![partition] };
        let request = OffsetFetchRequest {
            group_id: Str::from(self.group.as_str()),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        (Request::OffsetFetch(request), FETCH_VERSION)
    }

    /// Takes an answer; false if it is to be asked again after a pause.
    pub(super) fn hear(&mut self, response: Response) -> Result<bool, String> {
        let error = match (&response, self.asked) {
            (Response::FindCoordinator(found), Asked::Coordinator) => {
                self.coordinator = match found.error_code {
                    ErrorCode::NONE => usize::try_from(found.node_id).ok(),
                    _ => None,
                };
                found.error_code
            }
            (Response::OffsetCommit(committed), Asked::Commit(partition, offset)) => {
                let answer = committed.topics.iter().flat_map(|topic| &topic.partitions).next();
                let answer = answer.ok_or_else(|| format!("{} got an answer about nothing", self.group))?;
                if answer.error_code == ErrorCode::NONE {
                    self.pending = None;
                    self.committed.insert(partition, offset);
                    self.acknowledged += 1;
                }
                answer.error_code
            }
            (Response::OffsetFetch(fetched), Asked::Fetch(partition)) => {
                let answer = fetched.topics.iter().flat_map(|topic| &topic.partitions).next();
                let error = answer.map_or(fetched.error_code, |answer| answer.error_code);
                let error = if fetched.error_code == ErrorCode::NONE { error } else { fetched.error_code };
                if error == ErrorCode::NONE {
                    self.compare(partition, answer.map_or(-1, |answer| answer.committed_offset))?;
                }
                error
            }
            (response, asked) => return Err(format!("{} asked {asked:?} and got {response:?}", self.group)),
        };
        if error == ErrorCode::NONE {
            return Ok(true);
        }
        self.coordinator = None;
        match RETRIED.contains(&error) {
            true => Ok(false),
            false => Err(format!("{} asked {:?} and is refused with {error:?}", self.group, self.asked)),
        }
    }

    /// Nobody else commits, and nothing is pending while this is asked.
    fn compare(&mut self, partition: i32, offset: i64) -> Result<(), String> {
        let known = self.committed.get(&partition).copied().unwrap_or(-1);
        if offset != known {
            return Err(format!("{} committed {known} for {partition}, but is told {offset}", self.group));
        }
        if self.rests {
            self.looked_at.insert(partition);
        }
        Ok(())
    }
}
