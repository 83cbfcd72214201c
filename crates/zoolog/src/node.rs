//! One node: what it is made of, the order in which that starts, and the order in which it stops.
//!
//! Start: folders are locked, ports are taken, the znode log is opened, the other nodes are answered; once the ensemble has a leader
//! and this node follows it, the broker registers itself, partitions are opened, and last the doors let clients in, so that a client
//! who gets in is served. Stop is the reverse: leaderships move to other brokers, clients are let go, the partitions are
//! flushed and closed, the broker's session ends, the quorum gets another leader, the znode log is completed and marked as clean,
//! and last the other nodes are not answered any more.
use crate::advertised;
use crate::banner::Places;
use crate::config::{Cluster, NodeConfig};
use crate::folders::{DataFolders, FolderError};
use crate::machine;
use crate::membership;
use crate::strangers;
use base::World;
use broker::{Broker, BrokerOptions};
use controller::config::Listener;
use controller::{Controller, ControllerOptions, layout};
use ensemble::{Coordinator, EmbeddedClient, Ensemble, RunningEnsemble, ZnodeTopic};
use kafka::BoundListener;
use kafka_wire::ErrorCode;
use kafka_wire::messages::ControlledShutdownRequest;
use log::TailBudget;
use peers::{Address, Lane, Peers, Tcp, TcpOptions};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Memory for the newest small batches of all partitions, which consumers at the tail read; large ones are sent from their files.
const TAIL_BYTES: u64 = 16 << 20;
/// What one partition may take of it.
const TAIL_BYTES_PER_PARTITION: u64 = 2 << 20;

/// How often a node that waits for its cluster says so.
const WAITING_REPORT: Duration = Duration::from_secs(10);
/// How long a stopping node waits until its leaderships have moved. Whoever finds a leader gone elects another one in any case.
const HAND_OVER_PATIENCE: Duration = Duration::from_millis(100);
/// The version in which ControlledShutdown is sent, the last one there is.
const CONTROLLED_SHUTDOWN_VERSION: i16 = 3;

