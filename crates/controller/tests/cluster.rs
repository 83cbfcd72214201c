//! Stories of one broker: Kafka's metadata is znodes, whoever writes them.
use base::World;
use controller::admin::{AdminError, ConfigChanges, ConfigResource, NewTopic};
use controller::config::{AlterOperation, Alteration, BrokerConfig};
use controller::layout::{self, BrokerRegistration, ControllerRegistration, PartitionState, TopicAssignment};
use controller::view::ClusterView;
use controller::{Connector, Controller, ControllerOptions, IsrChange, IsrError};
use ensemble::{Coordinator, EmbeddedClient, Ensemble, EnsembleConfig, RunningEnsemble, Write};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tree::CreateMode;

/// Long enough for the slowest machine; only failures take it.
const PATIENCE_MS: u64 = 20_000;

struct Node {
    running: RunningEnsemble,
    controller: Controller,
    task: tokio::task::JoinHandle<()>,
    client: EmbeddedClient,
}

fn connector(ensemble: &Ensemble) -> Connector {
    let ensemble = ensemble.clone();
    Arc::new(move || {
        let ensemble = ensemble.clone();
        Box::pin(async move {
            let client = EmbeddedClient::connect(&ensemble, 18_000).await.ok()?;
            Some(Arc::new(client) as Arc<dyn Coordinator>)
        })
    })
}

impl Node {
    async fn start(dir: &Path, pairs: &[(&str, &str)]) -> Node {
        let world = World::system();
        let config = EnsembleConfig::new(dir.to_owned(), 0, uuid::Uuid::from_u128(9));
        let running = RunningEnsemble::start(world.clone(), config, None).expect("the node starts");
        running.ensemble().serving().await.expect("the node serves");
        let (config, _) = BrokerConfig::from_file(pairs.iter().copied()).expect("the settings are good");
        let mut advertised = config.advertised_listeners.clone();
        for listener in &mut advertised {
            listener.host = Some("localhost".to_owned());
            listener.port = 9092;
        }
        let options = ControllerOptions { world, config, advertised, cluster_id: None };
        let (controller, task) = Controller::start(options, connector(running.ensemble()));
        controller.ready().await;
        let client = EmbeddedClient::connect(running.ensemble(), 18_000).await.expect("a session opens");
        Node { running, controller, task, client }
    }

    async fn stop(self) {
        self.task.abort();
        self.running.stop().await.expect("the node stops");
    }

    async fn write(&self, path: &str, data: Option<&str>) {
        let data = data.map(|text| bytes::Bytes::from(text.to_owned()));
        let write = if self.client.get(path).await.unwrap().is_some() {
            Write::Set { path: path.to_owned(), data, version: -1 }
        } else {
            Write::Create { path: path.to_owned(), data, mode: CreateMode::Persistent, acl: None }
        };
        self.client.multi(vec![write]).await.expect("the write is accepted");
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (data, _) = self.client.get(path).await.unwrap().unwrap_or_else(|| panic!("{path} is there"));
        layout::decode("payload", path, &data.expect("data")).expect("it makes sense")
    }

    async fn until(&self, wanted: impl FnMut(&Arc<ClusterView>) -> bool) -> Arc<ClusterView> {
        let mut views = self.controller.subscribe();
        let waited = tokio::time::timeout(Duration::from_millis(PATIENCE_MS), views.wait_for(wanted)).await;
        waited.expect("the view follows").expect("the controller lives").clone()
    }
}

