//! What a node writes of itself: the paths that Kafka's layout begins with, the cluster's id, the broker's registration, the
//! candidacy as controller, and at a stop the end of both.
//!
//! Invariant: a registration is this node's exactly if this session owns its znode.
use crate::config::Listener;
use crate::controller::Shared;
use crate::duties::{assignment_data, create};
use crate::executor::delete;
use crate::layout::{self, BrokerRegistration, ClusterId, ControllerRegistration};
use ensemble::{Coordinator, CoordinatorError, Write, Written};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tree::{CreateMode, SessionId, Stat, TreeError};
use uuid::Uuid;

/// Notifications of changed configs are removed after this time, as Kafka does.
const CONFIG_CHANGE_EXPIRY_MS: i64 = 15 * 60 * 1000;
/// The pause before a taken broker id is looked at again.
const TAKEN_RETRY_MS: u64 = 200;
/// What a foreign session gets beyond the session timeout to show that it lives, for the expiry's own rhythm.
const TAKEN_SLACK_MS: u64 = 4_000;

impl Shared {
    /// The first node of a cluster gives it its id.
    pub(crate) async fn agree_on_cluster_id(
        &self,
        coordinator: &dyn Coordinator,
    ) -> Result<(), CoordinatorError> {
        let id = self.options.cluster_id.clone().unwrap_or_else(|| layout::encode_id((self.new_id)()));
        let payload = ClusterId { version: "1".to_owned(), id };
        create_quietly(coordinator, layout::CLUSTER_ID, Some(layout::encode(&payload))).await
    }

