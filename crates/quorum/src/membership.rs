//! Changes of the voter set (KIP-853), one voter at a time. Invariants: a change begins only when an entry of the
//! leader's epoch is committed and so is the last voter set (the flaw of 2015 in Raft's single-server changes); a set
//! is in effect once appended; a leader outside of the committed set resigns.

use crate::Millis;
use crate::action::Action;
use crate::event::ControlRecord;
use crate::message::{
    AddVoterRequest, ErrorCode, MembershipResponse, Peer, RemoveVoterRequest, Request, Response,
    UpdateVoterRequest,
};
use crate::mutant::Mutant;
use crate::quorum::{Quorum, Step};
use crate::requests::Kind;
use crate::role::Role;
use crate::voters::{ReplicaId, Voter, VoterSet};

/// The longest that a change may keep its request waiting.
const MAX_CHANGE_MS: u64 = 300_000;

/// Which response the request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Api {
    Add,
    Remove,
    Update,
}

/// How far a change is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// The new voter hasn't fetched what is committed yet.
    CatchingUp(Voter),
    /// Its record is the first voter set at or above this offset.
    Committing(i64),
}

/// The one change that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) correlation: u64,
    api: Api,
    phase: Phase,
    pub(crate) deadline: Millis,
}

impl Quorum {
    pub(crate) fn on_add_voter(&mut self, correlation: u64, request: AddVoterRequest, step: &mut Step<'_>) {
        let voter = Voter { replica: request.voter, endpoints: request.endpoints };
        let refusal = self.refuse_change().or_else(|| {
            if voter.replica.id < 0 || voter.replica.directory.is_nil() {
                return Some((ErrorCode::InvalidRequest, "the voter has no id or no directory id"));
            }
            let taken = self.voters().get(voter.replica.id).is_some();
            taken.then_some((ErrorCode::DuplicateVoter, "a voter with this id is part of the quorum already"))
        });
        if let Some((error, message)) = refusal {
            return self.reply_membership(correlation, Api::Add, error, message, step);
        }
        let deadline = step.now.plus(request.timeout_ms.clamp(1, MAX_CHANGE_MS));
        self.begin_change(Change { correlation, api: Api::Add, phase: Phase::CatchingUp(voter), deadline });
    }

    pub(crate) fn on_remove_voter(
        &mut self,
        correlation: u64,
        request: RemoveVoterRequest,
        step: &mut Step<'_>,
    ) {
        let refusal = self.refuse_change().or_else(|| {
            if !self.voters().contains(request.voter) {
                return Some((ErrorCode::VoterNotFound, "no voter has this id and directory id"));
            }
            if self.voters().len() == 1 {
                let message = "the only voter can't be removed; add another one first";
                return Some((ErrorCode::InvalidRequest, message));
            }
            self.is_contested(request.voter, step.now).then_some((
                ErrorCode::DuplicateVoter,
                "two live replicas claim this node id; stop the one that is not to have it",
            ))
        });
        if let Some((error, message)) = refusal {
            return self.reply_membership(correlation, Api::Remove, error, message, step);
        }
        let voters = self.voters().without(request.voter.id);
        self.append_voters(correlation, Api::Remove, voters, step);
    }

    pub(crate) fn on_update_voter(
        &mut self,
        correlation: u64,
        request: UpdateVoterRequest,
        step: &mut Step<'_>,
    ) {
        let wrong_epoch = self.refuse_unless_leader_of(request.current_leader_epoch).err();
        let refusal = wrong_epoch.map(|error| (error, "the request is of another leader epoch"));
        let refusal = refusal.or_else(|| self.refuse_change()).or_else(|| {
            if request.voter.directory.is_nil() {
                return Some((ErrorCode::InvalidRequest, "the voter has no directory id"));
            }
            let known = self.voters().contains(request.voter);
            (!known).then_some((ErrorCode::VoterNotFound, "no voter has this id and directory id"))
        });
        if let Some((error, message)) = refusal {
            return self.reply_membership(correlation, Api::Update, error, message, step);
        }
        let voters = self.voters().with(Voter { replica: request.voter, endpoints: request.endpoints });
        if voters == *self.voters() {
            return self.reply_membership(correlation, Api::Update, ErrorCode::None, "", step);
        }
        self.append_voters(correlation, Api::Update, voters, step);
    }

