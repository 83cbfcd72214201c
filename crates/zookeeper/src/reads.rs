//! Answers reads from the tree at one moment.
//!
//! Invariants: everything here runs under the tree's read lock, so an answer and the watch that goes with it are of the same
//! moment; a watch is registered before its answer is in the outbox, and nothing can fire in between.
use crate::auth::user_of;
use crate::connection::Connection;
use crate::reply::{put_multi_end, put_multi_error, put_multi_header, put_stat};
use crate::request::{Asked, Read, Refused};
use bytes::{BufMut, BytesMut};
use ensemble::{ReadView, Subscriber, WatchEvent, WatchKind, WatcherId};
use jute::{ErrorCode, MultiOp, OpCode, put_buffer, put_count, put_text};
use std::cell::Cell;
use std::sync::Arc;
use tree::{Acl, AuthId, EventKind, NodeRef, Options, Perms, SessionId, Zxid};

/// The longest answer; a request for more ends its connection. Clients refuse far shorter ones (`jute.maxbuffer`).
const REPLY_BYTES_MAX: usize = 256 << 20;

/// One connection's reads at one moment.
pub(crate) struct Reader<'a> {
    connection: &'a Connection,
    session: SessionId,
    watcher: WatcherId,
    identities: Arc<[AuthId]>,
    options: &'a Options,
    view: &'a ReadView<'a>,
}

/// Answers the reads that are first in line, up to the next write.
pub(crate) fn drain(connection: &Connection, view: &ReadView<'_>) {
    let Some(mut reader) = Reader::new(connection, view) else { return };
    while let Some((asked, read)) = connection.next_read() {
        reader.answer(&asked, read);
    }
}

