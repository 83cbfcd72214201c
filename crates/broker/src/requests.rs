//! What the door asks of partitions and what it gets: requests and replies in the broker's own words, free of versions.
//!
//! Replies about partitions come in the order of the request.
use crate::ErrorCode;
use bytes::Bytes;
use kafka_wire::Records;
use std::sync::Arc;
use uuid::Uuid;

/// How a request names a topic: by name, or (newer versions) by id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// By name; an unknown one is UNKNOWN_TOPIC_OR_PARTITION.
    Name(Arc<str>),
    /// By id; an unknown one is UNKNOWN_TOPIC_ID.
    Id(Uuid),
}

impl TopicKey {
    /// The error for a topic that does not exist.
    pub fn unknown(&self) -> ErrorCode {
        match self {
            TopicKey::Name(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            TopicKey::Id(_) => ErrorCode::UNKNOWN_TOPIC_ID,
        }
    }
}

/// When a produce request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// 0: not at all; the caller drops the reply (and closes the connection on an error).
    None,
    /// 1: when the leader has written it.
    Leader,
    /// -1: when all in-sync replicas have it.
    All,
}

/// Which records a consumer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything below the high watermark.
    ReadUncommitted,
    /// Everything below the last stable offset, with the list of aborted producer transactions.
    ReadCommitted,
}

/// Produce.
#[derive(Clone, Debug)]
pub struct ProduceRequest {
    /// When to answer.
    pub acks: Acks,
    /// How long an answer with [`Acks::All`] may take, in milliseconds.
    pub timeout_ms: i32,
    /// Whether the request's version knows zstd (7 on); older ones are refused with UNSUPPORTED_COMPRESSION_TYPE.
    pub allows_zstd: bool,
    /// Who asks: `User:name`, or `User:ANONYMOUS`.
    pub principal: Arc<str>,
    /// The batches.
    pub partitions: Vec<ProducePartition>,
}

/// One partition of a produce request.
#[derive(Clone, Debug)]
pub struct ProducePartition {
    /// The topic.
    pub topic: TopicKey,
    /// The partition.
    pub partition: i32,
    /// Exactly one record batch, as it came.
    pub records: Bytes,
}

/// One partition of the reply to produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducedPartition {
    /// Success, or why not.
    pub error: ErrorCode,
    /// The offset of the first record; -1 in an error.
    pub base_offset: i64,
    /// The broker's time for topics with LogAppendTime, else -1.
    pub log_append_time_ms: i64,
    /// The log's start offset; -1 in an error.
    pub log_start_offset: i64,
    /// The records that were refused: index in the batch, and why.
    pub record_errors: Vec<(i32, String)>,
    /// Why the batch was refused, for people.
    pub message: Option<String>,
    /// With NOT_LEADER_OR_FOLLOWER: who leads now (node, leader epoch), if known.
    pub current_leader: Option<(i32, i32)>,
}

impl ProducedPartition {
    /// A refusal.
    pub fn refused(error: ErrorCode, message: Option<String>) -> ProducedPartition {
        ProducedPartition {
            error,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            message,
            current_leader: None,
        }
    }
}

/// Fetch, with the session fields of KIP-227.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The longest wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// The least that is worth an answer before that.
    pub min_bytes: i32,
    /// The most bytes of records in the answer; the first non-empty partition may exceed it.
    pub max_bytes: i32,
    /// Which records the consumer sees.
    pub isolation: Isolation,
    /// Whether the request's version knows zstd (10 on).
    pub allows_zstd: bool,
    /// Whether the request's version may be answered by a follower (11 on, KIP-392).
    pub allows_follower: bool,
    /// Whether records may be answered as ranges of files, which whoever writes the answer sends from there.
    pub takes_files: bool,
    /// Where the consumer is; empty if it does not say.
    pub rack_id: Arc<str>,
    /// The broker that replicates with this fetch; none for a consumer. Who may pose as one is the door's to check.
    pub replica: Option<Replica>,
    /// The fetch session; 0 for none.
    pub session_id: i32,
    /// The epoch within the session: -1 for none or its end, 0 for a new one.
    pub session_epoch: i32,
    /// Whether topics are named by id (13 on).
    pub by_id: bool,
    /// What to fetch, in the client's order; within a session, only what changed.
    pub partitions: Vec<FetchPartition>,
    /// What the session is to fetch no more.
    pub forgotten: Vec<(TopicKey, i32)>,
}

