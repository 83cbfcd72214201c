//! The messages between replicas: plain structs whose fields mirror Kafka's RPCs, one topic and one partition unpacked.
//! The shell maps them to the wire, checks the cluster id, and fills endpoints in from the voter set. Invariant: a
//! response always carries the sender's epoch and the leader it knows of.

use crate::voters::{Endpoint, ReplicaId};
use crate::{LogOffset, Millis};

/// Who a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The node with this id; its endpoints are in the voter set, or came with an earlier response.
    Node(i32),
    /// One of `controller.quorum.bootstrap.servers`, by its place in the list.
    Bootstrap(u32),
}

/// The error codes that consensus uses, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 0.
    None,
    /// 6 NOT_LEADER_OR_FOLLOWER: ask the leader that the response names.
    NotLeaderOrFollower,
    /// 7 REQUEST_TIMED_OUT: not now; try again.
    RequestTimedOut,
    /// 42 INVALID_REQUEST.
    InvalidRequest,
    /// 74 FENCED_LEADER_EPOCH: the request's epoch is over.
    FencedLeaderEpoch,
    /// 76 UNKNOWN_LEADER_EPOCH: the request's epoch is ahead of the receiver.
    UnknownLeaderEpoch,
    /// 98 SNAPSHOT_NOT_FOUND.
    SnapshotNotFound,
    /// 99 POSITION_OUT_OF_RANGE.
    PositionOutOfRange,
    /// 125 INVALID_VOTER_KEY: meant for another incarnation of this node.
    InvalidVoterKey,
    /// 126 DUPLICATE_VOTER.
    DuplicateVoter,
    /// 127 VOTER_NOT_FOUND.
    VoterNotFound,
    /// Any other code, by its number.
    Other(i16),
}

impl ErrorCode {
    const KNOWN: [(i16, ErrorCode); 11] = [
        (0, ErrorCode::None),
        (6, ErrorCode::NotLeaderOrFollower),
        (7, ErrorCode::RequestTimedOut),
        (42, ErrorCode::InvalidRequest),
        (74, ErrorCode::FencedLeaderEpoch),
        (76, ErrorCode::UnknownLeaderEpoch),
        (98, ErrorCode::SnapshotNotFound),
        (99, ErrorCode::PositionOutOfRange),
        (125, ErrorCode::InvalidVoterKey),
        (126, ErrorCode::DuplicateVoter),
        (127, ErrorCode::VoterNotFound),
    ];

    /// Kafka's number for it.
    pub fn code(self) -> i16 {
        match self {
            ErrorCode::Other(code) => code,
            known => Self::KNOWN.iter().find(|(_, error)| *error == known).map_or(-1, |(code, _)| *code),
        }
    }

    /// The error with this number.
    pub fn from_code(code: i16) -> Self {
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(ErrorCode::Other(code), |(_, error)| *error)
    }
}

/// The leader that the sender of a response knows of, and the sender's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CurrentLeader {
    /// The leader's id; -1 on the wire when unknown.
    pub id: Option<i32>,
    /// The sender's epoch.
    pub epoch: i32,
}

/// Vote (52), version 2 with pre-vote (KIP-996).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VoteRequest {
    /// Who is asked (`VoterId`, `VoterDirectoryId`), as the candidate knows it.
    pub voter: ReplicaId,
    /// The candidate's epoch: already raised for a vote, its current one for a pre-vote.
    pub epoch: i32,
    /// Who asks.
    pub candidate: ReplicaId,
    /// Where the candidate's log ends.
    pub last: LogOffset,
    /// Whether this only asks if a vote would be granted.
    pub pre_vote: bool,
}

/// The answer to a [`VoteRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VoteResponse {
    /// Why the request itself was refused.
    pub error: ErrorCode,
    /// What the voter knows.
    pub leader: CurrentLeader,
    /// Whether the voter agrees.
    pub vote_granted: bool,
}

/// BeginQuorumEpoch (53): a new leader makes itself known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BeginQuorumEpochRequest {
    /// Who is told, as the leader knows it.
    pub voter: ReplicaId,
    /// The leader.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
}

/// EndQuorumEpoch (54): a leader gives up its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndQuorumEpochRequest {
    /// The leader that resigns.
    pub leader_id: i32,
    /// The epoch that ends.
    pub leader_epoch: i32,
    /// Who should lead next, the most caught-up first (`PreferredCandidates`).
    pub preferred_successors: Vec<ReplicaId>,
}

/// The answer to BeginQuorumEpoch and to EndQuorumEpoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuorumEpochResponse {
    /// Why it was refused.
    pub error: ErrorCode,
    /// What the receiver knows.
    pub leader: CurrentLeader,
}

/// Fetch (1): asks for entries, and acknowledges everything below `fetch_offset` as flushed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchRequest {
    /// Who fetches (`ReplicaState.ReplicaId`, `ReplicaDirectoryId`).
    pub replica: ReplicaId,
    /// The epoch the fetcher is in; -1 when it only looks for the leader.
    pub current_leader_epoch: i32,
    /// The fetcher's flushed log end.
    pub fetch_offset: i64,
    /// The epoch of the entry before `fetch_offset`; 0 for an empty log.
    pub last_fetched_epoch: i32,
    /// The fetcher's high watermark (KIP-1166): a leader that knows a higher one answers at once.
    pub high_watermark: i64,
    /// How long the leader may wait for news.
    pub max_wait_ms: u64,
    /// The most bytes to send.
    pub max_bytes: u32,
}

