//! Kafka's error codes: number, name, whether a client may retry, and a short message of our own.

use std::fmt;

/// An error code as responses carry it. Any number is representable, since a peer may be newer than this list.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

/// The list of codes: number, name, `retriable` where Kafka's own clients retry, message.
macro_rules! error_codes {
    (@retriable) => { false };
    (@retriable retriable) => { true };
    ($( $code:literal $name:ident $($retriable:ident)? $message:literal; )+) => {
        impl ErrorCode {
            $(
                #[doc = $message]
                pub const $name: ErrorCode = ErrorCode($code);
            )+

            /// Every code that Kafka 4.3 defines, in the order of their numbers.
            pub const ALL: &[ErrorCode] = &[$( ErrorCode::$name, )+];

            /// Kafka's name of the code; `UNDEFINED` if Kafka has no such code.
            pub const fn name(self) -> &'static str {
                match self {
                    $( ErrorCode::$name => stringify!($name), )+
                    _ => "UNDEFINED",
                }
            }

            /// Whether the same request may succeed later, so that a client should retry it.
            pub const fn is_retriable(self) -> bool {
                match self {
                    $( ErrorCode::$name => error_codes!(@retriable $($retriable)?), )+
                    _ => false,
                }
            }

            /// What the code says, as a sentence for people.
            pub const fn message(self) -> &'static str {
                match self {
                    $( ErrorCode::$name => $message, )+
                    _ => "The code is not one of Kafka's.",
                }
            }
        }
    };
}

