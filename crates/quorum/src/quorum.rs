//! The state machine itself: the entry point `step`, and the moves between roles. Invariants, all asserted: the epoch
//! never goes back; within an epoch the vote is given once; the high watermark never goes back and never passes the
//! log's end; a role change forgets every request that is out.

use crate::action::{Action, Fatal};
use crate::config::{Config, ConfigError};
use crate::event::{Event, Failure, Start};
use crate::follower::Follower;
use crate::leader::Leader;
use crate::log_view::LogView;
use crate::message::{CurrentLeader, ErrorCode, Peer, Request, Response};
use crate::mutant::Mutant;
use crate::requests::{Kind, Requests};
use crate::role::{Role, RoleName, Unattached};
use crate::voters::{ReplicaId, VoterHistory, VoterSet};
use crate::{LogOffset, Millis, VoteState};

/// More role changes than one step can need; more of them means that two roles pass the ball for ever.
const MAX_ROLE_CHANGES_PER_STEP: u32 = 16;
/// For how many fetch timeouts a replica bears to be told that its id is taken. After one of them a former incarnation
/// of itself is forgotten; an answer may be on its way for as long as another one.
const NAMESAKE_TIMEOUTS: u64 = 3;

/// One replica's part in the quorum. See the crate's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quorum {
    pub(crate) config: Config,
    /// The epoch, vote and leader as they are now; the leader may be newer than on disk.
    pub(crate) vote: VoteState,
    /// What is on disk.
    durable: VoteState,
    pub(crate) role: Role,
    pub(crate) voters: VoterHistory,
    pub(crate) high_watermark: i64,
    pub(crate) damaged: bool,
    /// A snapshot that the shell is putting in the place of the log.
    pub(crate) installing: Option<LogOffset>,
    pub(crate) stopping: bool,
    shutdown_complete: bool,
    halted: bool,
    /// Elections since a leader was known; grows the pause between them.
    pub(crate) attempts: u32,
    pub(crate) requests: Requests,
    /// When a leader could last be reached, this replica's own majority included.
    pub(crate) contact: Option<Millis>,
    /// The epoch in which another replica was said to hold this node's id, and when that was said first.
    pub(crate) taken: Option<(i32, Millis)>,
    told_leader: (Option<i32>, i32),
    pub(crate) timer: Millis,
    pub(crate) role_changes: u32,
}

/// Whether an answer says that another replica with the asker's id is alive.
fn tells_of_a_namesake(response: &Response) -> bool {
    let error = match response {
        Response::Vote(response) => response.error,
        Response::Fetch(response) => response.error,
        Response::FetchSnapshot(response) => response.error,
        _ => return false,
    };
    error == ErrorCode::DuplicateVoter
}

/// What one step works on.
pub(crate) struct Step<'a> {
    pub(crate) log: &'a dyn LogView,
    pub(crate) now: Millis,
    pub(crate) actions: Vec<Action>,
    /// An action of this step changes the log, so the view is out of date until the next step.
    pub(crate) log_changes: bool,
}

impl<'a> Step<'a> {
    fn new(log: &'a dyn LogView, now: Millis) -> Self {
        Self { log, now, actions: Vec::new(), log_changes: false }
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn reply(&mut self, correlation: u64, response: Response) {
        self.push(Action::Reply { correlation, response });
    }
}

/// A replica that starts without knowing a leader calls an election after this part of the election timeout, and up to as much again.
const START_SHARE: u64 = 16;

impl Quorum {
    /// Starts a replica. Of several voters it comes up as a follower or unattached; a single voter leads at once.
    ///
    /// `log` must have been recovered: a torn tail cut off, the rest flushed.
    pub fn start(
        config: Config,
        start: Start,
        log: &dyn LogView,
        now: Millis,
    ) -> Result<(Self, Vec<Action>), ConfigError> {
        config.validate()?;
        let durable = start.vote.unwrap_or_default();
        let log_epoch = log.end().epoch;
        let mut vote = if durable.epoch < log_epoch { VoteState::unknown(log_epoch) } else { durable };
        if vote.leader == Some(config.local.id) {
            // Entries of that epoch may have been lost with the page cache, so it must not be led on.
            vote.leader = None;
        }
        let committed = log.snapshot().map_or(0, |snapshot| snapshot.offset).max(log.start().offset);
        let mut quorum = Self {
            voters: VoterHistory::new(config.voters.clone(), start.voters),
            vote,
            durable,
            role: Role::Unattached(Unattached { deadline: Millis::NEVER, probe: 0 }),
            high_watermark: committed,
            damaged: start.damaged,
            installing: None,
            stopping: false,
            shutdown_complete: false,
            halted: false,
            attempts: 0,
            requests: Requests::default(),
            contact: None,
            taken: None,
            told_leader: (None, 0),
            timer: Millis::NEVER,
            role_changes: 0,
            config,
        };
        let mut step = Step::new(log, now);
        quorum.role = match vote.leader {
            Some(_) => Role::Follower(Follower::new(now.plus(quorum.config.fetch_timeout_ms))),
            // Who starts with others needn't give a leader time to be heard of: pre-vote keeps one that they know.
            None => quorum.unattached(now, quorum.config.election_timeout_ms / START_SHARE),
        };
        if quorum.damaged && quorum.is_only_voter() {
            quorum.halt(Fatal::OnlyCopyDamaged, &mut step);
        }
        quorum.finish(&mut step);
        Ok((quorum, step.actions))
    }

