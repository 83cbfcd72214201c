//! DeleteTopics: by name, or from version 6 on by id.
use super::Call;
use super::create_topics::patience_ms;
use crate::errors::Failure;
use controller::admin::AdminError;
use controller::view::ClusterView;
use kafka_wire::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use kafka_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use kafka_wire::{ErrorCode, Str, Uuid};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// The first version that names topics by id, too.
const BY_ID_SINCE: i16 = 6;
/// The first version that knows TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_SINCE: i16 = 3;

pub(super) async fn handle(call: &Call<'_>, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let wanted: Vec<DeleteTopicState> = match call.version >= BY_ID_SINCE {
        true => request.topics,
        false => {
            let named = |name| DeleteTopicState { name: Some(name), topic_id: Uuid::nil() };
            request.topic_names.into_iter().map(named).collect()
        }
    };
    let view = call.view();
    let mut seen = HashSet::new();
    let mut responses = Vec::with_capacity(wanted.len());
    for DeleteTopicState { name, topic_id } in wanted {
        if !seen.insert((name.clone(), topic_id)) {
            continue;
        }
        let (name, deleted) = match resolve(&view, name.clone(), topic_id) {
            Ok((name, id)) => {
                let deleted = delete(call, &name, id, patience_ms(request.timeout_ms)).await;
                (Some(name), deleted)
            }
            Err(failure) => (name, Err(failure)),
        };
        let failure = deleted.err();
        responses.push(DeletableTopicResult {
            name,
            topic_id,
            error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
            error_message: failure.and_then(|failure| failure.message),
        });
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

/// The name of a topic that is to be deleted, and the id if the request has one.
fn resolve(view: &ClusterView, name: Option<Str>, topic_id: Uuid) -> Result<(Str, Option<Uuid>), Failure> {
    match (name, topic_id.is_nil()) {
        (Some(name), true) => Ok((name, None)),
        (None, false) => {
            let topic = view.topic_by_id(topic_id).ok_or(AdminError::UnknownTopicId(topic_id))?;
            Ok((Str::from(&*topic.name), Some(topic_id)))
        }
        (Some(_), false) => {
            let reason = "Topic name and topic ID can not both be specified.";
            Err(Failure::new(ErrorCode::INVALID_REQUEST, reason))
        }
        (None, true) => {
            let reason = "Neither topic name nor id were specified.";
            Err(Failure::new(ErrorCode::INVALID_REQUEST, reason))
        }
    }
}

async fn delete(call: &Call<'_>, name: &str, id: Option<Uuid>, timeout_ms: u64) -> Result<(), Failure> {
    let doomed = id.or_else(|| call.view().topic(name).map(|topic| topic.id));
    match call.door.node.controller.delete_topic(name, timeout_ms).await {
        Ok(()) => {
            let gone =
                |view: &Arc<ClusterView>| view.topic(name).is_none_or(|topic| Some(topic.id) != doomed);
            call.door.wait_for_view(Duration::from_millis(timeout_ms), gone).await;
            Ok(())
        }
        Err(AdminError::TopicDeletionDisabled) if call.version < DELETION_DISABLED_SINCE => {
            Err(Failure::from(ErrorCode::INVALID_REQUEST))
        }
        Err(error) => Err(Failure::from(error)),
    }
}