error_codes! {
    -1 UNKNOWN_SERVER_ERROR "The server failed in a way that no other code describes.";
    0 NONE "No error.";
    1 OFFSET_OUT_OF_RANGE "The offset lies outside the log.";
    2 CORRUPT_MESSAGE retriable "The records are damaged: checksum, size or key are wrong.";
    3 UNKNOWN_TOPIC_OR_PARTITION retriable "This broker knows no such topic or partition.";
    4 INVALID_FETCH_SIZE "The fetch size is not valid.";
    5 LEADER_NOT_AVAILABLE retriable "The partition has no leader at the moment.";
    6 NOT_LEADER_OR_FOLLOWER retriable "This broker is not the replica that the request needs.";
    7 REQUEST_TIMED_OUT retriable "The request was not completed in time.";
    8 BROKER_NOT_AVAILABLE "The broker is not available.";
    9 REPLICA_NOT_AVAILABLE retriable "The replica is not available.";
    10 MESSAGE_TOO_LARGE "The batch is larger than the topic allows.";
    11 STALE_CONTROLLER_EPOCH "The request comes from a controller that has been replaced.";
    12 OFFSET_METADATA_TOO_LARGE "The metadata string of the committed offset is too long.";
    13 NETWORK_EXCEPTION retriable "The connection ended before the response came.";
    14 COORDINATOR_LOAD_IN_PROGRESS retriable "The coordinator is still loading its state.";
    15 COORDINATOR_NOT_AVAILABLE retriable "There is no coordinator at the moment.";
    16 NOT_COORDINATOR retriable "This broker is not the coordinator.";
    17 INVALID_TOPIC_EXCEPTION "The topic name is not valid, or the topic is not open to this operation.";
    18 RECORD_LIST_TOO_LARGE "The batch is larger than a log segment.";
    19 NOT_ENOUGH_REPLICAS retriable "Too few replicas are in sync; nothing was written.";
    20 NOT_ENOUGH_REPLICAS_AFTER_APPEND retriable "The records were written, but too few replicas are in sync.";
    21 INVALID_REQUIRED_ACKS "The acknowledgement mode is none of -1, 0 and 1.";
    22 ILLEGAL_GENERATION "The group has moved on to another generation.";
    23 INCONSISTENT_GROUP_PROTOCOL "The member shares no protocol with the group.";
    24 INVALID_GROUP_ID "The group id is not valid.";
    25 UNKNOWN_MEMBER_ID "The group has no such member.";
    26 INVALID_SESSION_TIMEOUT "The session timeout is outside the broker's limits.";
    27 REBALANCE_IN_PROGRESS "The group is rebalancing; the member has to join again.";
    28 INVALID_COMMIT_OFFSET_SIZE "The offset commit is too large.";
    29 TOPIC_AUTHORIZATION_FAILED "Access to the topic is denied.";
    30 GROUP_AUTHORIZATION_FAILED "Access to the group is denied.";
    31 CLUSTER_AUTHORIZATION_FAILED "Access to the cluster is denied.";
    32 INVALID_TIMESTAMP "A record's timestamp is out of the accepted range.";
    33 UNSUPPORTED_SASL_MECHANISM "The SASL mechanism is not enabled here.";
    34 ILLEGAL_SASL_STATE "The request does not fit the state of the SASL exchange.";
    35 UNSUPPORTED_VERSION "The API has no such version here.";
    36 TOPIC_ALREADY_EXISTS "A topic of this name exists.";
    37 INVALID_PARTITIONS "The number of partitions is not valid.";
    38 INVALID_REPLICATION_FACTOR "The replication factor is not between 1 and the number of brokers.";
    39 INVALID_REPLICA_ASSIGNMENT "The replica assignment is not valid.";
    40 INVALID_CONFIG "A configuration value is not valid.";
    41 NOT_CONTROLLER retriable "This broker is not the controller.";
    42 INVALID_REQUEST "The request contradicts itself or the protocol.";
    43 UNSUPPORTED_FOR_MESSAGE_FORMAT "The record format on disk does not support the request.";
    44 POLICY_VIOLATION "A policy of this cluster forbids the request.";
    45 OUT_OF_ORDER_SEQUENCE_NUMBER "The producer's sequence number does not follow the last one.";
    46 DUPLICATE_SEQUENCE_NUMBER "The producer's sequence number was used before.";
    47 INVALID_PRODUCER_EPOCH "The producer's epoch is out of date.";
    48 INVALID_TXN_STATE "The transaction is not in a state that allows this.";
    49 INVALID_PRODUCER_ID_MAPPING "The producer id does not belong to this transactional id.";
    50 INVALID_TRANSACTION_TIMEOUT "The transaction timeout is above the broker's maximum.";
    51 CONCURRENT_TRANSACTIONS retriable "An earlier step of the transaction is still under way.";
    52 TRANSACTION_COORDINATOR_FENCED "The marker comes from a coordinator that has been replaced.";
    53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED "Access to the transactional id is denied.";
    54 SECURITY_DISABLED "No authorizer is configured.";
    55 OPERATION_NOT_ATTEMPTED "This part of the request was skipped because another part failed.";
    56 KAFKA_STORAGE_ERROR retriable "The disk that holds the log failed.";
    57 LOG_DIR_NOT_FOUND "The broker has no such log directory.";
    58 SASL_AUTHENTICATION_FAILED "The credentials were not accepted.";
    59 UNKNOWN_PRODUCER_ID "The partition no longer knows the producer id.";
    60 REASSIGNMENT_IN_PROGRESS "The partition is being reassigned.";
    61 DELEGATION_TOKEN_AUTH_DISABLED "Delegation tokens are not enabled.";
    62 DELEGATION_TOKEN_NOT_FOUND "There is no such delegation token.";
    63 DELEGATION_TOKEN_OWNER_MISMATCH "The principal neither owns nor may renew the token.";
    64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED "Tokens cannot be managed over this kind of connection.";
    65 DELEGATION_TOKEN_AUTHORIZATION_FAILED "Access to the delegation token is denied.";
    66 DELEGATION_TOKEN_EXPIRED "The delegation token has expired.";
    67 INVALID_PRINCIPAL_TYPE "The type of principal is not supported.";
    68 NON_EMPTY_GROUP "The group still has members.";
    69 GROUP_ID_NOT_FOUND "There is no such group.";
    70 FETCH_SESSION_ID_NOT_FOUND retriable "The fetch session is gone.";
    71 INVALID_FETCH_SESSION_EPOCH retriable "The fetch session is at another epoch.";
    72 LISTENER_NOT_FOUND retriable "The leader has no listener of this name.";
    73 TOPIC_DELETION_DISABLED "Deleting topics is switched off.";
    74 FENCED_LEADER_EPOCH retriable "The client's leader epoch is older than the broker's.";
    75 UNKNOWN_LEADER_EPOCH retriable "The client's leader epoch is newer than the broker's.";
    76 UNSUPPORTED_COMPRESSION_TYPE "This version of the request cannot carry the compression codec.";
    77 STALE_BROKER_EPOCH "The broker has registered again since.";
    78 OFFSET_NOT_AVAILABLE retriable "A new leader does not know its high watermark yet.";
    79 MEMBER_ID_REQUIRED "The member has to join again with the member id it was given.";
    80 PREFERRED_LEADER_NOT_AVAILABLE retriable "The preferred leader is not available.";
    81 GROUP_MAX_SIZE_REACHED "The group is full.";
    82 FENCED_INSTANCE_ID "Another member has taken over this group instance id.";
    83 ELIGIBLE_LEADERS_NOT_AVAILABLE retriable "No replica may become leader.";
    84 ELECTION_NOT_NEEDED retriable "The partition has the wanted leader.";
    85 NO_REASSIGNMENT_IN_PROGRESS "No reassignment of the partition is under way.";
    86 GROUP_SUBSCRIBED_TO_TOPIC "The group is subscribed to the topic, so its offsets stay.";
    87 INVALID_RECORD "A record was refused.";
    88 UNSTABLE_OFFSET_COMMIT retriable "A transaction with offsets of this group is still open.";
    89 THROTTLING_QUOTA_EXCEEDED retriable "The quota is used up for now.";
    90 PRODUCER_FENCED "A newer producer with the same transactional id has taken over.";
    91 RESOURCE_NOT_FOUND "The request names something that does not exist.";
    92 DUPLICATE_RESOURCE "The request names the same thing twice.";
    93 UNACCEPTABLE_CREDENTIAL "The credential does not meet the requirements.";
    94 INCONSISTENT_VOTER_SET "Sender and receiver do not agree on the voters.";
    95 INVALID_UPDATE_VERSION "The version of the update is not valid.";
    96 FEATURE_UPDATE_FAILED "The features could not be updated.";
    97 PRINCIPAL_DESERIALIZATION_FAILURE "The principal of a forwarded request could not be read.";
    98 SNAPSHOT_NOT_FOUND "There is no such snapshot.";
    99 POSITION_OUT_OF_RANGE "The position lies outside the snapshot.";
    100 UNKNOWN_TOPIC_ID retriable "This broker knows no topic with this id.";
    101 DUPLICATE_BROKER_REGISTRATION "The broker id is in use.";
    102 BROKER_ID_NOT_REGISTERED "No broker is registered with this id.";
    103 INCONSISTENT_TOPIC_ID retriable "The topic's name and id do not belong together.";
    104 INCONSISTENT_CLUSTER_ID "The request is meant for another cluster.";
    105 TRANSACTIONAL_ID_NOT_FOUND "There is no such transactional id.";
    106 FETCH_SESSION_TOPIC_ID_ERROR retriable "The fetch session mixes topic names and ids.";
    107 INELIGIBLE_REPLICA "A replica of the new in-sync set may not be in it.";
    108 NEW_LEADER_ELECTED "The change was made, but the leader has changed with it.";
    109 OFFSET_MOVED_TO_TIERED_STORAGE "The offset is only in tiered storage now.";
    110 FENCED_MEMBER_EPOCH "The member was fenced and has to join anew.";
    111 UNRELEASED_INSTANCE_ID "Another member still holds the instance id.";
    112 UNSUPPORTED_ASSIGNOR "The group does not support the assignor.";
    113 STALE_MEMBER_EPOCH "The member has to learn its new epoch first.";
    114 MISMATCHED_ENDPOINT_TYPE "The request went to the wrong kind of endpoint.";
    115 UNSUPPORTED_ENDPOINT_TYPE "The kind of endpoint is not supported.";
    116 UNKNOWN_CONTROLLER_ID "There is no such controller.";
    117 UNKNOWN_SUBSCRIPTION_ID "The telemetry subscription is out of date.";
    118 TELEMETRY_TOO_LARGE "The telemetry is larger than the broker accepts.";
    119 INVALID_REGISTRATION "The controller did not accept the registration.";
    120 TRANSACTION_ABORTABLE "The transaction has failed and has to be aborted.";
    121 INVALID_RECORD_STATE "The record is not in a state that can be acknowledged.";
    122 SHARE_SESSION_NOT_FOUND retriable "The share session is gone.";
    123 INVALID_SHARE_SESSION_EPOCH retriable "The share session is at another epoch.";
    124 FENCED_STATE_EPOCH "The state epoch of the share group is out of date.";
    125 INVALID_VOTER_KEY "The voter key is not the receiver's.";
    126 DUPLICATE_VOTER "The voter is a member of the set already.";
    127 VOTER_NOT_FOUND "The voter is not a member of the set.";
    128 INVALID_REGULAR_EXPRESSION "The regular expression is not valid.";
    129 REBOOTSTRAP_REQUIRED "The client has to start over from its bootstrap servers.";
    130 STREAMS_INVALID_TOPOLOGY "The streams topology is not valid.";
    131 STREAMS_INVALID_TOPOLOGY_EPOCH "The epoch of the streams topology is not valid.";
    132 STREAMS_TOPOLOGY_FENCED "The epoch of the streams topology is out of date.";
    133 SHARE_SESSION_LIMIT_REACHED retriable "The broker has no room for another share session.";
}

