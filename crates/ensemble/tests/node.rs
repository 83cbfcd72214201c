//! Stories of one node: what is written is there, in order, after every kind of stop.
use base::World;
use bytes::Bytes;
use ensemble::{
    Closed, ConnectError, ConnectParams, Connected, Coordinator, CoordinatorError, EmbeddedClient, Ensemble,
    EnsembleConfig, RunningEnsemble, Subscriber, WatchEvent, WatchKind, Write, Written, ZnodeProduceError,
    ZnodeTopic,
};
use log::{Batch, Scratch};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tree::{AuthId, CreateMode, Request, SessionId, TreeError, Zxid};

fn config(dir: &Path) -> EnsembleConfig {
    let mut config = EnsembleConfig::new(dir.to_owned(), 1, uuid::Uuid::from_u128(7));
    config.tick_ms = 50;
    config.session_timeout_min_ms = 100;
    config
}

async fn start(config: EnsembleConfig) -> RunningEnsemble {
    let node = RunningEnsemble::start(World::system(), config, None).expect("the node starts");
    node.ensemble().serving().await.expect("the node serves");
    node
}

#[derive(Default)]
struct Seen {
    events: Mutex<Vec<WatchEvent>>,
    closed: Mutex<Vec<Closed>>,
}

impl Subscriber for Seen {
    fn identities(&self) -> Arc<[AuthId]> {
        Arc::from([])
    }

    fn event(&self, event: &WatchEvent) {
        self.events.lock().unwrap().push(event.clone());
    }

    fn closed(&self, reason: Closed) {
        self.closed.lock().unwrap().push(reason);
    }
}

fn new_session(timeout_ms: i32) -> ConnectParams {
    ConnectParams { session: SessionId(0), password: vec![0; 16], timeout_ms, last_zxid_seen: Zxid(0) }
}

async fn connect(ensemble: &Ensemble, timeout_ms: i32) -> (Connected, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let connected = ensemble.connect(new_session(timeout_ms), seen.clone()).await.expect("a session opens");
    (connected, seen)
}

fn create(path: &str, data: &str, mode: CreateMode) -> Write {
    Write::Create { path: path.to_owned(), data: Some(Bytes::from(data.to_owned())), mode, acl: None }
}

/// All live keys of the topic and the offset of each one's last record, as a consumer that reads from the beginning learns them.
fn feed(topic: &ZnodeTopic) -> BTreeMap<String, (i64, Vec<u8>)> {
    let mut live = BTreeMap::new();
    let mut offset = topic.log_start();
    let mut scratch = Scratch::new();
    let mut last_seen = -1;
    loop {
        let read = topic.read(offset, 1 << 20, true).expect("the topic can be read");
        if read.chunks.is_empty() {
            return live;
        }
        for chunk in read.chunks {
            for batch in Batch::iter(chunk) {
                let batch = batch.expect("whole batches");
                assert!(batch.header().base_offset > last_seen, "offsets rise from batch to batch");
                last_seen = batch.header().last_offset();
                offset = batch.header().next_offset();
                if batch.header().is_control() {
                    continue;
                }
                for record in batch.records(&mut scratch).expect("records") {
                    let record = record.expect("a record");
                    let key = String::from_utf8(record.key.expect("a key").to_vec()).expect("text");
                    match record.value {
                        Some(value) => live.insert(key, (record.offset, value.to_vec())),
                        None => live.remove(&key),
                    };
                }
            }
        }
    }
}

