//! A client that isn't ours: the crate zookeeper-client.
use crate::harness::{node, within};
use zookeeper_client::{Acls, AddWatchMode, Client, CreateMode, EventType, OneshotWatcher};

const OPEN: Acls<'static> = Acls::anyone_all();

#[tokio::test]
async fn zookeeper_client_creates_watches_and_transacts() {
    let node = node().await;
    let client = within(Client::connect(&node.address.to_string())).await.expect("a session");
    let options = CreateMode::Persistent.with_acls(OPEN);
    let (stat, _) = within(client.create("/a", b"1", &options)).await.expect("created");
    let (data, again, watcher): (Vec<u8>, _, OneshotWatcher) =
        within(client.get_and_watch_data("/a")).await.expect("read");
    assert_eq!((data.as_slice(), again), (&b"1"[..], stat));
    let set = within(client.set_data("/a", b"2", Some(0))).await.expect("set");
    let event = within(watcher.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDataChanged, "/a"));
    assert_eq!(event.zxid, set.mzxid);

    let mut recursive = within(client.watch("/a", AddWatchMode::PersistentRecursive)).await.expect("watched");
    let sequential = CreateMode::EphemeralSequential.with_acls(OPEN);
    let (_, sequence) = within(client.create("/a/e-", b"", &sequential)).await.expect("created");
    assert_eq!(sequence.into_i64(), 0);
    let event = within(recursive.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, "/a/e-0000000000"));

    let mut writer = client.new_multi_writer();
    writer.add_create("/b", b"", &options).expect("added");
    writer.add_set_data("/a", b"3", None).expect("added");
    writer.add_delete("/b", None).expect("added");
    assert_eq!(within(writer.commit()).await.expect("committed").len(), 3);
    let (children, _) = within(client.get_children("/a")).await.expect("listed");
    assert_eq!(children, ["e-0000000000"]);
    assert_eq!(within(client.count_descendants_number("/a")).await.expect("counted"), 1);
    assert_eq!(within(client.list_ephemerals("/")).await.expect("listed"), ["/a/e-0000000000"]);
    within(client.sync("/")).await.expect("synced");
    drop(client);
    node.stop().await;
}
