//! Elections: pre-vote, vote, and the answers to both. Invariants: a vote is durable before its answer or the requests
//! that rest on it leave; a vote goes only to a log that covers ours; a damaged or stopping replica asks for none.

use std::collections::BTreeSet;

use crate::VoteState;
use crate::action::{Action, Fatal};
use crate::message::{ErrorCode, Peer, Request, Response, VoteRequest, VoteResponse};
use crate::mutant::Mutant;
use crate::quorum::{Quorum, Step};
use crate::requests::Kind;
use crate::role::{Election, Role};

/// The first pause after a lost election; doubles with each one.
const BACKOFF_BASE_MS: u64 = 50;

impl Quorum {
    pub(crate) fn on_vote(&mut self, correlation: u64, request: VoteRequest, step: &mut Step<'_>) {
        let (error, vote_granted) = match self.judge_vote(&request, step) {
            Ok(granted) => (ErrorCode::None, granted),
            Err(error) => (error, false),
        };
        let leader = self.current_leader();
        step.reply(correlation, Response::Vote(VoteResponse { error, leader, vote_granted }));
    }

    fn judge_vote(&mut self, request: &VoteRequest, step: &mut Step<'_>) -> Result<bool, ErrorCode> {
        if !request.voter.names(self.config.local) {
            return Err(ErrorCode::InvalidVoterKey);
        }
        let last_epoch_fits =
            request.last.epoch < request.epoch || (request.pre_vote && request.last.epoch == request.epoch);
        if request.epoch < 0
            || request.last.epoch < 0
            || request.last.offset < 0
            || request.candidate.id < 0
            || request.candidate.id == self.config.local.id
            || !last_epoch_fits
        {
            return Err(ErrorCode::InvalidRequest);
        }
        if request.epoch < self.vote.epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if request.epoch > self.vote.epoch {
            self.enter_epoch(request.epoch, step);
        }
        if request.pre_vote
            && self.vote.leader == Some(request.candidate.id)
            && self.has_live_leader(step.now)
        {
            return Err(ErrorCode::DuplicateVoter);
        }
        let covers = request.last.covers(step.log.end()) || self.planted(Mutant::VoteForShorterLog);
        if (self.damaged && !self.planted(Mutant::DamagedVotes)) || !covers {
            return Ok(false);
        }
        Ok(if request.pre_vote { self.would_vote(step) } else { self.give_vote(request, step) })
    }

    /// Whether this replica has no leader worth keeping.
    fn would_vote(&self, step: &Step<'_>) -> bool {
        match &self.role {
            _ if self.planted(Mutant::PreVoteIgnored) => true,
            Role::Leader(_) => false,
            Role::Follower(_) => !self.has_live_leader(step.now),
            _ => true,
        }
    }

