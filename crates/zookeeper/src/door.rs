//! The door itself: the listener, the register of its connections, its limits and its numbers.
//!
//! Invariants: a connection is in the register exactly while its socket is served; a connection beyond a limit is closed before a
//! byte of it is read; once the door is told to stop it accepts nobody, tells every connection and waits for them.
use crate::config::ZooKeeperConfig;
use crate::connection::Connection;
use crate::resting::{self, RestRoom};
use crate::serving::{self, Served};
use crate::stats::ServerStats;
use base::World;
use ensemble::{Census, Ensemble, Mode};
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tree::AuthId;

/// The version of ZooKeeper that this door behaves as, then our own: tools read the numbers up to the first `-`.
pub const VERSION: &str = concat!("3.9.5-zoolog-", env!("CARGO_PKG_VERSION"));

/// Connections that the kernel holds until they are accepted, if nothing is configured.
const LISTEN_BACKLOG: u32 = 1024;
/// How long accepting rests after the kernel refused to give a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stopping door waits for its connections to deliver what they have.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of unanswered requests of all connections beyond which a connection that has one is read no further.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// A server's part in the ensemble, in ZooKeeper's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is alone.
    Standalone,
    /// It leads those that were counted.
    Leader(Census),
    /// It votes and follows.
    Follower,
    /// It follows.
    Observer,
}

impl Role {
    /// How `srvr` and `mntr` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Standalone => "standalone",
            Role::Leader(_) => "leader",
            Role::Follower => "follower",
            Role::Observer => "observer",
        }
    }
}

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for ZooKeeper clients on {address}: {error}; choose another clientPort or clientPortAddress"
)]
pub struct BindError {
    /// What was asked for.
    pub address: String,
    /// Why not.
    #[source]
    pub error: io::Error,
}

/// A port that is this server's and not open yet: whoever connects is refused and tries another server at once, where an open port that
/// nobody serves would let him wait.
#[derive(Debug)]
pub struct BoundPort {
    socket: TcpSocket,
}

impl BoundPort {
    /// The address with the port that was given, should 0 have been asked for.
    ///
    /// # Errors
    /// If the system does not know its own socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Takes the configured port.
pub async fn bind(config: &ZooKeeperConfig) -> Result<BoundPort, BindError> {
    let port = config.client_port;
    let failure = |address: String, error| BindError { address, error };
    let Some(host) = &config.client_port_address else {
        // One IPv6 socket takes both families; a machine without IPv6 gets an IPv4 socket.
        return match take(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                take(any).map_err(|error| failure(any.to_string(), error))
            }
            outcome => outcome.map_err(|error| failure(format!("port {port}"), error)),
        };
    };
    let shown = format!("{host}:{port}");
    let addresses = tokio::net::lookup_host((host.as_str(), port)).await;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.map_err(|error| failure(shown.clone(), error))? {
        match take(address) {
            Ok(port) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(failure(shown, last))
}

fn take(address: SocketAddr) -> io::Result<BoundPort> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(BoundPort { socket })
}

/// Everything that the connections of one door share.
pub(crate) struct Door {
    pub(crate) config: ZooKeeperConfig,
    pub(crate) world: World,
    pub(crate) ensemble: Ensemble,
    pub(crate) stats: ServerStats,
    pub(crate) resting: RestRoom,
    address: SocketAddr,
    started_ms: u64,
    register: Mutex<Register>,
    stopping: AtomicBool,
    stop: Notify,
    /// Notified whenever a connection leaves while the door is stopping.
    left: Notify,
    outstanding: AtomicUsize,
    request_bytes: AtomicUsize,
}

#[derive(Default)]
struct Register {
    next: u64,
    /// By their numbers, which they know themselves.
    connections: HashTable<Arc<Connection>>,
    hasher: DefaultHashBuilder,
    per_address: HashMap<IpAddr, Visitors>,
}

impl Register {
    fn get(&self, id: u64) -> Option<&Arc<Connection>> {
        self.connections.find(self.hasher.hash_one(id), |connection| connection.id() == id)
    }

