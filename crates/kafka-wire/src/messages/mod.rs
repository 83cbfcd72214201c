//! The message tables, one file per API. Names and versions are Kafka 4.3's; `messages!` in `table.rs` explains the rows.
//!
//! The messages themselves are re-exported here; nested structures are found in the file of their API, under Kafka's
//! name for them, with the message's name in front where request and response both have one of that name.
#![allow(missing_docs, reason = "the tables hold Kafka's own names, which Kafka's protocol guide documents")]

pub mod api_versions;
pub mod fetch;
pub mod metadata;
pub mod produce;

pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub use fetch::{FetchRequest, FetchResponse};
pub use metadata::{MetadataRequest, MetadataResponse};
pub use produce::{ProduceRequest, ProduceResponse};
