//! DescribeTopicPartitions: topics with their partitions, page by page (KIP-966).
use super::metadata::{NO_LEADER, leader_error, leaders, offline};
use super::{Call, operations};
use crate::errors::code;
use controller::admin::validate_topic_name;
use controller::view::{ClusterView, TopicView};
use kafka_wire::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequestCursor, DescribeTopicPartitionsResponseCursor,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use kafka_wire::{ErrorCode, Str};
use std::collections::BTreeSet;

pub(super) async fn handle(
    call: &Call<'_>,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let view = call.view();
    let configured = view.broker_config.network.request_partitions_max;
    let limit = request.response_partition_limit.min(configured).max(1).unsigned_abs() as usize;
    let wants_all = request.topics.is_empty();
    let start = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let wanted: BTreeSet<&str> = match wants_all {
        true => view.topics.keys().map(|name| &**name).filter(|name| *name >= start).collect(),
        false => {
            request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= start).collect()
        }
    };
    if let Some(cursor) = &request.cursor
        && !is_valid(cursor, wants_all, &wanted)
    {
        let topics = request.topics.iter().map(|topic| refused(&topic.name, ErrorCode::INVALID_REQUEST));
        return DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() };
    }
    let mut page = Page { call, view: &view, left: limit, topics: Vec::new(), next: None };
    for name in wanted {
        let first = match &request.cursor {
            Some(cursor) if cursor.topic_name == *name => cursor.partition_index,
            _ => 0,
        };
        match view.topic(name) {
            Some(topic) => page.add(topic, first),
            None => page.topics.push(refused(name, unknown(name))),
        }
        if page.next.is_some() {
            break;
        }
    }
    DescribeTopicPartitionsResponse { topics: page.topics, next_cursor: page.next, ..Default::default() }
}

/// A cursor names a partition, and of the topics that were asked for.
fn is_valid(cursor: &DescribeTopicPartitionsRequestCursor, wants_all: bool, wanted: &BTreeSet<&str>) -> bool {
    cursor.partition_index >= 0 && (wants_all || wanted.contains(&*cursor.topic_name))
}

/// One answer, being filled.
struct Page<'a> {
    call: &'a Call<'a>,
    view: &'a ClusterView,
    /// How many partitions still fit.
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page begins, once this one is full.
    next: Option<DescribeTopicPartitionsResponseCursor>,
}

impl Page<'_> {
    fn add(&mut self, topic: &TopicView, first: i32) {
        let cursor = |partition_index| DescribeTopicPartitionsResponseCursor {
            topic_name: Str::from(&*topic.name),
            partition_index,
        };
        if self.left == 0 {
            self.next = Some(cursor(first));
            return;
        }
        let all = leaders(self.call, topic).filter(|(index, ..)| *index >= first);
        let partitions: Vec<_> = all
            .take(self.left)
            .map(|(partition_index, partition, (leader_id, leader_epoch))| {
                let error_code = leader_error(self.call, self.view, leader_id);
                DescribeTopicPartitionsResponsePartition {
                    error_code,
                    partition_index,
                    leader_id: if error_code.is_error() { NO_LEADER } else { leader_id },
                    leader_epoch,
                    replica_nodes: partition.replicas.clone(),
                    isr_nodes: partition.isr.clone(),
                    eligible_leader_replicas: Some(Vec::new()),
                    last_known_elr: Some(Vec::new()),
                    offline_replicas: offline(self.call, self.view, partition),
                }
            })
            .collect();
        self.left -= partitions.len();
        let end = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let shown = partitions.last().map_or(first, |last| last.partition_index + 1);
        if shown < end {
            self.next = Some(cursor(shown));
        }
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(Str::from(&*topic.name)),
            topic_id: topic.id,
            is_internal: topic.is_internal(),
            partitions,
            topic_authorized_operations: operations::on_topic(true),
            ..Default::default()
        });
    }
}

fn unknown(name: &str) -> ErrorCode {
    match validate_topic_name(name) {
        Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Err(error) => code(&error),
    }
}

fn refused(name: &str, error_code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic { error_code, name: Some(Str::from(name)), ..Default::default() }
}