    /// Takes one event and returns what is to be done about it, in order.
    ///
    /// `now` must not go back between calls. The order of the actions is the order of durability; see [`Action`].
    pub fn step(&mut self, event: Event, log: &dyn LogView, now: Millis) -> Vec<Action> {
        let mut step = Step::new(log, now);
        if self.halted {
            return step.actions;
        }
        self.role_changes = 0;
        if event == Event::Tick {
            // The timer has gone off, so it must be set again even for the same moment.
            self.timer = Millis::NEVER;
        }
        // First of all, so that a process that was stopped doesn't take old news for new ones when it goes on.
        for (peer, kind) in self.requests.expire(now) {
            self.on_failure(peer, kind, Failure::Lost, &mut step);
        }
        self.handle(event, &mut step);
        self.finish(&mut step);
        step.actions
    }

    /// The current epoch.
    pub fn epoch(&self) -> i32 {
        self.vote.epoch
    }

    /// The leader of the current epoch, when known.
    pub fn leader(&self) -> Option<i32> {
        self.vote.leader
    }

    /// What this replica is.
    pub fn role(&self) -> RoleName {
        match &self.role {
            Role::Leader(_) => RoleName::Leader,
            Role::Resigned(_) => RoleName::Resigned,
            Role::Prospective(_) => RoleName::Prospective,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Unattached(_) | Role::Follower(_) if !self.is_voter() => RoleName::Observer,
            Role::Unattached(_) => RoleName::Unattached,
            Role::Follower(_) => RoleName::Follower,
        }
    }

    /// Everything below this offset is committed, as far as this replica knows.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The voters in effect: the newest set of the log, committed or not.
    pub fn voters(&self) -> &VoterSet {
        self.voters.last()
    }

    /// Whether this replica is one of the voters in effect.
    pub fn is_voter(&self) -> bool {
        self.voters().contains(self.config.local)
    }

    /// When this replica last was in touch with a leader that leads: for a follower when a fetch was last answered, for
    /// a leader when a majority, itself included, had last fetched (a single voter is always in touch). Stays as it was
    /// when the leader is lost; `None` until there was one. What a client is told rests on nothing newer.
    pub fn last_contact(&self, now: Millis) -> Option<Millis> {
        match &self.role {
            Role::Leader(leader) => Some(self.majority_heard(leader).min(now)),
            _ => self.contact,
        }
    }

    /// When the next `Event::Tick` is due.
    pub fn next_tick(&self) -> Millis {
        self.timer
    }

    pub(crate) fn is_only_voter(&self) -> bool {
        self.is_voter() && self.voters().len() == 1
    }

    /// Whether this replica may ask for votes.
    pub(crate) fn may_campaign(&self) -> bool {
        (self.is_voter() || self.is_leaving()) && !self.damaged && !self.stopping && self.installing.is_none()
    }

    /// Whether this replica was voted out by a set that may not be committed. Perhaps no voter has a log as long as
    /// this one, so it must be able to lead until that set is committed, without a vote of its own.
    fn is_leaving(&self) -> bool {
        let uncommitted = self.voters.last_offset().is_some_and(|offset| offset >= self.high_watermark);
        uncommitted && !self.is_voter() && self.voters.previous().contains(self.config.local)
    }

    pub(crate) fn current_leader(&self) -> CurrentLeader {
        CurrentLeader { id: self.vote.leader, epoch: self.vote.epoch }
    }