/// Why a node can't start. Each is one line for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The port for ZooKeeper clients.
    #[error(transparent)]
    ZooKeeperPort(#[from] zookeeper::BindError),
    /// A port for Kafka clients.
    #[error(transparent)]
    KafkaPort(#[from] kafka::BindError),
    /// The port for the other nodes.
    #[error(
        "cannot listen for the other nodes at {own}, where this node's own line says: {error}; correct the line, or set \
         quorumListenOnAllIPs=true if its host is no address of this machine itself"
    )]
    PeerPort {
        /// The address of the line.
        own: Address,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The znode log.
    #[error("the znode log cannot be opened: {0}")]
    Ensemble(#[from] ensemble::StartError),
    /// The others are of another cluster.
    #[error(
        "this node's data belongs to cluster {own}, but the nodes that it was told of are of cluster {theirs}; correct their \
         addresses, or choose an empty folder to begin anew"
    )]
    OtherCluster {
        /// The cluster of this node's folders.
        own: String,
        /// The cluster that the others' tree names.
        theirs: String,
    },
    /// The partitions.
    #[error("the partitions cannot be opened: {0}")]
    Broker(#[from] broker::StartError),
    /// The node failed before it served.
    #[error("the node failed at its start: {0}")]
    Failed(String),
    /// The system refused something small.
    #[error("the node cannot start: {0}")]
    Io(#[from] io::Error),
}

/// A running node.
pub(crate) struct Node {
    places: Places,
    zookeeper: zookeeper::RunningDoor,
    kafka: kafka::RunningDoor,
    broker: Arc<Broker>,
    controller: Controller,
    controlling: JoinHandle<()>,
    ensemble: RunningEnsemble,
    peers: Peers,
    membership: JoinHandle<()>,
    /// Held, because the locks of the folders end with it.
    _folders: DataFolders,
}

impl Node {
    /// Starts a node and returns when it serves.
    pub(crate) async fn start(world: World, config: NodeConfig) -> Result<Node, StartError> {
        let mut folders = DataFolders::open(&world, &config)?;
        let zookeeper_port = zookeeper::bind(&config.zookeeper).await?;
        let ports = kafka::bind(&config.broker).await.map_err(|error| of_port(&config, error))?;
        let bound = addresses(&ports)?;
        let reached = Reached::new(&config, &bound);
        let peers: Peers =
            Arc::new(Tcp::new(TcpOptions::new(config.node_id, tokio::runtime::Handle::current())));
        let mut settings = config.ensemble(folders.znodes_directory_id);
        settings.cluster = config.quorum(folders.cluster_id.clone(), Some(reached.by_peers));
        let running = RunningEnsemble::start(world.clone(), settings, Some(peers.clone()))?;
        let ensemble = running.ensemble().clone();
        let gate =
            kafka::PeerGate { world: world.clone(), ensemble: ensemble.clone(), peers: Some(peers.clone()) };
        let kafka_door = kafka::open(ports, &config.broker, gate).await;
        until_serving(&ensemble, &config.cluster).await?;
        if let Some(id) = cluster_id(&ensemble) {
            join_cluster(&mut folders, &config, &ensemble, &id)?;
        }
        let own = folders.cluster_id.clone();
        if let Some(theirs) =
            strangers::other_cluster(&ensemble, &config.cluster, &peers, own.as_deref()).await
        {
            return Err(StartError::OtherCluster { own: own.unwrap_or_default(), theirs });
        }
        let options = ControllerOptions {
            world: world.clone(),
            config: config.broker.clone(),
            advertised: reached.by_clients,
            cluster_id: folders.cluster_id.clone(),
        };
        let (controller, controlling) = start_controller(options, &ensemble);
        controller.expect_brokers(config.cluster.size);
        until_failure(&ensemble, &controller, controller.ready()).await?;
        join_cluster(&mut folders, &config, &ensemble, &controller.view().cluster_id)?;
        let starting = start_broker(&world, &config, &folders, &controller, &ensemble, &peers);
        let broker = until_failure(&ensemble, &controller, starting).await??;
        let node = kafka::Node { world, controller: controller.clone(), broker: broker.clone() };
        let kafka = kafka_door.serve(node);
        let membership = tokio::spawn(membership::show(ensemble.clone(), config.cluster.membership.clone()));
        let zookeeper = zookeeper::serve(zookeeper_port, config.zookeeper, ensemble)?;
        let (for_peers, for_clients): (Vec<_>, Vec<_>) =
            bound.into_iter().partition(|(name, _)| config.broker.controller_listener_names.contains(name));
        let places = Places {
            zookeeper: zookeeper.local_addr(),
            kafka: for_clients.into_iter().map(|(_, address)| address).collect(),
            peers: for_peers.into_iter().map(|(_, address)| address).collect(),
            data: folders.paths(),
        };
        Ok(Node {
            places,
            zookeeper,
            kafka,
            broker,
            controller,
            controlling,
            ensemble: running,
            peers,
            membership,
            _folders: folders,
        })
    }

    /// Where the node can be found.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Waits until the node can't go on; says why.
    pub(crate) async fn failed(&self) -> String {
        failed(self.ensemble.ensemble(), &self.controller).await
    }

    /// Stops everything in order. After a success the next start needs no recovery.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.membership.abort();
        // Nobody has to take over; who finds a leader gone elects another one.
        let _in_time = tokio::time::timeout(HAND_OVER_PATIENCE, self.hand_over_partitions()).await;
        self.kafka.dismiss_clients();
        let leave = async {
            let closed = self.broker.shutdown().await;
            self.controller.stop().await;
            closed
        };
        let (closed, ()) = tokio::join!(leave, self.zookeeper.stop());
        // It has ended already; that it did is all there is to know.
        let _ended = self.controlling.await;
        self.ensemble.stop().await?;
        self.kafka.stop().await;
        for dir in closed {
            dir.mark_clean().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Lets the controller move this broker's leaderships to others, if there are others.
    async fn hand_over_partitions(&self) {
        let view = self.controller.view();
        let own = self.controller.node_id();
        let enabled = view.broker_config.replication.controlled_shutdown_enable;
        let Some(epoch) = view.brokers.get(&own).map(|broker| broker.epoch) else { return };
        if !enabled || view.brokers.len() < 2 {
            return;
        }
        let outcome = match view.controller {
            Some(id) if id == own => self
                .controller
                .controlled_shutdown(own, epoch)
                .await
                .map(|_| ())
                .map_err(|error| error.to_string()),
            Some(id) => self.ask_for_shutdown(&view, id, epoch).await,
            None => Err("there is no controller".to_owned()),
        };
        if let Err(reason) = outcome {
            tracing::info!(reason, "leaderships of this broker move when it is gone");
        }
    }

    /// Asks the controller on another node.
    async fn ask_for_shutdown(
        &self,
        view: &controller::ClusterView,
        id: i32,
        broker_epoch: i64,
    ) -> Result<(), String> {
        let listener = &view.broker_config.inter_broker_listener_name;
        let endpoint = view.brokers.get(&id).and_then(|broker| broker.endpoint(listener));
        let endpoint = endpoint.ok_or_else(|| format!("the controller, {id}, has no listener {listener}"))?;
        let to = Address { host: endpoint.host.clone(), port: endpoint.port };
        let request = ControlledShutdownRequest { broker_id: self.controller.node_id(), broker_epoch };
        let calling = self.peers.call(
            &to,
            Lane::Broker,
            CONTROLLED_SHUTDOWN_VERSION,
            request.into(),
            HAND_OVER_PATIENCE,
        );
        match calling.await {
            Ok(kafka_wire::Response::ControlledShutdown(response))
                if response.error_code == ErrorCode::NONE =>
            {
                Ok(())
            }
            Ok(response) => Err(format!("the controller refused: {response:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Tells the port that this node has for its own line from those that `listeners` asks for.
fn of_port(config: &NodeConfig, error: kafka::BindError) -> StartError {
    let for_peers = |name: &&String| error.listener.starts_with(&format!("{name}://"));
    match config.broker.controller_listener_names.iter().find(for_peers).and(config.cluster.own.clone()) {
        Some(own) => StartError::PeerPort { own, error: error.error },
        None => error.into(),
    }
}

/// The listeners' names with the addresses that they got.
fn addresses(ports: &[BoundListener]) -> io::Result<Vec<(String, SocketAddr)>> {
    ports.iter().map(|port| Ok((port.name().to_owned(), port.local_addr()?))).collect()
}

/// Where others reach this node.
struct Reached {
    by_clients: Vec<Listener>,
    by_peers: Address,
}

impl Reached {
    fn new(config: &NodeConfig, bound: &[(String, SocketAddr)]) -> Reached {
        let ports: Vec<(String, u16)> =
            bound.iter().map(|(name, address)| (name.clone(), address.port())).collect();
        let naming = advertised::Naming::new(&config.broker, &config.cluster, machine::canonical_host_name);
        let by_clients = naming.for_clients(&ports);
        let by_peers = naming.for_peers(&ports, &by_clients);
        Reached { by_clients, by_peers }
    }
}

/// Waits until the ensemble has a leader and this node serves; says now and then what it waits for.
async fn until_serving(ensemble: &Ensemble, cluster: &Cluster) -> Result<(), StartError> {
    let serving = ensemble.serving();
    tokio::pin!(serving);
    loop {
        match tokio::time::timeout(WAITING_REPORT, &mut serving).await {
            Ok(outcome) => return outcome.map_err(StartError::Failed),
            Err(_) => match ensemble.leader() {
                Some(leader) => tracing::warn!("the node follows node {leader} and is not up to date yet"),
                None => tracing::warn!("the node waits for a leader of its cluster: {}", cluster.others()),
            },
        }
    }
}

/// The cluster's id, as far as this node's tree shows it.
fn cluster_id(ensemble: &Ensemble) -> Option<String> {
    let data = ensemble.read(|view| view.tree().get(layout::CLUSTER_ID)?.data().map(<[u8]>::to_vec))?;
    let decoded = layout::decode::<layout::ClusterId>("cluster id", layout::CLUSTER_ID, &data);
    // What makes no sense is reported when the tree is followed.
    decoded.ok().map(|cluster| cluster.id)
}

/// Notes which cluster this node belongs to, unless it belongs to another one.
fn join_cluster(
    folders: &mut DataFolders,
    config: &NodeConfig,
    ensemble: &Ensemble,
    id: &str,
) -> Result<(), StartError> {
    if let Some(own) = folders.cluster_id.as_deref().filter(|own| *own != id) {
        return Err(StartError::OtherCluster { own: own.to_owned(), theirs: id.to_owned() });
    }
    if folders.cluster_id.is_none() {
        folders.belong_to(config.node_id, id)?;
    }
    ensemble.belongs_to(id);
    Ok(())
}

fn start_controller(options: ControllerOptions, ensemble: &Ensemble) -> (Controller, JoinHandle<()>) {
    let (ensemble, timeout_ms) = (ensemble.clone(), options.config.zookeeper.session_timeout_ms);
    let connect = move || -> controller::Connecting {
        let ensemble = ensemble.clone();
        Box::pin(async move {
            let client = EmbeddedClient::connect(&ensemble, timeout_ms).await.ok()?;
            Some(Arc::new(client) as Arc<dyn Coordinator>)
        })
    };
    Controller::start(options, Arc::new(connect))
}

async fn start_broker(
    world: &World,
    config: &NodeConfig,
    folders: &DataFolders,
    controller: &Controller,
    ensemble: &Ensemble,
    peers: &Peers,
) -> Result<Arc<Broker>, broker::StartError> {
    Broker::start(BrokerOptions {
        world: world.clone(),
        node_id: config.node_id,
        log_dirs: folders.logs.clone(),
        tail: TailBudget::new(TAIL_BYTES, TAIL_BYTES_PER_PARTITION),
        views: controller.subscribe(),
        znodes: Some(Arc::new(ZnodeTopic::new(ensemble))),
        internal_topics: Arc::new(controller.clone()),
        producer_ids: Arc::new(controller.clone()),
        peers: Some(peers.clone()),
        in_sync_replicas: Some(Arc::new(controller.clone())),
    })
    .await
}

/// Waits for `done`, unless the node fails before.
async fn until_failure<T>(
    ensemble: &Ensemble,
    controller: &Controller,
    done: impl Future<Output = T>,
) -> Result<T, StartError> {
    tokio::select! {
        done = done => Ok(done),
        reason = failed(ensemble, controller) => Err(StartError::Failed(reason)),
    }
}

async fn failed(ensemble: &Ensemble, controller: &Controller) -> String {
    let mut failure = ensemble.failure();
    let ensemble_failed = async {
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The ensemble's workers hold the sender, so it outlives them only in a stop.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        reason = ensemble_failed => reason,
        reason = controller.failed() => reason,
    }
}
