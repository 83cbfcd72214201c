//! FindCoordinator: which broker coordinates a group.
use super::nodes::{self, NodeAddress};
use super::{Call, keep_first};
use crate::errors::Failure;
use kafka_wire::messages::find_coordinator::Coordinator;
use kafka_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_wire::{ErrorCode, Str};

/// The first version that asks for many at once.
const BATCHED_SINCE: i16 = 4;

/// Kinds of coordinators.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) async fn handle(call: &Call<'_>, mut request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    if call.version < BATCHED_SINCE {
        let found = find(call, request.key_type, &request.key).await;
        let coordinator = to_wire(request.key, found);
        return FindCoordinatorResponse {
            error_code: coordinator.error_code,
            error_message: coordinator.error_message,
            node_id: coordinator.node_id,
            host: coordinator.host,
            port: coordinator.port,
            ..Default::default()
        };
    }
    keep_first(&mut request.coordinator_keys, Str::clone);
    let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
    for key in request.coordinator_keys {
        let found = find(call, request.key_type, &key).await;
        coordinators.push(to_wire(key, found));
    }
    FindCoordinatorResponse { coordinators, ..Default::default() }
}

async fn find(call: &Call<'_>, key_type: i8, key: &str) -> Result<NodeAddress, Failure> {
    match key_type {
        GROUP => {
            let id = call.door.node.broker.groups().find(key).await?;
            let found = nodes::one(&call.view(), &call.peer.listener, id);
            found.ok_or_else(|| Failure::from(ErrorCode::COORDINATOR_NOT_AVAILABLE))
        }
        // Of all codes this is the one that every client reports at once as fatal, where others are retried until a timeout.
        TRANSACTION => Err(Failure::new(
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "Producer transactions are not available in this version; use an idempotent producer.",
        )),
        other => Err(Failure::new(
            ErrorCode::INVALID_REQUEST,
            format!("There is no coordinator of type {other} here; groups have type {GROUP}."),
        )),
    }
}

fn to_wire(key: Str, found: Result<NodeAddress, Failure>) -> Coordinator {
    match found {
        Ok(node) => {
            Coordinator { key, node_id: node.id, host: node.host, port: node.port, ..Default::default() }
        }
        Err(failure) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: failure.code,
            error_message: failure.message,
            ..Default::default()
        },
    }
}
