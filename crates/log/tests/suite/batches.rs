//! Building, parsing and validating batches.
use crate::common::{NOW, batch, batch_at, compressed, sequenced};
use bytes::Bytes;
use log::{
    Batch, BatchBuilder, BatchError, CleanupPolicy, Codec, Compression, EncodedHeaders, LogConfig,
    RecordHeader, Rules, Scratch, TimestampType, validate,
};
use proptest::prelude::*;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn rules() -> Rules {
    Rules::new(&LogConfig::default(), NOW)
}

fn compacted() -> Rules {
    let cleanup = CleanupPolicy { delete: false, compact: true };
    Rules::new(&LogConfig { cleanup, ..LogConfig::default() }, NOW)
}

/// The batch's bytes with a changed header field, and a CRC that fits again.
fn patched(batch: &Batch, at: usize, value: &[u8]) -> Bytes {
    let mut bytes = batch.to_bytes().to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn headers_that_are_encoded_one_by_one_make_the_same_batch() {
    let mut encoded = EncodedHeaders::default();
    let (mut by_slice, mut one_by_one) = (BatchBuilder::new(7), BatchBuilder::new(7));
    let long = "v".repeat(300);
    for (offset, headers) in [(7, vec![("a", ""), ("op", "set")]), (9, vec![]), (10, vec![("long", &*long)])]
    {
        let slice: Vec<_> = headers
            .iter()
            .map(|(key, value)| RecordHeader { key: key.as_bytes(), value: Some(value.as_bytes()) })
            .collect();
        by_slice.append_at(offset, NOW, Some(b"k"), None, &slice).expect("a record");
        encoded.clear();
        for (key, value) in headers {
            encoded.add(key, value);
        }
        one_by_one.append_encoded(offset, NOW, Some(b"k"), None, &encoded).expect("a record");
    }
    assert_eq!(one_by_one.build().expect("a batch"), by_slice.build().expect("a batch"));
}

#[test]
fn a_changed_head_shows_in_the_bytes_and_a_wrong_crc_is_never_taken_as_known() {
    let mut built = batch(&["a", "b"]);
    let before = built.to_bytes();
    assert!(built.crc_is_valid() && Batch::parse_one(&before).expect("a batch").check_crc());
    built.set_base_offset(41);
    built.set_leader_epoch(3);
    built.set_append_time(NOW + 1);
    let read = Batch::parse_one(&built.to_bytes()).expect("a batch");
    assert_eq!((read.header().base_offset, read.header().partition_leader_epoch), (41, 3));
    assert!(read.crc_is_valid() && read.header().is_log_append_time());
    let mut damaged = before.to_vec();
    damaged[70] ^= 1;
    let mut damaged = Batch::parse_one(&damaged.into()).expect("a batch");
    assert!(!damaged.check_crc() && !damaged.crc_is_valid());
}

fn is_invalid(result: Result<Batch, BatchError>) -> bool {
    matches!(result, Err(BatchError::Invalid(_)))
}

#[derive(Clone, Debug)]
struct Plain {
    gap: i32,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes_up_to(size: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..size)
}

prop_compose! {
    fn plain()(
        gap in 1..5i32,
        timestamp in 0..1i64 << 45,
        key in prop::option::of(bytes_up_to(40)),
        value in prop::option::of(bytes_up_to(300)),
        headers in prop::collection::vec((bytes_up_to(10), prop::option::of(bytes_up_to(10))), 0..4),
    ) -> Plain {
        Plain { gap, timestamp, key, value, headers }
    }
}

fn build(records: &[Plain], codec: Codec, base: i64, gaps: bool) -> Batch {
    let mut builder = BatchBuilder::new(base).compression(Compression::new(codec)).producer(7, 1, 5);
    let mut offset = base;
    for (index, record) in records.iter().enumerate() {
        if gaps && index > 0 {
            offset += i64::from(record.gap);
        } else if index > 0 {
            offset += 1;
        }
        let headers: Vec<RecordHeader<'_>> =
            record.headers.iter().map(|(key, value)| RecordHeader { key, value: value.as_deref() }).collect();
        builder
            .append_at(offset, record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
            .expect("a record");
    }
    builder.build().expect("a batch")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_built_is_read_back(
        records in prop::collection::vec(plain(), 1..30),
        codec in prop::sample::select(&CODECS[..]),
        base in 0..1i64 << 40,
    ) {
        let built = build(&records, codec, base, true);
        let batch = Batch::parse_one(&built.to_bytes()).expect("parses");
        prop_assert_eq!(&batch, &built);
        prop_assert!(batch.crc_is_valid());
        prop_assert_eq!(batch.header().max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap_or(-1));
        let mut scratch = Scratch::new();
        let mut offset = base;
        let mut count = 0;
        for (index, (found, record)) in batch.records(&mut scratch).expect("records").zip(&records).enumerate() {
            let found = found.expect("a record");
            offset += if index == 0 { 0 } else { i64::from(record.gap) };
            prop_assert_eq!((found.offset, found.timestamp), (offset, record.timestamp));
            prop_assert_eq!((found.key, found.value), (record.key.as_deref(), record.value.as_deref()));
            let headers: Vec<_> = found.headers().map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&headers, &record.headers);
            count += 1;
        }
        prop_assert_eq!(count, records.len());
        prop_assert_eq!(batch.header().last_offset(), offset);
    }

    #[test]
    fn a_valid_batch_passes_and_keeps_its_body(
        records in prop::collection::vec(plain(), 1..30),
        codec in prop::sample::select(&CODECS[..]),
    ) {
        let bytes = build(&records, codec, 0, false).to_bytes();
        let lenient = Rules { after_max_ms: i64::MAX, ..rules() };
        let batch = validate(&bytes, &lenient).expect("valid");
        prop_assert_eq!(batch.body().as_ptr(), bytes[61..].as_ptr(), "the body is the frame's own memory");
    }

    #[test]
    fn damage_is_noticed_and_never_panics(
        records in prop::collection::vec(plain(), 1..10),
        codec in prop::sample::select(&CODECS[..]),
        at in any::<prop::sample::Index>(),
        value: u8,
        fix_crc: bool,
    ) {
        let batch = build(&records, codec, 0, false);
        let mut bytes = batch.to_bytes().to_vec();
        let at = at.index(bytes.len());
        let same = bytes[at] == value;
        bytes[at] = value;
        if fix_crc {
            let crc = crc_fast::crc32_iscsi(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        let bytes = Bytes::from(bytes);
        let lenient = Rules { after_max_ms: i64::MAX, ..rules() };
        let result = validate(&bytes, &lenient);
        // The leader epoch (12..16) is the broker's to set; everything else is covered.
        if !same && !fix_crc && !(12..16).contains(&at) {
            prop_assert!(result.is_err(), "byte {} changed unnoticed", at);
        }
        for batch in Batch::iter(bytes).flatten() {
            if let Ok(records) = batch.records(&mut Scratch::new()) {
                records.for_each(drop);
            }
        }
    }

    #[test]
    fn every_truncation_is_refused(records in prop::collection::vec(plain(), 1..4), codec in prop::sample::select(&CODECS[..])) {
        let bytes = build(&records, codec, 0, false).to_bytes();
        for length in 0..bytes.len() {
            prop_assert!(validate(&bytes.slice(..length), &rules()).is_err());
        }
    }
}

#[test]
fn kafka_2_07_one_batch_with_a_true_count() {
    let one = batch(&["a", "b"]);
    let two = [one.to_bytes(), one.to_bytes()].concat();
    assert!(is_invalid(validate(&two.into(), &rules())));
    let partial = [one.to_bytes(), one.to_bytes().slice(..70)].concat();
    assert!(validate(&partial.into(), &rules()).is_ok(), "Kafka ignores a partial batch behind the first");
    let crc = {
        let mut bytes = one.to_bytes().to_vec();
        bytes[70] ^= 1;
        bytes
    };
    assert!(matches!(validate(&crc.into(), &rules()), Err(BatchError::Corrupt(_))));
    assert!(
        is_invalid(validate(&patched(&one, 57, &3i32.to_be_bytes()), &rules())),
        "record count against offsets"
    );
    let three = {
        let bytes = patched(&one, 57, &3i32.to_be_bytes());
        patched(&Batch::parse_one(&bytes).expect("whole"), 23, &2i32.to_be_bytes())
    };
    assert!(is_invalid(validate(&three, &rules())), "more records declared than there are");
    let fewer = {
        let bytes = patched(&one, 57, &1i32.to_be_bytes());
        patched(&Batch::parse_one(&bytes).expect("whole"), 23, &0i32.to_be_bytes())
    };
    assert!(is_invalid(validate(&fewer, &rules())), "records behind the declared ones");
    assert!(is_invalid(validate(&patched(&one, 21, &0x20i16.to_be_bytes()), &rules())), "control records");
    let empty = BatchBuilder::new(0).build().expect("an empty batch").to_bytes();
    assert!(is_invalid(validate(&empty, &rules())));
    let small = Rules { max_bytes: one.size() as u64 - 1, ..rules() };
    assert!(matches!(validate(&one.to_bytes(), &small), Err(BatchError::TooLarge { .. })));
    assert!(
        is_invalid(validate(&sequenced(9, 0, -1, 1).to_bytes(), &rules())),
        "a producer needs a sequence"
    );
}

#[test]
fn kafka_2_07_timestamps_out_of_range_name_their_records() {
    let mut builder = BatchBuilder::new(0);
    for timestamp in [NOW, NOW + 3_600_001, -1] {
        builder.append(timestamp, None, Some(b"v"), &[]).expect("a record");
    }
    let bytes = builder.build().expect("a batch").to_bytes();
    let Err(BatchError::InvalidTimestamp { records, .. }) = validate(&bytes, &rules()) else {
        panic!("refused")
    };
    assert_eq!(records.iter().map(|record| record.index).collect::<Vec<_>>(), [1]);
    let old = batch_at(NOW - 10_000, &["a"]).to_bytes();
    let strict = Rules { before_max_ms: 9_999, ..rules() };
    assert!(matches!(validate(&old, &strict), Err(BatchError::InvalidTimestamp { .. })));
    let append_time = Rules { timestamp_type: TimestampType::LogAppendTime, ..strict };
    assert!(validate(&old, &append_time).is_ok(), "the producer's clock doesn't matter there");
}

#[test]
fn kafka_2_08_offset_and_epoch_are_outside_of_the_crc() {
    let mut batch = batch(&["a"]);
    let crc = batch.header().crc;
    batch.set_base_offset(77);
    batch.set_leader_epoch(5);
    assert!(batch.crc_is_valid());
    assert_eq!((batch.header().crc, batch.header().base_offset), (crc, 77));
    batch.set_append_time(NOW + 5);
    assert!(batch.crc_is_valid());
    assert_ne!(batch.header().crc, crc);
    let parsed = Batch::parse_one(&batch.to_bytes()).expect("whole");
    assert!(parsed.header().is_log_append_time());
    let mut scratch = Scratch::new();
    let record = parsed.records(&mut scratch).expect("records").next().expect("one").expect("good");
    assert_eq!((record.offset, record.timestamp), (77, NOW + 5));
}

#[test]
fn kafka_2_09_a_compacted_topic_needs_keys() {
    for codec in CODECS {
        let mut builder = BatchBuilder::new(0).compression(Compression::new(codec));
        for key in [Some(&b"k"[..]), None, Some(b""), None] {
            builder.append(NOW, key, Some(b"v"), &[]).expect("a record");
        }
        let bytes = builder.build().expect("a batch").to_bytes();
        assert!(validate(&bytes, &rules()).is_ok());
        let Err(BatchError::InvalidRecords { records, .. }) = validate(&bytes, &compacted()) else {
            panic!("refused")
        };
        assert_eq!(records.iter().map(|record| record.index).collect::<Vec<_>>(), [1, 3]);
    }
}

#[test]
fn kafka_2_27_what_is_refused_and_what_is_corrected() {
    let one = batch(&["a"]);
    assert!(is_invalid(validate(&patched(&one, 0, &1i64.to_be_bytes()), &rules())), "base offset 1");
    let stamped = patched(&one, 21, &0x08i16.to_be_bytes());
    let corrected = validate(&stamped, &rules()).expect("accepted");
    assert!(!corrected.header().is_log_append_time() && corrected.crc_is_valid());
    let wrong_max = patched(&one, 35, &(NOW + 1).to_be_bytes());
    let corrected = validate(&wrong_max, &rules()).expect("accepted");
    assert_eq!(corrected.header().max_timestamp, NOW);
    assert!(corrected.crc_is_valid());
    let codec_5 = patched(&one, 21, &5i16.to_be_bytes());
    assert!(matches!(validate(&codec_5, &rules()), Err(BatchError::Undecodable(_))));
    for codec in [1i16, 2, 3, 4] {
        let garbage = patched(&one, 21, &codec.to_be_bytes());
        assert!(matches!(validate(&garbage, &rules()), Err(BatchError::Undecodable(_))), "codec {codec}");
    }
    assert!(is_invalid(validate(&patched(&one, 16, &[1]), &rules())), "an old format");
}

#[test]
fn relative_offsets_must_count_up() {
    for codec in CODECS {
        let mut builder = BatchBuilder::new(0).compression(Compression::new(codec));
        builder.append_at(0, NOW, None, Some(b"a"), &[]).expect("a record");
        builder.append_at(2, NOW, None, Some(b"b"), &[]).expect("a record");
        let bytes = patched(&builder.build().expect("a batch"), 23, &1i32.to_be_bytes());
        let Err(BatchError::InvalidRecords { records, .. }) = validate(&bytes, &rules()) else {
            panic!("refused")
        };
        assert_eq!(records[0].index, 1);
    }
}

#[test]
fn a_decompression_bomb_is_refused_without_being_unpacked() {
    // 300 MiB of one record in a few hundred KiB.
    let zeros = vec![0; 300 << 20];
    for codec in [Codec::Zstd, Codec::Gzip] {
        let mut builder = BatchBuilder::new(0).compression(Compression::new(codec));
        builder.append(NOW, None, Some(&zeros), &[]).expect("a record");
        let bytes = builder.build().expect("a batch").to_bytes();
        assert!(is_invalid(validate(&bytes, &rules())));
        let batch = Batch::parse_one(&bytes).expect("whole");
        assert!(batch.records(&mut Scratch::new()).is_err());
    }
}

#[test]
fn snappy_is_read_in_both_framings() {
    let mut builder = BatchBuilder::new(0);
    builder.append(NOW, Some(b"key"), Some(&[7; 100_000]), &[]).expect("a record");
    let plain = builder.build().expect("a batch");
    let raw = snap::raw::Encoder::new().compress_vec(plain.body()).expect("snappy");
    let mut bytes = plain.head().to_vec();
    bytes.extend_from_slice(&raw);
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[22] = 2;
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    assert!(validate(&bytes.into(), &rules()).is_ok());
    let framed = compressed(Compression::new(Codec::Snappy), &["v"; 20_000]);
    assert!(validate(&framed.to_bytes(), &rules()).is_ok());
}

#[test]
fn a_topic_with_its_own_compression_reencodes() {
    let original = sequenced(5, 2, 40, 20);
    for codec in CODECS {
        for level in [None, Some(3)] {
            let target = Rules { compression: Some(Compression { codec, level }), ..rules() };
            let batch = validate(&original.to_bytes(), &target).expect("valid");
            let header = batch.header();
            assert_eq!(header.codec(), Some(codec));
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (5, 2, 40));
            assert_eq!((header.record_count, header.last_offset_delta, header.max_timestamp), (20, 19, NOW));
            assert!(batch.crc_is_valid());
            assert_eq!(
                batch.records(&mut Scratch::new()).expect("records").filter(Result::is_ok).count(),
                20
            );
        }
    }
}

#[test]
fn offsets_of_a_builder_only_grow() {
    let mut builder = BatchBuilder::new(10);
    assert!(builder.append_at(9, NOW, None, None, &[]).is_err());
    builder.append_at(12, NOW, None, None, &[]).expect("a gap is fine");
    assert!(builder.append_at(12, NOW, None, None, &[]).is_err());
    assert!(builder.append_at(10 + (1 << 31), NOW, None, None, &[]).is_err());
    assert_eq!(builder.next_offset(), 13);
    assert_eq!(builder.build().expect("a batch").header().last_offset(), 12);
}
