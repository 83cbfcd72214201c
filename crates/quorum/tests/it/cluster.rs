//! A cluster in one thread: replicas with disks that crash, and a network that drops, repeats, delays and splits.

use std::collections::{BTreeMap, BTreeSet};

use quorum::message::{ErrorCode, Request, Response};
use quorum::{
    Action, Config, ControlRecord, Event, Failure, LogOffset, LogView, Millis, Peer, Quorum, ReplicaId,
    RoleName, Start, VoteState,
};

use crate::clock::Clock;
use crate::log::{Entry, MemLog, Payload};
use crate::oracle::Oracle;
use crate::random::Random;

/// What survives a crash, and the process that may be running on it.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) log: MemLog,
    pub(crate) vote: Option<VoteState>,
    pub(crate) damaged: bool,
    pub(crate) quorum: Option<Quorum>,
    /// Counts starts, so that what belongs to an earlier one is recognized.
    generation: u64,
    /// The epoch that this replica may append client entries with.
    pub(crate) leads: Option<i32>,
    flushing: bool,
    download: Vec<Entry>,
    paused_until: u64,
    pub(crate) clock: Clock,
    pub(crate) shut_down: bool,
}

/// Something on its way.
#[derive(Clone, Debug)]
enum Item {
    Request {
        from: i32,
        generation: u64,
        to: i32,
        peer: Peer,
        correlation: u64,
        request: Request,
    },
    Response {
        to: i32,
        generation: u64,
        peer: Peer,
        correlation: u64,
        response: Response,
        entries: Vec<Entry>,
    },
    Failed {
        from: i32,
        generation: u64,
        peer: Peer,
        correlation: u64,
        failure: Failure,
    },
    Timer {
        node: i32,
        generation: u64,
    },
    Flushed {
        node: i32,
        generation: u64,
        end: LogOffset,
    },
    Installed {
        node: i32,
        generation: u64,
        snapshot: LogOffset,
        entries: Vec<Entry>,
    },
    Restart {
        node: i32,
    },
}

/// Where an answer goes: a node's request, or an operator's.
#[derive(Clone, Copy, Debug)]
enum Asker {
    Node { id: i32, generation: u64, peer: Peer, correlation: u64 },
    Operator,
}

/// How bad the network is: once in so many packets; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) drop: u64,
    pub(crate) repeat: u64,
    pub(crate) slow: u64,
    pub(crate) crash_mid_step: u64,
    /// A flush fails; its node stops, and what was to be flushed is lost or a part of it.
    pub(crate) flush_fails: u64,
}

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<i32, Node>,
    pub(crate) oracle: Oracle,
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) cut: BTreeSet<(i32, i32)>,
    pub(crate) operator_answers: Vec<Response>,
    /// Replicas whose disk is gone.
    wiped: BTreeSet<ReplicaId>,
    items: BTreeMap<(u64, u64), Item>,
    sequence: u64,
    /// The requests that a node has taken and not answered yet: by its number for them, the node and who asked.
    askers: BTreeMap<u64, (i32, Asker)>,
    /// Who asks for a vote in which epoch with those of them that do.
    ballots: BTreeMap<u64, (ReplicaId, i32)>,
    next_entry: u64,
    /// How often what happened, so that a test can tell that it tested something.
    pub(crate) seen: BTreeMap<&'static str, u64>,
    trace: bool,
}

