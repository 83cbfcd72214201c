//! Owns the comparison with the crate zookeeper-client: its client talks over a socket to a server that knows nothing
//! but this codec. Every frame it sends must decode without a rest and encode to the same bytes again; it must
//! understand what it is answered.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jute::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use zookeeper_client as zk;

const SESSION: i64 = 0x0100_0000_0000_0042;
const TIMEOUT_MS: i32 = 60_000;
/// A sync of this path makes the server drop the connection.
const DROP: &str = "/drop";

fn password() -> Bytes {
    Bytes::from_static(b"sixteen bytes ok")
}

fn stat() -> Stat {
    Stat {
        czxid: 1,
        mzxid: 2,
        ctime: 3,
        mtime: 4,
        version: 5,
        cversion: 6,
        aversion: 7,
        ephemeral_owner: 8,
        data_length: 9,
        num_children: 10,
        pzxid: 11,
    }
}

fn assert_stat(got: &zk::Stat) {
    let Stat { czxid, mzxid, ctime, mtime, version, cversion, aversion, .. } = stat();
    assert_eq!((got.czxid, got.mzxid, got.ctime, got.mtime), (czxid, mzxid, ctime, mtime));
    assert_eq!((got.version, got.cversion, got.aversion), (version, cversion, aversion));
    assert_eq!((got.ephemeral_owner, got.data_length, got.num_children, got.pzxid), (8, 9, 10, 11));
}

fn open_acl() -> Vec<Acl> {
    vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } }]
}

/// The answer to a request, or the error.
fn answer(request: &Request) -> Result<Response, ErrorCode> {
    let path = |path: &Text| PathResponse { path: path.clone() };
    let path_stat = |path: &Text| PathStatResponse { path: path.clone(), stat: stat() };
    let children = vec![Text::from("one"), Text::from("zwei-ü")];
    Ok(match request {
        Request::Exists(request) if request.path == "/missing" => return Err(ErrorCode::NoNode),
        Request::Delete(_) => Response::Delete,
        Request::Ping => Response::Ping,
        Request::CloseSession => Response::CloseSession,
        Request::Create(request) => Response::Create(path(&request.path)),
        Request::Create2(request) if request.flags & 2 != 0 => {
            let path = Text::from(format!("{}0000000012", request.path));
            Response::Create2(PathStatResponse { path, stat: stat() })
        }
        Request::Create2(request) => Response::Create2(path_stat(&request.path)),
        Request::CreateContainer(request) => Response::CreateContainer(path_stat(&request.path)),
        Request::CreateTtl(request) => Response::CreateTtl(path_stat(&request.path)),
        Request::Exists(_) => Response::Exists(StatResponse { stat: stat() }),
        Request::GetData(_) => {
            Response::GetData(DataResponse { data: Some(Bytes::from_static(b"data")), stat: stat() })
        }
        Request::SetData(_) => Response::SetData(StatResponse { stat: stat() }),
        Request::GetAcl(_) => Response::GetAcl(AclResponse { acl: open_acl(), stat: stat() }),
        Request::SetAcl(_) => Response::SetAcl(StatResponse { stat: stat() }),
        Request::GetChildren(_) => Response::GetChildren(ChildrenResponse { children }),
        Request::GetChildren2(_) => Response::GetChildren2(ChildrenStatResponse { children, stat: stat() }),
        Request::GetAllChildrenNumber(_) => {
            Response::GetAllChildrenNumber(TotalNumberResponse { total_number: 77 })
        }
        Request::GetEphemerals(_) => {
            Response::GetEphemerals(EphemeralsResponse { ephemerals: vec!["/a/e".into()] })
        }
        Request::Sync(request) => Response::Sync(path(&request.path)),
        Request::Multi(request) if request.ops.len() == 2 => {
            Response::Multi(MultiResponse::failed(2, 1, ErrorCode::BadVersion.code()))
        }
        Request::Multi(_) => {
            let create = PathStatResponse { path: "/m".into(), stat: stat() };
            let results = vec![
                MultiResult::Check,
                MultiResult::Create2(create),
                MultiResult::SetData(stat()),
                MultiResult::Delete,
            ];
            Response::Multi(MultiResponse { results })
        }
        Request::MultiRead(_) => {
            let data = DataResponse { data: Some(Bytes::new()), stat: stat() };
            let results = vec![
                MultiResult::GetData(data),
                MultiResult::GetChildren(ChildrenResponse { children }),
                MultiResult::Error(ErrorCode::NoNode.code()),
            ];
            Response::MultiRead(MultiResponse { results })
        }
        Request::RemoveWatches(_) => Response::RemoveWatches,
        Request::AddWatch(_) => Response::AddWatch(ErrorResponse { err: 0 }),
        Request::SetWatches(_) => Response::SetWatches,
        Request::SetWatches2(_) => Response::SetWatches2,
        Request::Auth(_) => Response::Auth,
        Request::WhoAmI => {
            let info = ClientInfo { auth_scheme: "digest".into(), user: "ann".into() };
            Response::WhoAmI(WhoAmIResponse { client_info: vec![info] })
        }
        Request::Reconfig(_) => {
            Response::Reconfig(DataResponse { data: Some(Bytes::from_static(b"version=1")), stat: stat() })
        }
        Request::DeleteContainer(_) | Request::Check(_) | Request::CheckWatches(_) | Request::Sasl(_) => {
            return Err(ErrorCode::Unimplemented);
        }
    })
}

