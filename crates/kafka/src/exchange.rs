//! From a request to its response, whichever way it came: over a socket or within the process.
//!
//! Invariant: the same bytes get the same answer on both ways.
use crate::api::{self, Answer, Call, Inbound};
use crate::budget::RequestShare;
use crate::door::Door;
use crate::entrance::Entrance;
use crate::quorum;
use bytes::Bytes;
use kafka_wire::{EncodeError, Piece};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Who is at the other end.
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    /// The address as Kafka writes it: `/127.0.0.1`.
    pub(crate) host: Arc<str>,
    /// The name of the listener that the client came to.
    pub(crate) listener: Arc<str>,
    /// `User:ANONYMOUS` on a listener without authentication.
    pub(crate) principal: Arc<str>,
    /// Whether records may go to it as ranges of files.
    pub(crate) takes_files: bool,
}

impl Peer {
    /// Someone whom nobody has asked for a name, and who takes bytes.
    pub(crate) fn anonymous(remote: SocketAddr, listener: Arc<str>) -> Peer {
        let host = Arc::from(format!("/{}", remote.ip()));
        Peer { remote, host, listener, principal: Arc::from("User:ANONYMOUS"), takes_files: false }
    }
}

/// A handler under way.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What becomes of a request.
pub(crate) enum Outcome {
    /// This is to be written, in these pieces.
    Respond(Vec<Piece>),
    /// Nothing is to be written.
    Silence,
    /// The connection is to end.
    End,
}

/// Answers a request of a client.
pub(crate) async fn with_client(
    door: &Door,
    peer: &Peer,
    Inbound { header, request }: Inbound,
) -> Result<Outcome, EncodeError> {
    let (api, version) = (header.api, header.version);
    match api::serve(Call::new(door, peer, &header), request).await {
        Answer::Response(response) => {
            Ok(Outcome::Respond(response.to_pieces(version, header.correlation_id)?))
        }
        Answer::Silence => Ok(Outcome::Silence),
        Answer::Close(reason) => {
            tracing::debug!(remote = %peer.remote, %api, version, reason, "the connection is closed in place of an answer");
            Ok(Outcome::End)
        }
    }
}

/// Answers a request to the ensemble. The share of the memory is given back as soon as there is a response.
pub(crate) async fn with_ensemble(
    entrance: Arc<Entrance>,
    Inbound { header, request }: Inbound,
    share: Option<RequestShare>,
) -> Result<Vec<Bytes>, EncodeError> {
    let response = quorum::answer(&entrance.ensemble, entrance.peers.as_ref(), &header, request).await;
    drop(share);
    response.to_frame(header.version, header.correlation_id)
}
