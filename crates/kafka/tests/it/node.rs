//! A node for a test: ensemble, controller, broker and door in one process, on a free port.
use crate::wire::Client;
use base::World;
use broker::{Broker, BrokerOptions};
use controller::config::BrokerConfig;
use controller::{Connector, Controller, ControllerOptions};
use ensemble::{ConfiguredVoter, Coordinator, EmbeddedClient, EnsembleConfig, RunningEnsemble, ZnodeTopic};
use kafka::{BoundListener, OpenDoor, RunningDoor};
use log::{LogDir, TailBudget};
use peers::{Peers, Tcp, TcpOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Settings that keep tests quick.
const QUICK: &[(&str, &str)] = &[
    ("listeners", "PLAINTEXT://127.0.0.1:0"),
    ("advertised.listeners", "PLAINTEXT://127.0.0.1:1"),
    ("offsets.topic.num.partitions", "3"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("num.partitions", "1"),
];

/// A node that answers other nodes and no clients.
pub(crate) struct Opened {
    pub(crate) address: SocketAddr,
    pub(crate) door: OpenDoor,
    config: BrokerConfig,
    world: World,
    peers: Peers,
    pub(crate) ensemble: RunningEnsemble,
    folder: TempDir,
}

pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) address: SocketAddr,
    pub(crate) controller: Controller,
    pub(crate) broker: Arc<Broker>,
    /// A client of the tree in the same process.
    pub(crate) tree: EmbeddedClient,
    pub(crate) door: RunningDoor,
    task: tokio::task::JoinHandle<()>,
    ensemble: RunningEnsemble,
    /// What the node keeps on the disk.
    pub(crate) folder: TempDir,
}

/// The settings of a node and its open ports.
pub(crate) async fn bind(settings: &[(&str, &str)]) -> (BrokerConfig, Vec<BoundListener>) {
    let (config, _) = BrokerConfig::from_file(QUICK.iter().chain(settings).copied()).expect("good settings");
    let listeners = kafka::bind(&config).await.expect("a free port");
    (config, listeners)
}

impl Opened {
    /// A node that is alone.
    pub(crate) async fn alone(settings: &[(&str, &str)]) -> Opened {
        let (config, listeners) = bind(settings).await;
        Opened::one_of(config, listeners, Vec::new()).await
    }

    /// A node whose ensemble begins with these voters.
    pub(crate) async fn one_of(
        config: BrokerConfig,
        listeners: Vec<BoundListener>,
        voters: Vec<ConfiguredVoter>,
    ) -> Opened {
        let world = World::system();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = listeners[0].local_addr().expect("an address");
        let id = config.node_id;
        let peers: Peers = Arc::new(Tcp::new(TcpOptions::new(id, Handle::current())));
        let directory_id = uuid::Uuid::from_u128(9 + id.unsigned_abs() as u128);
        let mut options = EnsembleConfig::new(folder.path().to_owned(), id, directory_id);
        options.cluster.advertised =
            voters.iter().find(|voter| voter.id == id).map(|voter| voter.address.clone());
        options.cluster.voters = voters;
        let reached = options.cluster.advertised.is_some().then(|| peers.clone());
        let ensemble = RunningEnsemble::start(world.clone(), options, reached).expect("the znode log opens");
        let gate = kafka::PeerGate {
            world: world.clone(),
            ensemble: ensemble.ensemble().clone(),
            peers: Some(peers.clone()),
        };
        let door = kafka::open(listeners, &config, gate).await;
        Opened { address, door, config, world, peers, ensemble, folder }
    }

    /// Starts the rest and serves clients.
    pub(crate) async fn serve(self) -> Node {
        let Opened { address, door, config, world, peers, ensemble, folder } = self;
        ensemble.ensemble().serving().await.expect("the znode log serves");
        let (controller, task) = start_controller(&world, &config, address, &ensemble);
        controller.ready().await;
        let dir = LogDir::open(world.clone(), folder.path()).expect("the folder is free");
        let broker = Broker::start(BrokerOptions {
            world: world.clone(),
            node_id: config.node_id,
            log_dirs: vec![Arc::new(dir)],
            tail: TailBudget::new(16 << 20, 4 << 20),
            views: controller.subscribe(),
            znodes: Some(Arc::new(ZnodeTopic::new(ensemble.ensemble()))),
            internal_topics: Arc::new(controller.clone()),
            producer_ids: Arc::new(controller.clone()),
            peers: Some(peers.clone()),
            in_sync_replicas: Some(Arc::new(controller.clone())),
        });
        let broker = broker.await.expect("the broker starts");
        let tree = EmbeddedClient::connect(ensemble.ensemble(), 30_000).await.expect("a session");
        let node = kafka::Node { world, controller: controller.clone(), broker: broker.clone() };
        let (id, door) = (config.node_id, door.serve(node));
        Node { id, address, controller, broker, tree, door, task, ensemble, folder }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) async fn stop(self) {
        assert_eq!(self.door.stop().await, 0, "connections were left behind");
        self.ensemble.stop().await.expect("the znode log closes");
    }
}

impl Node {
    pub(crate) async fn start() -> Node {
        Node::with(&[]).await
    }

    /// A node with more settings.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Node {
        Opened::alone(settings).await.serve().await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) fn stats(&self) -> kafka::DoorStats {
        self.door.stats()
    }

    pub(crate) fn leads_quorum(&self) -> bool {
        self.ensemble.ensemble().status().mode == ensemble::Mode::Leader
    }

    /// Closes the port and all connections at once, as the end of a process does. The rest lives on in what is given back.
    pub(crate) fn vanish(self) -> impl Sized {
        let Node { door, controller, broker, tree, task, ensemble, folder, .. } = self;
        door.abandon();
        (controller, broker, tree, task, ensemble, folder)
    }

    /// Stops the node as a process does it.
    pub(crate) async fn stop(self) {
        self.door.dismiss_clients();
        self.broker.shutdown().await;
        self.controller.stop().await;
        self.task.abort();
        self.ensemble.stop().await.expect("the znode log closes");
        assert_eq!(self.door.stop().await, 0, "connections were left behind");
    }
}

fn start_controller(
    world: &World,
    config: &BrokerConfig,
    address: SocketAddr,
    ensemble: &RunningEnsemble,
) -> (Controller, tokio::task::JoinHandle<()>) {
    let mut advertised = config.advertised_listeners.clone();
    for listener in &mut advertised {
        listener.port = address.port();
    }
    let options =
        ControllerOptions { world: world.clone(), config: config.clone(), advertised, cluster_id: None };
    let ensemble = ensemble.ensemble().clone();
    let connector: Connector = Arc::new(move || {
        let ensemble = ensemble.clone();
        Box::pin(async move {
            let client = EmbeddedClient::connect(&ensemble, 18_000).await.ok()?;
            Some(Arc::new(client) as Arc<dyn Coordinator>)
        })
    });
    Controller::start(options, connector)
}
