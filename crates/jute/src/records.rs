//! Owns the records of ZooKeeper's wire as one table: one line per field, in the order of zookeeper.jute.

use bytes::Bytes;

use crate::text::Text;
use crate::wire::records;

records! {
    /// An identity. Parts may be null on the wire, which no valid ACL has.
    Id {
        /// `world`, `auth`, `digest`, `ip`, `sasl`, `x509`, `super`.
        scheme: Option<Text>,
        /// What the scheme makes of it.
        id: Option<Text>,
    }

    /// An entry of an ACL.
    Acl {
        /// Bits: 1 read, 2 write, 4 create, 8 delete, 16 admin.
        perms: i32,
        /// Whom they are granted to.
        id: Id,
    }

    /// A node's statistics.
    Stat {
        /// Transaction that created the node.
        czxid: i64,
        /// Transaction that last changed the data.
        mzxid: i64,
        /// Time of creation, milliseconds since 1970.
        ctime: i64,
        /// Time of the last change of the data, milliseconds since 1970.
        mtime: i64,
        /// Data version.
        version: i32,
        /// Child version.
        cversion: i32,
        /// ACL version.
        aversion: i32,
        /// Owning session of an ephemeral node, else 0.
        ephemeral_owner: i64,
        /// Length of the data in bytes.
        data_length: i32,
        /// Number of children.
        num_children: i32,
        /// Transaction that last created or deleted a child.
        pzxid: i64,
    }

    /// An identity in the answer to whoAmI.
    ClientInfo {
        /// The scheme.
        auth_scheme: Text,
        /// The user.
        user: Text,
    }

    /// What precedes every request after the connect.
    RequestHeader {
        /// The client's number of the request, echoed in the reply; see [`crate::xid`] for the special ones.
        xid: i32,
        /// An [`crate::OpCode`].
        op: i32,
    }

    /// What precedes every reply and event.
    ReplyHeader {
        /// The request's xid.
        xid: i32,
        /// The last transaction that the server has applied; 0 in auth replies; see [`crate::ZXID_NONE`].
        zxid: i64,
        /// An [`crate::ErrorCode`]. An error reply is nothing but the header.
        err: i32,
    }

    /// What precedes each op and each result of a multi.
    MultiHeader {
        /// An [`crate::OpCode`]; -1 for errors and at the end.
        op: i32,
        /// Whether this ends the sequence.
        done: bool,
        /// An [`crate::ErrorCode`]; -1 in requests and at the end.
        err: i32,
    }

    /// An event that a watch waited for.
    WatcherEvent {
        /// An [`crate::EventType`].
        event_type: i32,
        /// The session's state, [`crate::STATE_SYNC_CONNECTED`].
        state: i32,
        /// The node.
        path: Text,
    }

    /// Proof of an identity.
    AuthPacket {
        /// Always 0.
        auth_type: i32,
        /// The scheme.
        scheme: Text,
        /// The proof, e.g. `user:password`.
        auth: Option<Bytes>,
    }

    /// create, create2, createContainer.
    CreateRequest {
        /// The path, without a sequential suffix.
        path: Text,
        /// The data.
        data: Option<Bytes>,
        /// The ACL.
        acl: Vec<Acl>,
        /// The create mode, 0 to 6.
        flags: i32,
    }

    /// createTTL.
    CreateTtlRequest {
        /// The path, without a sequential suffix.
        path: Text,
        /// The data.
        data: Option<Bytes>,
        /// The ACL.
        acl: Vec<Acl>,
        /// The create mode, 5 or 6.
        flags: i32,
        /// Time to live in milliseconds.
        ttl: i64,
    }

    /// delete; also check.
    PathVersionRequest {
        /// The node.
        path: Text,
        /// The expected data version, or -1 for any.
        version: i32,
    }

    /// exists, getData, getChildren, getChildren2.
    PathWatchRequest {
        /// The node.
        path: Text,
        /// Whether to leave a watch.
        watch: bool,
    }

    /// getACL, sync, deleteContainer, getAllChildrenNumber.
    PathRequest {
        /// The node.
        path: Text,
    }

    /// setData.
    SetDataRequest {
        /// The node.
        path: Text,
        /// The new data.
        data: Option<Bytes>,
        /// The expected data version, or -1 for any.
        version: i32,
    }

    /// setACL.
    SetAclRequest {
        /// The node.
        path: Text,
        /// The new ACL.
        acl: Vec<Acl>,
        /// The expected ACL version, or -1 for any.
        version: i32,
    }

    /// reconfig.
    ReconfigRequest {
        /// Servers to add, in the syntax of zoo.cfg.
        joining_servers: Option<Text>,
        /// Ids of servers to remove.
        leaving_servers: Option<Text>,
        /// All servers, in place of the two above.
        new_members: Option<Text>,
        /// The expected version of the configuration, or -1 for any.
        config_id: i64,
    }

    /// checkWatches, removeWatches.
    PathWatcherTypeRequest {
        /// The node.
        path: Text,
        /// A [`crate::WatcherType`].
        watcher_type: i32,
    }

    /// addWatch.
    AddWatchRequest {
        /// The node.
        path: Text,
        /// An [`crate::AddWatchMode`].
        mode: i32,
    }

    /// setWatches.
    SetWatchesRequest {
        /// The last transaction that the client has seen.
        relative_zxid: i64,
        /// Nodes with data watches.
        data_watches: Vec<Text>,
        /// Missing nodes with exist watches.
        exist_watches: Vec<Text>,
        /// Nodes with child watches.
        child_watches: Vec<Text>,
    }

    /// setWatches2.
    SetWatches2Request {
        /// The last transaction that the client has seen.
        relative_zxid: i64,
        /// Nodes with data watches.
        data_watches: Vec<Text>,
        /// Missing nodes with exist watches.
        exist_watches: Vec<Text>,
        /// Nodes with child watches.
        child_watches: Vec<Text>,
        /// Nodes with persistent watches.
        persistent_watches: Vec<Text>,
        /// Nodes with persistent recursive watches.
        persistent_recursive_watches: Vec<Text>,
    }

    /// getEphemerals.
    GetEphemeralsRequest {
        /// What the paths must begin with; null, empty and `/` mean all.
        prefix_path: Option<Text>,
    }

    /// sasl, in both directions.
    SaslToken {
        /// A token of the mechanism.
        token: Option<Bytes>,
    }

    /// create; also sync.
    PathResponse {
        /// The final path.
        path: Text,
    }

    /// create2, createContainer, createTTL.
    PathStatResponse {
        /// The final path.
        path: Text,
        /// The new node's stat.
        stat: Stat,
    }

    /// exists, setData, setACL.
    StatResponse {
        /// The node's stat.
        stat: Stat,
    }

    /// getData; also reconfig.
    DataResponse {
        /// The data.
        data: Option<Bytes>,
        /// The node's stat.
        stat: Stat,
    }

    /// getChildren.
    ChildrenResponse {
        /// Names, in no particular order.
        children: Vec<Text>,
    }

    /// getChildren2.
    ChildrenStatResponse {
        /// Names, in no particular order.
        children: Vec<Text>,
        /// The node's stat.
        stat: Stat,
    }

    /// getACL.
    AclResponse {
        /// The ACL.
        acl: Vec<Acl>,
        /// The node's stat.
        stat: Stat,
    }

    /// getAllChildrenNumber.
    TotalNumberResponse {
        /// Number of descendants.
        total_number: i32,
    }

    /// getEphemerals.
    EphemeralsResponse {
        /// Paths, in no particular order.
        ephemerals: Vec<Text>,
    }

    /// addWatch.
    ErrorResponse {
        /// An [`crate::ErrorCode`].
        err: i32,
    }

    /// whoAmI.
    WhoAmIResponse {
        /// The connection's identities.
        client_info: Vec<ClientInfo>,
    }
}
