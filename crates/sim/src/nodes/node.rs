//! What a node is made of, put together as the binary does it, but for sockets: ensemble, controller, broker and the door of Kafka.
use super::mutant::Mutant;
use super::network::address;
use super::plan::Settings;
use base::World;
use broker::{Broker, BrokerOptions};
use controller::config::BrokerConfig;
use controller::{Controller, ControllerOptions};
use ensemble::{
    ClusterConfig, ConfiguredVoter, Coordinator, EmbeddedClient, Ensemble, EnsembleConfig, RunningEnsemble,
    ZnodeTopic,
};
use kafka::{InProcess, PeerGate, RunningDoor};
use log::{LogDir, TailBudget};
use parking_lot::Mutex;
use peers::Peers;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Where nodes keep their data.
pub(super) const DATA: &str = "/data";
/// Memory for the newest batches.
const TAIL_BYTES: u64 = 1 << 20;

/// What a node is started with.
pub(super) struct Parts {
    pub(super) world: World,
    pub(super) node: usize,
    /// How many nodes there are.
    pub(super) nodes: usize,
    pub(super) settings: Settings,
    pub(super) peers: Option<Peers>,
    /// Whether the node has a broker.
    pub(super) has_broker: bool,
    /// The bug that is planted.
    pub(super) mutant: Option<Mutant>,
}

/// What a node tells the simulator.
#[derive(Default)]
pub(super) struct Report {
    pub(super) ensemble: Option<Ensemble>,
    /// The id of its disk.
    pub(super) directory: Option<Uuid>,
    pub(super) running: Option<Arc<RunningEnsemble>>,
    /// The way in for frames of Kafka's protocol.
    pub(super) door: Option<InProcess>,
    pub(super) brokerage: Option<Brokerage>,
    /// Whether clients of ZooKeeper are served.
    pub(super) serving: bool,
    /// Why it ended by itself.
    pub(super) failure: Option<String>,
    /// Whether a clean stop has ended.
    pub(super) stopped: bool,
}

/// The half of a node that is Kafka's.
pub(super) struct Brokerage {
    door: RunningDoor,
    broker: Arc<Broker>,
    controller: Controller,
    controlling: JoinHandle<()>,
}

/// The node's main function.
pub(super) async fn live(parts: Parts, report: Arc<Mutex<Report>>) {
    if let Err(reason) = start(parts, &report).await {
        report.lock().failure = Some(reason);
    }
}

async fn start(parts: Parts, report: &Arc<Mutex<Report>>) -> Result<(), String> {
    let Parts { world, node, nodes, settings, peers, has_broker, mutant } = parts;
    let id = node as i32;
    let dir = LogDir::open(world.clone(), Path::new(DATA)).map_err(|error| error.to_string())?;
    let mut meta = dir.meta().map_err(|error| error.to_string())?.unwrap_or_default();
    let known = meta.cluster_id.clone();
    let made = || uuid::Builder::from_random_bytes(world.random.bytes16()).into_uuid();
    let directory = *meta.directory_id.get_or_insert_with(made);
    dir.write_meta(&meta).map_err(|error| error.to_string())?;
    report.lock().directory = Some(directory);
    let dir = Arc::new(dir);
    let mut config = ensemble_config(node, nodes, &settings, directory, known.clone());
    config.mutant = mutant.and_then(Mutant::of_ensemble);
    let running =
        RunningEnsemble::start(world.clone(), config, peers.clone()).map_err(|error| error.to_string())?;
    let ensemble = running.ensemble().clone();
    {
        let mut report = report.lock();
        report.ensemble = Some(ensemble.clone());
        report.running = Some(Arc::new(running));
    }
    if !has_broker {
        ensemble.serving().await?;
        report.lock().serving = true;
        // Held to the end: the folder's lock goes with it.
        let _dir = dir;
        return std::future::pending().await;
    }
    let config = broker_config(node, nodes, settings.durable);
    let gate = PeerGate { world: world.clone(), ensemble: ensemble.clone(), peers: peers.clone() };
    let open = kafka::open(Vec::new(), &config, gate).await;
    report.lock().door = Some(open.in_process());
    ensemble.serving().await?;
    report.lock().serving = true;
    let options = ControllerOptions {
        world: world.clone(),
        advertised: config.listeners.clone(),
        config: config.clone(),
        cluster_id: known,
    };
    let (controller, controlling) = start_controller(options, &ensemble);
    controller.expect_brokers(nodes);
    tokio::select! {
        () = controller.ready() => {}
        reason = controller.failed() => return Err(reason),
    }
    let cluster_id = controller.view().cluster_id.clone();
    meta.cluster_id = Some(cluster_id.to_string());
    dir.write_meta(&meta).map_err(|error| error.to_string())?;
    ensemble.belongs_to(&cluster_id);
    let broker = Broker::start(BrokerOptions {
        world: world.clone(),
        node_id: id,
        log_dirs: vec![dir],
        tail: TailBudget::new(TAIL_BYTES, TAIL_BYTES),
        views: controller.subscribe(),
        znodes: Some(Arc::new(ZnodeTopic::new(&ensemble))),
        internal_topics: Arc::new(controller.clone()),
        producer_ids: Arc::new(controller.clone()),
        in_sync_replicas: peers.is_some().then(|| Arc::new(controller.clone()) as _),
        peers,
    });
    let broker = broker.await.map_err(|error| error.to_string())?;
    let door = open.serve(kafka::Node { world, controller: controller.clone(), broker: broker.clone() });
    let brokerage = Brokerage { door, broker, controller: controller.clone(), controlling };
    report.lock().brokerage = Some(brokerage);
    Err(controller.failed().await)
}

