//! Stories of several nodes in one process, joined by a network of queues: what one node took, all have, whoever leads.
mod network;

use bytes::Bytes;
use ensemble::{
    Closed, ConnectError, ConnectParams, Connected, Coordinator, EmbeddedClient, Ensemble, Mode, OpResult,
    Outcome, Refusal, Session, Subscriber, WatchEvent, WatchKind, Write, ZnodeTopic,
};
use network::{Cluster, eventually};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tree::{AclList, AuthId, Create, CreateMode, Op, Request, SessionId, TreeError, Zxid};

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

async fn try_connect(
    node: &Ensemble,
    session: SessionId,
    password: [u8; 16],
    last_zxid_seen: Zxid,
) -> Result<(Connected, Arc<Seen>), ConnectError> {
    let seen = Arc::new(Seen::default());
    let params = ConnectParams { session, password: password.to_vec(), timeout_ms: 60_000, last_zxid_seen };
    node.connect(params, seen.clone()).await.map(|connected| (connected, seen))
}

async fn connect(node: &Ensemble) -> (Connected, Arc<Seen>) {
    try_connect(node, SessionId(0), [0; 16], Zxid(0)).await.expect("a session opens")
}

fn create(path: &str, data: &str, mode: CreateMode) -> Request {
    let data = Some(Bytes::from(data.to_owned()));
    let path = Arc::from(path);
    Request::Op(Op::Create(Create { path, data, acl: AclList::open(), mode, ttl_ms: None }))
}

fn set(path: &str, data: &str) -> Request {
    Request::Op(Op::SetData { path: Arc::from(path), data: Some(Bytes::from(data.to_owned())), version: -1 })
}

fn submit(session: &Session, request: Request) -> oneshot::Receiver<Outcome> {
    let (send, answer) = oneshot::channel();
    let done = Box::new(move |outcome, _: &ensemble::ReadView<'_>| {
        let _ = send.send(outcome);
    });
    session.submit(&[], request, done);
    answer
}

async fn write(session: &Session, request: Request) -> Result<(Zxid, Vec<OpResult>), Refusal> {
    let outcome = submit(session, request).await.expect("every request is answered");
    outcome.result.map(|results| (outcome.zxid, results))
}

async fn sync(session: &Session) {
    let (send, synced) = oneshot::channel();
    session.sync(Box::new(move |outcome, _| {
        let _ = send.send(outcome);
    }));
    synced.await.expect("it is answered").result.expect("there is a leader");
}

