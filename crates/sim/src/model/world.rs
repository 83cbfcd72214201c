//! The model: which states there are, what can happen in each, and what must hold. Invariant: an execution of real nodes
//! within the bounds is one of the model's, up to the moments at which things happen.

use std::sync::Arc;

use quorum::message::{AddVoterRequest, RemoveVoterRequest, Request, Response};
use quorum::{Config, Event, RoleName};
use stateright::{Expectation, Model, Property};

use super::bounds::{Begin, Bounds, Change, PreVotes};
use super::clock::{self, NOW, Span};
use super::log::Payload;
use super::mutant::Mutant;
use super::network::{GIVEN_UP, Packet};
use super::node::{self, Node};
use super::oracle::{History, Law, logs_match};
use super::seen::{Seen, Sight};
use super::shared::Shared;
use super::state::{Happening, Left, State, Step};
use super::turn::{self, Ended, Input};

/// A process may die after this many of a step's actions at most; later deaths are the same as deaths after the step.
const MAX_ACTIONS_BEFORE_DEATH: usize = 3;
/// More steps than any scripted beginning takes.
const MAX_SCRIPT: usize = 1_000;

/// A configuration to check.
#[derive(Debug)]
pub struct World {
    bounds: Bounds,
    configs: Vec<Config>,
    seen: Arc<Seen>,
}