    fn insert(&mut self, connection: Arc<Connection>) {
        let Register { connections, hasher, .. } = self;
        let hash = hasher.hash_one(connection.id());
        connections.insert_unique(hash, connection, |other| hasher.hash_one(other.id()));
    }

    fn remove(&mut self, id: u64) {
        let hash = self.hasher.hash_one(id);
        if let Ok(found) = self.connections.find_entry(hash, |connection| connection.id() == id) {
            found.remove();
        }
    }
}

/// The connections from one address.
struct Visitors {
    count: u32,
    /// What the address alone proves; all of them share it.
    identities: Arc<[AuthId]>,
}

/// A door that serves. Dropping it doesn't stop it; [`RunningDoor::stop`] does.
pub struct RunningDoor {
    door: Arc<Door>,
    accepting: JoinHandle<()>,
    watching: JoinHandle<()>,
    sweeping: JoinHandle<()>,
}

/// Opens the port and begins to serve its clients. The ensemble must be ready: an open port means a serving server (reference
/// 3.40).
///
/// # Errors
/// Another process opened the same port meanwhile, or the system gives no means to watch sockets.
pub fn serve(port: BoundPort, config: ZooKeeperConfig, ensemble: Ensemble) -> io::Result<RunningDoor> {
    let world = ensemble.world().clone();
    let (resting, poll) = RestRoom::open()?;
    let listener = port.socket.listen(config.client_port_listen_backlog.unwrap_or(LISTEN_BACKLOG))?;
    let door = Arc::new(Door {
        address: listener.local_addr()?,
        started_ms: world.clock.monotonic_ms(),
        config,
        world,
        ensemble,
        stats: ServerStats::default(),
        resting,
        register: Mutex::default(),
        stopping: AtomicBool::new(false),
        stop: Notify::new(),
        left: Notify::new(),
        outstanding: AtomicUsize::new(0),
        request_bytes: AtomicUsize::new(0),
    });
    let accepting = tokio::spawn(accept(door.clone(), listener));
    let watching = tokio::spawn(resting::watch(door.clone(), poll));
    let sweeping = tokio::spawn(resting::sweep(door.clone()));
    Ok(RunningDoor { door, accepting, watching, sweeping })
}

impl RunningDoor {
    /// Where clients connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.door.address
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.door.connection_count()
    }

    /// Closes the port, lets every connection deliver the replies it has, and returns when they are gone (or don't go).
    pub async fn stop(self) {
        self.door.stopping.store(true, Relaxed);
        self.door.stop.notify_one();
        // A panic of the accept loop has been reported by the runtime; the connections are told in any case.
        let _ = self.accepting.await;
        for connection in self.door.connections() {
            connection.finish();
        }
        let gone = async {
            while self.door.connection_count() > 0 {
                self.door.left.notified().await;
            }
        };
        if tokio::time::timeout(STOP_PATIENCE, gone).await.is_err() {
            tracing::warn!(
                connections = self.door.connection_count(),
                "ZooKeeper clients left behind at shutdown"
            );
        }
        self.sweeping.abort();
        self.watching.abort();
    }
}

