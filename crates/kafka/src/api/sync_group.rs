//! SyncGroup: the leader hands in the assignment, every member gets its part.
use super::Call;
use broker::groups::api::SyncRequest;
use kafka_wire::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_wire::{ErrorCode, Str};
use std::sync::Arc;

/// The first version in which the member must say what it believes the protocol to be (KIP-559).
const PROTOCOL_SINCE: i16 = 5;

pub(super) async fn handle(call: &Call<'_>, request: SyncGroupRequest) -> SyncGroupResponse {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= PROTOCOL_SINCE && !names_protocol {
        return SyncGroupResponse {
            error_code: ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
            ..Default::default()
        };
    }
    let reply = call.door.node.broker.groups().sync(to_domain(request)).await;
    let text = |text: Arc<str>| Str::from(&*text);
    SyncGroupResponse {
        error_code: reply.error,
        protocol_type: reply.protocol_type.map(text),
        protocol_name: reply.protocol_name.map(text),
        assignment: reply.assignment,
        ..Default::default()
    }
}

fn to_domain(request: SyncGroupRequest) -> SyncRequest {
    SyncRequest {
        group_id: Arc::from(&*request.group_id),
        generation: request.generation_id,
        member_id: Arc::from(&*request.member_id),
        instance_id: request.group_instance_id.as_deref().map(Arc::from),
        protocol_type: request.protocol_type.as_deref().map(Arc::from),
        protocol_name: request.protocol_name.as_deref().map(Arc::from),
        assignments: request
            .assignments
            .into_iter()
            .map(|assignment| (Arc::from(&*assignment.member_id), assignment.assignment))
            .collect(),
    }
}
