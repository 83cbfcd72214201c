//! DescribeLogDirs: the folders of this broker and the replicas in them (KIP-113).
use super::{Call, topics};
use broker::{LogDirDescription, ReplicaSize};
use kafka_wire::Str;
use kafka_wire::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use std::collections::{HashMap, HashSet};

pub(super) async fn handle(call: &Call<'_>, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted = request.topics.map(by_topic);
    let is_wanted = |topic: &str, partition: i32| match &wanted {
        None => true,
        Some(wanted) => wanted.get(topic).is_some_and(|partitions| partitions.contains(&partition)),
    };
    let folders = call.door.node.broker.describe_log_dirs(&is_wanted);
    DescribeLogDirsResponse { results: folders.into_iter().map(to_wire).collect(), ..Default::default() }
}

fn by_topic(wanted: Vec<DescribableLogDirTopic>) -> HashMap<Str, HashSet<i32>> {
    let mut by_topic: HashMap<Str, HashSet<i32>> = HashMap::new();
    for topic in wanted {
        by_topic.entry(topic.topic).or_default().extend(topic.partitions);
    }
    by_topic
}

fn to_wire(folder: LogDirDescription) -> DescribeLogDirsResult {
    let replicas = folder.replicas.into_iter().map(|replica| (replica.topic.clone(), partition(&replica)));
    DescribeLogDirsResult {
        error_code: folder.error,
        log_dir: Str::from(folder.path),
        total_bytes: folder.total_bytes,
        usable_bytes: folder.usable_bytes,
        topics: topics::group(replicas, |name, partitions| DescribeLogDirsTopic {
            name: Str::from(&*name),
            partitions,
        }),
        ..Default::default()
    }
}

fn partition(replica: &ReplicaSize) -> DescribeLogDirsPartition {
    DescribeLogDirsPartition {
        partition_index: replica.partition,
        partition_size: replica.size,
        offset_lag: replica.lag,
        is_future_key: false,
    }
}
