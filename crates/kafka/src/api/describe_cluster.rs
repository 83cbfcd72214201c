//! DescribeCluster: the brokers (KIP-700).
use super::{Call, nodes, operations};
use kafka_wire::messages::describe_cluster::DescribeClusterBroker;
use kafka_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};
use kafka_wire::{ErrorCode, Str};

/// Kinds of endpoints (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) async fn handle(call: &Call<'_>, request: DescribeClusterRequest) -> DescribeClusterResponse {
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let reason = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
            return refused(ErrorCode::MISMATCHED_ENDPOINT_TYPE, reason.to_owned());
        }
        other => {
            return refused(
                ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
                format!("Unsupported endpoint type {other}"),
            );
        }
    }
    let view = call.view();
    let brokers = nodes::all(&view, &call.peer.listener);
    let controller = view.controller.filter(|id| brokers.iter().any(|broker| broker.id == *id));
    DescribeClusterResponse {
        cluster_id: Str::from(&*view.cluster_id),
        controller_id: controller.unwrap_or(-1),
        brokers: brokers
            .into_iter()
            .map(|node| DescribeClusterBroker {
                broker_id: node.id,
                host: node.host,
                port: node.port,
                rack: node.rack,
                is_fenced: false,
            })
            .collect(),
        cluster_authorized_operations: operations::on_cluster(request.include_cluster_authorized_operations),
        ..Default::default()
    }
}

fn refused(error_code: ErrorCode, reason: String) -> DescribeClusterResponse {
    DescribeClusterResponse { error_code, error_message: Some(Str::from(reason)), ..Default::default() }
}
