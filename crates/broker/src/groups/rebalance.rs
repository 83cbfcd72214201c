//! The moves of a classic group: join, sync, heartbeat, leave, and what time does to it.
//!
//! Each move is a method that takes the time and the request and fills [`Effects`]; none of them waits or fails. A group
//! record that a move asks for takes effect in [`Group::written`], once it is committed.
use crate::ErrorCode;
use crate::groups::api::{HeartbeatRequest, JoinReply, JoinRequest, Leaver, SyncReply, SyncRequest};
use crate::groups::group::{
    Effects, Group, InitialDelay, JoinTimer, Limits, NEW_MEMBER_TIMEOUT_MS, Now, PENDING_MEMBERS_MAX,
    REJOIN_WAIT_MS_MIN, State, StaticRejoin, Then, Write,
};
use crate::groups::member::{Member, Protocol, Ticket};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

impl Group {
    /// JoinGroup. `fresh_id` is the id that a new member gets.
    pub(crate) fn join(
        &mut self,
        now: Now,
        limits: &Limits,
        request: JoinRequest,
        fresh_id: Arc<str>,
        ticket: Ticket,
        effects: &mut Effects,
    ) {
        let nobody: Arc<str> = Arc::from("");
        if let Some(reason) = &request.reason {
            tracing::debug!(group = &*self.id, member = &*request.member_id, reason, "a member joins");
        }
        if !self.has_room_for(&request.member_id, limits) {
            self.remove(&request.member_id, effects);
            effects.joins.push((ticket, JoinReply::refused(nobody, ErrorCode::GROUP_MAX_SIZE_REACHED)));
        } else if request.member_id.is_empty() {
            self.join_new(now, limits, request, fresh_id, ticket, effects);
        } else {
            self.join_known(now, limits, request, ticket, effects);
        }
    }

