//! Who is told what, in which order.
use crate::harness::{
    Client, acl, create, create_request, delete, exists, get_children, get_data, node, open_acl, set_data,
};
use jute::{
    AddWatchRequest, CreateRequest, PathWatcherTypeRequest, Request, Response, SetAclRequest,
    SetWatches2Request, SetWatchesRequest, Text,
};

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

fn add_watch(path: &str, mode: i32) -> Request {
    Request::AddWatch(AddWatchRequest { path: path.into(), mode })
}

fn check_watches(path: &str, watcher_type: i32) -> Request {
    Request::CheckWatches(PathWatcherTypeRequest { path: path.into(), watcher_type })
}

fn remove_watches(path: &str, watcher_type: i32) -> Request {
    Request::RemoveWatches(PathWatcherTypeRequest { path: path.into(), watcher_type })
}

fn texts(paths: &[&str]) -> Vec<Text> {
    paths.iter().map(|path| Text::from(*path)).collect()
}

/// The next events of a client until the answer to a ping, which comes after all that was there before.
async fn events(client: &mut Client) -> Vec<(i32, String)> {
    client.send_as(-2, &Request::Ping).await;
    let mut events = Vec::new();
    loop {
        let packet = client.packet().await;
        if packet.header.xid == -2 {
            return events;
        }
        let (_, kind, path) = packet.event();
        events.push((kind, path));
    }
}

fn event(kind: i32, path: &str) -> (i32, String) {
    (kind, path.to_owned())
}

