//! What the shell tells the core. Invariant: an event carries no offsets that the log view already shows, so that the
//! two can't disagree.

use crate::message::{Peer, Request, Response};
use crate::voters::VoterSet;
use crate::{LogOffset, VoteState};

/// What a replica finds on its disk at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Start {
    /// The durable vote; `None` at the very first start.
    pub vote: Option<VoteState>,
    /// Every voter set of the log or its snapshot, with the offset of its record, in order.
    pub voters: Vec<(i64, VoterSet)>,
    /// Entries that were flushed can't be read any more (a bad checksum below the flushed point) and were cut off.
    /// This replica may have acknowledged them: it votes for nobody and isn't elected until it has fetched everything
    /// committed again and [`crate::Action::Repaired`] was returned. The shell must remember this over restarts.
    pub damaged: bool,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The peer's host refused the connection: the process is gone.
    Refused,
    /// The connection broke, the answer was no answer, or nothing came.
    Lost,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The deadline of [`crate::Action::SetTimer`] has passed. Harmless at any other time; the timer is always set anew.
    Tick,
    /// Entries were appended: clients' on a leader, or after `AppendControl` or `AppendFetched`. Carries the voter sets
    /// among them, each with the offset of its record.
    Appended {
        /// The voter sets among the new entries.
        voters: Vec<(i64, VoterSet)>,
    },
    /// The log's flushed offset moved.
    Flushed,
    /// The log was truncated as [`crate::Action::TruncateTo`] asked.
    Truncated,
    /// The log was replaced as [`crate::Action::InstallSnapshot`] asked.
    SnapshotInstalled {
        /// The voter set that the snapshot holds, with the offset of its record.
        voters: Option<(i64, VoterSet)>,
    },
    /// The snapshot that was fetched can't be used (bad checksum, wrong end); it was thrown away.
    SnapshotRejected,
    /// A request came in. Every one is answered, now or later, by [`crate::Action::Reply`] with its correlation.
    Request {
        /// The shell's own number for the request.
        correlation: u64,
        /// The request.
        request: Request,
    },
    /// The answer to a request of [`crate::Action::Send`].
    Response {
        /// Who answered: the same `Peer` that `Send` named.
        from: Peer,
        /// The number that `Send` carried.
        correlation: u64,
        /// The answer.
        response: Response,
    },
    /// A request of [`crate::Action::Send`] will get no answer.
    RequestFailed {
        /// Who it was for: the same `Peer` that `Send` named.
        to: Peer,
        /// The number that `Send` carried.
        correlation: u64,
        /// Why.
        failure: Failure,
    },
    /// Give up leadership, if held, and go on as a voter.
    Resign,
    /// The process is about to stop: give up leadership and take part in no election any more.
    Shutdown,
}

/// Which records a [`crate::Action::AppendControl`] batch holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ControlRecord {
    /// `LeaderChangeMessage` (control type 2).
    LeaderChange {
        /// The leader of the epoch that starts.
        leader_id: i32,
        /// The ids of the voters.
        voters: Vec<i32>,
        /// The ids of those that voted for the leader.
        granting_voters: Vec<i32>,
    },
    /// `VotersRecord` (control type 6).
    Voters(VoterSet),
}

/// Where a snapshot piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotPiece {
    /// The snapshot it is part of.
    pub snapshot_id: LogOffset,
    /// The first byte.
    pub position: u64,
    /// How many bytes.
    pub bytes: u32,
}
