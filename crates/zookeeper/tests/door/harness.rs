//! A node in this process and a client of raw frames, which sees every byte of header and order.
use base::World;
use bytes::{Buf, Bytes, BytesMut};
use ensemble::{EnsembleConfig, RunningEnsemble};
use jute::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, Id, PathVersionRequest, PathWatchRequest,
    ReplyHeader, Request, RequestHeader, Response, SetDataRequest, Stat, WatcherEvent, Wire, put_frame,
};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zookeeper::{RunningDoor, ZooKeeperConfig};

/// How long anything may take before a test is called hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node that serves on a free port.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) door: RunningDoor,
    pub(crate) running: RunningEnsemble,
    _folder: tempfile::TempDir,
}

/// Starts a node with quick sessions.
pub(crate) async fn node() -> Node {
    node_with(|_, _| {}).await
}

/// Starts a node whose settings `adjust` changes.
pub(crate) async fn node_with(adjust: impl FnOnce(&mut ZooKeeperConfig, &mut EnsembleConfig)) -> Node {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut ensemble_config = EnsembleConfig::new(folder.path().to_owned(), 1, uuid::Uuid::from_u128(1));
    ensemble_config.tick_ms = 100;
    ensemble_config.session_timeout_min_ms = 200;
    let mut config = ZooKeeperConfig {
        client_port: 0,
        client_port_address: Some("127.0.0.1".to_owned()),
        four_letter_words: zookeeper::Whitelist::parse("*"),
        ..ZooKeeperConfig::default()
    };
    adjust(&mut config, &mut ensemble_config);
    let running =
        RunningEnsemble::start(World::system(), ensemble_config, None).expect("the ensemble starts");
    within(running.ensemble().serving()).await.expect("the ensemble serves");
    let listener = zookeeper::bind(&config).await.expect("a free port");
    let door = zookeeper::serve(listener, config, running.ensemble().clone()).expect("the door serves");
    Node { address: door.local_addr(), door, running, _folder: folder }
}

impl Node {
    /// A client with a session.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Stops door and ensemble, in this order.
    pub(crate) async fn stop(self) {
        within(self.door.stop()).await;
        within(self.running.stop()).await.expect("a clean stop");
    }
}

/// Waits, but not forever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("an answer in time")
}

/// One packet from the server.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) header: ReplyHeader,
    pub(crate) body: Bytes,
}

impl Packet {
    /// The body as the response to an operation.
    #[track_caller]
    pub(crate) fn response(mut self, op: i32) -> Response {
        let response = Response::decode(op, &mut self.body).expect("a response");
        assert!(self.body.is_empty(), "bytes after the response: {:?}", self.body);
        response
    }

    /// The watch event that it is: zxid, type and path.
    #[track_caller]
    pub(crate) fn event(mut self) -> (i64, i32, String) {
        assert_eq!(self.header.xid, jute::xid::WATCH_EVENT, "not an event: {:?}", self.header);
        let event = WatcherEvent::decode(&mut self.body).expect("an event");
        assert_eq!((self.header.err, event.state), (0, jute::STATE_SYNC_CONNECTED));
        (self.header.zxid, event.event_type, event.path.to_string())
    }

    /// Asserts that it is an error: a header and nothing else.
    #[track_caller]
    pub(crate) fn expect_error(&self, code: i32) {
        assert_eq!((self.header.err, self.body.len()), (code, 0), "{:?}", self.header);
    }

    /// Asserts that it is no error.
    #[track_caller]
    pub(crate) fn expect_ok(self) -> Packet {
        assert_eq!(self.header.err, 0, "{:?}", self.header);
        self
    }
}

/// A client that numbers its requests from 1.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) session: ConnectResponse,
    next_xid: i32,
}

