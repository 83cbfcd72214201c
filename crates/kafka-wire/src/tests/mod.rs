//! Tests of the codec as a whole: against the crate kafka-protocol, and against hostile input.

mod roundtrip;
