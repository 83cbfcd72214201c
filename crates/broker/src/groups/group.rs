//! A classic consumer group: its members, its state, and who may do what to it. `rebalance` holds the moves.
//!
//! The group is a pure state machine: time is passed in, replies and writes come out as [`Effects`].
//!
//! ```text
//!            join                all joined, or time is up            leader's assignment stored
//!   Empty ---------> PreparingRebalance ---------> CompletingRebalance ---------> Stable
//!     ^                |   ^      ^                        |                        |
//!     +----------------+   |      +------------------------+                        |
//!        nobody left       +--------------------------------------------------------+
//!                             a member joins, leaves, dies or changes its protocols
//! ```
//!
//! Invariants: `awaiting_joins` counts the members with a parked JoinGroup; every member supports at least one strategy
//! that all members support; the leader, if any, is a member.
//! Behaviour follows Kafka's ClassicGroup and GroupMetadataManager.
use crate::ErrorCode;
use crate::groups::api::{DescribedGroup, DescribedMember, JoinReply, JoinedMember, ListedGroup, SyncReply};
use crate::groups::member::{Member, Protocol, Ticket};
use crate::groups::records::{GroupValue, MemberValue};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The protocol type of Kafka's own consumers, whose metadata the coordinator can read.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The longest a member that never finished a rebalance may keep its place, in milliseconds.
pub(crate) const NEW_MEMBER_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// The shortest wait for anybody of a group to join again once its time is up, in milliseconds. A client may ask for none.
pub(crate) const REJOIN_WAIT_MS_MIN: i32 = 1_000;

/// The most members of one group that were given an id and have not come back with it.
pub(crate) const PENDING_MEMBERS_MAX: usize = 10_000;

/// What time it is, as the shell read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Monotonic milliseconds; timers run on it.
    pub(crate) monotonic: u64,
    /// Milliseconds since the epoch; records carry it.
    pub(crate) wall: i64,
}

impl Now {
    /// The monotonic time `ms` from now, at least one: a timer that is due at once would never let time pass.
    pub(crate) fn plus(self, ms: i32) -> u64 {
        self.monotonic + u64::from(ms.max(1).unsigned_abs())
    }
}

/// The bounds that operators set on groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// `group.max.size`.
    pub(crate) max_size: usize,
    /// `group.initial.rebalance.delay.ms`.
    pub(crate) initial_delay_ms: i32,
}

/// Where the group is in a rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; committed offsets may be left.
    Empty,
    /// Waiting for all members to join again.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Everybody has its assignment.
    Stable,
    /// This node does not coordinate the group any more.
    Dead,
}

impl State {
    /// The name that clients see.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

/// What a step of the group asks the shell to do, in this order: write, then reply.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// JoinGroup replies that are due.
    pub(crate) joins: Vec<(Ticket, JoinReply)>,
    /// SyncGroup replies that are due.
    pub(crate) syncs: Vec<(Ticket, SyncReply)>,
    /// Group records to be committed, with what follows then.
    pub(crate) writes: Vec<Write>,
}

/// A group record to be committed.
#[derive(Debug)]
pub(crate) struct Write {
    /// The record's value.
    pub(crate) value: GroupValue,
    /// What the group does once the record is committed, or has failed.
    pub(crate) then: Then,
}

/// What follows a group record's commit.
#[derive(Debug)]
pub(crate) enum Then {
    /// Nothing more: the state in memory is already that of the record.
    Nothing,
    /// The leader's assignment takes effect.
    Assign { generation: i32, assignments: HashMap<Arc<str>, Bytes> },
    /// A static member that came back under a new id keeps its place (and on failure its old id).
    StaticRejoin(Box<StaticRejoin>),
}

