//! The wire between the nodes and to the clients: delay, loss, partitions, resets, refusals.
//!
//! Invariants: whatever is sent arrives in a later step of the simulation, so that nodes can be run one after another; one connection
//! keeps its order, connections overtake each other; bytes that are lost on a connection take everything behind them with them, as
//! TCP does, until a call's timeout brings a new connection; what was sent to a process never reaches its successor. Frames are encoded
//! and decoded by the wire's own codec.
use super::dice::Dice;
use super::trace::Trace;
use super::zk::{Said, Sent};
use bytes::Bytes;
use kafka_wire::{ApiKey, Request, RequestHeader, Str, decode_response};
use parking_lot::Mutex;
use peers::{Address, CallError, Calling, Lane, Transport};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The port that simulated nodes have.
const PORT: u16 = 9092;

/// One run of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) node: usize,
    pub(super) number: u64,
}

/// A connection between two nodes: who called, whom, for what, and how often it was opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) from: Run,
    pub(super) to: usize,
    pub(super) lane: Lane,
    pub(super) number: u64,
}

/// Something that arrives.
pub(super) enum Parcel {
    /// A request of another node.
    Call { line: Line, call: u64, frame: Bytes, again: bool },
    /// The end of a call.
    Return { call: u64, result: Result<Bytes, Loss> },
    /// From a client of ZooKeeper to a node.
    ToNode { node: usize, client: usize, connection: u64, sent: Sent },
    /// From a node to a client of ZooKeeper.
    ToClient { client: usize, connection: u64, said: Said },
    /// From a client of Kafka to a node.
    KafkaRequest { node: usize, client: usize, connection: u64, frame: Bytes },
    /// From a node to a client of Kafka; without a frame the socket was closed.
    KafkaResponse { client: usize, connection: u64, run: u64, frame: Option<Bytes> },
}

/// Why a call has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    Refused,
    Reset,
}

/// How the network behaves; faults change it.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// The usual delay, in milliseconds.
    pub(super) delay_ms: (u64, u64),
    /// So many parcels in a thousand are late.
    pub(super) late_per_mille: u64,
    /// By how much.
    pub(super) late_ms: u64,
    /// So many calls in a thousand break their connection, before or after they are executed.
    pub(super) reset_per_mille: u64,
    /// So many calls of the quorum in a thousand arrive twice.
    pub(super) again_per_mille: u64,
}

impl Weather {
    /// A network without trouble.
    pub(super) fn fair(delay_ms: (u64, u64)) -> Weather {
        Weather { delay_ms, late_per_mille: 0, late_ms: 0, reset_per_mille: 0, again_per_mille: 0 }
    }
}

struct Due {
    at_ms: u64,
    order: u64,
    parcel: Parcel,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

/// The state of a connection between nodes.
#[derive(Default)]
struct LineState {
    number: u64,
    /// Bytes were lost on it.
    broken: bool,
    last_out_ms: u64,
    last_back_ms: u64,
    /// The run that it was accepted by.
    accepted_by: Option<u64>,
}

struct Call {
    line: Line,
    answer: oneshot::Sender<Result<Bytes, Loss>>,
}

type LineKey = (Run, usize, Lane);

struct State {
    now_ms: u64,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    dice: Dice,
    weather: Weather,
    /// Ways from node to node that carry nothing.
    cut: BTreeMap<(usize, usize), ()>,
    lines: BTreeMap<LineKey, LineState>,
    calls: BTreeMap<u64, Call>,
    next_call: u64,
    /// The last parcel of each direction of each client's connection.
    client_order: BTreeMap<(usize, u64, bool), u64>,
    /// The run that each client's connection was opened to, by node, client and connection; none if none was there.
    client_runs: BTreeMap<(usize, usize, u64), Option<u64>>,
    /// The run of each node that is up.
    up: BTreeMap<usize, u64>,
    trace: Trace,
}

/// The network. Cheap to share.
pub(super) struct Network {
    state: Mutex<State>,
}

impl Network {
    pub(super) fn new(dice: Dice, weather: Weather, trace: Trace) -> Arc<Network> {
        Arc::new(Network {
            state: Mutex::new(State {
                now_ms: 0,
                queue: BinaryHeap::new(),
                order: 0,
                dice,
                weather,
                cut: BTreeMap::new(),
                lines: BTreeMap::new(),
                calls: BTreeMap::new(),
                next_call: 0,
                client_order: BTreeMap::new(),
                client_runs: BTreeMap::new(),
                up: BTreeMap::new(),
                trace,
            }),
        })
    }

