//! What can go wrong while decoding or encoding a message.

use crate::Versions;

/// Why bytes are not the message they claim to be. `at` is the offset in the decoded input where it showed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a field, or a length says more than the input holds.
    #[error("input ends at byte {at}: {wanted} more bytes announced, {left} left")]
    Truncated {
        /// Offset of the field.
        at: usize,
        /// Bytes that the field needs at least.
        wanted: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// Input is left after the message's last field.
    #[error("{left} bytes are left behind the message's last field at byte {at}")]
    Trailing {
        /// Offset behind the last field.
        at: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A field is null although this version does not allow that.
    #[error("null at byte {at} in a field that cannot be null in this version")]
    Null {
        /// Offset behind the field's length.
        at: usize,
    },
    /// A string is longer than the protocol allows.
    #[error("string of {len} bytes at byte {at}; the protocol allows at most 32767")]
    StringTooLong {
        /// Offset of the string.
        at: usize,
        /// Announced length in bytes.
        len: usize,
    },
    /// A string is not UTF-8.
    #[error("string at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Offset of the string.
        at: usize,
    },
    /// A variable-length integer does not end after five bytes or exceeds 32 bits.
    #[error("variable-length integer at byte {at} does not fit 32 bits")]
    VarintTooLong {
        /// Offset of the integer.
        at: usize,
    },
    /// A tagged field's content is not as long as its size says.
    #[error("tagged field {tag} ends at byte {at} but its size says byte {end}")]
    TagSize {
        /// The field's tag.
        tag: u32,
        /// Offset where its content ended.
        at: usize,
        /// Offset where its size says that it ends.
        end: usize,
    },
    /// The decoded arrays would need more memory than a message of this size may take.
    #[error("arrays need more than the {limit} bytes of memory that a message of this size may take")]
    TooMuchMemory {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request names an API that this codec does not know.
    #[error("unknown API key {key}")]
    UnknownApi {
        /// The API key.
        key: i16,
    },
    /// The message has no such version.
    #[error("{message} has no version {version}, it has {versions}")]
    Version {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
        /// The versions that the message has.
        versions: Versions,
    },
}

/// Why a message cannot be written in the wanted version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message has no such version.
    #[error("{message} has no version {version}, it has {versions}")]
    Version {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
        /// The versions that the message has.
        versions: Versions,
    },
    /// A field has a value although this version cannot carry the field.
    #[error("field {field} has a value but version {version} of the message lacks that field")]
    FieldNotInVersion {
        /// The field's name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null although this version does not allow that.
    #[error("a field is null that cannot be null in version {version} of the message")]
    Null {
        /// The version asked for.
        version: i16,
    },
    /// A string is longer than the protocol allows.
    #[error("string of {len} bytes; the protocol allows at most 32767")]
    StringTooLong {
        /// The string's length in bytes.
        len: usize,
    },
    /// Records lie in a file, and whoever wants the frame can do with bytes only.
    #[error("{len} bytes of records lie in a file, but are wanted in memory")]
    InFile {
        /// How many.
        len: usize,
    },
    /// An array, byte field or frame is longer than its 32-bit length can say.
    #[error("length {len} does not fit the protocol's 31-bit lengths")]
    TooLong {
        /// The length, in elements or bytes.
        len: usize,
    },
}