async fn read_frame(socket: &mut TcpStream) -> Option<Bytes> {
    let length = socket.read_i32().await.ok()?;
    let mut frame = vec![0; usize::try_from(length).expect("the client doesn't lie")];
    socket.read_exact(&mut frame).await.ok()?;
    Some(frame.into())
}

async fn send(socket: &mut TcpStream, write: impl FnOnce(&mut BytesMut)) {
    let mut out = BytesMut::new();
    put_frame(&mut out, write);
    // A client that is gone reads nothing, and the test has other ways to notice.
    drop(socket.write_all(&out).await);
}

/// The first frame of a connection.
async fn accept(socket: &mut TcpStream) -> ConnectRequest {
    let frame = read_frame(socket).await.expect("a client begins with a connect");
    let mut input = frame.clone();
    let connect = ConnectRequest::decode(&mut input).expect("it decodes");
    let mut again = BytesMut::new();
    connect.encode(&mut again);
    assert_eq!((again.freeze(), input.is_empty()), (frame, true));
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: TIMEOUT_MS,
        session_id: SESSION,
        password: Some(password()),
        read_only: connect.read_only.map(|_| false),
    };
    send(socket, |out| response.encode(out)).await;
    connect
}

/// Answers one connection until it ends, and reports its requests.
async fn serve(mut socket: TcpStream, requests: &mpsc::UnboundedSender<Request>) {
    let mut zxid = 100;
    while let Some(frame) = read_frame(&mut socket).await {
        let mut input = frame.clone();
        let header = RequestHeader::decode(&mut input).expect("a header");
        let request = Request::decode(header.op, &mut input).expect("a request");
        assert!(input.is_empty(), "{request:?} leaves {} bytes", input.len());
        let mut again = BytesMut::new();
        header.encode(&mut again);
        request.encode(&mut again);
        assert_eq!(again.freeze(), frame, "{request:?}");
        match &request {
            Request::Ping => assert_eq!(header.xid, xid::PING),
            // Java's client sends xid::AUTH; this one numbers auth packets as any request.
            Request::Auth(_) => {}
            Request::SetWatches(_) | Request::SetWatches2(_) => assert_eq!(header.xid, xid::SET_WATCHES),
            _ => assert!(header.xid > 0),
        }
        let dropped = matches!(&request, Request::Sync(sync) if sync.path == DROP);
        let watched = match &request {
            Request::GetData(read) if read.watch => Some(read.path.clone()),
            _ => None,
        };
        let answer = answer(&request);
        // The test may have seen enough and be gone.
        drop(requests.send(request));
        if dropped {
            return;
        }
        zxid += 1;
        send(&mut socket, |out| match answer {
            Ok(response) => {
                ReplyHeader { xid: header.xid, zxid, err: 0 }.encode(out);
                response.encode(out);
            }
            Err(error) => ReplyHeader { xid: header.xid, zxid, err: error.code() }.encode(out),
        })
        .await;
        if let Some(path) = watched {
            send(&mut socket, |out| {
                ReplyHeader { xid: xid::WATCH_EVENT, zxid: zxid + 1, err: 0 }.encode(out);
                let event_type = EventType::NodeDataChanged.code();
                WatcherEvent { event_type, state: STATE_SYNC_CONNECTED, path }.encode(out);
            })
            .await;
        }
    }
}