    /// Whether a voter lives, and so does another replica with its id: perhaps it is that one that wants it removed, to
    /// take its place.
    fn is_contested(&self, voter: ReplicaId, now: Millis) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let since = now.0.saturating_sub(self.config.fetch_timeout_ms);
        let lives = leader.last_heard(voter).0 > since;
        let mut others = leader.incarnations(voter.id).filter(|(other, _)| !voter.names(**other));
        lives && others.any(|(_, progress)| progress.last_fetch.is_some_and(|moment| moment.0 > since))
    }

    /// Why no change of the voters may begin now.
    fn refuse_change(&self) -> Option<(ErrorCode, &'static str)> {
        let Role::Leader(leader) = &self.role else {
            return Some((ErrorCode::NotLeaderOrFollower, "this node doesn't lead the quorum"));
        };
        if self.told_high_watermark() < 0 && !self.planted(Mutant::ChangeBeforeOwnEpoch) {
            return Some((
                ErrorCode::RequestTimedOut,
                "nothing of the leader's epoch is committed yet; try again",
            ));
        }
        let uncommitted = self.voters.last_offset().is_none_or(|offset| offset >= self.high_watermark);
        if (leader.change.is_some() || uncommitted) && !self.planted(Mutant::TwoChanges) {
            return Some((
                ErrorCode::RequestTimedOut,
                "another change of the voters is under way; try again",
            ));
        }
        None
    }

    fn begin_change(&mut self, change: Change) {
        if let Role::Leader(leader) = &mut self.role {
            leader.change = Some(change);
        }
    }

    fn append_voters(&mut self, correlation: u64, api: Api, voters: VoterSet, step: &mut Step<'_>) {
        let deadline = step.now.plus(self.config.request_timeout_ms);
        let phase = Phase::Committing(step.log.end().offset);
        self.begin_change(Change { correlation, api, phase, deadline });
        self.push_voters(voters, step);
    }

    fn push_voters(&mut self, voters: VoterSet, step: &mut Step<'_>) {
        let records = vec![ControlRecord::Voters(voters)];
        step.push(Action::AppendControl { epoch: self.vote.epoch, records });
        step.log_changes = true;
    }

    /// Promotes the observer that waits to be a voter once it has caught up; gives up on a change that takes too long.
    pub(crate) fn poll_change(&mut self, step: &mut Step<'_>) {
        let high_watermark = self.high_watermark;
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(change) = &mut leader.change else { return };
        if change.deadline <= step.now {
            let change = leader.change.take();
            if let Some(change) = change {
                self.reply_change(change, ErrorCode::RequestTimedOut, "the change took too long", step);
            }
            return;
        }
        let Phase::CatchingUp(voter) = &change.phase else { return };
        let progress = leader.replicas.get(&voter.replica).copied().unwrap_or_default();
        let recent =
            progress.last_fetch.is_some_and(|last| last.plus(self.config.fetch_timeout_ms) > step.now);
        if recent && progress.end_offset.is_some_and(|end| end >= high_watermark) && !step.log_changes {
            let voter = voter.clone();
            change.phase = Phase::Committing(step.log.end().offset);
            let voters = self.voters().with(voter);
            self.push_voters(voters, step);
        }
    }

    /// The high watermark moved: a change may be done, and this leader may have been voted out by it.
    pub(crate) fn on_committed(&mut self, step: &mut Step<'_>) {
        let Some(offset) = self.voters.last_offset().filter(|offset| *offset < self.high_watermark) else {
            return;
        };
        if let Role::Leader(leader) = &mut self.role
            && let Some(change) = leader
                .change
                .take_if(|change| matches!(change.phase, Phase::Committing(from) if from <= offset))
        {
            self.reply_change(change, ErrorCode::None, "", step);
        }
        if !self.is_voter() {
            self.complete_parked(step);
            self.resign(step);
        }
    }

    pub(crate) fn reply_change(&self, change: Change, error: ErrorCode, message: &str, step: &mut Step<'_>) {
        self.reply_membership(change.correlation, change.api, error, message, step);
    }

    fn reply_membership(
        &self,
        correlation: u64,
        api: Api,
        error: ErrorCode,
        message: &str,
        step: &mut Step<'_>,
    ) {
        let response =
            MembershipResponse { error, message: message.to_owned(), leader: self.current_leader() };
        step.reply(
            correlation,
            match api {
                Api::Add => Response::AddVoter(response),
                Api::Remove => Response::RemoveVoter(response),
                Api::Update => Response::UpdateVoter(response),
            },
        );
    }

    /// What a follower wants changed about its own place: a voter its endpoints or its unknown directory, an observer
    /// that joins by itself (`controller.quorum.auto.join.enable`) a vote, after the one of its lost disk is gone.
    pub(crate) fn ask_for_membership(&mut self, leader: Peer, step: &mut Step<'_>) {
        let Role::Follower(follower) = &self.role else { return };
        let caught_up = follower.leader_high_watermark.is_some_and(|offset| step.log.flushed() >= offset);
        if !caught_up || self.stopping || !self.requests.ready(leader, Kind::Membership, step.now) {
            return;
        }
        let own = self.own_voter();
        let request = match self.voters().get(own.replica.id) {
            Some(voter) if *voter == own => return,
            Some(voter) if voter.replica.names(own.replica) => Request::UpdateVoter(UpdateVoterRequest {
                current_leader_epoch: self.vote.epoch,
                voter: own.replica,
                endpoints: own.endpoints,
            }),
            _ if !self.config.auto_join => return,
            Some(voter) => Request::RemoveVoter(RemoveVoterRequest { voter: voter.replica }),
            None => Request::AddVoter(AddVoterRequest {
                voter: own.replica,
                endpoints: own.endpoints,
                timeout_ms: self.config.request_timeout_ms,
            }),
        };
        let deadline = step.now.plus(self.config.request_timeout_ms.saturating_mul(2));
        let correlation = self.requests.open(leader, Kind::Membership, deadline);
        step.push(Action::Send { to: leader, correlation, request });
    }

    /// The change, if any, arrives with the log; until then the leader isn't asked again.
    pub(crate) fn on_membership_response(&mut self, from: Peer, _: MembershipResponse, step: &mut Step<'_>) {
        let until = step.now.plus(self.config.fetch_max_wait_ms.max(self.config.retry_backoff_ms));
        self.requests.back_off(from, Kind::Membership, until);
    }
}
