//! JoinGroup: a member takes part in its group's next generation.
use super::Call;
use broker::groups::Protocol;
use broker::groups::api::{JoinReply, JoinRequest};
use kafka_wire::Str;
use kafka_wire::messages::join_group::JoinGroupResponseMember;
use kafka_wire::messages::{JoinGroupRequest, JoinGroupResponse};
use std::sync::Arc;

/// The first version with a rebalance timeout.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// The first version in which a new member comes back with the id that it is given (KIP-394).
const KNOWN_MEMBER_ID_SINCE: i16 = 4;
/// The first version in which the chosen protocol can be null.
const NULL_PROTOCOL_SINCE: i16 = 7;
/// The first version that can tell a leader to keep the assignment (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub(super) async fn handle(call: &Call<'_>, request: JoinGroupRequest) -> JoinGroupResponse {
    let reply = call.door.node.broker.groups().join(to_domain(call, &request)).await;
    to_wire(call.version, reply)
}

fn to_domain(call: &Call<'_>, request: &JoinGroupRequest) -> JoinRequest {
    JoinRequest {
        group_id: Arc::from(&*request.group_id),
        member_id: Arc::from(&*request.member_id),
        instance_id: request.group_instance_id.as_deref().map(Arc::from),
        client_id: Arc::from(call.client_id()),
        client_host: call.peer.host.clone(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: (call.version >= REBALANCE_TIMEOUT_SINCE)
            .then_some(request.rebalance_timeout_ms),
        protocol_type: Arc::from(&*request.protocol_type),
        protocols: request
            .protocols
            .iter()
            .map(|protocol| Protocol {
                name: Arc::from(&*protocol.name),
                metadata: protocol.metadata.clone(),
            })
            .collect(),
        requires_known_member_id: call.version >= KNOWN_MEMBER_ID_SINCE,
        supports_skip_assignment: call.version >= SKIP_ASSIGNMENT_SINCE,
        reason: request.reason.as_ref().map(|reason| reason.to_string()),
    }
}

fn to_wire(version: i16, reply: JoinReply) -> JoinGroupResponse {
    let text = |text: &Arc<str>| Str::from(&**text);
    let no_protocol = (version < NULL_PROTOCOL_SINCE).then(Str::default);
    JoinGroupResponse {
        error_code: reply.error,
        generation_id: reply.generation,
        protocol_type: reply.protocol_type.as_ref().map(text),
        protocol_name: reply.protocol_name.as_ref().map(text).or(no_protocol),
        leader: text(&reply.leader),
        skip_assignment: reply.skip_assignment,
        member_id: text(&reply.member_id),
        members: reply
            .members
            .into_iter()
            .map(|member| JoinGroupResponseMember {
                member_id: text(&member.member_id),
                group_instance_id: member.instance_id.as_ref().map(text),
                metadata: member.metadata,
            })
            .collect(),
        ..Default::default()
    }
}
