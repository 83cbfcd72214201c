//! The door itself: its listeners, who is let in, and how it closes.
//!
//! Invariants: a port is open before anything is served, so that errors surface at start; a connection beyond a limit is not read; once the
//! door is told to stop it accepts nobody, lets every request under way be answered, and waits for the connections to end.
use crate::budget::Budget;
use crate::connection;
use crate::limits::{Entry, Full, Limits, Pace, Register};
use base::World;
use broker::Broker;
use controller::config::{BrokerConfig, Listener};
use controller::{ClusterView, Controller};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long accepting rests after the kernel refused to give a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stopping door waits for its connections to deliver what they have.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for Kafka clients on {listener}: {error}; choose another address in listeners")]
pub struct BindError {
    /// What was asked for.
    pub listener: String,
    /// Why not.
    #[source]
    pub error: io::Error,
}

/// A listener whose port is open and not served yet.
#[derive(Debug)]
pub struct BoundListener {
    name: Arc<str>,
    socket: TcpListener,
}

impl BoundListener {
    /// The listener's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address with the port that was given, should 0 have been asked for.
    ///
    /// # Errors
    /// If the system does not know its own socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Opens the ports of all `listeners`, in their order, without serving them yet.
///
/// # Errors
/// The first listener whose port cannot be had.
pub async fn bind(config: &BrokerConfig) -> Result<Vec<BoundListener>, BindError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        let socket = open(listener, config).await;
        let socket = socket.map_err(|error| BindError { listener: listener.to_string(), error })?;
        bound.push(BoundListener { name: Arc::from(listener.name.as_str()), socket });
    }
    Ok(bound)
}

async fn open(listener: &Listener, config: &BrokerConfig) -> io::Result<TcpListener> {
    let port = listener.port;
    let Some(host) = &listener.host else {
        // One IPv6 socket takes both families; a machine without IPv6 gets an IPv4 socket.
        return match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), config) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), config)
            }
            outcome => outcome,
        };
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((host.as_str(), port)).await? {
        match listen(address, config) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr, config: &BrokerConfig) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    // Accepted sockets inherit the sizes; -1 leaves them to the system.
    if let Ok(bytes) = u32::try_from(config.network.socket_receive_buffer_bytes) {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Ok(bytes) = u32::try_from(config.network.socket_send_buffer_bytes) {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(address)?;
    socket.listen(config.network.socket_listen_backlog_size.max(1).unsigned_abs())
}

/// What the door opens onto.
#[derive(Clone)]
pub struct Node {
    /// Clock and randomness.
    pub world: World,
    /// Who changes the cluster's metadata.
    pub controller: Controller,
    /// Partitions, groups and producer ids.
    pub broker: Arc<Broker>,
}

/// Numbers since the door was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorStats {
    /// Connections that there are.
    pub connections: usize,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were refused because their address has too many.
    pub refused: u64,
    /// Requests that were answered, or needed no answer.
    pub requests: u64,
    /// Connections that the door closed for what came over them.
    pub faults: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) faults: AtomicU64,
}

/// Everything that the connections of one door share.
pub(crate) struct Door {
    pub(crate) node: Node,
    pub(crate) budget: Budget,
    pub(crate) counters: Counters,
    /// Topics that a Metadata request is creating at the moment.
    pub(crate) auto_creating: Mutex<HashSet<Arc<str>>>,
    views: watch::Receiver<Arc<ClusterView>>,
    limits: RwLock<Arc<Limits>>,
    register: Arc<Register>,
    stopping: watch::Sender<bool>,
}

impl Door {
    /// The cluster as the partitions of this node follow it: what it shows can be used here.
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.views.borrow().clone()
    }

    /// Waits until the partitions of this node follow a view of which `shows` holds, no longer than `patience`.
    pub(crate) async fn wait_for_view(
        &self,
        patience: Duration,
        shows: impl FnMut(&Arc<ClusterView>) -> bool,
    ) {
        let mut views = self.views.clone();
        // Whoever asked gets an answer in any case; later views may still show it.
        let _in_time = tokio::time::timeout(patience, views.wait_for(shows)).await;
    }

    /// Turns true when the door closes.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    fn limits(&self) -> Arc<Limits> {
        self.limits.read().clone()
    }

    /// Keeps the limits of connections as the settings say.
    async fn follow_limits(self: Arc<Self>) {
        let mut views = self.views.clone();
        let mut config = self.view().broker_config.clone();
        while views.changed().await.is_ok() {
            let new = views.borrow_and_update().broker_config.clone();
            if new != config {
                let limits = Limits::resolve(&new).await;
                *self.limits.write() = Arc::new(limits);
                config = new;
            }
        }
    }
}

