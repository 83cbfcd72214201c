//! Every operation on its own, reply headers, errors and order.
use crate::harness::{
    acl, create, create_request, delete, exists, get_children, get_data, node, node_with, open_acl, set_data,
};
use bytes::Bytes;
use jute::{
    Acl, CreateRequest, CreateTtlRequest, GetEphemeralsRequest, PathRequest, PathVersionRequest,
    PathWatchRequest, ReconfigRequest, Request, Response, SaslToken, SetAclRequest, SetDataRequest, Text,
};

/// What the password `user:secret` proves.
const USER_DIGEST: &str = "user:5w9W4eL3797Y4Wq8AcKUPPk8ha4=";

fn set_acl(path: &str, acl: Vec<Acl>) -> Request {
    Request::SetAcl(SetAclRequest { path: path.into(), acl, version: -1 })
}

fn create_ttl(path: &str, flags: i32, ttl: i64) -> Request {
    Request::CreateTtl(CreateTtlRequest { path: path.into(), data: None, acl: open_acl(), flags, ttl })
}

fn children(response: Response) -> Vec<String> {
    let mut names: Vec<String> = match response {
        Response::GetChildren(response) => response.children.iter().map(Text::to_string).collect(),
        Response::GetChildren2(response) => response.children.iter().map(Text::to_string).collect(),
        other => panic!("{other:?}"),
    };
    names.sort();
    names
}

#[tokio::test]
async fn zk_3_1_headers_carry_the_last_applied_zxid_of_reads_and_errors_too() {
    let node = node().await;
    let mut client = node.client().await;
    let made = client.call(create("/a", b"1", 0)).await.expect_ok();
    let zxid = made.header.zxid;
    assert_eq!(client.stat("/a").await.czxid, zxid);
    assert_eq!(client.call(get_data("/a", false)).await.header.zxid, zxid);
    let missing = client.call(get_data("/none", false)).await;
    missing.expect_error(-101);
    assert_eq!(missing.header.zxid, zxid);
    let refused = client.call(set_data("/a", b"", 9)).await;
    refused.expect_error(-103);
    assert_eq!(refused.header.zxid, zxid);
    let set = client.call(set_data("/a", b"2", 0)).await.expect_ok();
    let header_zxid = set.header.zxid;
    let Response::SetData(response) = set.response(5) else { panic!() };
    assert_eq!(response.stat.mzxid, header_zxid);
    assert!(header_zxid > zxid);
    assert_eq!(client.auth("digest", "user:secret").await.expect_ok().header.zxid, 0);
    node.stop().await;
}

