//! The ports of a node: how they are opened, and how connections come in through them.
//!
//! Invariants: a port is open before anything is served, so that errors surface at start; a connection beyond a limit is not read.
use crate::connection;
use crate::entrance::{Entrance, Stage};
use crate::limits::{Entry, Full, Pace};
use controller::config::{BrokerConfig, Listener};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How long accepting rests after the kernel refused to give a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

impl Entrance {
    /// Lets connections in until the door closes.
    pub(crate) async fn accept_until_closed(self: Arc<Self>, listener: BoundListener) {
        let mut stages = self.stages();
        tokio::select! {
            // The sender lives in the entrance, so this ends when it is told to close.
            _ = stages.wait_for(|stage| *stage >= Stage::Closing) => {}
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
            let wait = pace.count(&self.limits(), self.world.clock.monotonic_ms());
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
        let entrance = self.clone();
        tokio::spawn(async move {
            connection::run(entrance, stream, remote, listener).await;
            drop(entry);
        });
    }
}
