//! LeaveGroup: one member leaves, or from version 3 on any number of them.
use super::Call;
use broker::groups::api::{LeaveReply, Leaver};
use kafka_wire::messages::leave_group::MemberResponse;
use kafka_wire::messages::{LeaveGroupRequest, LeaveGroupResponse};
use kafka_wire::{ErrorCode, Str};
use std::sync::Arc;

/// The first version with a list of members (KIP-345).
const BATCHED_SINCE: i16 = 3;

pub(super) async fn handle(call: &Call<'_>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let leavers = match call.version < BATCHED_SINCE {
        true => vec![Leaver { member_id: Arc::from(&*request.member_id), instance_id: None }],
        false => request
            .members
            .iter()
            .map(|member| Leaver {
                member_id: Arc::from(&*member.member_id),
                instance_id: member.group_instance_id.as_deref().map(Arc::from),
            })
            .collect(),
    };
    let reply = call.door.node.broker.groups().leave(Arc::from(&*request.group_id), leavers).await;
    to_wire(call.version, reply)
}

fn to_wire(version: i16, reply: LeaveReply) -> LeaveGroupResponse {
    if version < BATCHED_SINCE {
        let of_member = reply.members.first().map_or(ErrorCode::NONE, |(_, error)| *error);
        let error_code = if reply.error.is_error() { reply.error } else { of_member };
        return LeaveGroupResponse { error_code, ..Default::default() };
    }
    let members = reply.members.into_iter().map(|(leaver, error_code)| MemberResponse {
        member_id: Str::from(&*leaver.member_id),
        group_instance_id: leaver.instance_id.as_deref().map(Str::from),
        error_code,
    });
    LeaveGroupResponse { error_code: reply.error, members: members.collect(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_2_22_leave_group_v3_is_a_batch_and_v2_reports_its_only_member() {
        let leaver = Leaver { member_id: "m".into(), instance_id: None };
        let reply =
            LeaveReply { error: ErrorCode::NONE, members: vec![(leaver, ErrorCode::UNKNOWN_MEMBER_ID)] };
        let old = to_wire(2, reply.clone());
        assert_eq!((old.error_code, old.members.len()), (ErrorCode::UNKNOWN_MEMBER_ID, 0));
        let new = to_wire(3, reply);
        assert_eq!(
            (new.error_code, new.members[0].error_code),
            (ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID)
        );
    }
}
