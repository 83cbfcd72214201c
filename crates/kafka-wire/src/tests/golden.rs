//! Messages that the crate kafka-protocol does not know or gets wrong, against the bytes that the classes of
//! Apache Kafka 4.3.1 write for the same values.

use std::fmt::Debug;

use uuid::Uuid;

use super::{decode_whole, whole};
use crate::messages::add_raft_voter::Listener;
use crate::messages::consumer_offsets::MemberMetadata;
use crate::messages::control_records::{
    Endpoint, KRaftVersionFeature, LeaderChangeMessageVoter, VotersRecordVoter,
};
use crate::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use crate::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use crate::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use crate::messages::*;
use crate::{Bytes, ErrorCode, Message};

/// An id whose bytes are easy to spot.
const ID: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

/// Checks that the message is written as `hex` says, and read from it.
fn check<M: Message + PartialEq + Debug>(message: M, version: i16, hex: &str) {
    let bytes = whole(|e| message.encode(e, version));
    let written: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, hex.replace(' ', ""), "{} v{version}", M::NAME);
    assert_eq!(decode_whole(bytes, |d| M::decode(d, version)), Ok(message), "{} v{version}", M::NAME);
}

#[test]
fn list_offsets_request_v11() {
    let partition = ListOffsetsPartition { partition_index: 3, current_leader_epoch: 7, timestamp: -6 };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
    let request =
        ListOffsetsRequest { replica_id: -1, isolation_level: 1, topics: vec![topic], timeout_ms: 30_000 };
    check(request, 11, "ffffffff01020274020000000300000007fffffffffffffffa00000000753000");
}

#[test]
fn offset_commit_request_v10() {
    let partition = OffsetCommitRequestPartition {
        partition_index: 3,
        committed_offset: 42,
        committed_leader_epoch: 7,
        committed_metadata: Some("m".into()),
    };
    let topic = OffsetCommitRequestTopic { topic_id: ID, partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: 5,
        member_id: "me".into(),
        group_instance_id: None,
        topics: vec![topic],
        ..Default::default()
    };
    check(
        request,
        10,
        "026700000005036d6500020102030405060708090a0b0c0d0e0f100200000003000000000000002a \
        00000007026d000000",
    );
}

#[test]
fn offset_fetch_request_v10() {
    let topic =
        OffsetFetchRequestTopics { topic_id: ID, partition_indexes: vec![0, 3], ..Default::default() };
    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        member_id: Some("me".into()),
        member_epoch: 5,
        topics: Some(vec![topic]),
    };
    check(
        OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() },
        10,
        "020267036d6500000005020102030405060708090a0b0c0d0e0f1003000000000000000300000100",
    );
}

#[test]
fn describe_log_dirs_response_v5() {
    let partition = DescribeLogDirsPartition {
        partition_index: 3,
        partition_size: 1000,
        offset_lag: 2,
        is_future_key: false,
    };
    let topic = DescribeLogDirsTopic { name: "t".into(), partitions: vec![partition] };
    let result = DescribeLogDirsResult {
        error_code: ErrorCode::KAFKA_STORAGE_ERROR,
        log_dir: "/d".into(),
        topics: vec![topic],
        total_bytes: 4096,
        usable_bytes: 1024,
        is_cordoned: true,
    };
    check(
        DescribeLogDirsResponse { results: vec![result], ..Default::default() },
        5,
        "000000000000020038032f64020274020000000300000000000003e8000000000000000200000000 \
        000000000010000000000000000400010000",
    );
}

#[test]
fn add_raft_voter_request_v1() {
    let listener = Listener { name: "C".into(), host: "h".into(), port: 65535 };
    let request = AddRaftVoterRequest {
        cluster_id: Some("c".into()),
        timeout_ms: 1000,
        voter_id: 2,
        voter_directory_id: ID,
        listeners: vec![listener],
        ack_when_committed: false,
    };
    check(request, 1, "0263000003e8000000020102030405060708090a0b0c0d0e0f100202430268ffff000000");
}

#[test]
fn leader_change_message_v1() {
    let voter = |voter_id| LeaderChangeMessageVoter { voter_id, voter_directory_id: ID };
    let message = LeaderChangeMessage {
        version: 1,
        leader_id: 2,
        voters: vec![voter(1), voter(2)],
        granting_voters: vec![voter(2)],
    };
    check(
        message,
        1,
        "00010000000203000000010102030405060708090a0b0c0d0e0f1000000000020102030405060708 \
        090a0b0c0d0e0f100002000000020102030405060708090a0b0c0d0e0f100000",
    );
}

#[test]
fn voters_record() {
    let voter = VotersRecordVoter {
        voter_id: 1,
        voter_directory_id: ID,
        endpoints: vec![Endpoint { name: "C".into(), host: "h".into(), port: 9093 }],
        kraft_version_feature: KRaftVersionFeature { min_supported_version: 0, max_supported_version: 1 },
    };
    check(
        VotersRecord { version: 0, voters: vec![voter] },
        0,
        "000002000000010102030405060708090a0b0c0d0e0f10020243026823850000000001000000",
    );
}

#[test]
fn kafka_2_23_group_and_offset_records() {
    let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3 };
    check(key, 1, "00016700017400000003");
    check(GroupMetadataKey { group: "g".into() }, 2, "000167");
    let value = OffsetCommitValue {
        offset: 42,
        leader_epoch: 7,
        metadata: "m".into(),
        commit_timestamp: 1_700_000_000_000,
        ..Default::default()
    };
    check(value.clone(), 3, "000000000000002a0000000700016d0000018bcfe56800");
    check(
        OffsetCommitValue { topic_id: ID, ..value },
        4,
        "000000000000002a00000007026d0000018bcfe568000100100102030405060708090a0b0c0d0e0f \
        10",
    );
    let member = MemberMetadata {
        member_id: "me".into(),
        group_instance_id: Some("i".into()),
        client_id: "c".into(),
        client_host: "/h".into(),
        rebalance_timeout: 300_000,
        session_timeout: 45_000,
        subscription: Bytes::from_static(&[0, 1]),
        assignment: Bytes::from_static(&[2]),
    };
    let group = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 5,
        protocol: Some("range".into()),
        leader: None,
        current_state_timestamp: 1_700_000_000_000,
        members: vec![member],
    };
    check(
        group.clone(),
        3,
        "0008636f6e73756d657200000005000572616e6765ffff0000018bcfe568000000000100026d6500 \
        016900016300022f68000493e00000afc80000000200010000000102",
    );
    check(
        group,
        4,
        "09636f6e73756d6572000000050672616e6765000000018bcfe5680002036d6502690263032f6800 \
        0493e00000afc803000102020000",
    );
}
