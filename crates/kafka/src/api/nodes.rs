//! Brokers as the client sees them: under the address of the listener that it came to.
use broker::TopicKey;
use controller::view::{BrokerView, ClusterView};
use kafka_wire::{ErrorCode, Str};
use std::sync::Arc;

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeAddress {
    pub(super) id: i32,
    pub(super) host: Str,
    pub(super) port: i32,
    pub(super) rack: Option<Str>,
}

/// The live brokers that have the listener, by id.
pub(super) fn all(view: &ClusterView, listener: &str) -> Vec<NodeAddress> {
    view.brokers.values().filter_map(|broker| address(broker, listener)).collect()
}

/// The same, and those that were there until a moment ago, unless they are there again.
pub(super) fn all_of_late(
    view: &ClusterView,
    departed: &[Arc<BrokerView>],
    listener: &str,
) -> Vec<NodeAddress> {
    let departed = departed.iter().filter(|broker| !view.brokers.contains_key(&broker.id));
    view.brokers.values().chain(departed).filter_map(|broker| address(broker, listener)).collect()
}

/// One live broker, if it has the listener.
pub(super) fn one(view: &ClusterView, listener: &str, id: i32) -> Option<NodeAddress> {
    address(view.brokers.get(&id)?, listener)
}

/// Who leads a partition and in which epoch, for clients that came to the wrong broker (KIP-951): what the partition itself knows, else
/// what the cluster shows.
pub(super) fn leader(
    view: &ClusterView,
    error: ErrorCode,
    known: Option<(i32, i32)>,
    topic: &TopicKey,
    partition: i32,
) -> Option<(i32, i32)> {
    if !matches!(error, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH) {
        return None;
    }
    let shown = || {
        let topic = match topic {
            TopicKey::Name(name) => view.topic(name),
            TopicKey::Id(id) => view.topic_by_id(*id),
        };
        let partition = topic?.partition(partition)?;
        (partition.leader >= 0).then_some((partition.leader, partition.leader_epoch))
    };
    known.or_else(shown)
}

fn address(broker: &BrokerView, listener: &str) -> Option<NodeAddress> {
    let endpoint = broker.endpoint(listener)?;
    Some(NodeAddress {
        id: broker.id,
        host: Str::from(endpoint.host.as_str()),
        port: i32::from(endpoint.port),
        rack: broker.rack.as_deref().map(Str::from),
    })
}
