//! What a client's frame asks for: a write for the log, or a read of the tree at one moment.
//!
//! Invariants: a request that can't be read is still answered in its place, with ZooKeeper's error; nothing here looks at the tree.
use crate::auth;
use crate::config::ZooKeeperConfig;
use crate::reply::Shape;
use bytes::Bytes;
use ensemble::{WatchKind, WatcherType};
use jute::{
    AddWatchMode, CreateRequest, ErrorCode, MultiOp, OpCode, RequestHeader, Text, Wire, ZXID_NONE, xid,
};
use std::net::IpAddr;
use std::sync::Arc;
use tree::{Acl, AclList, AuthId, Create, CreateMode, Op, Perms, Request};

/// The head of a request, which its answer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The xid of the answer.
    pub(crate) xid: i32,
    /// The operation; `None` for an unknown one.
    pub(crate) op: Option<OpCode>,
    /// Monotonic milliseconds of its arrival.
    pub(crate) arrived_ms: u64,
    /// Bytes of its frame.
    pub(crate) bytes: usize,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) action: Action,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Is submitted to the ensemble, which answers in the order of submission.
    Write(Write),
    /// Is answered from the tree at one moment, once the connection's earlier writes are answered.
    Read(Read),
}

/// A request for the ensemble.
#[derive(Debug)]
pub(crate) enum Write {
    /// Goes through the log.
    Change(Request, Shape),
    /// Waits for everything before it.
    Sync(Text),
    /// Ends the session.
    Close,
}

/// A read, or an answer that is known already but has to keep its place.
#[derive(Debug)]
pub(crate) enum Read {
    Ping,
    Exists {
        path: Text,
        watch: bool,
    },
    GetData {
        path: Text,
        watch: bool,
    },
    GetAcl {
        path: Text,
    },
    GetChildren {
        path: Text,
        watch: bool,
        with_stat: bool,
    },
    CountDescendants {
        path: Text,
    },
    GetEphemerals {
        prefix: Option<Text>,
    },
    Multi(Vec<MultiOp>),
    SetWatches(jute::SetWatches2Request),
    AddWatch {
        path: Text,
        kind: WatchKind,
    },
    CheckWatches {
        path: Text,
        of: WatcherType,
    },
    RemoveWatches {
        path: Text,
        of: WatcherType,
    },
    WhoAmI,
    /// Proven identities to add.
    Auth(Vec<AuthId>),
    /// An error without a look at the tree.
    Refused(Refused),
    /// The answer of a server that has no SASL: a null token.
    Sasl,
}

/// A refusal that is known before the tree is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) err: ErrorCode,
    /// The header's zxid; `None` is the last applied transaction.
    pub(crate) zxid: Option<i64>,
    /// Whether an empty multi response follows the header (reference 3.2).
    pub(crate) with_empty_multi: bool,
    /// Whether the connection ends after the answer.
    pub(crate) then_close: bool,
}

impl Refused {
    /// An ordinary error: header only, the connection goes on.
    fn with(err: ErrorCode) -> Read {
        Read::Refused(Refused { err, zxid: None, with_empty_multi: false, then_close: false })
    }

    /// An error that ends the connection.
    fn and_close(err: ErrorCode, zxid: i64) -> Read {
        Read::Refused(Refused { err, zxid: Some(zxid), with_empty_multi: false, then_close: true })
    }
}

impl Call {
    /// Whether nothing that the client sends after it will be looked at.
    pub(crate) fn ends_connection(&self) -> bool {
        match &self.action {
            Action::Write(Write::Close) => true,
            Action::Read(Read::Refused(refused)) => refused.then_close,
            _ => false,
        }
    }
}

/// A frame that has not even a request header: the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is too short for a request header")]
pub(crate) struct NoHeader(usize);

/// Reads a frame.
pub(crate) fn parse(
    mut frame: Bytes,
    remote: IpAddr,
    config: &ZooKeeperConfig,
    now_ms: u64,
) -> Result<Call, NoHeader> {
    let bytes = frame.len();
    let header = RequestHeader::decode(&mut frame).map_err(|_| NoHeader(bytes))?;
    let op = OpCode::from_code(header.op).filter(|op| is_for_clients(*op));
    // A ping is answered with its special xid, whatever the client sent.
    let xid = if op == Some(OpCode::Ping) { xid::PING } else { header.xid };
    let asked = Asked { xid, op, arrived_ms: now_ms, bytes };
    let action = match op {
        None => Action::Read(Refused::and_close(ErrorCode::Unimplemented, ZXID_NONE)),
        Some(op) => match jute::Request::decode(op.code(), &mut frame) {
            Ok(request) => action(request, remote, config),
            Err(error) => {
                tracing::debug!(%remote, op = op.name(), %error, "a request can't be read");
                Action::Read(match op {
                    OpCode::Auth => Refused::and_close(ErrorCode::AuthFailed, 0),
                    _ => Refused::with(ErrorCode::MarshallingError),
                })
            }
        },
    };
    Ok(Call { asked, action })
}

