//! Every request in every version: the first two bytes choose API and version, the rest is the request without its
//! header. Whatever decodes must encode again, to bytes that decode to the same request.
#![no_main]

use kafka_wire::{ApiKey, Bytes, Decoder, Encoder, Records, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [api, version, body @ ..] = input else { return };
    let api = ApiKey::ALL[usize::from(*api) % ApiKey::ALL.len()];
    let versions = api.versions();
    let version = versions.min + i16::from(*version) % (versions.max - versions.min + 1);

    let Ok(request) = Request::decode(api, version, &mut Decoder::new(Bytes::copy_from_slice(body))) else {
        return;
    };
    let mut e = Encoder::new();
    request.encode(&mut e, version).expect("what was decoded fits its version");
    let bytes = e.finish().into_iter().collect::<Records>().to_bytes();
    let mut d = Decoder::new(bytes);
    assert_eq!(Request::decode(api, version, &mut d).as_ref(), Ok(&request));
    d.finish().expect("the decoder reads all that was encoded");
});
