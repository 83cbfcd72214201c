//! Stories of several brokers over one tree: elections, in-sync sets, reassignment, controlled shutdown, failover of the controller.
use base::World;
use controller::admin::{AdminError, ElectionKind, NewTopic, WantedReassignment};
use controller::config::BrokerConfig;
use controller::layout::{self, PartitionState, TopicAssignment};
use controller::view::{ClusterView, PartitionView};
use controller::{Connector, Controller, ControllerOptions, IsrChange, IsrError};
use ensemble::{
    Answer, Coordinator, EmbeddedClient, Ensemble, EnsembleConfig, RunningEnsemble, WatchEvent, Write,
    Written,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tree::CreateMode;

/// Long enough for the slowest machine; only failures take it.
const PATIENCE_MS: u64 = 20_000;

/// One tree that all brokers share.
struct Cluster {
    _dir: tempfile::TempDir,
    running: RunningEnsemble,
    client: EmbeddedClient,
}

/// One broker with a session of its own.
struct Broker {
    controller: Controller,
    task: tokio::task::JoinHandle<()>,
    session: Arc<Mutex<Option<Arc<EmbeddedClient>>>>,
}

impl Cluster {
    async fn start() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let config = EnsembleConfig::new(dir.path().to_owned(), 0, uuid::Uuid::from_u128(9));
        let running = RunningEnsemble::start(World::system(), config, None).expect("the node starts");
        running.ensemble().serving().await.expect("the node serves");
        let client = EmbeddedClient::connect(running.ensemble(), 18_000).await.expect("a session opens");
        Cluster { _dir: dir, running, client }
    }

    /// A broker that is registered and in the picture.
    async fn broker(&self, id: i32) -> Broker {
        let broker = self.candidate(id, &[]);
        broker.controller.ready().await;
        broker
    }

    async fn brokers<const N: usize>(&self) -> [Broker; N] {
        let mut brokers = Vec::new();
        for id in 0..N as i32 {
            brokers.push(self.broker(id).await);
        }
        for broker in &brokers {
            broker.until(|view| view.brokers.len() == N).await;
        }
        brokers.try_into().ok().expect("as many as asked for")
    }

    /// A broker that may never be registered.
    fn candidate(&self, id: i32, pairs: &[(&str, &str)]) -> Broker {
        let id = id.to_string();
        let pairs = [("broker.id", id.as_str())].into_iter().chain(pairs.iter().copied());
        let (config, _) = BrokerConfig::from_file(pairs).expect("the settings are good");
        let advertised = config.advertised_listeners.clone();
        let options = ControllerOptions { world: World::system(), config, advertised, cluster_id: None };
        let session = Arc::new(Mutex::new(None));
        let connect = connector(self.running.ensemble(), session.clone());
        let (controller, task) = Controller::start(options, connect);
        Broker { controller, task, session }
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (data, _) = self.client.get(path).await.unwrap().unwrap_or_else(|| panic!("{path} is there"));
        layout::decode("payload", path, &data.expect("data")).expect("it makes sense")
    }

    async fn create(&self, path: &str, data: &str) {
        let data = Some(bytes::Bytes::from(data.to_owned()));
        let write = Write::Create { path: path.to_owned(), data, mode: CreateMode::Persistent, acl: None };
        self.client.multi(vec![write]).await.expect("the write is accepted");
    }

    async fn stop(self) {
        self.running.stop().await.expect("the node stops");
    }
}

fn connector(ensemble: &Ensemble, session: Arc<Mutex<Option<Arc<EmbeddedClient>>>>) -> Connector {
    let ensemble = ensemble.clone();
    Arc::new(move || {
        let (ensemble, session) = (ensemble.clone(), session.clone());
        Box::pin(async move {
            let client = Arc::new(EmbeddedClient::connect(&ensemble, 18_000).await.ok()?);
            *session.lock() = Some(client.clone());
            Some(client as Arc<dyn Coordinator>)
        })
    })
}

impl Broker {
    /// The process is gone and its session has expired.
    async fn die(self) {
        self.task.abort();
        let session = self.session.lock().take();
        if let Some(session) = session {
            session.close().await;
        }
    }

