//! Input made to hurt: truncations and lies about lengths, for every message in every version, with the memory that
//! decoding takes counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};

use super::{all_versions, decode_whole, sample_request, sample_response, whole};
use crate::{ApiKey, DecodeError, Decoder, Request, Response, decode_request, read_request};

thread_local! {
    /// Bytes that this thread has asked the allocator for.
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// The system allocator, with a count per thread.
struct Counting;

// SAFETY: every call is passed on unchanged to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Not every thread has its counter any more when it frees and allocates for the last time.
        let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + layout.size()));
        // SAFETY: the caller keeps the contract of alloc.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of dealloc.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most memory that decoding may ask for per byte of input: an array of the emptiest structures.
const MEMORY_PER_BYTE: usize = 160;

/// Decodes hostile bytes; whatever comes out, the memory asked for has to stay in proportion to the input.
fn decode_bounded<T>(
    bytes: Bytes,
    what: &str,
    decode: impl FnOnce(&mut Decoder) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let limit = bytes.len() * MEMORY_PER_BYTE;
    let before = ALLOCATED.get();
    let result = decode_whole(bytes, decode);
    let spent = ALLOCATED.get() - before;
    assert!(spent <= limit, "{what}: {spent} bytes of memory for {} bytes of input", limit / MEMORY_PER_BYTE);
    result
}

/// What is written over every position of a valid message.
const LIES: &[&[u8]] = &[
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0x80, 0x00, 0x00, 0x00],
    &[0x00, 0x10, 0x00, 0x00],
    &[0x7f, 0xff],
    &[0xff, 0xff],
    &[0x80, 0x00],
    &[0x00],
    &[0x7f],
    &[0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0x80, 0x80, 0x80, 0x80, 0x80],
    &[0x80, 0x80, 0x80, 0x01],
];

/// Longest sample that gets lies at every position; longer ones only have large byte fields more.
const LONGEST: usize = 600;

/// Tries every truncation and every lie at every position of a valid message.
fn attack<T>(bytes: &Bytes, what: &str, decode: impl Fn(&mut Decoder) -> Result<T, DecodeError>) {
    for cut in 0..bytes.len() {
        let result = decode_bounded(bytes.slice(..cut), what, &decode);
        assert!(result.is_err(), "{what} decodes although cut after {cut} of {} bytes", bytes.len());
    }
    for at in 0..bytes.len() {
        for lie in LIES {
            let mut lying = BytesMut::from(&bytes[..]);
            let end = bytes.len().min(at + lie.len());
            lying[at..end].copy_from_slice(&lie[..end - at]);
            // A lie inside of text or a number may well decode; it only must not hurt.
            let _ = decode_bounded(lying.freeze(), what, &decode);
        }
    }
}

/// The first sample that is long enough to be worth an attack and short enough to be attacked everywhere.
fn victim(sample: impl Fn(u64) -> Bytes) -> Bytes {
    let samples: Vec<Bytes> = (0..40).map(sample).collect();
    let fitting = samples.iter().filter(|bytes| bytes.len() <= LONGEST).max_by_key(|bytes| bytes.len());
    fitting.or(samples.first()).expect("there are samples").clone()
}

#[test]
fn truncations_and_length_lies_of_requests_are_refused_within_memory() {
    for (api, version) in all_versions() {
        let bytes = victim(|seed| whole(|e| sample_request(api, version, seed).encode(e, version)));
        attack(&bytes, &format!("{api} request v{version}"), |d| Request::decode(api, version, d));
    }
}

#[test]
fn truncations_and_length_lies_of_responses_are_refused_within_memory() {
    for (api, version) in all_versions() {
        let bytes = victim(|seed| whole(|e| sample_response(api, version, seed).encode(e, version)));
        attack(&bytes, &format!("{api} response v{version}"), |d| Response::decode(api, version, d));
    }
}

#[test]
fn headers_cut_short_are_refused() {
    let header = [0, 3, 0, 12, 0, 0, 0, 7, 0, 2, b'm', b'e', 0];
    assert!(read_request(Bytes::copy_from_slice(&header)).is_ok());
    for cut in 0..header.len() {
        assert!(read_request(Bytes::copy_from_slice(&header[..cut])).is_err(), "cut after {cut}");
    }
}

#[test]
fn eight_bytes_cannot_claim_two_billion_elements() {
    // The claim that aborts kafka-protocol 0.18: a classic array of 2^31 - 1 topics, and nothing behind it.
    let bytes = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    let result = decode_bounded(bytes, "Metadata v1", |d| Request::decode(ApiKey::Metadata, 1, d));
    assert!(matches!(result, Err(DecodeError::Truncated { at: 4, .. })), "{result:?}");
}

#[test]
fn millions_of_empty_elements_exceed_the_memory_of_a_message() {
    // DescribeGroups v5: an array of empty names takes one byte each on the wire, but a whole string in memory.
    let count = 8 << 20;
    let mut frame = vec![0x81, 0x80, 0x80, 0x04];
    frame.resize(frame.len() + count, 1);
    frame.extend([0, 0]);
    let result = decode_request(ApiKey::DescribeGroups, 5, Bytes::from(frame));
    let limit = Decoder::memory_limit(count + 6);
    assert_eq!(result.err(), Some(DecodeError::TooMuchMemory { limit }));
}

#[test]
fn a_real_request_of_its_size_fits_the_memory_of_a_message() {
    // 100,000 topics with names of six bytes, one partition each: as dense as real requests get.
    let mut request = crate::messages::FetchRequest::default();
    for i in 0..100_000 {
        let partitions = vec![crate::messages::fetch::FetchPartition::default()];
        let topic = crate::Str::from(format!("t{i:05}"));
        request.topics.push(crate::messages::fetch::FetchTopic { topic, partitions, ..Default::default() });
    }
    let bytes = whole(|e| Request::from(request).encode(e, 12));
    assert!(decode_request(ApiKey::Fetch, 12, bytes).is_ok());
}
