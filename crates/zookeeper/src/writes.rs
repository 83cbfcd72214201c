//! Answers writes: what a request's outcome looks like to the client.
//!
//! Invariant: a completion runs under the tree's lock, so it only encodes into the connection's outbox: the write's own answer, then those
//! of the reads behind it.
use crate::connection::Connection;
use crate::reads;
use crate::reply::{Shape, put_multi_end, put_multi_error};
use crate::request::Asked;
use ensemble::{Completion, Outcome, Refusal};
use jute::ErrorCode;
use std::cmp::Ordering;
use std::sync::Arc;
use tree::{Op, Refused, Request, TreeError};

/// What to do with the outcome of a write. `ends_session` is for closeSession, whose answer is the connection's last.
pub(crate) fn completion(
    connection: Arc<Connection>,
    asked: Asked,
    shape: Shape,
    quota_paths: Vec<Arc<str>>,
    ends_session: bool,
) -> Completion {
    Box::new(move |outcome, view| {
        answer(&connection, &asked, &shape, &quota_paths, outcome);
        connection.write_done();
        if ends_session {
            connection.finish();
        } else {
            reads::drain(&connection, view);
        }
        connection.wake();
    })
}

/// The paths that a refusal by quota is counted for, by operation (reference 3.44).
pub(crate) fn quota_paths(request: &Request) -> Vec<Arc<str>> {
    let path = |op: &Op| match op {
        Op::Create(create) => create.path.clone(),
        Op::Delete { path, .. }
        | Op::DeleteContainer { path }
        | Op::SetData { path, .. }
        | Op::SetAcl { path, .. }
        | Op::Check { path, .. }
        | Op::Put { path, .. }
        | Op::Remove { path } => path.clone(),
    };
    match request {
        Request::Op(op) => vec![path(op)],
        Request::Multi(ops) => ops.iter().map(path).collect(),
        _ => Vec::new(),
    }
}

fn answer(connection: &Connection, asked: &Asked, shape: &Shape, quota_paths: &[Arc<str>], outcome: Outcome) {
    let zxid = outcome.zxid.0;
    match outcome.result {
        Ok(results) => connection.answer(asked, zxid, 0, |out| shape.put_success(out, &results)),
        Err(Refusal::Tree(Refused { error, index })) => {
            if error == TreeError::QuotaExceeded
                && let Some(path) = quota_paths.get(index)
            {
                connection.door().stats.quota_refused(path);
            }
            refuse(connection, asked, shape, zxid, error.code(), index);
        }
        // The client tries elsewhere; whether its write was done is not known here (reference 3.19).
        Err(Refusal::SessionMoved) => {
            connection.abandoned(asked);
            connection.drop_now();
        }
        // The same, but the answers to what it asked before are still good.
        Err(Refusal::NotServing) => {
            connection.abandoned(asked);
            connection.finish();
        }
    }
}

/// A refusal is a header, or for a multi the result of each operation (reference 3.2).
fn refuse(connection: &Connection, asked: &Asked, shape: &Shape, zxid: i64, err: i32, failed: usize) {
    let Shape::Multi(ops) = shape else {
        return connection.answer(asked, zxid, err, |_| {});
    };
    connection.answer(asked, zxid, 0, |out| {
        for index in 0..ops.len() {
            put_multi_error(
                out,
                match index.cmp(&failed) {
                    Ordering::Less => ErrorCode::Ok.code(),
                    Ordering::Equal => err,
                    Ordering::Greater => ErrorCode::RuntimeInconsistency.code(),
                },
            );
        }
        put_multi_end(out);
    });
}
