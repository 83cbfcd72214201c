//! Owns the corpus of hostile bytes: every record cut at every place, every length and count replaced by lies. Nothing
//! may panic, decode what isn't there, or ask for memory out of proportion to the frame.

use bytes::{Bytes, BytesMut};
use jute::*;

use crate::memory::asked_during;
use crate::samples::{Sample, Source, every_request, every_response};

/// What a decoder may ask for per byte of a frame: the thinnest element, an empty string of 4 bytes, becomes a `Text`
/// of 32 bytes; an op of a multi is larger in memory, but on the wire too, and its vector doubles as it grows.
const BYTES_PER_BYTE: usize = 64;
/// What it may ask for whatever the frame: the first growth of a multi's vector and the like.
const BYTES_FIXED: usize = 4096;

const LIES: [i32; 8] = [-1, -2, i32::MIN, i32::MAX, 0x00ff_ffff, 0x7fff_0000, 1, 0];

/// Decodes whatever the bytes are said to be; tells whether it worked.
type Decode = fn(i32, &mut Bytes) -> bool;

fn as_request(op: i32, input: &mut Bytes) -> bool {
    Request::decode(op, input).is_ok()
}

fn as_response(op: i32, input: &mut Bytes) -> bool {
    Response::decode(op, input).is_ok()
}

/// Every request and response of some seeds, with the decoder it belongs to.
fn corpus() -> Vec<(Decode, i32, Bytes)> {
    let mut corpus: Vec<(Decode, i32, Bytes)> = Vec::new();
    for seed in 0..20 {
        let mut source = Source(seed);
        for request in every_request(&mut source) {
            let mut out = BytesMut::new();
            request.encode(&mut out);
            corpus.push((as_request, request.op_code().code(), out.freeze()));
        }
        for response in every_response(&mut source) {
            let mut out = BytesMut::new();
            response.encode(&mut out);
            corpus.push((as_response, response.op_code().code(), out.freeze()));
        }
    }
    corpus
}

fn decode_bounded(decode: Decode, op: i32, bytes: &Bytes) -> bool {
    let mut input = bytes.clone();
    let mut decoded = false;
    let asked = asked_during(|| decoded = decode(op, &mut input));
    assert!(
        asked <= bytes.len() * BYTES_PER_BYTE + BYTES_FIXED,
        "{asked} bytes for a frame of {}",
        bytes.len()
    );
    decoded
}

#[test]
fn no_record_decodes_from_less_than_all_its_bytes() {
    for (decode, op, bytes) in corpus() {
        assert!(decode_bounded(decode, op, &bytes));
        for length in 0..bytes.len() {
            assert!(
                !decode_bounded(decode, op, &bytes.slice(..length)),
                "operation {op} cut to {length} bytes"
            );
        }
    }
}

#[test]
fn lies_about_lengths_cost_nothing() {
    for (decode, op, bytes) in corpus() {
        for place in 0..bytes.len().saturating_sub(3) {
            for lie in LIES {
                let mut forged = BytesMut::from(&bytes[..]);
                forged[place..place + 4].copy_from_slice(&lie.to_be_bytes());
                decode_bounded(decode, op, &forged.freeze());
            }
        }
    }
}

#[test]
fn noise_costs_nothing() {
    let mut source = Source(1);
    for _ in 0..20_000 {
        let noise = Bytes::sample(&mut source);
        let op = OpCode::ALL[source.below(OpCode::ALL.len())].code();
        decode_bounded(as_request, op, &noise);
        decode_bounded(as_response, op, &noise);
        let connect = asked_during(|| drop(ConnectRequest::decode(&mut noise.clone())));
        assert!(connect <= BYTES_FIXED);
    }
}

#[test]
fn a_frame_full_of_empty_strings_is_bounded() {
    let count = 200_000;
    let mut out = BytesMut::new();
    0i64.encode(&mut out);
    put_count(count, &mut out);
    out.extend(std::iter::repeat_n(0u8, count * 4));
    0i32.encode(&mut out);
    0i32.encode(&mut out);
    assert!(decode_bounded(as_request, OpCode::SetWatches.code(), &out.freeze()));
}

#[test]
fn what_is_wrong_is_told() {
    let decode =
        |op: OpCode, bytes: &[u8]| Request::decode(op.code(), &mut Bytes::copy_from_slice(bytes)).err();
    assert_eq!(decode(OpCode::Exists, &[]), Some(DecodeError::Truncated { needed: 4, remaining: 0 }));
    assert_eq!(
        decode(OpCode::Exists, &[0, 0, 0, 9, b'/']),
        Some(DecodeError::Truncated { needed: 9, remaining: 1 })
    );
    assert_eq!(decode(OpCode::Exists, &[255; 4]), Some(DecodeError::NullString));
    assert_eq!(decode(OpCode::Exists, &[255, 255, 255, 254]), Some(DecodeError::NegativeLength(-2)));
    assert_eq!(decode(OpCode::Exists, &[0, 0, 0, 1, 0xff, 0]), Some(DecodeError::NotUtf8));
    assert_eq!(decode(OpCode::Error, &[]), Some(DecodeError::UnknownOperation(-1)));
    assert_eq!(decode(OpCode::CreateSession, &[]), Some(DecodeError::UnknownOperation(-10)));
    assert_eq!(Request::decode(10, &mut Bytes::new()), Err(DecodeError::UnknownOperation(10)));
    let watches = [&[0; 8][..], &[0, 0, 1, 0], &[0; 8]].concat();
    assert_eq!(
        decode(OpCode::SetWatches, &watches),
        Some(DecodeError::HugeCount { count: 256, remaining: 8 })
    );
}

fn multi(ops: Vec<MultiOp>) -> Result<Request, DecodeError> {
    let mut out = BytesMut::new();
    MultiRequest { ops }.encode(&mut out);
    Request::decode(OpCode::Multi.code(), &mut out.freeze())
}

#[test]
fn zk_3_3_a_bad_create_flag_in_a_multi_is_malformed() {
    let create = |flags| MultiOp::Create(CreateRequest { flags, ..CreateRequest::default() });
    assert_eq!(multi(vec![create(7)]), Err(DecodeError::BadCreateFlag(7)));
    assert_eq!(multi(vec![create(-1)]), Err(DecodeError::BadCreateFlag(-1)));
    assert!(multi(vec![create(6)]).is_ok());
    // Alone it is the business of whoever executes the request.
    let mut out = BytesMut::new();
    Request::Create(CreateRequest { flags: 7, ..CreateRequest::default() }).encode(&mut out);
    assert!(Request::decode(OpCode::Create.code(), &mut out.freeze()).is_ok());
}

#[test]
fn zk_3_4_reads_and_writes_do_not_mix() {
    let read = || MultiOp::GetData(PathWatchRequest::default());
    let write = || MultiOp::Check(PathVersionRequest::default());
    assert_eq!(multi(vec![read(), write()]), Err(DecodeError::MixedMulti));
    assert_eq!(multi(vec![write(), read()]), Err(DecodeError::MixedMulti));
    let mut out = BytesMut::new();
    MultiHeader { op: OpCode::Ping.code(), done: false, err: -1 }.encode(&mut out);
    let decoded = Request::decode(OpCode::Multi.code(), &mut out.freeze());
    assert_eq!(decoded, Err(DecodeError::BadMultiOp(11)));
}
