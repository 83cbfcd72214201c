//! Metadata: brokers, and topics with their partitions' leaders; creates topics that clients ask for, if that is allowed.
//!
//! As in ZooKeeper-mode Kafka a topic that is created by the way is answered with LEADER_NOT_AVAILABLE first (reference 2.25); the client
//! asks again, and by then it is there.
use super::Call;
use super::nodes;
use super::operations;
use super::topics;
use crate::errors::code;
use broker::TopicKey;
use controller::admin::{AdminError, NewTopic, validate_topic_name};
use controller::view::{ClusterView, PartitionView, TopicView, is_internal_topic};
use kafka_wire::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_wire::messages::{MetadataRequest, MetadataResponse};
use kafka_wire::{ErrorCode, Str, Uuid};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// The first version in which topics can be asked for by id.
const BY_ID_SINCE: i16 = 12;
/// The first version that knows LISTENER_NOT_FOUND.
const LISTENER_NOT_FOUND_SINCE: i16 = 6;
/// The leader of a partition that has none, or none that clients can reach.
pub(super) const NO_LEADER: i32 = -1;
/// How long a creation may keep the client waiting.
const CREATION_TIMEOUT_MS: u64 = 5_000;
/// How long an answer that names other brokers waits before it looks who is there. When a broker dies, its clients see their connections
/// break at the same moment as this node does, and librdkafka asks at once, only once; told of the dead broker it would wait for a second.
const NEWS_MS: u64 = 2;
/// How long an answer waits for the successors of a leader that has just gone; usually they are there after a tenth of a second.
const SUCCESSOR_MS: u64 = 500;

pub(super) async fn handle(call: &Call<'_>, request: MetadataRequest) -> MetadataResponse {
    let wants_all = match &request.topics {
        None => true,
        Some(topics) => call.version == 0 && topics.is_empty(),
    };
    if call.view().brokers.len() > 1 {
        tokio::time::sleep(Duration::from_millis(NEWS_MS)).await;
        await_successors(call, request.topics.as_deref().filter(|_| !wants_all)).await;
    }
    let view = call.view();
    let mut answer = if wants_all {
        view.topics.values().map(|topic| describe(call, &view, topic)).collect()
    } else {
        named(call, &view, request.topics.unwrap_or_default(), request.allow_auto_topic_creation).await
    };
    for topic in &mut answer {
        let asked = request.include_topic_authorized_operations && !topic.error_code.is_error();
        topic.topic_authorized_operations = operations::on_topic(asked);
    }
    MetadataResponse {
        brokers: nodes::all_of_late(&view, &call.door.node.broker.just_departed(), &call.peer.listener)
            .into_iter()
            .map(|node| MetadataResponseBroker {
                node_id: node.id,
                host: node.host,
                port: node.port,
                rack: node.rack,
            })
            .collect(),
        cluster_id: Some(Str::from(&*view.cluster_id)),
        controller_id: view.controller.unwrap_or(-1),
        topics: answer,
        cluster_authorized_operations: operations::on_cluster(request.include_cluster_authorized_operations),
        ..Default::default()
    }
}

/// Waits until what a broker led that has just gone has other leaders, but not for long: the client would only ask again and again.
async fn await_successors(call: &Call<'_>, wanted: Option<&[MetadataRequestTopic]>) {
    let broker = &call.door.node.broker;
    let is_led =
        |topic: &TopicView| !topic.partitions.iter().any(|partition| broker.has_just_gone(partition.leader));
    let all_led = |view: &Arc<ClusterView>| match wanted {
        _ if !broker.misses_another() => true,
        None => view.topics.values().all(|topic| is_led(topic)),
        Some(wanted) => wanted.iter().all(|topic| {
            let known = match &topic.name {
                Some(name) => view.topic(name),
                None => view.topic_by_id(topic.topic_id),
            };
            known.is_none_or(|topic| is_led(topic))
        }),
    };
    call.door.wait_for_view(Duration::from_millis(SUCCESSOR_MS), all_led).await;
}

/// The topics that a request names, each once.
async fn named(
    call: &Call<'_>,
    view: &ClusterView,
    wanted: Vec<MetadataRequestTopic>,
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let may_create = may_create && view.broker_config.topics.auto_create_enable;
    let mut seen = HashSet::new();
    let mut answer = Vec::with_capacity(wanted.len());
    for MetadataRequestTopic { topic_id, name } in wanted {
        if !seen.insert((topic_id, name.clone())) {
            continue;
        }
        answer.push(match (topic_id.is_nil(), name) {
            (true, Some(name)) => match view.topic(&name) {
                Some(topic) => describe(call, view, topic),
                None => missing(call, view, name, may_create).await,
            },
            (false, _) if call.version >= BY_ID_SINCE => match view.topic_by_id(topic_id) {
                Some(topic) => describe(call, view, topic),
                None => refused(ErrorCode::UNKNOWN_TOPIC_ID, None, topic_id),
            },
            // Versions 10 and 11 have the fields but not the meaning.
            (_, name) => {
                let name = name.or((call.version < BY_ID_SINCE).then(Str::default));
                refused(ErrorCode::INVALID_REQUEST, name, topic_id)
            }
        });
    }
    answer
}

