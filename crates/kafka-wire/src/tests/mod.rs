//! Tests of the codec as a whole: against the crate kafka-protocol, against hostile input, against bytes that
//! Kafka itself wrote, and of single promises.

mod golden;
mod hostile;
mod promises;
mod roundtrip;

use bytes::Bytes;

use crate::sample::Sampler;
use crate::{ApiKey, DecodeError, Decoder, EncodeError, Encoder, Records, Request, Response};

/// Every API with each of its versions.
fn all_versions() -> impl Iterator<Item = (ApiKey, i16)> {
    ApiKey::ALL.iter().flat_map(|&api| api.versions().iter().map(move |version| (api, version)))
}

/// A request, as its API's codec writes and reads it.
fn sample_request(api: ApiKey, version: i16, seed: u64) -> Request {
    Request::sample(api, &mut Sampler::new(seed, version))
}

/// A response, as its API's codec writes and reads it.
fn sample_response(api: ApiKey, version: i16, seed: u64) -> Response {
    Response::sample(api, &mut Sampler::new(seed, version))
}

/// What `encode` writes, in one piece.
fn whole(encode: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>) -> Bytes {
    let mut e = Encoder::new();
    encode(&mut e).expect("a sample fits its version");
    e.finish().expect("it is in memory").into_iter().collect::<Records>().to_bytes()
}

/// What `decode` reads from all of `bytes`.
fn decode_whole<T>(
    bytes: Bytes,
    decode: impl FnOnce(&mut Decoder) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut d = Decoder::new(bytes);
    let value = decode(&mut d)?;
    d.finish()?;
    Ok(value)
}