/// Stops a node, in the order in which the binary does.
pub(super) async fn stop(report: Arc<Mutex<Report>>) {
    let (brokerage, running) = {
        let mut report = report.lock();
        (report.brokerage.take(), report.running.clone())
    };
    if let Err(reason) = stop_parts(brokerage, running).await {
        report.lock().failure = Some(reason);
    }
    report.lock().stopped = true;
}

async fn stop_parts(
    brokerage: Option<Brokerage>,
    running: Option<Arc<RunningEnsemble>>,
) -> Result<(), String> {
    let mut closed = Vec::new();
    let mut door = None;
    if let Some(brokerage) = brokerage {
        brokerage.door.dismiss_clients();
        closed = brokerage.broker.shutdown().await;
        brokerage.controller.stop().await;
        // It was told to end, and that it did is all there is to know.
        let _ended = brokerage.controlling.await;
        door = Some(brokerage.door);
    }
    if let Some(running) = running {
        running.stop().await?;
    }
    if let Some(door) = door {
        door.stop().await;
    }
    for dir in closed {
        dir.mark_clean().map_err(|error| error.to_string())?;
    }
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

/// Settings of Kafka that make things happen within seconds.
fn broker_config(node: usize, nodes: usize, durable: bool) -> BrokerConfig {
    let at = address(node);
    let listener = format!("PLAINTEXT://{at}");
    let id = node.to_string();
    let replicas = nodes.min(3).to_string();
    let pairs = [
        ("node.id", id.as_str()),
        ("listeners", listener.as_str()),
        ("log.dirs", DATA),
        ("zookeeper.session.timeout.ms", "1200"),
        ("replica.lag.time.max.ms", "800"),
        ("replica.fetch.wait.max.ms", "100"),
        ("replica.fetch.backoff.ms", "50"),
        ("replica.socket.timeout.ms", "600"),
        ("replica.high.watermark.checkpoint.interval.ms", "300"),
        ("offsets.topic.num.partitions", "2"),
        ("offsets.topic.replication.factor", replicas.as_str()),
        ("min.insync.replicas", if nodes > 1 { "2" } else { "1" }),
        ("log.flush.interval.messages", if durable { "1" } else { "1000000" }),
        ("unclean.leader.election.enable", "false"),
    ];
    let read = BrokerConfig::from_file(pairs);
    let (config, _warnings) = read.expect("the simulator's settings are right");
    config
}

fn ensemble_config(
    node: usize,
    nodes: usize,
    settings: &Settings,
    directory: Uuid,
    cluster_id: Option<String>,
) -> EnsembleConfig {
    let voters: Vec<ConfiguredVoter> = match nodes {
        1 => Vec::new(),
        // With an even number the last one is an observer: another voter would add nothing.
        count => (0..count - (count + 1) % 2)
            .map(|node| ConfiguredVoter { id: node as i32, address: address(node) })
            .collect(),
    };
    let election_ms = settings.election_ms;
    EnsembleConfig {
        tick_ms: settings.tick_ms,
        session_timeout_min_ms: 500,
        session_timeout_max_ms: 10_000,
        snapshot_every: settings.snapshot_every,
        snapshots_kept: 2,
        container_check_ms: 1_000,
        segment_bytes: settings.segment_bytes,
        // So that nodes that were away for a moment make way for others, too.
        far_behind: settings.snapshot_every / 4,
        cluster: ClusterConfig {
            // As the binary has it: a voter that lost its disk comes back as one.
            auto_join: voters.iter().any(|voter| voter.id == node as i32),
            voters,
            advertised: (nodes > 1).then(|| address(node)),
            cluster_id,
            election_timeout_ms: election_ms,
            election_backoff_max_ms: election_ms,
            fetch_timeout_ms: election_ms * 2,
            request_timeout_ms: election_ms * 2,
            ..ClusterConfig::alone()
        },
        ..EnsembleConfig::new(PathBuf::from(DATA), node as i32, directory)
    }
}
