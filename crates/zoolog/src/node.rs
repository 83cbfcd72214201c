//! One node: what it is made of, the order in which that starts, and the order in which it stops.
//!
//! Start: folders are locked, ports are taken, then the znode log is opened, the broker registers itself, partitions are opened, and
//! last the doors serve, so that an open port means a serving node. Stop is the reverse: no new requests, the partitions
//! flushed and closed, the controller's part ended, the znode log completed and marked as clean. The broker's session is not
//! closed: it ends with its ephemerals when the node comes back, so that a stop writes no metadata.
use crate::advertised;
use crate::banner::Places;
use crate::config::NodeConfig;
use crate::folders::{DataFolders, FolderError};
use crate::machine;
use base::World;
use broker::{Broker, BrokerOptions};
use controller::{Controller, ControllerOptions};
use ensemble::{Coordinator, EmbeddedClient, Ensemble, RunningEnsemble, ZnodeTopic};
use kafka::BoundListener;
use log::TailBudget;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Memory for the newest batches of all partitions, which consumers at the tail read.
const TAIL_BYTES: u64 = 128 << 20;
/// What one partition may take of it.
const TAIL_BYTES_PER_PARTITION: u64 = 8 << 20;

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
    /// The znode log.
    #[error("the znode log cannot be opened: {0}")]
    Ensemble(#[from] ensemble::StartError),
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
    controller: JoinHandle<()>,
    ensemble: RunningEnsemble,
    /// Held, because the locks of the folders end with it.
    _folders: DataFolders,
}

impl Node {
    /// Starts a node and returns when it serves.
    pub(crate) async fn start(world: World, config: NodeConfig) -> Result<Node, StartError> {
        let folders = DataFolders::open(&world, &config)?;
        let zookeeper_port = zookeeper::bind(&config.zookeeper).await?;
        let kafka_ports = kafka::bind(&config.broker).await?;
        let kafka_addresses = addresses(&kafka_ports)?;
        let running = RunningEnsemble::start(world.clone(), config.ensemble(folders.znodes_directory_id), None)?;
        let ensemble = running.ensemble().clone();
        let gate = kafka::PeerGate { world: world.clone(), ensemble: ensemble.clone(), peers: None };
        let kafka_door = kafka::open(kafka_ports, &config.broker, gate).await;
        ensemble.serving().await.map_err(StartError::Failed)?;
        let (controller, controller_task) =
            start_controller(&world, &config, &folders, &kafka_addresses, &ensemble);
        until_failure(&ensemble, controller.ready()).await?;
        let starting = start_broker(&world, &config, &folders, &controller, &ensemble);
        let broker = until_failure(&ensemble, starting).await??;
        let node = kafka::Node { world, controller, broker: broker.clone() };
        let kafka = kafka_door.serve(node);
        let zookeeper = zookeeper::serve(zookeeper_port, config.zookeeper, ensemble)?;
        let places = Places {
            zookeeper: zookeeper.local_addr(),
            kafka: kafka_addresses.into_iter().map(|(_, address)| address).collect(),
            data: folders.paths(),
        };
        let controller = controller_task;
        Ok(Node { places, zookeeper, kafka, broker, controller, ensemble: running, _folders: folders })
    }

    /// Where the node can be found.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Waits until the node can't go on; says why.
    pub(crate) async fn failed(&self) -> String {
        failed(self.ensemble.ensemble()).await
    }

    /// Stops everything in order. After a success the next start needs no recovery.
    pub(crate) async fn stop(self) -> Result<(), String> {
        tokio::join!(self.kafka.stop(), self.zookeeper.stop());
        let closed = self.broker.shutdown().await;
        self.controller.abort();
        // The task was told to end; that it did is all there is to know.
        let _ended = self.controller.await;
        self.ensemble.stop().await?;
        for dir in closed {
            dir.mark_clean().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// The listeners' names with the addresses that they got.
fn addresses(ports: &[BoundListener]) -> io::Result<Vec<(String, SocketAddr)>> {
    ports.iter().map(|port| Ok((port.name().to_owned(), port.local_addr()?))).collect()
}

fn start_controller(
    world: &World,
    config: &NodeConfig,
    folders: &DataFolders,
    bound: &[(String, SocketAddr)],
    ensemble: &Ensemble,
) -> (Controller, JoinHandle<()>) {
    let ports: Vec<(String, u16)> =
        bound.iter().map(|(name, address)| (name.clone(), address.port())).collect();
    let options = ControllerOptions {
        world: world.clone(),
        config: config.broker.clone(),
        advertised: advertised::addresses(&config.broker, &ports, machine::canonical_host_name),
        cluster_id: Some(folders.cluster_id.clone()),
    };
    let (ensemble, timeout_ms) = (ensemble.clone(), config.broker.zookeeper.session_timeout_ms);
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
        peers: None,
        in_sync_replicas: Some(Arc::new(controller.clone())),
    })
    .await
}

/// Waits for `done`, unless the node fails before.
async fn until_failure<T>(ensemble: &Ensemble, done: impl Future<Output = T>) -> Result<T, StartError> {
    tokio::select! {
        done = done => Ok(done),
        reason = failed(ensemble) => Err(StartError::Failed(reason)),
    }
}

async fn failed(ensemble: &Ensemble) -> String {
    let mut failure = ensemble.failure();
    match failure.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        // The ensemble's workers hold the sender, so it outlives them only in a stop.
        Err(_) => std::future::pending().await,
    }
}