/// Whether a client may send it on its own (reference 3.5).
fn is_for_clients(op: OpCode) -> bool {
    !matches!(op, OpCode::Notification | OpCode::Check | OpCode::CreateSession | OpCode::Error)
}

fn action(request: jute::Request, remote: IpAddr, config: &ZooKeeperConfig) -> Action {
    use jute::Request as Asks;
    let read = match request {
        Asks::Create(request) => return create(request, None, CreateKind::Flags, Shape::Path),
        Asks::Create2(request) => return create(request, None, CreateKind::Flags, Shape::PathStat),
        Asks::CreateContainer(request) => {
            return create(request, None, CreateKind::Container, Shape::PathStat);
        }
        Asks::CreateTtl(request) => {
            let ttl_ms = request.ttl;
            let jute::CreateTtlRequest { path, data, acl, flags, .. } = request;
            let request = CreateRequest { path, data, acl, flags };
            return create(request, Some(ttl_ms), CreateKind::Flags, Shape::PathStat);
        }
        Asks::Delete(request) => return write(delete(&request), Shape::Header),
        Asks::DeleteContainer(request) => {
            return write(Op::DeleteContainer { path: shared(&request.path) }, Shape::Header);
        }
        Asks::SetData(request) => return write(set_data(request), Shape::Stat),
        Asks::SetAcl(request) => match acl_list(&request.acl) {
            Ok(acl) => {
                let op = Op::SetAcl { path: shared(&request.path), acl, version: request.version };
                return write(op, Shape::Stat);
            }
            Err(err) => Refused::with(err),
        },
        Asks::Multi(request) => match multi(request.ops) {
            Ok(action) => return action,
            Err(err) => Refused::with(err),
        },
        Asks::Sync(request) => return Action::Write(Write::Sync(request.path)),
        Asks::CloseSession => return Action::Write(Write::Close),
        Asks::Ping => Read::Ping,
        Asks::Exists(request) => Read::Exists { path: request.path, watch: request.watch },
        Asks::GetData(request) => Read::GetData { path: request.path, watch: request.watch },
        Asks::GetAcl(request) => Read::GetAcl { path: request.path },
        Asks::GetChildren(request) => {
            Read::GetChildren { path: request.path, watch: request.watch, with_stat: false }
        }
        Asks::GetChildren2(request) => {
            Read::GetChildren { path: request.path, watch: request.watch, with_stat: true }
        }
        Asks::GetAllChildrenNumber(request) => Read::CountDescendants { path: request.path },
        Asks::GetEphemerals(request) => Read::GetEphemerals { prefix: request.prefix_path },
        Asks::MultiRead(request) => multi_read(request.ops),
        Asks::SetWatches(request) => Read::SetWatches(jute::SetWatches2Request {
            relative_zxid: request.relative_zxid,
            data_watches: request.data_watches,
            exist_watches: request.exist_watches,
            child_watches: request.child_watches,
            ..Default::default()
        }),
        Asks::SetWatches2(request) => Read::SetWatches(request),
        Asks::AddWatch(request) => match AddWatchMode::from_code(request.mode) {
            Some(AddWatchMode::Persistent) => {
                Read::AddWatch { path: request.path, kind: WatchKind::Persistent }
            }
            Some(AddWatchMode::PersistentRecursive) => {
                Read::AddWatch { path: request.path, kind: WatchKind::Recursive }
            }
            None => Refused::with(ErrorCode::MarshallingError),
        },
        Asks::CheckWatches(request) => match watcher_type(request.watcher_type) {
            Some(of) => Read::CheckWatches { path: request.path, of },
            None => Refused::with(ErrorCode::MarshallingError),
        },
        Asks::RemoveWatches(request) => match watcher_type(request.watcher_type) {
            Some(of) => Read::RemoveWatches { path: request.path, of },
            None => Refused::with(ErrorCode::MarshallingError),
        },
        Asks::WhoAmI => Read::WhoAmI,
        Asks::Auth(packet) => match auth::prove(&packet, remote, config) {
            Some(identities) => Read::Auth(identities),
            None => Refused::and_close(ErrorCode::AuthFailed, 0),
        },
        Asks::Sasl(_) => Read::Sasl,
        Asks::Reconfig(_) => Refused::with(ErrorCode::ReconfigDisabled),
        Asks::Check(_) => Refused::and_close(ErrorCode::Unimplemented, ZXID_NONE),
    };
    Action::Read(read)
}

