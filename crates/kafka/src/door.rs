//! The door itself: opened for the other nodes, then for clients, and closed in the reverse order.
//!
//! Invariants: no client is served before the node is; a door that is told to stop accepts nobody, lets the requests under way be answered
//! for a moment, and is closed soon whatever its connections do.
use crate::budget::Budget;
use crate::entrance::{Entrance, Stage};
use crate::in_process::InProcess;
use crate::ports::BoundListener;
use base::World;
use broker::Broker;
use controller::config::BrokerConfig;
use controller::{ClusterView, Controller};
use ensemble::Ensemble;
use parking_lot::Mutex;
use peers::Peers;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a request that is under way may still take when the door closes. It is shorter than what the stop of a node may take
/// altogether; what waits for something that may never come is ended at once.
const STOP_PATIENCE: Duration = Duration::from_millis(80);
/// How long connections that were cut off may take to be gone. They need a turn of the runtime each.
const CUT_PATIENCE: Duration = Duration::from_secs(5);

/// What the other nodes are answered with, before there is anything for clients.
#[derive(Clone)]
pub struct PeerGate {
    /// Clock and randomness.
    pub world: World,
    /// Answers the requests of the quorum.
    pub ensemble: Ensemble,
    /// Asks the quorum's leader what a client asks this node; none for a node that has no others.
    pub peers: Option<Peers>,
}

/// What clients are served with.
#[derive(Clone)]
pub struct Node {
    /// Clock and randomness.
    pub world: World,
    /// Who changes the cluster's metadata.
    pub controller: Controller,
    /// Partitions, groups and producer ids.
    pub broker: Arc<Broker>,
}

/// Numbers since the door was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorStats {
    /// Connections that there are.
    pub connections: usize,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were refused because their address has too many.
    pub refused: u64,
    /// Requests that were answered, or needed no answer.
    pub requests: u64,
    /// Connections that the door closed for what came over them.
    pub faults: u64,
}

/// What requests of clients are served with.
pub(crate) struct Door {
    pub(crate) node: Node,
    pub(crate) budget: Arc<Budget>,
    /// Topics that a Metadata request is creating at the moment.
    pub(crate) auto_creating: Mutex<HashSet<Arc<str>>>,
    views: watch::Receiver<Arc<ClusterView>>,
}

impl Door {
    fn new(node: Node, budget: Arc<Budget>) -> Door {
        let views = node.broker.applied();
        Door { node, budget, auto_creating: Mutex::default(), views }
    }

    /// The cluster as the partitions of this node follow it: what it shows can be used here.
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.views.borrow().clone()
    }

    /// Changes with every view.
    pub(crate) fn views(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.views.clone()
    }

    /// Waits until the partitions of this node follow a view of which `shows` holds, no longer than `patience`.
    pub(crate) async fn wait_for_view(
        &self,
        patience: Duration,
        shows: impl FnMut(&Arc<ClusterView>) -> bool,
    ) {
        let mut views = self.views();
        // Whoever asked gets an answer in any case; later views may still show it.
        let _in_time = tokio::time::timeout(patience, views.wait_for(shows)).await;
    }
}

/// A door that is open for the other nodes; clients who come wait. Dropping it doesn't close it.
pub struct OpenDoor {
    door: RunningDoor,
}

/// A door that serves. Dropping it doesn't stop it; [`RunningDoor::stop`] does.
pub struct RunningDoor {
    entrance: Arc<Entrance>,
    accepting: Vec<JoinHandle<()>>,
    following: JoinHandle<()>,
}

/// Begins to answer the other nodes on `listeners`, with the limits of `config`.
pub async fn open(listeners: Vec<BoundListener>, config: &BrokerConfig, gate: PeerGate) -> OpenDoor {
    let entrance = Arc::new(Entrance::new(config, gate).await);
    let following = tokio::spawn(entrance.clone().follow_limits());
    let accepting = listeners
        .into_iter()
        .map(|listener| tokio::spawn(entrance.clone().accept_until_closed(listener)))
        .collect();
    OpenDoor { door: RunningDoor { entrance, accepting, following } }
}

impl OpenDoor {
    /// Begins to serve clients, those that wait included. The node must be ready.
    pub fn serve(self, node: Node) -> RunningDoor {
        let entrance = &self.door.entrance;
        entrance.serve(Arc::new(Door::new(node, entrance.budget.clone())));
        self.door
    }

    /// Another way through this door, without a socket.
    pub fn in_process(&self) -> InProcess {
        self.door.in_process()
    }

    /// Closes ports and connections at once, as [`RunningDoor::abandon`] does.
    pub fn abandon(self) {
        self.door.abandon();
    }

    /// Closes the door without having served; how many connections are left.
    pub async fn stop(self) -> usize {
        self.door.stop().await
    }
}

impl RunningDoor {
    /// Another way through this door, without a socket.
    pub fn in_process(&self) -> InProcess {
        InProcess::new(self.entrance.clone())
    }

    /// The door's numbers.
    pub fn stats(&self) -> DoorStats {
        let counters = &self.entrance.counters;
        DoorStats {
            connections: self.entrance.register.count(),
            accepted: counters.accepted.load(Relaxed),
            refused: counters.refused.load(Relaxed),
            requests: counters.requests.load(Relaxed),
            faults: counters.faults.load(Relaxed),
        }
    }

    /// Serves no more clients: those that wait for something are let go at once, the others once the request that they are at is
    /// answered. The other nodes are answered on, so that the ensemble can hand over. Returns at once.
    pub fn dismiss_clients(&self) {
        self.entrance.go_on_to(Stage::PeersOnly);
    }

    /// Closes the ports, lets every connection answer the request that it is at if that takes no more than a moment, and returns when
    /// they are gone: how many are left all the same. The broker is to be shut down afterwards.
    pub async fn stop(self) -> usize {
        self.entrance.go_on_to(Stage::Closing);
        self.following.abort();
        for accepting in self.accepting {
            // A panic of the loop has been reported by the runtime; the connections are waited for in any case.
            let _ended = accepting.await;
        }
        let register = &self.entrance.register;
        if tokio::time::timeout(STOP_PATIENCE, register.below(1)).await.is_err() {
            tracing::debug!(connections = register.count(), "cutting off who has not left");
            self.entrance.go_on_to(Stage::Cut);
            // Those that don't go in time are counted below.
            let _in_time = tokio::time::timeout(CUT_PATIENCE, register.below(1)).await;
        }
        let connections = register.count();
        if connections > 0 {
            tracing::warn!(connections, "Kafka clients left behind at shutdown");
        }
        self.entrance.close();
        connections
    }

    /// Closes ports and connections at once, whatever is under way, as a crash would; for simulators.
    pub fn abandon(self) {
        self.entrance.go_on_to(Stage::Cut);
        self.following.abort();
        for accepting in self.accepting {
            accepting.abort();
        }
        self.entrance.close();
    }
}
