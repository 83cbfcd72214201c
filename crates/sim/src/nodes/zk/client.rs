//! A client of ZooKeeper: one session after another, requests in flight, watches, moves from node to node.
//!
//! Invariants: every write carries data that no other write has; what was sent and heard is kept in order, for the judge; the client
//! never asks a question whose answer the judge could not check.
use super::connection::NO_SESSION;
use super::{Body, Change, Deed, Said, Sent, Waits};
use crate::nodes::dice::Dice;
use crate::nodes::network::{Network, Parcel};
use bytes::Bytes;
use ensemble::{ConnectError, WatchEvent};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tree::{EventKind, SessionId};

/// Where clients work. It is made before they begin.
pub(in crate::nodes) const TOP: &str = "/sim";
/// How many znodes they fight for.
const NAMES: usize = 5;
/// How long a client waits before it tries the next node.
const RETRY_MS: u64 = 20;
/// The longest wait for a session to open.
const OPEN_PATIENCE_MS: u64 = 700;

/// A request with its answer.
#[derive(Debug)]
pub(in crate::nodes) struct Asked {
    pub(super) deed: Deed,
    pub(super) xid: u32,
    /// The largest zxid that any client had been told of when it was sent.
    pub(super) floor: i64,
    /// The largest zxid that this client itself had been told of when it was sent.
    pub(super) known: i64,
    pub(super) answer: Option<(i64, Body)>,
}

impl Asked {
    /// The watch that its answer set.
    pub(super) fn sets(&self) -> Option<(String, Waits)> {
        let (_, body) = self.answer.as_ref()?;
        match (&self.deed, body) {
            (Deed::Get { path, watch: true }, Body::Node(Some(_))) => Some((path.clone(), Waits::Data)),
            (Deed::Exists { path, watch: true }, Body::Node(found)) => {
                Some((path.clone(), if found.is_some() { Waits::Data } else { Waits::Exist }))
            }
            (Deed::Children { path, watch: true }, Body::Children(Some(_))) => {
                Some((path.clone(), Waits::Child))
            }
            _ => None,
        }
    }
}

/// What a client saw, in order.
#[derive(Debug)]
pub(in crate::nodes) enum Seen {
    /// It attached to a node, through a connection of its own.
    Attached { node: usize, at_ms: u64 },
    /// A request, by its index, was answered; it had been sent at that time.
    Answered { index: usize, sent_ms: u64, at_ms: u64 },
    /// A watch fired.
    Event(WatchEvent),
    /// It lost the connection.
    Lost { at_ms: u64 },
}

/// One session from its opening to its end.
#[derive(Debug)]
pub(in crate::nodes) struct Life {
    pub(in crate::nodes) client: usize,
    pub(in crate::nodes) id: i64,
    pub(in crate::nodes) timeout_ms: u64,
    password: [u8; 16],
    pub(super) asked: Vec<Asked>,
    pub(super) seen: Vec<Seen>,
    /// Whether a node said that it is over, or closed it at the client's wish.
    pub(super) told_expired: bool,
}

enum State {
    Away {
        until_ms: u64,
    },
    Opening {
        since_ms: u64,
    },
    Open,
    /// It is gone for good, without a word.
    Silent,
}

/// The client.
pub(in crate::nodes) struct Client {
    id: usize,
    network: Arc<Network>,
    dice: Dice,
    nodes: usize,
    state: State,
    node: usize,
    connection: u64,
    timeout_ms: i32,
    /// Requests in flight: index, time.
    flying: VecDeque<(usize, u64)>,
    depth: usize,
    next_ask_ms: u64,
    pace_ms: u64,
    last_sent_ms: u64,
    last_zxid: i64,
    /// The zxid of the last answer. Watches are set again as of it, as ZooKeeper's clients do: of the events of one transaction some may
    /// have been lost with the connection.
    answered_zxid: i64,
    unique: u64,
    /// Watches that were set and have not fired as far as it knows.
    watches: BTreeSet<(String, Waits)>,
    pub(in crate::nodes) lives: Vec<Life>,
    /// Whether new requests are made; pings go on.
    pub(in crate::nodes) works: bool,
    /// Writes that were acknowledged since this was last set to 0.
    pub(in crate::nodes) done: u64,
}

impl Client {
    pub(in crate::nodes) fn new(id: usize, network: Arc<Network>, mut dice: Dice, nodes: usize) -> Client {
        let timeout_ms = dice.between(600, 2_000) as i32;
        let (pace_ms, depth) = (dice.between(5, 60), dice.between(1, 6) as usize);
        Client {
            id,
            network,
            nodes,
            state: State::Away { until_ms: 0 },
            node: dice.index(nodes),
            connection: 0,
            timeout_ms,
            flying: VecDeque::new(),
            depth,
            next_ask_ms: 0,
            pace_ms,
            last_sent_ms: 0,
            last_zxid: 0,
            answered_zxid: 0,
            unique: 0,
            watches: BTreeSet::new(),
            lives: Vec::new(),
            works: true,
            done: 0,
            dice,
        }
    }

