//! Turns znodes into the [`ClusterView`]: reads everything once, then only what watch events name.
//!
//! Invariants: the picture only ever shows what was read from the tree; an entity whose znode makes no sense keeps its last good
//! form and is reported; what did not change is shared with the picture before.
use crate::config::{BrokerConfig, ConfigMap, TopicConfig};
use crate::duties::Scope;
use crate::layout::{
    self, BrokerRegistration, ClusterId, ConfigEntity, ControllerRegistration, DEFAULT_ENTITY, LayoutError,
    PartitionState, PreferredElectionRequest, ReassignmentRequest, TopicAssignment,
};
use crate::view::{BrokerView, ClusterView, Endpoint, PartitionView, TopicView};
use ensemble::{Coordinator, CoordinatorError, WatchEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

/// The subtrees that Kafka's metadata lies in.
const ROOTS: [&str; 6] = ["/brokers", "/config", "/admin", "/controller", "/controller_epoch", "/cluster"];

/// Something that has to be read again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Registrations,
    Broker(i32),
    Topic(String),
    State(String, i32),
    TopicConfig(String),
    BrokerConfig(String),
    GroupConfig(String),
    DeleteTopic(String),
    Controller,
    ControllerEpoch,
    ClusterId,
    PreferredElection,
    ReassignmentRequest,
}

/// The picture in the making.
pub(crate) struct Follower {
    node_id: i32,
    static_config: BrokerConfig,
    coordinator: Arc<dyn Coordinator>,
    events: Vec<UnboundedReceiver<WatchEvent>>,
    view: ClusterView,
    /// What has to be read again. An item stays until it has been read, so that nothing is lost when following is interrupted.
    dirty: BTreeSet<Dirty>,
    /// What changed since it was asked for last.
    changed: Scope,
}

impl Follower {
    /// Watches and then reads everything.
    pub(crate) async fn start(
        node_id: i32,
        static_config: BrokerConfig,
        coordinator: Arc<dyn Coordinator>,
    ) -> Result<Follower, CoordinatorError> {
        let mut events = Vec::with_capacity(ROOTS.len());
        for root in ROOTS {
            events.push(coordinator.watch(root).await?);
        }
        let view = ClusterView { broker_config: Arc::new(static_config.clone()), ..ClusterView::default() };
        let dirty = BTreeSet::from([
            Dirty::Registrations,
            Dirty::Controller,
            Dirty::ControllerEpoch,
            Dirty::ClusterId,
            Dirty::PreferredElection,
            Dirty::ReassignmentRequest,
        ]);
        let changed = Scope::All;
        let mut follower = Follower { node_id, static_config, coordinator, events, view, dirty, changed };
        follower.refresh_registrations().await?;
        for (parent, of) in [
            ("/config/brokers", Dirty::BrokerConfig as fn(String) -> Dirty),
            ("/config/topics", Dirty::TopicConfig),
            ("/config/groups", Dirty::GroupConfig),
            (layout::TOPICS, Dirty::Topic),
            (layout::DELETE_TOPICS, Dirty::DeleteTopic),
        ] {
            let names = follower.children(parent).await?;
            follower.dirty.extend(names.into_iter().map(of));
        }
        let brokers = follower.children(layout::BROKER_IDS).await?;
        follower.dirty.extend(brokers.iter().filter_map(|id| id.parse().ok()).map(Dirty::Broker));
        follower.refresh().await?;
        Ok(follower)
    }

