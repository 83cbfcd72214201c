//! What sessions ask of the quorum's leader, as one node forwards it to another, and what the leader decides.
//!
//! Invariants: an ask and its verdict survive the way over the wire unchanged; what can't be read is refused as a whole, so that a
//! verdict always belongs to its ask.
use crate::outcome::{OpResult, Refusal};
use bytes::Bytes;
use kafka_wire::Str;
use kafka_wire::messages::forwarded::{
    ForwardedAcl, ForwardedAsk, ForwardedId, ForwardedOp, ForwardedPlan, ForwardedVerdict,
};
use std::sync::Arc;
use tree::{
    Acl, AclList, AuthId, Create, CreateMode, Op, PasswordDigest, Perms, Planned, Refused, Request,
    SessionId, TreeError, Zxid,
};

/// Which ask of which node a transaction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The node that forwarded it.
    pub(crate) node: i32,
    /// The run of that node: drawn at its start.
    pub(crate) incarnation: i64,
    /// The ask's number in that run.
    pub(crate) number: i64,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:x}:{}", self.node, self.incarnation, self.number)
    }
}

impl Origin {
    /// Reads what was printed.
    pub(crate) fn parse(text: &str) -> Option<Origin> {
        let mut parts = text.split(':');
        let origin = Origin {
            node: parts.next()?.parse().ok()?,
            incarnation: i64::from_str_radix(parts.next()?, 16).ok()?,
            number: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(origin)
    }
}

/// What a session, or the server itself, wants of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// To change the tree.
    Write {
        /// Whose write it is; none for the server's own.
        session: Option<SessionId>,
        /// With which rights.
        auth: Vec<AuthId>,
        /// The change.
        request: Request,
    },
    /// To know when everything before is applied.
    Sync,
    /// To attach a connection of the asking node to a session.
    Attach {
        /// The session.
        session: SessionId,
        /// SHA-256 of the password that the client gave.
        password_sha256: PasswordDigest,
    },
}

impl Ask {
    /// About how many bytes it takes on its way.
    pub(crate) fn weight(&self) -> usize {
        /// Kind, session, lengths, and the usual ACL.
        const FIXED: usize = 64;
        let op = |op: &Op| {
            FIXED
                + match op {
                    Op::Create(create) => create.path.len() + create.data.as_ref().map_or(0, Bytes::len),
                    Op::SetData { path, data, .. } | Op::Put { path, data } => {
                        path.len() + data.as_ref().map_or(0, Bytes::len)
                    }
                    Op::SetAcl { path, acl, .. } => path.len() + acl.entries().len() * FIXED,
                    Op::Delete { path, .. }
                    | Op::DeleteContainer { path }
                    | Op::Check { path, .. }
                    | Op::Remove { path } => path.len(),
                }
        };
        match self {
            Ask::Write { request: Request::Op(one), .. } => op(one),
            Ask::Write { request: Request::Multi(ops), .. } => ops.iter().map(op).sum(),
            Ask::Write { .. } | Ask::Attach { .. } | Ask::Sync => FIXED,
        }
    }
}

/// What the leader decided about an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It became this transaction; the plan says which of its changes answers which operation.
    Sequenced {
        /// The transaction.
        zxid: Zxid,
        /// One entry per operation.
        plan: Vec<Planned>,
    },
    /// There is nothing to log. The answer may be given once everything below the position is applied.
    Answer {
        /// The end of everything that it was judged against.
        position: i64,
        /// The answer.
        result: Result<Vec<OpResult>, Refusal>,
    },
    /// The leader has seen the ask before, on a connection that broke. If it was logged, that is below the position.
    Seen {
        /// The end of everything that was sequenced until now.
        position: i64,
    },
}

const WRITE_OP: i8 = 0;
const WRITE_MULTI: i8 = 1;
const OPEN_SESSION: i8 = 2;
const CLOSE_SESSION: i8 = 3;
const SYNC: i8 = 4;
const ATTACH: i8 = 5;

const CREATE: i8 = 0;
const DELETE: i8 = 1;
const DELETE_CONTAINER: i8 = 2;
const SET_DATA: i8 = 3;
const SET_ACL: i8 = 4;
const CHECK: i8 = 5;
const PUT: i8 = 6;
const REMOVE: i8 = 7;

const SEQUENCED: i8 = 0;
const ANSWER: i8 = 1;
const SEEN: i8 = 2;

