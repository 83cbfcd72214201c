//! What the core asks of the shell. Invariant: the actions of a step are carried out in their order, each finished as
//! its documentation says before the next one starts, and all of them before the next step.

use uuid::Uuid;

use crate::event::{ControlRecord, SnapshotPiece};
use crate::message::{Peer, RecordRange, Request, Response};
use crate::{LogOffset, Millis, VoteState};

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make the vote durable (write, fsync, rename, fsync of the directory) *before the next action*. If that fails:
    /// stop the node.
    PersistVote(VoteState),
    /// Append one control batch of `epoch` at the end of the log; the records get consecutive offsets. It must be in
    /// the log view before the next step, which is `Event::Appended` with the voter sets among the records. Not
    /// flushed: that is reported by `Event::Flushed` later.
    AppendControl {
        /// The leader epoch of the batch.
        epoch: i32,
        /// Its records.
        records: Vec<ControlRecord>,
    },
    /// Append the entries of the fetch response that is being handled, then report `Event::Appended`, and
    /// `Event::Flushed` once they are flushed. The next fetch waits for the flush: it is the acknowledgement.
    AppendFetched {
        /// Which of the log's offsets they take; `base_offset` is the log's end.
        range: RecordRange,
    },
    /// Cut the log so that it ends here, durably, then report `Event::Truncated`.
    TruncateTo {
        /// The new end.
        offset: i64,
    },
    /// Write a piece of the fetch-snapshot response that is being handled. A piece at position 0 starts the snapshot
    /// over, also when another one was begun.
    AppendSnapshot(SnapshotPiece),
    /// The snapshot is complete: check it, make it durable, let the log start and end where it ends, and report
    /// `Event::SnapshotInstalled` or `Event::SnapshotRejected`. May take long; other events may come in between.
    InstallSnapshot(LogOffset),
    /// Everything below this offset is committed, for ever. Rises only.
    HighWatermark(i64),
    /// Send a request.
    Send {
        /// To whom.
        to: Peer,
        /// The core's number for it; comes back in `Event::Response` or `Event::RequestFailed`.
        correlation: u64,
        /// The request.
        request: Request,
    },
    /// Answer a request.
    Reply {
        /// The number of `Event::Request`.
        correlation: u64,
        /// The answer.
        response: Response,
    },
    /// This replica leads from now on. Clients' entries may be appended at this epoch, behind the control batch that
    /// was just appended. State read from the log is complete once the high watermark is above `start_offset`.
    BecameLeader {
        /// The epoch to append with.
        epoch: i32,
        /// The offset of the epoch's first entry.
        start_offset: i64,
    },
    /// This replica leads no more: nothing may be appended with this epoch from now on.
    LostLeadership {
        /// The epoch that it led.
        epoch: i32,
    },
    /// The leader or the epoch is another one than before.
    LeaderChanged {
        /// The leader, when known.
        leader: Option<i32>,
        /// The current epoch.
        epoch: i32,
    },
    /// A replica that started with `damaged` has everything committed again; the mark on the disk may go.
    Repaired,
    /// After `Event::Shutdown`: nobody waits for this replica any more, or the others have been told.
    ShutdownComplete,
    /// Call `step` with `Event::Tick` at this moment. Replaces the timer that was set before.
    SetTimer(Millis),
    /// Consensus can't go on without breaking a promise. Stop the node; the core does nothing any more.
    Fatal(Fatal),
}

/// Why a replica must stop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fatal {
    /// The leader asked to drop entries that are committed.
    #[error(
        "leader {leader} of epoch {epoch} asked to truncate to offset {offset}, below the high watermark {high_watermark}; \
         committed entries would be lost, so this node stops: compare the logs of the voters"
    )]
    TruncationBelowHighWatermark {
        /// Who asked.
        leader: i32,
        /// Its epoch.
        epoch: i32,
        /// Where to truncate to.
        offset: i64,
        /// What is committed here.
        high_watermark: i64,
    },
    /// The only voter lost flushed entries; nobody has a copy.
    #[error(
        "the log lost flushed entries and names this node as the only voter, so there is no copy to fetch: restore the log \
         directory from a backup, or, if other voters exist, empty it and let the node join them again"
    )]
    OnlyCopyDamaged,
    /// Another process runs under this node's id: the leader hears it, and refuses this one.
    #[error(
        "node id {id} is taken by a live replica with another log directory (this one has directory id {directory}); give \
         this node an id of its own (node.id or myid), or stop the other process if this one is to take its place"
    )]
    NodeIdTaken {
        /// The id.
        id: i32,
        /// The directory id of this replica.
        directory: Uuid,
    },
    /// Epochs ran out.
    #[error("epoch {0} is the highest that the protocol can carry; no election is possible any more")]
    EpochsExhausted(i32),
}