    /// A join without a member id.
    fn join_new(
        &mut self,
        now: Now,
        limits: &Limits,
        request: JoinRequest,
        fresh_id: Arc<str>,
        ticket: Ticket,
        effects: &mut Effects,
    ) {
        let mut refuse = |id: Arc<str>, error| effects.joins.push((ticket, JoinReply::refused(id, error)));
        if self.state == State::Dead {
            return refuse(Arc::from(""), ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return refuse(Arc::from(""), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match request.instance_id.as_ref().map(|instance| (instance, self.static_members.get(instance))) {
            Some((_, Some(old_id))) => {
                let old_id = old_id.clone();
                self.replace_static(now, limits, request, old_id, fresh_id, ticket, effects);
            }
            None if request.requires_known_member_id => {
                if self.pending_joins.len() >= PENDING_MEMBERS_MAX {
                    return refuse(Arc::from(""), ErrorCode::GROUP_MAX_SIZE_REACHED);
                }
                self.pending_joins.insert(fresh_id.clone(), now.plus(request.session_timeout_ms));
                refuse(fresh_id, ErrorCode::MEMBER_ID_REQUIRED);
            }
            _ => self.add_and_rebalance(now, limits, request, fresh_id, ticket, effects),
        }
    }

    /// A join with a member id.
    fn join_known(
        &mut self,
        now: Now,
        limits: &Limits,
        request: JoinRequest,
        ticket: Ticket,
        effects: &mut Effects,
    ) {
        let id = request.member_id.clone();
        let error = if self.state == State::Dead {
            Some(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        } else if !self.supports(&request.protocol_type, &request.protocols) {
            Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
        } else if self.pending_joins.contains_key(&id) {
            if request.instance_id.is_none() {
                return self.add_and_rebalance(now, limits, request, id, ticket, effects);
            }
            // Ids are given out in advance to dynamic members only.
            Some(ErrorCode::UNKNOWN_MEMBER_ID)
        } else {
            self.validate_member(&id, request.instance_id.as_deref()).err()
        };
        if let Some(error) = error {
            effects.joins.push((ticket, JoinReply::refused(id, error)));
            return;
        }
        let unchanged = self.members.get(&id).is_some_and(|member| member.protocols == request.protocols);
        match self.state {
            State::CompletingRebalance if unchanged => {
                let reply = self.current_join_reply(&id);
                effects.joins.push((ticket, reply));
            }
            State::Stable if unchanged && !self.is_leader(&id) => {
                let reply = self.current_join_reply(&id);
                effects.joins.push((ticket, reply));
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.update_member(&id, &request, Some(ticket), effects);
                self.rebalance_or_complete(now, limits, effects);
            }
            State::Empty | State::Dead => {
                effects.joins.push((ticket, JoinReply::refused(id, ErrorCode::UNKNOWN_MEMBER_ID)));
            }
        }
    }

    /// The reply for a member of the current generation; the leader gets the members.
    fn current_join_reply(&self, member_id: &Arc<str>) -> JoinReply {
        JoinReply {
            error: ErrorCode::NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: if self.is_leader(member_id) { self.joined_members() } else { Vec::new() },
        }
    }

    fn add_and_rebalance(
        &mut self,
        now: Now,
        limits: &Limits,
        request: JoinRequest,
        id: Arc<str>,
        ticket: Ticket,
        effects: &mut Effects,
    ) {
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.newcomer = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.insert(Member {
            id,
            rebalance_timeout_ms: rebalance_timeout_ms(&request),
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            is_new: true,
            expires_at: Some(now.monotonic + NEW_MEMBER_TIMEOUT_MS),
        });
        self.rebalance_or_complete(now, limits, effects);
    }

    fn update_member(
        &mut self,
        id: &Arc<str>,
        request: &JoinRequest,
        ticket: Option<Ticket>,
        effects: &mut Effects,
    ) {
        self.set_member(
            id,
            request.protocols.clone(),
            rebalance_timeout_ms(request),
            request.session_timeout_ms,
            effects,
        );
        self.park_join(id, ticket, effects);
    }

    /// Replaces what a member declared, and answers nothing.
    fn set_member(
        &mut self,
        id: &Arc<str>,
        protocols: Vec<Protocol>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
        effects: &mut Effects,
    ) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        if let Some(ticket) = member.awaiting_sync.take() {
            // A member that joins again has given up on its SyncGroup.
            effects.syncs.push((ticket, SyncReply::refused(ErrorCode::REBALANCE_IN_PROGRESS)));
        }
        let old = std::mem::replace(&mut member.protocols, protocols.clone());
        self.count_support(&old, false);
        self.count_support(&protocols, true);
    }

    /// Gives a static member's place to its new incarnation; whoever waits under the old id is fenced (82).
    fn exchange_static(
        &mut self,
        instance_id: &Arc<str>,
        old_id: &Arc<str>,
        new_id: &Arc<str>,
        effects: &mut Effects,
    ) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(ticket) = member.awaiting_join.take() {
            self.awaiting_joins -= 1;
            effects.joins.push((ticket, JoinReply::refused(old_id.clone(), ErrorCode::FENCED_INSTANCE_ID)));
        }
        if let Some(ticket) = member.awaiting_sync.take() {
            effects.syncs.push((ticket, SyncReply::refused(ErrorCode::FENCED_INSTANCE_ID)));
        }
        member.id = new_id.clone();
        member.is_new = false;
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.pending_syncs.remove(old_id) {
            self.pending_syncs.insert(new_id.clone());
        }
        self.static_members.insert(instance_id.clone(), new_id.clone());
        self.members.insert(new_id.clone(), member);
    }

    /// A static member came back without its id: it keeps its place, and if the strategy stays, nobody rebalances.
    #[expect(clippy::too_many_arguments, reason = "a move's context and the two identities")]
    fn replace_static(
        &mut self,
        now: Now,
        limits: &Limits,
        request: JoinRequest,
        old_id: Arc<str>,
        new_id: Arc<str>,
        ticket: Ticket,
        effects: &mut Effects,
    ) {
        let Some(instance_id) = request.instance_id.clone() else { return };
        let old_leader = self.leader.clone();
        self.exchange_static(&instance_id, &old_id, &new_id, effects);
        self.renew(now, &new_id);
        let Some(member) = self.members.get(&new_id) else { return };
        let rejoin = StaticRejoin {
            instance_id,
            old_id,
            new_id: new_id.clone(),
            old_protocols: member.protocols.clone(),
            old_rebalance_timeout_ms: member.rebalance_timeout_ms,
            old_session_timeout_ms: member.session_timeout_ms,
            old_leader,
            supports_skip_assignment: request.supports_skip_assignment,
        };
        self.update_member(&new_id, &request, Some(ticket), effects);
        match self.state {
            State::Stable if self.protocol == self.select_protocol() => effects
                .writes
                .push(Write { value: self.to_value(None), then: Then::StaticRejoin(Box::new(rejoin)) }),
            State::Stable => self.rebalance_or_complete(now, limits, effects),
            State::CompletingRebalance => self.prepare(now, limits, effects),
            State::PreparingRebalance | State::Empty | State::Dead => {
                self.complete_if_all_joined(now, effects)
            }
        }
    }

    fn rebalance_or_complete(&mut self, now: Now, limits: &Limits, effects: &mut Effects) {
        if self.can_rebalance() {
            self.prepare(now, limits, effects);
        } else {
            self.complete_if_all_joined(now, effects);
        }
    }

    /// Starts a rebalance: everybody has to join again, within the longest rebalance timeout.
    pub(crate) fn prepare(&mut self, now: Now, limits: &Limits, effects: &mut Effects) {
        if self.state == State::CompletingRebalance {
            self.reset_assignments(now, ErrorCode::REBALANCE_IN_PROGRESS, effects);
        }
        self.pending_syncs.clear();
        self.sync_deadline = None;
        let initial = self.state == State::Empty;
        self.move_to(State::PreparingRebalance, now);
        if initial {
            // The first member of an empty group waits a little, so that a fleet that starts together needs one rebalance.
            let delay_ms = limits.initial_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.join_timer = Some(JoinTimer {
                at: now.plus(delay_ms),
                initial: Some(InitialDelay { delay_ms, remaining_ms }),
            });
        } else if self.all_joined() {
            self.complete_join(now, effects);
        } else {
            self.join_timer = Some(JoinTimer { at: now.plus(self.rebalance_timeout_ms()), initial: None });
        }
    }

    fn complete_if_all_joined(&mut self, now: Now, effects: &mut Effects) {
        let initial = self.previous == State::Empty;
        if self.state == State::PreparingRebalance && !initial && self.all_joined() {
            self.complete_join(now, effects);
        }
    }

    /// Ends the join phase: who did not join is out (static members stay), the rest form the next generation.
    fn complete_join(&mut self, now: Now, effects: &mut Effects) {
        self.join_timer = None;
        let absent: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in absent {
            self.remove(&id, effects);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members are left and none of them has come: wait for one.
            let wait_ms = self.rebalance_timeout_ms().max(REJOIN_WAIT_MS_MIN);
            self.join_timer = Some(JoinTimer { at: now.plus(wait_ms), initial: None });
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.pending_syncs.clear();
        self.sync_deadline = None;
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.read_subscriptions();
            self.move_to(State::Empty, now);
            effects.writes.push(Write { value: self.to_value(None), then: Then::Nothing });
            return;
        }
        self.protocol = self.select_protocol();
        self.subscribed = self.read_subscriptions();
        self.move_to(State::CompletingRebalance, now);
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let reply = self.current_join_reply(&id);
            self.answer_join(&id, reply, effects);
            self.renew(now, &id);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.pending_syncs.insert(id);
        }
        self.sync_deadline = Some(now.plus(self.rebalance_timeout_ms()));
    }

    /// Makes sure that the leader is a member that has joined; false if nobody has.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &Member| member.awaiting_join.is_some();
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(joined) {
            return true;
        }
        match self.members.values().find(|member| joined(member)) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// SyncGroup. The leader's assignment is written first; the others wait for it.
    pub(crate) fn sync(&mut self, request: SyncRequest, ticket: Ticket, effects: &mut Effects) {
        if let Err(error) = self.validate_sync(&request) {
            effects.syncs.push((ticket, SyncReply::refused(error)));
            return;
        }
        let id = request.member_id;
        match self.state {
            State::Empty | State::Dead => {
                effects.syncs.push((ticket, SyncReply::refused(ErrorCode::UNKNOWN_MEMBER_ID)));
            }
            State::PreparingRebalance => {
                effects.syncs.push((ticket, SyncReply::refused(ErrorCode::REBALANCE_IN_PROGRESS)));
            }
            State::CompletingRebalance => {
                self.pending_syncs.remove(&id);
                let leads = self.is_leader(&id);
                if let Some(member) = self.members.get_mut(&id)
                    && let Some(old) = member.awaiting_sync.replace(ticket)
                {
                    effects.syncs.push((old, SyncReply::refused(ErrorCode::REBALANCE_IN_PROGRESS)));
                }
                if leads {
                    let assignments: HashMap<Arc<str>, Bytes> = request
                        .assignments
                        .into_iter()
                        .filter(|(member, _)| self.members.contains_key(member))
                        .collect();
                    effects.writes.push(Write {
                        value: self.to_value(Some(&assignments)),
                        then: Then::Assign { generation: self.generation, assignments },
                    });
                }
            }
            State::Stable => {
                self.pending_syncs.remove(&id);
                let reply = self.assigned(&id);
                effects.syncs.push((ticket, reply));
            }
        }
        if self.pending_syncs.is_empty() {
            self.sync_deadline = None;
        }
    }

    fn validate_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        self.validate_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |claimed: &Option<Arc<str>>, own: &Option<Arc<str>>| {
            claimed.is_some() && own.is_some() && claimed != own
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    fn assigned(&self, id: &Arc<str>) -> SyncReply {
        SyncReply {
            error: ErrorCode::NONE,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    /// Drops the assignments and fails the parked SyncGroups.
    fn reset_assignments(&mut self, now: Now, error: ErrorCode, effects: &mut Effects) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = Bytes::new();
            if let Some(ticket) = member.awaiting_sync.take() {
                effects.syncs.push((ticket, SyncReply::refused(error)));
                self.renew(now, &id);
            }
        }
    }

    /// A record that the group asked for is committed, or has failed.
    pub(crate) fn written(
        &mut self,
        now: Now,
        limits: &Limits,
        then: Then,
        outcome: Result<(), ErrorCode>,
        effects: &mut Effects,
    ) {
        match then {
            Then::Nothing => {}
            Then::Assign { generation, assignments } => {
                if self.state != State::CompletingRebalance || generation != self.generation {
                    return;
                }
                match outcome {
                    Ok(()) => self.assign(now, assignments, effects),
                    Err(error) => {
                        self.reset_assignments(now, error, effects);
                        self.rebalance_or_complete(now, limits, effects);
                    }
                }
            }
            Then::StaticRejoin(rejoin) => self.static_rejoined(now, *rejoin, outcome, effects),
        }
    }

    fn assign(&mut self, now: Now, mut assignments: HashMap<Arc<str>, Bytes>, effects: &mut Effects) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = assignments.remove(&id).unwrap_or_default();
            if let Some(ticket) = member.awaiting_sync.take() {
                let reply = self.assigned(&id);
                effects.syncs.push((ticket, reply));
                self.renew(now, &id);
            }
        }
        self.move_to(State::Stable, now);
    }

