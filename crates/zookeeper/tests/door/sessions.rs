//! Connecting, coming back, moving and ending.
use crate::harness::{
    Client, add, connect_request, create, delete, exists, get_children, node, node_with, read_frame, within,
};
use bytes::{Bytes, BytesMut};
use jute::{ConnectRequest, MultiOp, MultiRequest, Request, Wire, put_frame};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn zk_3_22_the_read_only_byte_is_echoed_only_if_it_was_sent() {
    let node = node().await;
    let with = Client::connect_with(node.address, &connect_request()).await.expect("a session");
    assert_eq!(with.session.read_only, Some(false));
    let old = ConnectRequest { read_only: None, ..connect_request() };
    let without = Client::connect_with(node.address, &old).await.expect("a session");
    assert_eq!(without.session.read_only, None);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_21_ids_name_their_server_and_timeouts_are_clamped() {
    let node = node_with(|_, ensemble| {
        ensemble.session_timeout_min_ms = 4_000;
        ensemble.session_timeout_max_ms = 40_000;
    })
    .await;
    for (asked, given) in [(0, 4_000), (-7, 4_000), (12_345, 12_345), (i32::MAX, 40_000)] {
        let request = ConnectRequest { timeout_ms: asked, ..connect_request() };
        let client = Client::connect_with(node.address, &request).await.expect("a session");
        assert_eq!(client.session.timeout_ms, given);
        assert_eq!(client.session.session_id >> 56, 1);
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_17_a_client_that_has_seen_more_is_dropped_without_an_answer() {
    let node = node().await;
    let mut client = node.client().await;
    let zxid = client.call(create("/a", b"", 0)).await.expect_ok().header.zxid;
    assert!(client.again(node.address, zxid + 1).await.is_none());
    let ahead = ConnectRequest { last_zxid_seen: i64::MAX, ..connect_request() };
    assert!(Client::connect_with(node.address, &ahead).await.is_none());
    assert!(client.again(node.address, zxid).await.is_some());
    node.stop().await;
}

#[tokio::test]
async fn zk_3_18_expired_sessions_and_bad_passwords_get_zeros_and_the_end() {
    let node = node().await;
    let client = node.client().await;
    let id = client.session.session_id;
    let right = client.session.password.clone().expect("a password");
    assert_eq!(right.len(), 16);
    let wrong = [Some(Bytes::from_static(&[0; 16])), Some(right.slice(..15)), Some(Bytes::new()), None];
    let unknown = [(id + 1, Some(right.clone())), (-1, Some(right))];
    for (session_id, password) in wrong.into_iter().map(|password| (id, password)).chain(unknown) {
        let request = ConnectRequest { session_id, password, ..connect_request() };
        let mut refused = Client::connect_with(node.address, &request).await.expect("an answer");
        let answer = &refused.session;
        assert_eq!((answer.timeout_ms, answer.session_id), (0, 0));
        assert_eq!(answer.password.as_deref(), Some(&[0; 16][..]));
        refused.expect_end().await;
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_19_coming_back_moves_the_session_and_closes_the_old_connection() {
    let node = node().await;
    let mut old = node.client().await;
    old.create("/e", 1).await;
    let mut new = old.again(node.address, 0).await.expect("the session");
    assert_eq!(new.session.session_id, old.session.session_id);
    assert_eq!(new.session.password, old.session.password);
    old.expect_end().await;
    assert_eq!(new.stat("/e").await.ephemeral_owner, new.session.session_id);
    // The end of the old connection takes nothing from the new one.
    new.create("/e2", 1).await;
    new.close().await;
    node.stop().await;
}

#[tokio::test]
async fn zk_3_20_passwords_cannot_be_guessed_from_the_id() {
    let node = node().await;
    let (one, two) = (node.client().await, node.client().await);
    assert_ne!(one.session.session_id, two.session.session_id);
    assert_ne!(one.session.password, two.session.password);
    node.stop().await;
}

#[tokio::test]
async fn a_session_outlives_its_connection_until_its_timeout() {
    let node = node().await;
    let mut watcher = node.client().await;
    let short = ConnectRequest { timeout_ms: 1_000, ..connect_request() };
    let mut client = Client::connect_with(node.address, &short).await.expect("a session");
    client.create("/e", 1).await;
    watcher.call(exists("/e", true)).await.expect_ok();
    drop(client.stream);
    let (_, kind, path) = watcher.event().await;
    assert_eq!((kind, path.as_str()), (2, "/e"));
    node.stop().await;
}

#[tokio::test]
async fn an_expired_session_loses_its_connection_and_pings_keep_one_alive() {
    let node = node().await;
    let short = ConnectRequest { timeout_ms: 1_500, ..connect_request() };
    let mut silent = Client::connect_with(node.address, &short).await.expect("a session");
    let mut lively = Client::connect_with(node.address, &short).await.expect("a session");
    let pinging = async {
        let mut pulse = tokio::time::interval(Duration::from_millis(100));
        loop {
            pulse.tick().await;
            lively.send_as(-2, &Request::Ping).await;
            assert_eq!(lively.packet().await.expect_ok().header.xid, -2);
        }
    };
    tokio::select! {
        () = silent.expect_end() => {}
        () = pinging => {}
    }
    lively.create("/still-here", 1).await;
    assert_eq!(silent.again(node.address, 0).await.expect("an answer").session.session_id, 0);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_24_all_ephemerals_go_in_the_one_transaction_of_close_session() {
    let node = node().await;
    let mut watcher = node.client().await;
    let mut client = node.client().await;
    client.create("/p", 0).await;
    client.create("/p/a", 1).await;
    watcher.call(add("/p", 1)).await.expect_ok();
    // The second ephemeral is still on its way when the session closes.
    client.send(&create("/p/b", b"", 1)).await;
    client.send(&Request::CloseSession).await;
    let created = client.packet().await.expect_ok().header.zxid;
    let closed = client.packet().await.expect_ok().header.zxid;
    client.expect_end().await;
    assert_eq!(watcher.event().await, (created, 1, "/p/b".to_owned()));
    let mut deleted = [watcher.event().await, watcher.event().await];
    deleted.sort();
    assert_eq!(deleted, [(closed, 2, "/p/a".to_owned()), (closed, 2, "/p/b".to_owned())]);
    assert_eq!(watcher.stat("/p").await.num_children, 0);
    assert_eq!(watcher.stat("/p").await.pzxid, closed);
    assert_eq!(client.again(node.address, 0).await.expect("an answer").session.session_id, 0);
    node.stop().await;
}

#[tokio::test]
async fn requests_after_close_session_are_not_looked_at() {
    let node = node().await;
    let mut client = node.client().await;
    client.send(&Request::CloseSession).await;
    client.send(&create("/late", b"", 0)).await;
    client.packet().await.expect_ok();
    client.expect_end().await;
    node.client().await.call(exists("/late", false)).await.expect_error(-101);
    node.stop().await;
}

#[tokio::test]
async fn requests_may_follow_the_connect_request_at_once() {
    let node = node().await;
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    let mut out = BytesMut::new();
    put_frame(&mut out, |out| connect_request().encode(out));
    put_frame(&mut out, |out| {
        jute::RequestHeader { xid: 1, op: 8 }.encode(out);
        jute::PathWatchRequest { path: "/".into(), watch: false }.encode(out);
    });
    stream.write_all(&out).await.expect("a write");
    read_frame(&mut stream).await.expect("a session");
    let mut answer = read_frame(&mut stream).await.expect("an answer");
    assert_eq!(jute::ReplyHeader::decode(&mut answer).expect("a header").xid, 1);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_40_a_stopped_door_refuses_and_its_clients_are_let_go() {
    let node = node().await;
    let address = node.address;
    let mut client = node.client().await;
    client.create("/a", 0).await;
    within(node.door.stop()).await;
    client.expect_end().await;
    assert!(TcpStream::connect(address).await.is_err());
    within(node.running.stop()).await.expect("a clean stop");
}

#[tokio::test]
async fn zk_3_40_a_port_is_closed_until_it_is_served() {
    let config = zookeeper::ZooKeeperConfig {
        client_port: 0,
        client_port_address: Some("localhost".to_owned()),
        ..Default::default()
    };
    let port = zookeeper::bind(&config).await.expect("a free port");
    let address = port.local_addr().expect("an address");
    let refused = tokio::net::TcpStream::connect(address).await.expect_err("nobody is served yet");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ensemble = ensemble::EnsembleConfig::new(folder.path().to_owned(), 1, uuid::Uuid::from_u128(1));
    let running =
        ensemble::RunningEnsemble::start(base::World::system(), ensemble, None).expect("the ensemble starts");
    within(running.ensemble().serving()).await.expect("the ensemble serves");
    let door = zookeeper::serve(port, config, running.ensemble().clone()).expect("the door serves");
    assert_eq!(door.local_addr(), address);
    Client::connect(address).await.close().await;
    within(door.stop()).await;
    within(running.stop()).await.expect("a clean stop");
}

#[tokio::test]
async fn sessions_and_znodes_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || async {
        let config = ensemble::EnsembleConfig::new(folder.path().to_owned(), 1, uuid::Uuid::from_u128(1));
        let running = ensemble::RunningEnsemble::start(base::World::system(), config, None)
            .expect("the ensemble starts");
        within(running.ensemble().serving()).await.expect("the ensemble serves");
        let config = zookeeper::ZooKeeperConfig {
            client_port: 0,
            client_port_address: Some("localhost".to_owned()),
            ..Default::default()
        };
        let listener = zookeeper::bind(&config).await.expect("a free port");
        let door = zookeeper::serve(listener, config, running.ensemble().clone()).expect("the door serves");
        (running, door)
    };
    let (running, door) = start().await;
    let mut client = Client::connect(door.local_addr()).await;
    client.create("/p", 0).await;
    client.create("/e", 1).await;
    let ops = vec![MultiOp::Delete(jute::PathVersionRequest { path: "/p".into(), version: 0 })];
    client.call(Request::Multi(MultiRequest { ops })).await.expect_ok();
    let seen = client.stat("/e").await;
    within(door.stop()).await;
    within(running.stop()).await.expect("a clean stop");

    let (running, door) = start().await;
    let mut client = client.again(door.local_addr(), seen.czxid).await.expect("the session");
    assert_ne!(client.session.session_id, 0);
    assert_eq!(client.stat("/e").await, seen);
    client.call(exists("/p", false)).await.expect_error(-101);
    client.call(get_children("/", false)).await.expect_ok();
    client.call(delete("/e", 0)).await.expect_ok();
    client.close().await;
    within(door.stop()).await;
    within(running.stop()).await.expect("a clean stop");
}
