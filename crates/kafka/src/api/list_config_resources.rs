//! ListConfigResources: which resources have settings (KIP-1142; version 0 lists client metrics only, KIP-714).
use super::Call;
use super::config_resources::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC, to_wire};
use kafka_wire::ErrorCode;
use kafka_wire::messages::list_config_resources::ConfigResource;
use kafka_wire::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

pub(super) async fn handle(
    call: &Call<'_>,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let wanted = match (call.version, request.resource_types.is_empty()) {
        (0, _) => vec![CLIENT_METRICS],
        (_, true) => vec![TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP],
        (_, false) => request.resource_types,
    };
    let is_known = |kind: &i8| matches!(*kind, TOPIC | BROKER | BROKER_LOGGER | CLIENT_METRICS | GROUP);
    if !wanted.iter().all(is_known) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    }
    let resources = call.door.node.controller.list_config_resources();
    let resources = resources.iter().map(to_wire).filter(|(kind, _)| wanted.contains(kind));
    ListConfigResourcesResponse {
        config_resources: resources
            .map(|(resource_type, resource_name)| ConfigResource { resource_name, resource_type })
            .collect(),
        ..Default::default()
    }
}
