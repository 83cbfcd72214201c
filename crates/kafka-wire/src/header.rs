//! The headers in front of requests and responses.

use crate::field::{Field, Shape};
use crate::{ApiKey, DecodeError, Decoder, EncodeError, Encoder, Str};

/// The header in front of a request. It has a tagged section when the request's version is flexible (header version 2
/// instead of 1), but the client id stays in the classic form.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestHeader {
    /// The API that the request is for.
    pub api: ApiKey,
    /// The request's version. Not checked: an ApiVersions request of an unknown version still has to be answered.
    pub version: i16,
    /// The number that the response has to carry.
    pub correlation_id: i32,
    /// The name that the client gives itself.
    pub client_id: Option<Str>,
}

impl RequestHeader {
    /// Reads the header; the decoder is left in front of the request itself.
    ///
    /// # Errors
    /// [`DecodeError::UnknownApi`] if this codec does not know the API, else what is wrong with the bytes.
    pub fn decode(d: &mut Decoder) -> Result<RequestHeader, DecodeError> {
        d.set_shape(Shape::default());
        let key = i16::read(d, false)?;
        let api = ApiKey::from_key(key).ok_or(DecodeError::UnknownApi { key })?;
        let version = i16::read(d, false)?;
        let correlation_id = i32::read(d, false)?;
        let client_id = Str::read_nullable(d)?;
        d.set_shape(Shape { version, flexible: api.request_header_version(version) >= 2 });
        d.tagged_section(|_, _| Ok(false))?;
        Ok(RequestHeader { api, version, correlation_id, client_id })
    }

    /// Appends the header.
    ///
    /// # Errors
    /// If the client id is too long for the protocol.
    pub fn encode(&self, e: &mut Encoder) -> Result<(), EncodeError> {
        e.set_shape(Shape::default());
        self.api.key().write(e, false)?;
        self.version.write(e, false)?;
        self.correlation_id.write(e, false)?;
        Str::write_nullable(self.client_id.as_ref(), e)?;
        let flexible = self.api.request_header_version(self.version) >= 2;
        e.set_shape(Shape { version: self.version, flexible });
        e.tagged_section(|_| Ok(0))
    }
}

/// Reads a response's header and returns its correlation id.
pub(crate) fn decode_response_header(d: &mut Decoder, api: ApiKey, version: i16) -> Result<i32, DecodeError> {
    d.set_shape(Shape { version, flexible: api.response_header_version(version) >= 1 });
    let correlation_id = i32::read(d, false)?;
    d.tagged_section(|_, _| Ok(false))?;
    Ok(correlation_id)
}

/// Appends a response's header.
pub(crate) fn encode_response_header(
    e: &mut Encoder,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<(), EncodeError> {
    e.set_shape(Shape { version, flexible: api.response_header_version(version) >= 1 });
    correlation_id.write(e, false)?;
    e.tagged_section(|_| Ok(0))
}