/// Starts the server; gives its address, its connects and its requests.
async fn start() -> (String, mpsc::UnboundedReceiver<ConnectRequest>, mpsc::UnboundedReceiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (connects, all_connects) = mpsc::unbounded_channel();
    let (requests, all_requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            drop(connects.send(accept(&mut socket).await));
            serve(socket, &requests).await;
        }
    });
    (address, all_connects, all_requests)
}

fn connector() -> zk::Connector {
    zk::Client::connector().with_session_timeout(Duration::from_millis(TIMEOUT_MS as u64))
}

/// The next request that isn't a ping.
async fn next(requests: &mut mpsc::UnboundedReceiver<Request>) -> Request {
    loop {
        match requests.recv().await.expect("the server runs") {
            Request::Ping => {}
            request => return request,
        }
    }
}

fn create_request(path: &str, data: &'static [u8], flags: i32) -> CreateRequest {
    CreateRequest { path: path.into(), data: Some(Bytes::from_static(data)), acl: open_acl(), flags }
}

fn read(path: &str, watch: bool) -> PathWatchRequest {
    PathWatchRequest { path: path.into(), watch }
}

#[tokio::test]
async fn a_connect_is_read_and_answered() {
    let (address, mut connects, _requests) = start().await;
    let client = connector().with_readonly(true).connect(&address).await.expect("connected");
    assert_eq!(client.session_id().0, SESSION);
    assert_eq!(client.session_timeout(), Duration::from_millis(TIMEOUT_MS as u64));
    let connect = connects.recv().await.expect("a connect");
    assert_eq!((connect.protocol_version, connect.timeout_ms, connect.session_id), (0, TIMEOUT_MS, 0));
    assert_eq!((connect.last_zxid_seen, connect.read_only), (0, Some(true)));
}

