//! Owns the tests of the codec: round trips of anything, hostile bytes, and the bytes of a client that isn't ours.

mod client;
mod hostile;
mod memory;
mod round_trips;
mod samples;