    fn static_rejoined(
        &mut self,
        now: Now,
        rejoin: StaticRejoin,
        outcome: Result<(), ErrorCode>,
        effects: &mut Effects,
    ) {
        let StaticRejoin { instance_id, old_id, new_id, old_protocols, .. } = rejoin;
        if !self.members.contains_key(&new_id) {
            return;
        }
        let current = matches!(self.state, State::Stable | State::CompletingRebalance);
        let leads = self.is_leader(&new_id);
        let mut reply = JoinReply {
            leader: rejoin.old_leader.unwrap_or_default(),
            members: Vec::new(),
            ..self.current_join_reply(&new_id)
        };
        match outcome {
            Ok(()) => {
                if rejoin.supports_skip_assignment {
                    // The leader keeps the assignment that is in force, but learns the members in order to watch them.
                    reply.leader = self.leader.clone().unwrap_or_default();
                    reply.skip_assignment = leads;
                    reply.members = if leads && current { self.joined_members() } else { Vec::new() };
                }
                self.answer_join(&new_id, reply, effects);
            }
            Err(error) => {
                let reply = JoinReply { error, member_id: Arc::from(""), ..reply };
                self.answer_join(&new_id, reply, effects);
                self.set_member(
                    &new_id,
                    old_protocols,
                    rejoin.old_rebalance_timeout_ms,
                    rejoin.old_session_timeout_ms,
                    effects,
                );
                self.exchange_static(&instance_id, &new_id, &old_id, effects);
                self.renew(now, &old_id);
            }
        }
    }

