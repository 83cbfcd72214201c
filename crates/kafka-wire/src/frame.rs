//! Whole frames: the size prefix, the header and the message in one call; and the version-prefixed form in which Kafka
//! keeps messages in its internal topics.

use bytes::Bytes;

use crate::field::Field;
use crate::header::{decode_response_header, encode_response_header};
use crate::{
    ApiKey, DecodeError, Decoder, EncodeError, Encoder, Message, Piece, Request, RequestHeader, Response,
};

/// Reads the header of a request frame (without its size prefix). The decoder returned is in front of the request, for
/// [`Request::decode`] or [`Message::decode`]; the version is not checked yet.
///
/// # Errors
/// If the header is cut short or names an unknown API. The connection is to be closed then.
pub fn read_request(frame: Bytes) -> Result<(RequestHeader, Decoder), DecodeError> {
    let mut d = Decoder::new(frame);
    let header = RequestHeader::decode(&mut d)?;
    Ok((header, d))
}

/// Decodes a request that stands without its header and must fill `body`.
///
/// # Errors
/// If the API has no such version, the bytes are no such request, or bytes are left.
pub fn decode_request(api: ApiKey, version: i16, body: Bytes) -> Result<Request, DecodeError> {
    let mut d = Decoder::new(body);
    let request = Request::decode(api, version, &mut d)?;
    d.finish()?;
    Ok(request)
}

/// Decodes a response frame (without its size prefix) into its correlation id and the response, which must fill it.
///
/// # Errors
/// If the API has no such version, the bytes are no such response, or bytes are left.
pub fn decode_response(api: ApiKey, version: i16, frame: Bytes) -> Result<(i32, Response), DecodeError> {
    let mut d = Decoder::new(frame);
    let correlation_id = decode_response_header(&mut d, api, version)?;
    let response = Response::decode(api, version, &mut d)?;
    d.finish()?;
    Ok((correlation_id, response))
}

/// Encodes a request frame: size prefix, header, message, as chunks for one vectored write.
///
/// # Errors
/// If the message does not fit the header's version, or a length does not fit the protocol.
pub fn encode_request<M: Message>(header: &RequestHeader, message: &M) -> Result<Vec<Bytes>, EncodeError> {
    request_frame(header, |e| message.encode(e, header.version))
}

/// Encodes a response frame: size prefix, header, message, as chunks for one vectored write.
///
/// # Errors
/// If the message does not fit the version, or a length does not fit the protocol.
pub fn encode_response<M: Message>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    message: &M,
) -> Result<Vec<Bytes>, EncodeError> {
    response_frame(api, version, correlation_id, |e| message.encode(e, version))?.finish()
}

impl Request {
    /// The request's frame, as [`encode_request`] makes it.
    ///
    /// # Errors
    /// As of [`encode_request`].
    pub fn to_frame(&self, header: &RequestHeader) -> Result<Vec<Bytes>, EncodeError> {
        request_frame(header, |e| self.encode(e, header.version))
    }
}

impl Response {
    /// The response's frame, as [`encode_response`] makes it.
    ///
    /// # Errors
    /// As of [`encode_response`].
    pub fn to_frame(&self, version: i16, correlation_id: i32) -> Result<Vec<Bytes>, EncodeError> {
        response_frame(self.api(), version, correlation_id, |e| self.encode(e, version))?.finish()
    }

    /// The same frame, in which records may lie in files.
    ///
    /// # Errors
    /// As of [`encode_response`].
    pub fn to_pieces(&self, version: i16, correlation_id: i32) -> Result<Vec<Piece>, EncodeError> {
        let frame = response_frame(self.api(), version, correlation_id, |e| self.encode(e, version))?;
        Ok(frame.finish_pieces())
    }
}

/// A request frame around the body that `encode` writes.
fn request_frame(
    header: &RequestHeader,
    encode: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut e = Encoder::new();
    e.put(&[0; 4]);
    header.encode(&mut e)?;
    encode(&mut e)?;
    e.into_frame()?.finish()
}

/// A response frame around the body that `encode` writes.
fn response_frame(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    encode: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
) -> Result<Encoder, EncodeError> {
    let mut e = Encoder::new();
    e.put(&[0; 4]);
    encode_response_header(&mut e, api, version, correlation_id)?;
    encode(&mut e)?;
    e.into_frame()
}

/// Encodes a message alone, without size and header, in one piece.
///
/// # Errors
/// If the message does not fit the version, or a length does not fit the protocol.
pub fn encode_body<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut e = Encoder::new();
    message.encode(&mut e, version)?;
    join(e)
}

/// Encodes a message as the keys and values of Kafka's internal topics hold it: two bytes of version, then the message.
///
/// # Errors
/// If the message does not fit the version, or a length does not fit the protocol.
pub fn encode_prefixed<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut e = Encoder::new();
    version.write(&mut e, false)?;
    message.encode(&mut e, version)?;
    join(e)
}

/// Decodes a message in the form of [`encode_prefixed`] into its version and the message, which must fill `bytes`.
///
/// # Errors
/// If the message has no such version, the bytes are no such message, or bytes are left.
pub fn decode_prefixed<M: Message>(bytes: Bytes) -> Result<(i16, M), DecodeError> {
    let mut d = Decoder::new(bytes);
    let version = i16::read(&mut d, false)?;
    let message = M::decode(&mut d, version)?;
    d.finish()?;
    Ok((version, message))
}

/// The encoder's output in one piece.
fn join(e: Encoder) -> Result<Bytes, EncodeError> {
    Ok(e.finish()?.into_iter().collect::<crate::Records>().to_bytes())
}