fn tree_paths(ensemble: &Ensemble) -> BTreeMap<String, (i64, Vec<u8>)> {
    ensemble.read(|view| {
        let mut found = BTreeMap::new();
        let mut open = vec!["/".to_owned()];
        while let Some(path) = open.pop() {
            let node = view.tree().get(&path).expect("it is there");
            for child in node.children() {
                open.push(if path == "/" { format!("/{child}") } else { format!("{path}/{child}") });
            }
            found.insert(path, (node.last_offset(), node.data().unwrap_or_default().to_vec()));
        }
        found
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_from_the_beginning_ends_with_the_live_tree() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path())).await;
    let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
    client.multi(vec![create("/a", "1", CreateMode::Persistent)]).await.unwrap();
    let (zxid, written) = client
        .multi(vec![
            create("/a/b", "2", CreateMode::Persistent),
            create("/a/c", "3", CreateMode::Ephemeral),
            Write::Set { path: "/a".into(), data: None, version: 0 },
        ])
        .await
        .unwrap();
    let Written::Created(path, stat) = &written[0] else { panic!("created") };
    assert_eq!((&**path, stat.mzxid), ("/a/b", zxid));
    client.multi(vec![Write::Delete { path: "/a/b".into(), version: -1 }]).await.unwrap();
    let topic = ZnodeTopic::new(node.ensemble());
    let mut live = feed(&topic);
    live.retain(|key, _| key.starts_with('/'));
    assert_eq!(live, tree_paths(node.ensemble()));
    assert_eq!(live["/a/c"].0 - 1, client.get("/a/c").await.unwrap().unwrap().1.mzxid.0);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_is_head_then_tail_with_or_without_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let mut config = config(dir.path());
        config.snapshot_every = 50;
        config.segment_bytes = 1 << 20;
        let node = start(config).await;
        let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
        if round > 0 {
            let data = client.get("/n/99").await.unwrap().expect("it survived").0.expect("data");
            assert_eq!(data, Bytes::from(format!("{}", round - 1)));
            assert!(client.get("/e").await.unwrap().is_none(), "the earlier run's ephemeral is gone");
        } else {
            client.multi(vec![create("/n", "", CreateMode::Persistent)]).await.unwrap();
            for i in 0..100 {
                client.multi(vec![create(&format!("/n/{i}"), "", CreateMode::Persistent)]).await.unwrap();
            }
        }
        client.multi(vec![create("/e", "", CreateMode::Ephemeral)]).await.unwrap();
        for i in 0..100 {
            let data = Some(Bytes::from(format!("{round}")));
            client.multi(vec![Write::Set { path: format!("/n/{i}"), data, version: -1 }]).await.unwrap();
        }
        let topic = ZnodeTopic::new(node.ensemble());
        let mut live = feed(&topic);
        live.retain(|key, _| key.starts_with('/'));
        assert_eq!(live, tree_paths(node.ensemble()));
        if round % 2 == 0 {
            node.stop().await.unwrap();
        } else {
            node.abandon().await;
        }
    }
    let snapshots = std::fs::read_dir(dir.path().join("__znodes-0"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".checkpoint"))
        .count();
    assert!((1..=3).contains(&snapshots), "{snapshots} snapshots are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_larger_than_one_read_is_followed_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let large = "x".repeat(700_001);
    let node = start(config(dir.path())).await;
    let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
    for i in 0..20 {
        client.multi(vec![create(&format!("/n{i}"), &large, CreateMode::Persistent)]).await.unwrap();
    }
    let before = tree_paths(node.ensemble());
    node.abandon().await;
    let node = start(config(dir.path())).await;
    assert_eq!(tree_paths(node.ensemble()), before);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_after_its_timeout_with_its_ephemerals_in_one_batch() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path())).await;
    let (connected, seen) = connect(node.ensemble(), 100).await;
    let id = connected.session.id();
    let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
    for path in ["/x", "/y"] {
        let request = Request::Op(tree::Op::Create(tree::Create {
            path: path.into(),
            data: None,
            acl: tree::AclList::open(),
            mode: CreateMode::Ephemeral,
            ttl_ms: None,
        }));
        node.ensemble().write(Some(id), &[], request).await.unwrap();
    }
    let mut events = client.watch("/").await.unwrap();
    let (mut zxids, mut paths) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let event = events.recv().await.unwrap();
        zxids.push(event.zxid);
        paths.push(event.path.to_string());
    }
    paths.sort();
    assert_eq!(paths, ["/x", "/y"]);
    assert_eq!(zxids[0], zxids[1]);
    client.sync().await.unwrap();
    assert_eq!(seen.closed.lock().unwrap().as_slice(), [Closed::SessionEnded]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn zk_3_18_and_3_19_attach_moves_a_session_and_wants_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path())).await;
    let (first, seen_first) = connect(node.ensemble(), 10_000).await;
    let mut again = new_session(10_000);
    again.session = first.session.id();
    again.password = vec![1; 16];
    let refused = node.ensemble().connect(again.clone(), Arc::new(Seen::default())).await;
    assert_eq!(refused.err(), Some(ConnectError::Expired));
    again.password = first.password.to_vec();
    let second = node.ensemble().connect(again, Arc::new(Seen::default())).await.unwrap();
    assert_eq!(second.session.id(), first.session.id());
    assert_eq!(seen_first.closed.lock().unwrap().as_slice(), [Closed::Moved]);
    let (send, answer) = tokio::sync::oneshot::channel();
    first.session.submit_multi(&[], Vec::new(), Box::new(move |outcome, _| drop(send.send(outcome))));
    assert_eq!(answer.await.unwrap().result, Err(ensemble::Refusal::SessionMoved));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn zk_3_17_a_client_that_has_seen_more_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path())).await;
    let mut params = new_session(10_000);
    params.last_zxid_seen = Zxid(1_000_000);
    let refused = node.ensemble().connect(params, Arc::new(Seen::default())).await;
    assert_eq!(refused.err(), Some(ConnectError::AheadOfServer));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn zk_3_7_events_come_before_the_answer_of_their_cause() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path())).await;
    let (connected, seen) = connect(node.ensemble(), 10_000).await;
    let watcher = connected.session.watcher();
    node.ensemble().read(|view| view.watch(watcher, "/w", WatchKind::Data));
    let observed = seen.clone();
    let (send, answer) = tokio::sync::oneshot::channel();
    let request = Request::Op(tree::Op::Create(tree::Create {
        path: "/w".into(),
        data: None,
        acl: tree::AclList::open(),
        mode: CreateMode::Persistent,
        ttl_ms: None,
    }));
    connected.session.submit(
        &[],
        request,
        Box::new(move |outcome, _| drop(send.send((outcome.zxid, observed.events.lock().unwrap().clone())))),
    );
    let (zxid, events) = answer.await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].zxid, Some(zxid));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn producing_to_the_topic_writes_znodes_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path())).await;
    let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
    let topic = ZnodeTopic::new(node.ensemble());
    let records =
        vec![("/p".into(), Some(Bytes::from_static(b"1"))), ("/p/q".into(), Some(Bytes::from_static(b"2")))];
    let produced = topic.produce(records, &[]).await.unwrap();
    let (data, stat) = client.get("/p/q").await.unwrap().unwrap();
    assert_eq!((data.as_deref(), stat.mzxid.0), (Some(&b"2"[..]), produced.base_offset));
    let refused = topic.produce(vec![("/r".into(), Some(Bytes::new())), ("/p".into(), None)], &[]).await;
    assert_eq!(refused, Err(ZnodeProduceError::Refused { index: 1, error: TreeError::NotEmpty }));
    assert!(client.get("/r").await.unwrap().is_none());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_multi_names_the_path_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path())).await;
    let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
    let refused = client
        .multi(vec![
            create("/ok", "", CreateMode::Persistent),
            create("/no/parent", "", CreateMode::Persistent),
        ])
        .await;
    let expected =
        CoordinatorError::Refused { path: "/no/parent".into(), index: 1, error: TreeError::NoNode };
    assert_eq!(refused, Err(expected));
    assert!(client.get("/ok").await.unwrap().is_none());
    node.stop().await.unwrap();
}
