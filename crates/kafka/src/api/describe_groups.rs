//! DescribeGroups: groups with their members.
use super::{Call, keep_first, operations};
use broker::groups::api::{DescribedGroup as Group, DescribedMember as Member};
use kafka_wire::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use kafka_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use kafka_wire::{ErrorCode, Str};
use std::sync::Arc;

/// The first version that says GROUP_ID_NOT_FOUND; before, an unknown group is `Dead` without an error (KIP-1043).
const NOT_FOUND_SINCE: i16 = 6;

pub(super) async fn handle(call: &Call<'_>, mut request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    keep_first(&mut request.groups, Str::clone);
    let ids: Vec<Arc<str>> = request.groups.iter().map(|id| Arc::from(&**id)).collect();
    let groups = call.door.node.broker.groups().describe(&ids);
    let groups =
        groups.into_iter().map(|group| to_wire(call.version, request.include_authorized_operations, group));
    DescribeGroupsResponse { groups: groups.collect(), ..Default::default() }
}

fn to_wire(version: i16, include_operations: bool, group: Group) -> DescribedGroup {
    let is_unknown = group.error == ErrorCode::GROUP_ID_NOT_FOUND;
    let error_code = if is_unknown && version < NOT_FOUND_SINCE { ErrorCode::NONE } else { group.error };
    let message = (is_unknown && version >= NOT_FOUND_SINCE)
        .then(|| Str::from(format!("Group {} not found.", group.group_id)));
    DescribedGroup {
        error_code,
        error_message: message,
        group_id: Str::from(&*group.group_id),
        group_state: Str::from_static(group.state),
        protocol_type: Str::from(&*group.protocol_type),
        protocol_data: Str::from(&*group.protocol),
        members: group.members.into_iter().map(member).collect(),
        authorized_operations: operations::on_group(include_operations && !error_code.is_error()),
    }
}

fn member(member: Member) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: Str::from(&*member.member_id),
        group_instance_id: member.instance_id.as_deref().map(Str::from),
        client_id: Str::from(&*member.client_id),
        client_host: Str::from(&*member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_2_34_an_unknown_group_is_dead_or_not_found() {
        let group = Group {
            group_id: "g".into(),
            error: ErrorCode::GROUP_ID_NOT_FOUND,
            state: "Dead",
            protocol_type: "".into(),
            protocol: "".into(),
            members: Vec::new(),
        };
        let old = to_wire(5, true, group.clone());
        assert_eq!((old.error_code, &*old.group_state, old.error_message), (ErrorCode::NONE, "Dead", None));
        let new = to_wire(6, true, group);
        assert_eq!((new.error_code, &*new.group_state), (ErrorCode::GROUP_ID_NOT_FOUND, "Dead"));
        assert!(new.error_message.is_some());
        assert_eq!(new.authorized_operations, i32::MIN);
    }
}
