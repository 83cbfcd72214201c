//! Requests and replies of the classic group protocol in the coordinator's own words; the door translates them from and
//! to every version of the wire format.
use crate::ErrorCode;
use crate::groups::member::Protocol;
use bytes::Bytes;
use std::sync::Arc;

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// Empty for a member that is new.
    pub member_id: Arc<str>,
    /// Set for static members (v5 on).
    pub instance_id: Option<Arc<str>>,
    /// The client id of the request's header.
    pub client_id: Arc<str>,
    /// The address of the client as Kafka writes it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// How long the member may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long the group waits for it in a rebalance; none in v0, where the session timeout stands for it.
    pub rebalance_timeout_ms: Option<i32>,
    /// `consumer`, `connect`, ...
    pub protocol_type: Arc<str>,
    /// The strategies that the member supports, best first.
    pub protocols: Vec<Protocol>,
    /// Whether a new dynamic member must come back with the id it is given (v4 on, KIP-394).
    pub requires_known_member_id: bool,
    /// Whether the client understands `skip_assignment` (v9 on, KIP-814).
    pub supports_skip_assignment: bool,
    /// Why the client says it joins (v8 on).
    pub reason: Option<String>,
}

/// The reply to JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    /// Success, or why not.
    pub error: ErrorCode,
    /// The generation of the group; -1 in an error.
    pub generation: i32,
    /// The group's protocol type; none in an error.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen strategy; none in an error. Versions below 7 have no null and say "" instead.
    pub protocol_name: Option<Arc<str>>,
    /// The member id of the leader; empty in an error.
    pub leader: Arc<str>,
    /// Whether the leader is to keep the assignment that exists (KIP-814).
    pub skip_assignment: bool,
    /// The id of the member that is answered.
    pub member_id: Arc<str>,
    /// Every member with its metadata, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its instance id, if it is static.
    pub instance_id: Option<Arc<str>>,
    /// Its metadata under the chosen strategy.
    pub metadata: Bytes,
}

impl JoinReply {
    /// A refusal.
    pub(crate) fn refused(member_id: Arc<str>, error: ErrorCode) -> JoinReply {
        JoinReply {
            error,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: Arc::from(""),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// The generation that the member knows.
    pub generation: i32,
    /// The member's id.
    pub member_id: Arc<str>,
    /// Its instance id, if it is static.
    pub instance_id: Option<Arc<str>>,
    /// What the member believes the group's protocol type to be (v5 on).
    pub protocol_type: Option<Arc<str>>,
    /// What the member believes the chosen strategy to be (v5 on).
    pub protocol_name: Option<Arc<str>>,
    /// The leader's decision: member id and assignment.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// The reply to SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReply {
    /// Success, or why not.
    pub error: ErrorCode,
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen strategy.
    pub protocol_name: Option<Arc<str>>,
    /// The member's assignment; empty is legal.
    pub assignment: Bytes,
}

impl SyncReply {
    /// A refusal.
    pub(crate) fn refused(error: ErrorCode) -> SyncReply {
        SyncReply { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// The generation that the member knows.
    pub generation: i32,
    /// The member's id.
    pub member_id: Arc<str>,
    /// Its instance id, if it is static.
    pub instance_id: Option<Arc<str>>,
}

/// Who leaves, in LeaveGroup; and how that went, in the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// The member's id; empty when an administrator removes a static member by its instance id.
    pub member_id: Arc<str>,
    /// Its instance id, if it is static.
    pub instance_id: Option<Arc<str>>,
}

/// The reply to LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveReply {
    /// A failure of the whole request. Versions below 3, which name one member, report that member's error here.
    pub error: ErrorCode,
    /// Each leaver with its own result.
    pub members: Vec<(Leaver, ErrorCode)>,
}

/// OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The group; empty is legal here.
    pub group_id: Arc<str>,
    /// The generation that the member knows; -1 for a client that assigns its partitions itself.
    pub generation: i32,
    /// The member's id, or empty.
    pub member_id: Arc<str>,
    /// Its instance id, if it is static.
    pub instance_id: Option<Arc<str>>,
    /// v2 to v4: how long the offsets are to be kept, -1 for the broker's default. Later versions have none.
    pub retention_ms: Option<i64>,
    /// Whether an unknown group is reported as GROUP_ID_NOT_FOUND (v9 on) or ILLEGAL_GENERATION.
    pub knows_group_id_not_found: bool,
    /// What is committed.
    pub offsets: Vec<OffsetToCommit>,
}

/// One offset of an OffsetCommit.
#[derive(Clone, Debug)]
pub struct OffsetToCommit {
    /// The topic's name (the door resolves topic ids).
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The next offset to be read; any number is accepted.
    pub offset: i64,
    /// The leader epoch of the last record that was read, or -1.
    pub leader_epoch: i32,
    /// The client's own words, given back as they are; null becomes "".
    pub metadata: Option<Arc<str>>,
}

/// One group of an OffsetFetch.
#[derive(Clone, Debug)]
pub struct OffsetFetchRequest {
    /// The group; empty is legal here.
    pub group_id: Arc<str>,
    /// The partitions asked for; none means all that the group has offsets of.
    pub partitions: Option<Vec<(Arc<str>, i32)>>,
    /// Whether offsets of open transactions make the answer UNSTABLE_OFFSET_COMMIT (KIP-447).
    pub require_stable: bool,
}

/// One partition of the reply to OffsetFetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The committed offset; -1 if there is none.
    pub offset: i64,
    /// The leader epoch that was committed with it, or -1.
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: Arc<str>,
    /// Success, or why not.
    pub error: ErrorCode,
}

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// The group.
    pub group_id: Arc<str>,
    /// GROUP_ID_NOT_FOUND for an unknown group: v6 says so, v0 to v5 report the state `Dead` without an error.
    pub error: ErrorCode,
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead`.
    pub state: &'static str,
    /// The protocol type, or "".
    pub protocol_type: Arc<str>,
    /// The strategy, or "" unless stable.
    pub protocol: Arc<str>,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its instance id, if it is static.
    pub instance_id: Option<Arc<str>>,
    /// The client id it joined with.
    pub client_id: Arc<str>,
    /// The address it joined from.
    pub client_host: Arc<str>,
    /// Its metadata under the chosen strategy; empty unless the group is stable.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

/// A group as ListGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: Arc<str>,
    /// The protocol type, or "".
    pub protocol_type: Arc<str>,
    /// The state (v4 on).
    pub state: &'static str,
    /// `classic` (v5 on).
    pub group_type: &'static str,
}
