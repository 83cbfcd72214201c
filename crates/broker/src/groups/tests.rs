//! Scripted stories of classic groups: time is a number, replies are collected.
use super::api::{HeartbeatRequest, JoinReply, JoinRequest, Leaver, SyncReply, SyncRequest};
use super::group::{Effects, Group, Limits, Now, State, Then, Write};
use super::member::{Protocol, Ticket};
use crate::ErrorCode;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

const LIMITS: Limits = Limits { max_size: usize::MAX, initial_delay_ms: 3_000 };

/// A group, its clock, and what it has answered so far.
struct Story {
    group: Group,
    now: Now,
    limits: Limits,
    tickets: u64,
    joins: HashMap<Ticket, JoinReply>,
    syncs: HashMap<Ticket, SyncReply>,
    writes: Vec<Write>,
}

impl Story {
    fn new() -> Story {
        let now = Now { monotonic: 0, wall: 1_000_000 };
        Story {
            group: Group::new("g".into(), now),
            now,
            limits: LIMITS,
            tickets: 0,
            joins: HashMap::new(),
            syncs: HashMap::new(),
            writes: Vec::new(),
        }
    }

    fn collect(&mut self, effects: Effects) {
        self.joins.extend(effects.joins);
        self.syncs.extend(effects.syncs);
        self.writes.extend(effects.writes);
    }

