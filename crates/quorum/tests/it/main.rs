//! The tests of the core from outside: stories that can be read, and a simulated network with many seeds.

mod log;
mod single_voter;