    fn handle(&mut self, event: Event, step: &mut Step<'_>) {
        match event {
            Event::Tick => {}
            Event::Appended { voters } => {
                self.voters.append(voters);
                self.on_log_moved(step);
            }
            Event::Flushed | Event::Truncated => self.on_log_moved(step),
            Event::SnapshotInstalled { voters } => self.on_snapshot_installed(voters, step),
            Event::SnapshotRejected => self.installing = None,
            Event::Request { correlation, request } => self.on_request(correlation, request, step),
            Event::Response { from, correlation, response } => {
                if let Some(kind) = self.requests.close(from, correlation) {
                    self.on_response(from, kind, response, step);
                }
            }
            Event::RequestFailed { to, correlation, failure } => {
                if let Some(kind) = self.requests.close(to, correlation) {
                    self.on_failure(to, kind, failure, step);
                }
            }
            Event::Resign => self.resign(step),
            Event::Shutdown => {
                self.stopping = true;
                self.resign(step);
            }
        }
    }

    fn on_request(&mut self, correlation: u64, request: Request, step: &mut Step<'_>) {
        match request {
            Request::Vote(request) => self.on_vote(correlation, request, step),
            Request::BeginQuorumEpoch(request) => self.on_begin_epoch(correlation, request, step),
            Request::EndQuorumEpoch(request) => self.on_end_epoch(correlation, request, step),
            Request::Fetch(request) => self.on_fetch(correlation, request, step),
            Request::FetchSnapshot(request) => self.on_fetch_snapshot(correlation, request, step),
            Request::DescribeQuorum => self.on_describe(correlation, step),
            Request::AddVoter(request) => self.on_add_voter(correlation, request, step),
            Request::RemoveVoter(request) => self.on_remove_voter(correlation, request, step),
            Request::UpdateVoter(request) => self.on_update_voter(correlation, request, step),
        }
    }

    fn on_response(&mut self, from: Peer, kind: Kind, response: Response, step: &mut Step<'_>) {
        let leader = match &response {
            Response::Vote(response) => response.leader,
            Response::BeginQuorumEpoch(response) | Response::EndQuorumEpoch(response) => response.leader,
            Response::Fetch(response) => response.leader,
            Response::FetchSnapshot(response) => response.leader,
            Response::DescribeQuorum(response) => response.leader,
            Response::AddVoter(response)
            | Response::RemoveVoter(response)
            | Response::UpdateVoter(response) => response.leader,
        };
        if tells_of_a_namesake(&response) && self.is_replaced(leader.epoch, step) {
            return;
        }
        if self.learn(leader, step) {
            return;
        }
        match (kind, response) {
            (Kind::Vote, Response::Vote(response)) => self.on_vote_response(from, response, step),
            // A voter has taken up the epoch when it fetches; that it answered tells no more.
            (Kind::BeginEpoch, Response::BeginQuorumEpoch(_)) => {}
            (Kind::EndEpoch, Response::EndQuorumEpoch(_)) => self.on_end_epoch_answered(from),
            (Kind::Fetch, Response::Fetch(response)) => self.on_fetch_response(from, response, step),
            (Kind::Fetch, Response::FetchSnapshot(response)) => {
                self.on_fetch_snapshot_response(from, response, step);
            }
            (
                Kind::Membership,
                Response::AddVoter(response)
                | Response::RemoveVoter(response)
                | Response::UpdateVoter(response),
            ) => self.on_membership_response(from, response, step),
            (kind, _) => self.on_failure(from, kind, Failure::Lost, step),
        }
    }

    fn on_failure(&mut self, to: Peer, kind: Kind, failure: Failure, step: &mut Step<'_>) {
        self.requests.back_off(to, kind, step.now.plus(self.config.retry_backoff_ms));
        match (kind, failure) {
            (Kind::Fetch, Failure::Refused) => self.on_leader_refused(to, step),
            (Kind::Fetch, Failure::Lost) => self.on_fetch_lost(to),
            (Kind::Vote, Failure::Refused) => self.on_voter_refused(to),
            (Kind::BeginEpoch, Failure::Lost) => self.on_begin_epoch_lost(to),
            (Kind::EndEpoch, Failure::Refused) => self.on_end_epoch_answered(to),
            _ => {}
        }
    }

