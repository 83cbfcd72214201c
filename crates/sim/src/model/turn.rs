//! One node's turn: the shell around the core. It carries out actions in order, as `quorum`'s documentation asks, and
//! may die between any two of them. Invariants: a turn ends with a canonical core; every request is answered once or
//! kept; a process that dies loses everything but its disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use quorum::message::{CurrentLeader, ErrorCode, Request, Response, VoteRequest, VoteResponse};
use quorum::{Action, ControlRecord, Event, Failure, Millis, Peer, Quorum, RoleName, Start, VoterSet};

use super::clock::{self, NOW};
use super::log::{Entry, Payload, View};
use super::network::{Asker, GIVEN_UP, Packet, new_number};
use super::node::{Disk, Node};
use super::oracle::{Law, Violation};
use super::seen::{self, Sight};
use super::shared::Shared;
use super::state::{State, Waiting};
use super::world::World;

/// The shell's number for the request that the turn begins with.
const FRESH: u64 = 1 << 41;

/// What a turn begins with.
pub(crate) struct Input {
    pub(crate) event: Event,
    /// The entries of the fetch response in `event`.
    pub(crate) entries: Vec<Entry>,
    /// Who waits for the answer to the request in `event`.
    pub(crate) asker: Option<Asker>,
    pub(crate) now: Millis,
}

impl Input {
    pub(crate) fn event(event: Event) -> Self {
        Self { event, entries: Vec::new(), asker: None, now: NOW }
    }

    pub(crate) fn request(request: Request, asker: Option<Asker>) -> Self {
        let event = Event::Request { correlation: FRESH, request };
        Self { event, entries: Vec::new(), asker, now: NOW }
    }
}

/// Why a turn went no further.
enum Stop {
    Broken(Violation),
    /// The process died.
    Died,
    /// The process was to die where it makes no difference to when it dies after the turn.
    Pointless,
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Stop::Broken(violation)
    }
}

/// How a turn ended.
pub(crate) enum Ended {
    /// With a whole state, or a violation in it.
    Done,
    /// The state must be thrown away: see [`Stop::Pointless`].
    Pointless,
}

pub(crate) struct Turn<'a> {
    world: &'a World,
    state: &'a mut State,
    node: Node,
    now: Millis,
    entries: Vec<Entry>,
    /// The request that came in and has no answer yet.
    fresh: Option<Option<Asker>>,
    ballot: Option<VoteRequest>,
    /// How many actions are left until the process dies.
    dies_after: Option<usize>,
    /// Pre-votes that were asked for and not sent.
    withheld: Vec<(Peer, u64)>,
    /// Answers that arrive in the moment they are given.
    instant: Vec<(Asker, Response)>,
}

/// Lets node `id` take `input`; with `dies`, its process dies after so many actions and keeps so many of the batches
/// that weren't flushed.
pub(crate) fn take(
    world: &World,
    state: &mut State,
    id: i32,
    input: Input,
    dies: Option<(usize, usize)>,
) -> Ended {
    let Some(node) = state.nodes.get(State::place(id)) else { return Ended::Pointless };
    let node = Node::clone(node);
    let mut turn = Turn::new(world, state, node, input.now);
    turn.entries = input.entries;
    turn.dies_after = dies.map(|(after, _)| after);
    if let Event::Request { request, .. } = &input.event {
        turn.fresh = Some(input.asker);
        turn.ballot = match request {
            Request::Vote(vote) if !vote.pre_vote => Some(vote.clone()),
            _ => None,
        };
    }
    let outcome = turn.run(input.event);
    match (outcome, dies) {
        (Err(Stop::Pointless), _) | (Ok(()), Some(_)) => Ended::Pointless,
        (Err(Stop::Died), Some((_, kept))) => {
            let (disk, unanswered) = (turn.node.disk, turn.fresh.flatten());
            if let Some((to, correlation)) = unanswered {
                state.network.push(Packet::Broken { from: id, to, correlation });
            }
            restart(world, state, id, disk, kept)
        }
        (outcome, _) => turn.end(outcome),
    }
}

/// Lets the process of node `id` die and start again; `kept` of the batches that weren't flushed survive.
pub(crate) fn crash(world: &World, state: &mut State, id: i32, kept: usize) -> Ended {
    let Some(node) = state.nodes.get(State::place(id)) else { return Ended::Pointless };
    let disk = node.disk.clone();
    restart(world, state, id, disk, kept)
}

