//! Describing and changing settings of topics, brokers and groups.
use super::AdminError;
use crate::config::{
    Alteration, AlteredResource, ConfigEntry, ConfigMap, DescribedResource, alter_incrementally, describe,
    replace_all,
};
use crate::controller::Controller;
use crate::duties::create;
use crate::layout::{self, ConfigChange, ConfigEntity, DEFAULT_ENTITY};
use crate::view::ClusterView;
use ensemble::Write;
use std::sync::Arc;
use tree::CreateMode;

/// Whose settings are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// One broker's, or with `None` the defaults of all.
    Broker(Option<i32>),
    /// A group's.
    Group(String),
}

/// What is to be changed.
#[derive(Clone, Debug)]
pub enum ConfigChanges<'a> {
    /// One key after the other (IncrementalAlterConfigs).
    Incremental(&'a [Alteration<'a>]),
    /// Everything is replaced (AlterConfigs).
    Replacement(&'a [(&'a str, Option<&'a str>)]),
}

impl Controller {
    /// The settings of a resource: those of `keys`, or all.
    pub fn describe_configs(
        &self,
        resource: &ConfigResource,
        keys: Option<&[&str]>,
    ) -> Result<Vec<ConfigEntry>, AdminError> {
        let view = self.view();
        let broker = &view.broker_config;
        Ok(match resource {
            ConfigResource::Topic(name) => {
                super::validate_topic_name(name)?;
                let topic = view.topic(name).ok_or_else(|| AdminError::UnknownTopic(name.clone()))?;
                describe(broker, DescribedResource::Topic(&topic.overrides), keys)
            }
            ConfigResource::Broker(None) => describe(broker, DescribedResource::ClusterDefault, keys),
            ConfigResource::Broker(Some(id)) => {
                self.check_broker(*id)?;
                describe(broker, DescribedResource::Broker, keys)
            }
            ConfigResource::Group(name) => {
                let overrides = view.group_overrides.get(name).cloned().unwrap_or_default();
                describe(broker, DescribedResource::Group(&overrides), keys)
            }
        })
    }

    /// Changes the settings of a resource. With `validate_only` nothing is written.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: ConfigChanges<'_>,
        validate_only: bool,
        timeout_ms: u64,
    ) -> Result<(), AdminError> {
        let view = self.view();
        let (kind, entity, current) = self.altered(&view, resource)?;
        let broker = &view.broker_config;
        let wanted = match changes {
            ConfigChanges::Incremental(changes) => alter_incrementally(broker, kind, &current, changes)?,
            ConfigChanges::Replacement(pairs) => replace_all(broker, kind, &current, pairs)?,
        };
        if validate_only || wanted == *current {
            return Ok(());
        }
        self.store_configs(&entity, &wanted).await?;
        self.wait_until(timeout_ms, |view| {
            self.altered(view, resource).map_or(true, |(_, _, overrides)| *overrides == wanted)
        })
        .await
    }

    /// The resources that have settings of their own: topics and brokers that exist, and groups and defaults that were configured.
    pub fn list_config_resources(&self) -> Vec<ConfigResource> {
        let view = self.view();
        let topics = view.topics.keys().map(|name| ConfigResource::Topic(name.to_string()));
        let brokers = view.brokers.keys().map(|id| ConfigResource::Broker(Some(*id)));
        let defaults =
            view.broker_overrides.contains_key(DEFAULT_ENTITY).then_some(ConfigResource::Broker(None));
        let groups = view.group_overrides.keys().map(|name| ConfigResource::Group(name.clone()));
        topics.chain(brokers).chain(defaults).chain(groups).collect()
    }

    /// The kind of a resource, its entity path, and its present overrides.
    fn altered(
        &self,
        view: &ClusterView,
        resource: &ConfigResource,
    ) -> Result<(AlteredResource, String, Arc<ConfigMap>), AdminError> {
        Ok(match resource {
            ConfigResource::Topic(name) => {
                super::validate_topic_name(name)?;
                let topic = view.topic(name).ok_or_else(|| AdminError::UnknownTopic(name.clone()))?;
                (AlteredResource::Topic, format!("topics/{name}"), topic.overrides.clone())
            }
            ConfigResource::Broker(id) => {
                let entity = match id {
                    Some(id) => {
                        self.check_broker(*id)?;
                        id.to_string()
                    }
                    None => DEFAULT_ENTITY.to_owned(),
                };
                let current = view.broker_overrides.get(&entity).cloned().unwrap_or_default();
                let kind =
                    if id.is_some() { AlteredResource::Broker } else { AlteredResource::ClusterDefault };
                (kind, format!("brokers/{entity}"), current)
            }
            ConfigResource::Group(name) => {
                if name.is_empty() || name.contains('/') {
                    return Err(AdminError::InvalidRequest(format!(
                        "{name:?} is no name that a group's settings can be kept under"
                    )));
                }
                let current = view.group_overrides.get(name).cloned().unwrap_or_default();
                (AlteredResource::Group, format!("groups/{name}"), current)
            }
        })
    }

    fn check_broker(&self, id: i32) -> Result<(), AdminError> {
        if id == self.node_id() {
            return Ok(());
        }
        Err(AdminError::InvalidRequest(format!(
            "Unexpected broker id, expected {} or empty string, but received {id}",
            self.node_id()
        )))
    }

    /// Writes the settings and, as Kafka does, a notification for whoever waits for those.
    async fn store_configs(&self, entity: &str, configs: &ConfigMap) -> Result<(), AdminError> {
        let coordinator = self.coordinator()?;
        let path = layout::config_path(entity);
        let data = Some(layout::encode(&ConfigEntity { version: 1, config: configs.clone() }));
        let exists = coordinator.get(&path).await?.is_some();
        let store = if exists { Write::Set { path, data, version: -1 } } else { create(path, data) };
        let change = ConfigChange { version: 2, entity_path: entity.to_owned() };
        let notify = Write::Create {
            path: format!("{}/config_change_", layout::CONFIG_CHANGES),
            data: Some(layout::encode(&change)),
            mode: CreateMode::PersistentSequential,
            acl: None,
        };
        coordinator.multi(vec![store, notify]).await?;
        Ok(())
    }
}