    /// Another replica is said to have this node's id. That passes when it is this node's own former incarnation, whose
    /// last fetch the leader still remembers, or whose leadership a follower does; if it doesn't, that other one lives.
    /// Returns whether this replica has stopped for it.
    fn is_replaced(&mut self, epoch: i32, step: &mut Step<'_>) -> bool {
        let patience = self.config.fetch_timeout_ms.saturating_mul(NAMESAKE_TIMEOUTS);
        match self.taken {
            Some((known, since)) if known == epoch => {
                if since.plus(patience) <= step.now {
                    let ReplicaId { id, directory } = self.config.local;
                    self.halt(Fatal::NodeIdTaken { id, directory }, step);
                }
            }
            _ => self.taken = Some((epoch, step.now)),
        }
        self.halted
    }

    /// Takes up what a response says about the epoch and its leader. Returns whether that changed this replica's role,
    /// in which case the response was meant for what it no longer is.
    pub(crate) fn learn(&mut self, leader: CurrentLeader, step: &mut Step<'_>) -> bool {
        let other = leader.id.filter(|id| *id != self.config.local.id);
        if leader.epoch > self.vote.epoch {
            match other {
                Some(id) => self.become_follower(leader.epoch, id, step),
                None => self.enter_epoch(leader.epoch, step),
            }
            return true;
        }
        let leaderless =
            !matches!(self.role, Role::Leader(_) | Role::Resigned(_)) && self.vote.leader.is_none();
        match other {
            Some(id) if leader.epoch == self.vote.epoch && leaderless => {
                self.become_follower(leader.epoch, id, step);
                true
            }
            _ => false,
        }
    }

    fn on_log_moved(&mut self, step: &mut Step<'_>) {
        match &self.role {
            Role::Leader(_) => {
                self.advance_high_watermark(step);
                self.complete_parked(step);
            }
            Role::Follower(_) => self.follow_high_watermark(step),
            _ => {}
        }
    }

    /// Lets the clock and the events just taken have their effect, then tells what changed.
    fn finish(&mut self, step: &mut Step<'_>) {
        while !self.halted {
            let before = self.role_changes;
            self.poll(step);
            if before == self.role_changes {
                break;
            }
            assert!(
                self.role_changes < MAX_ROLE_CHANGES_PER_STEP,
                "roles pass the ball for ever: {:?}",
                self.role
            );
        }
        self.voters.trim_below(step.log.start().offset);
        if self.halted {
            return;
        }
        let leader = (self.vote.leader, self.vote.epoch);
        if leader != self.told_leader {
            self.told_leader = leader;
            step.push(Action::LeaderChanged { leader: leader.0, epoch: leader.1 });
        }
        if self.stopping && !self.shutdown_complete && self.nobody_waits() {
            self.shutdown_complete = true;
            step.push(Action::ShutdownComplete);
        }
        let deadline = self.role_deadline().min(self.requests.next_deadline(step.now));
        debug_assert!(deadline > step.now, "a deadline that has passed was not handled: {:?}", self.role);
        if deadline != self.timer {
            self.timer = deadline;
            step.push(Action::SetTimer(deadline));
        }
    }

    fn poll(&mut self, step: &mut Step<'_>) {
        match &self.role {
            Role::Unattached(_) => self.poll_unattached(step),
            Role::Prospective(_) | Role::Candidate(_) => self.poll_election(step),
            Role::Leader(_) => self.poll_leader(step),
            Role::Follower(_) => self.poll_follower(step),
            Role::Resigned(_) => self.poll_resigned(step),
        }
    }

    fn role_deadline(&self) -> Millis {
        match &self.role {
            Role::Unattached(unattached) if self.may_campaign() => unattached.deadline,
            Role::Unattached(_) => Millis::NEVER,
            Role::Prospective(election) | Role::Candidate(election) => election.deadline,
            Role::Leader(leader) => self.leader_deadline(leader),
            Role::Follower(_) if self.installing.is_some() => Millis::NEVER,
            Role::Follower(follower) => follower.deadline,
            Role::Resigned(resigned) => resigned.deadline,
        }
    }

    fn nobody_waits(&self) -> bool {
        match &self.role {
            Role::Resigned(resigned) => resigned.untold.is_empty(),
            Role::Leader(_) => false,
            _ => true,
        }
    }

    /// A role without a leader that calls an election after `wait` and up to as much again.
    pub(crate) fn unattached(&self, now: Millis, wait: u64) -> Role {
        Role::Unattached(Unattached { deadline: now.plus(wait + self.jitter(wait)), probe: 0 })
    }

