//! Tests over all messages at once; what belongs to one module is tested there.

mod golden;
mod hostile;
mod oracle;

use bytes::{Bytes, BytesMut};

use crate::{DecodeError, Message, Reader, Writer};

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Reader::new(BytesMut::from(bytes)), version)
}

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .and_then(|()| writer.finish_joined())
        .unwrap_or_else(|error| panic!("{} version {version}: {error}", M::NAME))
}
