//! Owns the tests of the tree through its public face: what it does item by item, and what holds for any history.

mod bench;
mod model;
mod properties;
mod semantics;
