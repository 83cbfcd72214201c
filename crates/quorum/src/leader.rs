//! Leading: acknowledgements, the high watermark, serving and parking fetches, check-quorum, resigning. Invariants: an
//! acknowledgement is a flushed offset, our own included; the high watermark moves only over an entry of this epoch;
//! a leader without a majority that fetches steps down; at most one fetch per replica is parked.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::action::Action;
use crate::event::ControlRecord;
use crate::log_view::LogView;
use crate::membership::Change;
use crate::message::{
    BeginQuorumEpochRequest, DescribeQuorumResponse, EndQuorumEpochRequest, ErrorCode, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, Peer, RecordRange, ReplicaState, Request,
    Response,
};
use crate::mutant::Mutant;
use crate::quorum::{Quorum, Step};
use crate::requests::Kind;
use crate::role::{Resigned, Role};
use crate::voters::{ReplicaId, Voter};
use crate::{LogOffset, Millis};

/// The most replicas whose progress a leader keeps; a fetch of one more is turned away.
pub const MAX_REPLICAS: usize = 4096;
/// A replica that isn't a voter is forgotten when it hasn't fetched for this long.
const OBSERVER_SESSION_MS: u64 = 300_000;

/// How far another replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// Its flushed log end; `None` until a fetch of this epoch matched the log.
    pub(crate) end_offset: Option<i64>,
    pub(crate) last_fetch: Option<Millis>,
    pub(crate) last_caught_up: Option<Millis>,
    /// Where the leader's log ended at its last fetch.
    pub(crate) leader_end: i64,
}

/// A fetch that waits for news.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Parked {
    pub(crate) correlation: u64,
    fetch_offset: i64,
    high_watermark: i64,
    pub(crate) deadline: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    epoch: i32,
    /// The offset of the epoch's first entry.
    pub(crate) epoch_start: i64,
    pub(crate) since: Millis,
    pub(crate) replicas: BTreeMap<ReplicaId, Progress>,
    pub(crate) parked: BTreeMap<ReplicaId, Parked>,
    /// When each voter was last told about this epoch.
    pub(crate) told: BTreeMap<i32, Millis>,
    pub(crate) change: Option<Change>,
}

/// What a fetch position is to the leader's log.
enum Position {
    Valid,
    Diverging(LogOffset),
    Snapshot(LogOffset),
}

impl Leader {
    pub(crate) fn new(epoch: i32, epoch_start: i64, since: Millis) -> Self {
        Self {
            epoch,
            epoch_start,
            since,
            replicas: BTreeMap::new(),
            parked: BTreeMap::new(),
            told: BTreeMap::new(),
            change: None,
        }
    }

    /// The progress of a voter; of several incarnations that a voter of unknown directory names, the latest.
    pub(crate) fn progress(&self, voter: ReplicaId) -> Progress {
        if !voter.directory.is_nil() {
            return self.replicas.get(&voter).copied().unwrap_or_default();
        }
        let named = self.incarnations(voter.id);
        named.map(|(_, progress)| *progress).max_by_key(|progress| progress.last_fetch).unwrap_or_default()
    }

    /// Every replica with this node id that has fetched.
    pub(crate) fn incarnations(&self, id: i32) -> impl Iterator<Item = (&ReplicaId, &Progress)> {
        self.replicas.range(ReplicaId::of_unknown_directory(id)..=ReplicaId::new(id, Uuid::max()))
    }

    pub(crate) fn last_heard(&self, voter: ReplicaId) -> Millis {
        self.progress(voter).last_fetch.unwrap_or(self.since).max(self.since)
    }
}

impl Quorum {
    /// The records that open an epoch: who leads, and the voters when the log doesn't hold them as they are.
    pub(crate) fn start_of_epoch(&self, granting_voters: Vec<i32>) -> Vec<ControlRecord> {
        let voters = self.voters();
        let mut records = vec![ControlRecord::LeaderChange {
            leader_id: self.config.local.id,
            voters: voters.iter().map(|voter| voter.replica.id).collect(),
            granting_voters,
        }];
        let own = self.own_voter();
        let as_it_is = self.voters.last_offset().is_some() && voters.get(own.replica.id) == Some(&own);
        if self.is_voter() && !as_it_is {
            records.push(ControlRecord::Voters(voters.with(own)));
        }
        records
    }

