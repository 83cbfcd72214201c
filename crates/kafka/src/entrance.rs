//! What all connections of a node share from the opening of its ports on, before there is anything to serve clients with.
//!
//! Invariants: requests of other nodes to the ensemble are answered as soon as the ports are open, since the node cannot serve anybody
//! before its ensemble has found a leader; requests of clients wait for the [`Door`]; the stages of the end follow each other and none
//! is left out, so that whoever is to leave in one has left in the next.
use crate::budget::Budget;
use crate::door::{Door, PeerGate};
use crate::limits::{Limits, Register};
use base::World;
use controller::config::BrokerConfig;
use ensemble::Ensemble;
use parking_lot::RwLock;
use peers::Peers;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

/// Whom the entrance lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everyone.
    Open,
    /// The other nodes' requests to the ensemble. Clients leave once the request that they are at is answered.
    PeersOnly,
    /// Nobody. Everyone leaves once the request that they are at is answered.
    Closing,
    /// Nobody, and who has not left is cut off.
    Cut,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) faults: AtomicU64,
}

/// Everything that connections share.
pub(crate) struct Entrance {
    pub(crate) world: World,
    /// Who answers the other nodes.
    pub(crate) ensemble: Ensemble,
    /// How other nodes are asked; none in a cluster of one.
    pub(crate) peers: Option<Peers>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) counters: Counters,
    pub(crate) register: Arc<Register>,
    /// The settings of the file, for as long as there are no others.
    file_config: Arc<BrokerConfig>,
    limits: RwLock<Arc<Limits>>,
    door: watch::Sender<Option<Arc<Door>>>,
    stage: watch::Sender<Stage>,
}

impl Entrance {
    pub(crate) async fn new(config: &BrokerConfig, gate: PeerGate) -> Entrance {
        let PeerGate { world, ensemble, peers } = gate;
        let network = &config.network;
        let request_bytes_max = usize::try_from(network.socket_request_max_bytes).unwrap_or(0);
        Entrance {
            world,
            ensemble,
            peers,
            budget: Arc::new(Budget::new(network.queued_max_request_bytes, request_bytes_max)),
            counters: Counters::default(),
            register: Arc::default(),
            file_config: Arc::new(config.clone()),
            limits: RwLock::new(Arc::new(Limits::resolve(config).await)),
            door: watch::Sender::new(None),
            stage: watch::Sender::new(Stage::Open),
        }
    }

    /// Lets clients in.
    pub(crate) fn serve(&self, door: Arc<Door>) {
        self.door.send_replace(Some(door));
    }

    /// Lets go of what clients were served with.
    pub(crate) fn close(&self) {
        self.door.send_replace(None);
    }

    /// What clients are served with, if they are already.
    pub(crate) fn door(&self) -> Option<Arc<Door>> {
        self.door.borrow().clone()
    }

    /// Waits until clients are served.
    pub(crate) async fn served(&self) -> Arc<Door> {
        let mut doors = self.door.subscribe();
        loop {
            if let Some(door) = doors.borrow_and_update().clone() {
                return door;
            }
            // The sender lives in the entrance, so waiting can't fail.
            let _changed = doors.changed().await;
        }
    }

    /// The settings of the moment.
    pub(crate) fn config(&self) -> Arc<BrokerConfig> {
        match &*self.door.borrow() {
            Some(door) => door.view().broker_config.clone(),
            None => self.file_config.clone(),
        }
    }

    /// Changes with the stages of the end.
    pub(crate) fn stages(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Goes on to a stage; there is no way back.
    pub(crate) fn go_on_to(&self, stage: Stage) {
        self.stage.send_modify(|current| *current = stage.max(*current));
    }

    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.read().clone()
    }

    /// Keeps the limits of connections as the settings say, from when clients are served.
    pub(crate) async fn follow_limits(self: Arc<Self>) {
        let mut views = self.served().await.views();
        let mut config = self.file_config.clone();
        loop {
            let new = views.borrow_and_update().broker_config.clone();
            if new != config {
                let limits = Limits::resolve(&new).await;
                *self.limits.write() = Arc::new(limits);
                config = new;
            }
            if views.changed().await.is_err() {
                return;
            }
        }
    }
}
