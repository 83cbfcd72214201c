//! ListPartitionReassignments: whose replicas are being moved (KIP-455).
use super::{Call, topics};
use controller::admin::OngoingReassignment;
use kafka_wire::Str;
use kafka_wire::messages::list_partition_reassignments::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_wire::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use std::sync::Arc;

pub(super) async fn handle(
    call: &Call<'_>,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let view = call.view();
    let wanted: Option<Vec<(Arc<str>, Vec<i32>)>> = request.topics.map(|wanted| {
        let topics = wanted.into_iter();
        topics.map(|topic| (topics::name(&view, &topic.name), topic.partition_indexes)).collect()
    });
    let ongoing = call.door.node.controller.list_partition_reassignments(wanted.as_deref());
    let items = ongoing.into_iter().map(|one: OngoingReassignment| {
        let partition = OngoingPartitionReassignment {
            partition_index: one.partition,
            replicas: one.replicas,
            adding_replicas: one.adding,
            removing_replicas: one.removing,
        };
        (one.topic, partition)
    });
    let topics = topics::group(items, |topic: Arc<str>, partitions| OngoingTopicReassignment {
        name: Str::from(&*topic),
        partitions,
    });
    ListPartitionReassignmentsResponse { topics, ..Default::default() }
}