fn topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic { name: name.to_owned(), partitions, replication_factor: 1, ..NewTopic::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layout_is_what_kafkas_tools_expect() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[("broker.rack", "r1")]).await;
    for path in layout::PERSISTENT_PATHS {
        assert!(node.client.get(path).await.unwrap().is_some(), "{path}");
    }
    let broker: BrokerRegistration = node.json("/brokers/ids/0").await;
    assert_eq!(broker.version, 5);
    assert_eq!(broker.endpoints, ["PLAINTEXT://localhost:9092"]);
    assert_eq!((broker.host.as_deref(), broker.port), (Some("localhost"), 9092));
    assert_eq!(broker.listener_security_protocol_map["PLAINTEXT"], "PLAINTEXT");
    assert_eq!(broker.rack.as_deref(), Some("r1"));
    let controller: ControllerRegistration = node.json("/controller").await;
    assert_eq!((controller.version, controller.brokerid, controller.kraft_controller_epoch), (2, 0, -1));
    let (epoch, _) = node.client.get("/controller_epoch").await.unwrap().unwrap();
    assert_eq!(epoch.as_deref(), Some(&b"1"[..]));
    let view = node.controller.view();
    assert_eq!(view.cluster_id.len(), 22);
    assert_eq!(view.controller, Some(0));
    let (_, stat) = node.client.get("/brokers/ids/0").await.unwrap().unwrap();
    assert_eq!(view.brokers[&0].epoch, stat.czxid.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_topic_is_znodes_and_a_deleted_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]).await;
    let mut wanted = topic("orders", 3);
    wanted.configs = vec![("retention.ms".into(), Some("1000".into())), ("segment.ms".into(), None)];
    let created = node.controller.create_topic(&wanted, false, PATIENCE_MS).await.unwrap();
    let assignment: TopicAssignment = node.json("/brokers/topics/orders").await;
    assert_eq!(assignment.id(), Some(created.id));
    assert_eq!(assignment.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    let state: PartitionState = node.json("/brokers/topics/orders/partitions/2/state").await;
    assert_eq!((state.leader, state.leader_epoch, state.controller_epoch), (0, 0, 1));
    assert_eq!(state.isr, [0]);
    let view = node.controller.view();
    assert_eq!(view.topic("orders").unwrap().config.retention_ms, 1000);
    assert_eq!(view.topic_by_id(created.id).unwrap().name.as_ref(), "orders");
    let again = node.controller.create_topic(&topic("orders", 1), false, PATIENCE_MS).await;
    assert_eq!(again, Err(AdminError::TopicExists("orders".into())));
    node.controller.create_partitions("orders", 5, None, false, PATIENCE_MS).await.unwrap();
    let state: PartitionState = node.json("/brokers/topics/orders/partitions/4/state").await;
    assert_eq!(state.leader, 0);
    node.controller.delete_topic("orders", PATIENCE_MS).await.unwrap();
    for path in ["/brokers/topics/orders", "/config/topics/orders", "/admin/delete_topics/orders"] {
        node.until(|view| !view.deleting.contains("orders")).await;
        assert!(node.client.get(path).await.unwrap().is_none(), "{path}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn znodes_written_by_hand_make_change_and_end_topics() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]).await;
    node.write("/brokers/topics/hand", Some(r#"{"version":1,"partitions":{"0":[0],"1":[0]}}"#)).await;
    let view = node
        .until(|view| {
            view.topic("hand")
                .is_some_and(|topic| !topic.id.is_nil() && topic.partitions.iter().all(|p| p.leader == 0))
        })
        .await;
    assert_eq!(view.topic("hand").unwrap().partitions.len(), 2);
    node.write("/config/topics/hand", Some(r#"{"version":1,"config":{"retention.ms":"77"}}"#)).await;
    node.until(|view| view.topic("hand").is_some_and(|topic| topic.config.retention_ms == 77)).await;
    node.write("/config/topics/hand", Some("no json")).await;
    node.write("/config/brokers/<default>", Some(r#"{"version":1,"config":{"log.retention.ms":"88"}}"#))
        .await;
    node.until(|view| view.topic("__znodes").is_some_and(|topic| topic.config.retention_ms == 88)).await;
    node.write("/admin/delete_topics/hand", None).await;
    node.until(|view| view.topic("hand").is_none() && view.deleting.is_empty()).await;
    node.write("/admin/delete_topics/never_there", None).await;
    node.write("/admin/delete_topics/__znodes", None).await;
    node.until(|view| view.deleting.is_empty()).await;
    let mut gone = false;
    while !gone {
        gone = node.client.children("/admin/delete_topics").await.unwrap().unwrap().is_empty();
        tokio::task::yield_now().await;
    }
    assert!(node.controller.view().topic("__znodes").is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_znodes_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]).await;
    for (path, data) in [
        ("/brokers/topics/bad", "{"),
        ("/brokers/topics/gap", r#"{"version":3,"partitions":{"0":[0],"7":[0]}}"#),
        ("/brokers/topics/far", r#"{"version":3,"partitions":{"0":[99]}}"#),
        ("/brokers/topics/neg", r#"{"version":3,"partitions":{"-1":[0]}}"#),
        ("/brokers/ids/x", "{}"),
        ("/config/brokers/0", r#"{"version":1,"config":{"node.id":"7","log.retention.ms":"5"}}"#),
    ] {
        node.write(path, Some(data)).await;
    }
    node.controller.create_topic(&topic("good", 1), false, PATIENCE_MS).await.unwrap();
    let view = node.controller.view();
    assert!(view.topic("bad").is_none());
    assert_eq!(view.topic("gap").unwrap().partitions.len(), 1);
    assert_eq!(view.topic("far").unwrap().partitions[0].leader, -1);
    assert_eq!(view.topic("good").unwrap().config.retention_ms, 5);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_are_altered_through_znodes_with_a_notification() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]).await;
    node.controller.create_topic(&topic("t", 1), false, PATIENCE_MS).await.unwrap();
    let resource = ConfigResource::Topic("t".into());
    let set =
        [Alteration { key: "cleanup.policy", operation: AlterOperation::Append, value: Some("compact") }];
    node.controller
        .alter_configs(&resource, ConfigChanges::Incremental(&set), false, PATIENCE_MS)
        .await
        .unwrap();
    let changes = node.client.children("/config/changes").await.unwrap().unwrap();
    assert_eq!(changes, ["config_change_0000000000"]);
    let change: layout::ConfigChange = node.json("/config/changes/config_change_0000000000").await;
    assert_eq!(change.entity_path, "topics/t");
    let entries = node.controller.describe_configs(&resource, Some(&["cleanup.policy"])).unwrap();
    assert_eq!(entries[0].value.as_deref(), Some("delete,compact"));
    let bad = [("retention.ms", Some("soon"))];
    let refused =
        node.controller.alter_configs(&resource, ConfigChanges::Replacement(&bad), false, PATIENCE_MS).await;
    assert_eq!(refused.unwrap_err().code(), 40);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_broker_leads_in_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]).await;
    node.controller.create_topic(&topic("t", 2), false, PATIENCE_MS).await.unwrap();
    let id = node.controller.view().cluster_id.clone();
    node.stop().await;
    let node = Node::start(dir.path(), &[]).await;
    let view = node
        .until(|view| view.topic("t").is_some_and(|t| t.partitions.iter().all(|p| p.leader_epoch == 1)))
        .await;
    assert_eq!(view.cluster_id, id);
    assert_eq!(view.controller_epoch, 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn producer_ids_are_never_given_out_twice() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]).await;
    assert_eq!(node.controller.producer_id_block().await.unwrap(), 0..1000);
    node.stop().await;
    let node = Node::start(dir.path(), &[]).await;
    assert_eq!(node.controller.producer_id_block().await.unwrap(), 1000..2000);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_in_sync_replicas_are_compared_and_set_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]).await;
    node.controller.create_topic(&topic("t", 3), false, PATIENCE_MS).await.unwrap();
    for partition in 0..3 {
        let path = layout::state_path("t", partition);
        let mut state: PartitionState = node.json(&path).await;
        state.leader_recovery_state = 1;
        let text = String::from_utf8(layout::encode(&state).to_vec()).unwrap();
        node.write(&path, Some(&text)).await;
    }
    node.until(|view| view.topic("t").unwrap().partitions.iter().all(|p| p.recovering)).await;
    let change = |topic: &str, partition, leader_epoch, partition_epoch| IsrChange {
        topic: topic.into(),
        partition,
        leader_epoch,
        partition_epoch,
        isr: vec![0],
        broker_epochs: BTreeMap::new(),
        settles: false,
        recovered: true,
    };
    let mut absent = change("t", 0, 0, 1);
    absent.isr = vec![0, 7];
    let asked = vec![
        change("t", 0, 0, 1),
        change("t", 1, 0, 0),
        change("t", 2, -1, 1),
        change("t", 2, 0, 1),
        change("none", 0, 0, 0),
        absent,
    ];
    let results = node.controller.alter_isr(asked).await;
    let (fenced, conflict) = (Err(IsrError::Fenced), Err(IsrError::Conflict));
    assert_eq!(results, [Ok(2), conflict, fenced, Ok(2), fenced, conflict]);
    let state: PartitionState = node.json("/brokers/topics/t/partitions/2/state").await;
    assert_eq!((state.leader, state.leader_epoch, state.leader_recovery_state), (0, 0, 0));
    // Saying what is there already is no change.
    assert_eq!(node.controller.alter_isr(vec![change("t", 0, 0, 2)]).await, [Ok(2)]);
    // Two changes of one state in one request: the second meets the first.
    let twice = vec![change("t", 1, 0, 1), change("t", 1, 0, 1)];
    assert_eq!(node.controller.alter_isr(twice).await, [Ok(2), conflict]);
    node.stop().await;
}
