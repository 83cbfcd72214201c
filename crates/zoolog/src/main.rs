//! The zoolog binary.
fn main() {}
