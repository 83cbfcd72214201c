//! What the broker reads back from its own topics and what clients put into group metadata: the version-prefixed
//! messages. The first byte chooses the message.
#![no_main]

use std::fmt::Debug;

use kafka_wire::messages::*;
use kafka_wire::{Bytes, Message, decode_prefixed, encode_prefixed};
use libfuzzer_sys::fuzz_target;

/// Whatever decodes must encode again, to bytes that decode to the same message.
fn check<M: Message + PartialEq + Debug>(bytes: Bytes) {
    let Ok((version, message)) = decode_prefixed::<M>(bytes) else { return };
    let again = encode_prefixed(&message, version).expect("what was decoded fits its version");
    assert_eq!(decode_prefixed(again), Ok((version, message)));
}

fuzz_target!(|input: &[u8]| {
    let [choice, bytes @ ..] = input else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    match choice % 12 {
        0 => check::<OffsetCommitKey>(bytes),
        1 => check::<OffsetCommitValue>(bytes),
        2 => check::<GroupMetadataKey>(bytes),
        3 => check::<GroupMetadataValue>(bytes),
        4 => check::<ConsumerProtocolSubscription>(bytes),
        5 => check::<ConsumerProtocolAssignment>(bytes),
        6 => check::<ControlRecordTypeSchema>(bytes),
        7 => check::<EndTxnMarker>(bytes),
        8 => check::<LeaderChangeMessage>(bytes),
        9 => check::<SnapshotHeaderRecord>(bytes),
        10 => check::<KRaftVersionRecord>(bytes),
        _ => check::<VotersRecord>(bytes),
    }
});
