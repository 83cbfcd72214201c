//! Every message in every version, round-tripped through our own codec and through the crate kafka-protocol.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};
use proptest::prelude::*;

use crate::sample::Sampler;
use crate::{ApiKey, Decoder, Encoder, Records, Request, Response};

/// The (API, version) pairs that kafka-protocol 0.18, written for Kafka 4.1, does not know.
const UNKNOWN_TO_THEM: &[(ApiKey, i16)] = &[];

/// Every API with each of its versions.
pub(super) fn all_versions() -> impl Iterator<Item = (ApiKey, i16)> {
    ApiKey::ALL.iter().flat_map(|&api| api.versions().iter().map(move |version| (api, version)))
}

/// Whether kafka-protocol knows the version of the API.
fn known_to_them(api: ApiKey, version: i16) -> bool {
    TheirKey::try_from(api.key()).is_ok_and(|key| {
        let range = key.valid_versions();
        range.min <= version && version <= range.max
    })
}

/// Encodes a request in one piece.
pub(super) fn request_bytes(request: &Request, version: i16) -> Bytes {
    let mut e = Encoder::new();
    request.encode(&mut e, version).unwrap();
    e.finish().into_iter().collect::<Records>().to_bytes()
}

/// Encodes a response in one piece.
pub(super) fn response_bytes(response: &Response, version: i16) -> Bytes {
    let mut e = Encoder::new();
    response.encode(&mut e, version).unwrap();
    e.finish().into_iter().collect::<Records>().to_bytes()
}

/// Checks one request: ours -> bytes -> ours, and bytes -> theirs -> the same bytes.
fn check_request(api: ApiKey, version: i16, seed: u64) {
    let request = Request::sample(api, &mut Sampler::new(seed, version));
    let bytes = request_bytes(&request, version);
    let mut d = Decoder::new(bytes.clone());
    let back = Request::decode(api, version, &mut d).unwrap();
    d.finish().unwrap();
    assert_eq!(back, request, "{api} v{version} seed {seed}");
    assert_eq!(request_bytes(&back, version), bytes, "{api} v{version} seed {seed}");
    if known_to_them(api, version) {
        let mut rest = bytes.clone();
        let theirs = RequestKind::decode(TheirKey::try_from(api.key()).unwrap(), &mut rest, version).unwrap();
        assert!(rest.is_empty(), "{api} v{version} seed {seed}: they left {} bytes", rest.len());
        let mut out = BytesMut::new();
        theirs.encode(&mut out, version).unwrap();
        assert_eq!(out, bytes, "{api} v{version} seed {seed}: {theirs:?}");
    }
}

/// Checks one response in the same way.
fn check_response(api: ApiKey, version: i16, seed: u64) {
    let response = Response::sample(api, &mut Sampler::new(seed, version));
    let bytes = response_bytes(&response, version);
    let mut d = Decoder::new(bytes.clone());
    let back = Response::decode(api, version, &mut d).unwrap();
    d.finish().unwrap();
    assert_eq!(back, response, "{api} v{version} seed {seed}");
    assert_eq!(response_bytes(&back, version), bytes, "{api} v{version} seed {seed}");
    if known_to_them(api, version) {
        let mut rest = bytes.clone();
        let theirs =
            ResponseKind::decode(TheirKey::try_from(api.key()).unwrap(), &mut rest, version).unwrap();
        assert!(rest.is_empty(), "{api} v{version} seed {seed}: they left {} bytes", rest.len());
        let mut out = BytesMut::new();
        theirs.encode(&mut out, version).unwrap();
        assert_eq!(out, bytes, "{api} v{version} seed {seed}: {theirs:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_message_and_version_agrees_with_kafka_protocol(seed: u64) {
        for (api, version) in all_versions() {
            check_request(api, version, seed);
            check_response(api, version, seed);
        }
    }
}

#[test]
fn only_versions_newer_than_4_1_go_unchecked_by_kafka_protocol() {
    let unknown: Vec<_> = all_versions().filter(|&(api, version)| !known_to_them(api, version)).collect();
    assert_eq!(unknown, UNKNOWN_TO_THEM);
}