    /// The picture as it is.
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        Arc::new(self.view.clone())
    }

    /// The picture as it is, to look at.
    pub(crate) fn picture(&self) -> &ClusterView {
        &self.view
    }

    /// What may have changed since this was called last.
    pub(crate) fn take_changed(&mut self) -> Scope {
        std::mem::replace(&mut self.changed, Scope::nothing())
    }

    /// Waits for events and follows them. False if the session is over.
    pub(crate) async fn follow(&mut self) -> Result<bool, CoordinatorError> {
        if self.dirty.is_empty() {
            let Some(first) = self.next_event().await else { return Ok(false) };
            mark(&mut self.dirty, &first.path);
        }
        self.catch_up().await?;
        Ok(true)
    }

    /// Follows the events that are there already, without waiting.
    pub(crate) async fn catch_up(&mut self) -> Result<(), CoordinatorError> {
        self.drain();
        self.refresh_registrations().await?;
        self.refresh().await
    }

    fn drain(&mut self) {
        for events in &mut self.events {
            while let Ok(event) = events.try_recv() {
                mark(&mut self.dirty, &event.path);
            }
        }
    }

    /// Reads how often brokers have registered, and then looks for what happened until then: the picture must never show a
    /// number without the brokers that it counts.
    async fn refresh_registrations(&mut self) -> Result<(), CoordinatorError> {
        while self.dirty.contains(&Dirty::Registrations) {
            let found = self.coordinator.get(layout::BROKER_IDS).await?;
            self.view.registrations = found.map_or(-1, |(_, stat)| stat.version);
            self.changed = Scope::All;
            self.dirty.remove(&Dirty::Registrations);
            self.drain();
        }
        Ok(())
    }

    async fn next_event(&mut self) -> Option<WatchEvent> {
        let mut waits: Vec<_> = self.events.iter_mut().collect();
        let poll = std::future::poll_fn(|context| {
            for events in &mut waits {
                if let std::task::Poll::Ready(event) = events.poll_recv(context) {
                    return std::task::Poll::Ready(event);
                }
            }
            std::task::Poll::Pending
        });
        poll.await
    }

    async fn refresh(&mut self) -> Result<(), CoordinatorError> {
        while let Some(item) = self.dirty.first().cloned() {
            self.note(&item);
            self.refresh_item(&item).await?;
            if let Dirty::Topic(name) = &item {
                // A topic is read with its states.
                let states = Dirty::State(name.clone(), i32::MIN)..=Dirty::State(name.clone(), i32::MAX);
                let states: Vec<Dirty> = self.dirty.range(states).cloned().collect();
                for state in states {
                    self.dirty.remove(&state);
                }
            }
            self.dirty.remove(&item);
        }
        Ok(())
    }

    async fn refresh_item(&mut self, item: &Dirty) -> Result<(), CoordinatorError> {
        match item {
            Dirty::Registrations => self.refresh_registrations().await?,
            Dirty::Broker(id) => self.refresh_broker(*id).await?,
            Dirty::Topic(name) => self.refresh_topic(name).await?,
            Dirty::State(topic, partition) => self.refresh_state(topic, *partition).await?,
            Dirty::TopicConfig(name) => self.refresh_topic_config(name).await?,
            Dirty::BrokerConfig(entity) => {
                self.refresh_broker_config(entity.clone()).await?;
                self.rebuild_configs();
            }
            Dirty::GroupConfig(name) => {
                match self.overrides(&format!("groups/{name}")).await? {
                    Some(overrides) => self.view.group_overrides.insert(name.clone(), Arc::new(overrides)),
                    None => self.view.group_overrides.remove(name),
                };
            }
            Dirty::DeleteTopic(name) => {
                if self.coordinator.get(&layout::delete_topic_path(name)).await?.is_some() {
                    self.view.deleting.insert(name.as_str().into());
                } else {
                    self.view.deleting.remove(name.as_str());
                }
            }
            Dirty::Controller => self.refresh_controller().await?,
            Dirty::ControllerEpoch => {
                let epoch = self.coordinator.get(layout::CONTROLLER_EPOCH).await?;
                let text = epoch.and_then(|(data, _)| data).unwrap_or_default();
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
                self.view.controller_epoch = number.unwrap_or(0);
            }
            Dirty::PreferredElection => {
                let path = layout::PREFERRED_ELECTION;
                let request = self.read::<PreferredElectionRequest>("election request", path).await?;
                self.view.preferred_election = request.map(|(request, _)| request.partitions.into());
            }
            Dirty::ReassignmentRequest => {
                let path = layout::REASSIGN_PARTITIONS;
                let request = self.read::<ReassignmentRequest>("reassignment request", path).await?;
                self.view.reassignment_request = request.map(|(request, _)| request.partitions.into());
            }
            Dirty::ClusterId => {
                if let Some(id) = self.read::<ClusterId>("cluster id", layout::CLUSTER_ID).await? {
                    self.view.cluster_id = id.0.id.into();
                }
            }
        }
        Ok(())
    }

    /// Remembers whom a change concerns.
    fn note(&mut self, item: &Dirty) {
        match item {
            Dirty::Topic(topic)
            | Dirty::State(topic, _)
            | Dirty::TopicConfig(topic)
            | Dirty::DeleteTopic(topic) => self.changed.add(topic),
            Dirty::Registrations
            | Dirty::Broker(_)
            | Dirty::BrokerConfig(_)
            | Dirty::Controller
            | Dirty::ControllerEpoch => {
                self.changed = Scope::All;
            }
            Dirty::GroupConfig(_)
            | Dirty::ClusterId
            | Dirty::PreferredElection
            | Dirty::ReassignmentRequest => {}
        }
    }

    async fn refresh_broker(&mut self, id: i32) -> Result<(), CoordinatorError> {
        let path = layout::broker_path(id);
        match self.read::<BrokerRegistration>("broker registration", &path).await? {
            Some((registration, stat)) => {
                let broker = broker_view(id, stat.czxid.0, registration);
                self.view.brokers.insert(id, Arc::new(broker));
            }
            None => {
                self.view.brokers.remove(&id);
            }
        }
        Ok(())
    }

    async fn refresh_topic(&mut self, name: &str) -> Result<(), CoordinatorError> {
        let path = layout::topic_path(name);
        let Some((assignment, _)) = self.read::<TopicAssignment>("topic assignment", &path).await? else {
            if self.coordinator.get(&path).await?.is_none()
                && let Some(topic) = self.view.topics.remove(name)
            {
                self.view.topic_names.remove(&topic.id);
            }
            return Ok(());
        };
        let id = assignment.id().unwrap_or(Uuid::nil());
        let mut partitions = Vec::with_capacity(assignment.partitions.len());
        for (expected, (&index, replicas)) in (0..).zip(&assignment.partitions) {
            if index != expected {
                tracing::warn!(
                    topic = name,
                    partition = index,
                    "partition {expected} is missing in {path}; the ones behind it are left out"
                );
                break;
            }
            partitions.push(self.read_partition(name, index, replicas, &assignment).await?);
        }
        let overrides = match self.view.topics.get(name) {
            Some(topic) if topic.id == id => topic.overrides.clone(),
            _ => Arc::new(self.overrides(&format!("topics/{name}")).await?.unwrap_or_default()),
        };
        let config = self.effective(name, &overrides);
        let name: Arc<str> = name.into();
        if let Some(before) = self.view.topics.get(&name) {
            self.view.topic_names.remove(&before.id);
        }
        if !id.is_nil() {
            self.view.topic_names.insert(id, name.clone());
        }
        let topic = TopicView { name: name.clone(), id, partitions, overrides, config };
        self.view.topics.insert(name, Arc::new(topic));
        Ok(())
    }

    async fn read_partition(
        &self,
        topic: &str,
        index: i32,
        replicas: &[i32],
        assignment: &TopicAssignment,
    ) -> Result<PartitionView, CoordinatorError> {
        let mut partition = PartitionView::unelected(replicas.to_vec());
        partition.adding = assignment.adding_replicas.get(&index).cloned().unwrap_or_default();
        partition.removing = assignment.removing_replicas.get(&index).cloned().unwrap_or_default();
        self.read_state(topic, index, &mut partition).await?;
        Ok(partition)
    }

    /// Reads one state again and leaves the rest of the topic as it is.
    async fn refresh_state(&mut self, name: &str, index: i32) -> Result<(), CoordinatorError> {
        let Some(before) = self.view.partition(name, index) else { return Ok(()) };
        let mut partition = PartitionView {
            adding: before.adding.clone(),
            removing: before.removing.clone(),
            ..PartitionView::unelected(before.replicas.clone())
        };
        self.read_state(name, index, &mut partition).await?;
        if let Some(topic) = self.view.topics.get_mut(name)
            && let Some(place) = usize::try_from(index).ok().filter(|index| *index < topic.partitions.len())
        {
            // The topic is copied once per published picture, however many of its states change between two.
            Arc::make_mut(topic).partitions[place] = partition;
        }
        Ok(())
    }

    async fn read_state(
        &self,
        topic: &str,
        index: i32,
        partition: &mut PartitionView,
    ) -> Result<(), CoordinatorError> {
        let path = layout::state_path(topic, index);
        if let Some((state, stat)) = self.read::<PartitionState>("partition state", &path).await? {
            partition.leader = state.leader;
            partition.leader_epoch = state.leader_epoch;
            partition.isr = state.isr;
            partition.partition_epoch = stat.version;
            partition.state_zxid = stat.mzxid.0;
            partition.recovering = state.leader_recovery_state != 0;
        }
        Ok(())
    }

    async fn refresh_topic_config(&mut self, name: &str) -> Result<(), CoordinatorError> {
        let overrides = Arc::new(self.overrides(&format!("topics/{name}")).await?.unwrap_or_default());
        let Some(topic) = self.view.topics.get(name) else { return Ok(()) };
        if topic.overrides == overrides {
            return Ok(());
        }
        let config = self.effective(name, &overrides);
        let changed = TopicView { overrides, config, ..TopicView::clone(topic) };
        self.view.topics.insert(changed.name.clone(), Arc::new(changed));
        Ok(())
    }

    async fn refresh_broker_config(&mut self, entity: String) -> Result<(), CoordinatorError> {
        match self.overrides(&format!("brokers/{entity}")).await? {
            Some(overrides) => self.view.broker_overrides.insert(entity, Arc::new(overrides)),
            None => self.view.broker_overrides.remove(&entity),
        };
        Ok(())
    }

    async fn refresh_controller(&mut self) -> Result<(), CoordinatorError> {
        let found =
            self.read::<ControllerRegistration>("controller registration", layout::CONTROLLER).await?;
        self.view.controller = found.map(|(registration, _)| registration.brokerid);
        Ok(())
    }

    /// Computes this broker's settings and all topics' from the overrides.
    fn rebuild_configs(&mut self) {
        let none = Arc::new(ConfigMap::new());
        let of = |entity: &str| self.view.broker_overrides.get(entity).unwrap_or(&none).clone();
        let (config, errors) =
            self.static_config.with_dynamic(&of(DEFAULT_ENTITY), &of(&self.node_id.to_string()));
        for error in errors {
            tracing::warn!(%error, "a dynamic broker setting is not allowed and has no effect");
        }
        if config == *self.view.broker_config {
            return;
        }
        self.view.broker_config = Arc::new(config);
        let topics: BTreeMap<_, _> = std::mem::take(&mut self.view.topics)
            .into_iter()
            .map(|(name, topic)| {
                let config = self.effective(&name, &topic.overrides);
                let rebuilt = if *config == *topic.config {
                    topic
                } else {
                    Arc::new(TopicView { config, ..TopicView::clone(&topic) })
                };
                (name, rebuilt)
            })
            .collect();
        self.view.topics = topics;
    }

    fn effective(&self, topic: &str, overrides: &ConfigMap) -> Arc<TopicConfig> {
        let (config, errors) = TopicConfig::effective(&self.view.broker_config, overrides);
        for error in errors {
            tracing::warn!(topic, %error, "a setting of the topic is not allowed and has no effect");
        }
        Arc::new(config)
    }

    async fn overrides(&self, entity: &str) -> Result<Option<ConfigMap>, CoordinatorError> {
        let path = layout::config_path(entity);
        Ok(self.read::<ConfigEntity>("configuration", &path).await?.map(|(entity, _)| entity.config))
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, CoordinatorError> {
        Ok(self.coordinator.children(path).await?.unwrap_or_default())
    }

    /// Reads and decodes a znode; one that is missing, empty or makes no sense is none.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
    ) -> Result<Option<(T, tree::Stat)>, CoordinatorError> {
        let Some((data, stat)) = self.coordinator.get(path).await? else { return Ok(None) };
        let Some(data) = data.filter(|data| !data.is_empty()) else { return Ok(None) };
        match layout::decode(what, path, &data) {
            Ok(payload) => Ok(Some((payload, stat))),
            Err(error) => {
                report(&error);
                Ok(None)
            }
        }
    }
}

