//! ListGroups: the groups that this broker coordinates.
use super::Call;
use kafka_wire::Str;
use kafka_wire::messages::list_groups::ListedGroup;
use kafka_wire::messages::{ListGroupsRequest, ListGroupsResponse};

pub(super) async fn handle(call: &Call<'_>, request: ListGroupsRequest) -> ListGroupsResponse {
    let names = |names: Vec<Str>| names.into_iter().map(String::from).collect::<Vec<_>>();
    let (states, types) = (names(request.states_filter), names(request.types_filter));
    match call.door.node.broker.groups().list(&states, &types) {
        Err(error_code) => ListGroupsResponse { error_code, ..Default::default() },
        Ok(groups) => {
            let groups = groups.into_iter().map(|group| ListedGroup {
                group_id: Str::from(&*group.group_id),
                protocol_type: Str::from(&*group.protocol_type),
                group_state: Str::from_static(group.state),
                group_type: Str::from_static(group.group_type),
            });
            ListGroupsResponse { groups: groups.collect(), ..Default::default() }
        }
    }
}