    /// Moves the time on.
    pub(super) fn at(&self, now_ms: u64) {
        self.state.lock().now_ms = now_ms;
    }

    /// Adds to the trace.
    pub(super) fn note(&self, event: std::fmt::Arguments<'_>) {
        let mut state = self.state.lock();
        let now = state.now_ms;
        state.trace.note(now, event);
    }

    /// The trace's hash and length.
    pub(super) fn trace(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.trace.hash(), state.trace.events())
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// Lets a way carry nothing, or everything again.
    pub(super) fn cut(&self, from: usize, to: usize, cut: bool) {
        let mut state = self.state.lock();
        match cut {
            true => drop(state.cut.insert((from, to), ())),
            false => drop(state.cut.remove(&(from, to))),
        }
    }

    /// Lets all ways carry again.
    pub(super) fn heal(&self) {
        self.state.lock().cut.clear();
    }

    /// A node's process listens from now on, or does not any more. Calls of a run that is over are forgotten.
    pub(super) fn listens(&self, node: usize, run: Option<u64>) {
        let mut state = self.state.lock();
        match run {
            Some(run) => drop(state.up.insert(node, run)),
            None => drop(state.up.remove(&node)),
        }
        state.calls.retain(|_, call| call.line.from.node != node || Some(call.line.from.number) == run);
        state.lines.retain(|(from, _, _), _| from.node != node || Some(from.number) == run);
    }

    /// The next parcel whose time has come.
    pub(super) fn arrived(&self) -> Option<Parcel> {
        let mut state = self.state.lock();
        if state.queue.peek()?.0.at_ms > state.now_ms {
            return None;
        }
        state.queue.pop().map(|due| due.0.parcel)
    }

    /// Sends something to or from a client, in the order of its connection.
    pub(super) fn carry(&self, parcel: Parcel) {
        let mut state = self.state.lock();
        let key = match &parcel {
            Parcel::ToNode { node, client, connection, .. }
            | Parcel::KafkaRequest { node, client, connection, .. } => {
                let run = state.up.get(node).copied();
                state.client_runs.entry((*node, *client, *connection)).or_insert(run);
                (*client, *connection, true)
            }
            Parcel::ToClient { client, connection, .. }
            | Parcel::KafkaResponse { client, connection, .. } => (*client, *connection, false),
            Parcel::Call { .. } | Parcel::Return { .. } => return,
        };
        let at_ms = (state.now_ms + state.delay()).max(state.client_order.get(&key).copied().unwrap_or(0));
        state.client_order.insert(key, at_ms);
        state.push(at_ms, parcel);
    }

    /// Whether a node's process is the one that a parcel was sent to. The process that a client has opened its connection to may be gone:
    /// its successor must not execute what was late, after what the client asked for meanwhile.
    pub(super) fn reaches(&self, node: usize, parcel: &Parcel) -> bool {
        let (client, connection) = match parcel {
            Parcel::ToNode { client, connection, .. } | Parcel::KafkaRequest { client, connection, .. } => {
                (*client, *connection)
            }
            Parcel::Call { .. }
            | Parcel::Return { .. }
            | Parcel::ToClient { .. }
            | Parcel::KafkaResponse { .. } => return true,
        };
        let mut state = self.state.lock();
        let opened_to = state.client_runs.get(&(node, client, connection)).copied().flatten();
        let reaches = opened_to == state.up.get(&node).copied();
        if !reaches {
            let now = state.now_ms;
            state.trace.note(now, format_args!("node {node} resets client {client}.{connection}"));
        }
        reaches
    }

