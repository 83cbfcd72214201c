//! The door over real sockets: a node in a temporary folder, raw frames, and one outside client.
mod harness;
mod hostile;
mod multi;
mod outside;
mod requests;
mod sessions;
mod watches;
mod words;
