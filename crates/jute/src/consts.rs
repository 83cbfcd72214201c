//! Owns the numbers of ZooKeeper's wire: opcodes, error codes, xids, flags, event and watcher types, limits.

/// Declares a closed set of `i32` codes with names.
macro_rules! codes {
    ($(#[$meta:meta])* $type:ident { $($(#[$code_meta:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum $type {
            $($(#[$code_meta])* $variant = $code,)*
        }

        impl $type {
            /// Every known code.
            pub const ALL: &[$type] = &[$($type::$variant),*];

            /// The meaning of a code, or none for an unknown one.
            pub fn from_code(code: i32) -> Option<$type> {
                match code {
                    $($code => Some($type::$variant),)*
                    _ => None,
                }
            }

            /// The number on the wire.
            pub fn code(self) -> i32 {
                self as i32
            }

            /// The name.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => stringify!($variant),)*
                }
            }
        }
    };
}

codes! {
    /// What a request asks for (`ZooDefs.OpCode`).
    OpCode {
        /// A watch event; never a request.
        Notification = 0,
        /// Create a node, answer its path.
        Create = 1,
        /// Delete a node.
        Delete = 2,
        /// The stat of a node.
        Exists = 3,
        /// The data and stat of a node.
        GetData = 4,
        /// Set the data of a node.
        SetData = 5,
        /// The ACL and stat of a node.
        GetAcl = 6,
        /// Set the ACL of a node.
        SetAcl = 7,
        /// The names of a node's children.
        GetChildren = 8,
        /// Catch up with the leader.
        Sync = 9,
        /// Keep the session alive.
        Ping = 11,
        /// The names of a node's children and its stat.
        GetChildren2 = 12,
        /// Check a node's version; only in a multi.
        Check = 13,
        /// Several writes, all or none.
        Multi = 14,
        /// Create a node, answer its path and stat.
        Create2 = 15,
        /// Change the ensemble's members.
        Reconfig = 16,
        /// Whether the session has a watch.
        CheckWatches = 17,
        /// Remove watches of the session.
        RemoveWatches = 18,
        /// Create a container.
        CreateContainer = 19,
        /// Delete a container.
        DeleteContainer = 20,
        /// Create a node with a time to live.
        CreateTtl = 21,
        /// Several reads.
        MultiRead = 22,
        /// Prove an identity.
        Auth = 100,
        /// Set watches again after a reconnect.
        SetWatches = 101,
        /// A step of a SASL exchange.
        Sasl = 102,
        /// The session's ephemeral nodes.
        GetEphemerals = 103,
        /// The number of a node's descendants.
        GetAllChildrenNumber = 104,
        /// Set watches again after a reconnect, persistent ones too.
        SetWatches2 = 105,
        /// Set a persistent watch.
        AddWatch = 106,
        /// The connection's identities.
        WhoAmI = 107,
        /// Open a session; internal.
        CreateSession = -10,
        /// Close the session.
        CloseSession = -11,
        /// A failed op in the results of a multi.
        Error = -1,
    }
}