fn restart(world: &World, state: &mut State, id: i32, mut disk: Disk, kept: usize) -> Ended {
    let Some(end) = disk.log.unflushed_edges().nth(kept) else { return Ended::Pointless };
    disk.log.truncate_to(end);
    disk.log.flush();
    forget_process(state, id);
    let (quorum, actions) = start(world, id, &disk);
    let node = Node::new(id, disk, quorum);
    state.nodes[State::place(id)] = Shared::new(node.clone());
    let mut turn = Turn::new(world, state, node, NOW);
    let outcome = turn.go_on(actions);
    turn.end(outcome)
}

/// Starts a process on `disk`.
fn start(world: &World, id: i32, disk: &Disk) -> (Quorum, Vec<Action>) {
    let found = Start { vote: disk.vote, voters: disk.log.voters(0), damaged: false };
    let view = View { log: &disk.log, flushed: disk.log.flushed };
    Quorum::start(world.config(id), found, &view, NOW).expect("the model's configuration is valid")
}

/// The first start of node `id`.
pub(crate) fn boot(world: &World, state: &mut State, id: i32) {
    let disk = Disk::default();
    let (quorum, actions) = start(world, id, &disk);
    let node = Node::new(id, disk, quorum);
    state.nodes.push(Shared::new(node.clone()));
    let mut turn = Turn::new(world, state, node, NOW);
    let outcome = turn.go_on(actions);
    turn.end(outcome);
}

/// The connections of a process that died break.
fn forget_process(state: &mut State, id: i32) {
    state.network.renumber(id, &[]);
    for waiting in std::mem::take(&mut state.waiting) {
        if waiting.at == id {
            if let Some((to, correlation)) = waiting.asker.filter(|(asker, _)| *asker != id) {
                state.network.push(Packet::Broken { from: id, to, correlation });
            }
        } else {
            let asker = waiting.asker.filter(|(asker, _)| *asker != id);
            state.waiting.push(Waiting { asker, ..waiting });
        }
    }
    state.waiting.sort_unstable();
}

impl<'a> Turn<'a> {
    fn new(world: &'a World, state: &'a mut State, node: Node, now: Millis) -> Self {
        Self {
            world,
            state,
            node,
            now,
            entries: Vec::new(),
            fresh: None,
            ballot: None,
            dies_after: None,
            withheld: Vec::new(),
            instant: Vec::new(),
        }
    }

    fn id(&self) -> i32 {
        self.node.id()
    }

    fn run(&mut self, event: Event) -> Result<(), Stop> {
        let event = match self.world.bounds().mutant {
            Some(mutant) => mutant.event(&self.node, event),
            None => event,
        };
        let actions = self.step(event)?;
        self.go_on(actions)?;
        self.grant_withheld()
    }