impl ErrorCode {
    /// Whether this is any code but [`ErrorCode::NONE`].
    pub const fn is_error(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> ErrorCode {
        ErrorCode(code)
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> i16 {
        code.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::ResponseError;

    #[test]
    fn codes_ascend_without_a_gap() {
        let codes: Vec<i16> = ErrorCode::ALL.iter().map(|code| code.0).collect();
        assert_eq!(codes, (-1..=133).collect::<Vec<i16>>());
    }

    #[test]
    fn codes_agree_with_kafka_protocol() {
        let camel = |name: &str| name.replace('_', "").to_lowercase();
        for &code in ErrorCode::ALL {
            match ResponseError::try_from_code(code.0) {
                None => assert_eq!(code, ErrorCode::NONE),
                Some(ResponseError::Unknown(_)) => assert!(code.0 > 126, "{code} is unknown to them"),
                Some(theirs) => {
                    assert_eq!(camel(code.name()), camel(&format!("{theirs:?}")), "{}", code.0);
                    // Retriable since Kafka 4.0, which their list has not followed.
                    let newer = code == ErrorCode::CONCURRENT_TRANSACTIONS;
                    assert_eq!(code.is_retriable(), theirs.is_retriable() || newer, "{code}");
                }
            }
        }
    }

    #[test]
    fn foreign_codes_survive() {
        assert_eq!(format!("{:?}", ErrorCode(999)), "UNDEFINED(999)");
        assert_eq!(i16::from(ErrorCode::from(999)), 999);
        assert!(!ErrorCode(999).is_retriable() && ErrorCode(999).is_error());
    }
}