    /// Falls silent for ever: its session must end by its timeout.
    pub(in crate::nodes) fn fall_silent(&mut self) {
        self.state = State::Silent;
    }

    pub(in crate::nodes) fn is_silent(&self) -> bool {
        matches!(self.state, State::Silent)
    }

    pub(in crate::nodes) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// The id of the session that it has.
    pub(in crate::nodes) fn session(&self) -> Option<i64> {
        self.life().map(|life| life.id)
    }

    /// Whether nothing is in flight.
    pub(in crate::nodes) fn is_idle(&self) -> bool {
        self.flying.is_empty()
    }

    /// Leaves its node for another one.
    pub(in crate::nodes) fn move_on(&mut self, now_ms: u64, politely: bool) {
        if politely && self.is_open() {
            self.send(Sent::Bye);
        }
        self.lose(now_ms);
    }

    fn life(&self) -> Option<&Life> {
        self.lives.last().filter(|life| !life.told_expired)
    }

    fn send(&self, sent: Sent) {
        let parcel = Parcel::ToNode { node: self.node, client: self.id, connection: self.connection, sent };
        self.network.carry(parcel);
    }

    fn lose(&mut self, now_ms: u64) {
        if self.is_silent() {
            return;
        }
        if self.is_open()
            && let Some(life) = self.lives.last_mut()
        {
            life.seen.push(Seen::Lost { at_ms: now_ms });
        }
        self.flying.clear();
        self.node = self.dice.index(self.nodes);
        self.state = State::Away { until_ms: now_ms + RETRY_MS + self.dice.below(RETRY_MS) };
    }

    /// Lets the client do what its time has come for. `floor` is the largest zxid that any client was told of.
    pub(in crate::nodes) fn tick(&mut self, now_ms: u64, floor: i64) {
        match self.state {
            State::Silent => {}
            State::Away { until_ms } if now_ms >= until_ms => self.open(now_ms),
            State::Away { .. } => {}
            State::Opening { since_ms } => {
                if now_ms > since_ms + OPEN_PATIENCE_MS {
                    self.send(Sent::Bye);
                    self.lose(now_ms);
                }
            }
            State::Open => self.work(now_ms, floor),
        }
    }

    fn open(&mut self, now_ms: u64) {
        self.connection += 1;
        let (session, password) = match self.life() {
            Some(life) => (SessionId(life.id), life.password.to_vec()),
            None => (NO_SESSION, vec![0; 16]),
        };
        // A new session of the same client knows what the client knows.
        let (timeout_ms, last_zxid) = (self.timeout_ms, self.last_zxid);
        self.send(Sent::Open { session, password, timeout_ms, last_zxid });
        self.state = State::Opening { since_ms: now_ms };
    }

    fn work(&mut self, now_ms: u64, floor: i64) {
        let timeout_ms = u64::from(self.timeout_ms.unsigned_abs());
        if self.flying.front().is_some_and(|(_, sent_ms)| now_ms > sent_ms + timeout_ms * 2 / 3) {
            self.send(Sent::Bye);
            return self.lose(now_ms);
        }
        if self.works && now_ms >= self.next_ask_ms && self.flying.len() < self.depth {
            let deed = self.choose();
            self.ask(deed, now_ms, floor);
            self.next_ask_ms = now_ms + self.dice.below(self.pace_ms * 2);
        } else if now_ms > self.last_sent_ms + timeout_ms / 4 {
            self.ask(Deed::Ping, now_ms, floor);
        }
    }

    fn ask(&mut self, deed: Deed, now_ms: u64, floor: i64) {
        let known = self.last_zxid;
        let Some(life) = self.lives.last_mut() else { return };
        let (index, xid) = (life.asked.len(), life.asked.len() as u32 + 1);
        life.asked.push(Asked { deed: deed.clone(), xid, floor, known, answer: None });
        self.flying.push_back((index, now_ms));
        self.last_sent_ms = now_ms;
        self.send(Sent::Ask { xid, deed });
    }

    fn path(&mut self) -> String {
        format!("{TOP}/n{}", self.dice.index(NAMES))
    }

    fn data(&mut self) -> Bytes {
        self.unique += 1;
        Bytes::from(format!("{}.{}", self.id, self.unique))
    }

    fn change(&mut self) -> Change {
        let path = self.path();
        match self.dice.below(10) {
            0..=3 => {
                let version = if self.dice.chance(300) { self.dice.below(4) as i32 } else { -1 };
                Change::Set { path, data: self.data(), version }
            }
            4 | 5 => Change::Delete { path, version: -1 },
            6 => {
                let path = format!("{TOP}/s{}-", self.id);
                Change::Create { path, data: self.data(), ephemeral: true, sequential: true }
            }
            _ => {
                let ephemeral = self.dice.chance(400);
                Change::Create { path, data: self.data(), ephemeral, sequential: false }
            }
        }
    }