/// A door that serves. Dropping it doesn't stop it; [`RunningDoor::stop`] does.
pub struct RunningDoor {
    door: Arc<Door>,
    accepting: Vec<JoinHandle<()>>,
    following: JoinHandle<()>,
}

/// Begins to serve the clients of `listeners`. The node must be ready: an open port means a serving broker.
pub async fn serve(listeners: Vec<BoundListener>, node: Node) -> RunningDoor {
    let views = node.broker.applied();
    let config = views.borrow().broker_config.clone();
    let network = &config.network;
    let request_bytes_max = usize::try_from(network.socket_request_max_bytes).unwrap_or(0);
    let door = Arc::new(Door {
        budget: Budget::new(network.queued_max_request_bytes, request_bytes_max),
        node,
        counters: Counters::default(),
        auto_creating: Mutex::default(),
        views,
        limits: RwLock::new(Arc::new(Limits::resolve(&config).await)),
        register: Arc::default(),
        stopping: watch::Sender::new(false),
    });
    let following = tokio::spawn(door.clone().follow_limits());
    let accepting =
        listeners.into_iter().map(|listener| tokio::spawn(door.clone().accept_until_stopped(listener)));
    RunningDoor { accepting: accepting.collect(), following, door }
}

impl RunningDoor {
    /// The door's numbers.
    pub fn stats(&self) -> DoorStats {
        let counters = &self.door.counters;
        DoorStats {
            connections: self.door.register.count(),
            accepted: counters.accepted.load(Relaxed),
            refused: counters.refused.load(Relaxed),
            requests: counters.requests.load(Relaxed),
            faults: counters.faults.load(Relaxed),
        }
    }

    /// Closes the ports, lets every connection answer the request that it is at, and returns when they are gone (or don't
    /// go): how many are left. The broker is to be shut down afterwards.
    pub async fn stop(self) -> usize {
        self.door.stopping.send_replace(true);
        self.following.abort();
        for accepting in self.accepting {
            // A panic of the loop has been reported by the runtime; the connections are waited for in any case.
            let _ended = accepting.await;
        }
        // Those that don't go in time are counted below.
        let _in_time = tokio::time::timeout(STOP_PATIENCE, self.door.register.below(1)).await;
        let connections = self.door.register.count();
        if connections > 0 {
            tracing::warn!(connections, "Kafka clients left behind at shutdown");
        }
        connections
    }
}

impl Door {
    async fn accept_until_stopped(self: Arc<Self>, listener: BoundListener) {
        let mut stopping = self.stopping();
        tokio::select! {
            // The sender lives in the door, so this ends when it is told to stop.
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.clone().accept(listener) => {}
        }
    }

    async fn accept(self: Arc<Self>, listener: BoundListener) {
        let mut pace = Pace::default();
        loop {
            let (stream, remote) = match listener.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = &*listener.name, %error, "cannot accept a Kafka client; trying again shortly");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
            let Some(entry) = self.admit(remote).await else { continue };
            let wait = pace.count(&self.limits(), self.node.world.clock.monotonic_ms());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            self.begin(stream, remote, listener.name.clone(), entry);
        }
    }

    /// Enters a new connection once there is room for it; none if its address has too many.
    async fn admit(&self, remote: SocketAddr) -> Option<Entry> {
        loop {
            let limits = self.limits();
            match self.register.enter(remote.ip(), &limits) {
                Ok(entry) => return Some(entry),
                Err(Full::Address) => {
                    self.counters.refused.fetch_add(1, Relaxed);
                    tracing::info!(%remote, "too many connections from this address (max.connections.per.ip)");
                    return None;
                }
                Err(Full::Door) => self.register.room(&limits).await,
            }
        }
    }

    fn begin(self: &Arc<Self>, stream: TcpStream, remote: SocketAddr, listener: Arc<str>, entry: Entry) {
        self.counters.accepted.fetch_add(1, Relaxed);
        // Responses are whole when they are written, so there is nothing that delaying could join.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "cannot switch off delayed sending");
        }
        let door = self.clone();
        tokio::spawn(async move {
            connection::run(door, stream, remote, listener).await;
            drop(entry);
        });
    }
}
