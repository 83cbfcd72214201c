//! The Kafka protocol codec. Owns every byte layout that Kafka's wire protocol and its own internal topics define.
//!
//! Each message is a table in [`messages`], one row per field; structs, decoding and encoding follow from the table.
//! Invariants of the whole crate:
//! - decoding never panics, never allocates for a length that the remaining input cannot hold, and spends at most
//!   [`Decoder::memory_limit`] bytes on arrays;
//! - strings, byte fields and record sets borrow the frame they came in (by reference count, see [`Str`]);
//! - encoding never copies record sets: a frame is a list of chunks for one vectored write (see [`Encoder`]), and of ranges of files for
//!   whoever can send them (see [`Piece`]);
//! - no field is lost silently: a value that a version cannot carry is an [`EncodeError`] unless Kafka marks the field
//!   as ignorable.

mod api;
mod decoder;
mod encoder;
mod error;
mod error_code;
mod field;
mod frame;
mod frames;
mod header;
pub mod messages;
mod piece;
mod records;
mod table;
mod text;
mod versions;

#[cfg(test)]
pub mod sample;
#[cfg(test)]
mod tests;

pub use api::{ApiKey, Request, Response};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::{DecodeError, EncodeError};
pub use error_code::ErrorCode;
pub use field::{Field, Shape};
pub use frame::{
    decode_prefixed, decode_request, decode_response, encode_body, encode_prefixed, encode_request,
    encode_response, read_request,
};
pub use frames::{BadSize, Frames};
pub use header::RequestHeader;
pub use piece::{BatchFile, FileRange, Piece};
pub use records::Records;
pub use table::Message;
pub use text::Str;
pub use versions::Versions;

pub use bytes::Bytes;
pub use uuid::Uuid;
