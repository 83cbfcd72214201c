//! The tests of the core from outside: stories that can be read, and a simulated network with many seeds.

mod clock;
mod cluster;
mod failover;
mod follower;
mod log;
mod namesakes;
mod nonsense;
mod oracle;
mod random;
mod seeds;
mod single_voter;
mod stories;
mod storm;