/// A static member's return, and what is needed to undo it.
#[derive(Debug)]
pub(crate) struct StaticRejoin {
    pub(crate) instance_id: Arc<str>,
    pub(crate) old_id: Arc<str>,
    pub(crate) new_id: Arc<str>,
    pub(crate) old_protocols: Vec<Protocol>,
    pub(crate) old_rebalance_timeout_ms: i32,
    pub(crate) old_session_timeout_ms: i32,
    /// The leader before the return, as clients that don't know `skip_assignment` are told.
    pub(crate) old_leader: Option<Arc<str>>,
    pub(crate) supports_skip_assignment: bool,
}

/// The timer of the join phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinTimer {
    pub(crate) at: u64,
    /// In the first rebalance of an empty group: how long this delay is and how much more may follow it.
    pub(crate) initial: Option<InitialDelay>,
}

/// One round of the initial rebalance delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InitialDelay {
    pub(crate) delay_ms: i32,
    pub(crate) remaining_ms: i32,
}

/// A classic group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: Arc<str>,
    pub(crate) state: State,
    pub(crate) previous: State,
    /// When the state was entered, in milliseconds since the epoch; offsets of an empty group expire from then on.
    pub(crate) state_since: Option<i64>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<Arc<str>>,
    pub(crate) members: BTreeMap<Arc<str>, Member>,
    /// Instance id to member id.
    pub(crate) static_members: HashMap<Arc<str>, Arc<str>>,
    /// Ids that were given out and not yet used, with the time at which they lapse.
    pub(crate) pending_joins: HashMap<Arc<str>, u64>,
    /// Members that have not sent SyncGroup in this generation.
    pub(crate) pending_syncs: BTreeSet<Arc<str>>,
    pub(crate) awaiting_joins: usize,
    /// How many members support each strategy.
    pub(crate) support: HashMap<Arc<str>, usize>,
    /// Topics that any member subscribes to; none if unknown.
    pub(crate) subscribed: Option<BTreeSet<Arc<str>>>,
    /// Whether somebody joined during the current round of the initial delay.
    pub(crate) newcomer: bool,
    pub(crate) join_timer: Option<JoinTimer>,
    pub(crate) sync_deadline: Option<u64>,
}

impl Group {
    /// An empty group that nobody has joined yet.
    pub(crate) fn new(id: Arc<str>, now: Now) -> Group {
        Group {
            id,
            state: State::Empty,
            previous: State::Dead,
            state_since: Some(now.wall),
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_joins: HashMap::new(),
            pending_syncs: BTreeSet::new(),
            awaiting_joins: 0,
            support: HashMap::new(),
            subscribed: None,
            newcomer: false,
            join_timer: None,
            sync_deadline: None,
        }
    }