fn write(op: Op, shape: Shape) -> Action {
    Action::Write(Write::Change(Request::Op(op), shape))
}

/// Where a create's mode comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CreateKind {
    /// From the flags.
    Flags,
    /// From the opcode.
    Container,
}

fn create(request: CreateRequest, ttl_ms: Option<i64>, kind: CreateKind, shape: Shape) -> Action {
    match create_op(request, ttl_ms, kind) {
        // Alone, a create with the container's flag makes a persistent znode in Apache (reference 3.3); a multi makes a container.
        Ok(Op::Create(create)) if kind == CreateKind::Flags && create.mode == CreateMode::Container => {
            write(Op::Create(Create { mode: CreateMode::Persistent, ..create }), shape)
        }
        Ok(op) => write(op, shape),
        Err(err) => Action::Read(Refused::with(err)),
    }
}

fn create_op(request: CreateRequest, ttl_ms: Option<i64>, kind: CreateKind) -> Result<Op, ErrorCode> {
    let mode = match (kind, CreateMode::from_flag(request.flags)) {
        (_, None) => return Err(ErrorCode::BadArguments),
        (CreateKind::Container, Some(_)) => CreateMode::Container,
        (CreateKind::Flags, Some(mode)) => mode,
    };
    let acl = acl_list(&request.acl)?;
    Ok(Op::Create(Create { path: shared(&request.path), data: request.data, acl, mode, ttl_ms }))
}

fn delete(request: &jute::PathVersionRequest) -> Op {
    Op::Delete { path: shared(&request.path), version: request.version }
}

fn set_data(request: jute::SetDataRequest) -> Op {
    Op::SetData { path: shared(&request.path), data: request.data, version: request.version }
}

/// The operations of a multi; its flags were checked when it was decoded.
fn multi(ops: Vec<MultiOp>) -> Result<Action, ErrorCode> {
    let codes = ops.iter().map(MultiOp::op_code).collect();
    let mut asked = Vec::with_capacity(ops.len());
    for op in ops {
        asked.push(match op {
            MultiOp::Create(request) | MultiOp::Create2(request) => {
                create_op(request, None, CreateKind::Flags)?
            }
            MultiOp::CreateContainer(request) => create_op(request, None, CreateKind::Container)?,
            MultiOp::CreateTtl(request) => {
                let jute::CreateTtlRequest { path, data, acl, flags, ttl } = request;
                create_op(CreateRequest { path, data, acl, flags }, Some(ttl), CreateKind::Flags)
                    .map_err(|_| ErrorCode::MarshallingError)?
            }
            MultiOp::Delete(request) => delete(&request),
            MultiOp::SetData(request) => set_data(request),
            MultiOp::Check(request) => Op::Check { path: shared(&request.path), version: request.version },
            MultiOp::GetChildren(_) | MultiOp::GetData(_) => return Err(ErrorCode::MarshallingError),
        });
    }
    Ok(Action::Write(Write::Change(Request::Multi(asked), Shape::Multi(codes))))
}

/// A multiRead; one of writes is refused with a body (reference 3.2). A mix was refused when it was decoded.
fn multi_read(ops: Vec<MultiOp>) -> Read {
    if ops.iter().all(MultiOp::is_read) {
        return Read::Multi(ops);
    }
    let err = ErrorCode::MarshallingError;
    Read::Refused(Refused { err, zxid: None, with_empty_multi: true, then_close: false })
}

fn watcher_type(code: i32) -> Option<WatcherType> {
    Some(match jute::WatcherType::from_code(code)? {
        jute::WatcherType::Children => WatcherType::Children,
        jute::WatcherType::Data => WatcherType::Data,
        jute::WatcherType::Any => WatcherType::Any,
        jute::WatcherType::Persistent => WatcherType::Persistent,
        jute::WatcherType::PersistentRecursive => WatcherType::Recursive,
    })
}

/// An ACL as the tree knows it. An entry without a scheme is no valid ACL; one without an id can't be judged, but for `auth`,
/// which has no use for an id: kazoo sends it as null.
fn acl_list(entries: &[jute::Acl]) -> Result<AclList, ErrorCode> {
    let list = entries.iter().map(|entry| {
        let scheme = entry.id.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
        let id = match (scheme, entry.id.id.as_deref()) {
            ("auth", None) => "",
            (_, id) => id.ok_or(ErrorCode::MarshallingError)?,
        };
        Ok(Acl::new(Perms(entry.perms), scheme, id))
    });
    let list = AclList::from(list.collect::<Result<Vec<_>, ErrorCode>>()?);
    Ok(if list.is_open() { AclList::open() } else { list })
}

fn shared(path: &Text) -> Arc<str> {
    Arc::from(path.as_str())
}