    /// One step of the core. Its asserts are laws too.
    fn step(&mut self, event: Event) -> Result<Vec<Action>, Stop> {
        let log = &self.node.disk.log;
        let mutant = self.world.bounds().mutant;
        let flushed = mutant.map_or(log.flushed, |mutant| mutant.flushed(log, self.node.quorum.role()));
        let view = View { log, flushed };
        let quorum = &mut self.node.quorum;
        let before = quorum.high_watermark();
        let now = self.now;
        let event_for_mutant = mutant.map(|_| event.clone());
        let actions = seen::quietly(|| catch_unwind(AssertUnwindSafe(|| quorum.step(event, &view, now))));
        let actions = actions.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Violation::new(Law::Contract, format!("the core panics: {}", text.unwrap_or_default()))
        })?;
        if self.node.quorum.high_watermark() < before {
            let how = format!("the high watermark of {} went back", self.id());
            return Err(Violation::new(Law::Contract, how).into());
        }
        Ok(match (mutant, event_for_mutant) {
            (Some(mutant), Some(event)) => {
                let committed = self.state.history.committed().len() as i64;
                mutant.actions(&self.node, &event, committed, actions)
            }
            _ => actions,
        })
    }

    /// Carries out actions, and takes the events that follow from them.
    fn go_on(&mut self, mut actions: Vec<Action>) -> Result<(), Stop> {
        loop {
            let mut follow_up = None;
            let mut rest = actions.into_iter();
            while let Some(action) = rest.as_slice().first() {
                if let Some(left) = &mut self.dies_after {
                    if *left == 0 {
                        let matters = |action: &Action| {
                            matches!(action, Action::PersistVote(_) | Action::TruncateTo { .. })
                        };
                        let point = rest.as_slice().iter().any(matters);
                        return Err(if point { Stop::Died } else { Stop::Pointless });
                    }
                    *left -= 1;
                }
                let action = action.clone();
                rest.next();
                if let Some(event) = self.perform(action)? {
                    follow_up = Some(event);
                }
            }
            let Some(event) = follow_up else { return Ok(()) };
            actions = self.step(event)?;
        }
    }

    fn perform(&mut self, action: Action) -> Result<Option<Event>, Stop> {
        match action {
            Action::PersistVote(vote) => {
                let before = self.node.disk.vote;
                if before.is_some_and(|before| before.epoch > vote.epoch) {
                    let how = format!("{} goes back to epoch {}", self.id(), vote.epoch);
                    return Err(Violation::new(Law::OneVote, how).into());
                }
                self.node.disk.vote = Some(vote);
            }
            Action::AppendControl { epoch, records } => {
                let payloads = records.into_iter().map(|record| match record {
                    ControlRecord::LeaderChange { leader_id, .. } => Payload::LeaderChange(leader_id),
                    ControlRecord::Voters(set) => Payload::Voters(Arc::new(set)),
                });
                return Ok(Some(self.append(epoch, payloads.collect())?));
            }
            Action::AppendFetched { range } => return Ok(Some(self.append_fetched(range.base_offset)?)),
            Action::TruncateTo { offset } => {
                if !self.node.disk.log.is_edge(offset) {
                    let how = format!("{} truncates to {offset}, inside of a batch", self.id());
                    return Err(Violation::new(Law::Contract, how).into());
                }
                self.world.seen().note(Sight::Truncation);
                self.node.disk.log.truncate_to(offset);
                return Ok(Some(Event::Truncated));
            }
            Action::HighWatermark(offset) => self.committed(offset)?,
            Action::Send { to, correlation, request } => self.send(to, correlation, request)?,
            Action::Reply { correlation, response } => self.reply(correlation, response)?,
            Action::BecameLeader { epoch, .. } => {
                self.world.seen().note(Sight::Leader);
                self.change_history(|history, node| history.elected(node.id(), epoch))?;
                self.node.leads = Some(epoch);
            }
            Action::LostLeadership { .. } => {
                self.world.seen().note(Sight::LostLeader);
                self.node.leads = None;
            }
            Action::Fatal(fatal) => {
                let how = format!("{} gives up: {fatal}", self.id());
                return Err(Violation::new(Law::Contract, how).into());
            }
            Action::AppendSnapshot(_) | Action::InstallSnapshot(_) | Action::Repaired => {
                let how = format!("{} deals with a snapshot or a damage that isn't there", self.id());
                return Err(Violation::new(Law::Contract, how).into());
            }
            Action::ShutdownComplete | Action::SetTimer(_) | Action::LeaderChanged { .. } => {}
        }
        Ok(None)
    }

    /// Appends one batch; returns the event that tells so.
    pub(crate) fn append(&mut self, epoch: i32, payloads: Vec<Payload>) -> Result<Event, Violation> {
        let log = &mut self.node.disk.log;
        let from = log.end_offset();
        if log.epoch_before(from) > epoch {
            let how = format!("an entry of epoch {epoch} behind one of epoch {}", log.epoch_before(from));
            return Err(Violation::new(Law::LogMatching, how));
        }
        log.append_batch(epoch, payloads);
        Ok(Event::Appended { voters: log.voters(from) })
    }

    fn append_fetched(&mut self, base_offset: i64) -> Result<Event, Violation> {
        let log = &mut self.node.disk.log;
        let from = log.end_offset();
        let fits = base_offset == from
            && !self.entries.is_empty()
            && self.entries.iter().all(|entry| entry.epoch >= log.epoch_before(from));
        if !fits {
            let how = format!("{} appends what doesn't continue its log", self.node.id());
            return Err(Violation::new(Law::LogMatching, how));
        }
        log.entries.append(&mut self.entries);
        Ok(Event::Appended { voters: log.voters(from) })
    }

    fn change_history<T>(
        &mut self,
        change: impl FnOnce(&mut super::oracle::History, &Node) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let mut history = super::oracle::History::clone(&self.state.history);
        let result = change(&mut history, &self.node);
        self.state.history = Shared::new(history);
        result
    }

    /// The nodes as they are now, this one included.
    fn nodes(&self) -> impl Iterator<Item = &Node> + Clone {
        let id = self.id();
        self.state.nodes().filter(move |node| node.id() != id).chain([&self.node])
    }

    fn committed(&mut self, offset: i64) -> Result<(), Violation> {
        let more = self.change_history(|history, node| history.committed_by(node, offset))?;
        if more == 0 {
            return Ok(());
        }
        // A leader that has committed its own removal has resigned in the same step.
        if !matches!(self.node.quorum.role(), RoleName::Leader | RoleName::Resigned) {
            let how = format!("{} commits offset {offset} before any leader does", self.id());
            return Err(Violation::new(Law::NoLostFlush, how));
        }
        let committed = self.state.history.committed();
        for (entry, _) in &committed[committed.len() - more..] {
            self.world.seen().note(match &entry.payload {
                Payload::Data(_) => Sight::CommittedWrite,
                Payload::Voters(_) => Sight::CommittedVoters,
                Payload::LeaderChange(_) => Sight::CommittedEpoch,
            });
        }
        self.state.history.flushed_by_majority(self.node.quorum.voters(), self.nodes())
    }

    fn send(&mut self, to: Peer, correlation: u64, request: Request) -> Result<(), Violation> {
        let from = self.id();
        let Peer::Node(to) = to else {
            return Err(Violation::new(Law::Contract, "a request to a bootstrap server that isn't there"));
        };
        if let Request::Vote(vote) = &request {
            if vote.pre_vote && self.world.grants_pre_votes() {
                self.withheld.push((Peer::Node(to), correlation));
                return Ok(());
            }
            if !vote.pre_vote && self.node.quorum.is_voter() {
                let epoch = vote.epoch;
                self.change_history(|history, node| {
                    let own = super::node::replica(node.id());
                    history.voted(node.id(), epoch, own, node.disk.vote)
                })?;
            }
        }
        self.state.network.push(Packet::Request { from, to, correlation, request });
        Ok(())
    }

    fn reply(&mut self, number: u64, response: Response) -> Result<(), Violation> {
        let asker = match number {
            FRESH => self.fresh.take(),
            _ => {
                let at = self.id();
                let place = self
                    .state
                    .waiting
                    .iter()
                    .position(|waiting| (waiting.at, waiting.number) == (at, number));
                place.map(|place| self.state.waiting.remove(place).asker)
            }
        };
        let Some(asker) = asker else {
            let how = format!("{} answers a request that doesn't wait", self.id());
            return Err(Violation::new(Law::Contract, how));
        };
        self.note_answer(&response);
        if let (Response::Vote(answer), Some(ballot)) = (&response, self.ballot.take())
            && answer.vote_granted
        {
            self.change_history(|history, node| {
                history.voted(node.id(), ballot.epoch, ballot.candidate, node.disk.vote)
            })?;
        }
        let Some((to, correlation)) = asker else { return Ok(()) };
        if self.world.bounds().instant_answers && brings_nothing(&response) {
            self.instant.push(((to, correlation), response));
            return Ok(());
        }
        let entries = match &response {
            Response::Fetch(fetch) => fetch.records.map_or_else(Vec::new, |range| {
                let log = &self.node.disk.log.entries;
                let place = |offset: i64| usize::try_from(offset).unwrap_or(0).min(log.len());
                log[place(range.base_offset)..place(range.end_offset)].to_vec()
            }),
            _ => Vec::new(),
        };
        self.state.network.push(Packet::Response { from: self.id(), to, correlation, response, entries });
        Ok(())
    }

    fn note_answer(&self, response: &Response) {
        let sight = match response {
            Response::Vote(answer) if answer.vote_granted && self.ballot.is_some() => Sight::VoteGranted,
            Response::Vote(_) if self.ballot.is_some() => Sight::VoteRefused,
            Response::Fetch(answer) if answer.diverging_epoch.is_some() => Sight::Divergence,
            Response::AddVoter(answer) if answer.error == ErrorCode::None => Sight::ChangeDone,
            Response::RemoveVoter(answer) if answer.error == ErrorCode::None => Sight::ChangeDone,
            _ => return,
        };
        self.world.seen().note(sight);
    }

    /// With [`super::bounds::PreVotes::Granted`]: every voter agrees at once.
    fn grant_withheld(&mut self) -> Result<(), Stop> {
        for (from, correlation) in std::mem::take(&mut self.withheld) {
            if self.node.quorum.role() != RoleName::Prospective {
                break;
            }
            let leader = CurrentLeader { id: None, epoch: self.node.quorum.epoch() };
            let answer = VoteResponse { error: ErrorCode::None, leader, vote_granted: true };
            let event = Event::Response { from, correlation, response: Response::Vote(answer) };
            let actions = self.step(event)?;
            self.go_on(actions)?;
        }
        Ok(())
    }

    /// Puts the node back in its canonical form, or the violation in its place.
    fn end(mut self, outcome: Result<(), Stop>) -> Ended {
        let outcome = match outcome {
            Ok(()) => self.settle(),
            Err(Stop::Broken(violation)) => Err(violation),
            Err(Stop::Died | Stop::Pointless) => return Ended::Pointless,
        };
        let place = State::place(self.id());
        self.state.nodes[place] = Shared::new(self.node);
        if let Err(violation) = outcome {
            self.state.violation = Some(violation);
            return Ended::Done;
        }
        let mut history = super::oracle::History::clone(&self.state.history);
        history.forget(self.state.nodes());
        self.state.history = Shared::new(history);
        let outcome = self.world.drop_inert(self.state);
        if let Err(violation) = outcome {
            self.state.violation = Some(violation);
            return Ended::Done;
        }
        for ((to, correlation), response) in self.instant {
            if self.state.violation.is_some() {
                break;
            }
            let from = Peer::Node(i32::try_from(place).unwrap_or(i32::MAX - 1) + 1);
            let input = Input::event(Event::Response { from, correlation, response });
            take(self.world, self.state, to, input, None);
        }
        Ended::Done
    }

    fn settle(&mut self) -> Result<(), Violation> {
        let id = self.id();
        if let Some(asker) = self.fresh.take() {
            self.state.waiting.push(Waiting { at: id, number: FRESH, asker });
        }
        let now = self.now;
        let before = self.world.bounds().audit.then(|| self.node.quorum.clone());
        let renamed = self.node.quorum.canonicalize(now, |moment| clock::canonical(moment, now));
        if let Some(before) = before {
            self.world.audit_renaming(&self.node, before, now, &renamed)?;
        }
        self.state.network.renumber(id, &renamed.requests);
        let mut kept = 0;
        for waiting in &mut self.state.waiting {
            waiting.asker = waiting.asker.and_then(|(asker, number)| {
                let number = if asker == id { new_number(number, &renamed.requests) } else { Some(number) };
                number.filter(|number| *number != GIVEN_UP).map(|number| (asker, number))
            });
            if waiting.at == id {
                let Some(number) = new_number(waiting.number, &renamed.unanswered) else {
                    let how = format!("{id} has forgotten a request that it has to answer");
                    return Err(Violation::new(Law::Contract, how));
                };
                waiting.number = number;
                kept += 1;
            }
        }
        if kept != renamed.unanswered.len() {
            let how = format!("{id} remembers a request that it has answered");
            return Err(Violation::new(Law::Contract, how));
        }
        self.state.waiting.sort_unstable();
        Ok(())
    }
}

