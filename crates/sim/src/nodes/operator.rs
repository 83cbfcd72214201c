//! An operator who changes the voters with Kafka's tools: AddRaftVoter and RemoveRaftVoter, sent to any node.
//!
//! Invariants: one change at a time is asked for, and never one that leaves fewer voters than a majority of three needs; what was
//! acknowledged is in the committed history of the voters.
use super::dice::Dice;
use super::network::{Network, Parcel, address};
use bytes::Bytes;
use kafka_wire::messages::add_raft_voter::Listener;
use kafka_wire::messages::{AddRaftVoterRequest, RemoveRaftVoterRequest};
use kafka_wire::{ApiKey, ErrorCode, Request, RequestHeader, Response, Str, decode_response};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The operator's number among the clients.
pub(super) const OPERATOR: usize = 90;
/// Fewer voters are never left.
const VOTERS_MIN: usize = 3;
/// How long the leader may take.
const TIMEOUT_MS: i32 = 1_000;
/// How long the operator waits for an answer.
const PATIENCE_MS: u64 = 3_000;
/// How long it waits before it asks another node.
const BACKOFF_MS: u64 = 50;
/// How often it asks for a change before it gives up.
const ATTEMPTS: u32 = 20;
/// The version of both requests.
const VERSION: i16 = 0;

/// A change of the voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add(i32, Uuid),
    Remove(i32, Uuid),
}

struct Flight {
    change: Change,
    api: ApiKey,
    sent_ms: u64,
    /// How many voter sets were committed when it was sent.
    known: usize,
}

/// The operator.
pub(super) struct Operator {
    network: Arc<Network>,
    dice: Dice,
    nodes: usize,
    connection: u64,
    flight: Option<Flight>,
    next_ms: u64,
    /// How many more attempts the present wish is worth.
    attempts: u32,
    /// Changes that were acknowledged, and how many voter sets had been committed when each was asked for.
    acknowledged: Vec<(Change, usize)>,
}

impl Operator {
    pub(super) fn new(network: Arc<Network>, dice: Dice, nodes: usize) -> Operator {
        Operator {
            network,
            dice,
            nodes,
            connection: 0,
            flight: None,
            next_ms: 0,
            attempts: 0,
            acknowledged: Vec::new(),
        }
    }

    /// Another voter is wanted, or one less.
    pub(super) fn wish(&mut self) {
        self.attempts = ATTEMPTS;
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.flight.is_none()
    }

    /// Asks for a change if one is wanted and allowed. `directories` tells the disk of each node.
    pub(super) fn tick(
        &mut self,
        now_ms: u64,
        voters: &[BTreeMap<i32, Uuid>],
        may_change: bool,
        directories: impl Fn(usize) -> Option<Uuid>,
    ) {
        if let Some(flight) = &self.flight {
            if now_ms > flight.sent_ms + PATIENCE_MS {
                self.lose(now_ms);
            }
            return;
        }
        if self.attempts == 0 || !may_change || now_ms < self.next_ms {
            return;
        }
        self.attempts -= 1;
        self.next_ms = now_ms + BACKOFF_MS;
        let Some(present) = voters.last() else { return };
        if let Some(change) = self.choose(present, directories) {
            self.send(change, now_ms, voters.len());
        }
    }

    fn choose(
        &mut self,
        voters: &BTreeMap<i32, Uuid>,
        directories: impl Fn(usize) -> Option<Uuid>,
    ) -> Option<Change> {
        let others = (0..self.nodes).filter(|node| !voters.contains_key(&(*node as i32)));
        let others: Vec<Change> =
            others.filter_map(|node| Some(Change::Add(node as i32, directories(node)?))).collect();
        let present: Vec<Change> = match voters.len() > VOTERS_MIN {
            true => voters.iter().map(|(id, directory)| Change::Remove(*id, *directory)).collect(),
            false => Vec::new(),
        };
        let all: Vec<Change> =
            others.into_iter().chain(present).filter(|change| !change.is_vague()).collect();
        (!all.is_empty()).then(|| *self.dice.pick(&all))
    }