    /// Registers the broker under its id. If another session has it, this waits for that session to end; when it has outlived its
    /// timeout it lives, and the id is taken: that is told as the node's failure, and the wait goes on.
    pub(crate) async fn register_broker(
        &self,
        coordinator: &dyn Coordinator,
    ) -> Result<(), CoordinatorError> {
        let path = layout::broker_path(self.options.config.node_id);
        let data = Some(layout::encode(&self.registration()));
        let patience = self.options.config.zookeeper.session_timeout_ms.max(0).unsigned_abs();
        let mut waited = 0;
        loop {
            // As Kafka does it: the set gives a stat, whose czxid is the broker's epoch.
            let take = Write::Create {
                path: path.clone(),
                data: data.clone(),
                mode: CreateMode::Ephemeral,
                acl: None,
            };
            let touch = Write::Set { path: path.clone(), data: data.clone(), version: 0 };
            // Whoever judged without this incarnation must not count it in: see `Guarded::as_of`.
            let tell = Write::Set { path: layout::BROKER_IDS.to_owned(), data: None, version: -1 };
            match coordinator.multi(vec![take, touch, tell]).await {
                Err(error) if error.refused() == Some(TreeError::NodeExists) => {}
                other => return other.map(|_| ()),
            }
            match coordinator.get(&path).await? {
                Some((_, stat)) if stat.ephemeral_owner == coordinator.session().0 => return Ok(()),
                Some((_, stat)) if self.gave_up(stat.ephemeral_owner) => {
                    remove_left_behind(coordinator, &path, &stat).await?;
                    continue;
                }
                Some((other, _)) if waited > u64::from(patience) + TAKEN_SLACK_MS => {
                    self.report_taken_id(&path, &other.unwrap_or_default());
                    waited = 0;
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(TAKEN_RETRY_MS)).await;
            waited += TAKEN_RETRY_MS;
        }
    }

    /// Whether a session was this process's own before.
    fn gave_up(&self, session: i64) -> bool {
        self.given_up.lock().contains(&SessionId(session))
    }

    fn report_taken_id(&self, path: &str, data: &[u8]) {
        let id = self.options.config.node_id;
        let other = layout::decode::<BrokerRegistration>("broker registration", path, data);
        let place =
            other.map_or_else(|_| "an unknown address".to_owned(), |other| other.endpoints.join(", "));
        let reason = format!(
            "another live broker is registered with the id {id}, at {place}; give this node an id of its own (node.id, broker.id) or stop the other one"
        );
        tracing::error!("{reason}");
        self.failure.send_replace(Some(reason));
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
    pub(crate) async fn stand_for_election(
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
        let next = epoch.saturating_add(1).to_string();
        let count =
            Write::Set { path: layout::CONTROLLER_EPOCH.to_owned(), data: Some(next.into()), version };
        match coordinator.multi(vec![take, count]).await {
            Ok((_, written)) => match written.last() {
                Some(Written::Set(stat)) => Ok(Some(stat.version)),
                _ => Ok(None),
            },
            Err(CoordinatorError::Refused {
                error: TreeError::NodeExists | TreeError::BadVersion, ..
            }) => self.place_held(coordinator).await,
            Err(error) => Err(error),
        }
    }

    /// The version of /controller_epoch if this session holds /controller already: an election whose answer was lost. A place that an
    /// earlier session of this node left behind is cleared for the next try.
    async fn place_held(&self, coordinator: &dyn Coordinator) -> Result<Option<i32>, CoordinatorError> {
        let Some((_, stat)) = coordinator.get(layout::CONTROLLER).await? else { return Ok(None) };
        if stat.ephemeral_owner != coordinator.session().0 {
            if self.gave_up(stat.ephemeral_owner) {
                remove_left_behind(coordinator, layout::CONTROLLER, &stat).await?;
            }
            return Ok(None);
        }
        Ok(coordinator.get(layout::CONTROLLER_EPOCH).await?.map(|(_, stat)| stat.version))
    }

    /// Removes notifications that everyone has seen long ago.
    pub(crate) async fn purge_config_changes(
        &self,
        coordinator: &dyn Coordinator,
    ) -> Result<(), CoordinatorError> {
        let now = self.options.world.clock.wall_ms();
        for name in coordinator.children(layout::CONFIG_CHANGES).await?.unwrap_or_default() {
            let path = format!("{}/{name}", layout::CONFIG_CHANGES);
            let Some((_, stat)) = coordinator.get(&path).await? else { continue };
            if now - stat.ctime_ms > CONFIG_CHANGE_EXPIRY_MS {
                match coordinator.multi(vec![delete(path)]).await {
                    Ok(_) | Err(CoordinatorError::Refused { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Removes this session's registrations, so that the others need not wait for its timeout.
    pub(crate) async fn withdraw(&self, coordinator: &dyn Coordinator) -> Result<(), CoordinatorError> {
        let mut writes = Vec::new();
        for path in [layout::broker_path(self.options.config.node_id), layout::CONTROLLER.to_owned()] {
            if let Some((_, stat)) = coordinator.get(&path).await?
                && stat.ephemeral_owner == coordinator.session().0
            {
                writes.push(delete(path));
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        coordinator.multi(writes).await.map(|_| ())
    }
}

/// Removes an ephemeral of a session that nobody acts in any more, so that its successor need not wait for its timeout.
async fn remove_left_behind(
    coordinator: &dyn Coordinator,
    path: &str,
    stat: &Stat,
) -> Result<(), CoordinatorError> {
    let delete = Write::Delete { path: path.to_owned(), version: stat.version };
    match coordinator.multi(vec![delete]).await {
        // It changed hands meanwhile; the next look at it tells. The pause keeps a tree that lags behind from being asked in a loop.
        Err(CoordinatorError::Refused { .. }) => {
            tokio::time::sleep(Duration::from_millis(TAKEN_RETRY_MS)).await;
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// Creates the persistent paths that Kafka's layout begins with.
pub(crate) async fn create_persistent_paths(coordinator: &dyn Coordinator) -> Result<(), CoordinatorError> {
    let mut missing = Vec::new();
    for path in layout::PERSISTENT_PATHS {
        if coordinator.get(path).await?.is_none() {
            missing.push(path);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let together = missing.iter().map(|path| create((*path).to_owned(), None)).collect();
    match coordinator.multi(together).await {
        Ok(_) => return Ok(()),
        // Another node creates them too.
        Err(error) if error.refused() == Some(TreeError::NodeExists) => {}
        Err(error) => return Err(error),
    }
    for path in missing {
        create_quietly(coordinator, path, None).await?;
    }
    Ok(())
}

/// Creates a znode unless it is there.
pub(crate) async fn create_quietly(
    coordinator: &dyn Coordinator,
    path: &str,
    data: Option<bytes::Bytes>,
) -> Result<(), CoordinatorError> {
    if coordinator.get(path).await?.is_some() {
        return Ok(());
    }
    match coordinator.multi(vec![create(path.to_owned(), data)]).await {
        Err(error) if error.refused() == Some(TreeError::NodeExists) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The znode log is a topic like any other in the tree, so that every tool sees it.
pub(crate) async fn register_znodes_topic(
    coordinator: &dyn Coordinator,
    node_id: i32,
    id: Uuid,
) -> Result<(), CoordinatorError> {
    let partitions = BTreeMap::from([(0, vec![node_id])]);
    let data = Some(assignment_data(id, partitions));
    create_quietly(coordinator, &layout::topic_path(ensemble::ZNODES_TOPIC), data).await
}

/// A factory of random ids that Kafka doesn't reserve (`Uuid.randomUuid`: not zero or one, no leading dash).
pub(crate) fn id_factory(random: Arc<dyn base::Random>) -> impl Fn() -> Uuid + Send + Sync {
    move || loop {
        let id = Uuid::from_bytes(random.bytes16());
        if id.as_u128() > 1 && !layout::encode_id(id).starts_with('-') {
            return id;
        }
    }
}
