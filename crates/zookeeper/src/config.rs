//! What the door needs to know of the configuration; the binary fills it from `zoo.cfg` and its own keys. Session timeouts,
//! the tick and the data folder are the ensemble's.
//!
//! Invariant: plain values with ZooKeeper's defaults, no parsing of files; every limit of the door is a field here or a named
//! constant of the module that enforces it.
use crate::words::Whitelist;

/// ZooKeeper's `clientPort` when nothing is configured.
pub const DEFAULT_CLIENT_PORT: u16 = 2181;

/// The door's settings. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct ZooKeeperConfig {
    /// `clientPortAddress`: a name or address to listen on; `None` is every address of the machine, IPv6 and IPv4.
    pub client_port_address: Option<String>,
    /// `clientPort`; 0 takes a free port.
    pub client_port: u16,
    /// `clientPortListenBacklog`: connections that the kernel holds until they are accepted; `None` is the door's own default.
    pub client_port_listen_backlog: Option<u32>,
    /// `maxClientCnxns`: connections from one address; 0 is no limit.
    pub max_client_cnxns: u32,
    /// `maxCnxns`: connections in all; 0 is no limit.
    pub max_cnxns: u32,
    /// `jute.maxbuffer`: the longest request; a longer one closes its connection.
    pub jute_max_buffer: u32,
    /// `globalOutstandingLimit`: unanswered requests of all connections beyond which a connection that has one is read no
    /// further.
    pub global_outstanding_limit: u32,
    /// `zookeeper.nio.sessionlessCnxnTimeout`: how long a connection may stay without a session.
    pub sessionless_timeout_ms: u32,
    /// `4lw.commands.whitelist`.
    pub four_letter_words: Whitelist,
    /// `zookeeper.DigestAuthenticationProvider.superDigest`: `user:base64(sha1(user:password))` of the super user.
    pub super_digest: Option<String>,
    /// `zookeeper.DigestAuthenticationProvider.enabled`.
    pub digest_enabled: bool,
    /// What `conf` shows of the ensemble; `None` on a server that is alone.
    pub quorum: Option<QuorumView>,
}

/// The settings of a member of an ensemble, for `conf`. Times are in ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumView {
    /// `initLimit`.
    pub init_limit: u32,
    /// `syncLimit`.
    pub sync_limit: u32,
    /// The second port of the own `server.N`.
    pub election_port: u16,
    /// The first port of the own `server.N`.
    pub quorum_port: u16,
    /// Whether it has no vote.
    pub is_observer: bool,
    /// The members, as in `/zookeeper/config`.
    pub membership: String,
}

impl Default for ZooKeeperConfig {
    fn default() -> Self {
        ZooKeeperConfig {
            client_port_address: None,
            client_port: DEFAULT_CLIENT_PORT,
            client_port_listen_backlog: None,
            max_client_cnxns: 60,
            max_cnxns: 0,
            jute_max_buffer: 0xf_ffff,
            global_outstanding_limit: 1000,
            sessionless_timeout_ms: 10_000,
            four_letter_words: Whitelist::default(),
            super_digest: None,
            digest_enabled: true,
            quorum: None,
        }
    }
}