    fn send(&mut self, change: Change, now_ms: u64, known: usize) {
        let request = change.request();
        let header = RequestHeader {
            api: request.api(),
            version: VERSION,
            correlation_id: 0,
            client_id: Some(Str::from("operator")),
        };
        let chunks = request.to_frame(&header).expect("the simulator builds requests that can be encoded");
        let frame = Bytes::from(chunks.concat()).slice(4..);
        self.connection += 1;
        self.flight = Some(Flight { change, api: header.api, sent_ms: now_ms, known });
        let node = self.dice.index(self.nodes);
        self.network.note(format_args!("the operator asks node {node}: {change:?}"));
        self.network.carry(Parcel::KafkaRequest {
            node,
            client: OPERATOR,
            connection: self.connection,
            frame,
        });
    }

    /// Hears an answer; none means that the socket was closed.
    pub(super) fn hear(&mut self, connection: u64, frame: Option<Bytes>, now_ms: u64) -> Result<(), String> {
        if connection != self.connection {
            return Ok(());
        }
        let Some(frame) = frame else {
            self.lose(now_ms);
            return Ok(());
        };
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let decoded = decode_response(flight.api, VERSION, frame);
        let (_, response) =
            decoded.map_err(|error| format!("a response to {:?} is none: {error}", flight.api))?;
        let error = match &response {
            Response::AddRaftVoter(response) => response.error_code,
            Response::RemoveRaftVoter(response) => response.error_code,
            response => return Err(format!("the operator got {response:?}")),
        };
        self.network.note(format_args!("the operator hears {response:?}"));
        if error == ErrorCode::NONE {
            self.acknowledged.push((flight.change, flight.known));
            self.attempts = 0;
        }
        Ok(())
    }

    fn lose(&mut self, now_ms: u64) {
        self.flight = None;
        self.connection += 1;
        self.next_ms = now_ms + BACKOFF_MS;
    }

    /// Whether every change that was acknowledged was made, after it was asked for.
    pub(super) fn judge(&self, voters: &[BTreeMap<i32, Uuid>]) -> Result<(), String> {
        for (change, known) in &self.acknowledged {
            let since = voters.get(known.saturating_sub(1)..).unwrap_or_default();
            if !since.windows(2).any(|pair| change.is_between(&pair[0], &pair[1])) {
                return Err(format!("{change:?} was acknowledged, but the voters were {since:?}"));
            }
        }
        Ok(())
    }
}

impl Change {
    /// Whether the disk is not known.
    fn is_vague(self) -> bool {
        let (Change::Add(_, directory) | Change::Remove(_, directory)) = self;
        directory.is_nil()
    }

    fn is_between(self, before: &BTreeMap<i32, Uuid>, after: &BTreeMap<i32, Uuid>) -> bool {
        match self {
            Change::Add(id, directory) => !before.contains_key(&id) && after.get(&id) == Some(&directory),
            Change::Remove(id, directory) => before.get(&id) == Some(&directory) && !after.contains_key(&id),
        }
    }

    fn request(self) -> Request {
        match self {
            Change::Add(voter_id, voter_directory_id) => {
                let at = address(usize::try_from(voter_id).unwrap_or_default());
                let listener =
                    Listener { name: Str::from("PEERS"), host: Str::from(at.host.as_str()), port: at.port };
                Request::AddRaftVoter(AddRaftVoterRequest {
                    timeout_ms: TIMEOUT_MS,
                    voter_id,
                    voter_directory_id,
                    listeners: vec![listener],
                    ..Default::default()
                })
            }
            Change::Remove(voter_id, voter_directory_id) => {
                let request = RemoveRaftVoterRequest { voter_id, voter_directory_id, ..Default::default() };
                Request::RemoveRaftVoter(request)
            }
        }
    }
}
