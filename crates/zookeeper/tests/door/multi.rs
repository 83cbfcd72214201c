//! Transactions of several operations, and several reads at once.
use crate::harness::{Client, Packet, create_request, delete, exists, node, open_acl};
use bytes::Bytes;
use jute::{
    CreateTtlRequest, MultiOp, MultiRequest, MultiResult, PathVersionRequest, PathWatchRequest, Request,
    Response, SetDataRequest,
};

fn check(path: &str, version: i32) -> MultiOp {
    MultiOp::Check(PathVersionRequest { path: path.into(), version })
}

fn set(path: &str, data: &'static [u8]) -> MultiOp {
    MultiOp::SetData(SetDataRequest { path: path.into(), data: Some(Bytes::from_static(data)), version: -1 })
}

fn remove(path: &str) -> MultiOp {
    MultiOp::Delete(PathVersionRequest { path: path.into(), version: -1 })
}

fn make(path: &str, flags: i32) -> MultiOp {
    MultiOp::Create(create_request(path, b"", flags))
}

fn read(path: &str) -> MultiOp {
    MultiOp::GetData(PathWatchRequest { path: path.into(), watch: true })
}

fn list(path: &str) -> MultiOp {
    MultiOp::GetChildren(PathWatchRequest { path: path.into(), watch: true })
}

fn multi(ops: Vec<MultiOp>) -> Request {
    Request::Multi(MultiRequest { ops })
}

fn results(packet: Packet) -> Vec<MultiResult> {
    match packet.response(14) {
        Response::Multi(response) => response.results,
        other => panic!("{other:?}"),
    }
}

async fn run(client: &mut Client, ops: Vec<MultiOp>) -> Vec<MultiResult> {
    results(client.call(multi(ops)).await.expect_ok())
}

#[tokio::test]
async fn zk_3_3_all_operations_of_a_multi_share_one_zxid_and_see_each_other() {
    let node = node().await;
    let mut client = node.client().await;
    let ops = vec![
        make("/m", 0),
        MultiOp::Create2(create_request("/m/c", b"", 0)),
        set("/m", b"x"),
        check("/m", 1),
        make("/m/s-", 2),
        MultiOp::CreateContainer(create_request("/m/k", b"", 4)),
        remove("/m/c"),
    ];
    let packet = client.call(multi(ops)).await.expect_ok();
    let zxid = packet.header.zxid;
    let results = results(packet);
    assert_eq!(results.len(), 7);
    let MultiResult::Create2(created) = &results[1] else { panic!("{results:?}") };
    assert_eq!((created.stat.czxid, created.path.as_str()), (zxid, "/m/c"));
    let MultiResult::SetData(stat) = &results[2] else { panic!("{results:?}") };
    assert_eq!((stat.mzxid, stat.czxid, stat.version), (zxid, zxid, 1));
    assert_eq!(results[3], MultiResult::Check);
    assert!(matches!(&results[4], MultiResult::Create(created) if created.path == "/m/s-0000000001"));
    assert!(matches!(&results[5], MultiResult::Create2(created) if created.path == "/m/k"));
    assert_eq!(results[6], MultiResult::Delete);
    assert_eq!(client.stat("/m").await.pzxid, zxid);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_2_a_failed_multi_answers_each_operation_and_zk_3_3_rolls_everything_back() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/m", 0).await;
    let packet =
        client.call(multi(vec![make("/m/s-", 2), make("/m/x", 0), check("/m", 7), remove("/m")])).await;
    assert_eq!(packet.header.err, 0);
    let errors = [0, 0, -103, -2].map(MultiResult::Error);
    assert_eq!(results(packet), errors);
    client.call(exists("/m/x", false)).await.expect_error(-101);
    // The sequential counter is as if nothing had happened.
    assert_eq!(client.create("/m/s-", 2).await, "/m/s-0000000000");
    node.stop().await;
}

#[tokio::test]
async fn zk_3_3_bad_flags_make_a_multi_malformed_and_create_makes_containers() {
    let node = node().await;
    let mut client = node.client().await;
    client.call(multi(vec![make("/m", 9)])).await.expect_error(-5);
    client.call(Request::Create(create_request("/m", b"", 9))).await.expect_error(-8);
    let made = run(&mut client, vec![make("/k", 4)]).await;
    assert!(matches!(&made[0], MultiResult::Create(created) if created.path == "/k"));
    let ttl = CreateTtlRequest { path: "/t".into(), data: None, acl: open_acl(), flags: 5, ttl: 1000 };
    assert_eq!(run(&mut client, vec![MultiOp::CreateTtl(ttl)]).await, [MultiResult::Error(-6)]);
    // A multi may be empty, or hold nothing but checks.
    assert_eq!(run(&mut client, vec![]).await, []);
    assert_eq!(run(&mut client, vec![check("/k", 0)]).await, [MultiResult::Check]);
    assert_eq!(run(&mut client, vec![check("/k", 1)]).await, [MultiResult::Error(-103)]);
    node.stop().await;
}

#[tokio::test]
async fn zk_3_4_multi_read_reads_only_with_an_error_per_operation() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/m", 0).await;
    client.create("/m/c", 0).await;
    let request = Request::MultiRead(MultiRequest { ops: vec![read("/m"), read("/none"), list("/m")] });
    let Response::MultiRead(response) = client.call(request).await.expect_ok().response(22) else { panic!() };
    assert!(
        matches!(&response.results[0], MultiResult::GetData(read) if read.data.as_deref() == Some(b"data"))
    );
    assert_eq!(response.results[1], MultiResult::Error(-101));
    assert!(matches!(&response.results[2], MultiResult::GetChildren(list) if list.children == ["c"]));
    // The watch flags of its operations mean nothing.
    client.set("/m", b"x").await;
    client.call(delete("/m/c", -1)).await.expect_ok();
    node.stop().await;
}

#[tokio::test]
async fn zk_3_2_a_multi_read_of_writes_answers_with_an_empty_body() {
    let node = node().await;
    let mut client = node.client().await;
    for op in [check("/", -1), make("/m", 0), remove("/m")] {
        let packet = client.call(Request::MultiRead(MultiRequest { ops: vec![op] })).await;
        assert_eq!(packet.header.err, -5);
        assert_eq!(packet.body[..], [0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff]);
    }
    // A mix of reads and writes can't even be read.
    let mix = vec![read("/"), make("/m", 0)];
    client.call(Request::MultiRead(MultiRequest { ops: mix.clone() })).await.expect_error(-5);
    client.call(multi(mix)).await.expect_error(-5);
    client.call(multi(vec![read("/")])).await.expect_error(-5);
    client.call(exists("/m", false)).await.expect_error(-101);
    node.stop().await;
}
