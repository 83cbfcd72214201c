//! ZooKeeper's wire codec: bounded decoding that borrows from the frame, and encoding into a buffer.
//!
//! A connection opens with a [`ConnectRequest`]; after that each frame is a [`RequestHeader`] and a [`Request`], each
//! answer a [`ReplyHeader`] and, unless it is an error, a [`Response`]. Frames are four bytes of length and the rest
//! ([`put_frame`]). Decoding consumes the front of a `Bytes`; strings ([`Text`]) and buffers are slices of it.
//!
//! This crate knows nothing of what a request does. A server that has its answer at hand as slices need not build a
//! `Response`: the `put_*` functions write the same bytes.

mod connect;
mod consts;
mod multi;
mod records;
mod request;
mod text;
mod wire;

pub use connect::{ConnectRequest, ConnectResponse};
pub use consts::{
    AddWatchMode, CREATE_FLAG_MAX, ErrorCode, EventType, GLOBAL_OUTSTANDING_LIMIT_DEFAULT,
    MAX_BUFFER_DEFAULT, MAX_CLIENT_CONNECTIONS_DEFAULT, OpCode, PASSWORD_LENGTH, STATE_SYNC_CONNECTED,
    WatcherType, ZXID_NONE, xid,
};
pub use multi::{MultiOp, MultiRequest, MultiResponse, MultiResult};
pub use records::*;
pub use request::{Request, Response};
pub use text::Text;
pub use wire::{DecodeError, Wire, put_buffer, put_count, put_frame, put_text};