/// No session asks: session ids are never 0.
const NO_SESSION: i64 = 0;
/// Verdicts that are no error of the tree.
const GRANTED: i32 = 0;
const MOVED: i32 = -118;
const NOT_SERVING: i32 = 1;

/// An ask as it is written.
pub(crate) fn encode_ask(ask: &Ask) -> ForwardedAsk {
    match ask {
        Ask::Sync => ForwardedAsk { kind: SYNC, ..Default::default() },
        Ask::Attach { session, password_sha256 } => ForwardedAsk {
            kind: ATTACH,
            session: session.0,
            password_digest: Bytes::copy_from_slice(password_sha256),
            ..Default::default()
        },
        Ask::Write { session, auth, request } => {
            let id = |id: &AuthId| ForwardedId { scheme: Str::from(&*id.scheme), id: Str::from(&*id.id) };
            let mut wire = ForwardedAsk {
                session: session.map_or(NO_SESSION, |session| session.0),
                auth: auth.iter().map(id).collect(),
                ..Default::default()
            };
            match request {
                Request::Op(op) => {
                    wire.kind = WRITE_OP;
                    wire.ops.push(encode_op(op));
                }
                Request::Multi(ops) => {
                    wire.kind = WRITE_MULTI;
                    wire.ops = ops.iter().map(encode_op).collect();
                }
                Request::OpenSession { id, timeout_ms, password_sha256 } => {
                    wire.kind = OPEN_SESSION;
                    wire.session = id.0;
                    wire.timeout_ms = *timeout_ms;
                    wire.password_digest = Bytes::copy_from_slice(password_sha256);
                }
                // Only the leader reaps, so that this is never forwarded; as a removal it would mean the same.
                Request::Reap { path } => {
                    wire.kind = WRITE_OP;
                    wire.ops.push(encode_op(&Op::DeleteContainer { path: path.clone() }));
                }
                Request::CloseSession { id } => {
                    wire.kind = CLOSE_SESSION;
                    // The session that asks is the one that closes, or none: the server ends sessions on its own account.
                    wire.timeout_ms = i32::from(session.is_some());
                    wire.session = id.0;
                }
            }
            wire
        }
    }
}

/// Reads an ask; `None` if it makes no sense.
pub(crate) fn decode_ask(wire: ForwardedAsk) -> Option<Ask> {
    let session = (wire.session != NO_SESSION).then_some(SessionId(wire.session));
    let digest = |bytes: &Bytes| PasswordDigest::try_from(&bytes[..]).ok();
    let ids = wire.auth.iter().map(|id| AuthId::new(&id.scheme, &id.id));
    let (session, request) = match wire.kind {
        SYNC => return Some(Ask::Sync),
        ATTACH => {
            let password_sha256 = digest(&wire.password_digest)?;
            return Some(Ask::Attach { session: session?, password_sha256 });
        }
        WRITE_OP => {
            let mut ops = wire.ops.into_iter();
            (session, Request::Op(decode_op(ops.next()?)?))
        }
        WRITE_MULTI => {
            let ops: Option<Vec<Op>> = wire.ops.into_iter().map(decode_op).collect();
            (session, Request::Multi(ops?))
        }
        OPEN_SESSION => {
            let password_sha256 = digest(&wire.password_digest)?;
            (None, Request::OpenSession { id: session?, timeout_ms: wire.timeout_ms, password_sha256 })
        }
        CLOSE_SESSION => {
            let by_itself = wire.timeout_ms != 0;
            (session.filter(|_| by_itself), Request::CloseSession { id: session? })
        }
        _ => return None,
    };
    Some(Ask::Write { session, auth: ids.collect(), request })
}

fn encode_op(op: &Op) -> ForwardedOp {
    let at = |kind: i8, path: &Arc<str>| ForwardedOp { kind, path: Str::from(&**path), ..Default::default() };
    match op {
        Op::Create(create) => ForwardedOp {
            data: create.data.clone(),
            mode: create.mode.to_flag(),
            has_ttl: create.ttl_ms.is_some(),
            ttl_ms: create.ttl_ms.unwrap_or_default(),
            acl: encode_acl(&create.acl),
            ..at(CREATE, &create.path)
        },
        Op::Delete { path, version } => ForwardedOp { version: *version, ..at(DELETE, path) },
        Op::DeleteContainer { path } => at(DELETE_CONTAINER, path),
        Op::SetData { path, data, version } => {
            ForwardedOp { data: data.clone(), version: *version, ..at(SET_DATA, path) }
        }
        Op::SetAcl { path, acl, version } => {
            ForwardedOp { acl: encode_acl(acl), version: *version, ..at(SET_ACL, path) }
        }
        Op::Check { path, version } => ForwardedOp { version: *version, ..at(CHECK, path) },
        Op::Put { path, data } => ForwardedOp { data: data.clone(), ..at(PUT, path) },
        Op::Remove { path } => at(REMOVE, path),
    }
}

