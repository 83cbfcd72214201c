//! Following: fetching, truncating, starting over from a snapshot, and finding the leader. Invariants: a fetch is sent
//! only when everything appended is flushed, because its offset is the acknowledgement; the log is never cut below the
//! high watermark; no election is called while a snapshot replaces the log.

use crate::action::{Action, Fatal};
use crate::event::SnapshotPiece;
use crate::message::{
    BeginQuorumEpochRequest, CurrentLeader, EndQuorumEpochRequest, ErrorCode, FetchRequest, FetchResponse,
    FetchSnapshotRequest, FetchSnapshotResponse, Peer, QuorumEpochResponse, RecordRange, Request, Response,
};
use crate::mutant::Mutant;
use crate::quorum::{Quorum, Step};
use crate::requests::Kind;
use crate::role::{Role, Unattached};
use crate::voters::{ReplicaId, VoterSet};
use crate::{LogOffset, Millis};

/// How many voters can take their turns, one after the other, within an election timeout once the leader is gone.
const ELECTION_TURNS: u64 = 20;

/// A snapshot on its way from the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Download {
    pub(crate) snapshot_id: LogOffset,
    pub(crate) position: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Follower {
    /// When the leader is taken for lost.
    pub(crate) deadline: Millis,
    /// The last fetch succeeded, and the leader's host hasn't refused a connection since.
    pub(crate) alive: bool,
    /// A fetch was tried again at once after a connection broke.
    pub(crate) retried: bool,
    /// The leader's high watermark, once it told one.
    pub(crate) leader_high_watermark: Option<i64>,
    pub(crate) download: Option<Download>,
}

impl Follower {
    pub(crate) fn new(deadline: Millis) -> Self {
        Self { deadline, alive: false, retried: false, leader_high_watermark: None, download: None }
    }
}

impl Quorum {
    pub(crate) fn on_begin_epoch(
        &mut self,
        correlation: u64,
        request: BeginQuorumEpochRequest,
        step: &mut Step<'_>,
    ) {
        let error = self.judge_leader_claim(request.leader_id, request.leader_epoch, step);
        // The leader is taken up in any case: a node that lost its disk learns here whom to fetch from.
        let error = match error {
            ErrorCode::None if !request.voter.names(self.config.local) => ErrorCode::InvalidVoterKey,
            error => error,
        };
        let leader = self.current_leader();
        step.reply(correlation, Response::BeginQuorumEpoch(QuorumEpochResponse { error, leader }));
    }

    pub(crate) fn on_end_epoch(
        &mut self,
        correlation: u64,
        request: EndQuorumEpochRequest,
        step: &mut Step<'_>,
    ) {
        let error = self.judge_leader_claim(request.leader_id, request.leader_epoch, step);
        if error == ErrorCode::None {
            self.leave_leader(&request.preferred_successors, step);
        }
        let leader = self.current_leader();
        step.reply(correlation, Response::EndQuorumEpoch(QuorumEpochResponse { error, leader }));
    }

    /// Checks the claim to be, or to have been, the leader of an epoch, and follows who makes it rightly.
    fn judge_leader_claim(&mut self, leader_id: i32, epoch: i32, step: &mut Step<'_>) -> ErrorCode {
        if leader_id < 0 || leader_id == self.config.local.id || epoch < 0 {
            return ErrorCode::InvalidRequest;
        }
        if epoch < self.vote.epoch {
            return ErrorCode::FencedLeaderEpoch;
        }
        if epoch == self.vote.epoch {
            let own_epoch = matches!(self.role, Role::Leader(_) | Role::Resigned(_));
            if own_epoch || self.vote.leader.is_some_and(|leader| leader != leader_id) {
                return ErrorCode::InvalidRequest;
            }
        }
        self.learn(CurrentLeader { id: Some(leader_id), epoch }, step);
        ErrorCode::None
    }