async fn accept(door: Arc<Door>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = door.stop.notified() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => door.clone().admit(stream, remote),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a ZooKeeper client; trying again shortly");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    /// Serves a new client, unless a limit is reached.
    fn admit(self: Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        // Replies are whole when they are written, so there is nothing that delaying could join.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "cannot switch off delayed sending");
        }
        let Some(connection) = self.register(remote) else {
            self.stats.connections_rejected.fetch_add(1, Relaxed);
            return;
        };
        tokio::spawn(async move {
            let served = serving::open(&connection, stream).await;
            self.after(&connection, served);
        });
    }

    /// Serves a client again that rested; nothing happens if it doesn't rest.
    pub(crate) fn rouse(self: &Arc<Self>, id: u64) {
        let Some(connection) = self.register.lock().get(id).cloned() else { return };
        let Some((session, stream)) = connection.rise() else { return };
        let door = self.clone();
        tokio::spawn(async move {
            let served = serving::resume(&connection, session, stream).await;
            door.after(&connection, served);
        });
    }

    fn after(&self, connection: &Connection, served: Served) {
        match served {
            Served::Rests => {}
            Served::Ended => self.unregister(connection),
        }
    }

    fn register(self: &Arc<Self>, remote: SocketAddr) -> Option<Arc<Connection>> {
        let mut register = self.register.lock();
        let total = register.connections.len();
        let from_here = register.per_address.get(&remote.ip()).map_or(0, |visitors| visitors.count);
        if self.config.max_cnxns > 0 && total >= self.config.max_cnxns as usize {
            tracing::warn!(%remote, limit = self.config.max_cnxns, "too many connections (maxCnxns)");
            return None;
        }
        if self.config.max_client_cnxns > 0 && from_here >= self.config.max_client_cnxns {
            let limit = self.config.max_client_cnxns;
            tracing::warn!(%remote, limit, "too many connections from this address (maxClientCnxns)");
            return None;
        }
        register.next += 1;
        let id = register.next;
        let visitors = register.per_address.entry(remote.ip()).or_insert_with(|| Visitors {
            count: 0,
            identities: Arc::from([AuthId::new("ip", &remote.ip().to_string())]),
        });
        visitors.count += 1;
        let connection = Arc::new(Connection::new(id, self.clone(), remote, visitors.identities.clone()));
        register.insert(connection.clone());
        Some(connection)
    }

    fn unregister(&self, connection: &Connection) {
        let mut register = self.register.lock();
        register.remove(connection.id());
        let address = connection.remote().ip();
        if let Some(visitors) = register.per_address.get_mut(&address) {
            visitors.count -= 1;
            if visitors.count == 0 {
                register.per_address.remove(&address);
            }
        }
        drop(register);
        if self.is_stopping() {
            self.left.notify_one();
        }
    }

    /// Whether the door has been told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Every connection, oldest first.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        let mut connections: Vec<_> = self.register.lock().connections.iter().cloned().collect();
        connections.sort_unstable_by_key(|connection| connection.id());
        connections
    }

    /// How many connections there are.
    pub(crate) fn connection_count(&self) -> usize {
        self.register.lock().connections.len()
    }

    /// The port that clients connect to.
    pub(crate) fn local_port(&self) -> u16 {
        self.address.port()
    }

    /// How long the door has served.
    pub(crate) fn uptime_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.started_ms)
    }

    /// Monotonic milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.world.clock.monotonic_ms()
    }

    /// The wall-clock time of a monotonic reading, as the clock stands now.
    pub(crate) fn to_wall_ms(&self, monotonic_ms: u64) -> i64 {
        self.world.clock.wall_ms() + monotonic_ms.cast_signed() - self.now_ms().cast_signed()
    }

    /// The server's part in the ensemble. A leader whom nobody follows or could follow is a standalone server.
    pub(crate) async fn role(&self) -> Role {
        match self.ensemble.status().mode {
            Mode::Standalone => Role::Standalone,
            Mode::Follower => Role::Follower,
            Mode::Observer => Role::Observer,
            Mode::Leader => match self.ensemble.census().await {
                Some(Census { voters: 1, observers: 0, .. }) => Role::Standalone,
                census => Role::Leader(census.unwrap_or_default()),
            },
        }
    }

    /// Notes that a request of so many bytes has arrived.
    pub(crate) fn request_arrived(&self, bytes: usize) {
        self.outstanding.fetch_add(1, Relaxed);
        self.request_bytes.fetch_add(bytes, Relaxed);
    }

    /// Notes that it was answered, or never will be.
    pub(crate) fn request_done(&self, bytes: usize) {
        self.outstanding.fetch_sub(1, Relaxed);
        self.request_bytes.fetch_sub(bytes, Relaxed);
    }

    /// Requests that arrived and are not answered.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Relaxed)
    }

    /// Whether a connection that has unanswered requests should not be read any further (`globalOutstandingLimit`).
    pub(crate) fn is_crowded(&self) -> bool {
        self.outstanding() > self.config.global_outstanding_limit as usize
            || self.request_bytes.load(Relaxed) > REQUEST_BYTES_MAX
    }
}
