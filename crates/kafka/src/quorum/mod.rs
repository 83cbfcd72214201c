//! The APIs that the ensemble answers, not a handler of this crate: those of the quorum (KIP-595, 630, 853) and what nodes forward.
//!
//! They are served before the node is, and several of one connection at a time, answered in order: a write that is forwarded takes a
//! flush of the log, and the next one is not to wait for that before it is even looked at.
mod tools;

use ensemble::Ensemble;
use kafka_wire::messages::FetchRequest;
use kafka_wire::{ApiKey, Request, RequestHeader, Response, Uuid};
use peers::Peers;

/// The APIs that the ensemble answers, whoever asks. Fetch is the only one that it shares.
pub(crate) const APIS: &[ApiKey] = &[
    ApiKey::Vote,
    ApiKey::BeginQuorumEpoch,
    ApiKey::EndQuorumEpoch,
    ApiKey::DescribeQuorum,
    ApiKey::Envelope,
    ApiKey::FetchSnapshot,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
    ApiKey::UpdateRaftVoter,
];
/// Those among them that clients are told of, as by Kafka 4.3's brokers (the `listeners` of its message definitions).
pub(crate) const CLIENT_APIS: &[ApiKey] =
    &[ApiKey::DescribeQuorum, ApiKey::AddRaftVoter, ApiKey::RemoveRaftVoter];
/// The id of the quorum's log, which Kafka reserves for its metadata topic.
const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);
/// The first version in which the quorum fetches: directory ids (KIP-853).
const QUORUM_FETCH_SINCE: i16 = 17;

/// Whether the ensemble answers a request of this version.
pub(crate) fn answers(request: &Request, version: i16) -> bool {
    match request {
        Request::Fetch(request) => version >= QUORUM_FETCH_SINCE && is_of_quorum(request),
        other => APIS.contains(&other.api()),
    }
}

/// Answers a request for which [`answers`] holds.
pub(crate) async fn answer(
    ensemble: &Ensemble,
    peers: Option<&Peers>,
    header: &RequestHeader,
    request: Request,
) -> Response {
    match CLIENT_APIS.contains(&header.api) {
        true => tools::answer(ensemble, peers, header, request).await,
        false => ensemble.serve_peer(request, header.version).await,
    }
}

/// Whether the fetch is a replica's of the quorum's log, and of nothing else.
fn is_of_quorum(request: &FetchRequest) -> bool {
    let only = request.topics.first().filter(|_| request.topics.len() == 1);
    request.replica_state.replica_id >= 0 && only.is_some_and(|topic| topic.topic_id == METADATA_TOPIC_ID)
}

/// Whether other nodes send requests of the API.
pub(crate) fn is_between_nodes(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Fetch | ApiKey::OffsetForLeaderEpoch | ApiKey::ListOffsets | ApiKey::ControlledShutdown
    ) || APIS.contains(&api)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_wire::messages::fetch::{FetchTopic, ReplicaState};

    fn fetch(replica_id: i32, topic_ids: &[u128]) -> Request {
        let topic = |id: &u128| FetchTopic { topic_id: Uuid::from_u128(*id), ..Default::default() };
        FetchRequest {
            replica_state: ReplicaState { replica_id, replica_epoch: 1 },
            topics: topic_ids.iter().map(topic).collect(),
            ..Default::default()
        }
        .into()
    }

    #[test]
    fn only_replicas_fetches_of_the_quorums_log_alone_are_the_ensembles() {
        assert!(answers(&fetch(2, &[1]), 17));
        assert!(!answers(&fetch(2, &[1]), 16));
        assert!(!answers(&fetch(-1, &[1]), 17));
        assert!(!answers(&fetch(2, &[1, 2]), 17));
        assert!(!answers(&fetch(2, &[2]), 17));
        assert!(!answers(&fetch(2, &[]), 17));
        assert!(answers(&Request::Vote(Default::default()), 0));
        assert!(!answers(&Request::Metadata(Default::default()), 0));
    }
}
