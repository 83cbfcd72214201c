//! The first bytes of a connection: a four-letter word, or a request for a session.
//!
//! Invariant: a client that sends neither within `sessionlessCnxnTimeout` is gone; before it has a session it can make the server
//! hold no more than one small frame.
use crate::connection::{Connection, Ending, SessionInfo};
use crate::frames::Frames;
use crate::words::{self, TRACE_MASK_BYTES, Word};
use bytes::{BufMut, Bytes};
use ensemble::{ConnectError, ConnectParams, Connected, Session};
use jute::{ConnectRequest, ConnectResponse, Wire, put_frame};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpStream;
use tree::{SessionId, Zxid};

/// The longest connect request; Apache's have 45 bytes.
const CONNECT_BYTES_MAX: u32 = 4096;

/// What the first bytes were.
enum First {
    Word(Word, u64),
    Connect(ConnectRequest),
}

/// Serves a connection until it has a session; `None` if it gets none and is to end once its output is written.
pub(crate) async fn open(
    connection: &Arc<Connection>,
    stream: &TcpStream,
    frames: &mut Frames,
) -> Option<Session> {
    let door = connection.door();
    let patience = Duration::from_millis(u64::from(door.config.sessionless_timeout_ms));
    let first = tokio::select! {
        first = tokio::time::timeout(patience, first(connection, stream, frames)) => first,
        () = ended(connection) => return None,
    };
    match first {
        Ok(Ok(First::Word(word, mask))) => {
            connection.set_word();
            let text = words::answer(door, word, mask).await;
            connection.put_raw(|out| out.put_slice(text.as_bytes()));
            None
        }
        Ok(Ok(First::Connect(request))) => connect(connection, request).await,
        Ok(Err(error)) => {
            tracing::debug!(remote = %connection.remote(), %error, "a connection ended before it had a session");
            None
        }
        Err(_) => {
            door.stats.sessionless_expired.fetch_add(1, Relaxed);
            None
        }
    }
}

async fn ended(connection: &Connection) {
    while connection.ending() == Ending::Open {
        connection.woken().await;
    }
}

async fn first(connection: &Connection, stream: &TcpStream, frames: &mut Frames) -> io::Result<First> {
    let invalid =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    frames.set_max(CONNECT_BYTES_MAX);
    loop {
        if let Some(word) = frames.first_four().and_then(Word::of_bytes) {
            // The mask is waited for only if it is of use.
            if word != Word::Stmk || !connection.door().config.four_letter_words.contains(word) {
                connection.received(None);
                return Ok(First::Word(word, 0));
            }
            let mask = frames.buffered().get(4..).and_then(|rest| rest.first_chunk::<TRACE_MASK_BYTES>());
            if let Some(mask) = mask {
                connection.received(None);
                return Ok(First::Word(word, u64::from_be_bytes(*mask)));
            }
        } else if let Some(mut frame) = frames.next_frame().map_err(|error| invalid(&error))? {
            connection.received(None);
            return ConnectRequest::decode(&mut frame).map(First::Connect).map_err(|error| invalid(&error));
        }
        stream.readable().await?;
        match stream.try_read_buf(frames.room()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => connection.heard(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn connect(connection: &Arc<Connection>, request: ConnectRequest) -> Option<Session> {
    let door = connection.door();
    door.stats.connection_requests.fetch_add(1, Relaxed);
    let read_only = request.read_only.map(|_| false);
    let again = request.session_id != 0;
    let params = ConnectParams {
        session: SessionId(request.session_id),
        password: request.password.map(|password| password.to_vec()).unwrap_or_default(),
        timeout_ms: request.timeout_ms,
        last_zxid_seen: Zxid(request.last_zxid_seen),
    };
    match door.ensemble.connect(params, connection.clone()).await {
        Ok(Connected { session, password, timeout_ms }) => {
            if again {
                door.stats.connections_revalidated.fetch_add(1, Relaxed);
            }
            connection.set_session(SessionInfo { id: session.id(), timeout_ms, watcher: session.watcher() });
            let response = ConnectResponse {
                protocol_version: 0,
                timeout_ms,
                session_id: session.id().0,
                password: Some(Bytes::copy_from_slice(&password)),
                read_only,
            };
            connection.put_raw(|out| put_frame(out, |out| response.encode(out)));
            Some(session)
        }
        Err(ConnectError::Expired) => {
            let response = ConnectResponse::expired(read_only);
            connection.put_raw(|out| put_frame(out, |out| response.encode(out)));
            None
        }
        Err(error @ (ConnectError::AheadOfServer | ConnectError::NotServing)) => {
            tracing::info!(remote = %connection.remote(), %error, "a client is sent to another server");
            connection.drop_now();
            None
        }
    }
}