    /// Heartbeat: 27 tells the member to join again.
    pub(crate) fn heartbeat(&mut self, now: Now, request: &HeartbeatRequest) -> ErrorCode {
        if self.state == State::Dead {
            return ErrorCode::COORDINATOR_NOT_AVAILABLE;
        }
        if let Err(error) = self.validate_member(&request.member_id, request.instance_id.as_deref()) {
            return error;
        }
        if request.generation != self.generation {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        self.renew(now, &request.member_id);
        match self.state {
            State::Empty | State::Dead => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::CompletingRebalance | State::Stable => ErrorCode::NONE,
        }
    }

    /// Starts a member's session timeout anew.
    pub(crate) fn renew(&mut self, now: Now, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.expires_at = Some(now.plus(member.session_timeout_ms));
        }
    }

    /// LeaveGroup of one or more members.
    pub(crate) fn leave(
        &mut self,
        now: Now,
        limits: &Limits,
        leavers: Vec<Leaver>,
        effects: &mut Effects,
    ) -> Vec<(Leaver, ErrorCode)> {
        let mut results = Vec::with_capacity(leavers.len());
        for leaver in leavers {
            let error = self.remove_leaver(&leaver, effects);
            results.push((leaver, error));
        }
        if results.iter().any(|(_, error)| *error == ErrorCode::NONE) {
            match self.state {
                State::Stable | State::CompletingRebalance => {
                    self.rebalance_or_complete(now, limits, effects)
                }
                State::PreparingRebalance => self.complete_if_all_joined(now, effects),
                State::Empty | State::Dead => {}
            }
        }
        results
    }

