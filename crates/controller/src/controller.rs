//! The node's part in Kafka's metadata: registers the broker, stands for election as controller, follows the tree, and does the
//! controller's duties while it is elected.
//!
//! Invariants: acts only by writing znodes; what others see of the cluster is the published [`ClusterView`] and nothing else; when
//! the coordination session is lost, everything starts over with a new one.
use crate::config::{BrokerConfig, Listener};
use crate::live::Command;
use crate::registration::id_factory;
use crate::view::ClusterView;
use arc_swap::ArcSwapOption;
use base::World;
use ensemble::Coordinator;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tree::SessionId;
use uuid::Uuid;

/// Opens a coordination session.
pub type Connector = Arc<dyn Fn() -> Connecting + Send + Sync>;
/// A session being opened; `None` if coordination can't be reached at the moment.
pub type Connecting = Pin<Box<dyn Future<Output = Option<Arc<dyn Coordinator>>> + Send>>;

/// The pause before coordination is tried again.
const RETRY_MS: u64 = 200;
/// How many requests to the controller may wait for their turn.
const COMMANDS_MAX: usize = 64;
/// How many sessions that were given up are remembered; an older one has long run out.
const GIVEN_UP_MAX: usize = 16;
/// How long a stop waits for the tree to take the end of the registrations, which otherwise end by the session's timeout.
const WITHDRAWAL_MS: u64 = 1_000;

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
    pub(crate) commands: mpsc::Sender<Command>,
    /// Why this broker can't take its place, if it can't.
    pub(crate) failure: watch::Sender<Option<String>>,
    /// The sessions that this node gave up and that may still be alive, the newest last.
    pub(crate) given_up: Mutex<VecDeque<SessionId>>,
    /// How many brokers the configuration names.
    pub(crate) brokers_expected: AtomicUsize,
    /// Becomes true when the node stops.
    stopping: watch::Sender<bool>,
    /// Becomes true when nothing acts for this broker any more.
    stopped: watch::Sender<bool>,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    pub(crate) shared: Arc<Shared>,
}

impl Controller {
    /// Starts to follow and to act; ends with [`Controller::stop`], or abruptly when the returned task is aborted.
    pub fn start(
        options: ControllerOptions,
        connect: Connector,
    ) -> (Controller, tokio::task::JoinHandle<()>) {
        let empty = ClusterView { broker_config: Arc::new(options.config.clone()), ..ClusterView::default() };
        let new_id = Box::new(id_factory(options.world.random.clone()));
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let shared = Arc::new(Shared {
            options,
            view: watch::Sender::new(Arc::new(empty)),
            coordinator: ArcSwapOption::empty(),
            new_id,
            commands,
            failure: watch::Sender::new(None),
            given_up: Mutex::default(),
            brokers_expected: AtomicUsize::new(1),
            stopping: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
        });
        let task = tokio::spawn(shared.clone().run(connect, received));
        (Controller { shared }, task)
    }

    /// Ends this broker's part at once: what is under way is dropped, and its registrations are removed, so that the others see it
    /// go without waiting for its session to time out.
    pub async fn stop(&self) {
        self.shared.stopping.send_replace(true);
        let mut stopped = self.shared.stopped.subscribe();
        // The sender lives in `self.shared`, so waiting can't fail.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Waits until this broker can't take its place among the others, and says why: its id is taken.
    pub async fn failed(&self) -> String {
        let mut failure = self.shared.failure.subscribe();
        // The sender lives in `self.shared`, so waiting can't fail.
        let reason = failure.wait_for(Option::is_some).await;
        reason.map_or_else(|_| String::new(), |reason| reason.clone().unwrap_or_default())
    }

    /// Whether this node is the controller, as far as it knows.
    pub fn is_active(&self) -> bool {
        self.active_controller() == Some(self.node_id())
    }

    /// The broker that is the controller.
    pub fn active_controller(&self) -> Option<i32> {
        self.view().controller
    }

    /// Tells how many brokers the configuration names, so that internal topics wait for as many as they need.
    pub fn expect_brokers(&self, count: usize) {
        self.shared.brokers_expected.store(count, Ordering::Relaxed);
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
    /// Lives through one session after the other until the node stops.
    async fn run(self: Arc<Shared>, connect: Connector, mut commands: mpsc::Receiver<Command>) {
        // If this ends in any way, nobody waits for it any more.
        let ended = Ended(self.clone());
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            // The sender lives in `self`, so waiting can't fail.
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.sessions(connect, &mut commands) => {}
        }
        if let Some(coordinator) = self.coordinator.load_full() {
            let withdrawal = self.withdraw(&**coordinator);
            let ended = tokio::time::timeout(Duration::from_millis(WITHDRAWAL_MS), withdrawal).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::warn!(
                    "the broker's registration could not be removed and ends by its session's timeout"
                );
            }
        }
        self.coordinator.store(None);
        drop(ended);
    }

    async fn sessions(&self, connect: Connector, commands: &mut mpsc::Receiver<Command>) {
        loop {
            if let Some(coordinator) = connect().await {
                self.coordinator.store(Some(Arc::new(coordinator.clone())));
                let session = coordinator.session();
                if let Err(error) = self.live(coordinator, commands).await {
                    tracing::warn!(%error, "the broker lost its coordination session and opens a new one");
                }
                self.coordinator.store(None);
                let mut given_up = self.given_up.lock();
                given_up.push_back(session);
                if given_up.len() > GIVEN_UP_MAX {
                    given_up.pop_front();
                }
            }
            tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
        }
    }
}

struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.stopped.send_replace(true);
    }
}
