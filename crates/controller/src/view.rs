//! An immutable picture of Kafka's metadata at one moment, made from znodes and shared by everyone who asks.
use crate::config::{BrokerConfig, ConfigMap, TopicConfig};
use crate::layout::{NamedPartition, WantedReplicas};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// The picture. Entities that did not change are shared with the picture before.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    /// `/cluster/id`.
    pub cluster_id: Arc<str>,
    /// The broker that holds /controller.
    pub controller: Option<i32>,
    /// `/controller_epoch`.
    pub controller_epoch: i32,
    /// The live brokers.
    pub brokers: BTreeMap<i32, Arc<BrokerView>>,
    /// The version of `/brokers/ids`, which every registration raises: no broker has registered since unseen as long as it is the same.
    pub registrations: i32,
    /// The topics.
    pub topics: BTreeMap<Arc<str>, Arc<TopicView>>,
    /// Topic names by id.
    pub topic_names: HashMap<Uuid, Arc<str>>,
    /// Topics that are being deleted.
    pub deleting: BTreeSet<Arc<str>>,
    /// What `/admin/preferred_replica_election` asks for, if it is there.
    pub preferred_election: Option<Arc<[NamedPartition]>>,
    /// What `/admin/reassign_partitions` asks for, if it is there.
    pub reassignment_request: Option<Arc<[WantedReplicas]>>,
    /// Dynamic broker settings by entity: a broker's id or `<default>`.
    pub broker_overrides: BTreeMap<String, Arc<ConfigMap>>,
    /// Settings of groups.
    pub group_overrides: BTreeMap<String, Arc<ConfigMap>>,
    /// The effective settings of this broker.
    pub broker_config: Arc<BrokerConfig>,
}

impl ClusterView {
    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicView>> {
        self.topics.get(name)
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicView>> {
        self.topic_names.get(&id).and_then(|name| self.topics.get(name))
    }

    /// One partition of a topic.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionView> {
        self.topic(topic)?.partition(partition)
    }
}

/// A live broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerView {
    /// Its id.
    pub id: i32,
    /// Its epoch: the czxid of its registration.
    pub epoch: i64,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
}

impl BrokerView {
    /// Where it listens under a listener's name.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }
}

/// One listener of a broker, as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The security protocol, such as `PLAINTEXT`.
    pub protocol: String,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct TopicView {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// Its partitions by number, from 0 without gaps.
    pub partitions: Vec<PartitionView>,
    /// The settings that were given for it.
    pub overrides: Arc<ConfigMap>,
    /// Its effective settings.
    pub config: Arc<TopicConfig>,
}

impl TopicView {
    /// A partition by number.
    pub fn partition(&self, partition: i32) -> Option<&PartitionView> {
        usize::try_from(partition).ok().and_then(|index| self.partitions.get(index))
    }

    /// Whether replicas of one of its partitions are being moved.
    pub fn is_reassigning(&self) -> bool {
        self.partitions.iter().any(PartitionView::is_reassigning)
    }

    /// Whether clients are told that it is internal. The znode log is not: clients may produce to it, and kafka-python refuses
    /// to produce to an internal topic.
    pub fn is_internal(&self) -> bool {
        is_internal_topic(&self.name) && &*self.name != ensemble::ZNODES_TOPIC
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<i32>,
    /// Replicas that a reassignment removes.
    pub removing: Vec<i32>,
    /// The leading broker, or -1 while there is none.
    pub leader: i32,
    /// The leader's epoch, or -1 before the first election.
    pub leader_epoch: i32,
    /// The in-sync replicas.
    pub isr: Vec<i32>,
    /// The partition epoch: the version of the state's znode.
    pub partition_epoch: i32,
    /// The transaction that last wrote the state: its znode's mzxid.
    pub state_zxid: i64,
    /// Whether the leader was elected uncleanly and has yet to say that it has recovered (KIP-704).
    pub recovering: bool,
}

impl PartitionView {
    /// A partition that was assigned and has no leader yet.
    pub fn unelected(replicas: Vec<i32>) -> PartitionView {
        PartitionView {
            replicas,
            adding: Vec::new(),
            removing: Vec::new(),
            leader: -1,
            leader_epoch: -1,
            isr: Vec::new(),
            partition_epoch: -1,
            state_zxid: -1,
            recovering: false,
        }
    }

    /// Whether its replicas are being moved (KIP-455).
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas that it will have once it has been moved; its replicas if it is not being moved.
    pub fn target_replicas(&self) -> Vec<i32> {
        self.replicas.iter().filter(|id| !self.removing.contains(id)).copied().collect()
    }

    /// The replicas that it had before it was being moved; its replicas if it is not being moved.
    pub fn origin_replicas(&self) -> Vec<i32> {
        self.replicas.iter().filter(|id| !self.adding.contains(id)).copied().collect()
    }
}

/// Whether a topic holds the server's own state.
pub fn is_internal_topic(name: &str) -> bool {
    matches!(
        name,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state" | ensemble::ZNODES_TOPIC
    )
}