#[tokio::test]
async fn every_single_request_is_understood_both_ways() {
    let (address, _connects, mut requests) = start().await;
    let client = connector().connect(&address).await.expect("connected");
    let anyone = || zk::Acls::anyone_all();

    let (stat, _) =
        client.create("/p", b"1", &zk::CreateMode::Persistent.with_acls(anyone())).await.expect("created");
    assert_stat(&stat);
    assert_eq!(next(&mut requests).await, Request::Create2(create_request("/p", b"1", 0)));

    let options = zk::CreateMode::EphemeralSequential.with_acls(anyone());
    let (_, sequence) = client.create("/s-", b"", &options).await.expect("created");
    assert_eq!(sequence.into_i64(), 12);
    assert_eq!(next(&mut requests).await, Request::Create2(create_request("/s-", b"", 3)));

    client.create("/c", b"", &zk::CreateMode::Container.with_acls(anyone())).await.expect("created");
    assert_eq!(next(&mut requests).await, Request::CreateContainer(create_request("/c", b"", 4)));

    let options = zk::CreateMode::Persistent.with_acls(anyone()).with_ttl(Duration::from_secs(3));
    client.create("/t", b"", &options).await.expect("created");
    let CreateRequest { path, data, acl, flags } = create_request("/t", b"", 5);
    assert_eq!(
        next(&mut requests).await,
        Request::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl: 3000 })
    );

    client.delete("/p", Some(4)).await.expect("deleted");
    let delete = PathVersionRequest { path: "/p".into(), version: 4 };
    assert_eq!(next(&mut requests).await, Request::Delete(delete));

    let (data, stat) = client.get_data("/p").await.expect("read");
    assert_eq!(data, b"data");
    assert_stat(&stat);
    assert_eq!(next(&mut requests).await, Request::GetData(read("/p", false)));

    assert!(client.check_stat("/p").await.expect("read").is_some());
    assert_eq!(next(&mut requests).await, Request::Exists(read("/p", false)));
    assert!(client.check_stat("/missing").await.expect("NoNode is an answer").is_none());
    assert_eq!(next(&mut requests).await, Request::Exists(read("/missing", false)));

    assert_stat(&client.set_data("/p", b"2", None).await.expect("set"));
    let set = SetDataRequest { path: "/p".into(), data: Some(Bytes::from_static(b"2")), version: -1 };
    assert_eq!(next(&mut requests).await, Request::SetData(set));

    assert_eq!(client.list_children("/p").await.expect("read"), ["one", "zwei-ü"]);
    assert_eq!(next(&mut requests).await, Request::GetChildren(read("/p", false)));
    let (children, stat) = client.get_children("/p").await.expect("read");
    assert_eq!(children, ["one", "zwei-ü"]);
    assert_stat(&stat);
    assert_eq!(next(&mut requests).await, Request::GetChildren2(read("/p", false)));

    assert_eq!(client.count_descendants_number("/p").await.expect("read"), 77);
    assert_eq!(next(&mut requests).await, Request::GetAllChildrenNumber(PathRequest { path: "/p".into() }));
    assert_eq!(client.list_ephemerals("/a").await.expect("read"), ["/a/e"]);
    let ephemerals = GetEphemeralsRequest { prefix_path: Some("/a".into()) };
    assert_eq!(next(&mut requests).await, Request::GetEphemerals(ephemerals));

    let (acl, stat) = client.get_acl("/p").await.expect("read");
    assert_eq!(acl, [zk::Acl::new(zk::Permission::ALL, zk::AuthId::anyone())]);
    assert_stat(&stat);
    assert_eq!(next(&mut requests).await, Request::GetAcl(PathRequest { path: "/p".into() }));
    assert_stat(&client.set_acl("/p", &acl, Some(3)).await.expect("set"));
    let set_acl = SetAclRequest { path: "/p".into(), acl: open_acl(), version: 3 };
    assert_eq!(next(&mut requests).await, Request::SetAcl(set_acl));

    client.sync("/p").await.expect("synced");
    assert_eq!(next(&mut requests).await, Request::Sync(PathRequest { path: "/p".into() }));

    client.auth("digest", b"ann:secret").await.expect("proven");
    let auth =
        AuthPacket { auth_type: 0, scheme: "digest".into(), auth: Some(Bytes::from_static(b"ann:secret")) };
    assert_eq!(next(&mut requests).await, Request::Auth(auth));
    assert_eq!(client.list_auth_users().await.expect("read"), [zk::AuthUser::new("digest", "ann")]);
    assert_eq!(next(&mut requests).await, Request::WhoAmI);

    drop(client);
    assert_eq!(next(&mut requests).await, Request::CloseSession);
}