impl<'a> Reader<'a> {
    /// A reader for a connection that has a session.
    pub(crate) fn new(connection: &'a Connection, view: &'a ReadView<'a>) -> Option<Reader<'a>> {
        let session = connection.session()?;
        Some(Reader {
            session: session.id,
            watcher: session.watcher,
            identities: connection.identities(),
            options: &connection.door().ensemble.config().tree,
            connection,
            view,
        })
    }

    /// Answers one read.
    pub(crate) fn answer(&mut self, asked: &Asked, read: Read) {
        let outcome = match read {
            Read::Ping => self.put(asked, |_| {}),
            Read::Exists { path, watch } => self.exists(asked, &path, watch),
            Read::GetData { path, watch } => self.get_data(asked, &path, watch),
            Read::GetAcl { path } => self.get_acl(asked, &path),
            Read::GetChildren { path, watch, with_stat } => self.get_children(asked, &path, watch, with_stat),
            Read::CountDescendants { path } => self.count_descendants(asked, &path),
            Read::GetEphemerals { prefix } => {
                self.get_ephemerals(asked, prefix.as_deref().unwrap_or_default())
            }
            Read::Multi(ops) => self.multi(asked, &ops),
            Read::SetWatches(request) => self.set_watches(asked, &request),
            Read::AddWatch { path, kind } => {
                self.view.watch(self.watcher, &path, kind);
                self.put(asked, |out| out.put_i32(ErrorCode::Ok.code()))
            }
            Read::CheckWatches { path, of } => match self.view.has_watch(self.watcher, &path, of) {
                true => self.put(asked, |_| {}),
                false => Err(ErrorCode::NoWatcher),
            },
            Read::RemoveWatches { path, of } => match self.view.remove_watch(self.watcher, &path, of) {
                true => self.put(asked, |_| {}),
                false => Err(ErrorCode::NoWatcher),
            },
            Read::WhoAmI => self.who_am_i(asked),
            Read::Auth(identities) => {
                self.connection.add_identities(&identities);
                self.identities = self.connection.identities();
                self.connection.answer(asked, 0, 0, |_| {});
                Ok(())
            }
            Read::Sasl => {
                self.connection.answer(asked, 0, 0, |out| put_buffer(None, out));
                Ok(())
            }
            Read::Refused(refused) => {
                self.refuse(asked, refused);
                Ok(())
            }
        };
        if let Err(err) = outcome {
            self.connection.answer(asked, self.view.last_zxid().0, err.code(), |_| {});
        }
    }

    /// Puts a success; `body` may leave off when the answer gets too long, which ends the connection.
    fn put(&self, asked: &Asked, body: impl FnOnce(&mut BytesMut)) -> Result<(), ErrorCode> {
        let too_long = Cell::new(false);
        self.connection.answer(asked, self.view.last_zxid().0, 0, |out| {
            let start = out.len();
            body(out);
            too_long.set(is_too_long(out, start));
        });
        if too_long.get() {
            tracing::warn!(
                remote = %self.connection.remote(),
                op = asked.op.map_or("unknown", OpCode::name),
                limit = REPLY_BYTES_MAX,
                "an answer would be too long; closing the connection"
            );
            self.connection.drop_now();
        }
        Ok(())
    }

    fn refuse(&self, asked: &Asked, refused: Refused) {
        let zxid = refused.zxid.unwrap_or(self.view.last_zxid().0);
        self.connection.answer(asked, zxid, refused.err.code(), |out| {
            if refused.with_empty_multi {
                put_multi_end(out);
            }
        });
        if refused.then_close {
            self.connection.finish();
        }
    }

    /// The znode, if there is one and these identities may do one of `perms`.
    fn node(&self, path: &str, perms: Perms) -> Result<NodeRef<'_>, ErrorCode> {
        let node = self.view.tree().get(path).ok_or(ErrorCode::NoNode)?;
        if tree::permits(node.acl(), &self.identities, perms, self.options) {
            Ok(node)
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    fn watch_if(&self, watch: bool, path: &str, kind: WatchKind) {
        if watch {
            self.view.watch(self.watcher, path, kind);
        }
    }

    fn exists(&self, asked: &Asked, path: &str, watch: bool) -> Result<(), ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        // A missing znode is no reason not to wait for it (reference 3.9); a forbidden one is.
        match self.node(path, Perms::READ) {
            Ok(node) => {
                self.watch_if(watch, path, WatchKind::Data);
                self.put(asked, |out| put_stat(out, &node.stat()))
            }
            Err(ErrorCode::NoNode) => {
                self.watch_if(watch, path, WatchKind::Data);
                Err(ErrorCode::NoNode)
            }
            Err(err) => Err(err),
        }
    }

    fn get_data(&self, asked: &Asked, path: &str, watch: bool) -> Result<(), ErrorCode> {
        let node = self.node(path, Perms::READ)?;
        self.watch_if(watch, path, WatchKind::Data);
        self.put(asked, |out| {
            put_buffer(node.data(), out);
            put_stat(out, &node.stat());
        })
    }

    fn get_acl(&self, asked: &Asked, path: &str) -> Result<(), ErrorCode> {
        let node = self.node(path, Perms(Perms::READ.0 | Perms::ADMIN.0))?;
        let acl = tree::masked_for(node.acl(), &self.identities, self.options);
        self.put(asked, |out| {
            put_count(acl.entries().len(), out);
            for Acl { perms, id } in acl.entries() {
                out.put_i32(perms.0);
                put_text(&id.scheme, out);
                put_text(&id.id, out);
            }
            put_stat(out, &node.stat());
        })
    }

    fn get_children(&self, asked: &Asked, path: &str, watch: bool, with_stat: bool) -> Result<(), ErrorCode> {
        let node = self.node(path, Perms::READ)?;
        self.watch_if(watch, path, WatchKind::Children);
        self.put(asked, |out| {
            put_children(out, node);
            if with_stat {
                put_stat(out, &node.stat());
            }
        })
    }

    fn count_descendants(&self, asked: &Asked, path: &str) -> Result<(), ErrorCode> {
        self.node(path, Perms::READ)?;
        let count = self.view.tree().all_children_count(path).ok_or(ErrorCode::NoNode)?;
        self.put(asked, |out| out.put_i32(i32::try_from(count).unwrap_or(i32::MAX)))
    }

    fn get_ephemerals(&self, asked: &Asked, prefix: &str) -> Result<(), ErrorCode> {
        let paths = self.view.tree().ephemerals(self.session, prefix);
        self.put(asked, |out| {
            let start = out.len();
            put_count(paths.len(), out);
            for path in &paths {
                if is_too_long(out, start) {
                    return;
                }
                put_text(path, out);
            }
        })
    }

    fn who_am_i(&self, asked: &Asked) -> Result<(), ErrorCode> {
        self.put(asked, |out| {
            put_count(self.identities.len(), out);
            for identity in self.identities.iter() {
                put_text(&identity.scheme, out);
                put_text(user_of(identity), out);
            }
        })
    }

    /// multiRead: every operation has its own outcome (reference 3.4).
    fn multi(&self, asked: &Asked, ops: &[MultiOp]) -> Result<(), ErrorCode> {
        self.put(asked, |out| {
            let start = out.len();
            for op in ops {
                if is_too_long(out, start) {
                    return;
                }
                let (path, is_children) = match op {
                    MultiOp::GetData(request) => (&request.path, false),
                    MultiOp::GetChildren(request) => (&request.path, true),
                    // Writes were refused when the request was parsed.
                    _ => continue,
                };
                match self.node(path, Perms::READ) {
                    Err(err) => put_multi_error(out, err.code()),
                    Ok(node) => {
                        put_multi_header(out, op.op_code().code(), 0);
                        if is_children {
                            put_children(out, node);
                        } else {
                            put_buffer(node.data(), out);
                            put_stat(out, &node.stat());
                        }
                    }
                }
            }
            put_multi_end(out);
        })
    }

    /// Sets watches again after a reconnect, or tells what they would have told meanwhile (reference 3.13).
    fn set_watches(&self, asked: &Asked, request: &jute::SetWatches2Request) -> Result<(), ErrorCode> {
        let relative = Zxid(request.relative_zxid);
        for (paths, waits_for, kind) in [
            (&request.data_watches, tree::WatchKind::Data, WatchKind::Data),
            (&request.exist_watches, tree::WatchKind::Exist, WatchKind::Data),
            (&request.child_watches, tree::WatchKind::Child, WatchKind::Children),
        ] {
            for path in paths {
                match self.view.tree().catch_up(waits_for, path, relative) {
                    Some(missed) => self.catch_up(path, missed),
                    None => self.view.watch(self.watcher, path, kind),
                }
            }
        }
        for path in &request.persistent_watches {
            self.view.watch(self.watcher, path, WatchKind::Persistent);
        }
        for path in &request.persistent_recursive_watches {
            self.view.watch(self.watcher, path, WatchKind::Recursive);
        }
        self.put(asked, |_| {})
    }

    fn catch_up(&self, path: &str, kind: EventKind) {
        self.connection.event(&WatchEvent { kind, path: Arc::from(path), zxid: None });
    }
}

fn is_too_long(out: &BytesMut, start: usize) -> bool {
    out.len() - start > REPLY_BYTES_MAX
}

fn put_children(out: &mut BytesMut, node: NodeRef<'_>) {
    let start = out.len();
    let children = node.children();
    put_count(children.len(), out);
    for name in children {
        if is_too_long(out, start) {
            return;
        }
        put_text(name, out);
    }
}
