//! Kafka's metadata as znodes: every path and every payload, in the layout of Kafka 3.9 (`ZkData`).
//!
//! Invariants: what is written is what Kafka's own tools of 3.x read; what is read may come from anyone's hand, so a payload
//! that makes no sense is an error with its path, never a panic; fields that are unknown here are ignored.
use crate::config::ConfigMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Paths that exist from the first start on (`ZkData.PersistentZkPaths` and the config types).
pub const PERSISTENT_PATHS: [&str; 22] = [
    "/consumers",
    "/brokers",
    BROKER_IDS,
    TOPICS,
    "/brokers/seqid",
    "/config",
    CONFIG_CHANGES,
    "/config/topics",
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
    "/config/groups",
    "/admin",
    DELETE_TOPICS,
    "/isr_change_notification",
    PRODUCER_ID_BLOCK,
    "/log_dir_event_notification",
    "/cluster",
    "/kafka-acl",
    "/kafka-acl-changes",
    "/delegation_token",
];

/// Parent of the registrations of live brokers.
pub const BROKER_IDS: &str = "/brokers/ids";
/// Parent of the topics.
pub const TOPICS: &str = "/brokers/topics";
/// Parent of requests to delete a topic.
pub const DELETE_TOPICS: &str = "/admin/delete_topics";
/// A request to give partitions back to their preferred leaders; the controller removes it when that is done.
pub const PREFERRED_ELECTION: &str = "/admin/preferred_replica_election";
/// A request to move partitions; the controller removes it when all of them have moved.
pub const REASSIGN_PARTITIONS: &str = "/admin/reassign_partitions";
/// The ephemeral node of the controller.
pub const CONTROLLER: &str = "/controller";
/// The controller's generation, decimal text.
pub const CONTROLLER_EPOCH: &str = "/controller_epoch";
/// The cluster's id.
pub const CLUSTER_ID: &str = "/cluster/id";
/// Parent of notifications of changed configs.
pub const CONFIG_CHANGES: &str = "/config/changes";
/// The last allocated block of producer ids.
pub const PRODUCER_ID_BLOCK: &str = "/latest_producer_id_block";
/// The name that stands for the default of a kind of entity.
pub const DEFAULT_ENTITY: &str = "<default>";

/// The path of a broker's registration.
pub fn broker_path(id: i32) -> String {
    format!("{BROKER_IDS}/{id}")
}

/// The path of a topic's assignment.
pub fn topic_path(topic: &str) -> String {
    format!("{TOPICS}/{topic}")
}

/// The path below which a topic's partitions lie.
pub fn partitions_path(topic: &str) -> String {
    format!("{TOPICS}/{topic}/partitions")
}

/// The path of one partition.
pub fn partition_path(topic: &str, partition: i32) -> String {
    format!("{TOPICS}/{topic}/partitions/{partition}")
}

/// The path of one partition's state.
pub fn state_path(topic: &str, partition: i32) -> String {
    format!("{TOPICS}/{topic}/partitions/{partition}/state")
}

/// The path of a request to delete a topic.
pub fn delete_topic_path(topic: &str) -> String {
    format!("{DELETE_TOPICS}/{topic}")
}

/// The path of a config entity, such as `topics/orders` or `brokers/<default>`.
pub fn config_path(entity: &str) -> String {
    format!("/config/{entity}")
}

/// A payload that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the znode {path} holds no {what}: {reason}")]
pub struct LayoutError {
    /// The znode.
    pub path: String,
    /// What it should hold.
    pub what: &'static str,
    /// Why it does not.
    pub reason: String,
}

/// `/brokers/ids/N`, version 5. The broker's epoch is the znode's czxid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerRegistration {
    /// 5; older registrations have fewer fields.
    pub version: i32,
    /// The first plaintext listener's host, for old clients.
    pub host: Option<String>,
    /// Its port, or -1.
    pub port: i32,
    /// -1: there is no JMX.
    pub jmx_port: i32,
    /// When it registered, milliseconds as text.
    pub timestamp: String,
    /// `LISTENER://host:port` each.
    pub endpoints: Vec<String>,
    /// `broker.rack`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rack: Option<String>,
    /// Security protocol by listener name.
    #[serde(default)]
    pub listener_security_protocol_map: BTreeMap<String, String>,
    /// Supported features.
    #[serde(default)]
    pub features: BTreeMap<String, BTreeMap<String, i16>>,
}