#[tokio::test]
async fn zk_3_7_an_event_precedes_the_answer_of_its_cause_and_every_read_of_the_new_state() {
    let node = node().await;
    let mut client = node.client().await;
    let mut other = node.client().await;
    client.create("/a", 0).await;
    client.call(get_data("/a", true)).await.expect_ok();
    let xid = client.send(&set_data("/a", b"x", -1)).await;
    let (zxid, kind, path) = client.event().await;
    let answer = client.packet().await.expect_ok();
    assert_eq!((kind, path.as_str()), (CHANGED, "/a"));
    // zk_3_8: the event's header has the zxid of the transaction.
    assert_eq!((answer.header.xid, answer.header.zxid), (xid, zxid));
    // What another session does is told before this one can read it.
    client.call(get_data("/a", true)).await.expect_ok();
    let changed = other.set("/a", b"y").await.mzxid;
    client.send(&get_data("/a", false)).await;
    assert_eq!(client.event().await, (changed, CHANGED, "/a".to_owned()));
    assert_eq!(client.packet().await.expect_ok().header.zxid, changed);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_9_only_exists_waits_for_a_missing_znode() {
    let node = node().await;
    let mut client = node.client().await;
    client.call(get_data("/d", true)).await.expect_error(-101);
    client.call(get_children("/d", true)).await.expect_error(-101);
    client.create("/d", 0).await;
    client.call(delete("/d", -1)).await.expect_ok();
    client.call(exists("/d", true)).await.expect_error(-101);
    client.send(&create("/d", b"", 0)).await;
    let (_, kind, path) = client.event().await;
    assert_eq!((kind, path.as_str()), (CREATED, "/d"));
    client.packet().await.expect_ok();
    node.stop().await;
}

#[tokio::test]
async fn zk_3_10_one_deletion_is_told_once_then_to_the_parent() {
    let node = node().await;
    let mut client = node.client().await;
    let mut other = node.client().await;
    client.create("/p", 0).await;
    client.create("/p/c", 0).await;
    client.call(get_data("/p/c", true)).await.expect_ok();
    client.call(exists("/p/c", true)).await.expect_ok();
    client.call(get_children("/p/c", true)).await.expect_ok();
    client.call(get_children("/p", true)).await.expect_ok();
    other.call(delete("/p/c", -1)).await.expect_ok();
    assert_eq!(events(&mut client).await, [event(DELETED, "/p/c"), event(CHILDREN, "/p")]);
    // One-shot watches are used up.
    other.create("/p/c", 0).await;
    assert_eq!(events(&mut client).await, []);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_11_persistent_watches_stay_and_recursive_ones_hear_of_no_children_changes() {
    let node = node().await;
    let (mut plain, mut recursive, mut writer) =
        (node.client().await, node.client().await, node.client().await);
    let answer = plain.call(add_watch("/p", 0)).await.expect_ok();
    assert_eq!(answer.response(106), Response::AddWatch(jute::ErrorResponse { err: 0 }));
    recursive.call(add_watch("/p", 1)).await.expect_ok();
    for round in 0..2 {
        writer.create("/p", 0).await;
        writer.create("/p/c", 0).await;
        writer.set("/p/c", b"x").await;
        writer.call(delete("/p/c", -1)).await.expect_ok();
        writer.call(delete("/p", -1)).await.expect_ok();
        let expected =
            [event(CREATED, "/p"), event(CHILDREN, "/p"), event(CHILDREN, "/p"), event(DELETED, "/p")];
        assert_eq!(events(&mut plain).await, expected, "round {round}");
        let expected = [
            event(CREATED, "/p"),
            event(CREATED, "/p/c"),
            event(CHANGED, "/p/c"),
            event(DELETED, "/p/c"),
            event(DELETED, "/p"),
        ];
        assert_eq!(events(&mut recursive).await, expected, "round {round}");
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_12_delivery_is_filtered_by_read_permission_and_uses_the_watch_up() {
    let node = node().await;
    let mut owner = node.client().await;
    let mut watcher = node.client().await;
    owner.auth("digest", "user:secret").await.expect_ok();
    watcher.call(exists("/closed", true)).await.expect_error(-101);
    let closed = CreateRequest { acl: acl(31, "auth", ""), ..create_request("/closed", b"", 0) };
    owner.call(Request::Create(closed)).await.expect_ok();
    assert_eq!(events(&mut watcher).await, []);
    let open = SetAclRequest { path: "/closed".into(), acl: open_acl(), version: -1 };
    owner.call(Request::SetAcl(open)).await.expect_ok();
    owner.set("/closed", b"x").await;
    assert_eq!(events(&mut watcher).await, []);
    watcher.call(exists("/closed", true)).await.expect_ok();
    owner.set("/closed", b"y").await;
    assert_eq!(events(&mut watcher).await, [event(CHANGED, "/closed")]);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_13_set_watches_tells_what_was_missed_and_sets_the_rest() {
    let node = node().await;
    let mut old = node.client().await;
    let mut writer = node.client().await;
    for path in ["/same", "/changed", "/gone", "/kids", "/quiet"] {
        writer.create(path, 0).await;
    }
    let seen = writer.stat("/quiet").await.czxid;
    writer.set("/changed", b"x").await;
    writer.call(delete("/gone", -1)).await.expect_ok();
    writer.create("/kids/k", 0).await;
    writer.create("/came", 0).await;
    let mut client = old.again(node.address, seen).await.expect("the session");
    old.expect_end().await;
    let request = SetWatchesRequest {
        relative_zxid: seen,
        data_watches: texts(&["/same", "/changed", "/gone"]),
        exist_watches: texts(&["/came", "/missing"]),
        child_watches: texts(&["/kids", "/quiet", "/gone"]),
    };
    client.send_as(-8, &Request::SetWatches(request)).await;
    for (kind, path) in [
        (CHANGED, "/changed"),
        (DELETED, "/gone"),
        (CREATED, "/came"),
        (CHILDREN, "/kids"),
        (DELETED, "/gone"),
    ] {
        assert_eq!(client.event().await, (-1, kind, path.to_owned()));
    }
    let answer = client.packet().await.expect_ok();
    assert_eq!((answer.header.xid, answer.body.len()), (-8, 0));
    writer.set("/same", b"x").await;
    writer.create("/missing", 0).await;
    writer.create("/quiet/k", 0).await;
    writer.set("/changed", b"y").await;
    assert_eq!(
        events(&mut client).await,
        [event(CHANGED, "/same"), event(CREATED, "/missing"), event(CHILDREN, "/quiet")]
    );
    node.stop().await;
}

#[tokio::test]
async fn zk_3_13_set_watches_2_sets_persistent_kinds_without_catching_up() {
    let node = node().await;
    let mut writer = node.client().await;
    writer.create("/p", 0).await;
    let mut client = node.client().await;
    let request = SetWatches2Request {
        relative_zxid: 0,
        persistent_watches: texts(&["/p"]),
        persistent_recursive_watches: texts(&["/r"]),
        ..Default::default()
    };
    client.send_as(-8, &Request::SetWatches2(request)).await;
    assert_eq!(client.packet().await.expect_ok().header.xid, -8);
    writer.create("/p/c", 0).await;
    writer.create("/r", 0).await;
    writer.create("/r/c", 0).await;
    assert_eq!(
        events(&mut client).await,
        [event(CHILDREN, "/p"), event(CREATED, "/r"), event(CREATED, "/r/c")]
    );
    node.stop().await;
}

#[tokio::test]
async fn watches_are_checked_and_removed_by_type() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/a", 0).await;
    client.call(check_watches("/a", 3)).await.expect_error(-121);
    client.call(remove_watches("/a", 3)).await.expect_error(-121);
    client.call(get_data("/a", true)).await.expect_ok();
    client.call(get_children("/a", true)).await.expect_ok();
    for present in [1, 2, 3] {
        client.call(check_watches("/a", present)).await.expect_ok();
    }
    client.call(check_watches("/a", 4)).await.expect_error(-121);
    client.call(remove_watches("/a", 2)).await.expect_ok();
    client.call(check_watches("/a", 2)).await.expect_error(-121);
    client.call(add_watch("/a", 0)).await.expect_ok();
    client.call(add_watch("/b", 1)).await.expect_ok();
    client.call(check_watches("/a", 4)).await.expect_ok();
    client.call(check_watches("/b", 5)).await.expect_ok();
    client.call(remove_watches("/b", 3)).await.expect_ok();
    client.call(remove_watches("/a", 3)).await.expect_ok();
    for bad in [0, 6, -1] {
        client.call(check_watches("/a", bad)).await.expect_error(-5);
        client.call(remove_watches("/a", bad)).await.expect_error(-5);
    }
    client.call(add_watch("/a", 2)).await.expect_error(-5);
    let mut writer = node.client().await;
    writer.set("/a", b"x").await;
    writer.create("/b", 0).await;
    assert_eq!(events(&mut client).await, []);
    node.stop().await;
}

#[tokio::test]
async fn watches_end_with_their_connection() {
    let node = node().await;
    let mut old = node.client().await;
    old.create("/a", 0).await;
    old.call(get_data("/a", true)).await.expect_ok();
    old.call(add_watch("/a", 0)).await.expect_ok();
    let mut client = old.again(node.address, 0).await.expect("the session");
    client.set("/a", b"x").await;
    assert_eq!(events(&mut client).await, []);
    assert_eq!(node.running.ensemble().status().watches, 0);
    client.call(get_data("/a", true)).await.expect_ok();
    client.close().await;
    assert_eq!(node.running.ensemble().status().watches, 0);
    node.stop().await;
}