    fn remove_leaver(&mut self, leaver: &Leaver, effects: &mut Effects) -> ErrorCode {
        let id = if leaver.member_id.is_empty() {
            match leaver.instance_id.as_ref().and_then(|instance| self.static_members.get(instance)) {
                Some(id) => id.clone(),
                None => return ErrorCode::UNKNOWN_MEMBER_ID,
            }
        } else if self.pending_joins.contains_key(&leaver.member_id) {
            leaver.member_id.clone()
        } else {
            match self.validate_member(&leaver.member_id, leaver.instance_id.as_deref()) {
                Ok(()) => leaver.member_id.clone(),
                Err(error) => return error,
            }
        };
        self.remove(&id, effects);
        ErrorCode::NONE
    }

    /// Lets time pass: silent members are out, rebalances end.
    pub(crate) fn tick(&mut self, now: Now, limits: &Limits, effects: &mut Effects) {
        self.expire_pending(now, effects);
        self.expire_members(now, limits, effects);
        if let Some(timer) = self.join_timer.filter(|timer| timer.at <= now.monotonic) {
            self.join_timer_fired(now, limits, timer, effects);
        }
        if self.sync_deadline.is_some_and(|at| at <= now.monotonic) {
            self.sync_deadline = None;
            self.expire_syncs(now, limits, effects);
        }
    }

