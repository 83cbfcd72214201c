//! Brokers as the client sees them: under the address of the listener that it came to.
use controller::view::{BrokerView, ClusterView};
use kafka_wire::Str;

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

/// One live broker, if it has the listener.
pub(super) fn one(view: &ClusterView, listener: &str, id: i32) -> Option<NodeAddress> {
    address(view.brokers.get(&id)?, listener)
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