/// `/brokers/topics/T`, version 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicAssignment {
    /// 3; 1 and 2 lack the id, and 1 the reassignment fields.
    pub version: i32,
    /// Replicas by partition number.
    #[serde(with = "by_number")]
    pub partitions: BTreeMap<i32, Vec<i32>>,
    /// Replicas that a reassignment adds.
    #[serde(with = "by_number", default)]
    pub adding_replicas: BTreeMap<i32, Vec<i32>>,
    /// Replicas that a reassignment removes.
    #[serde(with = "by_number", default)]
    pub removing_replicas: BTreeMap<i32, Vec<i32>>,
    /// The topic's id, base64 without padding; a topic written by hand may lack it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub topic_id: Option<String>,
}

impl TopicAssignment {
    /// The assignment of a new topic.
    pub fn new(id: Uuid, partitions: BTreeMap<i32, Vec<i32>>) -> TopicAssignment {
        TopicAssignment {
            version: 3,
            partitions,
            adding_replicas: BTreeMap::new(),
            removing_replicas: BTreeMap::new(),
            topic_id: Some(encode_id(id)),
        }
    }

    /// The topic's id, if it has a valid one.
    pub fn id(&self) -> Option<Uuid> {
        self.topic_id.as_deref().and_then(decode_id)
    }
}

/// `.../partitions/P/state`, version 1. The znode's version is the partition epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// The generation of the controller that wrote it.
    pub controller_epoch: i32,
    /// The leading broker, or -1.
    pub leader: i32,
    /// 1.
    pub version: i32,
    /// Grows with every election.
    pub leader_epoch: i32,
    /// The in-sync replicas.
    pub isr: Vec<i32>,
    /// 1 while the leader recovers from an unclean election (KIP-704).
    #[serde(skip_serializing_if = "is_zero", default)]
    pub leader_recovery_state: i8,
}

/// `/controller`, version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerRegistration {
    /// 2.
    pub version: i32,
    /// Who it is.
    pub brokerid: i32,
    /// Since when, milliseconds as text.
    pub timestamp: String,
    /// -1: not a KRaft controller (KIP-866).
    #[serde(rename = "kraftControllerEpoch", default = "minus_one")]
    pub kraft_controller_epoch: i32,
}

/// `/cluster/id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterId {
    /// `"1"`.
    pub version: String,
    /// 22 characters of base64.
    pub id: String,
}

/// `/config/<type>/<name>`, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntity {
    /// 1.
    pub version: i32,
    /// The settings.
    pub config: ConfigMap,
}

/// `/config/changes/config_change_#`, version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// 2.
    pub version: i32,
    /// Such as `topics/orders`.
    pub entity_path: String,
}

/// `/admin/preferred_replica_election`, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreferredElectionRequest {
    /// 1.
    pub version: i32,
    /// The partitions that are meant.
    pub partitions: Vec<NamedPartition>,
}

/// A partition by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// `/admin/reassign_partitions`, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReassignmentRequest {
    /// 1.
    pub version: i32,
    /// The partitions with the replicas that they are to have.
    pub partitions: Vec<WantedReplicas>,
}

/// A partition with the replicas that it is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedReplicas {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The brokers, the preferred leader first.
    pub replicas: Vec<i32>,
}

/// `/latest_producer_id_block`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    /// 1.
    pub version: i32,
    /// Whose block it is.
    pub broker: i32,
    /// The first id, as text.
    pub block_start: String,
    /// The last id, as text.
    pub block_end: String,
}

/// Encodes a payload.
pub fn encode<T: Serialize>(payload: &T) -> bytes::Bytes {
    bytes::Bytes::from(serde_json::to_vec(payload).expect("payloads are maps of text and numbers"))
}

/// Decodes the payload of a znode.
pub fn decode<T: DeserializeOwned>(what: &'static str, path: &str, data: &[u8]) -> Result<T, LayoutError> {
    serde_json::from_slice(data).map_err(|error| LayoutError {
        path: path.to_owned(),
        what,
        reason: error.to_string(),
    })
}

/// An id as Kafka writes it: 22 characters of URL-safe base64.
pub fn encode_id(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Reads an id as Kafka writes it.
pub fn decode_id(text: &str) -> Option<Uuid> {
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(Uuid::from_bytes(bytes))
}

fn is_zero(number: &i8) -> bool {
    *number == 0
}

fn minus_one() -> i32 {
    -1
}

/// Maps whose keys are numbers; JSON has them as text.
mod by_number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<i32, Vec<i32>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text: BTreeMap<String, &Vec<i32>> =
            map.iter().map(|(key, value)| (key.to_string(), value)).collect();
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<i32, Vec<i32>>, D::Error> {
        let text = BTreeMap::<String, Vec<i32>>::deserialize(deserializer)?;
        text.into_iter()
            .map(|(key, value)| {
                let number =
                    key.parse().map_err(|_| D::Error::custom(format!("{key:?} is no partition number")))?;
                Ok((number, value))
            })
            .collect()
    }
}
