//! Owns the promise that whatever is encoded decodes to the same, and the few bytes that are known by heart.

use bytes::{Bytes, BytesMut};
use jute::*;
use proptest::prelude::*;

use crate::samples::{Sample, Source, every_request, every_response};

fn encoded(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

fn round_trip<T: Wire + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = encoded(|out| value.encode(out));
    assert!(bytes.len() >= T::SIZE_MIN, "{value:?} takes {} bytes", bytes.len());
    let mut input = bytes;
    assert_eq!(T::decode(&mut input).as_ref(), Ok(value));
    assert!(input.is_empty());
}

proptest! {
    #[test]
    fn requests_and_responses(seed: u64) {
        let mut source = Source(seed);
        for request in every_request(&mut source) {
            let mut input = encoded(|out| request.encode(out));
            let decoded = Request::decode(request.op_code().code(), &mut input);
            prop_assert_eq!(decoded.as_ref(), Ok(&request));
            prop_assert!(input.is_empty());
        }
        for response in every_response(&mut source) {
            let mut input = encoded(|out| response.encode(out));
            let decoded = Response::decode(response.op_code().code(), &mut input);
            prop_assert_eq!(decoded.as_ref(), Ok(&response));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn headers_and_connects(seed: u64) {
        let mut source = Source(seed);
        round_trip(&RequestHeader::sample(&mut source));
        round_trip(&ReplyHeader::sample(&mut source));
        round_trip(&MultiHeader::sample(&mut source));
        round_trip(&ConnectRequest::sample(&mut source));
        round_trip(&ConnectResponse::sample(&mut source));
    }
}

#[test]
fn zk_3_22_the_read_only_byte_is_optional() {
    let request = |read_only| ConnectRequest {
        password: Some(Bytes::from_static(&[0; PASSWORD_LENGTH])),
        read_only,
        ..ConnectRequest::default()
    };
    for (read_only, length) in [(None, 44), (Some(false), 45), (Some(true), 45)] {
        let request = request(read_only);
        assert_eq!(encoded(|out| request.encode(out)).len(), length);
        round_trip(&request);
    }
}

#[test]
fn zk_3_18_the_answer_to_an_expired_session_is_zeros() {
    let bytes = encoded(|out| ConnectResponse::expired(Some(false)).encode(out));
    let mut wanted = vec![0; 16];
    wanted.extend([0, 0, 0, 16]);
    wanted.extend([0; 17]);
    assert_eq!(bytes, wanted);
}

#[test]
fn zk_3_2_results_of_a_failed_multi() {
    let response = MultiResponse::failed(3, 1, ErrorCode::NoNode.code());
    let bytes = encoded(|out| response.encode(out));
    let mut wanted = Vec::new();
    for err in [0i32, -101, -2] {
        wanted.extend((-1i32).to_be_bytes());
        wanted.push(0);
        wanted.extend(err.to_be_bytes());
        wanted.extend(err.to_be_bytes());
    }
    wanted.extend((-1i32).to_be_bytes());
    wanted.push(1);
    wanted.extend((-1i32).to_be_bytes());
    assert_eq!(bytes, wanted);
}

#[test]
fn zk_3_34_null_is_not_empty() {
    for (data, wanted) in [(None, vec![255; 4]), (Some(Bytes::new()), vec![0; 4])] {
        assert_eq!(encoded(|out| data.encode(out)), wanted);
        round_trip(&data);
    }
}

#[test]
fn zk_1_codes_are_closed_sets() {
    assert_eq!(OpCode::ALL.len(), 33);
    for op in OpCode::ALL {
        assert_eq!(OpCode::from_code(op.code()), Some(*op));
    }
    for error in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(error.code()), Some(*error));
    }
    assert_eq!(ErrorCode::from_code(-125).map(ErrorCode::name), Some("QuotaExceeded"));
    assert_eq!(OpCode::from_code(10), None);
}

#[test]
fn frames_have_their_length_in_front() {
    let mut out = BytesMut::from(&b"before"[..]);
    put_frame(&mut out, |out| {
        put_text("ab", out);
        put_buffer(None, out);
        put_count(7, out);
    });
    assert_eq!(&out[..], b"before\0\0\0\x0e\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\x07");
}

#[test]
fn decoded_strings_and_buffers_share_the_frame() {
    let request = SetDataRequest { path: "/a".into(), data: Some(Bytes::from_static(b"data")), version: 1 };
    let frame = encoded(|out| request.encode(out));
    let range = frame.as_ptr_range();
    let decoded = SetDataRequest::decode(&mut frame.clone()).expect("it is whole");
    assert!(range.contains(&decoded.path.as_ptr()));
    assert!(range.contains(&decoded.data.expect("it is there").as_ptr()));
}

/// The records that the other client never sends, field by field.
#[test]
fn records_known_by_heart() {
    let text = |text: &str| [&(text.len() as i32).to_be_bytes()[..], text.as_bytes()].concat();
    let list = |texts: &[&str]| {
        let mut bytes = (texts.len() as i32).to_be_bytes().to_vec();
        texts.iter().for_each(|one| bytes.extend(text(one)));
        bytes
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| Text::from(*text)).collect::<Vec<_>>();
    let set_watches = SetWatches2Request {
        relative_zxid: 7,
        data_watches: texts(&["/d"]),
        exist_watches: texts(&["/e", "/f"]),
        child_watches: texts(&[]),
        persistent_watches: texts(&["/p"]),
        persistent_recursive_watches: texts(&["/r"]),
    };
    let mut wanted = 7i64.to_be_bytes().to_vec();
    for group in [&["/d"][..], &["/e", "/f"], &[], &["/p"], &["/r"]] {
        wanted.extend(list(group));
    }
    assert_eq!(encoded(|out| Request::SetWatches2(set_watches).encode(out)), wanted);

    let check = PathWatcherTypeRequest { path: "/c".into(), watcher_type: WatcherType::Data.code() };
    assert_eq!(
        encoded(|out| Request::CheckWatches(check).encode(out)),
        [text("/c"), vec![0, 0, 0, 2]].concat()
    );
    let delete = PathRequest { path: "/c".into() };
    assert_eq!(encoded(|out| Request::DeleteContainer(delete).encode(out)), text("/c"));
    let create = CreateRequest {
        path: "/c".into(),
        data: None,
        acl: vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: None } }],
        flags: 1,
    };
    let null = vec![255; 4];
    let wanted =
        [text("/c"), null.clone(), vec![0, 0, 0, 1, 0, 0, 0, 31], text("world"), null, vec![0, 0, 0, 1]]
            .concat();
    assert_eq!(encoded(|out| Request::Create(create).encode(out)), wanted);
    let everything = GetEphemeralsRequest { prefix_path: None };
    assert_eq!(encoded(|out| Request::GetEphemerals(everything).encode(out)), vec![255; 4]);
}
