//! The tests of the crate `log` from the outside, in one binary.
mod append_read;
mod common;
mod fixture;
