//! A way through the door without a socket, for a simulator: frames in, frames out, the same code in between.
use crate::api::{self, Inbound};
use crate::entrance::{Entrance, Stage};
use crate::exchange::{self, Outcome, Peer};
use crate::quorum;
use bytes::Bytes;
use kafka_wire::Piece;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The way in. It leads to the same node as the door's ports do, and is open and closed with them.
#[derive(Clone)]
pub struct InProcess {
    entrance: Arc<Entrance>,
}

/// A connection without a socket. Whoever has it keeps the rules of one: a client sends a request once the one before it is answered, and
/// a node hands in its requests in their order and takes the responses in that order.
pub struct InProcessConnection {
    entrance: Arc<Entrance>,
    peer: Peer,
}

impl InProcess {
    pub(crate) fn new(entrance: Arc<Entrance>) -> InProcess {
        InProcess { entrance }
    }

    /// Connects somebody at `remote` to the listener of this name.
    pub fn connect(&self, remote: SocketAddr, listener: &str) -> InProcessConnection {
        let peer = Peer::anonymous(remote, Arc::from(listener));
        InProcessConnection { entrance: self.entrance.clone(), peer }
    }
}

impl InProcessConnection {
    /// Has a request frame (without its size) answered: with the pieces of a response frame (its size in front), which are none if the
    /// request wants no response; `None` if the connection ends in place of an answer, as a socket would be closed.
    pub async fn call(&self, frame: Bytes) -> Option<Vec<Bytes>> {
        let inbound = match api::decode(frame) {
            Ok(Ok(inbound)) => inbound,
            Ok(Err(response)) => return Some(response),
            Err(error) => {
                tracing::info!(remote = %self.peer.remote, %error, "a connection of a Kafka client is closed");
                return None;
            }
        };
        let is_for_ensemble = quorum::answers(&inbound.request, inbound.header.version);
        let end = if is_for_ensemble { Stage::Closing } else { Stage::PeersOnly };
        let mut stages = self.entrance.stages();
        let outcome = tokio::select! {
            biased;
            _ = stages.wait_for(|stage| *stage >= end) => return None,
            outcome = self.answer(inbound, is_for_ensemble) => outcome,
        };
        self.entrance.counters.requests.fetch_add(1, Relaxed);
        outcome
    }

    /// The pieces of the response, which lie in memory, as for everybody who takes no files.
    async fn answer(&self, inbound: Inbound, is_for_ensemble: bool) -> Option<Vec<Bytes>> {
        let api = inbound.header.api;
        let answered = if is_for_ensemble {
            exchange::with_ensemble(self.entrance.clone(), inbound, None).await.map(Some)
        } else {
            let door = self.entrance.served().await;
            exchange::with_client(&door, &self.peer, inbound).await.and_then(|outcome| match outcome {
                Outcome::Respond(pieces) => {
                    pieces.into_iter().map(Piece::into_memory).collect::<Result<_, _>>().map(Some)
                }
                Outcome::Silence => Ok(Some(Vec::new())),
                Outcome::End => Ok(None),
            })
        };
        answered.unwrap_or_else(|error| {
            tracing::error!(%api, %error, "a response cannot be written; the connection is closed");
            None
        })
    }
}