/// A topic that does not exist: created if it may be.
async fn missing(call: &Call<'_>, view: &ClusterView, name: Str, may_create: bool) -> MetadataResponseTopic {
    let error = match validate_topic_name(&name) {
        Err(error) => code(&error),
        Ok(()) if may_create => create(call, topics::name(view, &name)).await,
        Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    };
    let is_internal = is_internal_topic(&name);
    MetadataResponseTopic { is_internal, ..refused(error, Some(name), Uuid::nil()) }
}

/// Creates a topic with the defaults; the error that the client is to get.
async fn create(call: &Call<'_>, name: Arc<str>) -> ErrorCode {
    let _creating = match Creating::begin(call, &name) {
        Some(creating) => creating,
        None => return ErrorCode::LEADER_NOT_AVAILABLE,
    };
    if &*name == broker::groups::OFFSETS_TOPIC {
        // Its settings are the coordinator's affair.
        return call
            .door
            .node
            .broker
            .groups()
            .find("")
            .await
            .err()
            .unwrap_or(ErrorCode::LEADER_NOT_AVAILABLE);
    }
    if is_internal_topic(&name) {
        return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    }
    let topic =
        NewTopic { name: name.to_string(), partitions: -1, replication_factor: -1, ..NewTopic::default() };
    match call.door.node.controller.create_topic(&topic, false, CREATION_TIMEOUT_MS).await {
        Ok(_) | Err(AdminError::TopicExists(_) | AdminError::RequestTimedOut(_)) => {
            ErrorCode::LEADER_NOT_AVAILABLE
        }
        Err(error) => {
            tracing::info!(topic = &*name, %error, "a topic that a client asked for was not created");
            code(&error)
        }
    }
}

/// One creation under way; others that want the same topic meanwhile need not create it again.
struct Creating<'a> {
    call: &'a Call<'a>,
    name: Arc<str>,
}

impl<'a> Creating<'a> {
    fn begin(call: &'a Call<'a>, name: &Arc<str>) -> Option<Creating<'a>> {
        let is_first = call.door.auto_creating.lock().insert(name.clone());
        is_first.then(|| Creating { call, name: name.clone() })
    }
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        self.call.door.auto_creating.lock().remove(&self.name);
    }
}

fn refused(error_code: ErrorCode, name: Option<Str>, topic_id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code, name, topic_id, ..Default::default() }
}

fn describe(call: &Call<'_>, view: &ClusterView, topic: &TopicView) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(Str::from(&*topic.name)),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions: leaders(call, topic)
            .map(|(partition_index, partition, leader)| {
                let error_code = leader_error(call, view, leader.0);
                MetadataResponsePartition {
                    error_code,
                    partition_index,
                    leader_id: if error_code.is_error() { NO_LEADER } else { leader.0 },
                    leader_epoch: leader.1,
                    replica_nodes: partition.replicas.clone(),
                    isr_nodes: partition.isr.clone(),
                    offline_replicas: offline(call, view, partition),
                }
            })
            .collect(),
        ..Default::default()
    }
}

/// A topic's partitions with number, leader and leader epoch. Of the znode log, which every broker has, the cluster says who leads it as of
/// any topic; its epoch is the quorum's, which its records carry.
pub(super) fn leaders<'a>(
    call: &'a Call<'_>,
    topic: &'a TopicView,
) -> impl Iterator<Item = (i32, &'a PartitionView, (i32, i32))> {
    let is_znode_log = &*topic.name == broker::znodes::ZNODES_TOPIC;
    (0..).zip(&topic.partitions).map(move |(index, partition)| {
        let key = || TopicKey::Name(topic.name.clone());
        let owned = is_znode_log.then(|| call.door.node.broker.current_leader(&key(), index)).flatten();
        let epoch = owned.map_or(partition.leader_epoch, |(_, epoch)| epoch);
        (index, partition, (partition.leader, epoch))
    })
}

/// What is wrong with a partition's leader from the client's point of view.
pub(super) fn leader_error(call: &Call<'_>, view: &ClusterView, leader: i32) -> ErrorCode {
    let broker = view.brokers.get(&leader);
    match broker {
        None => ErrorCode::LEADER_NOT_AVAILABLE,
        // Sent back to the broker that is gone, a client would ask again only after a while; told that there is no leader, it asks soon.
        Some(_) if call.door.node.broker.has_just_gone(leader) => ErrorCode::LEADER_NOT_AVAILABLE,
        Some(broker) if broker.endpoint(&call.peer.listener).is_some() => ErrorCode::NONE,
        Some(_) if call.version < LISTENER_NOT_FOUND_SINCE => ErrorCode::LEADER_NOT_AVAILABLE,
        Some(_) => ErrorCode::LISTENER_NOT_FOUND,
    }
}

/// The replicas that clients can't reach: their brokers are not alive or don't have the listener.
pub(super) fn offline(call: &Call<'_>, view: &ClusterView, partition: &PartitionView) -> Vec<i32> {
    let is_reached =
        |id: &i32| view.brokers.get(id).is_some_and(|broker| broker.endpoint(&call.peer.listener).is_some());
    partition.replicas.iter().filter(|id| !is_reached(id)).copied().collect()
}