    fn give_vote(&mut self, request: &VoteRequest, step: &mut Step<'_>) -> bool {
        if let Some(voted_for) = self.vote.voted_for {
            return voted_for == request.candidate || self.planted(Mutant::TwoVotes);
        }
        match &self.role {
            Role::Unattached(_) | Role::Prospective(_) if self.vote.leader.is_none() => {
                self.set_vote(VoteState { voted_for: Some(request.candidate), ..self.vote }, step);
                let role = self.unattached(step.now, self.config.election_timeout_ms);
                self.change_role(role, step);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn on_vote_response(&mut self, from: Peer, response: VoteResponse, step: &mut Step<'_>) {
        let Peer::Node(id) = from else { return };
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else { return };
        if response.leader.epoch != self.vote.epoch && response.error != ErrorCode::InvalidVoterKey {
            self.requests.back_off(from, Kind::Vote, step.now.plus(self.config.retry_backoff_ms));
            return;
        }
        if response.error == ErrorCode::None && response.vote_granted {
            election.granted.insert(id);
        } else {
            election.rejected.insert(id);
        }
    }

    /// A voter whose process is gone gives no vote: without it the others may be too few, and the next election comes
    /// after a pause and not after a timeout.
    pub(crate) fn on_voter_refused(&mut self, to: Peer) {
        if let (Role::Prospective(election) | Role::Candidate(election), Peer::Node(id)) =
            (&mut self.role, to)
        {
            election.rejected.insert(id);
        }
    }

    pub(crate) fn poll_unattached(&mut self, step: &mut Step<'_>) {
        let Role::Unattached(unattached) = &self.role else { return };
        if self.may_campaign() {
            if unattached.deadline <= step.now || self.is_only_voter() {
                self.become_prospective(step);
            }
        } else if !self.stopping && self.installing.is_none() {
            self.probe_for_leader(step);
        }
    }

    pub(crate) fn become_prospective(&mut self, step: &mut Step<'_>) {
        if self.is_only_voter() {
            return self.become_candidate(step);
        }
        self.attempts = self.attempts.saturating_add(1);
        let election = self.new_election(step);
        self.change_role(Role::Prospective(election), step);
    }

    pub(crate) fn become_candidate(&mut self, step: &mut Step<'_>) {
        let Some(epoch) = self.vote.epoch.checked_add(1) else {
            return self.halt(Fatal::EpochsExhausted(self.vote.epoch), step);
        };
        self.attempts = self.attempts.saturating_add(1);
        self.set_vote(VoteState { epoch, voted_for: Some(self.config.local), leader: None }, step);
        let election = self.new_election(step);
        self.change_role(Role::Candidate(election), step);
    }

    fn new_election(&self, step: &Step<'_>) -> Election {
        let timeout = self.config.election_timeout_ms;
        Election {
            deadline: step.now.plus(timeout + self.jitter(timeout)),
            last: step.log.end(),
            granted: self.is_voter().then_some(self.config.local.id).into_iter().collect(),
            rejected: BTreeSet::new(),
        }
    }

    pub(crate) fn poll_election(&mut self, step: &mut Step<'_>) {
        let (election, pre_vote) = match &self.role {
            Role::Prospective(election) => (election, true),
            Role::Candidate(election) => (election, false),
            _ => return,
        };
        if !self.may_campaign() {
            let role = self.unattached(step.now, self.config.election_timeout_ms);
            return self.detach(role, step);
        }
        if election.won(self.voters()) {
            let granting = election.granted.iter().copied().collect();
            return if pre_vote { self.become_candidate(step) } else { self.become_leader(granting, step) };
        }
        if election.lost(self.voters()) || election.deadline <= step.now {
            return self.lose_election(pre_vote, step);
        }
        self.ask_for_votes(pre_vote, step);
    }

    /// Without a majority: back to the leader that was given up too early, or a pause before the next try.
    fn lose_election(&mut self, pre_vote: bool, step: &mut Step<'_>) {
        match self.vote.leader {
            Some(leader) if pre_vote => {
                let attempts = self.attempts;
                self.become_follower(self.vote.epoch, leader, step);
                self.attempts = attempts;
            }
            _ => {
                let ceiling = BACKOFF_BASE_MS << self.attempts.min(20);
                let pause = 1 + self.jitter(ceiling.min(self.config.election_backoff_max_ms));
                let deadline = step.now.plus(pause);
                let role = Role::Unattached(crate::role::Unattached { deadline, probe: 0 });
                self.detach(role, step);
            }
        }
    }

    fn ask_for_votes(&mut self, pre_vote: bool, step: &mut Step<'_>) {
        let (Role::Prospective(election) | Role::Candidate(election)) = &self.role else { return };
        let deadline = step.now.plus(self.config.request_timeout_ms);
        for voter in self.voters.last().iter().map(|voter| voter.replica) {
            let to = Peer::Node(voter.id);
            let answered = election.granted.contains(&voter.id) || election.rejected.contains(&voter.id);
            if answered || !self.requests.ready(to, Kind::Vote, step.now) {
                continue;
            }
            let request = Request::Vote(VoteRequest {
                voter,
                epoch: self.vote.epoch,
                candidate: self.config.local,
                last: election.last,
                pre_vote,
            });
            let correlation = self.requests.open(to, Kind::Vote, deadline);
            step.push(Action::Send { to, correlation, request });
        }
    }
}