    /// The group that a stored record describes. Its members' session timeouts start when loading ends.
    pub(crate) fn from_value(id: Arc<str>, value: GroupValue, now: Now) -> Group {
        let mut group = Group::new(id, now);
        group.state = if value.members.is_empty() { State::Empty } else { State::Stable };
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty());
        group.protocol = value.protocol;
        group.state_since = (value.state_since != -1).then_some(value.state_since);
        let protocol = group.protocol.clone().unwrap_or_default();
        for stored in value.members {
            let member = Member {
                id: stored.member_id,
                instance_id: stored.instance_id,
                client_id: stored.client_id,
                client_host: stored.client_host,
                rebalance_timeout_ms: match stored.rebalance_timeout_ms {
                    -1 => stored.session_timeout_ms,
                    timeout => timeout,
                },
                session_timeout_ms: stored.session_timeout_ms,
                protocols: vec![Protocol { name: protocol.clone(), metadata: stored.subscription }],
                assignment: stored.assignment,
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                expires_at: None,
            };
            group.insert(member);
        }
        group.leader = value.leader.filter(|leader| group.members.contains_key(leader)).or(group.leader);
        group.subscribed = group.read_subscriptions();
        group
    }

    /// The record of the group, with these assignments in place of those that the members hold.
    pub(crate) fn to_value(&self, assignments: Option<&HashMap<Arc<str>, Bytes>>) -> GroupValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since.unwrap_or(-1),
            members: self
                .members
                .values()
                .map(|member| MemberValue {
                    member_id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    session_timeout_ms: member.session_timeout_ms,
                    subscription: member.metadata(protocol),
                    assignment: match assignments {
                        Some(assignments) => assignments.get(&member.id).cloned().unwrap_or_default(),
                        None => member.assignment.clone(),
                    },
                })
                .collect(),
        }
    }

    /// The record of a group that has just come into being.
    pub(crate) fn to_empty_value(&self) -> GroupValue {
        GroupValue {
            protocol_type: Arc::from(""),
            generation: 0,
            protocol: None,
            leader: None,
            state_since: self.state_since.unwrap_or(-1),
            members: Vec::new(),
        }
    }

    /// When the group next needs a tick, in monotonic milliseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let members = self.members.values().filter_map(|member| member.expires_at);
        let pending = self.pending_joins.values().copied();
        let join = self.join_timer.map(|timer| timer.at);
        members.chain(pending).chain(join).chain(self.sync_deadline).min()
    }

    pub(crate) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether a member subscribes to the topic; where that cannot be known, consumers are assumed to.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// The longest that any member asks the group to wait for it.
    pub(crate) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    pub(crate) fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_joins && self.pending_joins.is_empty()
    }

    pub(crate) fn can_rebalance(&self) -> bool {
        matches!(self.state, State::Stable | State::CompletingRebalance | State::Empty)
    }

    /// Whether one more join fits `group.max.size`.
    pub(crate) fn has_room_for(&self, member_id: &str, limits: &Limits) -> bool {
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                self.members.get(member_id).is_some_and(|member| member.awaiting_join.is_some())
                    || self.awaiting_joins < limits.max_size
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains_key(member_id) || self.members.len() < limits.max_size
            }
        }
    }

    /// Whether a member with these strategies can be in the group.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.everybody_supports(&protocol.name))
    }

    pub(crate) fn everybody_supports(&self, protocol: &str) -> bool {
        self.support.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    /// The strategy with the most votes; ties go to the leader's preference.
    pub(crate) fn select_protocol(&self) -> Option<Arc<str>> {
        let mut votes: HashMap<&Arc<str>, usize> = HashMap::new();
        for member in self.members.values() {
            if let Some(name) = member.vote(|name| self.everybody_supports(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        leader
            .into_iter()
            .chain(self.members.values())
            .flat_map(|member| &member.protocols)
            .map(|protocol| &protocol.name)
            .find(|name| votes.get(name) == Some(&most))
            .cloned()
    }

    /// Checks that a request comes from who it says: 25 for a stranger, 82 for a static member that was replaced.
    pub(crate) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if &**current != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if !self.members.contains_key(member_id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        Ok(())
    }

    /// Whether an OffsetCommit may pass.
    pub(crate) fn validate_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.validate_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
        } else if self.state != State::Empty {
            // A client that assigns its partitions itself must not write into a group that has members.
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// Whether OffsetDelete may pass; topics that are subscribed to are judged one by one.
    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            State::Empty => Ok(()),
            _ if self.uses_consumer_protocol() => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    /// Whether DeleteGroups may pass.
    pub(crate) fn validate_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            State::Empty => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    /// Adds a member. The first one sets the group's protocol type; without a leader it becomes the leader.
    pub(crate) fn insert(&mut self, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.pending_joins.remove(&member.id);
        self.count_support(&member.protocols, true);
        self.awaiting_joins += usize::from(member.awaiting_join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out and answers what it waits for. Any other member may become the leader.
    pub(crate) fn remove(&mut self, member_id: &str, effects: &mut Effects) {
        if let Some(member) = self.members.remove(member_id) {
            self.count_support(&member.protocols, false);
            if let Some(ticket) = member.awaiting_join {
                self.awaiting_joins -= 1;
                let reply = JoinReply::refused(Arc::from(""), ErrorCode::UNKNOWN_MEMBER_ID);
                effects.joins.push((ticket, reply));
            }
            if let Some(ticket) = member.awaiting_sync {
                effects.syncs.push((ticket, SyncReply::refused(ErrorCode::UNKNOWN_MEMBER_ID)));
            }
            if let Some(instance_id) = &member.instance_id {
                self.static_members.remove(instance_id);
            }
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
    }

    pub(crate) fn count_support(&mut self, protocols: &[Protocol], more: bool) {
        for protocol in protocols {
            let count = self.support.entry(protocol.name.clone()).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.support.remove(&protocol.name);
            }
        }
    }

    /// Parks a JoinGroup, answering one that the member had parked before (the client has reconnected since).
    pub(crate) fn park_join(&mut self, member_id: &str, ticket: Option<Ticket>, effects: &mut Effects) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        match std::mem::replace(&mut member.awaiting_join, ticket) {
            Some(old) => {
                let reply = JoinReply::refused(member.id.clone(), ErrorCode::REBALANCE_IN_PROGRESS);
                effects.joins.push((old, reply));
                self.awaiting_joins -= usize::from(ticket.is_none());
            }
            None => self.awaiting_joins += usize::from(ticket.is_some()),
        }
    }

    /// Answers a parked JoinGroup; false if there is none.
    pub(crate) fn answer_join(&mut self, member_id: &str, reply: JoinReply, effects: &mut Effects) -> bool {
        let Some(member) = self.members.get_mut(member_id) else { return false };
        let Some(ticket) = member.awaiting_join.take() else { return false };
        self.awaiting_joins -= 1;
        effects.joins.push((ticket, reply));
        true
    }

    /// The members as the group's leader is told of them.
    pub(crate) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| JoinedMember {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
            })
            .collect()
    }

    pub(crate) fn move_to(&mut self, state: State, now: Now) {
        self.previous = self.state;
        self.state = state;
        self.state_since = Some(now.wall);
    }

    /// Topics that the members subscribe to, read from the metadata of consumers; none if it cannot be read.
    pub(crate) fn read_subscriptions(&self) -> Option<BTreeSet<Arc<str>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// The group as DescribeGroups shows it: metadata only when it is stable.
    pub(crate) fn describe(&self) -> DescribedGroup {
        let stable = self.state == State::Stable;
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        DescribedGroup {
            group_id: self.id.clone(),
            error: ErrorCode::NONE,
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: self
                .members
                .values()
                .map(|member| DescribedMember {
                    member_id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    metadata: if stable { member.metadata(&protocol) } else { Bytes::new() },
                    assignment: member.assignment.clone(),
                })
                .collect(),
            protocol,
        }
    }

    /// The group as ListGroups shows it.
    pub(crate) fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state.name(),
            group_type: "classic",
        }
    }
}

/// The topics of a consumer's subscription (ConsumerProtocolSubscription, any version: the topics come first).
/// None if the bytes are something else.
fn subscribed_topics(metadata: &[u8]) -> Option<Vec<Arc<str>>> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = i32::from_be_bytes(*count);
    let mut topics = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let topic = after.get(..length)?;
        topics.push(Arc::from(std::str::from_utf8(topic).ok()?));
        rest = after.get(length..)?;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_read_without_trusting_their_counts() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c'];
        let topics = subscribed_topics(&bytes).expect("well formed");
        assert_eq!(topics.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["a", "bc"]);
        bytes[5] = 3;
        assert_eq!(subscribed_topics(&bytes), None);
        bytes[2] = 0x7f;
        assert_eq!(subscribed_topics(&bytes), None);
        assert_eq!(subscribed_topics(&[0]), None);
        assert_eq!(subscribed_topics(&[0, 0, 0, 0, 0, 1, 0xff, 0xff]), None);
    }
}
