//! Virtual worlds for real code. [`model`] exhausts small configurations of the consensus core; README.md says what
//! that proves and what it doesn't.
//!
//! Nothing that runs in production may depend on this crate.

pub mod model;
pub mod nodes;