    /// The leader ended its epoch: the first of its preferred successors asks for votes at once, and needs no pre-vote,
    /// for nobody has a leader to keep; the others give way, each twice as long as the one before.
    fn leave_leader(&mut self, successors: &[ReplicaId], step: &mut Step<'_>) {
        if !matches!(self.role, Role::Follower(_) | Role::Prospective(_)) {
            return;
        }
        let place = successors.iter().position(|successor| successor.names(self.config.local));
        let longest = self.config.election_backoff_max_ms;
        let wait = match place {
            Some(0) => 0,
            Some(place) => {
                let first = longest.checked_shr(successors.len() as u32 - 1).unwrap_or(0).max(1);
                first.saturating_mul(1_u64.checked_shl(place as u32 - 1).unwrap_or(u64::MAX)).min(longest)
            }
            None => longest,
        };
        self.detach(Role::Unattached(Unattached { deadline: step.now.plus(wait), probe: 0 }), step);
        if place == Some(0) && self.may_campaign() {
            self.become_candidate(step);
        }
    }

    pub(crate) fn poll_follower(&mut self, step: &mut Step<'_>) {
        let (Role::Follower(follower), Some(leader)) = (&self.role, self.vote.leader) else { return };
        if self.installing.is_some() {
            return;
        }
        if follower.deadline <= step.now {
            return if self.may_campaign() {
                self.become_prospective(step);
            } else {
                let role = self.unattached(step.now, self.config.election_timeout_ms);
                self.detach(role, step);
            };
        }
        let to = Peer::Node(leader);
        match follower.download {
            Some(download) => self.fetch_snapshot(to, download, step),
            None => self.fetch(to, step),
        }
        self.ask_for_membership(to, step);
    }

    /// A replica that calls no election asks every peer in turn who leads.
    pub(crate) fn probe_for_leader(&mut self, step: &mut Step<'_>) {
        let local = self.config.local.id;
        let voters = self.voters().iter().map(|voter| voter.replica.id).filter(|id| *id != local);
        let peers: Vec<Peer> =
            voters.map(Peer::Node).chain((0..self.config.bootstrap_servers).map(Peer::Bootstrap)).collect();
        let Role::Unattached(unattached) = &mut self.role else { return };
        if peers.is_empty() || peers.iter().any(|peer| !self.requests.ready(*peer, Kind::Fetch, step.now)) {
            return;
        }
        let to = peers[unattached.probe % peers.len()];
        unattached.probe = (unattached.probe + 1) % peers.len();
        self.fetch(to, step);
    }

    fn fetch(&mut self, to: Peer, step: &mut Step<'_>) {
        let end = step.log.end();
        let flushed = step.log.flushed() >= end.offset || self.planted(Mutant::AcknowledgeBeforeFlush);
        if step.log_changes || !flushed || !self.requests.ready(to, Kind::Fetch, step.now) {
            return;
        }
        let request = Request::Fetch(FetchRequest {
            replica: self.config.local,
            current_leader_epoch: self.vote.epoch,
            fetch_offset: end.offset,
            last_fetched_epoch: end.epoch,
            high_watermark: self.high_watermark,
            max_wait_ms: self.config.fetch_max_wait_ms,
            max_bytes: self.config.fetch_max_bytes,
        });
        let deadline = step.now.plus(self.config.fetch_max_wait_ms + self.config.request_timeout_ms);
        let correlation = self.requests.open(to, Kind::Fetch, deadline);
        step.push(Action::Send { to, correlation, request });
    }

    fn fetch_snapshot(&mut self, to: Peer, download: Download, step: &mut Step<'_>) {
        if !self.requests.ready(to, Kind::Fetch, step.now) {
            return;
        }
        let request = Request::FetchSnapshot(FetchSnapshotRequest {
            replica: self.config.local,
            current_leader_epoch: self.vote.epoch,
            snapshot_id: download.snapshot_id,
            position: download.position,
            max_bytes: self.config.fetch_snapshot_max_bytes,
        });
        let deadline = step.now.plus(self.config.request_timeout_ms);
        let correlation = self.requests.open(to, Kind::Fetch, deadline);
        step.push(Action::Send { to, correlation, request });
    }

    pub(crate) fn on_fetch_response(&mut self, from: Peer, response: FetchResponse, step: &mut Step<'_>) {
        if !self.accept_from_leader(from, response.leader, response.error, step) {
            return;
        }
        if let Some(diverging) = response.diverging_epoch {
            self.truncate(diverging, step);
        } else if let Some(snapshot_id) = response.snapshot_id {
            self.begin_download(from, snapshot_id, step);
        } else {
            self.take_entries(from, response.records, response.high_watermark, step);
        }
    }

