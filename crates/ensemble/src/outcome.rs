//! What a writer learns of its request, and when.
use crate::ensemble::ReadView;
use std::sync::Arc;
use tree::{Stat, Zxid};

/// Called once per submitted request, in the order in which a session submitted, under the tree's lock: it must not block. The view
/// is the tree right after the request, so that reads that were sent behind it can be answered in their place.
pub type Completion = Box<dyn FnOnce(Outcome, &ReadView<'_>) + Send>;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The last applied transaction: the request's own, if it was one. Goes into the reply's header.
    pub zxid: Zxid,
    /// One result per operation, or why nothing was done.
    pub result: Result<Vec<OpResult>, Refusal>,
}

/// The result of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// A znode was created at this path.
    Created(Arc<str>, Stat),
    /// Its data was set.
    Set(Stat),
    /// Its ACL was set.
    AclSet(Stat),
    /// It was deleted.
    Deleted,
    /// Its version was as expected.
    Checked,
}

/// Why a request was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The tree refused it, on the ground of committed state.
    #[error("{0}")]
    Tree(#[from] tree::Refused),
    /// The session is attached to another connection; this one is closed without a reply (reference 3.19).
    #[error("the session has moved to another connection")]
    SessionMoved,
    /// The node does not lead, or stopped leading while the request was under way: the outcome is unknown.
    #[error("the node does not serve writes at the moment")]
    NotServing,
}