    /// This replica as it wants to stand in the voter set.
    pub(crate) fn own_voter(&self) -> Voter {
        let known = self.voters().get(self.config.local.id).map(|voter| voter.endpoints.clone());
        let endpoints = match self.config.local_endpoints.as_slice() {
            [] => known.unwrap_or_default(),
            endpoints => endpoints.to_vec(),
        };
        Voter { replica: self.config.local, endpoints }
    }

    pub(crate) fn poll_leader(&mut self, step: &mut Step<'_>) {
        if let Role::Leader(leader) = &self.role
            && self.quorum_deadline(leader) <= step.now
        {
            return self.resign(step);
        }
        self.expire_parked(step);
        self.poll_change(step);
        self.announce_epoch(step);
    }

    pub(crate) fn leader_deadline(&self, leader: &Leader) -> Millis {
        let parked = leader.parked.values().map(|parked| parked.deadline);
        let announce = self.voters().iter().filter(|voter| voter.replica.id != self.config.local.id);
        let announce = announce.map(|voter| self.next_announcement(leader, voter.replica));
        let change = leader.change.as_ref().map(|change| change.deadline);
        let all = parked.chain(announce).chain(change).chain([self.quorum_deadline(leader)]);
        all.min().unwrap_or(Millis::NEVER)
    }

    /// When a majority will have been silent for too long, should nobody fetch any more.
    fn quorum_deadline(&self, leader: &Leader) -> Millis {
        if self.planted(Mutant::NoCheckQuorum) {
            return Millis::NEVER;
        }
        let limit = self.config.fetch_timeout_ms + self.config.fetch_timeout_ms / 2;
        self.majority_heard(leader).plus(limit)
    }

    /// Since when the fetches of a majority are all newer; never, for a single voter.
    pub(crate) fn majority_heard(&self, leader: &Leader) -> Millis {
        let voters = self.voters();
        let mut heard: Vec<Millis> = voters
            .iter()
            .map(|voter| match voter.replica.names(self.config.local) {
                true => Millis::NEVER,
                false => leader.last_heard(voter.replica),
            })
            .collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        heard.get(voters.majority() - 1).copied().unwrap_or(Millis::NEVER)
    }

    /// When a voter is to be told (again) who leads: at once, and when it has been silent for a while.
    fn next_announcement(&self, leader: &Leader, voter: ReplicaId) -> Millis {
        let pause = (self.config.fetch_timeout_ms / 2).max(1);
        let told = leader.told.get(&voter.id).copied();
        let heard = leader.progress(voter).last_fetch;
        let next = told.max(heard).map_or(Millis(0), |moment| moment.plus(pause));
        match self.requests.not_before(Peer::Node(voter.id), Kind::BeginEpoch) {
            Some(not_before) => next.max(not_before),
            None => Millis::NEVER,
        }
    }

