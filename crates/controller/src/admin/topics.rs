//! Creating, deleting and growing topics.
use super::AdminError;
use super::assignment::{assign, check};
use super::names::{collision_key, validate_topic_name};
use crate::config::{ConfigMap, validate_topic_config};
use crate::controller::Controller;
use crate::duties::{assignment_data, create};
use crate::layout::{self, ConfigEntity, TopicAssignment};
use crate::view::{ClusterView, is_internal_topic};
use ensemble::{Coordinator, CoordinatorError, Write};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tree::TreeError;
use uuid::Uuid;

/// More partitions than this in one topic are refused: each is a folder and a znode of its own.
const PARTITIONS_MAX: i32 = 10_000;

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 is `num.partitions`, and what must be given together with assignments.
    pub partitions: i32,
    /// How many replicas; -1 is `default.replication.factor`, and what must be given together with assignments.
    pub replication_factor: i16,
    /// Replicas by partition, if the client chooses.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Settings; a null value is the default.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was created, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its id; a random one that means nothing if the request was only to be validated.
    pub id: Uuid,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas each.
    pub replication_factor: i16,
    /// The settings that were given for it.
    pub overrides: Arc<ConfigMap>,
}

impl Controller {
    /// Creates a topic. With `validate_only` nothing is written.
    pub async fn create_topic(
        &self,
        topic: &NewTopic,
        validate_only: bool,
        timeout_ms: u64,
    ) -> Result<CreatedTopic, AdminError> {
        let view = self.view();
        let overrides = check_new(&view, topic)?;
        let partitions = self.assignment_of(&view, topic)?;
        let id = (self.shared.new_id)();
        let created = CreatedTopic {
            name: topic.name.clone(),
            id,
            partitions: partitions.len() as i32,
            replication_factor: partitions.values().next().map_or(0, Vec::len) as i16,
            overrides: Arc::new(overrides),
        };
        if validate_only {
            return Ok(created);
        }
        let config = layout::encode(&ConfigEntity { version: 1, config: (*created.overrides).clone() });
        let config_path = layout::config_path(&format!("topics/{}", topic.name));
        let coordinator = self.coordinator()?;
        let config_write = match coordinator.get(&config_path).await? {
            Some(_) => Write::Set { path: config_path, data: Some(config), version: -1 },
            None => create(config_path, Some(config)),
        };
        let topic_write = create(layout::topic_path(&topic.name), Some(assignment_data(id, partitions)));
        match coordinator.multi(vec![config_write, topic_write]).await {
            Ok(_) => {}
            Err(error) if error.refused() == Some(TreeError::NodeExists) => {
                return Err(AdminError::TopicExists(topic.name.clone()));
            }
            Err(error) => return Err(error.into()),
        }
        self.wait_until(timeout_ms, |view| {
            view.topic(&topic.name).is_some_and(|topic| {
                topic.id == id && topic.partitions.iter().all(|partition| partition.leader >= 0)
            })
        })
        .await?;
        Ok(created)
    }

    /// Deletes a topic.
    pub async fn delete_topic(&self, name: &str, timeout_ms: u64) -> Result<(), AdminError> {
        let view = self.view();
        let Some(topic) = view.topic(name) else { return Err(AdminError::UnknownTopic(name.to_owned())) };
        if !view.broker_config.topics.delete_enable {
            return Err(AdminError::TopicDeletionDisabled);
        }
        if name == ensemble::ZNODES_TOPIC {
            return Err(AdminError::InvalidRequest(format!(
                "The topic {name} is the znode log and cannot be deleted."
            )));
        }
        let id = topic.id;
        let coordinator = self.coordinator()?;
        match coordinator.multi(vec![create(layout::delete_topic_path(name), None)]).await {
            Ok(_) => {}
            Err(error) if error.refused() == Some(TreeError::NodeExists) => {}
            Err(error) => return Err(error.into()),
        }
        self.wait_until(timeout_ms, |view| view.topic(name).is_none_or(|topic| topic.id != id)).await
    }

    /// Gives a topic more partitions, `count` in all. `assignments` has the replicas of each new one, or nothing.
    pub async fn create_partitions(
        &self,
        name: &str,
        count: i32,
        assignments: Option<&[Vec<i32>]>,
        validate_only: bool,
        timeout_ms: u64,
    ) -> Result<(), AdminError> {
        let view = self.view();
        let Some(topic) = view.topic(name) else { return Err(AdminError::UnknownTopic(name.to_owned())) };
        let present = topic.partitions.len() as i32;
        let refuse = |why: String| Err(AdminError::InvalidPartitions(why));
        if name == ensemble::ZNODES_TOPIC {
            return refuse(format!("The topic {name} is the znode log and has one partition."));
        }
        if topic.is_reassigning() {
            return Err(AdminError::ReassignmentInProgress(format!(
                "A partition reassignment is in progress for the topic {name}."
            )));
        }
        if count == present {
            return refuse(format!("Topic already has {count} partition(s)."));
        }
        if count < present {
            return refuse(format!(
                "The topic {name} currently has {present} partition(s); {count} would not be an increase."
            ));
        }
        if count > PARTITIONS_MAX {
            return refuse(format!(
                "A topic can have at most {PARTITIONS_MAX} partitions, {count} were asked for."
            ));
        }
        let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
        let added = match assignments {
            None => assign(&view.brokers, present, count - present, factor as i16, self.random())?,
            Some(given) if given.len() as i32 != count - present => {
                return Err(AdminError::InvalidReplicaAssignment(format!(
                    "Attempted to add {} additional partition(s), but only {} assignment(s) were specified.",
                    count - present,
                    given.len()
                )));
            }
            Some(given) => {
                let numbered: Vec<_> = (present..).zip(given.iter().cloned()).collect();
                check(&view.brokers, present, &numbered, Some(factor))?
            }
        };
        if validate_only {
            return Ok(());
        }
        self.add_partitions(name, added).await?;
        self.wait_until(timeout_ms, |view| {
            view.topic(name).is_none_or(|topic| {
                topic.partitions.len() as i32 >= count
                    && topic.partitions.iter().all(|partition| partition.leader >= 0)
            })
        })
        .await
    }

