//! The node's part in Kafka's metadata: registers the broker, stands for election as controller, follows the tree, and does the
//! controller's duties while it is elected.
//!
//! Invariants: acts only by writing znodes; what others see of the cluster is the published [`ClusterView`] and nothing else; when
//! the coordination session is lost, everything starts over with a new one.
use crate::config::{BrokerConfig, Listener};
use crate::duties::duties;
use crate::executor::{
    Done, Executor, create_persistent_paths, create_quietly, id_factory, register_znodes_topic,
};
use crate::follower::Follower;
use crate::layout::{self, BrokerRegistration, ClusterId, ControllerRegistration};
use crate::view::ClusterView;
use arc_swap::ArcSwapOption;
use base::World;
use ensemble::{Coordinator, CoordinatorError, Write, Written};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tree::{CreateMode, TreeError};
use uuid::Uuid;

/// Opens a coordination session.
pub type Connector = Arc<dyn Fn() -> Connecting + Send + Sync>;
/// A session being opened; `None` if coordination can't be reached at the moment.
pub type Connecting = Pin<Box<dyn Future<Output = Option<Arc<dyn Coordinator>>> + Send>>;

/// The pause before coordination is tried again.
const RETRY_MS: u64 = 200;
/// Notifications of changed configs are removed after this time, as Kafka does.
const CONFIG_CHANGE_EXPIRY_MS: i64 = 15 * 60 * 1000;

/// What the node knows of itself at start.
#[derive(Clone)]
pub struct ControllerOptions {
    /// Clock and randomness.
    pub world: World,
    /// The settings of the configuration file.
    pub config: BrokerConfig,
    /// The addresses that clients are told, with hosts and ports filled in.
    pub advertised: Vec<Listener>,
    /// The cluster's id if the node was in a cluster before (`meta.properties`).
    pub cluster_id: Option<String>,
}

pub(crate) struct Shared {
    pub(crate) options: ControllerOptions,
    pub(crate) view: watch::Sender<Arc<ClusterView>>,
    pub(crate) coordinator: ArcSwapOption<Arc<dyn Coordinator>>,
    pub(crate) new_id: Box<dyn Fn() -> Uuid + Send + Sync>,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    pub(crate) shared: Arc<Shared>,
}

impl Controller {
    /// Starts to follow and to act; ends when the returned task is aborted.
    pub fn start(
        options: ControllerOptions,
        connect: Connector,
    ) -> (Controller, tokio::task::JoinHandle<()>) {
        let empty = ClusterView { broker_config: Arc::new(options.config.clone()), ..ClusterView::default() };
        let new_id = Box::new(id_factory(options.world.random.clone()));
        let shared = Arc::new(Shared {
            options,
            view: watch::Sender::new(Arc::new(empty)),
            coordinator: ArcSwapOption::empty(),
            new_id,
        });
        let controller = Controller { shared: shared.clone() };
        let task = tokio::spawn(async move {
            loop {
                if let Some(coordinator) = connect().await {
                    shared.coordinator.store(Some(Arc::new(coordinator.clone())));
                    if let Err(error) = shared.live(coordinator).await {
                        tracing::warn!(%error, "the broker lost its coordination session and opens a new one");
                    }
                    shared.coordinator.store(None);
                }
                tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
            }
        });
        (controller, task)
    }

    /// The picture as of now.
    pub fn view(&self) -> Arc<ClusterView> {
        self.shared.view.borrow().clone()
    }

    /// Changes with every new picture.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.shared.view.subscribe()
    }

    /// This node's id.
    pub fn node_id(&self) -> i32 {
        self.shared.options.config.node_id
    }

    /// Waits until the picture shows this broker and the znode log.
    pub async fn ready(&self) {
        let id = self.node_id();
        let mut views = self.subscribe();
        // The sender lives in `self.shared`, so waiting can't fail.
        let _ = views
            .wait_for(|view| {
                view.brokers.contains_key(&id)
                    && view.partition(ensemble::ZNODES_TOPIC, 0).is_some_and(|p| p.leader >= 0)
            })
            .await;
    }
}

impl Shared {
    /// One coordination session, from registration to its end.
    async fn live(&self, coordinator: Arc<dyn Coordinator>) -> Result<(), CoordinatorError> {
        let config = &self.options.config;
        create_persistent_paths(&*coordinator).await?;
        self.agree_on_cluster_id(&*coordinator).await?;
        register_znodes_topic(&*coordinator, config.node_id, (self.new_id)()).await?;
        self.register_broker(&*coordinator).await?;
        let mut elected = self.stand_for_election(&*coordinator).await?;
        let mut follower = Follower::start(config.node_id, config.clone(), coordinator.clone()).await?;
        if elected.is_some() {
            self.purge_config_changes(&*coordinator).await?;
        }
        // The first picture still has leaders of earlier sessions; it is published once they are elected anew.
        let mut publishes_at_once = false;
        loop {
            self.work_off(&mut follower, &mut elected, &*coordinator, publishes_at_once).await?;
            publishes_at_once = true;
            tokio::select! {
                followed = follower.follow() => if !followed? { return Ok(()) },
                () = coordinator.closed() => return Ok(()),
            }
            if follower.view().controller.is_none() {
                elected = self.stand_for_election(&*coordinator).await?;
                follower.catch_up().await?;
            }
        }
    }

