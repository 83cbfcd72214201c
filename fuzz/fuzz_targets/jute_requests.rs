//! What a ZooKeeper client can send: a connect, then frames of header and request. The first byte chooses; what
//! decodes must encode again, to bytes that decode to the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use jute::{ConnectRequest, Request, RequestHeader, Wire};
use libfuzzer_sys::fuzz_target;

fn connect(mut input: Bytes) {
    let Ok(connect) = ConnectRequest::decode(&mut input) else { return };
    let mut out = BytesMut::new();
    connect.encode(&mut out);
    assert_eq!(ConnectRequest::decode(&mut out.freeze()), Ok(connect));
}

fn request(mut input: Bytes) {
    let Ok(header) = RequestHeader::decode(&mut input) else { return };
    let Ok(request) = Request::decode(header.op, &mut input) else { return };
    assert_eq!(request.op_code().code(), header.op);
    let mut out = BytesMut::new();
    request.encode(&mut out);
    let mut again = out.freeze();
    assert_eq!(Request::decode(header.op, &mut again), Ok(request));
    assert!(again.is_empty());
}

fuzz_target!(|input: &[u8]| {
    let [choice, bytes @ ..] = input else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    if choice % 8 == 0 { connect(bytes) } else { request(bytes) }
});