    async fn add_partitions(&self, name: &str, added: BTreeMap<i32, Vec<i32>>) -> Result<(), AdminError> {
        let coordinator = self.coordinator()?;
        let path = layout::topic_path(name);
        let unknown = || AdminError::UnknownTopic(name.to_owned());
        let (data, stat) = coordinator.get(&path).await?.ok_or_else(unknown)?;
        let mut assignment: TopicAssignment =
            layout::decode("topic assignment", &path, &data.unwrap_or_default())
                .map_err(|error| AdminError::InvalidRequest(error.to_string()))?;
        assignment.partitions.extend(added);
        let data = Some(layout::encode(&assignment));
        match coordinator.multi(vec![Write::Set { path, data, version: stat.version }]).await {
            Err(CoordinatorError::Refused { error: TreeError::BadVersion, .. }) => {
                Err(AdminError::InvalidRequest(format!(
                    "The topic {name} was changed at the same time; try again."
                )))
            }
            other => other.map(|_| ()).map_err(AdminError::from),
        }
    }

    fn assignment_of(
        &self,
        view: &ClusterView,
        topic: &NewTopic,
    ) -> Result<BTreeMap<i32, Vec<i32>>, AdminError> {
        if !topic.assignments.is_empty() {
            if topic.partitions != -1 || topic.replication_factor != -1 {
                return Err(AdminError::InvalidRequest(
                    "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1."
                        .to_owned(),
                ));
            }
            return check(&view.brokers, 0, &topic.assignments, None);
        }
        let defaults = &view.broker_config.topics;
        let count = if topic.partitions == -1 { defaults.partitions } else { topic.partitions };
        if count < 1 {
            return Err(AdminError::InvalidPartitions(
                "Number of partitions was set to an invalid non-positive value.".to_owned(),
            ));
        }
        if count > PARTITIONS_MAX {
            return Err(AdminError::InvalidPartitions(format!(
                "A topic can have at most {PARTITIONS_MAX} partitions, {count} were asked for."
            )));
        }
        let factor = match topic.replication_factor {
            wanted if is_internal_topic(&topic.name) => self.factor_of_internal_topic(view, wanted),
            -1 => i16::try_from(defaults.replication_factor).unwrap_or(i16::MAX),
            wanted => wanted,
        };
        assign(&view.brokers, 0, count, factor, self.random())
    }

    /// The factor of the server's own topics (offsets.topic.replication.factor and the like). A cluster of fewer brokers than that gives
    /// them as many replicas as it has brokers, where Kafka would refuse for good; but brokers that are known and not there at the moment
    /// are waited for, so that a cluster that starts does not give its offsets to the first broker alone.
    fn factor_of_internal_topic(&self, view: &ClusterView, wanted: i16) -> i16 {
        let registered = view.partition(ensemble::ZNODES_TOPIC, 0).map_or(0, |znodes| znodes.replicas.len());
        let named = view.broker_config.quorum_voters.len();
        let expected = self.shared.brokers_expected.load(std::sync::atomic::Ordering::Relaxed);
        let known = registered.max(named).max(expected).max(1);
        wanted.clamp(1, i16::try_from(known).unwrap_or(i16::MAX))
    }

    fn random(&self) -> u64 {
        self.shared.options.world.random.u64()
    }

    pub(crate) fn coordinator(&self) -> Result<Arc<dyn Coordinator>, AdminError> {
        let none =
            || AdminError::Unavailable("the broker has no coordination session at the moment".to_owned());
        self.shared.coordinator.load_full().map(|coordinator| (*coordinator).clone()).ok_or_else(none)
    }

    /// Waits until the picture is as wanted.
    pub(crate) async fn wait_until(
        &self,
        timeout_ms: u64,
        wanted: impl FnMut(&Arc<ClusterView>) -> bool,
    ) -> Result<(), AdminError> {
        let mut views = self.subscribe();
        let waited = tokio::time::timeout(Duration::from_millis(timeout_ms), views.wait_for(wanted)).await;
        waited.map(|_| ()).map_err(|_| AdminError::RequestTimedOut(timeout_ms))
    }
}

/// Checks a new topic's name and settings; gives the settings without nulls.
fn check_new(view: &ClusterView, topic: &NewTopic) -> Result<ConfigMap, AdminError> {
    validate_topic_name(&topic.name)?;
    if view.topic(&topic.name).is_some() {
        return Err(AdminError::TopicExists(topic.name.clone()));
    }
    let key = collision_key(&topic.name);
    if let Some(other) = view.topics.keys().find(|other| collision_key(other) == key) {
        return Err(AdminError::InvalidTopicName(format!(
            "Topic '{}' collides with existing topic: {other}",
            topic.name
        )));
    }
    let given = topic.configs.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    let overrides: ConfigMap = given.collect();
    validate_topic_config(&view.broker_config, &overrides)?;
    Ok(overrides)
}