#[tokio::test]
async fn multis_are_understood_both_ways() {
    let (address, _connects, mut requests) = start().await;
    let client = connector().connect(&address).await.expect("connected");

    let mut writer = client.new_multi_writer();
    writer.add_check_version("/m", 1).expect("a path");
    let options = zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());
    writer.add_create("/m", b"1", &options).expect("a path");
    writer.add_set_data("/m", b"2", Some(5)).expect("a path");
    writer.add_delete("/m", None).expect("a path");
    assert_eq!(writer.commit().await.expect("committed").len(), 4);
    let version = |path: &str, version| PathVersionRequest { path: path.into(), version };
    let set = SetDataRequest { path: "/m".into(), data: Some(Bytes::from_static(b"2")), version: 5 };
    let ops = vec![
        MultiOp::Check(version("/m", 1)),
        MultiOp::Create2(create_request("/m", b"1", 1)),
        MultiOp::SetData(set),
        MultiOp::Delete(version("/m", -1)),
    ];
    assert_eq!(next(&mut requests).await, Request::Multi(MultiRequest { ops }));

    let mut writer = client.new_multi_writer();
    writer.add_delete("/a", None).expect("a path");
    writer.add_delete("/b", Some(9)).expect("a path");
    let failure = writer.commit().await.expect_err("the second op fails");
    assert_eq!(failure, zk::MultiWriteError::OperationFailed { index: 1, source: zk::Error::BadVersion });
    next(&mut requests).await;

    let mut reader = client.new_multi_reader();
    reader.add_get_data("/a").expect("a path");
    reader.add_get_children("/b").expect("a path");
    reader.add_get_data("/gone").expect("a path");
    let results = reader.commit().await.expect("read");
    assert!(matches!(&results[0], zk::MultiReadResult::Data { data, .. } if data.is_empty()));
    assert!(matches!(&results[1], zk::MultiReadResult::Children { children } if children.len() == 2));
    assert!(matches!(&results[2], zk::MultiReadResult::Error { err: zk::Error::NoNode }));
    let ops = vec![
        MultiOp::GetData(read("/a", false)),
        MultiOp::GetChildren(read("/b", false)),
        MultiOp::GetData(read("/gone", false)),
    ];
    assert_eq!(next(&mut requests).await, Request::MultiRead(MultiRequest { ops }));
}

#[tokio::test]
async fn watches_are_understood_and_set_again_after_a_reconnect() {
    let (address, mut connects, mut requests) = start().await;
    let client = connector().connect(&address).await.expect("connected");
    connects.recv().await.expect("the first connect");

    let (_, _, watcher) = client.get_and_watch_data("/w").await.expect("watched");
    assert_eq!(next(&mut requests).await, Request::GetData(read("/w", true)));
    let event = watcher.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (zk::EventType::NodeDataChanged, "/w"));

    let (_, child) = client.list_and_watch_children("/child").await.expect("watched");
    let (_, exist) = client.check_and_watch_stat("/missing").await.expect("watched");
    let recursive = client.watch("/r", zk::AddWatchMode::PersistentRecursive).await.expect("watched");
    let persistent = client.watch("/pw", zk::AddWatchMode::Persistent).await.expect("watched");
    assert_eq!(next(&mut requests).await, Request::GetChildren(read("/child", true)));
    assert_eq!(next(&mut requests).await, Request::Exists(read("/missing", true)));
    let add = |path: &str, mode| Request::AddWatch(AddWatchRequest { path: path.into(), mode });
    assert_eq!(next(&mut requests).await, add("/r", AddWatchMode::PersistentRecursive.code()));
    assert_eq!(next(&mut requests).await, add("/pw", AddWatchMode::Persistent.code()));

    client.sync(DROP).await.expect_err("the server drops the connection");
    next(&mut requests).await;
    let again = connects.recv().await.expect("the client comes back");
    assert_eq!((again.session_id, again.password), (SESSION, Some(password())));
    assert!(again.last_zxid_seen > 0);
    // The client has setWatches2 too, but never sends it: it forgets its persistent watches on a reconnect.
    let first = next(&mut requests).await;
    let Request::SetWatches(set) = first else { panic!("the watches come first, not {first:?}") };
    assert_eq!(set.relative_zxid, again.last_zxid_seen);
    assert_eq!((set.exist_watches, set.child_watches), (vec!["/missing".into()], vec!["/child".into()]));
    assert!(set.data_watches.is_empty());

    drop(child);
    let removed = next(&mut requests).await;
    let remove = PathWatcherTypeRequest { path: "/child".into(), watcher_type: WatcherType::Any.code() };
    assert_eq!(removed, Request::RemoveWatches(remove));
    drop((exist, recursive, persistent));
}
