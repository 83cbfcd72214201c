//! A ZooKeeper session on a blocking connection: one request, one answer. It sets up what a workload needs and checks what it left.
use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use jute::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, Id, OpCode, PathVersionRequest, ReplyHeader,
    Request, RequestHeader, Response, SetDataRequest, Wire, put_frame,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Of every session, in milliseconds: the longest that servers grant by default.
pub(crate) const TIMEOUT_MS: i32 = 40_000;
/// A server that doesn't answer for so long won't.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same of a server that may just be starting.
const PATIENCE_STARTING: Duration = Duration::from_millis(500);
/// Fewer than wait for a server to accept them, by any default.
const OPENED_AT_A_TIME: usize = 32;
const PERMISSIONS_ALL: i32 = 31;
const FRAME_BYTES_MAX: usize = 1 << 20;

/// One session.
pub(crate) struct Session {
    stream: TcpStream,
    id: i64,
    password: Bytes,
    xid: i32,
}

impl Session {
    /// Opens a new session.
    pub(crate) fn open(address: SocketAddr) -> Result<Session> {
        Session::connect(address, 0, Bytes::from_static(&[0; 16]), PATIENCE)
    }

    /// Opens a new session at a server that may just be starting: it may take a connection and never answer.
    pub(crate) fn try_open(address: SocketAddr) -> Result<Session> {
        Session::connect(address, 0, Bytes::from_static(&[0; 16]), PATIENCE_STARTING)
    }

    /// Takes the session to another connection, which gives up after `patience` without an answer.
    pub(crate) fn attach(&self, address: SocketAddr, patience: Duration) -> Result<Session> {
        Session::connect(address, self.id, self.password.clone(), patience)
    }

    /// Opens many sessions, some of them at a time.
    pub(crate) fn open_many(address: SocketAddr, count: usize) -> Result<Vec<Session>> {
        let mut sessions = Vec::with_capacity(count);
        while sessions.len() < count {
            let dialled = (sessions.len()..count.min(sessions.len() + OPENED_AT_A_TIME))
                .map(|_| dial(address, 0, Bytes::from_static(&[0; 16]), PATIENCE))
                .collect::<Result<Vec<_>>>()?;
            for stream in dialled {
                sessions.push(Session::greet(stream)?);
            }
        }
        Ok(sessions)
    }

    fn connect(address: SocketAddr, id: i64, password: Bytes, patience: Duration) -> Result<Session> {
        Session::greet(dial(address, id, password, patience)?)
    }

    /// Reads the answer to the request for a session.
    fn greet(mut stream: TcpStream) -> Result<Session> {
        let mut answer = read_frame(&mut stream).context("the answer to a new session")?;
        let answer = ConnectResponse::decode(&mut answer)?;
        ensure!(answer.session_id != 0, "the session is refused");
        let password = answer.password.context("a session has a password")?;
        Ok(Session { stream, id: answer.session_id, password, xid: 0 })
    }

    /// How long an answer is waited for from now on.
    pub(crate) fn patience(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Response> {
        self.send(request)?;
        self.receive(request.op_code())
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &Request) -> Result<()> {
        self.xid += 1;
        Ok(self.stream.write_all(&frame(self.xid, request))?)
    }

    /// Reads the answer to the last request.
    pub(crate) fn receive(&mut self, op: OpCode) -> Result<Response> {
        let mut answer = read_frame(&mut self.stream).with_context(|| format!("the answer to {op:?}"))?;
        let header = ReplyHeader::decode(&mut answer)?;
        ensure!(header.xid == self.xid, "answer {} to request {}", header.xid, self.xid);
        ensure!(header.err == 0, "{op:?} is refused with {}", header.err);
        Ok(Response::decode(op as i32, &mut answer)?)
    }

    /// Sets a znode, whatever its version is.
    pub(crate) fn set(&mut self, path: &str, data: &[u8]) -> Result<()> {
        self.ask(&set(path, data)).map(drop)
    }

    /// Creates a persistent znode.
    pub(crate) fn create(&mut self, path: &str, data: &[u8]) -> Result<()> {
        self.ask(&create(path, data, 0)).map(drop)
    }

    /// Deletes a znode.
    pub(crate) fn delete(&mut self, path: &str) -> Result<()> {
        self.ask(&delete(path)).map(drop)
    }

    /// Ends the session.
    pub(crate) fn close(mut self) -> Result<()> {
        self.ask(&Request::CloseSession).map(drop)
    }

    /// The connection, for load of another form. Its next xid may be anything.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Connects and asks for a session.
fn dial(address: SocketAddr, id: i64, password: Bytes, patience: Duration) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&connect_frame(id, password))?;
    Ok(stream)
}

/// The frame that asks for a session.
pub(crate) fn connect_frame(session_id: i64, password: Bytes) -> BytesMut {
    let request = ConnectRequest {
        timeout_ms: TIMEOUT_MS,
        session_id,
        password: Some(password),
        read_only: Some(false),
        ..ConnectRequest::default()
    };
    let mut out = BytesMut::new();
    put_frame(&mut out, |out| request.encode(out));
    out
}

/// The frame of a request.
pub(crate) fn frame(xid: i32, request: &Request) -> BytesMut {
    let mut out = BytesMut::new();
    put_frame(&mut out, |out| {
        RequestHeader { xid, op: request.op_code() as i32 }.encode(out);
        request.encode(out);
    });
    out
}

/// A create that everybody may do everything with.
pub(crate) fn create(path: &str, data: &[u8], flags: i32) -> Request {
    Request::Create(CreateRequest {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data)),
        acl: vec![Acl {
            perms: PERMISSIONS_ALL,
            id: Id { scheme: Some("world".into()), id: Some("anyone".into()) },
        }],
        flags,
    })
}

/// A set of whatever version.
pub(crate) fn set(path: &str, data: &[u8]) -> Request {
    let data = Some(Bytes::copy_from_slice(data));
    Request::SetData(SetDataRequest { path: path.into(), data, version: -1 })
}

/// A delete of whatever version.
pub(crate) fn delete(path: &str) -> Request {
    Request::Delete(PathVersionRequest { path: path.into(), version: -1 })
}

/// Reads a frame; its length is bounded by what a server may send.
pub(crate) fn read_frame(stream: &mut impl Read) -> Result<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).context("a length")?;
    ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(Bytes::from(frame))
}
