//! One coordination session, from registration to its end: follow the tree, publish pictures, and do the controller's duties while
//! elected.
//!
//! Invariants: a session that is only out of reach is kept and tried again, because its ephemerals live as long as it does; one that
//! has ended is left at once, with everything that was judged in it. Duties and requests to the controller are done one after the
//! other in one task, each on the newest picture.
use crate::admin::AdminError;
use crate::controller::Shared;
use crate::duties::{Scope, duties};
use crate::election::Electorate;
use crate::executor::Executor;
use crate::follower::Follower;
use crate::guarded::{Done, Guarded};
use crate::registration::{create_persistent_paths, register_znodes_topic};
use crate::view::ClusterView;
use ensemble::{Coordinator, CoordinatorError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The pause before a session that is out of reach is tried again.
const RETRY_MS: u64 = 50;
/// The first check for imbalance follows the election by this time, as Kafka has it.
const FIRST_BALANCE_CHECK_MS: u64 = 5_000;
/// How often a controlled shutdown is judged anew before what is left is reported.
const SHUTDOWN_ROUNDS: usize = 5;
/// How long one of these rounds waits for its own writes to come back.
const SHUTDOWN_ROUND_MS: u64 = 50;

/// Partitions by topic and number.
pub(crate) type Partitions = Vec<(Arc<str>, i32)>;

/// What the controller is asked for and nobody else can do.
pub(crate) enum Command {
    /// A broker is about to stop.
    ControlledShutdown {
        /// The broker.
        broker: i32,
        /// Its epoch, or -1 if it doesn't say.
        epoch: i64,
        /// Gets what it still leads.
        reply: oneshot::Sender<Result<Partitions, AdminError>>,
    },
}

/// The state of one session.
struct Live<'a> {
    shared: &'a Shared,
    coordinator: Arc<dyn Coordinator>,
    follower: Follower,
    /// The version of /controller_epoch under which this node was elected.
    elected: Option<i32>,
    /// What changed and duties were not judged for yet.
    scope: Scope,
    /// Brokers that are about to stop, with the epochs in which they are.
    leaving: BTreeMap<i32, i64>,
    /// Whether pictures are published. The first ones still have leaders of earlier sessions.
    publishes: bool,
    next_balance_check: Instant,
}

impl Shared {
    /// Lives through one session.
    pub(crate) async fn live(
        &self,
        coordinator: Arc<dyn Coordinator>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), CoordinatorError> {
        let session = coordinator.clone();
        let mut live = tokio::select! {
            started = Live::start(self, coordinator) => started?,
            () = session.closed() => return Err(CoordinatorError::SessionExpired),
        };
        tokio::select! {
            ended = live.run(commands) => ended,
            // Whatever is under way in an ended session is of no use any more.
            () = session.closed() => Err(CoordinatorError::SessionExpired),
        }
    }
}