    /// Whether an answer comes from the leader that is followed and tells no error; if so, the leader is alive.
    fn accept_from_leader(
        &mut self,
        from: Peer,
        leader: CurrentLeader,
        error: ErrorCode,
        step: &Step<'_>,
    ) -> bool {
        let lives_until =
            step.now.plus(self.config.fetch_timeout_ms + self.jitter(self.config.fetch_timeout_ms / 8));
        let of_leader = error == ErrorCode::None
            && leader == self.current_leader()
            && leader.id.map(Peer::Node) == Some(from)
            && self.installing.is_none();
        match &mut self.role {
            Role::Follower(follower) if of_leader => {
                follower.alive = true;
                follower.retried = false;
                follower.deadline = lives_until;
                self.contact = Some(step.now);
                self.taken = None;
                true
            }
            _ => {
                self.requests.back_off(from, Kind::Fetch, step.now.plus(self.config.retry_backoff_ms));
                false
            }
        }
    }

    fn take_entries(
        &mut self,
        from: Peer,
        records: Option<RecordRange>,
        high_watermark: i64,
        step: &mut Step<'_>,
    ) {
        let end = step.log.end().offset;
        if let Some(range) = records {
            if range.base_offset != end || range.end_offset <= end {
                self.requests.back_off(from, Kind::Fetch, step.now.plus(self.config.retry_backoff_ms));
                return;
            }
            step.push(Action::AppendFetched { range });
            step.log_changes = true;
        }
        if let (Role::Follower(follower), true) = (&mut self.role, high_watermark >= 0) {
            follower.leader_high_watermark = Some(high_watermark);
        }
        if records.is_none() {
            self.follow_high_watermark(step);
        }
    }

    /// The leader's high watermark holds here as far as the log reaches, for the log is a prefix of the leader's.
    pub(crate) fn follow_high_watermark(&mut self, step: &mut Step<'_>) {
        let Role::Follower(follower) = &self.role else { return };
        let Some(leader_high_watermark) = follower.leader_high_watermark else { return };
        let reached = leader_high_watermark.min(step.log.end().offset);
        if self.damaged && step.log.flushed() >= leader_high_watermark {
            self.damaged = false;
            step.push(Action::Repaired);
        }
        if reached > self.high_watermark {
            self.set_high_watermark(reached, step);
        }
    }

    /// The log and the leader's part ways: cut back to where the leader's `diverging` epoch, or the newest of ours
    /// before it, ends on both sides.
    pub(crate) fn truncate(&mut self, diverging: LogOffset, step: &mut Step<'_>) {
        let end = step.log.end().offset;
        let offset = step.log.end_offset_for_epoch(diverging.epoch).offset.min(diverging.offset);
        let (Some(leader), Role::Follower(follower)) = (self.vote.leader, &mut self.role) else { return };
        follower.leader_high_watermark = None;
        if offset < self.high_watermark {
            let (epoch, high_watermark) = (self.vote.epoch, self.high_watermark);
            let fatal = Fatal::TruncationBelowHighWatermark { leader, epoch, offset, high_watermark };
            return self.halt(fatal, step);
        }
        if offset >= end {
            let until = step.now.plus(self.config.retry_backoff_ms);
            return self.requests.back_off(Peer::Node(leader), Kind::Fetch, until);
        }
        self.voters.truncate_to(offset);
        step.push(Action::TruncateTo { offset });
        step.log_changes = true;
    }

    fn begin_download(&mut self, from: Peer, snapshot_id: LogOffset, step: &mut Step<'_>) {
        let ahead =
            snapshot_id.offset > 0 && snapshot_id.offset >= self.high_watermark && snapshot_id.epoch >= 0;
        match &mut self.role {
            Role::Follower(follower) if ahead => {
                follower.leader_high_watermark = None;
                follower.download = Some(Download { snapshot_id, position: 0 });
            }
            _ => self.requests.back_off(from, Kind::Fetch, step.now.plus(self.config.retry_backoff_ms)),
        }
    }

