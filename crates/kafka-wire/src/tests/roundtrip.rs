//! Every message in every version, round-tripped through our own codec and through the crate kafka-protocol.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable};
use proptest::prelude::*;

use super::{all_versions, decode_whole, sample_request, sample_response, whole};
use crate::messages as ours;
use crate::sample::Sampler;
use crate::{ApiKey, Message, Request, Response};

/// The versions that kafka-protocol 0.18, written for Kafka 4.1, lacks for the request or the response.
const UNKNOWN_TO_THEM: &[(ApiKey, i16)] = &[
    (ApiKey::ControlledShutdown, 1),
    (ApiKey::ControlledShutdown, 2),
    (ApiKey::ControlledShutdown, 3),
    (ApiKey::ListOffsets, 11),
    (ApiKey::OffsetCommit, 10),
    (ApiKey::OffsetFetch, 10),
    (ApiKey::DescribeLogDirs, 5),
    (ApiKey::AddRaftVoter, 1),
];

/// What became of bytes that kafka-protocol decoded and encoded again.
type Theirs = Result<Bytes, String>;

/// Lets kafka-protocol decode and encode again; all bytes have to be used up.
fn through<T: Debug>(
    bytes: &Bytes,
    decode: impl FnOnce(&mut Bytes) -> anyhow::Result<T>,
    encode: impl FnOnce(&T, &mut BytesMut) -> anyhow::Result<()>,
) -> Theirs {
    let mut rest = bytes.clone();
    let message = decode(&mut rest).map_err(|error| format!("{error:?}"))?;
    let mut out = BytesMut::new();
    encode(&message, &mut out).map_err(|error| format!("{error:?} of {message:?}"))?;
    if rest.is_empty() { Ok(out.freeze()) } else { Err(format!("{} bytes left by {message:?}", rest.len())) }
}

/// A request's bytes through kafka-protocol.
fn their_request(api: ApiKey, version: i16, bytes: &Bytes) -> Theirs {
    let key = TheirKey::try_from(api.key()).map_err(|()| format!("unknown API {api}"))?;
    through(
        bytes,
        |rest| RequestKind::decode(key, rest, version),
        |message, out| message.encode(out, version),
    )
}

/// A response's bytes through kafka-protocol.
fn their_response(api: ApiKey, version: i16, bytes: &Bytes) -> Theirs {
    let key = TheirKey::try_from(api.key()).map_err(|()| format!("unknown API {api}"))?;
    through(
        bytes,
        |rest| ResponseKind::decode(key, rest, version),
        |message, out| message.encode(out, version),
    )
}

/// Checks a message that is no request or response in every version: ours and theirs.
fn check_data<M: Message + PartialEq + Debug, T: Decodable + Encodable + Debug>(seed: u64) {
    for version in M::VERSIONS.iter() {
        let message: M = Sampler::new(seed, version).message();
        let bytes = whole(|e| message.encode(e, version));
        assert_eq!(decode_whole(bytes.clone(), |d| M::decode(d, version)).unwrap(), message);
        let back =
            through(&bytes, |rest| T::decode(rest, version), |theirs, out| theirs.encode(out, version));
        assert_eq!(back.as_ref(), Ok(&bytes), "{} v{version}: {message:?}", M::NAME);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Our bytes decode to what was encoded; kafka-protocol decodes them and encodes the same bytes again, which thus
    /// are its own bytes and decode with us.
    #[test]
    fn every_message_and_version_agrees_with_kafka_protocol(seed: u64) {
        for (api, version) in all_versions() {
            let known = !UNKNOWN_TO_THEM.contains(&(api, version));

            let request = sample_request(api, version, seed);
            let bytes = whole(|e| request.encode(e, version));
            let back = decode_whole(bytes.clone(), |d| Request::decode(api, version, d));
            prop_assert_eq!(back.as_ref(), Ok(&request), "{} v{}", api, version);
            if known {
                let theirs = their_request(api, version, &bytes);
                prop_assert_eq!(theirs, Ok(bytes), "{} v{}: {:?}", api, version, request);
            }

            let response = sample_response(api, version, seed);
            let bytes = whole(|e| response.encode(e, version));
            let back = decode_whole(bytes.clone(), |d| Response::decode(api, version, d));
            prop_assert_eq!(back.as_ref(), Ok(&response), "{} v{}", api, version);
            if known {
                let theirs = their_response(api, version, &bytes);
                prop_assert_eq!(theirs, Ok(bytes), "{} v{}: {:?}", api, version, response);
            }
        }
    }

    /// All but LeaderChangeMessage and VotersRecord: kafka-protocol mixes up their inner structures of one name.
    #[test]
    fn control_records_and_consumer_protocol_agree_with_kafka_protocol(seed: u64) {
        check_data::<ours::EndTxnMarker, theirs::EndTxnMarker>(seed);
        check_data::<ours::SnapshotHeaderRecord, theirs::SnapshotHeaderRecord>(seed);
        check_data::<ours::SnapshotFooterRecord, theirs::SnapshotFooterRecord>(seed);
        check_data::<ours::KRaftVersionRecord, theirs::KRaftVersionRecord>(seed);
        check_data::<ours::ConsumerProtocolSubscription, theirs::ConsumerProtocolSubscription>(seed);
        check_data::<ours::ConsumerProtocolAssignment, theirs::ConsumerProtocolAssignment>(seed);
    }
}

#[test]
fn versions_left_out_are_unknown_to_kafka_protocol() {
    for &(api, version) in UNKNOWN_TO_THEM {
        let request = whole(|e| sample_request(api, version, 1).encode(e, version));
        let response = whole(|e| sample_response(api, version, 1).encode(e, version));
        let errors = [their_request(api, version, &request), their_response(api, version, &response)];
        let is_unknown =
            |error: &String| error.contains("version not supported") || error.starts_with("unknown API");
        let refused = |result: &Theirs| result.as_ref().is_err_and(is_unknown);
        assert!(errors.iter().any(refused), "{api} v{version} is known to kafka-protocol by now");
    }
}