    fn step<T>(&mut self, step: impl FnOnce(&mut Group, Now, &Limits, &mut Effects) -> T) -> T {
        let mut effects = Effects::default();
        let result = step(&mut self.group, self.now, &self.limits, &mut effects);
        self.collect(effects);
        result
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic += ms;
        self.now.wall += ms as i64;
        self.step(|group, now, limits, effects| group.tick(now, limits, effects));
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn join_as(&mut self, request: JoinRequest) -> Ticket {
        let ticket = self.ticket();
        let fresh: Arc<str> = format!("{}-{}", request.client_id, ticket.0).into();
        self.step(|group, now, limits, effects| group.join(now, limits, request, fresh, ticket, effects));
        ticket
    }

    /// A dynamic member joins by way of 79 and parks.
    fn newcomer(&mut self) -> (Arc<str>, Ticket) {
        let first = self.join_as(request("", None));
        let reply = self.joins.remove(&first).expect("answered at once");
        assert_eq!(reply.error, ErrorCode::MEMBER_ID_REQUIRED);
        let ticket = self.join_as(request(&reply.member_id, None));
        (reply.member_id, ticket)
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Ticket {
        let ticket = self.ticket();
        let request = SyncRequest {
            group_id: "g".into(),
            generation,
            member_id: member.into(),
            instance_id: None,
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assignments
                .iter()
                .map(|(id, bytes)| (Arc::from(*id), Bytes::from((*bytes).to_owned())))
                .collect(),
        };
        self.step(|group, _, _, effects| group.sync(request, ticket, effects));
        ticket
    }

    fn commit_writes(&mut self, outcome: Result<(), ErrorCode>) {
        for write in std::mem::take(&mut self.writes) {
            self.step(|group, now, limits, effects| group.written(now, limits, write.then, outcome, effects));
        }
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation,
            member_id: member.into(),
            instance_id: None,
        };
        self.step(|group, now, _, _| group.heartbeat(now, &request))
    }

    fn leave(&mut self, member: &str, instance: Option<&str>) -> ErrorCode {
        let leaver = Leaver { member_id: member.into(), instance_id: instance.map(Arc::from) };
        self.step(|group, now, limits, effects| group.leave(now, limits, vec![leaver], effects))[0].1
    }

    /// Two dynamic members, stable in generation 1; the first one leads.
    fn stable_pair() -> (Story, Arc<str>, Arc<str>) {
        let mut story = Story::new();
        let (a, _) = story.newcomer();
        let (b, _) = story.newcomer();
        story.pass(3_000);
        story.pass(3_000);
        assert_eq!(story.group.state, State::CompletingRebalance);
        story.sync(&b, 1, &[]);
        let leader = story.group.leader.clone().expect("a leader");
        assert_eq!(leader, a);
        story.sync(&a, 1, &[(&a, "A"), (&b, "B")]);
        story.commit_writes(Ok(()));
        assert_eq!(story.group.state, State::Stable);
        story.joins.clear();
        story.syncs.clear();
        (story, a, b)
    }
}

fn request(member_id: &str, instance_id: Option<&str>) -> JoinRequest {
    JoinRequest {
        group_id: "g".into(),
        member_id: member_id.into(),
        instance_id: instance_id.map(Arc::from),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: Some(60_000),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff")],
        requires_known_member_id: true,
        supports_skip_assignment: true,
        reason: None,
    }
}

fn protocol(name: &str, metadata: &'static [u8]) -> Protocol {
    Protocol { name: name.into(), metadata: Bytes::from_static(metadata) }
}

#[test]
fn kafka_2_22_a_new_member_is_told_its_id_and_comes_back_with_it() {
    let mut story = Story::new();
    let (id, ticket) = story.newcomer();
    assert!(id.starts_with("client-"));
    assert_eq!(story.group.state, State::PreparingRebalance);
    assert!(!story.joins.contains_key(&ticket), "it waits for the initial delay");
    let mut old = request("", None);
    old.requires_known_member_id = false;
    let ticket = story.join_as(old);
    assert!(!story.joins.contains_key(&ticket), "before v4 there is no second round trip");
    assert_eq!(story.group.members.len(), 2);
}

#[test]
fn kafka_2_22_the_first_rebalance_waits_three_seconds_and_longer_while_members_come() {
    let mut story = Story::new();
    let (a, first) = story.newcomer();
    story.pass(2_999);
    assert!(story.joins.is_empty());
    let (_, second) = story.newcomer();
    story.pass(1);
    assert!(story.joins.is_empty(), "somebody came, so one more delay");
    story.pass(2_999);
    assert!(story.joins.is_empty());
    story.pass(1);
    let reply = &story.joins[&first];
    assert_eq!((reply.error, reply.generation), (ErrorCode::NONE, 1));
    assert_eq!((&reply.leader, reply.members.len()), (&a, 2));
    assert_eq!(reply.protocol_name.as_deref(), Some("range"));
    assert_eq!(story.joins[&second].members.len(), 0, "only the leader sees the members");
}

#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut story = Story::new();
    let mut hasty = request("", None);
    hasty.requires_known_member_id = false;
    hasty.rebalance_timeout_ms = Some(4_000);
    let first = story.join_as(hasty.clone());
    story.pass(2_900);
    story.join_as(hasty.clone());
    story.pass(100);
    assert!(!story.joins.contains_key(&first), "1 s of the rebalance timeout is left");
    story.join_as(hasty);
    story.pass(1_000);
    assert!(story.joins.contains_key(&first));
}

#[test]
fn a_group_becomes_stable_when_the_leaders_assignment_is_committed() {
    let mut story = Story::new();
    let (a, _) = story.newcomer();
    let (b, _) = story.newcomer();
    story.pass(3_000);
    story.pass(3_000);
    let follower = story.sync(&b, 1, &[]);
    let leader = story.sync(&a, 1, &[(&a, "A"), ("stranger", "X")]);
    assert!(story.syncs.is_empty(), "nobody is answered before the record is committed");
    assert_eq!(story.writes.len(), 1);
    assert_eq!(story.writes[0].value.members.len(), 2);
    assert!(matches!(story.writes[0].then, Then::Assign { generation: 1, .. }));
    story.commit_writes(Ok(()));
    assert_eq!(story.syncs[&leader].assignment, "A");
    assert_eq!(story.syncs[&follower].error, ErrorCode::NONE);
    assert_eq!(story.syncs[&follower].assignment, "", "kafka_2_22: an empty assignment is legal");
    assert_eq!(story.group.state, State::Stable);
    let again = story.sync(&b, 1, &[]);
    assert_eq!(story.syncs[&again].error, ErrorCode::NONE);
}