/// Appends one batch on a leader, as its shell does for clients, and tells the core.
pub(crate) fn append(world: &World, state: &mut State, id: i32, epoch: i32, payload: Payload) -> Ended {
    let Some(node) = state.nodes.get(State::place(id)) else { return Ended::Pointless };
    let node = Node::clone(node);
    let mut turn = Turn::new(world, state, node, NOW);
    let outcome = turn.append(epoch, vec![payload]).map_err(Stop::from).and_then(|event| turn.run(event));
    turn.end(outcome)
}

/// What the voters would be after a change, without asking whether it may begin.
pub(crate) fn changed(voters: &VoterSet, change: super::bounds::Change) -> VoterSet {
    match change {
        super::bounds::Change::Add(id) => voters.with(super::node::voter(id)),
        super::bounds::Change::Remove(id) => voters.without(id),
    }
}

/// A failed request, as the asker learns of it.
pub(crate) fn failed(peer: i32, correlation: u64, refused: bool) -> Event {
    let failure = if refused { Failure::Refused } else { Failure::Lost };
    Event::RequestFailed { to: Peer::Node(peer), correlation, failure }
}

/// Whether an answer only says how the sender's epoch stands.
fn brings_nothing(response: &Response) -> bool {
    match response {
        Response::Vote(answer) => !answer.vote_granted,
        Response::Fetch(answer) => answer.error != ErrorCode::None,
        Response::BeginQuorumEpoch(_) | Response::EndQuorumEpoch(_) => true,
        _ => false,
    }
}

/// How many batches of a log aren't flushed.
pub(crate) fn unflushed_batches(node: &Node) -> usize {
    node.disk.log.unflushed_edges().count() - 1
}
