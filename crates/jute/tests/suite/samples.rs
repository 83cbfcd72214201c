//! Owns arbitrary values of every record, drawn from a seed.

use bytes::Bytes;
use jute::*;

/// A small generator of numbers (splitmix64).
pub(crate) struct Source(pub(crate) u64);

impl Source {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

pub(crate) trait Sample: Sized {
    fn sample(source: &mut Source) -> Self;
}

impl Sample for i32 {
    fn sample(source: &mut Source) -> i32 {
        match source.below(4) {
            0 => -1,
            1 => source.below(10) as i32,
            _ => source.next() as i32,
        }
    }
}

impl Sample for i64 {
    fn sample(source: &mut Source) -> i64 {
        source.next() as i64
    }
}

impl Sample for bool {
    fn sample(source: &mut Source) -> bool {
        source.below(2) == 1
    }
}

impl Sample for Bytes {
    fn sample(source: &mut Source) -> Bytes {
        let length = source.below(20);
        (0..length).map(|_| source.next() as u8).collect()
    }
}

impl Sample for Text {
    fn sample(source: &mut Source) -> Text {
        let length = source.below(12);
        let characters = ['/', 'a', 'b', '.', '0', 'ä', '中', '😀', '\0'];
        let text: String = (0..length).map(|_| characters[source.below(characters.len())]).collect();
        text.into()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(source: &mut Source) -> Option<T> {
        (source.below(4) > 0).then(|| T::sample(source))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(source: &mut Source) -> Vec<T> {
        (0..source.below(5)).map(|_| T::sample(source)).collect()
    }
}

macro_rules! sample_records {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Sample for $name {
            fn sample(source: &mut Source) -> $name {
                $name { $($field: Sample::sample(source)),* }
            }
        }
    )*};
}

sample_records! {
    Id { scheme, id }
    Acl { perms, id }
    Stat {
        czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner, data_length, num_children, pzxid
    }
    ClientInfo { auth_scheme, user }
    RequestHeader { xid, op }
    ReplyHeader { xid, zxid, err }
    MultiHeader { op, done, err }
    WatcherEvent { event_type, state, path }
    AuthPacket { auth_type, scheme, auth }
    CreateRequest { path, data, acl, flags }
    CreateTtlRequest { path, data, acl, flags, ttl }
    PathVersionRequest { path, version }
    PathWatchRequest { path, watch }
    PathRequest { path }
    SetDataRequest { path, data, version }
    SetAclRequest { path, acl, version }
    ReconfigRequest { joining_servers, leaving_servers, new_members, config_id }
    PathWatcherTypeRequest { path, watcher_type }
    AddWatchRequest { path, mode }
    SetWatchesRequest { relative_zxid, data_watches, exist_watches, child_watches }
    SetWatches2Request {
        relative_zxid, data_watches, exist_watches, child_watches, persistent_watches, persistent_recursive_watches
    }
    GetEphemeralsRequest { prefix_path }
    SaslToken { token }
    PathResponse { path }
    PathStatResponse { path, stat }
    StatResponse { stat }
    DataResponse { data, stat }
    ChildrenResponse { children }
    ChildrenStatResponse { children, stat }
    AclResponse { acl, stat }
    TotalNumberResponse { total_number }
    EphemeralsResponse { ephemerals }
    ErrorResponse { err }
    WhoAmIResponse { client_info }
    ConnectRequest { protocol_version, last_zxid_seen, timeout_ms, session_id, password, read_only }
    ConnectResponse { protocol_version, timeout_ms, session_id, password, read_only }
}

fn sample_create(source: &mut Source) -> CreateRequest {
    CreateRequest { flags: source.below(7) as i32, ..Sample::sample(source) }
}

impl Sample for MultiRequest {
    fn sample(source: &mut Source) -> MultiRequest {
        let reads = bool::sample(source);
        let op = |_| match (reads, source.below(7)) {
            (true, 0..=3) => MultiOp::GetData(Sample::sample(source)),
            (true, _) => MultiOp::GetChildren(Sample::sample(source)),
            (false, 0) => MultiOp::Create(sample_create(source)),
            (false, 1) => MultiOp::Create2(sample_create(source)),
            (false, 2) => MultiOp::CreateContainer(sample_create(source)),
            (false, 3) => MultiOp::CreateTtl(Sample::sample(source)),
            (false, 4) => MultiOp::Delete(Sample::sample(source)),
            (false, 5) => MultiOp::SetData(Sample::sample(source)),
            (false, _) => MultiOp::Check(Sample::sample(source)),
        };
        MultiRequest { ops: (0..5).map(op).collect() }
    }
}

impl Sample for MultiResponse {
    fn sample(source: &mut Source) -> MultiResponse {
        let result = |_| match source.below(8) {
            0 => MultiResult::Create(Sample::sample(source)),
            1 => MultiResult::Create2(Sample::sample(source)),
            2 => MultiResult::Delete,
            3 => MultiResult::SetData(Sample::sample(source)),
            4 => MultiResult::Check,
            5 => MultiResult::GetChildren(Sample::sample(source)),
            6 => MultiResult::GetData(Sample::sample(source)),
            _ => MultiResult::Error(Sample::sample(source)),
        };
        MultiResponse { results: (0..5).map(result).collect() }
    }
}

macro_rules! sample_bodies {
    ($function:ident: $type:ident { $($empty:ident),* ; $($variant:ident),* }) => {
        /// One of each.
        pub(crate) fn $function(source: &mut Source) -> Vec<$type> {
            vec![$($type::$empty,)* $($type::$variant(Sample::sample(source)),)*]
        }
    };
}

sample_bodies! {
    every_request: Request {
        Ping, WhoAmI, CloseSession;
        Create, Create2, CreateContainer, CreateTtl, Delete, DeleteContainer, Exists, GetData, SetData, GetAcl, SetAcl,
        GetChildren, GetChildren2, GetAllChildrenNumber, GetEphemerals, Sync, Check, Multi, MultiRead, Reconfig,
        CheckWatches, RemoveWatches, AddWatch, SetWatches, SetWatches2, Auth, Sasl
    }
}

sample_bodies! {
    every_response: Response {
        Ping, Delete, DeleteContainer, CheckWatches, RemoveWatches, SetWatches, SetWatches2, Auth, CloseSession;
        Notification, Create, Create2, CreateContainer, CreateTtl, Exists, GetData, SetData, GetAcl, SetAcl, GetChildren,
        GetChildren2, GetAllChildrenNumber, GetEphemerals, Sync, Multi, MultiRead, Reconfig, AddWatch, WhoAmI, Sasl
    }
}