    async fn until(&self, wanted: impl FnMut(&Arc<ClusterView>) -> bool) -> Arc<ClusterView> {
        let mut views = self.controller.subscribe();
        let waited = tokio::time::timeout(Duration::from_millis(PATIENCE_MS), views.wait_for(wanted)).await;
        waited.expect("the view follows").expect("the controller lives").clone()
    }

    async fn until_partition(
        &self,
        topic: &str,
        mut wanted: impl FnMut(&PartitionView) -> bool,
    ) -> PartitionView {
        let view = self.until(|view| view.partition(topic, 0).is_some_and(&mut wanted)).await;
        view.partition(topic, 0).expect("just seen").clone()
    }

    async fn create(&self, name: &str, replicas: &[i32]) {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, replicas.to_vec())],
            configs: Vec::new(),
        };
        self.controller.create_topic(&topic, false, PATIENCE_MS).await.expect("the topic is created");
    }

    /// What the leader does when replicas have caught up or fallen behind.
    async fn set_isr(&self, topic: &str, isr: &[i32]) -> Result<i32, IsrError> {
        let view = self.controller.view();
        let partition = view.partition(topic, 0).expect("the partition is there");
        let change = IsrChange {
            topic: topic.into(),
            partition: 0,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: isr.to_vec(),
            broker_epochs: BTreeMap::new(),
            settles: false,
            recovered: false,
        };
        self.controller.alter_isr(vec![change]).await[0]
    }

    async fn reassign(&self, topic: &str, replicas: Option<&[i32]>) -> Result<(), AdminError> {
        let wanted =
            WantedReassignment { topic: topic.into(), partition: 0, replicas: replicas.map(<[i32]>::to_vec) };
        let results = self.controller.alter_partition_reassignments(vec![wanted], true, PATIENCE_MS).await;
        results.expect("the tree can be written").remove(0).result
    }

    async fn elect(&self, kind: ElectionKind, topic: &str) -> Result<(), AdminError> {
        let named = Some(vec![(Arc::from(topic), vec![0])]);
        let results = self.controller.elect_leaders(kind, named, PATIENCE_MS).await;
        results.expect("the tree can be written").remove(0).result
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_controller_and_leader_is_followed_by_the_others() {
    let cluster = Cluster::start().await;
    let [first, second, third] = cluster.brokers().await;
    assert!(first.controller.is_active());
    assert_eq!(third.controller.active_controller(), Some(0));
    third.create("t", &[0, 1, 2]).await;
    let before = third.until_partition("t", |partition| partition.leader == 0).await;
    assert_eq!(before.isr, [0, 1, 2]);
    first.die().await;
    let after = third.until_partition("t", |partition| partition.leader == 1).await;
    assert_eq!((after.leader_epoch, after.isr), (1, vec![1, 2]));
    let view = third.until(|view| view.controller.is_some()).await;
    assert_eq!((view.controller_epoch, view.brokers.len()), (2, 2));
    let state: PartitionState = cluster.json("/brokers/topics/t/partitions/0/state").await;
    assert_eq!(state.controller_epoch, 2);
    // It comes back as another incarnation: no leader, and in sync only once the leader says so.
    let first = cluster.broker(0).await;
    let view = first.controller.view();
    let back = view.partition("t", 0).unwrap();
    assert_eq!((back.leader, back.isr.as_slice()), (1, &[1, 2][..]));
    let znodes = first.until_partition("__znodes", |partition| partition.isr.len() == 3).await;
    assert_eq!(znodes.replicas, [0, 1, 2]);
    second.until(|view| view.brokers.len() == 3).await;
    assert_eq!(second.set_isr("t", &[1, 2, 0]).await, Ok(after.partition_epoch + 1));
    first.until_partition("t", |partition| partition.isr == [1, 2, 0]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_two_changes_of_one_state_is_made() {
    let cluster = Cluster::start().await;
    let [first, second] = cluster.brokers().await;
    first.create("t", &[0, 1]).await;
    first.until_partition("t", |partition| partition.isr == [0, 1]).await;
    second.until_partition("t", |partition| partition.isr == [0, 1]).await;
    assert_eq!(second.set_isr("t", &[1]).await, Err(IsrError::Fenced), "it does not lead");
    let (shrunk, same) = tokio::join!(first.set_isr("t", &[0]), first.set_isr("t", &[0]));
    let made = [shrunk, same].iter().filter(|result| **result == Ok(1)).count();
    assert!(made >= 1, "{shrunk:?} {same:?}");
    let state: PartitionState = cluster.json("/brokers/topics/t/partitions/0/state").await;
    assert_eq!((state.isr.as_slice(), state.leader_epoch), (&[0][..], 0));
    // The leadership moves while the old leader still believes in it.
    first.until_partition("t", |partition| partition.isr == [0]).await;
    assert_eq!(first.set_isr("t", &[0, 1]).await, Ok(2));
    let late = first.controller.view();
    let late = late.partition("t", 0).unwrap();
    let stale = IsrChange {
        topic: "t".into(),
        partition: 0,
        leader_epoch: late.leader_epoch,
        partition_epoch: 2,
        isr: vec![0],
        broker_epochs: BTreeMap::new(),
        settles: false,
        recovered: false,
    };
    first.until_partition("t", |partition| partition.partition_epoch == 2).await;
    first.controller.controlled_shutdown(0, -1).await.unwrap();
    assert_eq!(first.controller.alter_isr(vec![stale]).await, [Err(IsrError::Fenced)]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kip_460_preferred_leaders_are_elected_on_request_from_any_node() {
    let cluster = Cluster::start().await;
    let [first, second] = cluster.brokers().await;
    for topic in ["t", "u"] {
        second.create(topic, &[0, 1]).await;
    }
    assert_eq!(second.elect(ElectionKind::Preferred, "t").await, Err(AdminError::ElectionNotNeeded));
    first.die().await;
    for topic in ["t", "u"] {
        second.until_partition(topic, |partition| partition.leader == 1).await;
    }
    let unavailable = second.elect(ElectionKind::Preferred, "t").await.unwrap_err();
    assert_eq!((unavailable.code(), unavailable), (80, AdminError::PreferredLeaderNotAvailable));
    let first = cluster.broker(0).await;
    second.until(|view| view.brokers.len() == 2).await;
    for topic in ["t", "u"] {
        second.set_isr(topic, &[1, 0]).await.unwrap();
        first.until_partition(topic, |partition| partition.isr == [1, 0]).await;
    }
    assert_eq!(first.elect(ElectionKind::Preferred, "t").await, Ok(()));
    assert_eq!(cluster.json::<PartitionState>("/brokers/topics/t/partitions/0/state").await.leader, 0);
    assert_eq!(first.elect(ElectionKind::Unclean, "t").await.unwrap_err().code(), 84);
    assert_eq!(first.elect(ElectionKind::Preferred, "none").await.unwrap_err().code(), 3);
    let all = first.controller.elect_leaders(ElectionKind::Preferred, None, PATIENCE_MS).await.unwrap();
    let elected: Vec<_> = all.iter().map(|one| (&*one.topic, one.result.clone())).collect();
    assert_eq!(elected.iter().filter(|(topic, _)| *topic == "u").count(), 1);
    assert!(!elected.iter().any(|(topic, _)| *topic == "t"), "what needs no election is left out");
    // The same as a znode, for tools that know no other way.
    second.until_partition("t", |partition| partition.leader == 0).await;
    first.die().await;
    second.until_partition("t", |partition| partition.leader == 1).await;
    let first = cluster.broker(0).await;
    second.until(|view| view.brokers.len() == 2).await;
    second.set_isr("t", &[1, 0]).await.unwrap();
    let request = r#"{"version":1,"partitions":[{"topic":"t","partition":0}]}"#;
    cluster.create("/admin/preferred_replica_election", request).await;
    first.until_partition("t", |partition| partition.leader == 0).await;
    first.until(|view| view.preferred_election.is_none()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclean_election_on_request_ends_an_outage() {
    let cluster = Cluster::start().await;
    let [first, second] = cluster.brokers().await;
    first.create("t", &[0, 1]).await;
    first.until_partition("t", |partition| partition.isr == [0, 1]).await;
    first.set_isr("t", &[0]).await.unwrap();
    first.die().await;
    second.until_partition("t", |partition| partition.leader == -1 && partition.partition_epoch >= 0).await;
    assert_eq!(second.elect(ElectionKind::Unclean, "t").await, Ok(()));
    let led = second.until_partition("t", |partition| partition.leader == 1).await;
    assert!(led.recovering && led.isr == [1], "{led:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kip_455_replicas_move_when_the_new_ones_are_in_sync() {
    let cluster = Cluster::start().await;
    let [first, second, third] = cluster.brokers().await;
    first.create("t", &[0, 1]).await;
    assert_eq!(third.reassign("t", None).await.unwrap_err().code(), 85);
    for (bad, code) in [(vec![], 39), (vec![7], 39), (vec![1, 1], 39)] {
        assert_eq!(third.reassign("t", Some(&bad)).await.unwrap_err().code(), code, "{bad:?}");
    }
    assert_eq!(third.reassign("none", Some(&[1])).await.unwrap_err().code(), 3);
    assert_eq!(third.reassign("__znodes", Some(&[1])).await.unwrap_err().code(), 39);
    assert_eq!(third.reassign("t", Some(&[2, 1])).await, Ok(()));
    let assignment: TopicAssignment = cluster.json("/brokers/topics/t").await;
    assert_eq!(assignment.partitions[&0], [2, 1, 0]);
    assert_eq!((&assignment.adding_replicas[&0], &assignment.removing_replicas[&0]), (&vec![2], &vec![0]));
    third.until_partition("t", |partition| partition.adding == [2]).await;
    let ongoing = third.controller.list_partition_reassignments(None);
    assert_eq!((ongoing.len(), ongoing[0].replicas.as_slice()), (1, &[2, 1, 0][..]));
    let grown = third.controller.create_partitions("t", 2, None, false, PATIENCE_MS).await;
    assert_eq!(grown.unwrap_err().code(), 60);
    first.until_partition("t", |partition| partition.adding == [2]).await;
    first.set_isr("t", &[0, 1, 2]).await.unwrap();
    let moved = second.until_partition("t", |partition| partition.replicas == [2, 1]).await;
    assert_eq!((moved.leader, moved.leader_epoch, moved.isr.as_slice()), (2, 1, &[1, 2][..]));
    assert!(!moved.is_reassigning());
    third.until_partition("t", |partition| !partition.is_reassigning()).await;
    assert!(third.controller.list_partition_reassignments(None).is_empty());
    // Cancelled: the old replicas stay, the new one leaves the in-sync set again.
    assert_eq!(first.reassign("t", Some(&[0])).await, Ok(()));
    assert_eq!(second.reassign("t", None).await, Ok(()));
    let kept = third.until_partition("t", |partition| !partition.is_reassigning()).await;
    assert_eq!((kept.replicas, kept.leader), (vec![2, 1], 2));
    // Only the order changes: nothing has to move.
    assert_eq!(first.reassign("t", Some(&[1, 2])).await, Ok(()));
    third.until_partition("t", |partition| partition.replicas == [1, 2] && !partition.is_reassigning()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reassignments_written_as_a_znode_are_started_and_the_request_removed_at_their_end() {
    let cluster = Cluster::start().await;
    let [first, second] = cluster.brokers().await;
    first.create("t", &[0]).await;
    let request = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1]},{"topic":"x","partition":0,"replicas":[1]}]}"#;
    cluster.create("/admin/reassign_partitions", request).await;
    let moving = first.until_partition("t", |partition| partition.is_reassigning()).await;
    assert_eq!((moving.replicas, moving.adding, moving.removing), (vec![1, 0], vec![1], vec![0]));
    assert!(cluster.client.get("/admin/reassign_partitions").await.unwrap().is_some());
    first.set_isr("t", &[0, 1]).await.unwrap();
    second.until_partition("t", |partition| partition.replicas == [1] && partition.leader == 1).await;
    second.until(|view| view.reassignment_request.is_none()).await;
    // A request that another one overrides is not started again.
    let request = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[0]}]}"#;
    cluster.create("/admin/reassign_partitions", request).await;
    second.until_partition("t", |partition| partition.adding == [0]).await;
    second.until(|view| view.reassignment_request.is_some()).await;
    assert_eq!(second.reassign("t", None).await, Ok(()));
    let view = second.until(|view| view.reassignment_request.is_none()).await;
    assert_eq!(view.partition("t", 0).unwrap().replicas, [1]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controlled_shutdown_leaves_nothing_to_be_missed() {
    let cluster = Cluster::start().await;
    let [first, second, third] = cluster.brokers().await;
    first.create("t", &[1, 0]).await;
    first.create("u", &[0, 1]).await;
    first.create("alone", &[1]).await;
    let view = first.until(|view| view.partition("alone", 0).is_some_and(|p| p.leader == 1)).await;
    let epoch = view.brokers[&1].epoch;
    let refused = second.controller.controlled_shutdown(1, epoch).await.unwrap_err();
    assert_eq!(refused, AdminError::NotController);
    assert_eq!(first.controller.controlled_shutdown(1, epoch - 1).await.unwrap_err().code(), 77);
    assert_eq!(first.controller.controlled_shutdown(7, -1).await.unwrap_err().code(), 8);
    assert_eq!(first.controller.controlled_shutdown(1, epoch).await, Ok(Vec::new()));
    let moved = third.until_partition("t", |partition| partition.leader == 0).await;
    assert_eq!((moved.leader_epoch, moved.isr), (1, vec![0]));
    third.until_partition("u", |partition| partition.isr == [0]).await;
    second.controller.stop().await;
    assert!(cluster.client.get("/brokers/ids/1").await.unwrap().is_none(), "its registration went at once");
    third.until_partition("alone", |partition| partition.leader == -1).await;
    // The controller itself: another one takes over at once.
    first.controller.stop().await;
    third.until(|view| view.controller == Some(2) && view.brokers.len() == 1).await;
    let znodes = third.until_partition("__znodes", |partition| partition.isr == [2]).await;
    assert_eq!(znodes.leader, 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_registration_and_a_removed_controller_come_back() {
    let cluster = Cluster::start().await;
    let [first, second] = cluster.brokers().await;
    let before = first.controller.view().brokers[&0].epoch;
    for path in ["/brokers/ids/0", "/controller"] {
        let delete = Write::Delete { path: path.to_owned(), version: -1 };
        cluster.client.multi(vec![delete]).await.unwrap();
    }
    second
        .until(|view| {
            view.controller.is_some()
                && view.controller_epoch == 2
                && view.brokers.get(&0).is_some_and(|broker| broker.epoch > before)
        })
        .await;
    second.create("t", &[0, 1]).await;
    // A generation that somebody wrote by hand counts, and the controller goes on in it.
    let data = Some(bytes::Bytes::from_static(b"9"));
    let write = Write::Set { path: "/controller_epoch".to_owned(), data, version: -1 };
    cluster.client.multi(vec![write]).await.unwrap();
    second.create("u", &[0, 1]).await;
    let state: PartitionState = cluster.json("/brokers/topics/u/partitions/0/state").await;
    assert_eq!(state.controller_epoch, 9);
    cluster.stop().await;
}

/// A session with troubles of its own.
struct Troubled {
    client: EmbeddedClient,
    /// It says that it is closed while the tree still has it.
    cut: Option<tokio::sync::watch::Receiver<bool>>,
    /// Its writes of partitions' states are on their way for as long as this holds.
    held: Option<Arc<Held>>,
}

#[derive(Default)]
struct Held {
    holds: tokio::sync::watch::Sender<bool>,
    reached: tokio::sync::Notify,
}

impl Coordinator for Troubled {
    fn session(&self) -> tree::SessionId {
        self.client.session()
    }
    fn multi(&self, writes: Vec<Write>) -> Answer<'_, (tree::Zxid, Vec<Written>)> {
        let is_state = |write: &Write| matches!(write, Write::Set { path, .. } if path.ends_with("/state"));
        let held = self.held.clone().filter(|_| writes.iter().any(is_state));
        Box::pin(async move {
            if let Some(held) = held.filter(|held| *held.holds.borrow()) {
                held.reached.notify_one();
                held.holds.subscribe().wait_for(|holds| !holds).await.expect("the test lets go");
            }
            self.client.multi(writes).await
        })
    }
    fn get<'a>(&'a self, path: &'a str) -> Answer<'a, Option<(Option<bytes::Bytes>, tree::Stat)>> {
        self.client.get(path)
    }
    fn children<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Vec<String>>> {
        self.client.children(path)
    }
    fn watch<'a>(&'a self, path: &'a str) -> Answer<'a, tokio::sync::mpsc::UnboundedReceiver<WatchEvent>> {
        self.client.watch(path)
    }
    fn sync(&self) -> Answer<'_, ()> {
        self.client.sync()
    }
    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut cut = self.cut.clone();
        Box::pin(async move {
            match &mut cut {
                Some(cut) => _ = cut.wait_for(|cut| *cut).await,
                None => std::future::pending().await,
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_judged_before_a_registration_does_not_vouch_for_it() {
    let cluster = Cluster::start().await;
    let held = Arc::new(Held::default());
    let (ensemble, holding) = (cluster.running.ensemble().clone(), held.clone());
    let connect: Connector = Arc::new(move || {
        let (ensemble, held) = (ensemble.clone(), Some(holding.clone()));
        Box::pin(async move {
            let client = EmbeddedClient::connect(&ensemble, 18_000).await.ok()?;
            Some(Arc::new(Troubled { client, cut: None, held }) as Arc<dyn Coordinator>)
        })
    });
    let (config, _) = BrokerConfig::from_file([("broker.id", "0")]).unwrap();
    let advertised = config.advertised_listeners.clone();
    let options = ControllerOptions { world: World::system(), config, advertised, cluster_id: None };
    let (controller, _task) = Controller::start(options, connect);
    controller.ready().await;
    let leader = cluster.broker(1).await;
    let (member, leaving) = (cluster.broker(2).await, cluster.broker(3).await);
    leader.until(|view| view.brokers.len() == 4).await;
    leader.create("t", &[1, 2, 3]).await;
    leader.until_partition("t", |partition| partition.isr == [1, 2, 3]).await;
    // The controller is about to write [1, 2] when 2 goes and comes back, maybe without what it had.
    held.holds.send_replace(true);
    leaving.die().await;
    tokio::time::timeout(Duration::from_millis(PATIENCE_MS), held.reached.notified()).await.unwrap();
    member.die().await;
    let _member = cluster.broker(2).await;
    held.holds.send_replace(false);
    let state = leader.until_partition("t", |partition| !partition.isr.contains(&3)).await;
    assert_eq!((state.leader, state.isr), (1, vec![1]));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kip_903_a_change_of_in_sync_replicas_names_the_incarnations_that_were_judged() {
    let cluster = Cluster::start().await;
    let [first, second] = cluster.brokers().await;
    first.create("t", &[0, 1]).await;
    let before = first.until_partition("t", |partition| partition.isr == [0, 1]).await;
    let judged = first.controller.view().brokers[&1].epoch;
    second.die().await;
    let alone = first.until_partition("t", |partition| partition.isr == [0]).await;
    let _second = cluster.broker(1).await;
    let view = first.until(|view| view.brokers.len() == 2).await;
    let change = |epoch| IsrChange {
        topic: "t".into(),
        partition: 0,
        leader_epoch: before.leader_epoch,
        partition_epoch: alone.partition_epoch,
        isr: vec![0, 1],
        broker_epochs: BTreeMap::from([(1, epoch)]),
        settles: false,
        recovered: false,
    };
    assert_eq!(first.controller.alter_isr(vec![change(judged)]).await, [Err(IsrError::Conflict)]);
    let now = view.brokers[&1].epoch;
    assert_eq!(first.controller.alter_isr(vec![change(now)]).await, [Ok(alone.partition_epoch + 1)]);
    // What is there already needs no new state, unless an attempt on the old one may be under way.
    let again = IsrChange { partition_epoch: alone.partition_epoch + 1, ..change(now) };
    assert_eq!(first.controller.alter_isr(vec![again.clone()]).await, [Ok(alone.partition_epoch + 1)]);
    let settling = IsrChange { settles: true, ..again };
    assert_eq!(first.controller.alter_isr(vec![settling]).await, [Ok(alone.partition_epoch + 2)]);
    assert_eq!(first.controller.alter_isr(vec![change(now)]).await, [Err(IsrError::Conflict)]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_takes_over_what_the_given_up_one_left_behind() {
    let cluster = Cluster::start().await;
    let cut = tokio::sync::watch::Sender::new(false);
    let (ensemble, receiver) = (cluster.running.ensemble().clone(), cut.subscribe());
    let connect: Connector = Arc::new(move || {
        let (ensemble, cut) = (ensemble.clone(), receiver.clone());
        Box::pin(async move {
            let client = EmbeddedClient::connect(&ensemble, 18_000).await.ok()?;
            // Only the first session is ever cut off.
            let is_cut = *cut.borrow();
            let cut = (!is_cut).then_some(cut);
            Some(Arc::new(Troubled { client, cut, held: None }) as Arc<dyn Coordinator>)
        })
    });
    let (config, _) = BrokerConfig::from_file([("broker.id", "4")]).unwrap();
    let advertised = config.advertised_listeners.clone();
    let options = ControllerOptions { world: World::system(), config, advertised, cluster_id: None };
    let (controller, _task) = Controller::start(options, connect);
    controller.ready().await;
    let before = controller.view();
    cut.send_replace(true);
    let mut views = controller.subscribe();
    // Far below the timeout of the session that was given up.
    let again = views.wait_for(|view| {
        view.brokers.get(&4).is_some_and(|broker| broker.epoch > before.brokers[&4].epoch)
            && view.controller == Some(4)
            && view.controller_epoch > before.controller_epoch
    });
    let again = tokio::time::timeout(Duration::from_secs(10), again).await;
    assert!(again.is_ok(), "the broker is back before its old session runs out");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_id_that_is_taken_is_a_clear_failure() {
    let cluster = Cluster::start().await;
    let first = cluster.broker(0).await;
    let second = cluster.candidate(0, &[("zookeeper.session.timeout.ms", "1")]);
    let reason = second.controller.failed().await;
    assert!(reason.contains("another live broker is registered with the id 0"), "{reason}");
    // It takes the place once that is free.
    first.die().await;
    second.controller.ready().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_topics_wait_for_the_brokers_that_are_known() {
    let cluster = Cluster::start().await;
    let first = cluster.broker(0).await;
    let offsets = |name: &str| NewTopic {
        name: name.to_owned(),
        partitions: 2,
        replication_factor: 3,
        ..NewTopic::default()
    };
    first.controller.expect_brokers(3);
    let early = first.controller.create_topic(&offsets("__consumer_offsets"), false, PATIENCE_MS).await;
    assert_eq!(early.unwrap_err().code(), 38);
    let second = cluster.broker(1).await;
    let third = cluster.broker(2).await;
    first.until(|view| view.brokers.len() == 3).await;
    let created = first.controller.create_topic(&offsets("__consumer_offsets"), false, PATIENCE_MS).await;
    assert_eq!(created.unwrap().replication_factor, 3);
    // A broker that was there before is waited for as well.
    third.until_partition("__znodes", |partition| partition.replicas.len() == 3).await;
    second.die().await;
    third.until(|view| view.brokers.len() == 2).await;
    let without = third.controller.create_topic(&offsets("__transaction_state"), false, PATIENCE_MS).await;
    assert_eq!(without.unwrap_err().code(), 38);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_leaderships_move_in_a_handful_of_transactions() {
    const TOPICS: i32 = 100;
    const PARTITIONS: i32 = 20;
    let cluster = Cluster::start().await;
    let [first, second, third] = cluster.brokers().await;
    for index in 0..TOPICS {
        let topic = NewTopic {
            name: format!("t{index}"),
            partitions: PARTITIONS,
            replication_factor: 3,
            ..NewTopic::default()
        };
        first.controller.create_topic(&topic, false, PATIENCE_MS).await.unwrap();
    }
    second.until(|view| view.topics.len() as i32 > TOPICS).await;
    let mut events = cluster.client.watch("/brokers/topics").await.unwrap();
    first.die().await;
    let is_moved = |partition: &PartitionView| partition.leader > 0 && !partition.isr.contains(&0);
    third.until(|view| view.topics.values().all(|topic| topic.partitions.iter().all(is_moved))).await;
    let mut transactions = std::collections::BTreeSet::new();
    while let Ok(event) = events.try_recv() {
        transactions.extend(event.zxid);
    }
    assert!(transactions.len() <= 20, "{} transactions", transactions.len());
    cluster.stop().await;
}