    fn expire_pending(&mut self, now: Now, effects: &mut Effects) {
        let before = self.pending_joins.len();
        self.pending_joins.retain(|_, at| *at > now.monotonic);
        let lapsed = self.pending_joins.len() < before;
        if lapsed && self.state == State::PreparingRebalance && self.all_joined() {
            self.complete_join(now, effects);
        }
    }

    fn expire_members(&mut self, now: Now, limits: &Limits, effects: &mut Effects) {
        let due: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| member.expires_at.is_some_and(|at| at <= now.monotonic))
            .map(|member| member.id.clone())
            .collect();
        for id in due {
            let Some(member) = self.members.get_mut(&id) else { continue };
            if member.expires_at.is_none_or(|at| at > now.monotonic) {
                // The removal of another member has answered this one and so renewed it.
                continue;
            }
            member.expires_at = None;
            if member.vouched_for() {
                continue;
            }
            tracing::info!(
                group = &*self.id,
                member = &*id,
                "a group member was silent for too long and is out"
            );
            self.remove(&id, effects);
            match self.state {
                State::Stable | State::CompletingRebalance => {
                    self.rebalance_or_complete(now, limits, effects)
                }
                State::PreparingRebalance if self.all_joined() => self.complete_join(now, effects),
                State::PreparingRebalance | State::Empty | State::Dead => {}
            }
        }
    }

    fn join_timer_fired(&mut self, now: Now, limits: &Limits, timer: JoinTimer, effects: &mut Effects) {
        self.join_timer = None;
        if self.state != State::PreparingRebalance {
            return;
        }
        match timer.initial {
            Some(InitialDelay { delay_ms, remaining_ms }) if self.newcomer && remaining_ms > 0 => {
                self.newcomer = false;
                let next_ms = limits.initial_delay_ms.min(remaining_ms);
                self.join_timer = Some(JoinTimer {
                    at: now.plus(next_ms),
                    initial: Some(InitialDelay {
                        delay_ms: next_ms,
                        remaining_ms: (remaining_ms - delay_ms).max(0),
                    }),
                });
            }
            _ => self.complete_join(now, effects),
        }
    }

    fn expire_syncs(&mut self, now: Now, limits: &Limits, effects: &mut Effects) {
        if !matches!(self.state, State::CompletingRebalance | State::Stable) || self.pending_syncs.is_empty()
        {
            return;
        }
        for id in std::mem::take(&mut self.pending_syncs) {
            self.remove(&id, effects);
        }
        self.prepare(now, limits, effects);
    }

    /// The group has been loaded from its records: session timeouts start, and a group that has outgrown
    /// `group.max.size` rebalances.
    pub(crate) fn loaded(&mut self, now: Now, limits: &Limits, effects: &mut Effects) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            self.renew(now, &id);
        }
        if self.members.len() > limits.max_size {
            self.prepare(now, limits, effects);
        }
    }

    /// Another node coordinates the group now: everybody who waits is sent there.
    pub(crate) fn unload(&mut self, now: Now, effects: &mut Effects) {
        self.move_to(State::Dead, now);
        self.join_timer = None;
        self.sync_deadline = None;
        for member in self.members.values_mut() {
            if let Some(ticket) = member.awaiting_join.take() {
                let reply = JoinReply::refused(member.id.clone(), ErrorCode::NOT_COORDINATOR);
                effects.joins.push((ticket, reply));
            }
            if let Some(ticket) = member.awaiting_sync.take() {
                effects.syncs.push((ticket, SyncReply::refused(ErrorCode::NOT_COORDINATOR)));
            }
        }
        self.awaiting_joins = 0;
    }
}

/// The rebalance timeout that a request asks for; v0 has none and means the session timeout.
fn rebalance_timeout_ms(request: &JoinRequest) -> i32 {
    request.rebalance_timeout_ms.unwrap_or(request.session_timeout_ms).max(0)
}
