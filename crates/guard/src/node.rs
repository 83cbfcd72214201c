//! A node in one thread, put together as the binary does it: the ensemble with the door of ZooKeeper, or with broker and door of Kafka.
//!
//! Invariant: everything runs only while the runtime is driven, that is inside of [`Runtime::block_on`].
use crate::world::{self, StoppableClock};
use anyhow::{Context, Result, anyhow};
use base::World;
use broker::{Broker, BrokerOptions};
use controller::config::BrokerConfig;
use controller::{Controller, ControllerOptions};
use ensemble::{Coordinator, EmbeddedClient, Ensemble, EnsembleConfig, RunningEnsemble, ZnodeTopic};
use kafka::PeerGate;
use log::{LogDir, TailBudget};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;
use zookeeper::ZooKeeperConfig;

const NODE: i32 = 0;
/// Memory for the newest batches.
const TAIL_BYTES: u64 = 8 << 20;
/// Far beyond the time that a path takes, so that no timer of a session or of a tick comes in between.
const LONG_MS: i32 = 3_600_000;

/// The ensemble's half of a node.
pub(crate) struct Coordination {
    pub(crate) runtime: Runtime,
    world: World,
    clock: Arc<StoppableClock>,
    running: RunningEnsemble,
}

impl Coordination {
    /// A thread's runtime and a world, in which nothing runs yet.
    pub(crate) fn prepare() -> Result<(Runtime, World, Arc<StoppableClock>)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (world, clock) = world::world();
        Ok((runtime, world, clock))
    }

    /// Starts an ensemble of one node.
    pub(crate) fn start(folder: &Path) -> Result<Coordination> {
        let (runtime, world, clock) = Coordination::prepare()?;
        let running = runtime.block_on(serve(world.clone(), folder))?;
        Ok(Coordination { runtime, world, clock, running })
    }

    /// Opens the door of ZooKeeper.
    pub(crate) fn open(&self) -> Result<SocketAddr> {
        let config = ZooKeeperConfig {
            client_port_address: Some(Ipv4Addr::LOCALHOST.to_string()),
            client_port: 0,
            max_client_cnxns: 0,
            ..ZooKeeperConfig::default()
        };
        let ensemble = self.running.ensemble().clone();
        let door = self.runtime.block_on(async {
            let port = zookeeper::bind(&config).await?;
            anyhow::Ok(zookeeper::serve(port, config, ensemble)?)
        })?;
        self.clock.stop();
        Ok(door.local_addr())
    }

    /// Stops the ensemble properly.
    pub(crate) fn stop(self) -> Result<()> {
        self.runtime.block_on(self.running.stop()).map_err(|reason| anyhow!(reason))
    }
}

/// Starts an ensemble of one node and waits until it serves.
pub(crate) async fn serve(world: World, folder: &Path) -> Result<RunningEnsemble> {
    let config = EnsembleConfig {
        tick_ms: LONG_MS as u64,
        session_timeout_max_ms: LONG_MS,
        container_check_ms: LONG_MS as u64,
        ..EnsembleConfig::new(folder.to_path_buf(), NODE, Uuid::from_u128(1))
    };
    let running = RunningEnsemble::start(world, config, None)?;
    running.ensemble().serving().await.map_err(|reason| anyhow!(reason))?;
    Ok(running)
}

/// A whole node with the door of Kafka.
pub(crate) struct Brokerage {
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    // Held, because their tasks, locks and sessions end with them.
    _running: RunningEnsemble,
    _broker: Arc<Broker>,
    _controller: Controller,
}

impl Brokerage {
    /// Starts a node.
    pub(crate) fn start(folder: &Path) -> Result<Brokerage> {
        let Coordination { runtime, world, clock, running } = Coordination::start(folder)?;
        let started = open_door(&world, running.ensemble(), folder);
        let (address, broker, controller) = runtime.block_on(started)?;
        clock.stop();
        Ok(Brokerage { runtime, address, _running: running, _broker: broker, _controller: controller })
    }
}

async fn open_door(
    world: &World,
    ensemble: &Ensemble,
    folder: &Path,
) -> Result<(SocketAddr, Arc<Broker>, Controller)> {
    let dir = LogDir::open(world.clone(), folder)?;
    dir.identify(NODE, None)?;
    let config = broker_config(folder)?;
    let ports = kafka::bind(&config).await?;
    let address = ports.first().context("a listener")?.local_addr()?;
    let gate = PeerGate { world: world.clone(), ensemble: ensemble.clone(), peers: None };
    let door = kafka::open(ports, &config, gate).await;
    let controller = start_controller(world, ensemble, &config, address);
    tokio::select! {
        () = controller.ready() => {}
        reason = controller.failed() => return Err(anyhow!(reason)),
    }
    let broker = Broker::start(BrokerOptions {
        world: world.clone(),
        node_id: NODE,
        log_dirs: vec![Arc::new(dir)],
        tail: TailBudget::new(TAIL_BYTES, TAIL_BYTES),
        views: controller.subscribe(),
        znodes: Some(Arc::new(ZnodeTopic::new(ensemble))),
        internal_topics: Arc::new(controller.clone()),
        producer_ids: Arc::new(controller.clone()),
        peers: None,
        in_sync_replicas: None,
    });
    let broker = broker.await?;
    let node = kafka::Node { world: world.clone(), controller: controller.clone(), broker: broker.clone() };
    door.serve(node);
    Ok((address, broker, controller))
}

fn broker_config(folder: &Path) -> Result<BrokerConfig> {
    let listener = format!("PLAINTEXT://{}:0", Ipv4Addr::LOCALHOST);
    let folder = folder.display().to_string();
    let (node, timeout) = (NODE.to_string(), LONG_MS.to_string());
    let settings = [
        ("node.id", node.as_str()),
        ("listeners", listener.as_str()),
        ("log.dirs", folder.as_str()),
        ("zookeeper.session.timeout.ms", timeout.as_str()),
    ];
    let read = BrokerConfig::from_file(settings);
    Ok(read.map_err(|errors| anyhow!("the settings are refused: {errors:?}"))?.0)
}

fn start_controller(
    world: &World,
    ensemble: &Ensemble,
    config: &BrokerConfig,
    address: SocketAddr,
) -> Controller {
    let advertised = config.listeners.iter().cloned().map(|mut listener| {
        listener.port = address.port();
        listener
    });
    let options = ControllerOptions {
        world: world.clone(),
        advertised: advertised.collect(),
        config: config.clone(),
        cluster_id: None,
    };
    let (ensemble, timeout_ms) = (ensemble.clone(), config.zookeeper.session_timeout_ms);
    let connect = move || -> controller::Connecting {
        let ensemble = ensemble.clone();
        Box::pin(async move {
            let client = EmbeddedClient::connect(&ensemble, timeout_ms).await.ok()?;
            Some(Arc::new(client) as Arc<dyn Coordinator>)
        })
    };
    let (controller, _controlling) = Controller::start(options, Arc::new(connect));
    controller
}