    /// Takes up the vote; makes it durable when the epoch or the vote itself changed. A leader alone isn't worth a
    /// flush: who forgets it can still not give a second vote.
    pub(crate) fn set_vote(&mut self, vote: VoteState, step: &mut Step<'_>) {
        assert!(vote.epoch >= self.vote.epoch, "the epoch went back: {:?} -> {vote:?}", self.vote);
        assert!(
            vote.epoch > self.vote.epoch
                || self.vote.voted_for.is_none()
                || vote.voted_for == self.vote.voted_for,
            "a second vote in one epoch: {:?} -> {vote:?}",
            self.vote
        );
        if (vote.epoch, vote.voted_for) != (self.durable.epoch, self.durable.voted_for) {
            self.durable = vote;
            if !(vote.voted_for.is_some() && self.planted(Mutant::VoteNotDurable)) {
                step.push(Action::PersistVote(vote));
            }
        }
        self.vote = vote;
    }

    /// Gives up the present role for `role`. The vote must be up to date: the answers sent here carry it.
    pub(crate) fn change_role(&mut self, role: Role, step: &mut Step<'_>) {
        self.role_changes += 1;
        self.requests.clear();
        let old = std::mem::replace(&mut self.role, role);
        if let Role::Leader(leader) = old {
            self.end_leadership(leader, step);
        }
    }

    /// Enters a later epoch whose leader isn't known.
    pub(crate) fn enter_epoch(&mut self, epoch: i32, step: &mut Step<'_>) {
        self.set_vote(VoteState::unknown(epoch), step);
        let role = self.unattached(step.now, self.config.election_timeout_ms);
        self.change_role(role, step);
    }

    /// Stays in the epoch and forgets its leader; calls an election after `wait`, when it may.
    pub(crate) fn detach(&mut self, role: Role, step: &mut Step<'_>) {
        self.vote.leader = None;
        self.change_role(role, step);
    }

    pub(crate) fn become_follower(&mut self, epoch: i32, leader: i32, step: &mut Step<'_>) {
        let voted_for = self.vote.voted_for.filter(|_| epoch == self.vote.epoch);
        self.set_vote(VoteState { epoch, voted_for, leader: Some(leader) }, step);
        self.attempts = 0;
        self.change_role(Role::Follower(Follower::new(step.now.plus(self.config.fetch_timeout_ms))), step);
        if self.planted(Mutant::TruncateToHighWatermark) && !step.log_changes {
            self.truncate(LogOffset::new(self.high_watermark, i32::MAX), step);
        }
    }

    /// Leads `epoch`, for which these voters voted.
    pub(crate) fn become_leader(&mut self, granting: Vec<i32>, step: &mut Step<'_>) {
        let start_offset = step.log.end().offset;
        self.vote.leader = Some(self.config.local.id);
        self.attempts = 0;
        self.change_role(Role::Leader(Leader::new(self.vote.epoch, start_offset, step.now)), step);
        let records = self.start_of_epoch(granting);
        step.push(Action::AppendControl { epoch: self.vote.epoch, records });
        step.push(Action::BecameLeader { epoch: self.vote.epoch, start_offset });
        step.log_changes = true;
    }

    pub(crate) fn set_high_watermark(&mut self, offset: i64, step: &mut Step<'_>) {
        assert!(offset > self.high_watermark, "the high watermark went back to {offset}");
        assert!(
            offset <= step.log.end().offset || self.installing.is_some(),
            "the high watermark {offset} passed the log's end"
        );
        self.high_watermark = offset;
        step.push(Action::HighWatermark(offset));
    }

    pub(crate) fn halt(&mut self, fatal: Fatal, step: &mut Step<'_>) {
        self.halted = true;
        step.push(Action::Fatal(fatal));
    }

    /// A number below `bound` that differs between replicas, epochs and attempts, and is the same in every replay.
    pub(crate) fn jitter(&self, bound: u64) -> u64 {
        let mut x = self.config.jitter ^ (u64::from(self.config.local.id.unsigned_abs()) << 40);
        for part in [u64::from(self.vote.epoch.unsigned_abs()), u64::from(self.attempts)] {
            x = x.wrapping_add(part).wrapping_add(0x9E37_79B9_7F4A_7C15);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^= x >> 31;
        }
        x % bound.max(1)
    }
}