fn decode_op(wire: ForwardedOp) -> Option<Op> {
    let path: Arc<str> = Arc::from(&*wire.path);
    let version = wire.version;
    Some(match wire.kind {
        CREATE => Op::Create(Create {
            path,
            data: wire.data,
            acl: decode_acl(&wire.acl),
            mode: CreateMode::from_flag(wire.mode)?,
            ttl_ms: wire.has_ttl.then_some(wire.ttl_ms),
        }),
        DELETE => Op::Delete { path, version },
        DELETE_CONTAINER => Op::DeleteContainer { path },
        SET_DATA => Op::SetData { path, data: wire.data, version },
        SET_ACL => Op::SetAcl { path, acl: decode_acl(&wire.acl), version },
        CHECK => Op::Check { path, version },
        PUT => Op::Put { path, data: wire.data },
        REMOVE => Op::Remove { path },
        _ => return None,
    })
}

fn encode_acl(acl: &AclList) -> Vec<ForwardedAcl> {
    let entry = |acl: &Acl| ForwardedAcl {
        perms: acl.perms.0,
        scheme: Str::from(&*acl.id.scheme),
        id: Str::from(&*acl.id.id),
    };
    acl.entries().iter().map(entry).collect()
}

fn decode_acl(wire: &[ForwardedAcl]) -> AclList {
    let entries: Vec<Acl> =
        wire.iter().map(|entry| Acl::new(Perms(entry.perms), &entry.scheme, &entry.id)).collect();
    let open = AclList::open();
    if entries.as_slice() == open.entries() { open } else { AclList::from(entries) }
}

/// A verdict as it is written. Answers without an error have at most results of checks, which their number tells.
pub(crate) fn encode_verdict(verdict: &Verdict) -> ForwardedVerdict {
    match verdict {
        Verdict::Sequenced { zxid, plan } => ForwardedVerdict {
            kind: SEQUENCED,
            position: zxid.0,
            plan: plan.iter().map(encode_plan).collect(),
            ..Default::default()
        },
        Verdict::Seen { position } => {
            ForwardedVerdict { kind: SEEN, position: *position, ..Default::default() }
        }
        Verdict::Answer { position, result } => {
            let wire = ForwardedVerdict { kind: ANSWER, position: *position, ..Default::default() };
            match result {
                Ok(results) => ForwardedVerdict {
                    error: GRANTED,
                    plan: results.iter().map(|_| encode_plan(&Planned::Check)).collect(),
                    ..wire
                },
                Err(Refusal::Tree(refused)) => ForwardedVerdict {
                    error: refused.error.code(),
                    index: i32::try_from(refused.index).unwrap_or(i32::MAX),
                    ..wire
                },
                Err(Refusal::SessionMoved) => ForwardedVerdict { error: MOVED, index: -1, ..wire },
                Err(Refusal::NotServing) => ForwardedVerdict { error: NOT_SERVING, ..wire },
            }
        }
    }
}

/// Reads a verdict; `None` if it makes no sense.
pub(crate) fn decode_verdict(wire: &ForwardedVerdict) -> Option<Verdict> {
    let position = wire.position;
    match wire.kind {
        SEQUENCED => {
            let plan: Option<Vec<Planned>> = wire.plan.iter().map(decode_plan).collect();
            Some(Verdict::Sequenced { zxid: Zxid(position), plan: plan? })
        }
        SEEN => Some(Verdict::Seen { position }),
        ANSWER => {
            let result = match (wire.error, wire.index) {
                (GRANTED, _) => Ok(wire.plan.iter().map(|_| OpResult::Checked).collect()),
                (MOVED, -1) => Err(Refusal::SessionMoved),
                (NOT_SERVING, _) => Err(Refusal::NotServing),
                (code, index) => Err(Refusal::Tree(Refused {
                    error: TreeError::from_code(code)?,
                    index: usize::try_from(index).ok()?,
                })),
            };
            Some(Verdict::Answer { position, result })
        }
        _ => None,
    }
}