impl Cluster {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            nodes: BTreeMap::new(),
            oracle: Oracle::default(),
            now: 0,
            random: Random(seed),
            weather: Weather::default(),
            cut: BTreeSet::new(),
            operator_answers: Vec::new(),
            wiped: BTreeSet::new(),
            items: BTreeMap::new(),
            sequence: 0,
            askers: BTreeMap::new(),
            ballots: BTreeMap::new(),
            next_entry: 0,
            seen: BTreeMap::new(),
            trace: std::env::var_os("QUORUM_TRACE").is_some(),
        }
    }

    pub(crate) fn add(&mut self, config: Config) {
        let id = config.local.id;
        let node = Node {
            config,
            log: MemLog::default(),
            vote: None,
            damaged: false,
            quorum: None,
            generation: 0,
            leads: None,
            flushing: false,
            download: Vec::new(),
            paused_until: 0,
            clock: Clock::new(),
            shut_down: false,
        };
        self.nodes.insert(id, node);
        self.start(id);
    }

    pub(crate) fn node(&self, id: i32) -> &Node {
        &self.nodes[&id]
    }

    pub(crate) fn node_mut(&mut self, id: i32) -> &mut Node {
        self.nodes.get_mut(&id).expect("the test names a node that exists")
    }

    /// The nodes that lead, each in its own view.
    pub(crate) fn leaders(&self) -> Vec<i32> {
        self.nodes.iter().filter(|(_, node)| node.leads.is_some()).map(|(id, _)| *id).collect()
    }

    /// The leader of the highest epoch.
    pub(crate) fn leader(&self) -> Option<i32> {
        self.leaders().into_iter().max_by_key(|id| self.node(*id).leads)
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn note(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>7} {}", self.now, text());
        }
    }

    // ---- processes -------------------------------------------------------------------------------------------------

    pub(crate) fn start(&mut self, id: i32) {
        let true_time = self.now;
        let node = self.node_mut(id);
        if node.quorum.is_some() {
            return;
        }
        let now = node.clock.shows(true_time);
        node.generation += 1;
        node.shut_down = false;
        let start = Start { vote: node.vote, voters: node.log.voters(), damaged: node.damaged };
        let (quorum, actions) =
            Quorum::start(node.config.clone(), start, &node.log, now).expect("the configuration is valid");
        node.quorum = Some(quorum);
        self.note(|| format!("{id} starts at {:?}", self.node(id).log.end()));
        self.carry_out(id, actions, Vec::new());
    }

    /// Kills the process: what wasn't flushed is lost, or a part of it.
    pub(crate) fn crash(&mut self, id: i32) {
        let unflushed = self.node(id).log.end_offset() - self.node(id).log.flushed;
        let kept = if unflushed > 0 { self.random.below(unflushed as u64 + 1) as i64 } else { 0 };
        let node = self.node_mut(id);
        node.quorum = None;
        node.leads = None;
        node.flushing = false;
        node.download.clear();
        let end = node.log.flushed + kept;
        node.log.truncate_to(end);
        node.log.flush();
        self.note(|| format!("{id} crashes, keeps {end}"));
        self.break_connections(id);
    }

    /// The kernel of a process that died closes its connections: who waits for an answer learns that none will come.
    fn break_connections(&mut self, id: i32) {
        let numbers: Vec<u64> =
            self.askers.iter().filter(|(_, (at, _))| *at == id).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some((_, Asker::Node { id: from, generation, peer, correlation })) =
                self.askers.remove(&number)
            {
                let failure = Failure::Lost;
                self.transmit(id, from, Item::Failed { from, generation, peer, correlation, failure });
            }
        }
    }

    pub(crate) fn restart_later(&mut self, id: i32, delay: u64) {
        self.push(delay, Item::Restart { node: id });
    }

    /// The disk is gone: the node comes back empty, under another directory id.
    pub(crate) fn wipe(&mut self, id: i32, directory: uuid::Uuid) {
        self.crash(id);
        let lost = self.node(id).config.local;
        self.wiped.insert(lost);
        let node = self.node_mut(id);
        node.log = MemLog::default();
        node.vote = None;
        node.damaged = false;
        node.config.local.directory = directory;
        self.note(|| format!("{id} loses its disk"));
    }

    /// Flushed entries at the end can't be read any more.
    pub(crate) fn damage(&mut self, id: i32, entries: i64) {
        self.crash(id);
        let node = self.node_mut(id);
        let mut end = (node.log.end_offset() - entries).max(node.log.start);
        // A log that goes back to the time of a single voter makes its node stop, which is a story of its own.
        let sets = node.log.voters();
        if sets.iter().rfind(|(offset, _)| *offset < end).map_or(&node.config.voters, |(_, set)| set).len()
            < 2
        {
            end = sets.iter().map(|(offset, _)| offset + 1).max().unwrap_or(end).max(end);
        }
        node.log.lose_from(end);
        node.damaged = true;
        let end = node.log.end_offset();
        // Requests of the process that knew more must not count; the shell refuses an earlier incarnation.
        self.items.retain(|_, item| !matches!(item, Item::Request { from, .. } if *from == id));
        self.note(|| format!("{id} lost flushed entries down to {end}"));
    }

    pub(crate) fn pause(&mut self, id: i32, until: u64) {
        self.node_mut(id).paused_until = until;
    }

    // ---- time and network ------------------------------------------------------------------------------------------

    fn push(&mut self, delay: u64, item: Item) {
        self.sequence += 1;
        self.items.insert((self.now + delay, self.sequence), item);
    }

    /// Lets everything happen that is due until `end`.
    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some((&(at, _), _)) = self.items.first_key_value() {
            if at > end {
                break;
            }
            let Some((_, item)) = self.items.pop_first() else { break };
            self.now = self.now.max(at);
            self.deliver(item);
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        self.run_until(self.now + ms);
    }

    /// Runs until something holds; fails after `limit` ms.
    pub(crate) fn run_until_holds(&mut self, limit: u64, what: &str, holds: impl Fn(&Cluster) -> bool) {
        let end = self.now + limit;
        while !holds(self) {
            assert!(self.now < end, "not reached within {limit} ms: {what}; {}", self.describe());
            self.run_for(1);
        }
    }

    pub(crate) fn describe(&self) -> String {
        let lines = self.nodes.iter().map(|(id, node)| match &node.quorum {
            Some(quorum) => format!(
                "{id}: {:?} epoch {} leader {:?} end {:?} flushed {} hw {} voters {:?}",
                quorum.role(),
                quorum.epoch(),
                quorum.leader(),
                node.log.end(),
                node.log.flushed,
                quorum.high_watermark(),
                quorum.voters().iter().map(|voter| voter.replica.to_string()).collect::<Vec<_>>()
            ),
            None => format!("{id}: down, end {:?}", node.log.end()),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn chance(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.random.one_in(one_in)
    }

    fn transmit(&mut self, from: i32, to: i32, item: Item) {
        if self.cut.contains(&(from, to)) || self.chance(self.weather.drop) {
            return;
        }
        if self.chance(self.weather.repeat) {
            let delay = 1 + self.random.below(300);
            self.push(delay, item.clone());
        }
        let slow = self.chance(self.weather.slow);
        let delay = 1 + self.random.below(if slow { 1_000 } else { 10 });
        self.push(delay, item);
    }

    fn deliver(&mut self, item: Item) {
        let target = match &item {
            Item::Request { to, .. } | Item::Response { to, .. } => *to,
            Item::Failed { from, .. } => *from,
            Item::Timer { node, .. } | Item::Flushed { node, .. } => *node,
            Item::Installed { node, .. } | Item::Restart { node } => *node,
        };
        let paused_until = self.node(target).paused_until;
        if paused_until > self.now {
            let delay = paused_until - self.now + self.random.below(3);
            return self.push(delay, item);
        }
        match item {
            Item::Request { from, generation, to, peer, correlation, request } => {
                let asker = Asker::Node { id: from, generation, peer, correlation };
                self.deliver_request(asker, to, request);
            }
            Item::Response { peer, to, generation, correlation, response, entries } => {
                if self.is_current(to, generation) {
                    let event = Event::Response { from: peer, correlation, response };
                    self.step(to, event, entries);
                }
            }
            Item::Failed { from, generation, peer, correlation, failure } => {
                if self.is_current(from, generation) {
                    let event = Event::RequestFailed { to: peer, correlation, failure };
                    self.step(from, event, Vec::new());
                }
            }
            Item::Timer { node, generation } => {
                if self.is_current(node, generation) {
                    self.step(node, Event::Tick, Vec::new());
                }
            }
            Item::Flushed { node, generation, end } => self.flushed(node, generation, end),
            Item::Installed { node, generation, snapshot, entries } => {
                self.installed(node, generation, snapshot, entries);
            }
            Item::Restart { node } => self.start(node),
        }
    }

    fn is_current(&self, id: i32, generation: u64) -> bool {
        let node = self.node(id);
        node.quorum.is_some() && node.generation == generation
    }

    fn deliver_request(&mut self, asker: Asker, to: i32, request: Request) {
        if self.node(to).quorum.is_some() {
            self.sequence += 1;
            let correlation = self.sequence;
            self.askers.insert(correlation, (to, asker));
            if let Request::Vote(vote) = &request
                && !vote.pre_vote
            {
                self.ballots.insert(correlation, (vote.candidate, vote.epoch));
            }
            self.step(to, Event::Request { correlation, request }, Vec::new());
        } else if let (Asker::Node { id: from, generation, peer, correlation }, true) =
            (asker, self.weather.drop == 0 || self.random.one_in(2))
        {
            let failure = Failure::Refused;
            self.transmit(to, from, Item::Failed { from, generation, peer, correlation, failure });
        }
    }

    /// Sends a request from outside of the quorum.
    pub(crate) fn ask(&mut self, to: i32, request: Request) {
        self.sequence += 1;
        let correlation = self.sequence;
        self.askers.insert(correlation, (to, Asker::Operator));
        self.step(to, Event::Request { correlation, request }, Vec::new());
    }

    // ---- the shell -------------------------------------------------------------------------------------------------

    pub(crate) fn step(&mut self, id: i32, event: Event, entries: Vec<Entry>) {
        let true_time = self.now;
        let node = self.node_mut(id);
        let now = node.clock.shows(true_time);
        let Some(quorum) = &mut node.quorum else { return };
        let before = quorum.high_watermark();
        let actions = quorum.step(event.clone(), &node.log, now);
        assert!(quorum.high_watermark() >= before, "the high watermark of {id} went back");
        self.saw("steps");
        self.note(|| format!("{id} {event:?}\n          -> {actions:?}"));
        self.carry_out(id, actions, entries);
    }

    /// Carries out the actions in order; the process may die between any two of them.
    fn carry_out(&mut self, id: i32, actions: Vec<Action>, mut entries: Vec<Entry>) {
        let mut follow_up = None;
        for action in actions {
            if self.chance(self.weather.crash_mid_step) {
                self.crash(id);
                let delay = 1 + self.random.below(3_000);
                return self.restart_later(id, delay);
            }
            if let Some(event) = self.perform(id, action, &mut entries) {
                assert!(follow_up.replace(event).is_none(), "one step changes the log in two ways");
            }
        }
        if let Some(event) = follow_up {
            self.step(id, event, Vec::new());
        }
        self.flush_soon(id);
    }

    fn perform(&mut self, id: i32, action: Action, entries: &mut Vec<Entry>) -> Option<Event> {
        match action {
            Action::PersistVote(vote) => {
                let (local, before) = (self.node(id).config.local, self.node(id).vote);
                self.oracle.persisted(local, before, vote);
                self.node_mut(id).vote = Some(vote);
            }
            Action::AppendControl { epoch, records } => return Some(self.append_control(id, epoch, records)),
            Action::AppendFetched { range } => {
                let node = self.nodes.get_mut(&id)?;
                let from = node.log.end_offset();
                assert_eq!((range.base_offset, range.end_offset), (from, from + entries.len() as i64));
                node.log.entries.append(entries);
                self.oracle.appended(&node.log, from);
                let voters = node.log.voters().into_iter().filter(|(offset, _)| *offset >= from).collect();
                return Some(Event::Appended { voters });
            }
            Action::TruncateTo { offset } => {
                self.saw("truncations");
                self.node_mut(id).log.truncate_to(offset);
                return Some(Event::Truncated);
            }
            Action::AppendSnapshot(piece) => {
                let download = &mut self.node_mut(id).download;
                download.truncate(piece.position as usize);
                assert_eq!((download.len() as u64, entries.len()), (piece.position, piece.bytes as usize));
                download.append(entries);
            }
            Action::InstallSnapshot(snapshot) => {
                let entries = std::mem::take(&mut self.node_mut(id).download);
                let generation = self.node(id).generation;
                let delay = 1 + self.random.below(50);
                self.push(delay, Item::Installed { node: id, generation, snapshot, entries });
            }
            Action::HighWatermark(offset) => self.committed(id, offset),
            Action::Send { to, correlation, request } => self.send(id, to, correlation, request),
            Action::Reply { correlation, response } => self.reply(id, correlation, response),
            Action::BecameLeader { epoch, start_offset } => {
                self.saw("leaders");
                let node = self.nodes.get_mut(&id)?;
                assert_eq!(
                    node.log.epoch_before(start_offset + 1),
                    epoch,
                    "the epoch starts with its control batch"
                );
                self.oracle.became_leader(node.config.local, epoch, &node.log);
                node.leads = Some(epoch);
            }
            Action::LostLeadership { epoch } => {
                self.saw("leaderships lost");
                assert_eq!(self.node(id).leads.unwrap_or(epoch), epoch);
                self.node_mut(id).leads = None;
            }
            Action::Repaired => {
                self.saw("repairs");
                self.node_mut(id).damaged = false;
            }
            Action::ShutdownComplete => self.node_mut(id).shut_down = true,
            Action::SetTimer(moment) => {
                let (generation, clock) = (self.node(id).generation, self.node(id).clock);
                if moment < Millis::NEVER {
                    assert!(moment > clock.shows(self.now), "a timer that is due already");
                    let delay = clock.until(moment, self.now);
                    self.push(delay, Item::Timer { node: id, generation });
                }
            }
            Action::LeaderChanged { .. } => {}
            Action::Fatal(fatal) => panic!("{id} gives up: {fatal}"),
        }
        None
    }

    fn append_control(&mut self, id: i32, epoch: i32, records: Vec<ControlRecord>) -> Event {
        if matches!(records.first(), Some(ControlRecord::Voters(_))) {
            let committed = self.oracle.committed.iter().any(|entry| entry.epoch == epoch);
            assert!(committed, "{id} changes the voters before it has committed anything in epoch {epoch}");
        }
        let mut voters = Vec::new();
        for record in records {
            let payload = match record {
                ControlRecord::LeaderChange { .. } => Payload::LeaderChange,
                ControlRecord::Voters(set) => Payload::Voters(set),
            };
            let offset = self.append(id, epoch, payload.clone());
            if let Payload::Voters(set) = payload {
                voters.push((offset, set));
            }
        }
        Event::Appended { voters }
    }

    fn append(&mut self, id: i32, epoch: i32, payload: Payload) -> i64 {
        self.oracle.is_new(self.node(id).log.end_offset(), epoch);
        let offset = self.node_mut(id).log.append(epoch, payload);
        self.oracle.appended(&self.nodes[&id].log, offset);
        offset
    }

    /// A client's entries reach a node; it takes them if it leads.
    pub(crate) fn write(&mut self, id: i32, count: u64) {
        let Some(epoch) = self.node(id).leads else { return };
        for _ in 0..count {
            self.next_entry += 1;
            let entry = self.next_entry;
            self.append(id, epoch, Payload::Data(entry));
        }
        self.step(id, Event::Appended { voters: Vec::new() }, Vec::new());
    }

    fn flush_soon(&mut self, id: i32) {
        let delay = 1 + self.random.below(8);
        let node = self.node_mut(id);
        let end = node.log.end();
        if node.quorum.is_some() && !node.flushing && node.log.flushed < end.offset {
            node.flushing = true;
            let generation = node.generation;
            self.push(delay, Item::Flushed { node: id, generation, end });
        }
    }

    fn flushed(&mut self, id: i32, generation: u64, end: LogOffset) {
        if !self.is_current(id, generation) {
            return;
        }
        if self.chance(self.weather.flush_fails) {
            self.saw("failed flushes");
            self.crash(id);
            let delay = 1 + self.random.below(3_000);
            return self.restart_later(id, delay);
        }
        let node = self.node_mut(id);
        node.flushing = false;
        // What was truncated since isn't there to be flushed.
        let kept = node.log.end_offset_for_epoch(end.epoch).offset.min(end.offset);
        node.log.flushed = node.log.flushed.max(kept);
        self.step(id, Event::Flushed, Vec::new());
        self.flush_soon(id);
    }

    fn installed(&mut self, id: i32, generation: u64, snapshot: LogOffset, entries: Vec<Entry>) {
        if !self.is_current(id, generation) {
            return;
        }
        let node = self.node_mut(id);
        assert_eq!(entries.len() as i64, snapshot.offset);
        let (start, flushed) = (snapshot.offset, snapshot.offset);
        node.log = MemLog { entries, start, flushed, snapshot: Some(snapshot), older: None };
        assert_eq!(node.log.end(), snapshot);
        let voters = node.log.voters().pop();
        self.saw("snapshots installed");
        self.step(id, Event::SnapshotInstalled { voters }, Vec::new());
    }

    fn committed(&mut self, id: i32, offset: i64) {
        let node = &self.nodes[&id];
        let epoch = node.quorum.as_ref().map_or(0, Quorum::epoch);
        let more = self.oracle.high_watermark(node.config.local, offset, &node.log, epoch);
        if let (true, Some(quorum)) = (more, &node.quorum) {
            // A leader that committed its own removal has resigned in the same step.
            let leads = matches!(quorum.role(), RoleName::Leader | RoleName::Resigned);
            assert!(leads, "{id} knows of a commit before any leader does");
            let by = self.oracle.committed.last().map_or(0, |entry| entry.epoch);
            assert_eq!(by, epoch, "{id} commits by counting copies of an entry of an earlier epoch");
            // What a replica had flushed when the leader heard so may be lost since; the sets of voters are large
            // enough to bear one such loss.
            let lossy = self.nodes.values().filter(|node| node.damaged).map(|node| node.config.local);
            let lossy = lossy.chain(self.wiped.iter().copied()).collect();
            let logs = self.nodes.values().map(|node| (node.config.local, &node.log));
            self.oracle.flushed_by_majority(quorum.voters(), logs, &lossy);
        }
    }

    fn send(&mut self, id: i32, peer: Peer, correlation: u64, request: Request) {
        let to = match peer {
            Peer::Node(to) => to,
            Peer::Bootstrap(at) => {
                *self.nodes.keys().nth(at as usize).expect("as many nodes as bootstrap servers")
            }
        };
        let node = self.node(id);
        match &request {
            Request::Vote(vote) if !vote.pre_vote => {
                let durable = node.vote.expect("a candidate has persisted its vote");
                assert_eq!((durable.epoch, durable.voted_for), (vote.epoch, Some(node.config.local)));
            }
            Request::Fetch(fetch) => {
                assert!(fetch.fetch_offset <= node.log.flushed, "{id} acknowledges unflushed")
            }
            _ => {}
        }
        let generation = node.generation;
        self.transmit(id, to, Item::Request { from: id, generation, to, peer, correlation, request });
    }

    fn reply(&mut self, id: i32, number: u64, mut response: Response) {
        let (_, asker) = self.askers.remove(&number).expect("a request is answered once");
        self.saw_reply(&response);
        let node = &self.nodes[&id];
        let mut entries = Vec::new();
        match &mut response {
            Response::Vote(vote) => {
                let durable = node.vote.unwrap_or_default().epoch.max(node.log.end().epoch);
                assert!(vote.leader.epoch <= durable, "{id} tells an epoch that it may forget");
                if let (Some((candidate, epoch)), true) = (self.ballots.remove(&number), vote.vote_granted) {
                    let durable = node.vote.unwrap_or_default();
                    assert_eq!(
                        (durable.epoch, durable.voted_for),
                        (epoch, Some(candidate)),
                        "{id} may forget its vote"
                    );
                }
            }
            Response::Fetch(fetch) => {
                if let Some(range) = &mut fetch.records {
                    let available = range.end_offset - range.base_offset;
                    range.end_offset = range.base_offset + 1 + self.random.below(available as u64) as i64;
                    entries =
                        node.log.entries[range.base_offset as usize..range.end_offset as usize].to_vec();
                }
            }
            Response::FetchSnapshot(piece) if piece.bytes > 0 => {
                piece.bytes = 1 + self.random.below(u64::from(piece.bytes)) as u32;
                let from = piece.position as usize;
                entries = node.log.entries[from..from + piece.bytes as usize].to_vec();
            }
            _ => {}
        }
        match asker {
            Asker::Operator => self.operator_answers.push(response),
            Asker::Node { id: to, generation, peer, correlation } => {
                self.transmit(
                    id,
                    to,
                    Item::Response { peer, to, generation, correlation, response, entries },
                );
            }
        }
    }

    fn saw_reply(&mut self, response: &Response) {
        match response {
            Response::AddVoter(answer) if answer.error == ErrorCode::None => self.saw("voters added"),
            Response::RemoveVoter(answer) if answer.error == ErrorCode::None => self.saw("voters removed"),
            Response::UpdateVoter(answer) if answer.error == ErrorCode::None => self.saw("voters updated"),
            Response::EndQuorumEpoch(answer) if answer.error == ErrorCode::None => self.saw("epochs ended"),
            Response::Vote(answer) if !answer.vote_granted => self.saw("votes refused"),
            Response::Fetch(answer) if answer.diverging_epoch.is_some() => self.saw("divergences"),
            _ => {}
        }
    }

    /// Whether the voters can bear that one of them loses its promises now: all logs hold the same set of them,
    /// committed, so that no change is under way and none of them forgets it, it is large enough, and nobody else has
    /// lost any that wasn't replaced or repaired.
    pub(crate) fn can_lose_one(&self) -> bool {
        let committed_set = |node: &Node| {
            let (offset, set) = node.log.voters().pop()?;
            let place = offset as usize;
            let committed = self.oracle.committed.get(place);
            (committed.is_some() && committed == node.log.entries.get(place)).then_some(set)
        };
        let mut sets = self.nodes.values().map(committed_set);
        let Some(Some(set)) = sets.next() else { return false };
        let known =
            set.iter().all(|voter| !voter.replica.directory.is_nil() && !self.wiped.contains(&voter.replica));
        let whole = self.nodes.values().all(|node| !node.damaged);
        whole && known && set.len() >= 3 && sets.all(|other| other.as_ref() == Some(&set))
    }
}