fn report(error: &LayoutError) {
    tracing::warn!(%error, "a znode of Kafka's metadata makes no sense and is ignored until it is mended");
}

/// What a change of this znode makes necessary to read again.
/// Notes what an event is about. A registration is counted in its own transaction, so that the two are read together.
fn mark(dirty: &mut BTreeSet<Dirty>, path: &str) {
    let item = dirty_of(path);
    if let Some(Dirty::Broker(_)) = item {
        dirty.insert(Dirty::Registrations);
    }
    dirty.extend(item);
}

fn dirty_of(path: &str) -> Option<Dirty> {
    let mut parts = path.split('/').skip(1);
    let (first, second, third) = (parts.next()?, parts.next(), parts.next());
    let below = (parts.next(), parts.next(), parts.next());
    Some(match (first, second, third) {
        ("brokers", Some("ids"), None) => Dirty::Registrations,
        ("brokers", Some("ids"), Some(id)) => Dirty::Broker(id.parse().ok()?),
        ("brokers", Some("topics"), Some(topic)) => match below {
            (None, None, None) => Dirty::Topic(topic.to_owned()),
            (Some("partitions"), Some(partition), Some("state")) => {
                Dirty::State(topic.to_owned(), partition.parse().ok()?)
            }
            _ => return None,
        },
        ("config", Some("topics"), Some(topic)) => Dirty::TopicConfig(topic.to_owned()),
        ("config", Some("brokers"), Some(entity)) => Dirty::BrokerConfig(entity.to_owned()),
        ("config", Some("groups"), Some(group)) => Dirty::GroupConfig(group.to_owned()),
        ("admin", Some("delete_topics"), Some(topic)) => Dirty::DeleteTopic(topic.to_owned()),
        ("admin", Some("preferred_replica_election"), None) => Dirty::PreferredElection,
        ("admin", Some("reassign_partitions"), None) => Dirty::ReassignmentRequest,
        ("controller", None, None) => Dirty::Controller,
        ("controller_epoch", None, None) => Dirty::ControllerEpoch,
        ("cluster", Some("id"), None) => Dirty::ClusterId,
        _ => return None,
    })
}

fn broker_view(id: i32, epoch: i64, registration: BrokerRegistration) -> BrokerView {
    let endpoints = registration
        .endpoints
        .iter()
        .filter_map(|text| {
            let (listener, address) = text.split_once("://")?;
            let (host, port) = address.rsplit_once(':')?;
            let protocol =
                registration.listener_security_protocol_map.get(listener).map_or(listener, String::as_str);
            Some(Endpoint {
                listener: listener.to_owned(),
                host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
                port: port.parse().ok()?,
                protocol: protocol.to_owned(),
            })
        })
        .collect();
    BrokerView { id, epoch, endpoints, rack: registration.rack }
}