fn encode_plan(planned: &Planned) -> ForwardedPlan {
    let change = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
    match *planned {
        Planned::Create(index) => ForwardedPlan { kind: CREATE, change: change(index) },
        Planned::SetData(index) => ForwardedPlan { kind: SET_DATA, change: change(index) },
        Planned::SetAcl(index) => ForwardedPlan { kind: SET_ACL, change: change(index) },
        Planned::Delete(index) => ForwardedPlan { kind: DELETE, change: change(index) },
        Planned::Check => ForwardedPlan { kind: CHECK, change: 0 },
    }
}

fn decode_plan(wire: &ForwardedPlan) -> Option<Planned> {
    let index = usize::try_from(wire.change).ok()?;
    Some(match wire.kind {
        CREATE => Planned::Create(index),
        SET_DATA => Planned::SetData(index),
        SET_ACL => Planned::SetAcl(index),
        DELETE => Planned::Delete(index),
        CHECK => Planned::Check,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(kind: u8) -> Op {
        let path: Arc<str> = Arc::from("/a/b");
        match kind {
            0 => Op::Create(Create {
                path,
                data: None,
                acl: AclList::from(vec![Acl::new(Perms(3), "digest", "u:p")]),
                mode: CreateMode::TtlSequential,
                ttl_ms: Some(-5),
            }),
            1 => Op::Delete { path, version: -1 },
            2 => Op::DeleteContainer { path },
            3 => Op::SetData { path, data: Some(Bytes::new()), version: 3 },
            4 => Op::SetAcl { path, acl: AclList::open(), version: 4 },
            5 => Op::Check { path, version: 0 },
            6 => Op::Put { path, data: Some(Bytes::from_static(b"x")) },
            _ => Op::Remove { path },
        }
    }

    #[test]
    fn every_ask_survives_the_wire() {
        let session = Some(SessionId(77));
        let write = |session, request| Ask::Write { session, auth: vec![AuthId::superuser()], request };
        let digest = [9; 32];
        let asks = [
            Ask::Sync,
            Ask::Attach { session: SessionId(5), password_sha256: digest },
            write(session, Request::Multi((0..8).map(op).collect())),
            write(session, Request::Op(op(0))),
            write(None, Request::OpenSession { id: SessionId(6), timeout_ms: 4000, password_sha256: digest }),
            write(None, Request::CloseSession { id: SessionId(6) }),
            write(session, Request::CloseSession { id: SessionId(77) }),
        ];
        for ask in asks {
            let bytes = kafka_wire::encode_prefixed(&encode_ask_alone(&ask), 0).unwrap();
            let (_, read) =
                kafka_wire::decode_prefixed::<kafka_wire::messages::forwarded::ForwardedAsks>(bytes).unwrap();
            let [read]: [ForwardedAsk; 1] = read.asks.try_into().unwrap();
            assert_eq!(decode_ask(read), Some(ask));
        }
    }

    fn encode_ask_alone(ask: &Ask) -> kafka_wire::messages::forwarded::ForwardedAsks {
        kafka_wire::messages::forwarded::ForwardedAsks { asks: vec![encode_ask(ask)], ..Default::default() }
    }

    #[test]
    fn every_verdict_survives_the_wire() {
        let refused = |error| Err(Refusal::Tree(Refused { error, index: 2 }));
        let answer = |result| Verdict::Answer { position: 12, result };
        let verdicts = [
            Verdict::Sequenced { zxid: Zxid(9), plan: vec![Planned::Create(0), Planned::Check] },
            Verdict::Sequenced { zxid: Zxid(9), plan: vec![Planned::SetAcl(4), Planned::Delete(5)] },
            Verdict::Seen { position: 44 },
            answer(Ok(vec![OpResult::Checked, OpResult::Checked])),
            answer(refused(TreeError::NoNode)),
            answer(refused(TreeError::SessionMoved)),
            answer(Err(Refusal::SessionMoved)),
            answer(Err(Refusal::NotServing)),
        ];
        for verdict in verdicts {
            assert_eq!(decode_verdict(&encode_verdict(&verdict)), Some(verdict));
        }
    }
}