/// Entries by their offsets; the bytes stay with the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordRange {
    /// The first offset.
    pub base_offset: i64,
    /// One past the last offset.
    pub end_offset: i64,
}

/// The answer to a [`FetchRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchResponse {
    /// Why it was refused.
    pub error: ErrorCode,
    /// What the receiver knows.
    pub leader: CurrentLeader,
    /// The leader's high watermark; -1 until an entry of its epoch is committed.
    pub high_watermark: i64,
    /// The leader's log start.
    pub log_start_offset: i64,
    /// The fetcher must truncate to where this epoch ends (`DivergingEpoch`).
    pub diverging_epoch: Option<LogOffset>,
    /// The fetcher must start over from this snapshot (`SnapshotId`).
    pub snapshot_id: Option<LogOffset>,
    /// In a reply of the core: what the shell may send, as many whole batches as fit `max_bytes`. In an event: what the
    /// response held, its batches checked by the shell.
    pub records: Option<RecordRange>,
}

/// FetchSnapshot (59): asks for a piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchSnapshotRequest {
    /// Who fetches.
    pub replica: ReplicaId,
    /// The epoch the fetcher is in.
    pub current_leader_epoch: i32,
    /// Which snapshot.
    pub snapshot_id: LogOffset,
    /// The first byte wanted.
    pub position: u64,
    /// The most bytes to send.
    pub max_bytes: u32,
}

/// The answer to a [`FetchSnapshotRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchSnapshotResponse {
    /// Why it was refused.
    pub error: ErrorCode,
    /// What the receiver knows.
    pub leader: CurrentLeader,
    /// Which snapshot.
    pub snapshot_id: LogOffset,
    /// Its size in bytes.
    pub size: u64,
    /// The first byte of this piece.
    pub position: u64,
    /// In a reply of the core: the most bytes to send. In an event: how many bytes came.
    pub bytes: u32,
}

/// How far a replica is, as the leader sees it (`DescribeQuorumResponse.ReplicaState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaState {
    /// Which replica.
    pub replica: ReplicaId,
    /// Its flushed log end, -1 when unknown.
    pub log_end_offset: i64,
    /// When it last fetched; `None` for the leader itself and when it never did.
    pub last_fetch: Option<Millis>,
    /// When it last was caught up; `None` when it never was. The leader always is.
    pub last_caught_up: Option<Millis>,
}

/// The answer to DescribeQuorum (55), which has no fields of interest to the core.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DescribeQuorumResponse {
    /// Why it was refused.
    pub error: ErrorCode,
    /// What the receiver knows.
    pub leader: CurrentLeader,
    /// The leader's high watermark; -1 until an entry of its epoch is committed.
    pub high_watermark: i64,
    /// The voters.
    pub voters: Vec<ReplicaState>,
    /// Everyone else that fetched lately.
    pub observers: Vec<ReplicaState>,
}

/// AddRaftVoter (80).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddVoterRequest {
    /// The observer that becomes a voter.
    pub voter: ReplicaId,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// How long the leader may wait for it to catch up and for the change to be committed.
    pub timeout_ms: u64,
}

/// RemoveRaftVoter (81).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoveVoterRequest {
    /// The voter that leaves.
    pub voter: ReplicaId,
}

/// UpdateRaftVoter (82): a voter makes its endpoints, and its directory when that is not known yet, part of the set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpdateVoterRequest {
    /// The epoch the voter is in.
    pub current_leader_epoch: i32,
    /// The voter.
    pub voter: ReplicaId,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
}

/// The answer to a change of the voters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MembershipResponse {
    /// Why it was refused.
    pub error: ErrorCode,
    /// The same in words, for an operator; empty when nothing is wrong.
    pub message: String,
    /// What the receiver knows.
    pub leader: CurrentLeader,
}

/// A request between replicas, or from an operator's tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Vote.
    Vote(VoteRequest),
    /// BeginQuorumEpoch.
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    /// EndQuorumEpoch.
    EndQuorumEpoch(EndQuorumEpochRequest),
    /// Fetch.
    Fetch(FetchRequest),
    /// FetchSnapshot.
    FetchSnapshot(FetchSnapshotRequest),
    /// DescribeQuorum.
    DescribeQuorum,
    /// AddRaftVoter.
    AddVoter(AddVoterRequest),
    /// RemoveRaftVoter.
    RemoveVoter(RemoveVoterRequest),
    /// UpdateRaftVoter.
    UpdateVoter(UpdateVoterRequest),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// To Vote.
    Vote(VoteResponse),
    /// To BeginQuorumEpoch.
    BeginQuorumEpoch(QuorumEpochResponse),
    /// To EndQuorumEpoch.
    EndQuorumEpoch(QuorumEpochResponse),
    /// To Fetch.
    Fetch(FetchResponse),
    /// To FetchSnapshot.
    FetchSnapshot(FetchSnapshotResponse),
    /// To DescribeQuorum.
    DescribeQuorum(DescribeQuorumResponse),
    /// To AddRaftVoter.
    AddVoter(MembershipResponse),
    /// To RemoveRaftVoter.
    RemoveVoter(MembershipResponse),
    /// To UpdateRaftVoter.
    UpdateVoter(MembershipResponse),
}