    fn choose(&mut self) -> Deed {
        // The first attempts may have been lost with their connections.
        if self.life().is_some_and(|life| life.asked.is_empty()) || self.dice.chance(30) {
            let (path, data) = (TOP.to_owned(), Bytes::new());
            return Deed::Write(vec![Change::Create { path, data, ephemeral: false, sequential: false }]);
        }
        if self.dice.chance(4) {
            return Deed::Close;
        }
        let watch = self.dice.chance(500);
        match self.dice.below(20) {
            0..=8 => Deed::Write(vec![self.change()]),
            9 => {
                let (first, second) = (self.change(), self.change());
                match first.path() == second.path() {
                    true => Deed::Write(vec![first]),
                    false => Deed::Write(vec![first, second]),
                }
            }
            10..=12 => Deed::Get { path: self.path(), watch },
            13 | 14 => Deed::Exists { path: self.path(), watch },
            15 | 16 => Deed::Children { path: TOP.to_owned(), watch },
            17 => Deed::Ping,
            _ => Deed::Sync,
        }
    }

    /// Hears something. The largest zxid that it was told of by an answer to a write, if it was.
    pub(in crate::nodes) fn hear(
        &mut self,
        connection: u64,
        said: Said,
        now_ms: u64,
    ) -> Result<Option<i64>, String> {
        if self.is_silent() || connection != self.connection || matches!(self.state, State::Away { .. }) {
            return Ok(None);
        }
        match said {
            Said::Opened { session, password, timeout_ms } => {
                self.opened(session.0, password, timeout_ms, now_ms);
                Ok(None)
            }
            Said::Refused(ConnectError::Expired) => {
                if let Some(life) = self.lives.last_mut() {
                    life.told_expired = true;
                }
                self.lose(now_ms);
                Ok(None)
            }
            Said::Refused(_) | Said::Gone => {
                self.lose(now_ms);
                Ok(None)
            }
            Said::Event(event) => {
                // What a watch missed comes without a zxid.
                if let Some(zxid) = event.zxid {
                    self.last_zxid = self.last_zxid.max(zxid.0);
                }
                self.forget_watches(&event);
                if let Some(life) = self.lives.last_mut() {
                    life.seen.push(Seen::Event(event));
                }
                Ok(None)
            }
            Said::Answer { xid, zxid, body } => self.answered(xid, zxid, body, now_ms),
        }
    }

    fn opened(&mut self, id: i64, password: [u8; 16], timeout_ms: i32, now_ms: u64) {
        self.state = State::Open;
        self.last_sent_ms = now_ms;
        self.timeout_ms = timeout_ms;
        let is_new = self.life().is_none_or(|life| life.id != id);
        if is_new {
            self.watches.clear();
            self.lives.push(Life {
                client: self.id,
                id,
                timeout_ms: timeout_ms.unsigned_abs().into(),
                password,
                asked: Vec::new(),
                seen: Vec::new(),
                told_expired: false,
            });
        }
        if let Some(life) = self.lives.last_mut() {
            life.seen.push(Seen::Attached { node: self.node, at_ms: now_ms });
        }
        if !self.watches.is_empty() {
            let (relative, watches) = (self.answered_zxid, self.watches.iter().cloned().collect());
            self.ask(Deed::SetWatches { relative, watches }, now_ms, 0);
        }
    }

    /// Takes out the watches that an event is the end of.
    fn forget_watches(&mut self, event: &WatchEvent) {
        let ended: &[Waits] = match event.kind {
            EventKind::Created | EventKind::DataChanged => &[Waits::Data, Waits::Exist],
            EventKind::ChildrenChanged => &[Waits::Child],
            EventKind::Deleted => &[Waits::Data, Waits::Exist, Waits::Child],
        };
        for waits in ended {
            self.watches.remove(&(event.path.to_string(), *waits));
        }
    }

    fn answered(&mut self, xid: u32, zxid: i64, body: Body, now_ms: u64) -> Result<Option<i64>, String> {
        let Some(life) = self.lives.last_mut() else { return Ok(None) };
        let Some((index, sent_ms)) = self.flying.pop_front() else {
            return Err(format!("client {} got an answer to nothing: {xid}", self.id));
        };
        let asked = &mut life.asked[index];
        if asked.xid != xid {
            return Err(format!("client {} got the answer to {xid} before that to {}", self.id, asked.xid));
        }
        if zxid < self.last_zxid {
            return Err(format!(
                "client {} goes back: node {} answers {:?} at zxid {zxid}, after {}",
                self.id, self.node, asked.deed, self.last_zxid
            ));
        }
        self.last_zxid = zxid;
        self.answered_zxid = zxid;
        let written = matches!(body, Body::Written(_));
        let closed = asked.deed == Deed::Close && body == Body::Done;
        self.done += u64::from(written);
        asked.answer = Some((zxid, body));
        self.watches.extend(asked.sets());
        life.seen.push(Seen::Answered { index, sent_ms, at_ms: now_ms });
        life.told_expired |= closed;
        Ok(written.then_some(zxid))
    }
}