impl Client {
    /// Opens a session.
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let client = Client::connect_with(address, &connect_request()).await.expect("a session");
        assert_ne!(client.session.session_id, 0);
        client
    }

    /// Sends a connect request; `None` if the server drops the socket without an answer.
    pub(crate) async fn connect_with(address: SocketAddr, request: &ConnectRequest) -> Option<Client> {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| request.encode(out));
        stream.write_all(&out).await.expect("a write");
        let mut frame = read_frame(&mut stream).await?;
        let session = ConnectResponse::decode(&mut frame).expect("a connect response");
        assert!(frame.is_empty());
        Some(Client { stream, session, next_xid: 1 })
    }

    /// Attaches a new connection to this client's session.
    pub(crate) async fn again(&self, address: SocketAddr, last_zxid_seen: i64) -> Option<Client> {
        let request = ConnectRequest {
            session_id: self.session.session_id,
            password: self.session.password.clone(),
            last_zxid_seen,
            ..connect_request()
        };
        Client::connect_with(address, &request).await
    }

    /// Sends a request with the next xid and returns that.
    pub(crate) async fn send(&mut self, request: &Request) -> i32 {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.send_as(xid, request).await;
        xid
    }

    /// Sends a request with this xid.
    pub(crate) async fn send_as(&mut self, xid: i32, request: &Request) {
        let mut body = BytesMut::new();
        request.encode(&mut body);
        self.send_raw(xid, request.op_code().code(), &body).await;
    }

    /// Sends a header and any bytes.
    pub(crate) async fn send_raw(&mut self, xid: i32, op: i32, body: &[u8]) {
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| {
            RequestHeader { xid, op }.encode(out);
            out.extend_from_slice(body);
        });
        self.stream.write_all(&out).await.expect("a write");
    }

    /// The next packet; `None` if the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        let mut frame = read_frame(&mut self.stream).await?;
        let header = ReplyHeader::decode(&mut frame).expect("a reply header");
        Some(Packet { header, body: frame })
    }

    /// The next packet, which must come.
    pub(crate) async fn packet(&mut self) -> Packet {
        self.next().await.expect("a packet, not the end")
    }

    /// The next packet, which must be an event: zxid, type and path.
    pub(crate) async fn event(&mut self) -> (i64, i32, String) {
        self.packet().await.event()
    }

    /// Sends a request and returns its answer, which must be the next packet.
    pub(crate) async fn call(&mut self, request: Request) -> Packet {
        let xid = self.send(&request).await;
        let packet = self.packet().await;
        assert_eq!(packet.header.xid, xid, "{packet:?}");
        packet
    }

    /// Asserts that the server has closed the connection.
    pub(crate) async fn expect_end(&mut self) {
        if let Some(packet) = self.next().await {
            panic!("the connection goes on: {packet:?}");
        }
    }

    /// Creates a znode and returns its path.
    pub(crate) async fn create(&mut self, path: &str, flags: i32) -> String {
        let packet = self.call(create(path, b"data", flags)).await.expect_ok();
        match packet.response(1) {
            Response::Create(response) => response.path.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Sets data and returns the stat.
    pub(crate) async fn set(&mut self, path: &str, data: &'static [u8]) -> Stat {
        match self.call(set_data(path, data, -1)).await.expect_ok().response(5) {
            Response::SetData(response) => response.stat,
            other => panic!("{other:?}"),
        }
    }

    /// A znode's stat.
    pub(crate) async fn stat(&mut self, path: &str) -> Stat {
        match self.call(exists(path, false)).await.expect_ok().response(3) {
            Response::Exists(response) => response.stat,
            other => panic!("{other:?}"),
        }
    }

    /// Adds an identity.
    pub(crate) async fn auth(&mut self, scheme: &str, proof: &'static str) -> Packet {
        let packet = jute::AuthPacket {
            auth_type: 0,
            scheme: scheme.into(),
            auth: Some(Bytes::from_static(proof.as_bytes())),
        };
        self.send_as(jute::xid::AUTH, &Request::Auth(packet)).await;
        self.packet().await
    }

    /// Ends the session and the connection.
    pub(crate) async fn close(mut self) {
        self.call(Request::CloseSession).await.expect_ok();
        self.expect_end().await;
    }
}

/// What a client sends that wants a new session of ten seconds.
pub(crate) fn connect_request() -> ConnectRequest {
    ConnectRequest {
        timeout_ms: 10_000,
        password: Some(Bytes::from_static(&[0; 16])),
        read_only: Some(false),
        ..ConnectRequest::default()
    }
}

/// Reads one frame; `None` at the end of the stream.
pub(crate) async fn read_frame(stream: &mut TcpStream) -> Option<Bytes> {
    let mut length = [0; 4];
    let read = within(stream.read_exact(&mut length)).await;
    if read.is_err() {
        return None;
    }
    let mut frame = vec![0; (&length[..]).get_i32() as usize];
    within(stream.read_exact(&mut frame)).await.expect("a whole frame");
    Some(frame.into())
}

/// Everything that the server sends until it closes.
pub(crate) async fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("a write");
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.expect("an answer");
    String::from_utf8(answer).expect("text")
}

/// `world:anyone:cdrwa`.
pub(crate) fn open_acl() -> Vec<Acl> {
    acl(31, "world", "anyone")
}

/// An ACL of one entry.
pub(crate) fn acl(perms: i32, scheme: &str, id: &str) -> Vec<Acl> {
    vec![Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }]
}

pub(crate) fn create_request(path: &str, data: &'static [u8], flags: i32) -> CreateRequest {
    CreateRequest { path: path.into(), data: Some(Bytes::from_static(data)), acl: open_acl(), flags }
}

pub(crate) fn create(path: &str, data: &'static [u8], flags: i32) -> Request {
    Request::Create(create_request(path, data, flags))
}

pub(crate) fn delete(path: &str, version: i32) -> Request {
    Request::Delete(PathVersionRequest { path: path.into(), version })
}

pub(crate) fn set_data(path: &str, data: &'static [u8], version: i32) -> Request {
    Request::SetData(SetDataRequest { path: path.into(), data: Some(Bytes::from_static(data)), version })
}

pub(crate) fn exists(path: &str, watch: bool) -> Request {
    Request::Exists(PathWatchRequest { path: path.into(), watch })
}

pub(crate) fn get_data(path: &str, watch: bool) -> Request {
    Request::GetData(PathWatchRequest { path: path.into(), watch })
}

pub(crate) fn get_children(path: &str, watch: bool) -> Request {
    Request::GetChildren(PathWatchRequest { path: path.into(), watch })
}

/// addWatch: 0 is persistent, 1 recursive.
pub(crate) fn add(path: &str, mode: i32) -> Request {
    Request::AddWatch(jute::AddWatchRequest { path: path.into(), mode })
}
