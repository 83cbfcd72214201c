//! DeleteGroups: groups without members are forgotten (KIP-229).
use super::Call;
use kafka_wire::messages::delete_groups::DeletableGroupResult;
use kafka_wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use std::sync::Arc;

pub(super) async fn handle(call: &Call<'_>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let ids: Vec<Arc<str>> = request.groups_names.iter().map(|id| Arc::from(&**id)).collect();
    let errors = call.door.node.broker.groups().delete(&ids).await;
    let results = request.groups_names.into_iter().zip(errors);
    DeleteGroupsResponse {
        results: results
            .map(|(group_id, error_code)| DeletableGroupResult { group_id, error_code })
            .collect(),
        ..Default::default()
    }
}