    /// Publishes the picture and, as the controller, does what is to be done in it, until nothing is left. Pictures in which
    /// something is left are published if that is to happen at once.
    async fn work_off(
        &self,
        follower: &mut Follower,
        elected: &mut Option<i32>,
        coordinator: &dyn Coordinator,
        publishes_at_once: bool,
    ) -> Result<(), CoordinatorError> {
        let mut last = Vec::new();
        loop {
            let view = follower.view();
            let todo = if elected.is_some() { duties(&view) } else { Vec::new() };
            // A duty that comes back unchanged was refused; only a change of the tree can help it.
            let is_done = todo.is_empty() || todo == last;
            if is_done || publishes_at_once {
                self.view.send_replace(view.clone());
            }
            let Some(epoch_version) = (*elected).filter(|_| !is_done) else { return Ok(()) };
            let executor = Executor { coordinator, epoch_version, new_id: &*self.new_id };
            for duty in &todo {
                if executor.execute(&view, duty).await? == Done::Deposed {
                    tracing::info!("another broker is the controller now");
                    *elected = None;
                    break;
                }
            }
            follower.catch_up().await?;
            last = todo;
        }
    }

    /// The first node of a cluster gives it its id.
    async fn agree_on_cluster_id(&self, coordinator: &dyn Coordinator) -> Result<(), CoordinatorError> {
        let id = self.options.cluster_id.clone().unwrap_or_else(|| layout::encode_id((self.new_id)()));
        let payload = ClusterId { version: "1".to_owned(), id };
        create_quietly(coordinator, layout::CLUSTER_ID, Some(layout::encode(&payload))).await
    }

    async fn register_broker(&self, coordinator: &dyn Coordinator) -> Result<(), CoordinatorError> {
        let path = layout::broker_path(self.options.config.node_id);
        let data = Some(layout::encode(&self.registration()));
        // As Kafka does it: the set gives a stat, whose czxid is the broker's epoch.
        let create =
            Write::Create { path: path.clone(), data: data.clone(), mode: CreateMode::Ephemeral, acl: None };
        coordinator.multi(vec![create, Write::Set { path, data, version: 0 }]).await.map(|_| ())
    }

    fn registration(&self) -> BrokerRegistration {
        let config = &self.options.config;
        let address = |listener: &Listener| {
            let host = listener.host.clone().unwrap_or_else(|| "localhost".to_owned());
            if host.contains(':') {
                format!("[{host}]:{}", listener.port)
            } else {
                format!("{host}:{}", listener.port)
            }
        };
        let endpoints = self
            .options
            .advertised
            .iter()
            .map(|listener| format!("{}://{}", listener.name, address(listener)));
        let protocols = self.options.advertised.iter().map(|l| (l.name.clone(), l.protocol.to_string()));
        let plain = self.options.advertised.iter().find(|l| l.protocol.to_string() == "PLAINTEXT");
        BrokerRegistration {
            version: 5,
            host: plain.map(|listener| listener.host.clone().unwrap_or_else(|| "localhost".to_owned())),
            port: plain.map_or(-1, |listener| i32::from(listener.port)),
            jmx_port: -1,
            timestamp: self.options.world.clock.wall_ms().to_string(),
            endpoints: endpoints.collect(),
            rack: config.rack.clone(),
            listener_security_protocol_map: protocols.collect(),
            features: BTreeMap::new(),
        }
    }

    /// Takes /controller if it is free. Returns the version of /controller_epoch under which this node was elected.
    async fn stand_for_election(
        &self,
        coordinator: &dyn Coordinator,
    ) -> Result<Option<i32>, CoordinatorError> {
        let (epoch, version) = match coordinator.get(layout::CONTROLLER_EPOCH).await? {
            Some((data, stat)) => {
                let text = data.unwrap_or_default();
                let epoch = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<i32>().ok());
                (epoch.unwrap_or(0), stat.version)
            }
            None => {
                create_quietly(coordinator, layout::CONTROLLER_EPOCH, Some("0".into())).await?;
                (0, 0)
            }
        };
        let registration = ControllerRegistration {
            version: 2,
            brokerid: self.options.config.node_id,
            timestamp: self.options.world.clock.wall_ms().to_string(),
            kraft_controller_epoch: -1,
        };
        let take = Write::Create {
            path: layout::CONTROLLER.to_owned(),
            data: Some(layout::encode(&registration)),
            mode: CreateMode::Ephemeral,
            acl: None,
        };
        let next = (epoch + 1).to_string();
        let count =
            Write::Set { path: layout::CONTROLLER_EPOCH.to_owned(), data: Some(next.into()), version };
        match coordinator.multi(vec![take, count]).await {
            Ok((_, written)) => match written.last() {
                Some(Written::Set(stat)) => Ok(Some(stat.version)),
                _ => Ok(None),
            },
            Err(CoordinatorError::Refused {
                error: TreeError::NodeExists | TreeError::BadVersion, ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes notifications that everyone has seen long ago.
    async fn purge_config_changes(&self, coordinator: &dyn Coordinator) -> Result<(), CoordinatorError> {
        let now = self.options.world.clock.wall_ms();
        for name in coordinator.children(layout::CONFIG_CHANGES).await?.unwrap_or_default() {
            let path = format!("{}/{name}", layout::CONFIG_CHANGES);
            let Some((_, stat)) = coordinator.get(&path).await? else { continue };
            if now - stat.ctime_ms > CONFIG_CHANGE_EXPIRY_MS {
                match coordinator.multi(vec![Write::Delete { path, version: -1 }]).await {
                    Ok(_) | Err(CoordinatorError::Refused { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