    /// A request reached its node. False if the connection is not what it was, and nothing may be executed.
    pub(super) fn accept(&self, line: &Line, call: u64) -> bool {
        let mut state = self.state.lock();
        let Some(run) = state.up.get(&line.to).copied() else {
            let cut = state.is_cut(line.to, line.from.node);
            if !cut {
                state.fail(call, Loss::Refused);
            }
            return false;
        };
        let Some(found) = state.lines.get_mut(&(line.from, line.to, line.lane)) else { return false };
        if found.number != line.number {
            return false;
        }
        if *found.accepted_by.get_or_insert(run) != run {
            // The process that had the connection is gone; its successor knows nothing of it.
            state.reset(line);
            return false;
        }
        true
    }

    /// A node's response to a call.
    pub(super) fn respond(&self, line: &Line, call: u64, frame: Bytes) {
        let mut state = self.state.lock();
        let breaks = state.lossy(line);
        let cut = state.is_cut(line.to, line.from.node);
        let delay = state.delay();
        let now = state.now_ms;
        let Some(found) = state.lines.get_mut(&(line.from, line.to, line.lane)) else { return };
        if found.number != line.number || found.broken {
            return;
        }
        if cut {
            found.broken = true;
            return;
        }
        found.last_back_ms = found.last_back_ms.max(now + delay);
        let at_ms = found.last_back_ms;
        if breaks {
            state.reset(line);
        } else {
            state.push(at_ms, Parcel::Return { call, result: Ok(frame) });
        }
    }

    /// The end of a call reached its caller.
    pub(super) fn finish(&self, call: u64, result: Result<Bytes, Loss>) {
        let found = self.state.lock().calls.remove(&call);
        if let Some(call) = found {
            // The caller may have given up.
            let _gone = call.answer.send(result);
        }
    }

    /// The run that made a call that is still waited for.
    pub(super) fn caller(&self, call: u64) -> Option<Run> {
        self.state.lock().calls.get(&call).map(|call| call.line.from)
    }

    fn send(&self, from: Run, to: usize, lane: Lane, frame: Bytes, api: ApiKey) -> (u64, Answering) {
        let (answer, answering) = oneshot::channel();
        let mut state = self.state.lock();
        state.next_call += 1;
        let call = state.next_call;
        let key = (from, to, lane);
        let number = state.lines.entry(key).or_default().number;
        let line = Line { from, to, lane, number };
        state.calls.insert(call, Call { line, answer });
        let breaks = state.lossy(&line);
        let again = state.weather.again_per_mille;
        let again = matches!(lane, Lane::Quorum | Lane::ZnodeFetch)
            && api != ApiKey::AddRaftVoter
            && state.dice.chance(again);
        let (cut, delay, now) = (state.is_cut(from.node, to), state.delay(), state.now_ms);
        let found = state.lines.entry(key).or_default();
        if cut {
            found.broken = true;
        }
        if found.broken {
            return (call, answering);
        }
        found.last_out_ms = found.last_out_ms.max(now + delay);
        let at_ms = found.last_out_ms;
        if breaks {
            state.reset(&line);
            return (call, answering);
        }
        if again {
            let later = at_ms + state.delay();
            state.push(later, Parcel::Call { line, call, frame: frame.clone(), again: true });
        }
        state.push(at_ms, Parcel::Call { line, call, frame, again: false });
        (call, answering)
    }