    pub(crate) fn on_fetch_snapshot_response(
        &mut self,
        from: Peer,
        response: FetchSnapshotResponse,
        step: &mut Step<'_>,
    ) {
        if matches!(response.error, ErrorCode::SnapshotNotFound | ErrorCode::PositionOutOfRange)
            && let Role::Follower(follower) = &mut self.role
        {
            // The leader replaced the snapshot meanwhile; the next fetch tells which one to take.
            follower.download = None;
        }
        if !self.accept_from_leader(from, response.leader, response.error, step) {
            return;
        }
        let Role::Follower(Follower { download: Some(download), .. }) = &mut self.role else { return };
        let end = response.position.saturating_add(u64::from(response.bytes));
        let fits = response.snapshot_id == download.snapshot_id
            && response.position == download.position
            && response.bytes > 0
            && end <= response.size;
        if !fits {
            self.requests.back_off(from, Kind::Fetch, step.now.plus(self.config.retry_backoff_ms));
            return;
        }
        let snapshot_id = download.snapshot_id;
        download.position = end;
        step.push(Action::AppendSnapshot(SnapshotPiece {
            snapshot_id,
            position: response.position,
            bytes: response.bytes,
        }));
        if end == response.size {
            if let Role::Follower(follower) = &mut self.role {
                follower.download = None;
            }
            self.installing = Some(snapshot_id);
            step.push(Action::InstallSnapshot(snapshot_id));
        }
    }

    pub(crate) fn on_snapshot_installed(&mut self, voters: Option<(i64, VoterSet)>, step: &mut Step<'_>) {
        let Some(snapshot_id) = self.installing.take() else { return };
        self.voters.reset(voters);
        if snapshot_id.offset > self.high_watermark {
            self.set_high_watermark(snapshot_id.offset, step);
        }
        self.allow_time_to_fetch(step.now);
    }

    /// The leader couldn't be heard while the log was being replaced, so its time starts again.
    pub(crate) fn allow_time_to_fetch(&mut self, now: Millis) {
        if let Role::Follower(follower) = &mut self.role {
            follower.deadline = now.plus(self.config.fetch_timeout_ms);
        }
    }

    /// Whether this replica fetches from a leader that answers.
    pub(crate) fn has_live_leader(&self, now: Millis) -> bool {
        matches!(&self.role, Role::Follower(follower) if follower.alive && follower.deadline > now)
    }

    /// The connection to the leader broke: the next one, made at once, tells whether its process is gone.
    pub(crate) fn on_fetch_lost(&mut self, to: Peer) {
        let of_leader = self.vote.leader.map(Peer::Node) == Some(to);
        if let Role::Follower(follower) = &mut self.role
            && of_leader
            && follower.alive
            && !follower.retried
        {
            follower.retried = true;
            self.requests.back_off(to, Kind::Fetch, Millis(0));
        }
    }

    /// The leader's host refused the connection, so its process is gone: call an election soon instead of waiting for
    /// the fetch timeout. The voters that notice at the same moment go one after the other, each in its turn; the order
    /// changes with the epoch. Pre-vote keeps a leader that others still hear.
    pub(crate) fn on_leader_refused(&mut self, to: Peer, step: &Step<'_>) {
        if self.vote.leader.map(Peer::Node) != Some(to) {
            return;
        }
        let turn = (self.config.election_timeout_ms / ELECTION_TURNS).max(1);
        let pause = self.config.retry_backoff_ms + self.turn() * turn + self.jitter(turn / 4);
        if let Role::Follower(follower) = &mut self.role {
            follower.alive = false;
            follower.deadline = follower.deadline.min(step.now.plus(pause));
        }
    }

    /// This replica's place among the voters that are left when the leader is gone.
    fn turn(&self) -> u64 {
        let left = self.voters().iter().map(|voter| voter.replica.id);
        let left: Vec<i32> = left.filter(|id| Some(*id) != self.vote.leader).collect();
        let Some(place) = left.iter().position(|id| *id == self.config.local.id) else { return 0 };
        let first = usize::try_from(self.vote.epoch).unwrap_or(0);
        ((place + first) % left.len()) as u64
    }
}
