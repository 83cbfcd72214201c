//! Owns the bench that the tests of the tree stand on: a tree, what is in flight, a log position and a clock.

use std::sync::Arc;

use bytes::Bytes;
use tree::{
    AclList, Applied, AuthId, Context, Create, CreateMode, Event, EventKind, Op, Options, Pending, Prepared,
    Refused, Request, SessionId, Stat, Tree, TreeError, Txn, Zxid, prepare,
};

/// Where the log of a bench begins, so that 0 and -1 stand out.
pub(crate) const FIRST_ZXID: i64 = 1;

pub(crate) struct Bench {
    pub(crate) tree: Tree,
    pub(crate) pending: Pending,
    pub(crate) options: Options,
    pub(crate) next_offset: i64,
    pub(crate) now_ms: i64,
    /// Prepared and not yet applied.
    pub(crate) in_flight: Vec<Txn>,
    /// Everything applied.
    pub(crate) log: Vec<Txn>,
}

impl Bench {
    /// A bench whose tree has the server's own nodes only.
    pub(crate) fn new() -> Bench {
        let mut bench = Bench::empty();
        let changes = Tree::bootstrap_changes();
        let txn = Txn { zxid: Zxid(FIRST_ZXID), time_ms: 0, session: None, changes };
        bench.next_offset = txn.last_offset() + 1;
        bench.in_flight.push(txn);
        bench.apply_all();
        bench
    }

    fn empty() -> Bench {
        Bench {
            tree: Tree::new(),
            pending: Pending::new(),
            options: Options { extended_types: true, ..Options::default() },
            next_offset: FIRST_ZXID,
            now_ms: 1000,
            in_flight: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Prepares a request; its transaction stays in flight.
    pub(crate) fn prepare(
        &mut self,
        session: Option<i64>,
        auth: &[AuthId],
        request: &Request,
    ) -> Result<Prepared, Refused> {
        self.now_ms += 1;
        let context = Context {
            session: session.map(SessionId),
            auth,
            time_ms: self.now_ms,
            zxid: Zxid(self.next_offset),
            options: &self.options,
        };
        let prepared = prepare(&self.tree, &mut self.pending, &context, request)?;
        if !prepared.txn.changes.is_empty() {
            self.next_offset = prepared.txn.last_offset() + 1;
            self.in_flight.push(prepared.txn.clone());
        }
        Ok(prepared)
    }

    /// Applies all that is in flight; gives what each transaction gave.
    pub(crate) fn apply_all(&mut self) -> Vec<Applied> {
        self.apply(usize::MAX)
    }

    /// Applies the first transactions in flight, `max` at most; gives what each gave.
    pub(crate) fn apply(&mut self, max: usize) -> Vec<Applied> {
        let mut all = Vec::new();
        for txn in self.in_flight.drain(..max.min(self.in_flight.len())) {
            let mut applied = Applied::default();
            self.tree.apply(&txn, &mut applied).expect("a prepared transaction fits");
            self.pending.applied_through(txn.zxid);
            self.log.push(txn);
            all.push(applied);
        }
        all
    }

    /// Prepares and applies a request of the server itself.
    pub(crate) fn run(&mut self, request: Request) -> Result<(Prepared, Applied), TreeError> {
        self.run_as(None, &[], request)
    }

    /// Prepares and applies a request.
    pub(crate) fn run_as(
        &mut self,
        session: Option<i64>,
        auth: &[AuthId],
        request: Request,
    ) -> Result<(Prepared, Applied), TreeError> {
        let prepared = self.prepare(session, auth, &request).map_err(|refused| refused.error)?;
        let applied = self.apply_all().pop().unwrap_or_default();
        Ok((prepared, applied))
    }

    pub(crate) fn open(&mut self, session: i64) {
        self.run(open(session)).expect("a new session opens");
    }

    /// Creates a persistent node that must not be refused; gives its stat.
    pub(crate) fn create(&mut self, path: &str) -> Stat {
        let (_, applied) = self.run(op(create(path))).expect(path);
        applied.results[0].expect("a created node has a stat")
    }

    pub(crate) fn stat(&self, path: &str) -> Stat {
        self.tree.get(path).expect(path).stat()
    }

    pub(crate) fn data(&self, path: &str) -> Option<&[u8]> {
        self.tree.get(path).expect(path).data()
    }
}

pub(crate) fn path(text: &str) -> Arc<str> {
    text.into()
}

pub(crate) fn bytes(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn op(op: Op) -> Request {
    Request::Op(op)
}

pub(crate) fn open(session: i64) -> Request {
    Request::OpenSession { id: SessionId(session), timeout_ms: 6000, password_sha256: [session as u8; 32] }
}

pub(crate) fn close(session: i64) -> Request {
    Request::CloseSession { id: SessionId(session) }
}

pub(crate) fn create_with(text: &str, mode: CreateMode, acl: AclList, ttl_ms: Option<i64>) -> Op {
    Op::Create(Create { path: path(text), data: bytes("x"), acl, mode, ttl_ms })
}

pub(crate) fn create_mode(text: &str, mode: CreateMode) -> Op {
    create_with(text, mode, AclList::open(), None)
}

pub(crate) fn create(text: &str) -> Op {
    create_mode(text, CreateMode::Persistent)
}

pub(crate) fn delete(text: &str, version: i32) -> Op {
    Op::Delete { path: path(text), version }
}

pub(crate) fn set(text: &str, data: &str, version: i32) -> Op {
    Op::SetData { path: path(text), data: bytes(data), version }
}

pub(crate) fn check(text: &str, version: i32) -> Op {
    Op::Check { path: path(text), version }
}

pub(crate) fn kinds(events: &[Event]) -> Vec<(EventKind, &str)> {
    events.iter().map(|event| (event.kind, &*event.path)).collect()
}
