//! Owns the two records that open a connection. They have no header, and the last byte of each is optional: clients
//! before 3.4 don't send it, and a server answers it only to those that did.

use bytes::{Buf, Bytes, BytesMut};

use crate::consts::PASSWORD_LENGTH;
use crate::wire::{DecodeError, Wire};

/// The first frame of a client: 44 bytes, or 45 with `read_only`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConnectRequest {
    /// Always 0.
    pub protocol_version: i32,
    /// The last transaction that the client has seen anywhere.
    pub last_zxid_seen: i64,
    /// The wished timeout in milliseconds.
    pub timeout_ms: i32,
    /// The session to attach to again, or 0 for a new one.
    pub session_id: i64,
    /// That session's password.
    pub password: Option<Bytes>,
    /// Whether a read-only server will do; none if the client didn't send the byte.
    pub read_only: Option<bool>,
}

/// The answer to [`ConnectRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConnectResponse {
    /// Always 0.
    pub protocol_version: i32,
    /// The negotiated timeout in milliseconds; 0 if there is no session.
    pub timeout_ms: i32,
    /// The session; 0 if there is none.
    pub session_id: i64,
    /// The session's password, 16 bytes.
    pub password: Option<Bytes>,
    /// Whether this server is read-only; none leaves the byte out.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The answer to a session that is expired or whose password is wrong: all zeros (then the server closes).
    pub fn expired(read_only: Option<bool>) -> ConnectResponse {
        ConnectResponse {
            password: Some(Bytes::from_static(&[0; PASSWORD_LENGTH])),
            read_only,
            ..ConnectResponse::default()
        }
    }
}

fn optional_bool(input: &mut Bytes) -> Result<Option<bool>, DecodeError> {
    if input.has_remaining() { bool::decode(input).map(Some) } else { Ok(None) }
}

impl Wire for ConnectRequest {
    const SIZE_MIN: usize = 28;

    fn decode(input: &mut Bytes) -> Result<ConnectRequest, DecodeError> {
        Ok(ConnectRequest {
            protocol_version: Wire::decode(input)?,
            last_zxid_seen: Wire::decode(input)?,
            timeout_ms: Wire::decode(input)?,
            session_id: Wire::decode(input)?,
            password: Wire::decode(input)?,
            read_only: optional_bool(input)?,
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        self.protocol_version.encode(out);
        self.last_zxid_seen.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.encode(out);
        self.password.encode(out);
        if let Some(read_only) = self.read_only {
            read_only.encode(out);
        }
    }
}

impl Wire for ConnectResponse {
    const SIZE_MIN: usize = 20;

    fn decode(input: &mut Bytes) -> Result<ConnectResponse, DecodeError> {
        Ok(ConnectResponse {
            protocol_version: Wire::decode(input)?,
            timeout_ms: Wire::decode(input)?,
            session_id: Wire::decode(input)?,
            password: Wire::decode(input)?,
            read_only: optional_bool(input)?,
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        self.protocol_version.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.encode(out);
        self.password.encode(out);
        if let Some(read_only) = self.read_only {
            read_only.encode(out);
        }
    }
}
