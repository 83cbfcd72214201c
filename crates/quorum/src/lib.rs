//! Consensus: a pure `step(event, log view, now) -> actions`, in the shape of KRaft (KIP-595, 630, 853, 996, 1166).
//!
//! The core does no I/O, owns no clock and rolls no dice, so that a simulator or a model checker runs the code that
//! production runs. It decides; a shell (the `ensemble` room) reads and writes the log, keeps the vote file, maps the
//! [`message`]s to Kafka's wire and carries them. Replication is by pull: followers fetch, and the offset that a fetch
//! asks for is the acknowledgement of everything below it.
//!
//! # Roles
//!
//! ```text
//!                    +----------------------------------------------------------------+
//!                    |  in any role: a higher epoch -> Unattached, or Follower when    |
//!                    |  its leader is named; a leader of this epoch -> Follower        |
//!                    +----------------------------------------------------------------+
//!
//!             timeout                  majority would vote          majority voted
//!  Unattached --------> Prospective -----------------------> Candidate ------------> Leader
//!    ^  ^  ^              |    ^       epoch + 1, own vote       |                     |
//!    |  |  |   refused    |    |       made durable              | refused or timeout  |
//!    |  |  +--------------+    |                               |                     |
//!    |  |   (leader known:     | fetch timeout, or the           |                     |
//!    |  |    back to Follower) | leader's host refuses           |                     |
//!    |  +----------------------|---------------------------------+                     |
//!    |                      Follower                                                   |
//!    |                         |  EndQuorumEpoch: the first preferred successor        |
//!    +-------------------------+  becomes Candidate at once, the others wait           |
//!    |                                                                                 |
//!    +---- Resigned <------------------------------------------------------------------+
//!           timeout      Resign, Shutdown, no majority fetches, or voted out
//! ```
//!
//! A single voter passes from Unattached to Leader within [`Quorum::start`]. A replica that isn't a voter (an
//! *observer*) is only ever Unattached, when it asks every peer in turn who leads, or Follower. A voter whose log lost
//! flushed entries ([`Start::damaged`]) behaves like an observer until it has them again.
//!
//! # One node id, one replica
//!
//! A leader answers a fetch with `DuplicateVoter` while another replica with the same node id and another directory is
//! alive, or may be: one that fetched within the fetch timeout, or a voter for so long after the election. The voter
//! in the incarnation that the others know is never turned away. A follower says the same of the node that it follows. A node
//! that lost its disk therefore waits for one fetch timeout, until its former incarnation is forgotten, and joins; a
//! replica that is still told so after three of them ends with [`Fatal::NodeIdTaken`]. No voter is removed, by whomever,
//! while it and such a namesake are both heard from.
//!
//! # What the shell promises
//!
//! 1. The actions of a step are carried out in order, each finished as [`Action`] says before the next one starts, and
//!    all of them before the next step. So whatever follows a `PersistVote` rests on a durable vote: the answer to a
//!    vote request, our own requests for votes, the first batch of an epoch, an answer that carries the epoch.
//! 2. The [`LogView`] of a step shows the effect of every earlier action. Appending may only reach the page cache;
//!    `TruncateTo`, `InstallSnapshot` and `PersistVote` are durable when done.
//! 3. After `AppendControl` and `AppendFetched` the next event is `Event::Appended`; after `TruncateTo` it is
//!    `Event::Truncated`. A leader's shell appends clients' entries by itself, at the epoch of `BecameLeader` and until
//!    `LostLeadership`, in the same place where it calls `step`, and reports them by `Event::Appended` (many at once
//!    will do).
//! 4. `Event::Flushed` follows every flush. A flush or write that fails stops the node; it is never tried again.
//! 5. Every request of `Send` ends in one `Response` or `RequestFailed`; if neither comes, the core gives it up by
//!    itself. Requests of another cluster, and of an earlier incarnation of a node, don't reach the core.
//!
//! # What must be durable before what
//!
//! | before this | this is durable | by |
//! |---|---|---|
//! | a granted vote's `Reply`; `Send` of a vote request | the vote and its epoch | `PersistVote` ahead in the list |
//! | `AppendControl` and `BecameLeader` of an epoch | the vote for oneself | `PersistVote` of the candidate |
//! | any answer in a new epoch | the epoch | `PersistVote` ahead in the list |
//! | the next `Send` of a fetch | everything appended | the view's `flushed`, which must have reached `end` |
//! | the leader's own acknowledgement | its entries | the view's `flushed` |
//! | `HighWatermark` | the entries on a majority | the two lines above |
//! | `Reply` to a change of the voters | its record on a majority of the *new* set | `HighWatermark` |
//!
//! Neither a leader that becomes known nor a pre-vote is worth a flush: a replica that forgets them still can't give
//! its vote twice.
//!
//! # What never happens
//!
//! Asserted where it is decided, and checked by the tests over many seeds: two leaders in an epoch; two votes of a
//! replica in an epoch; two different entries with the same offset and epoch; a committed entry missing from a later
//! leader; a high watermark that goes back, that passes the log's end, or that an entry of an earlier epoch moved.

mod action;
#[cfg(feature = "model")]
mod canonical;
mod config;
mod election;
mod event;
mod follower;
mod leader;
mod log_view;
mod membership;
pub mod message;
mod mutant;
mod offset;
mod quorum;
mod requests;
mod role;
mod vote;
mod voters;

pub use action::{Action, Fatal};
#[cfg(feature = "model")]
pub use canonical::Renamed;
pub use config::{Config, ConfigError};
pub use event::{ControlRecord, Event, Failure, SnapshotPiece, Start};
pub use leader::MAX_REPLICAS;
pub use log_view::LogView;
pub use message::Peer;
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use offset::{LogOffset, Millis};
pub use quorum::Quorum;
pub use role::RoleName;
pub use vote::VoteState;
pub use voters::{Endpoint, ReplicaId, Voter, VoterSet};