impl<'a> Live<'a> {
    /// Takes this broker's place, again while the session is only out of reach: every step finds what an earlier try has done.
    async fn start(
        shared: &'a Shared,
        coordinator: Arc<dyn Coordinator>,
    ) -> Result<Live<'a>, CoordinatorError> {
        loop {
            match Live::try_start(shared, coordinator.clone()).await {
                Err(CoordinatorError::ConnectionLost) => {
                    tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
                }
                other => return other,
            }
        }
    }

    async fn try_start(
        shared: &'a Shared,
        coordinator: Arc<dyn Coordinator>,
    ) -> Result<Live<'a>, CoordinatorError> {
        let config = &shared.options.config;
        coordinator.sync().await?;
        create_persistent_paths(&*coordinator).await?;
        shared.agree_on_cluster_id(&*coordinator).await?;
        register_znodes_topic(&*coordinator, config.node_id, (shared.new_id)()).await?;
        shared.register_broker(&*coordinator).await?;
        let elected = shared.stand_for_election(&*coordinator).await?;
        if elected.is_some() {
            shared.purge_config_changes(&*coordinator).await?;
        }
        let follower = Follower::start(config.node_id, config.clone(), coordinator.clone()).await?;
        let mut live = Live {
            shared,
            coordinator,
            follower,
            elected: None,
            scope: Scope::All,
            leaving: BTreeMap::new(),
            publishes: false,
            next_balance_check: Instant::now(),
        };
        live.be_elected(elected);
        Ok(live)
    }

    async fn run(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), CoordinatorError> {
        loop {
            match self.turn(commands).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(CoordinatorError::ConnectionLost) => {
                    // What was under way may be written or not; the tree tells.
                    self.scope = Scope::All;
                    tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Does what is to be done and waits for the next thing. False if the session is over.
    async fn turn(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<bool, CoordinatorError> {
        self.keep_places().await?;
        if self.work_off().await? == Done::Deposed {
            return Ok(true);
        }
        let balances = self.elected.is_some()
            && self.follower.picture().broker_config.replication.auto_leader_rebalance_enable;
        tokio::select! {
            followed = self.follower.follow() => return followed,
            Some(command) = commands.recv() => self.obey(command).await?,
            () = tokio::time::sleep_until(self.next_balance_check), if balances => self.balance().await?,
        }
        Ok(true)
    }

    /// Registers anew if somebody removed the registration, and stands for election if nobody is the controller.
    async fn keep_places(&mut self) -> Result<(), CoordinatorError> {
        let node_id = self.shared.options.config.node_id;
        if !self.follower.picture().brokers.contains_key(&node_id) {
            self.shared.register_broker(&*self.coordinator).await?;
            self.follower.catch_up().await?;
        }
        match self.follower.picture().controller {
            Some(id) if id != node_id => {
                if self.elected.is_some() {
                    self.be_elected(None);
                }
            }
            Some(_) if self.elected.is_some() => {}
            // Nobody is, or this node is and does not know it: the answer to its election was lost.
            _ => {
                let elected = self.shared.stand_for_election(&*self.coordinator).await?;
                if elected != self.elected {
                    self.be_elected(elected);
                }
                self.follower.catch_up().await?;
            }
        }
        Ok(())
    }

    fn be_elected(&mut self, elected: Option<i32>) {
        let was = self.elected.is_some();
        self.elected = elected;
        self.scope = Scope::All;
        self.next_balance_check = Instant::now() + Duration::from_millis(FIRST_BALANCE_CHECK_MS);
        self.leaving.clear();
        match (was, elected.is_some()) {
            (false, true) => tracing::info!("this broker is the controller now"),
            (true, false) => tracing::info!("another broker is the controller now"),
            _ => {}
        }
    }

    /// Publishes the picture and, as the controller, does what is to be done in it, until nothing is left or it is the controller no more.
    async fn work_off(&mut self) -> Result<Done, CoordinatorError> {
        let mut last = (Vec::new(), -1);
        loop {
            self.merge_scope();
            let view = self.follower.view();
            let leaving = self.leaving();
            let scope = std::mem::replace(&mut self.scope, Scope::nothing());
            let todo = if self.elected.is_some() { duties(&view, &leaving, &scope) } else { Vec::new() };
            // A duty that comes back unchanged was refused; only a change of the tree can help it.
            let judged = (todo, view.registrations);
            let is_done = judged.0.is_empty() || judged == last;
            self.publish(&view, is_done);
            let Some(executor) = self.executor().filter(|_| !is_done) else { return Ok(Done::Settled) };
            let done = executor.execute(&view, &judged.0).await?;
            self.follower.catch_up().await?;
            if done == Done::Deposed {
                self.be_elected(None);
                return Ok(Done::Deposed);
            }
            last = judged;
        }
    }

    fn merge_scope(&mut self) {
        match (self.follower.take_changed(), &mut self.scope) {
            (Scope::All, scope) => *scope = Scope::All,
            (Scope::Topics(new), Scope::Topics(known)) => known.extend(new),
            (Scope::Topics(_), Scope::All) => {}
        }
    }

    /// Shows the picture to everyone. The first one of a session has to wait until this broker leads only what was given to its present
    /// incarnation, so that partitions are led once per start; the controller's first one, until its duties are done.
    fn publish(&mut self, view: &Arc<ClusterView>, is_done: bool) {
        let is_controller = self.elected.is_some();
        self.publishes |= if is_controller { is_done } else { !leads_from_before(view, self.node_id()) };
        if self.publishes {
            self.shared.view.send_replace(view.clone());
        }
    }

    fn node_id(&self) -> i32 {
        self.shared.options.config.node_id
    }

    fn executor(&self) -> Option<Executor<'a>> {
        let epoch_version = self.elected?;
        let guarded = Guarded { coordinator: self.coordinator.clone(), epoch_version, registrations: -1 };
        Some(Executor { guarded, new_id: &*self.shared.new_id })
    }

    /// The brokers that are about to stop; one that has registered anew is not.
    fn leaving(&mut self) -> BTreeSet<i32> {
        let brokers = &self.follower.picture().brokers;
        self.leaving.retain(|id, epoch| brokers.get(id).is_some_and(|broker| broker.epoch == *epoch));
        self.leaving.keys().copied().collect()
    }

    /// Gives leaderships back to preferred leaders where brokers lead too few of theirs.
    async fn balance(&mut self) -> Result<(), CoordinatorError> {
        let view = self.follower.view();
        let settings = &view.broker_config.replication;
        let interval = settings.leader_imbalance_check_interval_seconds.max(1).unsigned_abs();
        self.next_balance_check = Instant::now() + Duration::from_secs(interval);
        let leaving = self.leaving();
        let electorate = Electorate { view: &view, leaving: &leaving };
        let states = electorate.imbalanced(settings.leader_imbalance_per_broker_percentage);
        let Some(executor) = self.executor().filter(|_| !states.is_empty()) else { return Ok(()) };
        tracing::info!(partitions = states.len(), "leaderships go back to the preferred leaders");
        if executor.write_states(&view, states.iter()).await? == Done::Deposed {
            self.be_elected(None);
        }
        self.follower.catch_up().await
    }

    async fn obey(&mut self, command: Command) -> Result<(), CoordinatorError> {
        let Command::ControlledShutdown { broker, epoch, reply } = command;
        let answer = match self.controlled_shutdown(broker, epoch).await {
            Ok(answer) => answer,
            Err(error) => {
                // Nobody waits any more if the asker was dropped; the same holds below.
                let _ = reply.send(Err(AdminError::from(error.clone())));
                return Err(error);
            }
        };
        let _ = reply.send(answer);
        Ok(())
    }

    async fn controlled_shutdown(
        &mut self,
        broker: i32,
        given: i64,
    ) -> Result<Result<Partitions, AdminError>, CoordinatorError> {
        self.follower.catch_up().await?;
        if self.elected.is_none() {
            return Ok(Err(AdminError::NotController));
        }
        let Some(registered) = self.follower.picture().brokers.get(&broker).map(|broker| broker.epoch) else {
            return Ok(Err(AdminError::BrokerNotAvailable(broker)));
        };
        if given != -1 && given != registered {
            return Ok(Err(AdminError::StaleBrokerEpoch { broker, given, registered }));
        }
        self.leaving.insert(broker, registered);
        let mut remaining = Vec::new();
        for _ in 0..SHUTDOWN_ROUNDS {
            let view = self.follower.view();
            let leaving = self.leaving();
            let departure = Electorate { view: &view, leaving: &leaving }.departure(broker);
            remaining = departure.remaining;
            let Some(executor) = self.executor() else { return Ok(Err(AdminError::NotController)) };
            if departure.states.is_empty() {
                break;
            }
            remaining.extend(
                departure
                    .states
                    .iter()
                    .filter(|next| {
                        view.partition(&next.topic, next.partition).is_some_and(|p| p.leader == broker)
                    })
                    .map(|next| (next.topic.clone(), next.partition)),
            );
            if executor.write_states(&view, departure.states.iter()).await? == Done::Deposed {
                self.be_elected(None);
                return Ok(Err(AdminError::NotController));
            }
            let round = Duration::from_millis(SHUTDOWN_ROUND_MS);
            // The next round judges by what came back until then.
            let _ = tokio::time::timeout(round, self.follower.follow()).await;
        }
        tracing::info!(
            broker,
            remaining = remaining.len(),
            "a broker is about to stop; its leaderships have moved"
        );
        Ok(Ok(remaining))
    }
}

/// Whether a broker is shown as a leader that it was only in an earlier incarnation.
fn leads_from_before(view: &ClusterView, node_id: i32) -> bool {
    let Some(broker) = view.brokers.get(&node_id) else { return true };
    let partitions = view.topics.values().flat_map(|topic| &topic.partitions);
    partitions.into_iter().any(|partition| partition.leader == node_id && partition.state_zxid < broker.epoch)
}
