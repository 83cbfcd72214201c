//! Heartbeat: a member is alive.
use super::Call;
use kafka_wire::messages::{HeartbeatRequest, HeartbeatResponse};
use std::sync::Arc;

pub(super) async fn handle(call: &Call<'_>, request: HeartbeatRequest) -> HeartbeatResponse {
    let error_code = call.door.node.broker.groups().heartbeat(&broker::groups::api::HeartbeatRequest {
        group_id: Arc::from(&*request.group_id),
        generation: request.generation_id,
        member_id: Arc::from(&*request.member_id),
        instance_id: request.group_instance_id.as_deref().map(Arc::from),
    });
    HeartbeatResponse { error_code, ..Default::default() }
}