impl World {
    /// The model of `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        let configs = (1..=bounds.nodes()).map(|id| node::config(id, bounds.voters)).collect();
        Self { bounds, configs, seen: Arc::default() }
    }

    /// What is covered.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// What has happened so far.
    pub fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    pub(crate) fn config(&self, id: i32) -> Config {
        self.configs[State::place(id)].clone()
    }

    pub(crate) fn grants_pre_votes(&self) -> bool {
        self.bounds.pre_votes == PreVotes::Granted
    }

    /// The state that the search begins with. No bug is planted yet on the way there, and nothing is counted.
    pub fn begin(&self) -> State {
        let script = World::new(Bounds { mutant: None, ..self.bounds.clone() });
        let mut state = script.run_script();
        let all_changes = (1_u16 << self.bounds.changes.len()) - 1;
        state.left = Left {
            writes: self.bounds.writes,
            crashes: self.bounds.crashes,
            losses: self.bounds.losses,
            repeats: self.bounds.repeats,
            resigns: self.bounds.resigns,
            timeouts: self.bounds.timeouts,
            changes: u8::try_from(all_changes).expect("a run has few changes"),
        };
        state
    }

    fn run_script(&self) -> State {
        let left = Left {
            writes: u8::MAX,
            crashes: 0,
            losses: 0,
            repeats: 0,
            resigns: 0,
            timeouts: None,
            changes: 0,
        };
        let mut state = State {
            nodes: Vec::new(),
            network: super::network::Network::default(),
            waiting: Vec::new(),
            history: Shared::new(History::default()),
            left,
            violation: None,
        };
        for id in 1..=self.bounds.nodes() {
            turn::boot(self, &mut state, id);
        }
        match self.bounds.begin {
            Begin::Empty => {}
            Begin::Settled => self.elect(&mut state, 1, |_| true),
            Begin::TwoTails => {
                self.elect(&mut state, 1, |_| true);
                self.apply(&mut state, Step::Write { node: 1 });
                self.elect(&mut state, 3, |packet| {
                    let fetches = matches!(packet, Packet::Request { request: Request::Fetch(_), .. });
                    packet.asker().0 != 1 && packet.asked() != 1 && !fetches
                });
            }
        }
        state
    }

    fn apply(&self, state: &mut State, step: Step) {
        let next = self.next(state, &Happening { step, dies: None });
        *state = next.expect("the script names steps that can be taken");
        assert_eq!(state.violation, None, "the beginning {:?} is sound", self.bounds.begin);
    }

    /// Lets `id` win an election, then lets everything happen that `reaches` allows until nothing is left to happen.
    fn elect(&self, state: &mut State, id: i32, reaches: impl Fn(&Packet) -> bool) {
        if state.nodes[State::place(id)].leads.is_none() {
            self.apply(state, Step::Tick { node: id, span: Span::Long });
        }
        for _ in 0..MAX_SCRIPT {
            let packet = state.network.packets().iter().position(|packet| reaches(packet));
            let unflushed = state.nodes().find(|node| turn::unflushed_batches(node) > 0);
            let paused = state.nodes().find(|node| clock::due(node.quorum.next_tick()) == Some(Span::Short));
            let step = if let Some(packet) = packet {
                Step::Deliver { packet, batches: state.network.packets()[packet].batches() }
            } else if let Some(node) = unflushed {
                Step::Flush { node: node.id(), batches: turn::unflushed_batches(node) }
            } else if let Some(node) = paused {
                Step::Tick { node: node.id(), span: Span::Short }
            } else {
                return;
            };
            self.apply(state, step);
        }
        panic!("the beginning {:?} doesn't come to rest", self.bounds.begin);
    }

    fn next(&self, state: &State, happening: &Happening) -> Option<State> {
        let mut next = state.clone();
        let dies = happening.dies;
        if dies.is_some() {
            next.left.crashes = next.left.crashes.checked_sub(1)?;
        }
        let ended = match happening.step {
            Step::Deliver { packet, batches } => {
                let packet = next.network.remove(packet);
                let (id, input) = arrival(&packet, batches);
                turn::take(self, &mut next, id, input, dies)
            }
            Step::Repeat { packet } => {
                next.left.repeats = next.left.repeats.checked_sub(1)?;
                let packet = &state.network.packets()[packet];
                let (id, input) = arrival(packet, packet.batches());
                turn::take(self, &mut next, id, input, dies)
            }
            Step::Fail { packet, refused, late } => {
                next.left.losses = next.left.losses.checked_sub(1)?;
                let packet =
                    if late { state.network.packets()[packet].clone() } else { next.network.remove(packet) };
                let (asker, number) = packet.asker();
                let event = turn::failed(packet.asked(), number, refused);
                turn::take(self, &mut next, asker, Input::event(event), dies)
            }
            Step::GiveUp { waiting } => {
                next.left.losses = next.left.losses.checked_sub(1)?;
                let waiting = *state.waiting.get(waiting)?;
                let (asker, number) = waiting.asker?;
                let event = turn::failed(waiting.at, number, false);
                turn::take(self, &mut next, asker, Input::event(event), dies)
            }
            Step::Tick { node, span } => {
                if span == Span::Long
                    && let Some(timeouts) = &mut next.left.timeouts
                {
                    *timeouts = timeouts.checked_sub(1)?;
                }
                let leader = &next.nodes[State::place(node)];
                if span == Span::Long && leader.leads.is_some() && leader.quorum.voters().len() > 1 {
                    next.left.resigns = next.left.resigns.checked_sub(1)?;
                }
                let input = Input { now: NOW.plus(span.ms()), ..Input::event(Event::Tick) };
                turn::take(self, &mut next, node, input, dies)
            }
            Step::Flush { node, batches } => self.flush(&mut next, node, batches),
            Step::Write { node } => {
                let epoch = next.nodes[State::place(node)].leads?;
                let number = next.left.writes;
                next.left.writes = number.checked_sub(1)?;
                turn::append(self, &mut next, node, epoch, Payload::Data(number))
            }
            Step::Change { node, change } => self.ask_for_change(&mut next, node, change)?,
            Step::Crash { node, kept } => {
                next.left.crashes = next.left.crashes.checked_sub(1)?;
                turn::crash(self, &mut next, node, kept)
            }
        };
        if dies.is_some() && matches!(ended, Ended::Done) {
            self.seen.note(Sight::DeathMidStep);
        }
        if !matches!(ended, Ended::Done) {
            return None;
        }
        if self.bounds.quick_flush && next.left.crashes == 0 {
            self.flush_all(&mut next);
        }
        Some(next)
    }

    fn flush(&self, state: &mut State, id: i32, batches: usize) -> Ended {
        let place = State::place(id);
        let mut flushed = Node::clone(&state.nodes[place]);
        let Some(offset) = flushed.disk.log.unflushed_edges().nth(batches) else { return Ended::Pointless };
        flushed.disk.log.flushed = offset;
        state.nodes[place] = Shared::new(flushed);
        turn::take(self, state, id, Input::event(Event::Flushed), None)
    }

    fn flush_all(&self, state: &mut State) {
        while state.violation.is_none() {
            let unflushed = state.nodes().find(|node| turn::unflushed_batches(node) > 0);
            let Some((id, batches)) = unflushed.map(|node| (node.id(), turn::unflushed_batches(node))) else {
                return;
            };
            self.flush(state, id, batches);
        }
    }

    fn ask_for_change(&self, state: &mut State, id: i32, change: usize) -> Option<Ended> {
        state.left.changes &= !(1 << change);
        let change = self.bounds.changes[change];
        if self.bounds.mutant == Some(Mutant::UnfinishedChange) {
            let node = &state.nodes[State::place(id)];
            let voters = turn::changed(node.quorum.voters(), change);
            let epoch = node.leads?;
            return Some(turn::append(self, state, id, epoch, Payload::Voters(Arc::new(voters))));
        }
        let request = match change {
            Change::Add(id) => Request::AddVoter(AddVoterRequest {
                voter: node::replica(id),
                endpoints: Vec::new(),
                timeout_ms: clock::OPERATOR_TIMEOUT_MS,
            }),
            Change::Remove(id) => Request::RemoveVoter(RemoveVoterRequest { voter: node::replica(id) }),
        };
        let before = state.nodes[State::place(id)].clone();
        let ended = turn::take(self, state, id, Input::request(request, None), None);
        // One that is refused changes nothing, and can be asked for again.
        let accepted = state.violation.is_some() || state.nodes[State::place(id)] != before;
        accepted.then_some(ended)
    }

    fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        self.network_steps(state, steps);
        for node in state.nodes() {
            self.node_steps(state, node, steps);
        }
    }

    fn network_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let left = &state.left;
        let packets = state.network.packets();
        for (at, packet) in packets.iter().enumerate() {
            if at > 0 && packets[at - 1] == *packet {
                continue;
            }
            let batches = packet.batches();
            steps.extend((batches.min(1)..=batches).map(|batches| Step::Deliver { packet: at, batches }));
            let is_broken = matches!(**packet, Packet::Broken { .. });
            if left.repeats > 0 && !is_broken {
                steps.push(Step::Repeat { packet: at });
            }
            if left.losses > 0 && packet.is_awaited() && !is_broken {
                steps.push(Step::Fail { packet: at, refused: false, late: false });
                if let Packet::Request { request, .. } = &**packet {
                    steps.push(Step::Fail { packet: at, refused: false, late: true });
                    let tells =
                        matches!(request, Request::Fetch(_) | Request::Vote(_) | Request::EndQuorumEpoch(_));
                    if tells {
                        steps.push(Step::Fail { packet: at, refused: true, late: false });
                    }
                }
            }
        }
        if left.losses > 0 {
            let waiting = state.waiting.iter().enumerate().filter(|(_, waiting)| waiting.asker.is_some());
            steps.extend(waiting.map(|(at, _)| Step::GiveUp { waiting: at }));
        }
    }

    fn node_steps(&self, state: &State, node: &Node, steps: &mut Vec<Step>) {
        let left = &state.left;
        let id = node.id();
        if let Some(first) = clock::due(node.quorum.next_tick()) {
            let spans = [Span::Short, Span::Medium, Span::Long];
            let with_operator = !self.bounds.changes.is_empty() && node.leads.is_some();
            let spans = spans
                .into_iter()
                .filter(|span| *span >= first && (*span != Span::Medium || with_operator || first == *span));
            steps.extend(spans.map(|span| Step::Tick { node: id, span }));
        }
        let unflushed = 1..=turn::unflushed_batches(node);
        steps.extend(unflushed.map(|batches| Step::Flush { node: id, batches }));
        if node.leads.is_some() && left.writes > 0 {
            steps.push(Step::Write { node: id });
        }
        if node.quorum.role() == RoleName::Leader {
            let changes = (0..self.bounds.changes.len()).filter(|change| left.changes & (1 << change) != 0);
            steps.extend(changes.map(|change| Step::Change { node: id, change }));
        }
        if left.crashes > 0 {
            let edges = node.disk.log.unflushed_edges().count();
            steps.extend((0..edges).map(|kept| Step::Crash { node: id, kept }));
        }
    }

    /// The deaths in the middle of `step` that differ from a death before or after it: those between two changes of the
    /// disk, or between a message and a change of the disk.
    fn deaths(&self, state: &State, step: Step, happenings: &mut Vec<Happening>) {
        let id = match step {
            Step::Deliver { packet, .. } => match &*state.network.packets()[packet] {
                Packet::Request { to, .. } | Packet::Response { to, .. } => *to,
                Packet::Broken { .. } => return,
            },
            Step::Tick { node, .. } => node,
            _ => return,
        };
        let Some(next) = self.next(state, &Happening { step, dies: None }) else { return };
        let (before, after) = (&state.nodes[State::place(id)].disk, &next.nodes[State::place(id)].disk);
        if before.vote == after.vote && before.log.end_offset() <= after.log.end_offset() {
            return;
        }
        let edges = before.log.unflushed_edges().count();
        for after in 1..=MAX_ACTIONS_BEFORE_DEATH {
            let dies = (0..edges).map(|kept| Happening { step, dies: Some((after, kept)) });
            happenings.extend(dies);
        }
    }

    /// What `happening` is, in words, for the trace of a violation.
    pub fn describe(&self, state: &State, happening: &Happening) -> String {
        let packet = |at: usize| format!("{:?}", &*state.network.packets()[at]);
        let text = match happening.step {
            Step::Deliver { packet: at, batches } => format!("deliver ({batches} batches) {}", packet(at)),
            Step::Repeat { packet: at } => format!("deliver, and again later, {}", packet(at)),
            Step::Fail { packet: at, refused, late } => {
                format!("fail (refused: {refused}, late: {late}) {}", packet(at))
            }
            Step::GiveUp { waiting } => format!("give up {:?}", state.waiting[waiting]),
            Step::Change { node, change } => format!("{node} is asked to {:?}", self.bounds.changes[change]),
            step => format!("{step:?}"),
        };
        match happening.dies {
            Some((after, kept)) => format!("{text}, dying after {after} actions, keeping {kept} batches"),
            None => text,
        }
    }
}