#[tokio::test]
async fn create_in_every_mode_and_read_back() {
    let node = node_with(|_, ensemble| ensemble.tree.extended_types = true).await;
    let mut client = node.client().await;
    let session = client.session.session_id;
    assert_eq!(client.create("/p", 0).await, "/p");
    assert_eq!(client.create("/e", 1).await, "/e");
    assert_eq!(client.create("/p/s-", 2).await, "/p/s-0000000000");
    assert_eq!(client.create("/p/s-", 3).await, "/p/s-0000000001");
    let Response::Create2(made) =
        client.call(Request::Create2(create_request("/p2", b"xy", 0))).await.expect_ok().response(15)
    else {
        panic!()
    };
    assert_eq!((made.path.as_str(), made.stat.data_length), ("/p2", 2));
    let container = Request::CreateContainer(create_request("/k", b"", 4));
    let Response::CreateContainer(made) = client.call(container).await.expect_ok().response(19) else {
        panic!()
    };
    assert_eq!((made.path.as_str(), made.stat.ephemeral_owner), ("/k", 0));
    let Response::CreateTtl(made) =
        client.call(create_ttl("/t", 5, 1_000_000)).await.expect_ok().response(21)
    else {
        panic!()
    };
    assert_eq!((made.path.as_str(), made.stat.ephemeral_owner), ("/t", 0));
    let Response::CreateTtl(made) =
        client.call(create_ttl("/t-", 6, 1_000_000)).await.expect_ok().response(21)
    else {
        panic!()
    };
    assert!(made.path.starts_with("/t-00000"));
    assert_eq!(client.stat("/e").await.ephemeral_owner, session);
    assert_eq!(
        children(client.call(get_children("/p", false)).await.response(8)),
        ["s-0000000000", "s-0000000001"]
    );
    let request = Request::GetChildren2(PathWatchRequest { path: "/p".into(), watch: false });
    assert_eq!(children(client.call(request).await.response(12)).len(), 2);
    let request = Request::GetAllChildrenNumber(PathRequest { path: "/p".into() });
    let Response::GetAllChildrenNumber(count) = client.call(request).await.response(104) else { panic!() };
    assert_eq!(count.total_number, 2);
    for (prefix, expected) in [(None, vec!["/e", "/p/s-0000000001"]), (Some("/p"), vec!["/p/s-0000000001"])] {
        let request = Request::GetEphemerals(GetEphemeralsRequest { prefix_path: prefix.map(Text::from) });
        let Response::GetEphemerals(response) = client.call(request).await.response(103) else { panic!() };
        assert_eq!(response.ephemerals, expected);
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_5_check_alone_and_unknown_operations_end_the_connection() {
    let node = node().await;
    let check = Request::Check(PathVersionRequest { path: "/".into(), version: -1 });
    let mut client = node.client().await;
    let packet = client.call(check).await;
    packet.expect_error(-6);
    assert_eq!(packet.header.zxid, -1);
    client.expect_end().await;
    for op in [0, 10, 23, 99, 108, 500, -1, -10, i32::MIN] {
        let mut client = node.client().await;
        client.send_raw(7, op, &[]).await;
        let packet = client.packet().await;
        packet.expect_error(-6);
        assert_eq!((packet.header.xid, packet.header.zxid), (7, -1));
        client.expect_end().await;
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_6_requests_of_a_session_are_answered_in_order_and_reads_see_its_writes() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/n", 0).await;
    for round in 0..50 {
        client.send(&set_data("/n", b"x", round)).await;
        client.send(&get_data("/n", false)).await;
        client.send_as(-2, &Request::Ping).await;
    }
    for round in 0..50 {
        client.packet().await.expect_ok();
        let Response::GetData(read) = client.packet().await.expect_ok().response(4) else { panic!() };
        assert_eq!(read.stat.version, round + 1);
        assert_eq!(client.packet().await.header.xid, -2);
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_37_a_ping_keeps_its_place() {
    let node = node().await;
    let mut client = node.client().await;
    let write = client.send(&create("/a", b"", 0)).await;
    client.send_as(77, &Request::Ping).await;
    let read = client.send(&exists("/a", false)).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(client.packet().await.expect_ok().header.xid);
    }
    assert_eq!(order, [write, -2, read]);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_14_client_visible_cversion() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/c", 0).await;
    client.create("/c/1", 0).await;
    client.create("/c/2", 0).await;
    let before = client.stat("/c").await;
    assert_eq!((before.cversion, before.num_children), (2, 2));
    let deleted = client.call(delete("/c/1", -1)).await.expect_ok().header.zxid;
    let after = client.stat("/c").await;
    assert_eq!((after.cversion, after.num_children, after.pzxid), (3, 1, deleted));
    client.set("/c/2", b"x").await;
    assert_eq!(client.stat("/c").await, after);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_15_sequential_suffix_counts_creations() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/s", 0).await;
    client.create("/s/plain", 0).await;
    assert_eq!(client.create("/s/x", 2).await, "/s/x0000000001");
    client.call(delete("/s/x0000000001", -1)).await.expect_ok();
    assert_eq!(client.create("/s/", 2).await, "/s/0000000002");
    node.stop().await;
}

#[tokio::test]
async fn zk_3_25_zk_3_43_containers_go_when_they_are_empty_again_and_zk_3_27_by_request() {
    let node = node_with(|_, ensemble| ensemble.container_check_ms = 50).await;
    let mut client = node.client().await;
    for path in ["/k", "/fresh"] {
        client.call(Request::CreateContainer(create_request(path, b"", 4))).await.expect_ok();
    }
    client.create("/plain", 0).await;
    client.create("/k/c", 0).await;
    client.call(exists("/k", true)).await.expect_ok();
    client.call(delete("/k/c", -1)).await.expect_ok();
    let (_, kind, path) = client.event().await;
    assert_eq!((kind, path.as_str()), (2, "/k"));
    client.stat("/fresh").await;
    let remove = |path: &str| Request::DeleteContainer(PathRequest { path: path.into() });
    assert_ne!(client.call(remove("/plain")).await.header.err, 0);
    client.stat("/plain").await;
    node.stop().await;
}

#[tokio::test]
async fn zk_3_3_alone_the_containers_flag_makes_a_persistent_node() {
    let node = node_with(|_, ensemble| ensemble.container_check_ms = 20).await;
    let mut client = node.client().await;
    client.create("/flagged", 4).await;
    client.call(Request::CreateContainer(create_request("/container", b"", 4))).await.expect_ok();
    for parent in ["/flagged", "/container"] {
        client.create(&format!("{parent}/child"), 0).await;
    }
    client.call(exists("/container", true)).await.expect_ok();
    for parent in ["/flagged", "/container"] {
        client.call(delete(&format!("{parent}/child"), -1)).await.expect_ok();
    }
    let (_, kind, path) = client.event().await;
    assert_eq!((kind, path.as_str()), (2, "/container"));
    client.stat("/flagged").await;
    node.stop().await;
}

#[tokio::test]
async fn zk_3_26_zk_3_43_ttl_nodes_need_extended_types_and_go_in_time() {
    let plain = node().await;
    let mut client = plain.client().await;
    client.call(create_ttl("/t", 5, 100)).await.expect_error(-6);
    plain.stop().await;

    let node = node_with(|_, ensemble| {
        ensemble.tree.extended_types = true;
        ensemble.container_check_ms = 50;
    })
    .await;
    let mut client = node.client().await;
    client.call(create_ttl("/kept", 5, 100)).await.expect_ok();
    client.create("/kept/child", 0).await;
    client.call(create_ttl("/t", 5, 100)).await.expect_ok();
    // The watch must not come too late, so a node that went already counts as well.
    let seen = client.call(exists("/t", true)).await;
    if seen.header.err == 0 {
        let (_, kind, path) = client.event().await;
        assert_eq!((kind, path.as_str()), (2, "/t"));
    } else {
        seen.expect_error(-101);
    }
    client.stat("/kept").await;
    node.stop().await;
}

#[tokio::test]
async fn zk_3_28_auth_acls_expand_and_digests_are_masked() {
    let node = node().await;
    let mut owner = node.client().await;
    let mut other = node.client().await;
    let auth_acl = CreateRequest { acl: acl(31, "auth", ""), ..create_request("/a", b"", 0) };
    owner.call(Request::Create(auth_acl.clone())).await.expect_error(-114);
    owner.auth("digest", "user:secret").await.expect_ok();
    owner.call(Request::Create(auth_acl)).await.expect_ok();
    let get_acl = || Request::GetAcl(PathRequest { path: "/a".into() });
    let Response::GetAcl(response) = owner.call(get_acl()).await.expect_ok().response(6) else { panic!() };
    assert_eq!(response.acl, acl(31, "digest", USER_DIGEST));
    other.call(get_acl()).await.expect_error(-102);
    other.call(get_data("/a", false)).await.expect_error(-102);
    let readable = [acl(31, "digest", USER_DIGEST), acl(1, "world", "anyone")].concat();
    owner.call(set_acl("/a", readable)).await.expect_ok();
    let Response::GetAcl(response) = other.call(get_acl()).await.expect_ok().response(6) else { panic!() };
    assert_eq!(response.acl[0].id.id.as_deref(), Some("user:x"));
    assert_eq!(response.stat.aversion, 1);
    // An empty list, an unknown scheme, an entry without a scheme.
    let nobody = vec![Acl { perms: 31, id: jute::Id::default() }];
    for bad in [vec![], acl(31, "nope", "x"), acl(31, "ip", "300.1.1.1"), nobody] {
        owner.call(set_acl("/a", bad)).await.expect_error(-114);
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_29_acls_are_checked_in_the_order_of_apache() {
    let node = node().await;
    let mut owner = node.client().await;
    owner.auth("digest", "user:secret").await.expect_ok();
    let closed = CreateRequest { acl: acl(31, "digest", USER_DIGEST), ..create_request("/closed", b"", 0) };
    owner.call(Request::Create(closed)).await.expect_ok();
    owner.create("/closed/child", 0).await;
    let mut other = node.client().await;
    // The parent's ACL comes before the question whether the node exists.
    other.call(create("/closed/child", b"", 0)).await.expect_error(-102);
    other.call(delete("/closed/child", -1)).await.expect_error(-102);
    other.call(set_data("/closed", b"", -1)).await.expect_error(-102);
    other.call(set_data("/closed/child", b"", -1)).await.expect_ok();
    other.call(set_acl("/closed", open_acl())).await.expect_error(-102);
    other.call(get_children("/closed", false)).await.expect_error(-102);
    other.call(exists("/closed", false)).await.expect_error(-102);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_30_failed_auth_is_answered_and_ends_the_connection() {
    let node = node().await;
    for scheme in ["nope", "world", "sasl", "super"] {
        let mut client = node.client().await;
        let packet = client.auth(scheme, "user:secret").await;
        packet.expect_error(-115);
        assert_eq!((packet.header.xid, packet.header.zxid), (-4, 0));
        client.expect_end().await;
    }
    let mut client = node.client().await;
    client.send_raw(-4, 100, &[0, 0]).await;
    client.packet().await.expect_error(-115);
    client.expect_end().await;
    node.stop().await;
}

#[tokio::test]
async fn the_superuser_may_do_everything_and_who_am_i_tells() {
    let digest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned();
    let node = node_with(|config, _| config.super_digest = Some(digest)).await;
    let mut owner = node.client().await;
    owner.auth("digest", "user:secret").await.expect_ok();
    let closed = CreateRequest { acl: acl(31, "digest", USER_DIGEST), ..create_request("/closed", b"", 0) };
    owner.call(Request::Create(closed)).await.expect_ok();
    let mut root = node.client().await;
    root.call(get_data("/closed", false)).await.expect_error(-102);
    root.auth("digest", "super:test").await.expect_ok();
    root.auth("ip", "").await.expect_ok();
    root.call(get_data("/closed", false)).await.expect_ok();
    let Response::WhoAmI(response) = root.call(Request::WhoAmI).await.expect_ok().response(107) else {
        panic!()
    };
    let infos: Vec<_> =
        response.client_info.iter().map(|info| (info.auth_scheme.as_str(), info.user.as_str())).collect();
    assert_eq!(infos, [("ip", "127.0.0.1"), ("super", ""), ("digest", "super")]);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_31_paths_that_create_refuses() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/a", 0).await;
    let bad =
        ["", "a", "/a/", "//", "/.", "/a/..", "/a/\u{1}", "/\u{7f}", "/\u{e000}", "/\u{ffff}", "/\u{1f600}"];
    for path in bad {
        client.call(create(path, b"", 0)).await.expect_error(-8);
    }
    // The parent is looked for before the path as a whole is judged.
    client.call(create("/a//b", b"", 0)).await.expect_error(-101);
    assert_eq!(client.create("/a/", 2).await, "/a/0000000000");
    assert_eq!(client.create("/a/.", 2).await, "/a/.0000000001");
    client.call(get_children("", false)).await.expect_ok();
    client.call(get_data("/a/", false)).await.expect_error(-101);
    client.call(exists("/\0", false)).await.expect_error(-8);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_32_the_servers_own_nodes_stay() {
    let node = node().await;
    let mut client = node.client().await;
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        assert_ne!(client.call(delete(path, -1)).await.header.err, 0, "{path}");
        client.stat(path).await;
    }
    let Response::GetAcl(response) = client
        .call(Request::GetAcl(PathRequest { path: "/zookeeper/config".into() }))
        .await
        .expect_ok()
        .response(6)
    else {
        panic!()
    };
    assert_eq!(response.acl, acl(1, "world", "anyone"));
    node.stop().await;
}

#[tokio::test]
async fn zk_3_34_null_data_is_not_empty_data() {
    let node = node().await;
    let mut client = node.client().await;
    for data in [None, Some(Bytes::new()), Some(Bytes::from_static(b"x"))] {
        let path = "/d";
        let request = CreateRequest { data: data.clone(), ..create_request(path, b"", 0) };
        client.call(Request::Create(request)).await.expect_ok();
        let Response::GetData(read) = client.call(get_data(path, false)).await.expect_ok().response(4) else {
            panic!()
        };
        assert_eq!(read.data, data);
        let set = SetDataRequest { path: path.into(), data: data.clone(), version: 0 };
        client.call(Request::SetData(set)).await.expect_ok();
        let Response::GetData(read) = client.call(get_data(path, false)).await.expect_ok().response(4) else {
            panic!()
        };
        assert_eq!((read.data, read.stat.version), (data, 1));
        client.call(delete(path, 1)).await.expect_ok();
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_35_sync_waits_for_what_was_written_before() {
    let node = node().await;
    let mut writer = node.client().await;
    let mut reader = node.client().await;
    writer.create("/a", 0).await;
    let sync = Request::Sync(PathRequest { path: "/a".into() });
    let packet = reader.call(sync).await.expect_ok();
    assert!(packet.header.zxid >= writer.stat("/a").await.czxid);
    let Response::Sync(response) = packet.response(9) else { panic!() };
    assert_eq!(response.path, "/a");
    node.stop().await;
}

#[tokio::test]
async fn zk_3_39_a_refusal_waits_for_the_state_that_it_rests_on() {
    let node = node().await;
    let mut client = node.client().await;
    // The second create is refused because of the first, so its answer may not overtake it, nor name an older zxid.
    client.send(&create("/a", b"", 0)).await;
    client.send(&create("/a", b"", 0)).await;
    let made = client.packet().await.expect_ok().header.zxid;
    let refused = client.packet().await;
    refused.expect_error(-110);
    assert!(refused.header.zxid >= made);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_41_a_truncated_create_and_a_bad_ttl_are_refused_and_harm_nobody() {
    let node = node_with(|_, ensemble| ensemble.tree.extended_types = true).await;
    let mut client = node.client().await;
    client.send_raw(1, 1, &[0, 0, 0, 2, b'/']).await;
    client.packet().await.expect_error(-5);
    client.send_raw(2, 1, &[]).await;
    client.packet().await.expect_error(-5);
    for (flags, ttl) in [(0, -1), (5, -1), (5, 0), (5, i64::MAX), (6, -1)] {
        client.call(create_ttl("/t", flags, ttl)).await.expect_error(-8);
    }
    client.create("/still-fine", 0).await;
    node.stop().await;
}

#[tokio::test]
async fn reconfig_is_disabled_and_sasl_answers_as_a_server_without_it() {
    let node = node().await;
    let mut client = node.client().await;
    client
        .call(Request::Reconfig(ReconfigRequest { config_id: -1, ..Default::default() }))
        .await
        .expect_error(-123);
    let packet =
        client.call(Request::Sasl(SaslToken { token: Some(Bytes::from_static(b"x")) })).await.expect_ok();
    assert_eq!(packet.header.zxid, 0);
    assert_eq!(packet.response(102), Response::Sasl(SaslToken { token: None }));
    client.create("/a", 0).await;
    node.stop().await;
}

#[tokio::test]
async fn zk_3_33_zk_3_44_quota_refusals_show_in_mntr() {
    let node = node_with(|_, ensemble| ensemble.tree.enforce_quota = true).await;
    let mut client = node.client().await;
    client.create("/app", 0).await;
    client.create("/zookeeper/quota/app", 0).await;
    let limits = create(
        "/zookeeper/quota/app/zookeeper_limits",
        b"count=2,bytes=-1=;byteHardLimit=-1;countHardLimit=2",
        0,
    );
    client.call(limits).await.expect_ok();
    client.call(create("/zookeeper/quota/app/zookeeper_stats", b"count=1,bytes=4", 0)).await.expect_ok();
    client.create("/app/1", 0).await;
    client.call(create("/app/2", b"", 0)).await.expect_error(-125);
    let metrics = crate::harness::ask(node.address, b"mntr").await;
    assert!(metrics.contains("zk_app_quota_exceeded_error_per_namespace\t1\n"), "{metrics}");
    node.stop().await;
}

#[tokio::test]
async fn an_address_as_an_identity_opens_what_its_acl_allows() {
    let node = node().await;
    let mut client = node.client().await;
    for (path, range, err) in [("/here", "127.0.0.0/8", 0), ("/there", "10.0.0.1", -102)] {
        let request = CreateRequest { acl: acl(31, "ip", range), ..create_request(path, b"", 0) };
        client.call(Request::Create(request)).await.expect_ok();
        assert_eq!(client.call(get_data(path, false)).await.header.err, err);
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test]
async fn zk_3_6_a_read_between_two_writes_sees_the_first_and_not_the_second() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/n", 0).await;
    for round in 0..40 {
        client.send(&set_data("/n", b"x", 2 * round)).await;
        client.send(&get_data("/n", true)).await;
        client.send(&set_data("/n", b"y", 2 * round + 1)).await;
        client.send(&get_data("/n", false)).await;
    }
    for round in 0..40 {
        client.packet().await.expect_ok();
        let Response::GetData(read) = client.packet().await.expect_ok().response(4) else { panic!() };
        assert_eq!((read.stat.version, read.data.as_deref()), (2 * round + 1, Some(&b"x"[..])));
        // The watch that the read has left fires for the write behind it.
        let (zxid, kind, path) = client.event().await;
        assert_eq!((kind, path.as_str()), (3, "/n"));
        assert_eq!(client.packet().await.expect_ok().header.zxid, zxid);
        let Response::GetData(read) = client.packet().await.expect_ok().response(4) else { panic!() };
        assert_eq!((read.stat.version, read.data.as_deref()), (2 * round + 2, Some(&b"y"[..])));
    }
    node.stop().await;
}

#[tokio::test]
async fn zk_3_6_an_identity_counts_for_the_requests_sent_after_it_only() {
    let node = node().await;
    for round in 0..20 {
        let closed =
            CreateRequest { acl: acl(31, "auth", ""), ..create_request(&format!("/c-{round}"), b"", 0) };
        let mut client = node.client().await;
        client.send(&create(&format!("/p-{round}"), b"", 0)).await;
        client.send(&Request::Create(closed.clone())).await;
        let packet =
            jute::AuthPacket { scheme: "digest".into(), auth: Some("user:secret".into()), auth_type: 0 };
        client.send_as(-4, &Request::Auth(packet)).await;
        client.send(&Request::Create(closed)).await;
        client.packet().await.expect_ok();
        client.packet().await.expect_error(-114);
        assert_eq!(client.packet().await.expect_ok().header.xid, -4);
        client.packet().await.expect_ok();
    }
    node.stop().await;
}

#[tokio::test]
async fn large_answers_between_writes_come_in_order_however_slowly_they_are_read() {
    let node = node().await;
    let mut client = node.client().await;
    let data: &'static [u8] = vec![7; 300_000].leak();
    client.call(create("/big", data, 0)).await.expect_ok();
    client.create("/n", 0).await;
    for round in 0..100 {
        client.send(&set_data("/n", b"x", round)).await;
        client.send(&get_data("/big", false)).await;
        client.send(&get_data("/n", false)).await;
    }
    for round in 0..100 {
        client.packet().await.expect_ok();
        assert!(client.packet().await.expect_ok().body.len() > data.len());
        let Response::GetData(read) = client.packet().await.expect_ok().response(4) else { panic!() };
        assert_eq!(read.stat.version, round + 1);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_write_does_not_overtake_large_answers_that_wait_for_the_client() {
    const READS: usize = 70;
    let node = node().await;
    let mut client = node.client().await;
    let data: &'static [u8] = vec![7; 300_000].leak();
    client.call(create("/big", data, 0)).await.expect_ok();
    for round in 0..2 {
        client.send(&set_data("/big", data, round)).await;
        for _ in 0..READS {
            client.send(&get_data("/big", false)).await;
        }
        if round == 0 {
            // Once the first write is answered, only reads are in line, and the client doesn't take their answers.
            client.packet().await.expect_ok();
        }
    }
    for xid in 3..2 * READS as i32 + 4 {
        let packet = client.packet().await.expect_ok();
        assert_eq!(packet.header.xid, xid);
        if xid == READS as i32 + 3 {
            continue;
        }
        let Response::GetData(read) = packet.response(4) else { panic!() };
        assert_eq!(read.stat.version, if xid < READS as i32 + 3 { 1 } else { 2 });
    }
    client.close().await;
    node.stop().await;
}