/// A broker that fetches to replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its id.
    pub id: i32,
    /// The epoch of its registration; -1 if the request names none.
    pub epoch: i64,
}

/// One partition of a fetch request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// The topic.
    pub topic: TopicKey,
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the client believes in; -1 for none.
    pub current_leader_epoch: i32,
    /// Where to begin.
    pub fetch_offset: i64,
    /// The epoch of the last record that the client has; -1 for none.
    pub last_fetched_epoch: i32,
    /// The client's own log start; -1 for consumers.
    pub log_start_offset: i64,
    /// The most bytes of this partition.
    pub max_bytes: i32,
}

/// The reply to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReply {
    /// An error of the session, or success.
    pub error: ErrorCode,
    /// The session that the client may go on with; 0 for none.
    pub session_id: i32,
    /// The partitions; within a session only those with something new.
    pub partitions: Vec<FetchedPartition>,
}

/// One partition of the reply to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The topic as the client names it.
    pub topic: TopicKey,
    /// The partition.
    pub partition: i32,
    /// Success, or why not.
    pub error: ErrorCode,
    /// The high watermark; -1 in an error.
    pub high_watermark: i64,
    /// The last stable offset; -1 in an error.
    pub last_stable_offset: i64,
    /// The log's start offset; -1 in an error.
    pub log_start_offset: i64,
    /// Where the client's log parts from the leader's: epoch and end offset. To a replica that is out of range it says the newest
    /// epoch and the end of the leader's log, beside its start and high watermark.
    pub diverging: Option<(i32, i64)>,
    /// The aborted producer transactions among the records (producer id, first offset): a list for read_committed, none
    /// for read_uncommitted.
    pub aborted: Option<Vec<(i64, i64)>>,
    /// With NOT_LEADER_OR_FOLLOWER or FENCED_LEADER_EPOCH: who leads now (node, leader epoch), if known.
    pub current_leader: Option<(i32, i32)>,
    /// The replica that the consumer should fetch from instead (KIP-392); -1 for none.
    pub preferred_read_replica: i32,
    /// The batches.
    pub records: Records,
}

/// One partition of ListOffsets.
#[derive(Clone, Debug)]
pub struct ListOffset {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the client believes in; -1 for none.
    pub current_leader_epoch: i32,
    /// A time in milliseconds, or -1 latest, -2 earliest, -3 largest timestamp, -4 earliest local, -5 latest tiered.
    pub timestamp: i64,
}

/// One partition of the reply to ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// Success, or why not.
    pub error: ErrorCode,
    /// The time of the record found; -1 for none.
    pub timestamp: i64,
    /// The offset; -1 if no record is that new.
    pub offset: i64,
    /// The leader epoch of the record; -1 for none.
    pub leader_epoch: i32,
}

/// One partition of OffsetForLeaderEpoch.
#[derive(Clone, Debug)]
pub struct EpochEndRequest {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the client believes in; -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    pub leader_epoch: i32,
}

/// One partition of the reply to OffsetForLeaderEpoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// Success, or why not.
    pub error: ErrorCode,
    /// The largest epoch not above the one asked for; -1 if there is none.
    pub leader_epoch: i32,
    /// The end of that epoch; -1 if there is none.
    pub end_offset: i64,
}

/// One partition of DeleteRecords.
#[derive(Clone, Debug)]
pub struct DeleteRecords {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The new start of the log; -1 for the high watermark.
    pub offset: i64,
}

/// One partition of the reply to DeleteRecords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedRecords {
    /// Success, or why not.
    pub error: ErrorCode,
    /// The log's start after the deletion; -1 in an error.
    pub low_watermark: i64,
}

/// One folder of `log.dirs` as DescribeLogDirs shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirDescription {
    /// KAFKA_STORAGE_ERROR if the folder failed.
    pub error: ErrorCode,
    /// The folder's absolute path.
    pub path: String,
    /// The size of its file system in bytes; -1 if nobody knows.
    pub total_bytes: i64,
    /// What can still be written there, in bytes; -1 if nobody knows.
    pub usable_bytes: i64,
    /// The replicas in it: topic, partition, size in bytes, how far behind the high watermark its end is.
    pub replicas: Vec<ReplicaSize>,
}

/// The size of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Bytes of its segments.
    pub size: i64,
    /// How many records it lacks.
    pub lag: i64,
}
