//! The tests of the crate `log` from the outside, in one binary.
mod append_read;
mod batches;
mod common;
mod compaction;
mod fixture;
mod folders;
mod lending;
mod maintenance;
mod model;
mod producers;
mod recovery;
