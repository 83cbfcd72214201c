//! OffsetFetch: a group's progress is looked up, from version 8 on that of many groups at once.
use super::{Call, topics};
use broker::groups::api::{FetchedOffset, OffsetFetchRequest as GroupRequest};
use controller::view::ClusterView;
use kafka_wire::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use kafka_wire::{ErrorCode, Str, Uuid};
use std::collections::HashSet;
use std::sync::Arc;

/// The first version with an error for the whole answer.
const TOP_LEVEL_ERROR_SINCE: i16 = 2;
/// The first version that asks for many groups.
const BATCHED_SINCE: i16 = 8;
/// The first version that names topics by id.
const BY_ID_SINCE: i16 = 10;

pub(super) async fn handle(call: &Call<'_>, mut request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version < BATCHED_SINCE {
        return one_group(call, request).await;
    }
    // Of each group all offsets are shown once; lists of partitions take room in the request, too.
    let mut whole = HashSet::new();
    request.groups.retain(|group| group.topics.is_some() || whole.insert(group.group_id.clone()));
    let view = call.view();
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        groups.push(one_of_many(call, &view, group, request.require_stable).await);
    }
    OffsetFetchResponse { groups, ..Default::default() }
}

async fn one_group(call: &Call<'_>, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let wanted = request.topics.as_ref().map(|topics| {
        let partitions = topics.iter().flat_map(|topic| {
            let name: Arc<str> = Arc::from(&*topic.name);
            topic.partition_indexes.iter().map(move |partition| (name.clone(), *partition))
        });
        partitions.collect()
    });
    let found = fetch(call, &request.group_id, wanted, request.require_stable).await;
    match found {
        Ok(offsets) => {
            let offsets = offsets.into_iter().map(|offset| (offset.topic.clone(), old_partition(offset)));
            let topics = topics::group(offsets, |name, partitions| OffsetFetchResponseTopic {
                name: Str::from(&*name),
                partitions,
            });
            OffsetFetchResponse { topics, ..Default::default() }
        }
        Err(error_code) if call.version >= TOP_LEVEL_ERROR_SINCE => {
            OffsetFetchResponse { error_code, ..Default::default() }
        }
        Err(error) => {
            let topics = request.topics.unwrap_or_default();
            let topics = topics.into_iter().map(|topic| old_refused(topic, error)).collect();
            OffsetFetchResponse { topics, ..Default::default() }
        }
    }
}

fn old_partition(offset: FetchedOffset) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: offset.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        metadata: Some(Str::from(&*offset.metadata)),
        error_code: offset.error,
    }
}

fn old_refused(topic: OffsetFetchRequestTopic, error_code: ErrorCode) -> OffsetFetchResponseTopic {
    let partitions =
        topic.partition_indexes.into_iter().map(|partition_index| OffsetFetchResponsePartition {
            partition_index,
            committed_offset: -1,
            metadata: Some(Str::default()),
            error_code,
            ..Default::default()
        });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}

async fn fetch(
    call: &Call<'_>,
    group_id: &str,
    partitions: Option<Vec<(Arc<str>, i32)>>,
    require_stable: bool,
) -> Result<Vec<FetchedOffset>, ErrorCode> {
    let request = GroupRequest { group_id: Arc::from(group_id), partitions, require_stable };
    call.door.node.broker.groups().fetch_offsets(request).await
}

async fn one_of_many(
    call: &Call<'_>,
    view: &ClusterView,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let by_id = call.version >= BY_ID_SINCE;
    let mut unknown = Vec::new();
    let wanted = group.topics.as_ref().map(|wanted| {
        let mut partitions = Vec::new();
        for topic in wanted {
            match topics::resolve(view, by_id, &topic.name, topic.topic_id) {
                Ok(name) => {
                    partitions.extend(topic.partition_indexes.iter().map(|index| (name.clone(), *index)))
                }
                Err(error) => unknown.push(refused(topic.topic_id, &topic.partition_indexes, error)),
            }
        }
        partitions
    });
    let found = fetch(call, &group.group_id, wanted, require_stable).await;
    let offsets = match found {
        Ok(offsets) => offsets,
        Err(error_code) => {
            return OffsetFetchResponseGroup { group_id: group.group_id, error_code, ..Default::default() };
        }
    };
    // Without an id of its own, a topic that is gone cannot be told to a client that knows ids only.
    let named = offsets.into_iter().filter_map(|offset| {
        let id = view.topic(&offset.topic).map(|topic| topic.id);
        let key = if by_id { (Str::default(), id?) } else { (Str::from(&*offset.topic), Uuid::nil()) };
        Some((key, partition(offset)))
    });
    let mut topics = topics::group(named, |(name, topic_id), partitions| OffsetFetchResponseTopics {
        name,
        topic_id,
        partitions,
    });
    topics.extend(unknown);
    OffsetFetchResponseGroup { group_id: group.group_id, topics, ..Default::default() }
}

fn partition(offset: FetchedOffset) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: offset.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        metadata: Some(Str::from(&*offset.metadata)),
        error_code: offset.error,
    }
}

fn refused(topic_id: Uuid, partitions: &[i32], error_code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = partitions.iter().map(|partition_index| OffsetFetchResponsePartitions {
        partition_index: *partition_index,
        committed_offset: -1,
        metadata: Some(Str::default()),
        error_code,
        ..Default::default()
    });
    OffsetFetchResponseTopics { topic_id, partitions: partitions.collect(), ..Default::default() }
}
