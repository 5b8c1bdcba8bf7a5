//! Whole frames: a length of 32 bits, a header and a message.

use bytes::{Bytes, BytesMut};

use crate::{
    ApiKey, DecodeError, EncodeError, Message, Reader, Request, RequestHeader, ResponseHeader,
    Writer,
};

/// A request frame with its length prefix, as a chain for vectored I/O. The header's API key is `R`'s, and its
/// version says how both are encoded.
pub fn encode_request<R: Request>(
    header: &RequestHeader,
    request: &R,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::frame();
    let version = header.api_version;
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    writer.finish_frame()
}

/// A response frame with its length prefix, as a chain for vectored I/O.
pub fn encode_response<M: Message>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::frame();
    let header = ResponseHeader { correlation_id };
    header.encode(&mut writer, key.response_header_version(version));
    response.encode(&mut writer, version)?;
    writer.finish_frame()
}

/// Reads a response frame (without its length prefix) to a request of type `R` and this version.
pub fn decode_response<R: Request>(
    frame: BytesMut,
    version: i16,
) -> Result<(ResponseHeader, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
    let response = R::Response::decode(&mut reader, version)?;
    Ok((header, response))
}
