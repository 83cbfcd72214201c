//! The znode state machine, pure: no disk, clock or random number, so that every server that applies the same
//! transactions holds the same tree.
//!
//! A write goes through here twice. [`prepare`] judges a [`Request`] against the [`Tree`] plus the changes in flight
//! ([`Pending`]) and resolves it to a [`Txn`]; once that is committed, [`Tree::apply`] executes it and says which events
//! watches may be waiting for. Reads look at the applied tree only. [`Tree::begin_snapshot`] and [`TreeBuilder`] take
//! the tree apart into [`Image`]s and put it together again. Sessions are kept in a [`DenseMap`]; the ensemble has use for it too.
//!
//! Semantics are those of Apache ZooKeeper's `PrepRequestProcessor` and `DataTree`, with the deviations that
//! ARCHITECTURE.md and the docs of the items name.

mod acl;
mod acl_table;
mod apply;
mod auth;
mod builder;
mod dense;
mod digest;
mod error;
mod ids;
mod node;
mod owner;
mod path;
mod pending;
mod prepare;
mod quota;
mod request;
mod snapshot;
mod stat;
mod tree;
mod txn;
mod watch;

pub use acl::{Acl, AclList, AuthId, Id, ParsePermsError, Perms};
pub use auth::{digest_id, is_super, masked_for, permits};
pub use builder::TreeBuilder;
pub use dense::DenseMap;
pub use digest::Digest;
pub use error::{Misfit, MisfitReason, Refused, RestoreError, TreeError};
pub use ids::{SessionId, Zxid};
pub use owner::{CreateMode, Owner, TTL_MS_MAX};
pub use pending::Pending;
pub use prepare::prepare;
pub use request::{ANY_VERSION, Context, Create, Op, Options, Planned, Prepared, Request};
pub use snapshot::{Image, NodeImage, SessionImage, Snapshot};
pub use stat::{RawStat, Stat, next_version};
pub use tree::{NodeRef, Session, Tree};
pub use txn::{Applied, Change, Event, EventKind, PasswordDigest, Txn};
pub use watch::WatchKind;