codes! {
    /// The codes of replies (`KeeperException.Code`).
    ErrorCode {
        /// Success.
        Ok = 0,
        /// A system error; the upper end of -1 to -9.
        SystemError = -1,
        /// An op of a multi after the one that failed.
        RuntimeInconsistency = -2,
        /// Data is inconsistent.
        DataInconsistency = -3,
        /// The connection is lost.
        ConnectionLoss = -4,
        /// The request can't be read.
        MarshallingError = -5,
        /// The operation is unknown or switched off.
        Unimplemented = -6,
        /// The operation took too long.
        OperationTimeout = -7,
        /// A path or a flag is not valid.
        BadArguments = -8,
        /// The client library is in the wrong state.
        InvalidState = -9,
        /// The session is unknown.
        UnknownSession = -12,
        /// No quorum of the new configuration is connected.
        NewConfigNoQuorum = -13,
        /// Another reconfiguration is under way.
        ReconfigInProgress = -14,
        /// The upper end of the errors that callers handle.
        ApiError = -100,
        /// The node is missing.
        NoNode = -101,
        /// The ACL forbids it.
        NoAuth = -102,
        /// The version is another one.
        BadVersion = -103,
        /// The parent is ephemeral.
        NoChildrenForEphemerals = -108,
        /// The node exists.
        NodeExists = -110,
        /// The node has children.
        NotEmpty = -111,
        /// The session is over.
        SessionExpired = -112,
        /// The callback is not valid.
        InvalidCallback = -113,
        /// The ACL is not valid.
        InvalidAcl = -114,
        /// The identity was not proven.
        AuthFailed = -115,
        /// The session is attached to another server.
        SessionMoved = -118,
        /// The server is read-only.
        NotReadOnly = -119,
        /// An ephemeral node on a local session.
        EphemeralOnLocalSession = -120,
        /// There is no such watch.
        NoWatcher = -121,
        /// The request took too long.
        RequestTimeout = -122,
        /// Reconfiguration is switched off.
        ReconfigDisabled = -123,
        /// The session needs SASL.
        SessionClosedRequireSaslAuth = -124,
        /// A quota is exceeded.
        QuotaExceeded = -125,
        /// The server is overloaded.
        ThrottledOp = -127,
    }
}

codes! {
    /// What a watch event says (`Watcher.Event.EventType`).
    EventType {
        /// Nothing about a node: the session's state.
        None = -1,
        /// The node was created.
        NodeCreated = 1,
        /// The node was deleted.
        NodeDeleted = 2,
        /// The node's data changed.
        NodeDataChanged = 3,
        /// A child was created or deleted.
        NodeChildrenChanged = 4,
        /// A data watch was removed.
        DataWatchRemoved = 5,
        /// A child watch was removed.
        ChildWatchRemoved = 6,
        /// A persistent watch was removed.
        PersistentWatchRemoved = 7,
    }
}

codes! {
    /// Which watches checkWatches and removeWatches mean (`Watcher.WatcherType`).
    WatcherType {
        /// Child watches.
        Children = 1,
        /// Data and exist watches.
        Data = 2,
        /// All watches.
        Any = 3,
        /// Persistent watches.
        Persistent = 4,
        /// Persistent recursive watches.
        PersistentRecursive = 5,
    }
}

codes! {
    /// The mode of addWatch (`AddWatchMode`).
    AddWatchMode {
        /// On the node and the list of its children.
        Persistent = 0,
        /// On the node and all its descendants.
        PersistentRecursive = 1,
    }
}

/// The xids that are no numbers of requests.
pub mod xid {
    /// A watch event.
    pub const WATCH_EVENT: i32 = -1;
    /// A ping.
    pub const PING: i32 = -2;
    /// An auth packet.
    pub const AUTH: i32 = -4;
    /// setWatches after a reconnect.
    pub const SET_WATCHES: i32 = -8;
}

/// The header zxid of watch events that setWatches catches up with, and of errors that name no transaction.
pub const ZXID_NONE: i64 = -1;
/// `KeeperState.SyncConnected`: the state in watch events.
pub const STATE_SYNC_CONNECTED: i32 = 3;
/// The highest create flag; 0 to 6 are the seven modes.
pub const CREATE_FLAG_MAX: i32 = 6;
/// Length of a session password in bytes.
pub const PASSWORD_LENGTH: usize = 16;
/// Default of `jute.maxbuffer`: the longest frame of a request, in bytes.
pub const MAX_BUFFER_DEFAULT: usize = 0xf_ffff;
/// Default of `zookeeper.globalOutstandingLimit`: requests in flight per server.
pub const GLOBAL_OUTSTANDING_LIMIT_DEFAULT: usize = 1000;
/// Default of `maxClientCnxns`: connections per client address.
pub const MAX_CLIENT_CONNECTIONS_DEFAULT: usize = 60;
