//! The process as a service manager and its users see it: what it prints, how it starts, stops, fails and comes back.
//!
//! Every test has its own folder, takes free ports and ends the process it started. Times are limits for a process that hangs, never
//! something that a test is about.
mod cluster;
mod configuration;
mod refusals;
mod server;
mod starting;
mod stopping;
mod wire;