#[test]
fn an_assignment_that_cannot_be_stored_makes_everybody_join_again() {
    let mut story = Story::new();
    let (a, _) = story.newcomer();
    story.pass(3_000);
    let ticket = story.sync(&a, 1, &[(&a, "A")]);
    story.commit_writes(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!(story.syncs[&ticket].error, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(story.group.state, State::PreparingRebalance);
}

#[test]
fn sync_errors_name_what_is_wrong() {
    let (mut story, a, _) = Story::stable_pair();
    let mut check = |member: &str, generation, error| {
        let ticket = story.sync(member, generation, &[]);
        assert_eq!(story.syncs[&ticket].error, error);
    };
    check("stranger", 1, ErrorCode::UNKNOWN_MEMBER_ID);
    check(&a, 2, ErrorCode::ILLEGAL_GENERATION);
    story.group.protocol = Some("sticky".into());
    let ticket = story.sync(&a, 1, &[]);
    assert_eq!(story.syncs[&ticket].error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn a_third_member_makes_the_others_join_again() {
    let (mut story, a, b) = Story::stable_pair();
    let (c, third) = story.newcomer();
    assert_eq!(story.group.state, State::PreparingRebalance);
    assert_eq!(story.heartbeat(&a, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let ticket = story.sync(&b, 1, &[]);
    assert_eq!(story.syncs[&ticket].error, ErrorCode::REBALANCE_IN_PROGRESS);
    story.join_as(request(&b, None));
    assert!(!story.joins.contains_key(&third));
    let leader = story.join_as(request(&a, None));
    assert_eq!(story.joins[&leader].members.len(), 3);
    assert_eq!(story.joins[&third].generation, 2);
    assert_eq!(story.joins[&third].member_id, c);
}

#[test]
fn a_member_that_does_not_rejoin_in_time_is_out() {
    let (mut story, a, b) = Story::stable_pair();
    let (c, third) = story.newcomer();
    for _ in 0..10 {
        story.pass(6_000);
        story.heartbeat(&a, 1);
        story.heartbeat(&b, 1);
    }
    assert_eq!(story.joins[&third].leader, c, "the leader did not come either, so the first that did leads");
    assert_eq!(story.group.members.len(), 1);
    assert_eq!(story.heartbeat(&a, 1), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_silent_member_is_out_after_its_session_timeout() {
    let (mut story, a, b) = Story::stable_pair();
    story.pass(9_999);
    assert_eq!(story.heartbeat(&a, 1), ErrorCode::NONE);
    story.pass(1);
    assert!(!story.group.members.contains_key(&b));
    assert_eq!(story.group.state, State::PreparingRebalance);
    assert_eq!(story.heartbeat(&a, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let ticket = story.join_as(request(&a, None));
    assert_eq!(story.joins[&ticket].generation, 2);
}

#[test]
fn a_parked_member_needs_no_heartbeat() {
    let (mut story, a, _) = Story::stable_pair();
    let mut slow = request("", None);
    slow.requires_known_member_id = false;
    story.join_as(slow);
    story.join_as(request(&a, None));
    story.pass(30_000);
    assert!(story.group.members.contains_key(&a), "its JoinGroup is parked here");
}

#[test]
fn a_member_that_never_syncs_is_out() {
    let mut story = Story::new();
    let (a, _) = story.newcomer();
    let (b, _) = story.newcomer();
    story.pass(3_000);
    story.pass(3_000);
    story.sync(&a, 1, &[(&a, "A")]);
    story.commit_writes(Ok(()));
    for _ in 0..10 {
        story.pass(6_000);
        story.heartbeat(&a, 1);
        story.heartbeat(&b, 1);
    }
    assert!(!story.group.members.contains_key(&b), "it beats but has not asked for its assignment");
    assert_eq!(story.group.state, State::PreparingRebalance);
}

#[test]
fn the_last_member_leaves_an_empty_group_that_is_recorded() {
    let (mut story, a, b) = Story::stable_pair();
    assert_eq!(story.leave(&a, None), ErrorCode::NONE);
    assert!(story.group.is_leader(&b));
    assert_eq!(story.leave(&b, None), ErrorCode::NONE);
    assert_eq!((story.group.state, story.group.generation), (State::Empty, 2));
    assert_eq!(story.writes.len(), 1);
    let value = &story.writes[0].value;
    assert_eq!((value.members.len(), &value.protocol, &*value.protocol_type), (0, &None, "consumer"));
    assert_eq!(value.state_since, story.now.wall);
    assert_eq!(story.leave(&b, None), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn kafka_2_22_leave_is_a_batch_with_a_result_each() {
    let (mut story, a, b) = Story::stable_pair();
    let leavers = ["stranger", &a, &b].map(|id| Leaver { member_id: id.into(), instance_id: None });
    let results =
        story.step(|group, now, limits, effects| group.leave(now, limits, leavers.to_vec(), effects));
    let errors: Vec<ErrorCode> = results.iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::NONE, ErrorCode::NONE]);
    assert_eq!(story.group.state, State::Empty);
}

#[test]
fn a_rejoining_follower_without_changes_causes_no_rebalance_but_the_leader_does() {
    let (mut story, a, b) = Story::stable_pair();
    let ticket = story.join_as(request(&b, None));
    assert_eq!(story.joins[&ticket].generation, 1);
    assert_eq!(story.group.state, State::Stable);
    story.join_as(request(&a, None));
    assert_eq!(story.group.state, State::PreparingRebalance);
}

#[test]
fn a_changed_subscription_causes_a_rebalance() {
    let (mut story, _, b) = Story::stable_pair();
    let mut changed = request(&b, None);
    changed.protocols = vec![protocol("range", b"\0\0\0\0\0\x01\0\x01u\xff\xff\xff\xff")];
    story.join_as(changed);
    assert_eq!(story.group.state, State::PreparingRebalance);
}

#[test]
fn kafka_2_22_protocols_must_have_something_in_common() {
    let (mut story, ..) = Story::stable_pair();
    let mut other = request("", None);
    other.protocols = vec![protocol("sticky", b"")];
    let ticket = story.join_as(other);
    assert_eq!(story.joins[&ticket].error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let mut connect = request("", None);
    connect.protocol_type = "connect".into();
    let ticket = story.join_as(connect);
    assert_eq!(story.joins[&ticket].error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let mut nothing = request("", None);
    nothing.protocols.clear();
    let mut empty = Story::new();
    let ticket = empty.join_as(nothing);
    assert_eq!(empty.joins[&ticket].error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn the_protocol_is_chosen_by_votes() {
    let mut story = Story::new();
    let with = |names: &[&str]| {
        let mut join = request("", None);
        join.requires_known_member_id = false;
        join.protocols = names.iter().map(|name| protocol(name, b"")).collect();
        join
    };
    let first = story.join_as(with(&["a", "b", "c"]));
    story.join_as(with(&["b", "a"]));
    story.join_as(with(&["b", "a"]));
    story.pass(3_000);
    story.pass(3_000);
    assert_eq!(story.joins[&first].protocol_name.as_deref(), Some("b"));
}

#[test]
fn group_max_size_turns_newcomers_away() {
    let (mut story, ..) = Story::stable_pair();
    story.limits.max_size = 2;
    let ticket = story.join_as(request("", None));
    assert_eq!(story.joins[&ticket].error, ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(story.group.state, State::Stable);
}

#[test]
fn an_id_that_is_not_used_lapses() {
    let mut story = Story::new();
    let ticket = story.join_as(request("", None));
    let id = story.joins[&ticket].member_id.clone();
    story.pass(10_000);
    let ticket = story.join_as(request(&id, None));
    assert_eq!(story.joins[&ticket].error, ErrorCode::UNKNOWN_MEMBER_ID);
}

/// A static leader `i` and a dynamic member, stable.
fn static_pair() -> (Story, Arc<str>, Arc<str>) {
    let mut story = Story::new();
    let first = story.join_as(request("", Some("i")));
    let (b, _) = story.newcomer();
    story.pass(3_000);
    story.pass(3_000);
    let a = story.joins[&first].member_id.clone();
    assert!(a.starts_with("client-"), "the shell names it");
    let leader = story.group.leader.clone().expect("a leader");
    assert_eq!(leader, a);
    story.sync(&b, 1, &[]);
    story.sync(&a, 1, &[(&a, "A"), (&b, "B")]);
    story.commit_writes(Ok(()));
    story.joins.clear();
    (story, a, b)
}

#[test]
fn kafka_2_22_a_static_member_keeps_its_place_and_its_old_self_is_fenced() {
    let (mut story, old, _) = static_pair();
    let ticket = story.join_as(request("", Some("i")));
    assert!(!story.joins.contains_key(&ticket), "answered when the new id is recorded");
    story.commit_writes(Ok(()));
    let reply = story.joins[&ticket].clone();
    assert_eq!((reply.error, reply.generation), (ErrorCode::NONE, 1));
    assert_ne!(reply.member_id, old);
    assert_eq!(reply.leader, reply.member_id);
    assert!(reply.skip_assignment, "a leader of v9 learns the members and keeps the assignment");
    assert_eq!(reply.members.len(), 2);
    assert_eq!(story.group.state, State::Stable);
    let fenced = HeartbeatRequest {
        group_id: "g".into(),
        generation: 1,
        member_id: old,
        instance_id: Some("i".into()),
    };
    assert_eq!(story.step(|group, now, _, _| group.heartbeat(now, &fenced)), ErrorCode::FENCED_INSTANCE_ID);
    let ticket = story.sync(&reply.member_id, 1, &[]);
    assert_eq!(story.syncs[&ticket].assignment, "A");
}

#[test]
fn an_old_static_leader_is_not_told_that_it_leads() {
    let (mut story, old, _) = static_pair();
    let mut rejoin = request("", Some("i"));
    rejoin.supports_skip_assignment = false;
    let ticket = story.join_as(rejoin);
    story.commit_writes(Ok(()));
    let reply = &story.joins[&ticket];
    assert_eq!((&reply.leader, reply.members.len(), reply.skip_assignment), (&old, 0, false));
}

#[test]
fn a_static_return_that_cannot_be_recorded_is_undone() {
    let (mut story, old, _) = static_pair();
    let ticket = story.join_as(request("", Some("i")));
    story.commit_writes(Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(story.joins[&ticket].error, ErrorCode::NOT_COORDINATOR);
    assert!(story.group.members.contains_key(&old));
    assert!(story.group.is_leader(&old));
    assert_eq!(story.group.awaiting_joins, 0);
}

#[test]
fn a_static_member_with_other_protocols_causes_a_rebalance() {
    let (mut story, ..) = static_pair();
    let mut changed = request("", Some("i"));
    changed.protocols.insert(0, protocol("sticky", b""));
    story.join_as(changed);
    assert_eq!(story.group.state, State::Stable, "range still wins");
    story.commit_writes(Ok(()));
}

#[test]
fn kafka_2_39_a_static_member_that_is_away_stays_through_a_rebalance() {
    let (mut story, a, b) = static_pair();
    let (_, ticket) = story.newcomer();
    story.join_as(request(&b, None));
    story.pass(9_000);
    let alive = HeartbeatRequest {
        group_id: "g".into(),
        generation: 1,
        member_id: a.clone(),
        instance_id: Some("i".into()),
    };
    for _ in 0..9 {
        story.step(|group, now, _, _| group.heartbeat(now, &alive));
        story.pass(6_000);
    }
    assert_eq!(story.joins[&ticket].generation, 2);
    assert!(story.group.members.contains_key(&a), "static members stay until their session ends");
    assert_ne!(story.group.leader.as_ref(), Some(&a));
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance() {
    let (mut story, a, _) = static_pair();
    assert_eq!(story.leave("", Some("nobody")), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(story.leave("stranger", Some("i")), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(story.leave("", Some("i")), ErrorCode::NONE);
    assert!(!story.group.members.contains_key(&a));
    assert_eq!(story.group.state, State::PreparingRebalance);
}

#[test]
fn commits_are_judged_by_member_and_generation() {
    let (mut story, a, _) = Story::stable_pair();
    assert_eq!(story.group.validate_commit(&a, None, 1), Ok(()));
    assert_eq!(story.group.validate_commit(&a, None, 0), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(story.group.validate_commit("x", None, 1), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(story.group.validate_commit("", None, -1), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    story.join_as(request(&a, None));
    assert_eq!(
        story.group.validate_commit(&a, None, 1),
        Ok(()),
        "while preparing, work may still be committed"
    );
    let empty = Story::new();
    assert_eq!(empty.group.validate_commit("", None, -1), Ok(()));
}

#[test]
fn commits_wait_for_the_assignment() {
    let mut story = Story::new();
    let (a, _) = story.newcomer();
    story.pass(3_000);
    assert_eq!(story.group.validate_commit(&a, None, 1), Err(ErrorCode::REBALANCE_IN_PROGRESS));
}

#[test]
fn a_stored_group_comes_back_as_it_was() {
    let (story, a, b) = Story::stable_pair();
    let value = story.group.to_value(None);
    let mut loaded = Group::from_value("g".into(), value.clone(), story.now);
    assert_eq!(loaded.to_value(None), value);
    assert_eq!((loaded.state, loaded.generation), (State::Stable, 1));
    assert!(loaded.is_leader(&a) && loaded.members.contains_key(&b));
    assert!(loaded.is_subscribed_to("t") && !loaded.is_subscribed_to("u"));
    let mut effects = Effects::default();
    loaded.loaded(story.now, &LIMITS, &mut effects);
    assert_eq!(loaded.next_deadline(), Some(story.now.monotonic + 10_000));
    let small = Limits { max_size: 1, ..LIMITS };
    loaded.loaded(story.now, &small, &mut effects);
    assert_eq!(loaded.state, State::PreparingRebalance);
}

#[test]
fn unloading_sends_everybody_to_the_new_coordinator() {
    let mut story = Story::new();
    let (_, ticket) = story.newcomer();
    story.step(|group, now, _, effects| group.unload(now, effects));
    assert_eq!(story.joins[&ticket].error, ErrorCode::NOT_COORDINATOR);
    assert_eq!(story.group.next_deadline(), story.group.members.values().filter_map(|m| m.expires_at).min());
}

#[test]
fn a_second_join_of_the_same_member_answers_the_first() {
    let mut story = Story::new();
    let (a, first) = story.newcomer();
    let second = story.join_as(request(&a, None));
    assert_eq!(story.joins[&first].error, ErrorCode::REBALANCE_IN_PROGRESS);
    story.pass(3_000);
    assert_eq!(story.joins[&second].error, ErrorCode::NONE);
}

#[test]
fn descriptions_show_metadata_only_when_stable() {
    let (mut story, a, _) = Story::stable_pair();
    let stable = story.group.describe();
    assert_eq!((stable.state, &*stable.protocol), ("Stable", "range"));
    assert!(stable.members.iter().all(|member| !member.metadata.is_empty()));
    story.join_as(request(&a, None));
    let preparing = story.group.describe();
    assert_eq!((preparing.state, &*preparing.protocol), ("PreparingRebalance", ""));
    assert!(preparing.members.iter().all(|member| member.metadata.is_empty()));
}

#[test]
fn timeouts_of_zero_let_time_pass() {
    let mut story = Story::new();
    story.limits.initial_delay_ms = 0;
    let mut hasty = request("", Some("i"));
    hasty.rebalance_timeout_ms = Some(0);
    let first = story.join_as(hasty.clone());
    story.pass(1);
    let id = story.joins[&first].member_id.clone();
    story.sync(&id, 1, &[(&id, "A")]);
    story.commit_writes(Ok(()));
    // Another member joins and dies: only the static one is left, which does not join again.
    let (_, _) = story.newcomer();
    for _ in 0..20 {
        assert!(story.group.next_deadline().is_none_or(|at| at > story.now.monotonic));
        story.pass(1);
    }
}
