//! A whole request frame, as the door reads it from a socket: header, then the request that the header names.
#![no_main]

use kafka_wire::{Bytes, Encoder, Records, Request, read_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok((header, mut d)) = read_request(Bytes::copy_from_slice(input)) else { return };
    let mut e = Encoder::new();
    header.encode(&mut e).expect("a decoded header can be encoded");
    let bytes = e.finish().into_iter().collect::<Records>().to_bytes();
    assert_eq!(read_request(bytes).expect("an encoded header can be decoded").0, header);

    if let Ok(request) = Request::decode(header.api, header.version, &mut d) {
        assert_eq!(request.api(), header.api);
    }
});