    fn announce_epoch(&mut self, step: &mut Step<'_>) {
        let Role::Leader(leader) = &self.role else { return };
        let others = self.voters().iter().map(|voter| voter.replica);
        let due: Vec<ReplicaId> = others
            .filter(|voter| voter.id != self.config.local.id)
            .filter(|voter| self.next_announcement(leader, *voter) <= step.now)
            .collect();
        for voter in due {
            let to = Peer::Node(voter.id);
            let deadline = step.now.plus(self.config.request_timeout_ms);
            let correlation = self.requests.open(to, Kind::BeginEpoch, deadline);
            let request = Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
                voter,
                leader_id: self.config.local.id,
                leader_epoch: self.vote.epoch,
            });
            step.push(Action::Send { to, correlation, request });
            if let Role::Leader(leader) = &mut self.role {
                leader.told.insert(voter.id, step.now);
            }
        }
    }

    /// The announcement may not have arrived, so it isn't held back until the voter has been silent for a while.
    pub(crate) fn on_begin_epoch_lost(&mut self, to: Peer) {
        if let (Role::Leader(leader), Peer::Node(id)) = (&mut self.role, to) {
            leader.told.remove(&id);
        }
    }

    /// The refusal of a request that only the leader of `epoch` can serve.
    pub(crate) fn refuse_unless_leader_of(&self, epoch: i32) -> Result<(), ErrorCode> {
        if epoch < self.vote.epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if epoch > self.vote.epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        match self.role {
            Role::Leader(_) => Ok(()),
            _ => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    pub(crate) fn on_fetch(&mut self, correlation: u64, request: FetchRequest, step: &mut Step<'_>) {
        if let Err(error) = self.judge_fetch(&request, step.now) {
            return self.reply_fetch_error(correlation, error, step);
        }
        let epoch = match self.planted(Mutant::NoDivergenceCheck) {
            true => step.log.end_offset_for_epoch(request.current_leader_epoch).epoch,
            false => request.last_fetched_epoch,
        };
        match position(step.log, request.fetch_offset, epoch) {
            Position::Diverging(diverging_epoch) => {
                let diverging_epoch = Some(diverging_epoch);
                let response = FetchResponse { diverging_epoch, ..self.empty_fetch(step.log) };
                step.reply(correlation, Response::Fetch(response));
            }
            Position::Snapshot(snapshot_id) => {
                let snapshot_id = Some(snapshot_id);
                let response = FetchResponse { snapshot_id, ..self.empty_fetch(step.log) };
                step.reply(correlation, Response::Fetch(response));
            }
            Position::Valid => {
                self.acknowledge(&request, step);
                self.serve_or_park(correlation, &request, step);
            }
        }
    }

    fn judge_fetch(&mut self, request: &FetchRequest, now: Millis) -> Result<(), ErrorCode> {
        self.refuse_unless_leader_of(request.current_leader_epoch)
            .map_err(|error| self.or_namesake(error, request.replica.id, now))?;
        if request.fetch_offset < 0
            || request.last_fetched_epoch < 0
            || request.last_fetched_epoch > request.current_leader_epoch
            || request.replica.id < 0
            || request.replica == self.config.local
        {
            return Err(ErrorCode::InvalidRequest);
        }
        self.hear(request.replica, now)
    }

    /// A follower that refuses a replica tells it, too, when the leader has its id and lives.
    fn or_namesake(&self, error: ErrorCode, replica: i32, now: Millis) -> ErrorCode {
        let of_leader = self.vote.leader == Some(replica) && self.has_live_leader(now);
        if of_leader && error == ErrorCode::NotLeaderOrFollower { ErrorCode::DuplicateVoter } else { error }
    }

    /// Whether a replica with the id of `replica` and another directory is alive, or may be. A voter in the incarnation
    /// that the others know is never turned away.
    fn has_namesake(&self, replica: ReplicaId, now: Millis) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        if replica.id == self.config.local.id {
            return replica != self.config.local;
        }
        let lives = |moment: Millis| moment.plus(self.config.fetch_timeout_ms) > now;
        if let Some(voter) = self.voters().get(replica.id).map(|voter| voter.replica)
            && !voter.directory.is_nil()
        {
            if voter == replica {
                return false;
            }
            if lives(leader.last_heard(voter)) {
                return true;
            }
        }
        let mut incarnations = leader.incarnations(replica.id);
        incarnations.any(|(other, progress)| *other != replica && progress.last_fetch.is_some_and(lives))
    }

    /// Notes that a replica is alive. Fails when another one has its id, or when too many are known already.
    fn hear(&mut self, replica: ReplicaId, now: Millis) -> Result<(), ErrorCode> {
        if self.has_namesake(replica, now) {
            return Err(ErrorCode::DuplicateVoter);
        }
        let voters = self.voters.last();
        let Role::Leader(leader) = &mut self.role else { return Err(ErrorCode::NotLeaderOrFollower) };
        if leader.replicas.len() >= MAX_REPLICAS && !leader.replicas.contains_key(&replica) {
            leader.replicas.retain(|known, progress| {
                let fresh = progress.last_fetch.is_some_and(|last| last.plus(OBSERVER_SESSION_MS) > now);
                voters.contains(*known) || fresh
            });
            if leader.replicas.len() >= MAX_REPLICAS && !voters.contains(replica) {
                return Err(ErrorCode::RequestTimedOut);
            }
        }
        leader.replicas.entry(replica).or_default().last_fetch = Some(now);
        Ok(())
    }

    /// Takes a fetch that matched the log for what it is: the acknowledgement of everything below its offset.
    fn acknowledge(&mut self, request: &FetchRequest, step: &mut Step<'_>) {
        let end = step.log.end().offset;
        let high_watermark = self.high_watermark;
        let Role::Leader(leader) = &mut self.role else { return };
        let progress = leader.replicas.entry(request.replica).or_default();
        if request.fetch_offset >= high_watermark.max(progress.leader_end.min(end)) {
            progress.last_caught_up = Some(step.now);
        }
        progress.leader_end = end;
        progress.end_offset = Some(request.fetch_offset);
        self.advance_high_watermark(step);
    }

    fn serve_or_park(&mut self, correlation: u64, request: &FetchRequest, step: &mut Step<'_>) {
        let response = self.served_fetch(request.fetch_offset, step.log);
        let Role::Leader(leader) = &mut self.role else {
            // The acknowledgement committed this leader's own removal, and it resigned.
            return self.reply_fetch_error(correlation, ErrorCode::NotLeaderOrFollower, step);
        };
        let news = response.records.is_some() || response.high_watermark > request.high_watermark;
        if news || request.max_wait_ms == 0 {
            return step.reply(correlation, Response::Fetch(response));
        }
        let wait = request.max_wait_ms.min(self.config.fetch_timeout_ms / 2);
        let parked = Parked {
            correlation,
            fetch_offset: request.fetch_offset,
            high_watermark: request.high_watermark,
            deadline: step.now.plus(wait.max(1)),
        };
        if let Some(replaced) = leader.parked.insert(request.replica, parked) {
            step.reply(replaced.correlation, Response::Fetch(response));
        }
    }

    fn reply_fetch_error(&self, correlation: u64, error: ErrorCode, step: &mut Step<'_>) {
        let response = FetchResponse { error, ..self.empty_fetch(step.log) };
        step.reply(correlation, Response::Fetch(response));
    }

    fn empty_fetch(&self, log: &dyn LogView) -> FetchResponse {
        FetchResponse {
            error: ErrorCode::None,
            leader: self.current_leader(),
            high_watermark: self.told_high_watermark(),
            log_start_offset: log.start().offset,
            diverging_epoch: None,
            snapshot_id: None,
            records: None,
        }
    }

    fn served_fetch(&self, offset: i64, log: &dyn LogView) -> FetchResponse {
        let end_offset = log.end().offset;
        let records = (end_offset > offset).then_some(RecordRange { base_offset: offset, end_offset });
        FetchResponse { records, ..self.empty_fetch(log) }
    }

    /// The high watermark that others may rely on: complete only once an entry of this epoch is below it.
    pub(crate) fn told_high_watermark(&self) -> i64 {
        match &self.role {
            Role::Leader(leader) if self.high_watermark > leader.epoch_start => self.high_watermark,
            _ => -1,
        }
    }

    /// Answers the parked fetches that there are news for: entries, or a higher high watermark (KIP-1166).
    pub(crate) fn complete_parked(&mut self, step: &mut Step<'_>) {
        let end = step.log.end().offset;
        let told = self.told_high_watermark();
        let told = if self.planted(Mutant::CommitToldLate) { -1 } else { told };
        self.answer_parked(|parked| end > parked.fetch_offset || told > parked.high_watermark, step);
    }

    fn expire_parked(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        self.answer_parked(|parked| parked.deadline <= now, step);
    }

    fn answer_parked(&mut self, due: impl Fn(&Parked) -> bool, step: &mut Step<'_>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let ready: Vec<Parked> = leader.parked.values().filter(|parked| due(parked)).cloned().collect();
        leader.parked.retain(|_, parked| !due(parked));
        for parked in ready {
            let response = self.served_fetch(parked.fetch_offset, step.log);
            step.reply(parked.correlation, Response::Fetch(response));
        }
    }

    pub(crate) fn on_fetch_snapshot(
        &mut self,
        correlation: u64,
        request: FetchSnapshotRequest,
        step: &mut Step<'_>,
    ) {
        let (error, size) = match self.judge_fetch_snapshot(&request, step) {
            Ok(size) => (ErrorCode::None, size),
            Err(error) => (error, 0),
        };
        let left = size.saturating_sub(request.position).min(u64::from(request.max_bytes));
        let response = FetchSnapshotResponse {
            error,
            leader: self.current_leader(),
            snapshot_id: request.snapshot_id,
            size,
            position: request.position,
            bytes: u32::try_from(left).unwrap_or(u32::MAX),
        };
        step.reply(correlation, Response::FetchSnapshot(response));
    }

    fn judge_fetch_snapshot(
        &mut self,
        request: &FetchSnapshotRequest,
        step: &Step<'_>,
    ) -> Result<u64, ErrorCode> {
        self.refuse_unless_leader_of(request.current_leader_epoch)?;
        if request.replica.id < 0 || request.replica == self.config.local {
            return Err(ErrorCode::InvalidRequest);
        }
        self.hear(request.replica, step.now)?;
        let size = step.log.snapshot_size(request.snapshot_id).ok_or(ErrorCode::SnapshotNotFound)?;
        if request.position >= size {
            return Err(ErrorCode::PositionOutOfRange);
        }
        Ok(size)
    }

    /// Moves the high watermark to what a majority has flushed, if an entry of this epoch is part of it: entries of
    /// earlier epochs are committed only along with one of the current (Raft, 5.4.2).
    pub(crate) fn advance_high_watermark(&mut self, step: &mut Step<'_>) {
        let Role::Leader(leader) = &self.role else { return };
        let end = step.log.end().offset;
        let mut flushed: Vec<i64> = self
            .voters()
            .iter()
            .map(|voter| match voter.replica.names(self.config.local) {
                true if self.planted(Mutant::CommitAppended) => end,
                true => step.log.flushed(),
                false => leader.progress(voter.replica).end_offset.unwrap_or(-1),
            })
            .collect();
        flushed.sort_unstable_by(|a, b| b.cmp(a));
        let Some(by_majority) = flushed.get(self.voters().majority() - 1) else { return };
        let committed = (*by_majority).min(end);
        let of_epoch = committed > leader.epoch_start || self.planted(Mutant::CommitOlderEpoch);
        if of_epoch && committed > self.high_watermark {
            self.set_high_watermark(committed, step);
            self.on_committed(step);
            self.complete_parked(step);
        }
    }

    pub(crate) fn on_describe(&mut self, correlation: u64, step: &mut Step<'_>) {
        let response = self.describe(step.log, step.now);
        step.reply(correlation, Response::DescribeQuorum(response));
    }

    /// How far every replica is, as a leader sees it; any other replica names the leader that knows. Complete as
    /// [`Request::DescribeQuorum`] is, which it answers.
    pub fn describe(&self, log: &dyn LogView, now: Millis) -> DescribeQuorumResponse {
        let leader = self.current_leader();
        match &self.role {
            Role::Leader(state) => {
                let (voters, observers) = self.describe_replicas(state, log, now);
                let high_watermark = self.told_high_watermark();
                DescribeQuorumResponse { error: ErrorCode::None, leader, high_watermark, voters, observers }
            }
            _ => DescribeQuorumResponse {
                error: ErrorCode::NotLeaderOrFollower,
                leader,
                high_watermark: -1,
                voters: Vec::new(),
                observers: Vec::new(),
            },
        }
    }

    fn describe_replicas(
        &self,
        leader: &Leader,
        log: &dyn LogView,
        now: Millis,
    ) -> (Vec<ReplicaState>, Vec<ReplicaState>) {
        let state = |replica: ReplicaId, progress: Progress| ReplicaState {
            replica,
            log_end_offset: progress.end_offset.unwrap_or(-1),
            last_fetch: progress.last_fetch,
            last_caught_up: progress.last_caught_up,
        };
        let own = ReplicaState {
            replica: self.config.local,
            log_end_offset: log.flushed(),
            last_fetch: None,
            last_caught_up: Some(now),
        };
        let voters = self.voters().iter().map(|voter| match voter.replica.names(self.config.local) {
            true => own,
            false => state(voter.replica, leader.progress(voter.replica)),
        });
        let observers = leader.replicas.iter().filter(|(replica, progress)| {
            let fresh = progress.last_fetch.is_some_and(|last| last.plus(OBSERVER_SESSION_MS) > now);
            fresh && !self.voters().contains(**replica)
        });
        (voters.collect(), observers.map(|(replica, progress)| state(*replica, *progress)).collect())
    }

    /// Gives up leadership of this epoch; does nothing on a replica that doesn't lead.
    pub(crate) fn resign(&mut self, step: &mut Step<'_>) {
        let Role::Leader(leader) = &self.role else { return };
        let others = self.voters().iter().map(|voter| voter.replica);
        let mut successors: Vec<ReplicaId> =
            others.filter(|voter| voter.id != self.config.local.id).collect();
        successors.sort_by_key(|voter| std::cmp::Reverse(leader.progress(*voter).end_offset));
        let timeout = self.config.election_timeout_ms;
        let deadline = step.now.plus(timeout + self.jitter(timeout));
        let untold = successors.iter().map(|voter| voter.id).collect();
        self.detach(Role::Resigned(Resigned { deadline, successors, untold }), step);
    }

    /// Takes leave of everything that waited for this leader.
    pub(crate) fn end_leadership(&mut self, leader: Leader, step: &mut Step<'_>) {
        self.contact = Some(self.majority_heard(&leader).min(step.now));
        for parked in leader.parked.values() {
            self.reply_fetch_error(parked.correlation, ErrorCode::NotLeaderOrFollower, step);
        }
        if let Some(change) = leader.change {
            self.reply_change(
                change,
                ErrorCode::NotLeaderOrFollower,
                "this node no longer leads the quorum",
                step,
            );
        }
        step.push(Action::LostLeadership { epoch: leader.epoch });
    }

    pub(crate) fn poll_resigned(&mut self, step: &mut Step<'_>) {
        let Role::Resigned(resigned) = &mut self.role else { return };
        if resigned.deadline <= step.now {
            if self.stopping {
                resigned.untold.clear();
                resigned.deadline = Millis::NEVER;
                return;
            }
            let role = self.unattached(step.now, self.config.election_timeout_ms);
            self.change_role(role, step);
            if self.may_campaign() {
                self.become_prospective(step);
            }
            return;
        }
        let (successors, untold) = (resigned.successors.clone(), resigned.untold.clone());
        for id in untold {
            let to = Peer::Node(id);
            if !self.requests.ready(to, Kind::EndEpoch, step.now) {
                continue;
            }
            let deadline = step.now.plus(self.config.request_timeout_ms);
            let correlation = self.requests.open(to, Kind::EndEpoch, deadline);
            let request = Request::EndQuorumEpoch(EndQuorumEpochRequest {
                leader_id: self.config.local.id,
                leader_epoch: self.vote.epoch,
                preferred_successors: successors.clone(),
            });
            step.push(Action::Send { to, correlation, request });
        }
    }

    pub(crate) fn on_end_epoch_answered(&mut self, from: Peer) {
        if let (Role::Resigned(resigned), Peer::Node(id)) = (&mut self.role, from) {
            resigned.untold.remove(&id);
        }
    }
}

/// Compares a fetch position with the leader's log, as `ReplicatedLog.validateOffsetAndEpoch` does.
fn position(log: &dyn LogView, offset: i64, epoch: i32) -> Position {
    let start = log.start();
    let below_start =
        offset < start.offset || epoch < start.epoch || (offset == start.offset && epoch != start.epoch);
    if let Some(snapshot) = log.replica_snapshot().filter(|snapshot| snapshot.offset > 0)
        && (offset == 0 || below_start)
    {
        return Position::Snapshot(snapshot);
    }
    if offset == 0 && start.offset == 0 {
        return Position::Valid;
    }
    let known = log.end_offset_for_epoch(epoch);
    if known.epoch == epoch && known.offset >= offset { Position::Valid } else { Position::Diverging(known) }
}
