//! The headers that precede a request and a response.

use crate::{DecodeError, EncodeError, Reader, Str, Writer};

/// What a request begins with. Version 2 differs from 1 by its tagged fields, of which none is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// As it came: the key may be unknown.
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Str>,
}

impl RequestHeader {
    /// Reads only what is the same in every header: API key, version and correlation id. With it a request whose
    /// key or version is unknown can still be answered.
    pub fn decode_start(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            api_key: reader.i16()?,
            api_version: reader.i16()?,
            correlation_id: reader.i32()?,
            client_id: None,
        })
    }

    /// Reads what follows `decode_start`.
    pub fn decode_rest(
        &mut self,
        reader: &mut Reader,
        header_version: i16,
    ) -> Result<(), DecodeError> {
        self.client_id = reader.short_string()?;
        reader.begin(header_version, header_version >= 2);
        reader.skip_tagged_fields()
    }

    /// Reads a whole header; its version follows from the API key and version in it.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut header = Self::decode_start(reader)?;
        let key = crate::ApiKey::from_code(header.api_key)
            .ok_or(DecodeError::UnknownApiKey(header.api_key))?;
        header.decode_rest(reader, key.request_header_version(header.api_version))?;
        Ok(header)
    }

    pub fn encode(&self, writer: &mut Writer, header_version: i16) -> Result<(), EncodeError> {
        writer.i16(self.api_key);
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        writer.short_string(self.client_id.as_deref());
        writer.begin(header_version, header_version >= 2);
        writer.no_tagged_fields();
        writer.error().cloned().map_or(Ok(()), Err)
    }
}

/// What a response begins with. Version 1 differs from 0 by its tagged fields, of which none is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    pub correlation_id: i32,
}

impl ResponseHeader {
    pub fn decode(reader: &mut Reader, header_version: i16) -> Result<Self, DecodeError> {
        let correlation_id = reader.i32()?;
        reader.begin(header_version, header_version >= 1);
        reader.skip_tagged_fields()?;
        Ok(Self { correlation_id })
    }

    pub fn encode(&self, writer: &mut Writer, header_version: i16) {
        writer.i32(self.correlation_id);
        writer.begin(header_version, header_version >= 1);
        writer.no_tagged_fields();
    }
}