/// Who takes a packet, and how.
fn arrival(packet: &Packet, batches: usize) -> (i32, Input) {
    match packet {
        Packet::Request { from, to, correlation, request } => {
            let asker = (*correlation != GIVEN_UP).then_some((*from, *correlation));
            (*to, Input::request(request.clone(), asker))
        }
        Packet::Response { from, to, correlation, response, entries } => {
            let mut response = response.clone();
            let mut ends = (1..).zip(entries).filter(|(_, entry)| entry.ends_batch).map(|(end, _)| end);
            let count = batches.checked_sub(1).and_then(|at| ends.nth(at)).unwrap_or(0);
            if let Response::Fetch(fetch) = &mut response
                && let Some(range) = &mut fetch.records
            {
                range.end_offset = range.base_offset + count as i64;
            }
            let event =
                Event::Response { from: quorum::Peer::Node(*from), correlation: *correlation, response };
            let entries = entries.iter().take(count).cloned().collect();
            (*to, Input { entries, ..Input::event(event) })
        }
        Packet::Broken { from, to, correlation } => {
            (*to, Input::event(turn::failed(*from, *correlation, false)))
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Happening;

    fn init_states(&self) -> Vec<State> {
        vec![self.begin()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Happening>) {
        if state.violation.is_some() {
            return;
        }
        let mut steps = Vec::new();
        self.steps(state, &mut steps);
        for step in steps {
            actions.push(Happening { step, dies: None });
            if state.left.crashes > 0 {
                self.deaths(state, step, actions);
            }
        }
    }

    fn next_state(&self, state: &State, happening: Happening) -> Option<State> {
        self.next(state, &happening)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn law(law: Law, condition: fn(&World, &State) -> bool) -> Property<World> {
            Property { expectation: Expectation::Always, name: law.name(), condition }
        }
        vec![
            law(Law::ElectionSafety, |_, state| holds(state, Law::ElectionSafety)),
            law(Law::LogMatching, |_, state| {
                holds(state, Law::LogMatching) && logs_match(&state.nodes().collect::<Vec<_>>())
            }),
            law(Law::LeaderCompleteness, |_, state| {
                holds(state, Law::LeaderCompleteness) && state.history.leaders_are_complete(state.nodes())
            }),
            law(Law::StateMachineSafety, |_, state| holds(state, Law::StateMachineSafety)),
            law(Law::NoLostFlush, |world, state| {
                holds(state, Law::NoLostFlush) && world.keeps_what_is_committed(state)
            }),
            law(Law::OneVote, |_, state| holds(state, Law::OneVote)),
            law(Law::Contract, |_, state| holds(state, Law::Contract)),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.violation.is_some() || state.nodes().all(|node| node.quorum.epoch() <= self.bounds.epochs)
    }
}

fn holds(state: &State, law: Law) -> bool {
    state.violation.as_ref().is_none_or(|broken| broken.law != law)
}

impl World {
    /// While the voters stay the same, a majority holds what is committed for ever.
    fn keeps_what_is_committed(&self, state: &State) -> bool {
        if !self.bounds.changes.is_empty() || state.history.committed().is_empty() {
            return true;
        }
        let voters = &self.configs[0].voters;
        state.history.flushed_by_majority(voters, state.nodes()).is_ok()
    }
}