    /// A call took too long: its connection is given up, and every call on it.
    fn give_up(&self, call: u64) {
        let mut state = self.state.lock();
        if let Some(line) = state.calls.remove(&call).map(|call| call.line) {
            state.reset(&line);
        }
    }
}

type Answering = oneshot::Receiver<Result<Bytes, Loss>>;

impl State {
    fn push(&mut self, at_ms: u64, parcel: Parcel) {
        self.order += 1;
        self.queue.push(Reverse(Due { at_ms: at_ms.max(self.now_ms + 1), order: self.order, parcel }));
    }

    fn delay(&mut self) -> u64 {
        let (low, high) = self.weather.delay_ms;
        let late = match self.dice.chance(self.weather.late_per_mille) {
            true => self.dice.below(self.weather.late_ms + 1),
            false => 0,
        };
        self.dice.between(low, high) + late
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains_key(&(from, to))
    }

    fn lossy(&mut self, _line: &Line) -> bool {
        let share = self.weather.reset_per_mille;
        share > 0 && self.dice.chance(share)
    }

    fn fail(&mut self, call: u64, loss: Loss) {
        let at_ms = self.now_ms + self.delay();
        self.push(at_ms, Parcel::Return { call, result: Err(loss) });
    }

    /// Ends a connection: whoever waits on it hears of it, and the next call opens a new one.
    fn reset(&mut self, line: &Line) {
        let Some(found) = self.lines.get_mut(&(line.from, line.to, line.lane)) else { return };
        if found.number != line.number {
            return;
        }
        *found = LineState { number: line.number + 1, ..LineState::default() };
        let waiting: Vec<u64> =
            self.calls.iter().filter(|(_, call)| call.line == *line).map(|(id, _)| *id).collect();
        for call in waiting {
            self.fail(call, Loss::Reset);
        }
    }
}

/// Where a simulated node listens.
pub(super) fn address(node: usize) -> Address {
    Address { host: format!("node{node}"), port: PORT }
}

fn node_at(address: &Address) -> Option<usize> {
    address.host.strip_prefix("node")?.parse().ok()
}

/// The transport of one run of a node.
pub(super) struct SimPeers {
    pub(super) network: Arc<Network>,
    pub(super) run: Run,
    /// How many nodes there are.
    pub(super) nodes: usize,
}

impl Transport for SimPeers {
    fn call(&self, to: &Address, lane: Lane, version: i16, request: Request, timeout: Duration) -> Calling {
        let to = to.clone();
        let lost = |reason: &str| CallError::Lost { to: to.clone(), reason: reason.to_owned() };
        let api = request.api();
        let header = RequestHeader {
            api,
            version,
            correlation_id: 1,
            client_id: Some(Str::from(format!("node{}", self.run.node))),
        };
        let Some(node) = node_at(&to).filter(|node| *node < self.nodes) else {
            return Box::pin(std::future::ready(Err(CallError::Refused(to))));
        };
        let frame = match request.to_frame(&header) {
            Ok(chunks) => chunks.concat(),
            Err(error) => return Box::pin(std::future::ready(Err(lost(&error.to_string())))),
        };
        // The first four bytes are the frame's size, which the connection strips.
        let (call, answering) = self.network.send(self.run, node, lane, Bytes::from(frame).slice(4..), api);
        let patience = tokio::time::sleep(timeout);
        let network = self.network.clone();
        Box::pin(async move {
            let lost = |reason: &str| CallError::Lost { to: to.clone(), reason: reason.to_owned() };
            tokio::select! {
                biased;
                answer = answering => match answer {
                    Ok(Ok(frame)) => match decode_response(api, version, frame) {
                        Ok((_, response)) => Ok(response),
                        Err(error) => Err(lost(&error.to_string())),
                    },
                    Ok(Err(Loss::Refused)) => Err(CallError::Refused(to)),
                    Ok(Err(Loss::Reset)) => Err(lost("the connection was reset")),
                    Err(_) => Err(lost("the connection was closed")),
                },
                () = patience => {
                    network.give_up(call);
                    Err(lost("nothing came in time"))
                }
            }
        })
    }
}