fn data(node: &Ensemble, path: &str) -> Option<String> {
    node.read(|view| {
        let data = view.tree().get(path)?.data()?.to_vec();
        Some(String::from_utf8(data).expect("the test wrote text"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_takes_writes_and_shows_them() {
    let cluster = Cluster::start(3).await;
    let modes: Vec<Mode> = cluster.nodes().map(|node| node.status().mode).collect();
    assert_eq!(modes.iter().filter(|mode| **mode == Mode::Leader).count(), 1);
    assert_eq!(modes.iter().filter(|mode| **mode == Mode::Follower).count(), 2);
    for (index, node) in cluster.nodes().enumerate() {
        let (connected, _) = connect(node).await;
        let path = format!("/n{index}");
        let (zxid, results) =
            write(&connected.session, create(&path, "x", CreateMode::Persistent)).await.unwrap();
        let OpResult::Created(created, stat) = &results[0] else { panic!("{results:?}") };
        assert_eq!((&**created, stat.czxid), (path.as_str(), zxid));
        assert_eq!(
            data(node, &path).as_deref(),
            Some("x"),
            "an answered write is visible where it was asked"
        );
        let refused =
            write(&connected.session, create(&path, "y", CreateMode::Persistent)).await.unwrap_err();
        assert!(matches!(refused, Refusal::Tree(refused) if refused.error == TreeError::NodeExists));
    }
    for node in cluster.nodes() {
        let (connected, _) = connect(node).await;
        sync(&connected.session).await;
        for index in 0..3 {
            assert_eq!(data(node, &format!("/n{index}")).as_deref(), Some("x"));
        }
    }
    let (connected, _) = connect(&cluster.follower()).await;
    let large = "x".repeat(900_000);
    write(&connected.session, set("/n0", &large)).await.unwrap();
    for node in cluster.nodes() {
        eventually(|| data(node, "/n0").as_deref() == Some(&*large)).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_answers_a_pipeline_in_order_and_between_its_own_writes() {
    let cluster = Cluster::start(3).await;
    let follower = cluster.follower();
    let (connected, seen) = connect(&follower).await;
    write(&connected.session, create("/p", "0", CreateMode::Persistent)).await.unwrap();
    follower.read(|view| view.watch(connected.session.watcher(), "/p", WatchKind::Recursive));
    let (send, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for n in 1..=500 {
        let send = send.clone();
        let request = if n % 5 == 0 {
            create("/p", "refused", CreateMode::Persistent)
        } else {
            set("/p", &n.to_string())
        };
        let done = Box::new(move |outcome: Outcome, view: &ensemble::ReadView<'_>| {
            let shown = view.tree().get("/p").and_then(|node| node.data().map(<[u8]>::to_vec));
            let _ = send.send((n, outcome.result.is_ok(), String::from_utf8(shown.unwrap()).unwrap()));
        });
        connected.session.submit(&[], request, done);
    }
    for n in 1..=500 {
        let (answered, ok, shown) = answers.recv().await.unwrap();
        assert_eq!((answered, ok), (n, n % 5 != 0));
        let last_set = if n % 5 == 0 { n - 1 } else { n };
        assert_eq!(shown, last_set.to_string(), "the answer is given right behind the transaction");
    }
    assert_eq!(seen.events.lock().unwrap().len(), 400);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_death_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    let follower = cluster.follower();
    let (connected, seen) = connect(&follower).await;
    write(&connected.session, create("/a", "", CreateMode::Persistent)).await.unwrap();
    write(&connected.session, create("/a/eph", "", CreateMode::Ephemeral)).await.unwrap();
    let session = Arc::new(connected.session);
    let writer = tokio::spawn({
        let session = session.clone();
        async move {
            let mut acknowledged = Vec::new();
            for n in 0..2_000 {
                let path = format!("/a/{n}");
                match write(&session, create(&path, "", CreateMode::Persistent)).await {
                    Ok(_) => acknowledged.push(path),
                    Err(Refusal::Tree(refused)) => assert_eq!(refused.error, TreeError::NodeExists),
                    Err(_) => {}
                }
            }
            acknowledged
        }
    });
    let leader = cluster.leader();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    cluster.kill(leader).await;
    let acknowledged = writer.await.unwrap();
    assert!(
        acknowledged.len() > 1_900,
        "{} of 2,000: the writes waited for the next leader",
        acknowledged.len()
    );
    assert!(seen.closed.lock().unwrap().is_empty(), "the client was not let go");
    for node in cluster.nodes() {
        let (connected, _) = connect(node).await;
        sync(&connected.session).await;
        let missing: Vec<&String> = acknowledged.iter().filter(|path| data(node, path).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(node.read(|view| view.tree().get("/a/eph").is_some()), "its session lives on");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zk_3_19_a_session_moves_between_nodes() {
    let cluster = Cluster::start(3).await;
    let nodes: Vec<Ensemble> = cluster.nodes().cloned().collect();
    let (first, seen) = connect(&nodes[0]).await;
    let id = first.session.id();
    write(&first.session, create("/e", "", CreateMode::Ephemeral)).await.unwrap();
    let mut before = first;
    let mut before_seen = seen;
    for node in [1, 2, 0, 2, 1] {
        let zxid = nodes[node].status().last_zxid;
        let (moved, moved_seen) = try_connect(&nodes[node], id, before.password, zxid).await.unwrap();
        let refused = write(&before.session, set("/e", "stale")).await.unwrap_err();
        assert_eq!(refused, Refusal::SessionMoved, "the connection before must not write any more");
        write(&moved.session, set("/e", "x")).await.unwrap();
        drop(before);
        before = moved;
        before_seen = moved_seen;
    }
    assert!(before_seen.closed.lock().unwrap().is_empty());
    let wrong = try_connect(&nodes[0], id, [7; 16], Zxid(0)).await.err();
    assert_eq!(wrong, Some(ConnectError::Expired), "a wrong password");
    write(&before.session, set("/e", "still here")).await.unwrap();
    let unknown = try_connect(&nodes[0], SessionId(0x0300_0000_0012_3456), [0; 16], Zxid(0)).await.err();
    assert_eq!(unknown, Some(ConnectError::Expired));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_expire_by_the_leaders_clock_and_live_through_any_node() {
    let cluster = Cluster::start_with(3, |config| {
        config.tick_ms = 50;
        config.session_timeout_min_ms = 400;
        config.session_timeout_max_ms = 60_000;
    })
    .await;
    let follower = cluster.follower();
    let params = |timeout_ms| ConnectParams {
        session: SessionId(0),
        password: vec![0; 16],
        timeout_ms,
        last_zxid_seen: Zxid(0),
    };
    let silent = follower.connect(params(400), Arc::new(Seen::default())).await.unwrap();
    let alive = follower.connect(params(400), Arc::new(Seen::default())).await.unwrap();
    write(&silent.session, create("/silent", "", CreateMode::Ephemeral)).await.unwrap();
    write(&alive.session, create("/alive", "", CreateMode::Ephemeral)).await.unwrap();
    let leader = cluster.leader_node();
    for _ in 0..40 {
        alive.session.touch();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    eventually(|| leader.read(|view| view.tree().get("/silent").is_none())).await;
    assert!(leader.read(|view| view.tree().get("/alive").is_some()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_catches_up_by_log_or_by_snapshot() {
    let mut cluster = Cluster::start_with(3, |config| {
        config.snapshot_every = 500;
        config.snapshots_kept = 1;
        config.segment_bytes = 32 << 10;
        config.far_behind = 50;
    })
    .await;
    let follower = cluster.follower_index();
    cluster.kill(follower).await;
    let leader = cluster.leader_node();
    let (connected, _) = connect(&leader).await;
    for n in 0..3_000 {
        let request = create(&format!("/n{n}"), "some data to fill the log with", CreateMode::Persistent);
        let answer = submit(&connected.session, request);
        if n % 100 == 99 {
            answer.await.unwrap().result.unwrap();
        }
    }
    eventually(|| leader.read(|view| view.tree().get("/n2999").is_some())).await;
    cluster.restart(follower).await;
    let node = cluster.node(follower).clone();
    eventually(|| node.read(|view| view.tree().get("/n2999").is_some())).await;
    let digest = |node: &Ensemble| node.read(|view| (view.tree().node_count(), view.tree().data_size()));
    eventually(|| digest(&node) == digest(&leader)).await;
    let (connected, _) = connect(&node).await;
    write(&connected.session, set("/n7", "from the one that came back")).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_an_emptied_disk_comes_back_as_another_replica() {
    let mut cluster = Cluster::start(3).await;
    let (connected, _) = connect(&cluster.leader_node()).await;
    write(&connected.session, create("/kept", "x", CreateMode::Persistent)).await.unwrap();
    let follower = cluster.follower_index();
    cluster.kill(follower).await;
    cluster.wipe(follower);
    cluster.restart(follower).await;
    let node = cluster.node(follower).clone();
    eventually(|| data(&node, "/kept").is_some()).await;
    eventually(|| node.status().mode == Mode::Follower).await;
    // It counts again: the other follower may go.
    let other = (0..3).find(|index| *index != follower && *index != cluster.leader()).unwrap();
    cluster.kill(other).await;
    let (connected, _) = connect(&cluster.leader_node()).await;
    write(&connected.session, create("/more", "", CreateMode::Persistent)).await.unwrap();
    cluster.stop().await;
}

/// Every record of `__znodes` from `from` on as this node serves it: offset, key, and whether it is a deletion.
fn feed(node: &Ensemble, from: i64) -> Vec<(i64, String, bool)> {
    let topic = ZnodeTopic::new(node);
    let mut scratch = log::Scratch::new();
    let mut records = Vec::new();
    let mut next = from;
    while next < topic.high_watermark() {
        let chunks = topic.read(next, 1 << 20, true).unwrap().chunks;
        for batch in log::Batch::iter(Bytes::from(chunks.concat())).map(Result::unwrap) {
            next = batch.header().next_offset();
            if batch.header().is_control() {
                continue;
            }
            for record in batch.records(&mut scratch).unwrap().map(Result::unwrap) {
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                records.push((record.offset, key, record.value.is_none()));
            }
        }
    }
    records.retain(|(offset, ..)| *offset >= from);
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_over_serves_the_same_part_of_the_change_feed() {
    let mut cluster = Cluster::start_with(3, |config| {
        config.snapshot_every = 500;
        config.segment_bytes = 16 << 10;
    })
    .await;
    let leader = cluster.leader_node();
    let (connected, _) = connect(&leader).await;
    let session = &connected.session;
    for n in 0..2_000 {
        let path = format!("/n{n}");
        drop(submit(session, create(&path, "some data to fill the log with", CreateMode::Persistent)));
        let deleted = submit(session, Request::Op(Op::Delete { path: path.into(), version: -1 }));
        if n % 100 == 99 {
            deleted.await.unwrap().result.unwrap();
        }
    }
    let topic = ZnodeTopic::new(&leader);
    let from = topic.high_watermark();
    // A node that took this newest snapshot would not have what follows `from`.
    for n in 0.. {
        let path = format!("/more{n}");
        drop(submit(session, create(&path, "some data to fill the log with", CreateMode::Persistent)));
        write(session, Request::Op(Op::Delete { path: path.into(), version: -1 })).await.unwrap();
        if cluster.newest_snapshot(cluster.leader()) > from {
            break;
        }
    }
    let end = topic.high_watermark();
    let follower = cluster.follower_index();
    cluster.kill(follower).await;
    cluster.wipe(follower);
    cluster.restart(follower).await;
    let node = cluster.node(follower).clone();
    eventually(|| ZnodeTopic::new(&node).high_watermark() >= end).await;
    let (theirs, ours) = (feed(&node, from), feed(&leader, from));
    assert!(ours.iter().any(|(_, _, deleted)| *deleted), "deletions are what a head doesn't tell");
    assert_eq!(theirs[..], ours[..theirs.len()]);
    assert!(theirs.last().unwrap().0 >= end - 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_over_soon_after_the_first_snapshot_serves_what_lies_before_it() {
    let mut cluster = Cluster::start_with(3, |config| config.snapshot_every = 500).await;
    let leader = cluster.leader_node();
    let (connected, _) = connect(&leader).await;
    for n in 0..500 {
        let path = format!("/n{n}");
        write(&connected.session, create(&path, "", CreateMode::Persistent)).await.unwrap();
        write(&connected.session, Request::Op(Op::Delete { path: path.into(), version: -1 })).await.unwrap();
        if cluster.newest_snapshot(cluster.leader()) > 0 {
            break;
        }
    }
    let end = ZnodeTopic::new(&leader).high_watermark();
    assert!(end < 1_000, "there is one snapshot, and less of the log behind it than between two");
    let follower = cluster.follower_index();
    cluster.kill(follower).await;
    cluster.wipe(follower);
    cluster.restart(follower).await;
    let node = cluster.node(follower).clone();
    eventually(|| ZnodeTopic::new(&node).high_watermark() >= end).await;
    let (theirs, ours) = (feed(&node, 100), feed(&leader, 100));
    assert_eq!(theirs[..], ours[..theirs.len()]);
    assert!(theirs.last().unwrap().0 >= end - 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_leader_hands_over() {
    let mut cluster = Cluster::start(3).await;
    let follower = cluster.follower();
    let (connected, seen) = connect(&follower).await;
    let leader = cluster.leader();
    cluster.stop_node(leader).await;
    write(&connected.session, create("/after", "", CreateMode::Persistent)).await.unwrap();
    assert!(seen.closed.lock().unwrap().is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_lets_its_clients_go_in_time() {
    let cluster = Cluster::start_with(3, |config| {
        config.tick_ms = 100;
        config.session_timeout_min_ms = 1_000;
    })
    .await;
    let follower = cluster.follower_index();
    let (_connected, seen) = connect(cluster.node(follower)).await;
    cluster.cut_off(follower);
    eventually(|| seen.closed.lock().unwrap().contains(&Closed::NodeStopping)).await;
    assert_eq!(
        try_connect(cluster.node(follower), SessionId(0), [0; 16], Zxid(0)).await.err(),
        Some(ConnectError::NotServing)
    );
    cluster.heal(follower);
    let node = cluster.node(follower).clone();
    tokio::time::timeout(std::time::Duration::from_secs(20), node.serving()).await.unwrap().unwrap();
    let (connected, _) = connect(&node).await;
    write(&connected.session, create("/healed", "", CreateMode::Persistent)).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_lost_flushed_entries_fetches_them_again() {
    let mut cluster = Cluster::start(3).await;
    let follower = cluster.follower_index();
    let (connected, _) = connect(&cluster.leader_node()).await;
    for n in 0..100 {
        write(&connected.session, create(&format!("/n{n}"), "x", CreateMode::Persistent)).await.unwrap();
    }
    let node = cluster.node(follower).clone();
    eventually(|| node.read(|view| view.tree().get("/n99").is_some())).await;
    cluster.flip_a_bit_of_the_log(follower).await;
    cluster.restart(follower).await;
    let node = cluster.node(follower).clone();
    eventually(|| node.read(|view| view.tree().get("/n99").is_some())).await;
    eventually(|| !cluster.is_marked_as_damaged(follower)).await;
    cluster.stop().await;
}

/// A node whose log begins anew behind its newest snapshot still has older ones, which don't join its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_begins_anew_can_bring_others_up() {
    let mut cluster = Cluster::start_with(3, |config| config.snapshot_every = 100).await;
    let damaged = cluster.follower_index();
    let (connected, _) = connect(&cluster.leader_node()).await;
    write(&connected.session, create("/n", "", CreateMode::Persistent)).await.unwrap();
    for n in 0..450 {
        write(&connected.session, set("/n", &n.to_string())).await.unwrap();
    }
    let is_complete = |node: &Ensemble| data(node, "/n").is_some_and(|data| data == "449");
    let node = cluster.node(damaged).clone();
    eventually(|| is_complete(&node)).await;
    eventually(|| cluster.newest_snapshot(damaged) > 400).await;
    cluster.flip_a_bit_of_the_log(damaged).await;
    cluster.restart(damaged).await;
    let node = cluster.node(damaged).clone();
    eventually(|| is_complete(&node)).await;
    eventually(|| !cluster.is_marked_as_damaged(damaged)).await;
    while cluster.leader() != damaged {
        let leader = cluster.leader();
        cluster.stop_node(leader).await;
        cluster.restart(leader).await;
        eventually(|| {
            cluster.nodes().all(|node| matches!(node.status().mode, Mode::Leader | Mode::Follower))
        })
        .await;
    }
    let emptied = cluster.follower_index();
    cluster.kill(emptied).await;
    cluster.wipe(emptied);
    cluster.restart(emptied).await;
    let node = cluster.node(emptied).clone();
    eventually(|| is_complete(&node)).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_process_loses_its_own_sessions_at_once_and_its_clients_keep_theirs() {
    let mut cluster = Cluster::start_with(3, |config| config.session_timeout_max_ms = 600_000).await;
    for victim in [cluster.follower_index(), cluster.leader()] {
        let other = (0..3).find(|index| *index != victim).unwrap();
        let (connected, _) = connect(cluster.node(victim)).await;
        write(&connected.session, create("/client", "", CreateMode::Ephemeral)).await.unwrap();
        let own = EmbeddedClient::connect(cluster.node(victim), 600_000).await.unwrap();
        let mode = CreateMode::Ephemeral;
        own.multi(vec![Write::Create { path: "/broker".to_owned(), data: None, mode, acl: None }])
            .await
            .unwrap();
        let node = cluster.node(other).clone();
        eventually(|| node.read(|view| view.tree().get("/broker").is_some())).await;
        cluster.kill(victim).await;
        eventually(|| node.read(|view| view.tree().get("/broker").is_none())).await;
        assert!(node.read(|view| view.tree().get("/client").is_some()));
        let id = connected.session.id();
        let (moved, _) = try_connect(&node, id, connected.password, Zxid(0)).await.unwrap();
        write(&moved.session, Request::CloseSession { id }).await.unwrap();
        cluster.restart(victim).await;
    }
    cluster.stop().await;
}
