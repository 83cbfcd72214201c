//! Single promises of the codec, each with a test that fails when it is broken.

use bytes::Bytes;
use uuid::Uuid;

use super::{all_versions, decode_whole, sample_request, sample_response, whole};
use crate::messages::consumer_offsets::OffsetCommitKey;
use crate::messages::fetch::{FetchableTopicResponse, PartitionData};
use crate::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsResponse, DescribeClusterRequest, FetchRequest,
    FetchResponse, GroupMetadataKey, ListOffsetsRequest, MetadataRequest, OffsetDeleteRequest,
    ProduceRequest,
};
use crate::{
    ApiKey, DecodeError, Decoder, EncodeError, ErrorCode, Message, Records, Request, RequestHeader, Response,
    Str, Versions, decode_prefixed, decode_request, decode_response, encode_body, encode_prefixed,
    encode_request, encode_response, read_request,
};

/// A Fetch response with one partition that holds the given records.
fn fetched(records: Records) -> FetchResponse {
    let partition = PartitionData { records: Some(records), ..Default::default() };
    let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

#[test]
fn request_and_response_of_an_api_have_the_same_versions() {
    for (api, version) in all_versions() {
        let request = whole(|e| sample_request(api, version, 3).encode(e, version));
        assert_eq!(decode_request(api, version, request).unwrap().api(), api);
        let response = whole(|e| sample_response(api, version, 3).encode(e, version));
        assert_eq!(decode_whole(response, |d| Response::decode(api, version, d)).unwrap().api(), api);
    }
    for &api in ApiKey::ALL {
        for version in [api.versions().min - 1, api.versions().max + 1] {
            let mut d = Decoder::new(Bytes::from_static(&[0; 64]));
            assert!(
                matches!(Request::decode(api, version, &mut d), Err(DecodeError::Version { .. })),
                "{api}"
            );
            assert!(
                matches!(Response::decode(api, version, &mut d), Err(DecodeError::Version { .. })),
                "{api}"
            );
        }
    }
}

#[test]
fn apis_have_the_versions_of_kafka_4_3_and_controlled_shutdown_those_of_3_9() {
    let listed: Vec<String> =
        ApiKey::ALL.iter().map(|api| format!("{} {api} {}", api.key(), api.versions())).collect();
    let expected = "0 Produce 3-13, 1 Fetch 4-18, 2 ListOffsets 1-11, 3 Metadata 0-13, 7 ControlledShutdown 1-3, \
        8 OffsetCommit 2-10, 9 OffsetFetch 1-10, 10 FindCoordinator 0-6, 11 JoinGroup 0-9, 12 Heartbeat 0-4, 13 LeaveGroup 0-5, \
        14 SyncGroup 0-5, 15 DescribeGroups 0-6, 16 ListGroups 0-5, 17 SaslHandshake 0-1, 18 ApiVersions 0-4, \
        19 CreateTopics 2-7, 20 DeleteTopics 1-6, 21 DeleteRecords 0-2, 22 InitProducerId 0-5, \
        23 OffsetForLeaderEpoch 2-4, 29 DescribeAcls 1-3, 30 CreateAcls 1-3, 31 DeleteAcls 1-3, \
        32 DescribeConfigs 1-4, 33 AlterConfigs 0-2, 34 AlterReplicaLogDirs 1-2, 35 DescribeLogDirs 1-5, \
        36 SaslAuthenticate 0-2, 37 CreatePartitions 0-3, 42 DeleteGroups 0-2, 43 ElectLeaders 0-2, \
        44 IncrementalAlterConfigs 0-1, 45 AlterPartitionReassignments 0-1, 46 ListPartitionReassignments 0, \
        47 OffsetDelete 0, 52 Vote 0-2, 53 BeginQuorumEpoch 0-1, 54 EndQuorumEpoch 0-1, 55 DescribeQuorum 0-2, \
        56 AlterPartition 2-3, 57 UpdateFeatures 0-2, 58 Envelope 0, 59 FetchSnapshot 0-1, 60 DescribeCluster 0-2, \
        64 UnregisterBroker 0, 74 ListConfigResources 0-1, 75 DescribeTopicPartitions 0, 80 AddRaftVoter 0-1, \
        81 RemoveRaftVoter 0, 82 UpdateRaftVoter 0";
    assert_eq!(listed.join(", "), expected);
    assert!(ApiKey::ALL.iter().all(|api| ApiKey::from_key(api.key()) == Some(*api)));
}

#[test]
fn produce_is_advertised_from_version_0_but_decoded_from_3() {
    assert_eq!(ApiKey::Produce.advertised(), Versions::new(0, 13));
    assert_eq!(ApiKey::Fetch.advertised(), ApiKey::Fetch.versions());
    assert!(decode_request(ApiKey::Produce, 2, Bytes::from_static(&[0; 32])).is_err());
}

#[test]
fn kafka_2_2_apiversions_response_header_is_always_v0() {
    for version in 0..=4 {
        let frame =
            encode_response(ApiKey::ApiVersions, version, 7, &ApiVersionsResponse::default()).unwrap();
        let frame = frame.into_iter().collect::<Records>().to_bytes();
        assert_eq!(frame[4..10], [0, 0, 0, 7, 0, 0], "correlation id, then the error code at once");
    }
    assert_eq!(ApiKey::Metadata.response_header_version(9), 1);
    assert_eq!(ApiKey::Metadata.response_header_version(8), 0);
}

#[test]
fn kafka_2_2_sasl_handshake_and_offset_delete_are_never_flexible() {
    for api in [ApiKey::SaslHandshake, ApiKey::OffsetDelete] {
        assert_eq!(api.flexible(), Versions::NONE);
        assert_eq!(api.request_header_version(i16::MAX), 1);
        assert_eq!(api.response_header_version(i16::MAX), 0);
    }
}

#[test]
fn kafka_2_1_the_header_of_an_unsupported_apiversions_request_is_readable() {
    let header = RequestHeader {
        api: ApiKey::ApiVersions,
        version: 99,
        correlation_id: 5,
        client_id: Some(Str::from_static("future")),
    };
    let bytes = whole(|e| header.encode(e));
    let (read, d) = read_request(bytes).unwrap();
    assert_eq!(read, header);
    assert_eq!(d.remaining(), 0);
}

#[test]
fn request_frames_carry_size_header_and_body() {
    let header = RequestHeader {
        api: ApiKey::ApiVersions,
        version: 3,
        correlation_id: -2,
        client_id: Some("me".into()),
    };
    let request =
        ApiVersionsRequest { client_software_name: "n".into(), client_software_version: "v".into() };
    let frame = encode_request(&header, &request).unwrap().into_iter().collect::<Records>().to_bytes();
    let expected: &[u8] = b"\0\0\0\x12\0\x12\0\x03\xff\xff\xff\xfe\0\x02me\0\x02n\x02v\0";
    assert_eq!(frame, expected);
    let same = Request::from(request.clone()).to_frame(&header).unwrap();
    assert_eq!(same.into_iter().collect::<Records>(), Records::from(frame.clone()));
    let (read, mut d) = read_request(frame.slice(4..)).unwrap();
    assert_eq!(read, header);
    assert_eq!(Request::decode(read.api, read.version, &mut d).unwrap(), Request::from(request));
    d.finish().unwrap();
}

#[test]
fn response_frames_come_back_with_their_correlation_id() {
    for (api, version) in all_versions() {
        if let Response::Metadata(message) = sample_response(api, version, 8) {
            let frame = encode_response(api, version, 41, &message).unwrap();
            let frame = frame.into_iter().collect::<Records>().to_bytes();
            let same = Response::from(message.clone()).to_frame(version, 41).unwrap();
            assert_eq!(same.into_iter().collect::<Records>(), Records::from(frame.clone()));
            assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
            assert_eq!(decode_response(api, version, frame.slice(4..)).unwrap(), (41, message.into()));
        }
    }
}

#[test]
fn unknown_apis_are_named() {
    let frame = Bytes::from_static(&[0x03, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    assert_eq!(read_request(frame).err(), Some(DecodeError::UnknownApi { key: 999 }));
}

#[test]
fn bytes_behind_a_request_are_an_error() {
    let result = decode_request(ApiKey::DescribeCluster, 0, Bytes::from_static(&[0, 0, 9]));
    assert_eq!(result.err(), Some(DecodeError::Trailing { at: 2, left: 1 }));
}

#[test]
fn record_sets_are_spliced_into_the_frame_without_a_copy() {
    let slices = [Bytes::from(vec![1; 4096]), Bytes::from(vec![2; 2048])];
    for version in FetchRequest::VERSIONS.iter() {
        let message = fetched(slices.iter().cloned().collect());
        let chunks = encode_response(ApiKey::Fetch, version, 1, &message).unwrap();
        for slice in &slices {
            let found = chunks.iter().find(|chunk| chunk.as_ptr() == slice.as_ptr());
            assert_eq!(found.map(Bytes::len), Some(slice.len()), "v{version}");
        }
        let frame = chunks.into_iter().collect::<Records>().to_bytes();
        let (_, back) = decode_response(ApiKey::Fetch, version, frame.slice(4..)).unwrap();
        assert_eq!(back, Response::from(message), "v{version}");
    }
}

#[test]
fn decoded_records_and_strings_share_the_frame() {
    let record_set = Bytes::from(vec![7; 3000]);
    let frame = whole(|e| fetched(record_set.into()).encode(e, 11));
    let back = decode_whole(frame.clone(), |d| FetchResponse::decode(d, 11)).unwrap();
    let records = back.responses[0].partitions[0].records.as_ref().unwrap().to_bytes();
    assert!(frame.as_ptr_range().contains(&records.as_ptr()));
}

#[test]
fn large_tagged_fields_keep_their_splices_in_place() {
    // No tagged field of Kafka's is this large; the frame has to be right all the same.
    let mut request = FetchRequest { cluster_id: Some("x".repeat(5000).into()), ..Default::default() };
    request.replica_state.replica_id = 3;
    let bytes = whole(|e| request.encode(e, 18));
    assert_eq!(decode_whole(bytes, |d| FetchRequest::decode(d, 18)).unwrap(), request);
}

#[test]
fn small_chunks_are_gathered() {
    let message = fetched(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cd")].into_iter().collect());
    assert_eq!(encode_response(ApiKey::Fetch, 12, 1, &message).unwrap().len(), 1);
}

#[test]
fn record_sets_compare_by_their_bytes() {
    let one = Records::from(Bytes::from_static(b"abcd"));
    let two: Records =
        [Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cd")].into_iter().collect();
    assert_eq!(one, two);
    assert_eq!((two.len(), two.chunks().count()), (4, 2));
    assert_eq!(two.to_bytes(), "abcd");
    assert_ne!(two, Records::EMPTY);
    assert!(Records::EMPTY.is_empty() && Records::EMPTY.chunks().next().is_none());
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    // DescribeTopicPartitions v0 has an empty topic list, the limit, no cursor; then tags 5 and 900.
    let bytes = Bytes::from_static(&[1, 0, 0, 0, 9, 0xff, 2, 5, 3, 1, 2, 3, 0x84, 0x07, 0]);
    let request = decode_request(ApiKey::DescribeTopicPartitions, 0, bytes).unwrap();
    let Request::DescribeTopicPartitions(request) = request else { panic!("wrong API") };
    assert_eq!((request.response_partition_limit, request.cursor), (9, None));
}

#[test]
fn a_tagged_field_has_to_fill_its_size() {
    let request = FetchRequest { cluster_id: Some("abc".into()), ..Default::default() };
    let bytes = whole(|e| request.encode(e, 12)).to_vec();
    // The request ends with the count 1, tag 0, size 4 and the compact string.
    let size = bytes.len() - 5;
    for lie in [3, 5] {
        let mut lying = bytes.clone();
        lying[size] = lie;
        lying.push(0);
        assert!(decode_request(ApiKey::Fetch, 12, Bytes::from(lying)).is_err(), "size {lie}");
    }
}

#[test]
fn kafka_2_28_a_negative_count_of_a_nullable_array_is_null() {
    for count in [-1i32, -2, i32::MIN] {
        let body = Bytes::copy_from_slice(&count.to_be_bytes());
        let request = decode_request(ApiKey::Metadata, 1, body.clone()).unwrap();
        assert_eq!(request, Request::from(MetadataRequest { topics: None, ..Default::default() }));
        let not_nullable = decode_request(ApiKey::Metadata, 0, body);
        assert_eq!(not_nullable.err(), Some(DecodeError::Null { at: 4 }));
    }
}

#[test]
fn a_null_that_the_version_lacks_is_not_written() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(encode_body(&all, 0), Err(EncodeError::Null { version: 0 }));
    assert_eq!(encode_body(&all, 1).unwrap(), [0xff, 0xff, 0xff, 0xff].as_slice());
}

#[test]
fn a_value_that_the_version_lacks_is_not_written_unless_ignorable() {
    let request = ListOffsetsRequest { isolation_level: 1, ..Default::default() };
    let error = EncodeError::FieldNotInVersion { field: "isolation_level", version: 1 };
    assert_eq!(encode_body(&request, 1), Err(error));
    assert!(encode_body(&request, 2).is_ok());

    let response = CreateTopicsResponse { throttle_time_ms: 9, ..Default::default() };
    let back =
        encode_body(&response, 2).map(|bytes| decode_whole(bytes, |d| CreateTopicsResponse::decode(d, 2)));
    assert_eq!(back.unwrap().unwrap(), response);
    let cluster = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
    assert_eq!(
        encode_body(&cluster, 0),
        Err(EncodeError::FieldNotInVersion { field: "endpoint_type", version: 0 })
    );

    let ignorable = FetchRequest { rack_id: "r1".into(), ..Default::default() };
    let old = decode_whole(encode_body(&ignorable, 4).unwrap(), |d| FetchRequest::decode(d, 4)).unwrap();
    assert_eq!(old.rack_id, "");
}

#[test]
fn absent_fields_decode_to_their_defaults() {
    let bytes = encode_body(&FetchRequest { replica_id: 1, ..Default::default() }, 4).unwrap();
    let old = decode_whole(bytes, |d| FetchRequest::decode(d, 4)).unwrap();
    assert_eq!((old.session_epoch, old.replica_state.replica_id, old.max_bytes), (-1, -1, i32::MAX));
}

#[test]
fn versions_that_a_message_lacks_are_not_written() {
    let error =
        EncodeError::Version { message: "ProduceRequest", version: 2, versions: Versions::new(3, 13) };
    assert_eq!(encode_body(&ProduceRequest::default(), 2), Err(error));
}

#[test]
fn strings_end_at_32767_bytes() {
    let header = |len: usize| RequestHeader {
        api: ApiKey::Metadata,
        version: 0,
        correlation_id: 0,
        client_id: Some("x".repeat(len).into()),
    };
    let topics = MetadataRequest { topics: Some(vec![]), ..Default::default() };
    assert!(encode_request(&header(32767), &topics).is_ok());
    assert_eq!(encode_request(&header(32768), &topics), Err(EncodeError::StringTooLong { len: 32768 }));
    // A compact length can say more; Kafka refuses that too.
    let mut bytes = vec![2, 0x81, 0x80, 0x02];
    bytes.resize(40_000, b'x');
    let result = decode_request(ApiKey::DescribeGroups, 5, Bytes::from(bytes));
    assert_eq!(result.err(), Some(DecodeError::StringTooLong { at: 4, len: 32768 }));
}

#[test]
fn strings_have_to_be_utf8() {
    let bytes = Bytes::from_static(&[0, 0, 0, 1, 0, 2, 0xc3, 0x28]);
    let result = decode_request(ApiKey::DescribeGroups, 0, bytes);
    assert_eq!(result.err(), Some(DecodeError::NotUtf8 { at: 6 }));
}

#[test]
fn varints_have_at_most_32_bits() {
    for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
        let result = decode_request(ApiKey::DescribeGroups, 5, Bytes::from_static(bytes));
        assert_eq!(result.err(), Some(DecodeError::VarintTooLong { at: 0 }));
    }
}

#[test]
fn str_is_found_by_str_and_detaches_from_its_frame() {
    let frame = Bytes::from(b"topic and more".to_vec());
    let name = Str::from_utf8(frame.slice(..5)).unwrap();
    let map = std::collections::HashMap::from([(name.clone(), 1)]);
    assert_eq!(map.get("topic"), Some(&1));
    assert_eq!(name.as_ptr(), frame.as_ptr());
    let detached = name.detached();
    assert_eq!(detached, name);
    assert!(!frame.as_ptr_range().contains(&detached.as_ptr()));
    assert_eq!(format!("{name} {name:?}"), "topic \"topic\"");
}

#[test]
fn kafka_2_23_keys_of_consumer_offsets_are_prefixed_with_their_version() {
    let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3 };
    let bytes = encode_prefixed(&key, 1).unwrap();
    assert_eq!(bytes, b"\0\x01\0\x01g\0\x01t\0\0\0\x03".as_slice());
    assert_eq!(decode_prefixed::<OffsetCommitKey>(bytes).unwrap(), (1, key));
    let group = encode_prefixed(&GroupMetadataKey { group: "g".into() }, 2).unwrap();
    assert_eq!(group, b"\0\x02\0\x01g".as_slice());
    assert!(decode_prefixed::<OffsetCommitKey>(group).is_err());
}

#[test]
fn defaults_of_messages_are_kafkas() {
    let response = PartitionData::default();
    assert_eq!(response.error_code, ErrorCode::NONE);
    assert_eq!((response.last_stable_offset, response.preferred_read_replica), (-1, -1));
    assert_eq!(response.aborted_transactions, None);
    assert_eq!(FetchableTopicResponse::default().topic_id, Uuid::nil());
    assert_eq!(OffsetDeleteRequest::default().group_id, "");
}

/// A file of a test; it is intact for as long as nobody says otherwise.
struct Stored(std::fs::File);

impl std::os::fd::AsFd for Stored {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl crate::BatchFile for Stored {
    fn is_intact(&self) -> bool {
        true
    }
}

#[test]
fn records_that_lie_in_a_file_are_named_in_the_frame_and_never_lost() {
    let path = std::env::current_exe().expect("this test is a file");
    let file = std::sync::Arc::new(Stored(std::fs::File::open(path).expect("it can be read")));
    let range = crate::FileRange { file, position: 77, len: 5000 };
    let in_file = fetched(Records::from(range.clone()));
    let in_memory = fetched(Bytes::from(vec![3; 5000]).into());
    for version in FetchRequest::VERSIONS.iter() {
        let pieces = Response::from(in_file.clone()).to_pieces(version, 1).unwrap();
        let at = pieces.iter().position(|piece| *piece == crate::Piece::File(range.clone())).expect("named");
        let memory = |pieces: &[crate::Piece]| {
            let bytes = pieces.iter().map(|piece| piece.clone().into_memory().expect("bytes"));
            bytes.collect::<Records>().to_bytes()
        };
        let copied = encode_response(ApiKey::Fetch, version, 1, &in_memory).unwrap().concat();
        let (before, behind) = (memory(&pieces[..at]), memory(&pieces[at + 1..]));
        assert_eq!(before[..], copied[..before.len()], "v{version}");
        assert_eq!(behind[..], copied[before.len() + 5000..], "v{version}");
        let refused = encode_response(ApiKey::Fetch, version, 1, &in_file);
        assert_eq!(refused, Err(EncodeError::InFile { len: 5000 }), "v{version}");
    }
}
